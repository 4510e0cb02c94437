import assert from "node:assert/strict";
import { EventDescriptor } from "../../ffi/event_descriptor.ts";
import { EventLoop } from "../../src/machine/event_loop.ts";

const PATIENCE_MILLISECONDS = 5000;

/** Turns the loop until something holds. */
function turn(loop: EventLoop, holds: () => boolean): void {
  const deadline = performance.now() + PATIENCE_MILLISECONDS;
  while (!holds()) {
    assert.ok(performance.now() < deadline, "nothing came");
    loop.dispatch();
    loop.endRound();
    if (!holds()) loop.wait(10);
  }
}

/** Turns the loop a few times, for what must not come. */
function turnIdly(loop: EventLoop): void {
  for (let i = 0; i < 3; i++) {
    loop.wait(5);
    loop.dispatch();
    loop.endRound();
  }
}

Deno.test("a watched descriptor calls back whenever it is signalled", () => {
  using loop = new EventLoop();
  using event = new EventDescriptor();
  let signals = 0;
  using _ = loop.watch(event.fd, () => signals += event.read());
  loop.endRound();
  for (let i = 1; i <= 5; i++) {
    event.write();
    turn(loop, () => signals >= i);
  }
  assert.equal(signals, 5);
  turnIdly(loop);
  assert.equal(signals, 5);
});

Deno.test("a watch that ended calls back no more, and its token serves another", () => {
  using loop = new EventLoop();
  using first = new EventDescriptor();
  using second = new EventDescriptor();
  let firstCalls = 0;
  let secondCalls = 0;
  const watch = loop.watch(first.fd, () => firstCalls++);
  const { token } = watch;
  loop.endRound();
  watch[Symbol.dispose]();
  watch[Symbol.dispose]();
  first.write();
  turnIdly(loop);
  assert.equal(firstCalls, 0);
  using other = loop.watch(second.fd, () => secondCalls++);
  assert.equal(other.token, token, "after the kernel's last word about the old poll");
  loop.endRound();
  second.write();
  turn(loop, () => secondCalls > 0);
  assert.equal(firstCalls, 0);
});

Deno.test("a watch may end in its own callback", () => {
  using loop = new EventLoop();
  using event = new EventDescriptor();
  let calls = 0;
  const watch = loop.watch(event.fd, () => {
    calls++;
    watch[Symbol.dispose]();
  });
  loop.endRound();
  event.write();
  turn(loop, () => calls > 0);
  event.write();
  turnIdly(loop);
  assert.equal(calls, 1);
});

Deno.test("what is scheduled runs once, in the next round, what it schedules in the one after", () => {
  using loop = new EventLoop();
  const order: string[] = [];
  loop.schedule(() => {
    order.push("a");
    loop.schedule(() => order.push("c"));
  });
  loop.schedule(() => order.push("b"));
  assert.ok(loop.pending);
  assert.equal(loop.dispatch(), true);
  assert.deepEqual(order, ["a", "b"]);
  assert.ok(loop.pending);
  assert.equal(loop.dispatch(), true);
  assert.equal(loop.dispatch(), false);
  assert.deepEqual(order, ["a", "b", "c"]);
  assert.equal(loop.pending, false);
});

Deno.test("the end of a round is told to all who asked", () => {
  using loop = new EventLoop();
  const order: string[] = [];
  loop.atRoundEnd(() => order.push("first"));
  loop.atRoundEnd(() => order.push("second"));
  loop.endRound();
  loop.endRound();
  assert.deepEqual(order, ["first", "second", "first", "second"]);
});

Deno.test("while completions are waited for, watches wait for the next round", () => {
  using loop = new EventLoop();
  using event = new EventDescriptor();
  using done = new EventDescriptor();
  let watched = 0;
  using _ = loop.watch(event.fd, () => watched += event.read());
  loop.endRound();
  let completed = false;
  const buffer = new Uint8Array(8);
  const address = BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(buffer)));
  const token = loop.register({ completed: () => completed = true });
  event.write();
  done.write();
  loop.ring.read(done.fd, Number(address), 8, 0, token);
  loop.waitForCompletions(() => completed);
  assert.equal(watched, 0, "not from within the wait");
  loop.unregister(token);
  turn(loop, () => watched > 0);
  assert.equal(watched, 1);
  assert.equal(buffer[0], 1);
});

Deno.test("a poll goes on though more signals come than the completion ring holds", () => {
  using loop = new EventLoop();
  using other = new EventDescriptor();
  let others = 0;
  using _other = loop.watch(other.fd, () => others++);
  const events = Array.from({ length: 300 }, () => new EventDescriptor());
  const calls = new Array<number>(events.length).fill(0);
  const watches = events.map((event, i) =>
    loop.watch(event.fd, () => {
      event.read();
      calls[i]++;
    })
  );
  loop.endRound();
  // Every write is a completion of its own; the ring has room for twice its 256 submissions.
  for (let round = 0; round < 8; round++) for (const event of events) event.write();
  turn(loop, () => calls.every((count) => count > 0));
  calls.fill(0);
  for (const event of events) event.write();
  other.write();
  turn(loop, () => calls.every((count) => count > 0) && others > 0);
  for (const watch of watches) watch[Symbol.dispose]();
  for (const event of events) event[Symbol.dispose]();
});

Deno.test("waiting ends when its time is over", () => {
  using loop = new EventLoop();
  const before = performance.now();
  loop.wait(20);
  assert.ok(performance.now() - before >= 15);
  assert.equal(loop.dispatch(), false);
});
