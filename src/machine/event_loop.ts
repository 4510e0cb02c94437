/**
 * The machine isolate's one wait: doorbells, disk completions, control and timers arrive through one io_uring.
 *
 * @module
 */
import { IoUring } from "../../ffi/io_uring.ts";

/** Somebody that an operation on the ring completes for. */
export interface CompletionTarget {
  /** One completion: the operation's result and io_uring's flags. */
  completed(result: number, flags: number): void;
}

/** A descriptor being watched. Disposing ends the watch. */
export interface Watch extends Disposable {
  /** The token of its poll, for {@linkcode IoUring.pollRemove}. */
  readonly token: number;
}

/** IORING_CQE_F_MORE of linux/io_uring.h: the multishot operation goes on. */
const COMPLETION_HAS_MORE = 1 << 1;
/** Errors by which a poll ends on purpose or for good. */
const ECANCELED = 125;
const EBADF = 9;
/** Entries of the submission ring; more requests at once are submitted in between. */
const SUBMISSION_ENTRIES = 256;

/** Callbacks driven by io_uring completions. */
export class EventLoop implements Disposable {
  /** The ring, for those who submit operations of their own. */
  readonly ring: IoUring = new IoUring(SUBMISSION_ENTRIES);
  readonly #targets: (CompletionTarget | undefined)[] = [];
  readonly #freeTokens: number[] = [];
  #scheduled: (() => void)[] = [];
  #running: (() => void)[] = [];
  readonly #roundEnds: (() => void)[] = [];
  /** Whether watches must not call back now; see {@linkcode waitForCompletions}. */
  deferring = false;

  /** Gives a target a token by which the ring names it. */
  register(target: CompletionTarget): number {
    const token = this.#freeTokens.pop() ?? this.#targets.length;
    this.#targets[token] = target;
    return token;
  }

  /** Takes a token back. No operation under it may be in flight. */
  unregister(token: number): void {
    this.#targets[token] = undefined;
    this.#freeTokens.push(token);
  }

  /** Calls back whenever `descriptor` (an event descriptor, a socket) becomes readable. */
  watch(descriptor: number, callback: () => void): Watch {
    return new PollWatch(this, descriptor, callback);
  }

  /** Calls back in the next round. */
  schedule(callback: () => void): void {
    this.#scheduled.push(callback);
  }

  /** Calls back at the end of every round that did something. */
  atRoundEnd(callback: () => void): void {
    this.#roundEnds.push(callback);
  }

  /** Handles all that has arrived; returns whether there was anything. Never blocks. */
  dispatch(): boolean {
    let handled = this.ring.reap(this.#complete);
    if (this.#scheduled.length > 0) {
      const running = this.#scheduled;
      this.#scheduled = this.#running;
      this.#running = running;
      handled += running.length;
      for (let i = 0; i < running.length; i++) running[i]();
      running.length = 0;
    }
    return handled > 0;
  }

  /** Makes the work of a round visible: to be called after {@linkcode dispatch} and whatever else a round did. */
  endRound(): void {
    for (let i = 0; i < this.#roundEnds.length; i++) this.#roundEnds[i]();
    this.ring.submit();
  }

  /** Whether work is waiting that needs no further event. */
  get pending(): boolean {
    return this.#scheduled.length > 0;
  }

  /**
   * Waits until `done` holds, handling completions of operations. What is watched meanwhile is called back in the next
   * round, so that nobody is called from within somebody else's call.
   */
  waitForCompletions(done: () => boolean): void {
    this.deferring = true;
    try {
      while (!done()) {
        if (this.ring.reap(this.#complete) === 0) this.ring.enter(1);
      }
    } finally {
      this.deferring = false;
    }
  }

  /** Submits what is queued and sleeps until a completion arrives or the time is over. */
  wait(timeoutMilliseconds?: number): void {
    this.ring.enter(1, timeoutMilliseconds);
  }

  /** Closes the ring. Operations in flight are cancelled by the kernel. */
  [Symbol.dispose](): void {
    this.ring[Symbol.dispose]();
  }

  readonly #complete = (token: number, result: number, flags: number): void => {
    this.#targets[token]?.completed(result, flags);
  };
}

class PollWatch implements Watch, CompletionTarget {
  readonly token: number;
  readonly #loop: EventLoop;
  readonly #descriptor: number;
  readonly #callback: () => void;
  #ended = false;

  constructor(loop: EventLoop, descriptor: number, callback: () => void) {
    this.#loop = loop;
    this.#descriptor = descriptor;
    this.#callback = callback;
    this.token = loop.register(this);
    loop.ring.pollMultishot(descriptor, this.token);
  }

  completed(result: number, flags: number): void {
    const over = (flags & COMPLETION_HAS_MORE) === 0;
    if (this.#ended) {
      // The token may be used anew only after the kernel's last word about the old poll.
      if (over) this.#loop.unregister(this.token);
      return;
    }
    if (result >= 0) {
      if (this.#loop.deferring) this.#loop.schedule(this.#callback);
      else this.#callback();
    } else if (result === -ECANCELED || result === -EBADF) return;
    // The kernel ends a multishot poll when its completion ring overflows: watch anew.
    if (over && !this.#ended) this.#loop.ring.pollMultishot(this.#descriptor, this.token);
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#loop.ring.pollRemove(this.token);
  }
}
