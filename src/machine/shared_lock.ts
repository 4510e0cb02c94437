/**
 * A lock in memory that isolates share, for sections of a few hundred instructions.
 *
 * @module
 */

const FREE = 0;
/** What a held lock's word contains. */
export const LOCK_HELD = 1;
/** Times to look before giving up the processor: the holder is done by then, unless it was taken off its own. */
const SPINS = 1000;
const PAUSE_MILLISECONDS = 1;

/** Takes the lock in a word; pair it with {@linkcode release} in a `finally`. */
export function acquire(words: Int32Array, word: number): void {
  for (let spins = 0; Atomics.compareExchange(words, word, FREE, LOCK_HELD) !== FREE; spins++) {
    if (spins >= SPINS) Atomics.wait(words, word, LOCK_HELD, PAUSE_MILLISECONDS);
  }
}

/** Gives the lock back. */
export function release(words: Int32Array, word: number): void {
  Atomics.store(words, word, FREE);
}
