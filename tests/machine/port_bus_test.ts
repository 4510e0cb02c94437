import assert from "node:assert/strict";
import type { PortDevice } from "../../src/legacy/port_device.ts";
import { PortClaim } from "../../src/machine/mailbox.ts";
import { PortBus } from "../../src/machine/port_bus.ts";

class RecordingPorts implements PortDevice {
  readonly accesses: string[] = [];

  readPort(offset: number, width: number): number {
    this.accesses.push(`read ${offset}/${width}`);
    return 0x50 + offset;
  }

  writePort(offset: number, width: number, value: number): void {
    this.accesses.push(`write ${offset}/${width} ${value}`);
  }
}

Deno.test("accesses reach the device that claimed the port, by offset", () => {
  const claimed = new Uint8Array(65536);
  const ports = new PortBus(claimed);
  const [low, high] = [new RecordingPorts(), new RecordingPorts()];
  ports.claim("low", 0x70, 2, low);
  ports.claim("high", 0xffff, 1, high);
  assert.equal(ports.read(0x71, 1), 0x51);
  assert.equal(ports.write(0x70, 2, 0xabcd), true);
  assert.equal(ports.read(0xffff, 4), 0x50);
  assert.deepEqual(low.accesses, ["read 1/1", `write 0/2 ${0xabcd}`]);
  assert.deepEqual(high.accesses, ["read 0/4"]);
  assert.deepEqual([0x6f, 0x70, 0x71, 0x72, 0xffff].map((port) => ports.nameAt(port)), [
    undefined,
    "low",
    "low",
    undefined,
    "high",
  ]);
});

Deno.test("where nobody is, reads give nothing and writes go nowhere", () => {
  const ports = new PortBus(new Uint8Array(65536));
  assert.equal(ports.read(0x80, 1), undefined);
  assert.equal(ports.write(0x80, 1, 0), false);
});

Deno.test("a port has one owner", () => {
  const ports = new PortBus(new Uint8Array(65536));
  ports.claim("first", 0x60, 4, new RecordingPorts());
  assert.throws(() => ports.claim("second", 0x5f, 3, new RecordingPorts()), {
    message: "Cannot give port 0x60 to second: first has it",
  });
});

Deno.test("the byte of each port tells vCPU isolates who answers", () => {
  const claimed = new Uint8Array(65536);
  const ports = new PortBus(claimed);
  ports.claim("device", 0x10, 2, new RecordingPorts());
  ports.share(0x3f8, 8);
  ports.forward(0xcf8, 8, true);
  const owners = (first: number, count: number) => [...claimed.subarray(first, first + count)];
  assert.deepEqual(owners(0x0f, 4), [PortClaim.none, PortClaim.machine, PortClaim.machine, PortClaim.none]);
  assert.deepEqual(owners(0x3f7, 10), [0, ...Array(8).fill(PortClaim.shared), 0]);
  assert.deepEqual(owners(0xcf8, 8), Array(8).fill(PortClaim.machine));
  ports.forward(0x0f, 4, true);
  ports.forward(0x0f, 4, false);
  assert.deepEqual(owners(0x0f, 4), [PortClaim.none, PortClaim.machine, PortClaim.machine, PortClaim.none]);
});
