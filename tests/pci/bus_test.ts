import assert from "node:assert/strict";
import { PciBus, UNCLAIMED } from "../../src/pci/bus.ts";
import type { AccessWidth, PciSlot } from "../../src/pci/device.ts";
import { HOST_BRIDGE_SLOT, HostBridge } from "../../src/pci/host_bridge.ts";
import { PciFunction } from "../../src/pci/pci_function.ts";
import * as registers from "../../src/pci/registers.ts";
import { RecorderInterruptController } from "../support/recorders.ts";
import { MEMORY32, NotingFunction, RAM, smallBus } from "./bus_support.ts";

const enabled = (device: number, register: number, bus = 0, fn = 0): number =>
  (registers.CONFIG_ADDRESS_ENABLE | bus << 16 | device << 11 | fn << 8 | register) >>> 0;

Deno.test("BUS-1: CF8/CFC and ECAM see the same bytes at every width and offset", () => {
  const bus = smallBus();
  bus.add(new HostBridge(), HOST_BRIDGE_SLOT);
  const device = new NotingFunction("a", [{ index: 0, kind: "memory32", size: 4096 }]);
  bus.add(device, 3);
  for (let register = 0; register < 256; register += 4) {
    bus.writePort(registers.CONFIG_ADDRESS_PORT, 4, enabled(3, register));
    for (const [at, width] of [[0, 1], [1, 1], [2, 1], [3, 1], [0, 2], [1, 2], [2, 2], [0, 4]] as const) {
      const through = bus.readPort(registers.CONFIG_DATA_PORT + at, width);
      assert.equal(
        through,
        bus.readEcam((3 << 15) + register + at, width),
        `register ${register + at}, ${width} bytes`,
      );
      assert.equal(through, device.readConfiguration(register + at, width));
    }
  }
  bus.writePort(registers.CONFIG_ADDRESS_PORT, 4, enabled(3, 0x3c));
  bus.writePort(registers.CONFIG_DATA_PORT, 1, 0x0b);
  assert.equal(bus.readEcam((3 << 15) + 0x3c, 1), 0x0b);
  bus.writeEcam((3 << 15) + 0x04, 2, 0x0006);
  bus.writePort(registers.CONFIG_ADDRESS_PORT, 4, enabled(3, 0x04));
  assert.equal(bus.readPort(registers.CONFIG_DATA_PORT, 2), 0x0006);
});

Deno.test("BUS-1: CONFIG_ADDRESS reads back, takes 4-byte writes only, and has to be enabled", () => {
  const bus = smallBus();
  bus.add(new HostBridge(), 0);
  bus.writePort(registers.CONFIG_ADDRESS_PORT, 4, 0xffff_ffff);
  assert.equal(bus.readPort(registers.CONFIG_ADDRESS_PORT, 4), 0x80ff_fffc);
  assert.equal(bus.writePort(registers.CONFIG_ADDRESS_PORT, 1, 0), false, "byte writes there are other ports");
  assert.equal(bus.writePort(0xcf9, 1, 6), false, "the reset port is not ours");
  assert.equal(bus.readPort(registers.CONFIG_ADDRESS_PORT, 4), 0x80ff_fffc);
  bus.writePort(registers.CONFIG_ADDRESS_PORT, 4, 0);
  assert.equal(bus.readPort(registers.CONFIG_DATA_PORT, 4), UNCLAIMED);
  assert.equal(bus.writePort(registers.CONFIG_DATA_PORT, 4, 0), false);
});

Deno.test("BUS-1: absent functions read all ones at every width and take writes", () => {
  const bus = smallBus();
  bus.add(new HostBridge(), 0);
  for (const [device, number, fn] of [[0, 1, 0], [1, 0, 0], [0, 0, 1], [5, 0, 0]]) {
    bus.writePort(registers.CONFIG_ADDRESS_PORT, 4, enabled(device, 0, number, fn));
    assert.equal(bus.readPort(registers.CONFIG_DATA_PORT, 4), 0xffff_ffff);
    assert.equal(bus.readPort(registers.CONFIG_DATA_PORT + 2, 2), 0xffff);
    assert.equal(bus.readPort(registers.CONFIG_DATA_PORT + 3, 1), 0xff);
    bus.writePort(registers.CONFIG_DATA_PORT, 4, 0);
    const ecam = number * registers.ECAM_BUS_SIZE + (device << 15) + (fn << 12);
    assert.equal(bus.readEcam(ecam, 4), 0xffff_ffff);
    assert.equal(bus.readEcam(ecam + 1, 1), 0xff);
    bus.writeEcam(ecam, 4, 0);
  }
  assert.equal(bus.readEcam(-4, 4), 0xffff_ffff);
  assert.equal(bus.readEcam(NaN, 2), 0xffff);
});

Deno.test("BUS-1: an access that leaves CONFIG_DATA has only its first bytes there", () => {
  const bus = smallBus();
  bus.add(new HostBridge(), 0);
  bus.writePort(registers.CONFIG_ADDRESS_PORT, 4, enabled(0, 0x3c));
  bus.writePort(registers.CONFIG_DATA_PORT, 1, 0x42);
  bus.writePort(registers.CONFIG_ADDRESS_PORT, 4, enabled(0, 0));
  assert.equal(bus.readPort(registers.CONFIG_DATA_PORT + 2, 4), 0xffff_0008);
  bus.writePort(registers.CONFIG_DATA_PORT + 3, 4, 0);
  assert.equal(bus.readEcam(0x3c, 1), 0x42);
});

Deno.test("BUS-2: the host bridge at 00:00.0 and 31 more slots", () => {
  const bus = smallBus();
  assert.equal(bus.add(new HostBridge(), HOST_BRIDGE_SLOT), 0);
  assert.equal(bus.readEcam(0x08, 4) >>> 8, 0x060000);
  for (let slot = 1; slot < 32; slot++) assert.equal(bus.add(new NotingFunction(`d${slot}`, [])), slot);
  assert.throws(() => bus.add(new NotingFunction("late", [])), /late.*all 32 slots are taken/);
});

Deno.test("BUS-2: a fixed slot is given on request; a taken or impossible one is refused by name", () => {
  const bus = smallBus();
  const first = new NotingFunction("first", []);
  assert.equal(bus.add(first, 7), 7);
  assert.throws(() => bus.add(new NotingFunction("second", []), 7), /second.*slot 7: first is there/);
  assert.throws(() => bus.add(new NotingFunction("second", []), 32), /slot 32: expected 0-31/);
  assert.throws(() => bus.add(first, 8), /already/);
  assert.equal(bus.add(new NotingFunction("third", [])), 0, "the lowest free slot");
  assert.equal(bus.device(7), first);
});

Deno.test("BUS-2: a function that does not fit leaves nothing behind", () => {
  const bus = new PciBus({ windows: { memory32: { address: 0xd000_0000, length: 0x3000 } } });
  const big = new NotingFunction("big", [
    { index: 0, kind: "memory32", size: 0x1000 },
    { index: 1, kind: "memory32", size: 0x4000 },
  ]);
  assert.throws(() => bus.add(big), /BAR 1 of big \(memory32, 16384 bytes\): 0xd0000000-0xd0002fff is full/);
  assert.throws(
    () => bus.add(new NotingFunction("io", [{ index: 0, kind: "io", size: 16 }])),
    /the bus has no window for it/,
  );
  const small = new NotingFunction("small", [{ index: 0, kind: "memory64", size: 0x1000 }]);
  assert.equal(bus.add(small), 0);
  small.writeConfiguration(registers.COMMAND, 2, registers.COMMAND_MEMORY_SPACE);
  assert.equal(small.barAddress(0), 0xd000_0000, "what big held was freed; 64-bit BARs fall back below 4 GiB");
});

Deno.test("BAR-5: a reserved range inside a window is neither allocated nor decoded", () => {
  const bus = new PciBus({
    windows: { memory32: { address: 0xb000_0000, length: 0x5000_0000 } },
    reserved: [RAM, { address: 0xc000_1000, length: 0x10 }],
  });
  const devices = ["a", "b"].map((id) => new NotingFunction(id, [{ index: 0, kind: "memory32", size: 0x1000 }]));
  for (const device of devices) {
    bus.add(device);
    device.writeConfiguration(registers.COMMAND, 2, registers.COMMAND_MEMORY_SPACE);
  }
  assert.deepEqual(devices.map((device) => device.barAddress(0)), [0xc000_0000, 0xc000_2000]);
  for (const address of [0xc000_1000, 0xb000_0000]) {
    devices[0].writeConfiguration(registers.BASE_ADDRESS_0, 4, address);
    assert.equal(devices[0].barAddress(0), 0xc000_0000);
  }
});

Deno.test("BAR-4: a function may ask for the address that it has", () => {
  const slots: PciSlot[] = [];
  class Direct extends PciFunction {
    override attached(slot: PciSlot): void {
      super.attached(slot);
      slots.push(slot);
    }
  }
  const bus = smallBus();
  bus.add(
    new Direct({
      id: "direct",
      identity: { vendorId: 1, deviceId: 2, classCode: 0xff0000 },
      bars: [{ index: 0, kind: "memory32", size: 0x1000 }],
    }),
  );
  const [slot] = slots;
  assert.equal(slot.decode(0, 0xd000_0000), true);
  assert.equal(slot.decode(0, 0xd000_0000), true);
  assert.equal(slot.decode(0, 0xd000_0800), false, "not aligned");
  assert.equal(slot.decode(1, 0xd100_0000), false, "no such BAR");
  assert.equal(bus.readMemory(0xd000_0000, 4), 0);
});

Deno.test("BUS-3: Bus Master is told to the function when it changes", () => {
  const bus = smallBus();
  const device = new NotingFunction("a", []);
  bus.add(device);
  for (const command of [4, 6, 2, 0x404]) bus.writeEcam(registers.COMMAND, 2, command);
  assert.deepEqual(device.busMasterChanges, [true, false, true]);
  assert.equal(bus.readEcam(registers.COMMAND, 2), 0x404, "Interrupt Disable is writable");
});

Deno.test("BUS-3: unclaimed accesses are told from claimed ones", () => {
  const bus = smallBus();
  assert.equal(bus.readMemory(MEMORY32.address, 4), UNCLAIMED);
  assert.equal(bus.writeMemory(MEMORY32.address, 4, 1), false);
  assert.equal(bus.readPort(0x3f8, 1), UNCLAIMED);
  assert.equal(bus.writePort(0x3f8, 1, 1), false);
});

Deno.test("MSI-4, MSI-5: a function gets vectors for its requester id, from the bus if it brings no controller", () => {
  const interrupts = new RecorderInterruptController();
  const options = {
    id: "msi",
    identity: { vendorId: 1, deviceId: 2, classCode: 0xff0000 },
    bars: [{ index: 1, kind: "memory32", size: 0x1000 }],
    msix: { vectors: 2, tableBar: 1, tableOffset: 0, pbaBar: 1, pbaOffset: 0x800 },
  } as const;
  assert.throws(() => smallBus().add(new PciFunction(options)), /msi: it uses MSI-X, but neither/);
  const bus = new PciBus({ windows: { memory32: MEMORY32 }, interrupts });
  const device = new PciFunction(options);
  bus.add(device, 5);
  const vectors = interrupts.of("msi");
  assert.deepEqual([vectors.deviceId, vectors.count], [5 << 3, 2]);
  const write = (offset: number, width: AccessWidth, value: number): void => {
    bus.writeMemory(MEMORY32.address + offset, width, value);
  };
  bus.writeEcam((5 << 15) + registers.COMMAND, 2, 6);
  write(0x1c, 4, 0);
  write(0x18, 4, 0x77);
  // Message Control: table size is read-only, enable is not.
  bus.writeEcam((5 << 15) + 0x42, 2, 0xffff & ~registers.MSIX_FUNCTION_MASK);
  assert.equal(bus.readEcam((5 << 15) + 0x42, 2), registers.MSIX_ENABLE | 1);
  assert.equal(vectors.routes[1]?.data, 0x77);
  device.msix?.trigger(0);
  assert.equal(bus.readMemory(MEMORY32.address + 0x800, 4), 1);
  write(0x800, 4, 0);
  assert.equal(bus.readMemory(MEMORY32.address + 0x800, 4), 1, "MSI-4: the pending bits are read-only");
  bus.reset();
  assert.equal(bus.readEcam((5 << 15) + 0x42, 2), 1);
  assert.deepEqual(vectors.routes, [undefined, undefined]);
});
