import assert from "node:assert/strict";
import { ByteChannel, channelBytes } from "../../src/machine/byte_channel.ts";
import { runTogether } from "./together.ts";

const CAPACITY = 16;

function pair(capacity = CAPACITY): [sender: ByteChannel, receiver: ByteChannel, words: Int32Array] {
  const block = new SharedArrayBuffer(channelBytes(capacity));
  return [new ByteChannel(block, 0, capacity), new ByteChannel(block, 0, capacity), new Int32Array(block, 0, 2)];
}

function receiveAll(channel: ByteChannel, room = 64): number[] {
  const into = new Uint8Array(room);
  return [...into.subarray(0, channel.receive(into))];
}

Deno.test("a byte channel keeps the order of bytes, around its end many times", () => {
  const [sender, receiver] = pair();
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 200; round++) {
    const count = 1 + round % CAPACITY;
    for (let i = 0; i < count; i++) assert.ok(sender.send(next++ & 0xff));
    for (const byte of receiveAll(receiver)) assert.equal(byte, expected++ & 0xff);
  }
  assert.equal(expected, next);
  assert.ok(receiver.isEmpty);
});

Deno.test("a full byte channel refuses bytes until some are received", () => {
  const [sender, receiver] = pair();
  for (let i = 0; i < CAPACITY; i++) assert.ok(sender.send(i));
  assert.equal(sender.send(99), false);
  assert.equal(receiver.isEmpty, false);
  const two = new Uint8Array(2);
  assert.equal(receiver.receive(two), 2);
  assert.deepEqual([...two], [0, 1]);
  assert.ok(sender.send(16));
  assert.ok(sender.send(17));
  assert.equal(sender.send(18), false);
  assert.deepEqual(receiveAll(receiver), Array.from({ length: CAPACITY }, (_, i) => i + 2));
});

Deno.test("an empty byte channel gives nothing, and nothing into no room", () => {
  const [sender, receiver] = pair();
  assert.deepEqual(receiveAll(receiver), []);
  sender.send(7);
  assert.deepEqual(receiveAll(receiver, 0), []);
  assert.deepEqual(receiveAll(receiver), [7]);
});

Deno.test("a byte channel's counts may wrap", () => {
  const [sender, receiver, words] = pair();
  words.fill(-3);
  for (let i = 0; i < CAPACITY; i++) assert.ok(sender.send(i), `byte ${i}`);
  assert.equal(sender.send(0), false);
  assert.deepEqual(receiveAll(receiver), Array.from({ length: CAPACITY }, (_, i) => i));
  words.fill(0x7fff_fffe);
  for (let i = 0; i < CAPACITY; i++) assert.ok(sender.send(i), `byte ${i}`);
  assert.equal(sender.send(0), false);
  assert.deepEqual(receiveAll(receiver), Array.from({ length: CAPACITY }, (_, i) => i));
});

Deno.test("several channels lie side by side in one block", () => {
  const block = new SharedArrayBuffer(2 * channelBytes(4));
  const first = new ByteChannel(block, 0, 4);
  const second = new ByteChannel(block, channelBytes(4), 4);
  for (let i = 0; i < 4; i++) {
    first.send(1);
    second.send(2);
  }
  assert.deepEqual([receiveAll(first), receiveAll(second)], [[1, 1, 1, 1], [2, 2, 2, 2]]);
});

Deno.test("two isolates pass bytes through a small channel at full speed, none lost, none changed", async () => {
  const bytes = 200_000;
  const block = new SharedArrayBuffer(channelBytes(64));
  const [sent, received] = await runTogether(
    { job: "send", block, capacity: 64, bytes },
    { job: "receive", block, capacity: 64, bytes },
  );
  assert.equal(sent, bytes);
  assert.equal(received, bytes);
});
