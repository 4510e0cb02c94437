import assert from "node:assert/strict";
import { UNCLAIMED } from "../../src/pci/bus.ts";
import type { BarRequest } from "../../src/pci/device.ts";
import * as registers from "../../src/pci/registers.ts";
import { IO, IOAPIC, MEMORY32, MEMORY64, NotingFunction, smallBus } from "./bus_support.ts";

const BAR0 = registers.BASE_ADDRESS_0;
const SIZE = 0x80000;
const bar32: BarRequest = { index: 0, kind: "memory32", size: SIZE };
const bar64: BarRequest = { index: 0, kind: "memory64", size: SIZE, prefetchable: true };

function enable(device: NotingFunction, command = registers.COMMAND_MEMORY_SPACE): void {
  device.writeConfiguration(registers.COMMAND, 2, command);
}

for (const probe of [0xffff_ffff, 0xffff_fff0]) {
  Deno.test(`BAR-1: sizes are probed by 0x${probe.toString(16)}, decoding on or off`, () => {
    for (const on of [false, true]) {
      const bus = smallBus();
      const device = new NotingFunction("a", [bar64, { index: 2, kind: "memory32", size: 0x1000 }, {
        index: 3,
        kind: "io",
        size: 0x20,
      }]);
      bus.add(device);
      if (on) enable(device, registers.COMMAND_MEMORY_SPACE | registers.COMMAND_IO_SPACE);
      const moves = device.moves.length;
      const sizes = [0, 1, 2, 3, 4, 5].map((index) => {
        const at = BAR0 + 4 * index;
        const before = device.readConfiguration(at, 4);
        device.writeConfiguration(at, 4, probe);
        const size = device.readConfiguration(at, 4);
        device.writeConfiguration(at, 4, before);
        assert.equal(device.readConfiguration(at, 4), before);
        return size;
      });
      // The high half of a 64-bit BAR has no flags: all it can do is to return what was written.
      assert.deepEqual(sizes, [0xfff8_000c, probe, 0xffff_f000, 0x0000_ffe1, 0, 0]);
      assert.equal(device.moves.length, moves, "probing moves nothing");
    }
  });
}

Deno.test("BAR-2: 32-bit below 4 GiB, 64-bit above at a stride of 8 MiB, all naturally aligned", () => {
  const bus = smallBus();
  const devices = [bar32, bar32, bar64, bar64].map((bar, i) => new NotingFunction(`d${i}`, [bar]));
  for (const device of devices) {
    bus.add(device);
    enable(device);
  }
  assert.deepEqual(devices.map((device) => device.barAddress(0)), [
    MEMORY32.address,
    MEMORY32.address + SIZE,
    MEMORY64.address,
    MEMORY64.address + (8 << 20),
  ]);
  assert.equal(devices[2].readConfiguration(BAR0, 4), 0x0000_000c, "64-bit, prefetchable");
  assert.equal(devices[2].readConfiguration(BAR0 + 4, 4), 0x40);
  assert.equal(devices[0].readConfiguration(BAR0, 4), MEMORY32.address);
});

Deno.test("BAR-3: nothing is decoded before Memory Space; a new address waits for it, several at once", () => {
  const bus = smallBus();
  const device = new NotingFunction("a", [bar32, { index: 1, kind: "memory32", size: 0x1000 }, {
    index: 2,
    kind: "memory64",
    size: 0x1000,
  }]);
  bus.add(device);
  assert.equal(bus.readMemory(MEMORY32.address, 4), UNCLAIMED);
  device.writeConfiguration(BAR0, 4, 0xd000_0000);
  device.writeConfiguration(BAR0 + 4, 4, 0xd100_0000);
  device.writeConfiguration(BAR0 + 8, 4, 0x1000_0000);
  device.writeConfiguration(BAR0 + 12, 4, 0x50);
  assert.deepEqual(device.moves, []);
  enable(device);
  assert.deepEqual(device.moves, [[0, 0xd000_0000], [1, 0xd100_0000], [2, 0x50_1000_0000]]);
  assert.equal(bus.readMemory(0xd000_0010, 4), 0x10);
  assert.equal(bus.readMemory(0xd100_0010, 4), 0x100_0010);
  assert.equal(bus.readMemory(0x50_1000_0010, 4), 0x200_0010);
  enable(device, 0);
  assert.equal(bus.readMemory(0xd000_0010, 4), UNCLAIMED, "Memory Space gates decoding");
});

Deno.test("BAR-4: a BAR moves while it is decoded; the old place is free for others", () => {
  const bus = smallBus();
  const [a, b] = ["a", "b"].map((id) => new NotingFunction(id, [bar32]));
  bus.add(a);
  enable(a);
  a.writeConfiguration(BAR0, 4, 0xd000_0000);
  assert.deepEqual(a.moves.at(-1), [0, 0xd000_0000]);
  assert.equal(bus.readMemory(MEMORY32.address, 4), UNCLAIMED);
  bus.add(b);
  enable(b);
  assert.equal(b.barAddress(0), MEMORY32.address);
  bus.writeMemory(0xd000_0008, 2, 0x1234);
  assert.deepEqual(a.writes, [[0, 8, 2, 0x1234]]);
  assert.deepEqual(b.writes, []);
});

Deno.test("BAR-4: the halves of a 64-bit address may come one by one while it is decoded", () => {
  const bus = smallBus();
  const device = new NotingFunction("a", [bar64]);
  bus.add(device);
  enable(device);
  // From 0x40_0000_0000 to 0xd000_0000: after the low half the address is 0x40_d000_0000.
  device.writeConfiguration(BAR0, 4, 0xd000_0000);
  device.writeConfiguration(BAR0 + 4, 4, 0);
  assert.equal(device.barAddress(0), 0xd000_0000);
  // Back, by way of 0x0000_0000, which is RAM: refused, but the move is not over.
  device.writeConfiguration(BAR0, 4, 0);
  assert.equal(device.barAddress(0), 0xd000_0000);
  device.writeConfiguration(BAR0 + 4, 4, 0x40);
  assert.equal(device.barAddress(0), 0x40_0000_0000);
});

Deno.test("BAR-4: when the device cannot follow, bus and register go back, and it is reported", () => {
  const bus = smallBus();
  const device = new NotingFunction("a", [bar32]);
  bus.add(device);
  enable(device);
  device.forbidden = 0xd000_0000;
  device.writeConfiguration(BAR0, 4, 0xd000_0000);
  assert.equal(device.readConfiguration(BAR0, 4), MEMORY32.address);
  assert.equal(device.barAddress(0), MEMORY32.address);
  assert.deepEqual(device.moves.at(-1), [0, MEMORY32.address], "told to go back");
  assert.equal(bus.readMemory(MEMORY32.address + 4, 4), 4);
  assert.equal(bus.readMemory(0xd000_0000, 4), UNCLAIMED);
  assert.equal(device.errors.length, 1);
  assert.match(device.errors[0].message, /function a: Cannot move BAR 0 to 0xd0000000/);
});

Deno.test("BAR-5: over RAM, an APIC, ECAM, another BAR, or outside the windows: refused, stays where it was", () => {
  const bus = smallBus();
  const [a, b] = ["a", "b"].map((id) => new NotingFunction(id, [bar32]));
  for (const device of [a, b]) {
    bus.add(device);
    enable(device);
  }
  const home = MEMORY32.address;
  for (const address of [0x8000_0000, IOAPIC.address, 0xe000_0000, b.barAddress(0) ?? 0, 0xf000_0000, 0]) {
    a.writeConfiguration(BAR0, 4, address);
    assert.equal(a.readConfiguration(BAR0, 4), home, `0x${address.toString(16)} shows in the register`);
    assert.equal(a.barAddress(0), home);
    assert.equal(bus.readMemory(home, 4), 0);
  }
  // The same when the address waited for Memory Space.
  enable(a, 0);
  a.writeConfiguration(BAR0, 4, 0x8000_0000);
  enable(a);
  assert.equal(a.readConfiguration(BAR0, 4), home);
  assert.equal(a.barAddress(0), home);
});

Deno.test("BAR-5: a refused move goes back to the last address, not to the first", () => {
  const bus = smallBus();
  const device = new NotingFunction("a", [bar32]);
  bus.add(device);
  enable(device);
  device.writeConfiguration(BAR0, 4, 0xd000_0000);
  device.writeConfiguration(BAR0, 4, 0x8000_0000);
  assert.equal(device.readConfiguration(BAR0, 4), 0xd000_0000);
  assert.equal(bus.readMemory(0xd000_0004, 4), 4);
});

Deno.test("BAR-3: two functions swap places while both are disabled", () => {
  const bus = smallBus();
  const [a, b] = ["a", "b"].map((id) => new NotingFunction(id, [bar32]));
  bus.add(a);
  bus.add(b);
  const [first, second] = [MEMORY32.address, MEMORY32.address + SIZE];
  a.writeConfiguration(BAR0, 4, second);
  b.writeConfiguration(BAR0, 4, first);
  enable(a);
  enable(b);
  assert.equal(a.barAddress(0), second);
  assert.equal(b.barAddress(0), first);
  const c = new NotingFunction("c", [bar32]);
  bus.add(c);
  enable(c);
  assert.equal(c.barAddress(0), MEMORY32.address + 2 * SIZE, "neither place is handed out again");
});

Deno.test("BAR-2: I/O BARs decode ports behind I/O Space", () => {
  const bus = smallBus();
  const device = new NotingFunction("a", [{ index: 4, kind: "io", size: 0x20 }]);
  bus.add(device);
  assert.equal(bus.readPort(IO.address, 1), UNCLAIMED);
  enable(device, registers.COMMAND_IO_SPACE);
  assert.equal(bus.readPort(IO.address + 3, 1), 3);
  assert.equal(bus.writePort(IO.address + 4, 2, 0xbeef), true);
  assert.deepEqual(device.writes, [[4, 4, 2, 0xbeef]]);
  assert.equal(bus.readPort(IO.address + 0x1f, 2), UNCLAIMED, "an access that leaves the BAR");
});

Deno.test("BAR-6: removal frees ranges and decoding; power-on reset restores the allocated addresses", () => {
  const bus = smallBus();
  const device = new NotingFunction("a", [bar32]);
  bus.add(device);
  enable(device);
  device.writeConfiguration(BAR0, 4, 0xd000_0000);
  device.reset();
  assert.equal(device.barAddress(0), undefined);
  assert.equal(device.readConfiguration(BAR0, 4), MEMORY32.address);
  enable(device);
  assert.equal(device.barAddress(0), MEMORY32.address);
  assert.equal(bus.remove(device), true);
  assert.equal(bus.remove(device), false);
  assert.equal(bus.readMemory(MEMORY32.address, 4), UNCLAIMED);
  const next = new NotingFunction("b", [bar32]);
  bus.add(next);
  enable(next);
  assert.equal(next.barAddress(0), MEMORY32.address);
});

Deno.test("BAR-2: impossible BARs are refused at once", () => {
  const make = (...bars: BarRequest[]): NotingFunction => new NotingFunction("a", bars);
  assert.throws(() => make({ index: 0, kind: "memory32", size: 3000 }), /BAR 0 with 3000 bytes/);
  assert.throws(() => make({ index: 0, kind: "memory32", size: 8 }), /power of two from 16/);
  assert.throws(() => make({ index: 5, kind: "memory64", size: 4096 }), /register 6 is none of 0-5/);
  assert.throws(() => make(bar64, { index: 1, kind: "io", size: 4 }), /register 1 is taken/);
});
