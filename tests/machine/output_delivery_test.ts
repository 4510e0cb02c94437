import assert from "node:assert/strict";
import { OutputDelivery } from "../../src/machine/output_delivery.ts";

function setUp() {
  const failures: unknown[] = [];
  const order: string[] = [];
  const delivery = new OutputDelivery((cause) => failures.push(cause));
  const add = (stream: string, name: string, deliver: () => unknown = () => {}) =>
    delivery.add({
      stream,
      deliver: () => {
        order.push(`+${name}`);
        return deliver() as void;
      },
      consumed: () => void order.push(`-${name}`),
    });
  return { delivery, failures, order, add };
}

Deno.test("a fast receiver gets each piece at once", async () => {
  const { delivery, order, add } = setUp();
  add("a", "1");
  add("a", "2", () => 7);
  add("b", "3");
  assert.deepEqual(order, ["+1", "-1", "+2", "-2", "+3", "-3"]);
  assert.ok(delivery.isIdle);
  await delivery.idle();
});

Deno.test("a slow receiver gets the pieces of a stream one after the other; other streams do not wait", async () => {
  const { delivery, order, add } = setUp();
  const gate = Promise.withResolvers<void>();
  add("a", "1", () => gate.promise);
  add("a", "2");
  add("a", "3", () => Promise.resolve());
  add("b", "4");
  assert.deepEqual(order, ["+1", "+4", "-4"]);
  assert.equal(delivery.isIdle, false);
  const idle = delivery.idle();
  gate.resolve();
  await idle;
  assert.deepEqual(order, ["+1", "+4", "-4", "-1", "+2", "-2", "+3", "-3"]);
  assert.ok(delivery.isIdle);
});

Deno.test("a receiver that fails is told once and gets nothing more, and everything counts as consumed", async () => {
  for (const how of ["thrown", "rejected"]) {
    const { delivery, order, failures, add } = setUp();
    const oops = new Error("oops");
    add("a", "1", () => {
      if (how === "thrown") throw oops;
      return Promise.reject(oops);
    });
    add("a", "2");
    await delivery.idle();
    add("b", "3");
    assert.deepEqual(failures, [oops], how);
    assert.deepEqual(order, ["+1", "-1", "-2", "-3"], how);
  }
});

Deno.test("after its end nothing is delivered, and everything counts as consumed", async () => {
  const { delivery, order, add } = setUp();
  const gate = Promise.withResolvers<void>();
  add("a", "1", () => gate.promise);
  add("a", "2");
  delivery.close();
  add("b", "3");
  gate.resolve();
  await delivery.idle();
  assert.deepEqual(order, ["+1", "-3", "-1", "-2"]);
});
