/**
 * The jobs of {@linkcode runTogether}: each hammers one thing that isolates share.
 *
 * @module
 */
import { ByteChannel } from "../../src/machine/byte_channel.ts";
import { acquire, release } from "../../src/machine/shared_lock.ts";

/** What a Worker is to do. */
export type Job =
  /** Sends `bytes` bytes of a known sequence; returns how many. */
  | { job: "send"; block: SharedArrayBuffer; capacity: number; bytes: number }
  /** Receives as many and compares; returns how many were right. */
  | { job: "receive"; block: SharedArrayBuffer; capacity: number; bytes: number }
  /** Adds 1 to two unprotected words `times` times under a lock; returns how often the words differed. */
  | { job: "count"; block: SharedArrayBuffer; times: number };

/** Byte `index` of the sequence. */
function sequence(index: number): number {
  return (index * 31 + (index >>> 8)) & 0xff;
}

const nobody = new Int32Array(new SharedArrayBuffer(4));

/** On a busy machine the other side may be off its processor: spinning would only keep it there. */
function giveWay(spins: number): void {
  if (spins % 1000 === 0) Atomics.wait(nobody, 0, 0, 0.05);
}

function send({ block, capacity, bytes }: Extract<Job, { job: "send" }>): number {
  const channel = new ByteChannel(block, 0, capacity);
  let sent = 0;
  for (let spins = 0; sent < bytes; spins++) {
    if (channel.send(sequence(sent))) sent++;
    else giveWay(spins);
  }
  return sent;
}

function receive({ block, capacity, bytes }: Extract<Job, { job: "receive" }>): number {
  const channel = new ByteChannel(block, 0, capacity);
  const piece = new Uint8Array(48);
  let right = 0;
  for (let received = 0, spins = 0; received < bytes; spins++) {
    const count = channel.receive(piece);
    if (count === 0) giveWay(spins);
    for (let i = 0; i < count; i++) if (piece[i] === sequence(received + i)) right++;
    received += count;
  }
  return right;
}

function count({ block, times }: Extract<Job, { job: "count" }>): number {
  const words = new Int32Array(block);
  let differences = 0;
  for (let i = 0; i < times; i++) {
    acquire(words, 0);
    if (words[1] !== words[2]) differences++;
    words[1]++;
    words[2]++;
    release(words, 0);
  }
  return differences;
}

self.onmessage = ({ data }: MessageEvent<{ job: Job; gate: SharedArrayBuffer; count: number }>) => {
  const { job } = data;
  const gate = new Int32Array(data.gate);
  Atomics.add(gate, 0, 1);
  while (Atomics.load(gate, 0) < data.count);
  const result = job.job === "send" ? send(job) : job.job === "receive" ? receive(job) : count(job);
  (self as unknown as { postMessage(result: number): void }).postMessage(result);
};
