import assert from "node:assert/strict";
import { ConfigurationSpace } from "../../src/pci/configuration_space.ts";
import * as registers from "../../src/pci/registers.ts";

const identity = { vendorId: 0x1af4, deviceId: 0x1044, revision: 1, classCode: 0x018000 };

Deno.test("ID-3: a type 0 header of 64 bytes in 4096 bytes of configuration space", () => {
  const space = new ConfigurationSpace(identity);
  assert.equal(space.bytes.length, 4096);
  assert.equal(space.read(0x00, 4), 0x1044_1af4);
  assert.equal(space.read(0x08, 4), 0x01_80_00_01, "class, subclass, interface, revision");
  assert.equal(space.read(0x0e, 1), 0, "header type 0, one function");
  assert.equal(space.read(0x2c, 4), 0x1044_1af4, "the subsystem is vendor and device");
  assert.equal(space.read(0x3d, 1), 0, "no interrupt pin");
  assert.equal(space.read(0x06, 2) & registers.STATUS_CAPABILITIES_LIST, 0, "no capability, no bit");
  assert.equal(space.addCapability(0x09, new Uint8Array(14)), 0x40);
  assert.equal(space.read(0x06, 2) & registers.STATUS_CAPABILITIES_LIST, registers.STATUS_CAPABILITIES_LIST);
});

Deno.test("BUS-3: of Command only its bits are writable; identity is not", () => {
  const space = new ConfigurationSpace(identity);
  space.write(registers.COMMAND, 2, 0xffff);
  assert.equal(space.read(registers.COMMAND, 2), 0x0547);
  space.write(0x00, 4, 0);
  space.write(0x08, 4, 0);
  space.write(0x2c, 4, 0);
  assert.equal(space.read(0x00, 4), 0x1044_1af4);
  assert.equal(space.read(0x08, 4), 0x0180_0001);
  assert.equal(space.read(0x2c, 4), 0x1044_1af4);
  space.write(registers.INTERRUPT_LINE, 2, 0x0b0b);
  assert.equal(space.read(registers.INTERRUPT_LINE, 2), 0x000b, "the line is scratch, the pin is not");
});

Deno.test("BUS-3: the error bits of Status are cleared by writing 1, the rest is read-only", () => {
  const space = new ConfigurationSpace(identity);
  space.addCapability(0x09, new Uint8Array(14));
  space.set(registers.STATUS, 2, 0xf910);
  space.write(registers.STATUS, 2, 0x8110);
  assert.equal(space.read(registers.STATUS, 2), 0x7810);
  space.write(registers.STATUS + 1, 1, 0xff);
  assert.equal(space.read(registers.STATUS, 2), 0x0010);
});

Deno.test("CAP-1: capabilities are aligned to dwords, linked in order, the last pointer is 0", () => {
  const space = new ConfigurationSpace(identity);
  const offsets = [1, 2, 3, 14, 18].map((length) => space.addCapability(0x09, new Uint8Array(length).fill(0xee)));
  assert.deepEqual(offsets, [0x40, 0x44, 0x48, 0x50, 0x60]);
  const walked: number[] = [];
  for (let at = space.read(0x34, 1); at !== 0; at = space.read(at + 1, 1)) walked.push(at);
  assert.deepEqual(walked, offsets);
  assert.equal(space.read(0x42, 1), 0xee);
});

Deno.test("CAP-1: a capability that does not fit below 256 is refused with the numbers", () => {
  const space = new ConfigurationSpace(identity);
  for (let i = 0; i < 12; i++) space.addCapability(0x09, new Uint8Array(14));
  assert.throws(() => space.addCapability(0x11, new Uint8Array(1)), /capability 0x11 of 3 bytes at 0x100/);
});

Deno.test("BUS-1: accesses of every width at every offset agree, and end at 4096", () => {
  const space = new ConfigurationSpace(identity);
  space.bytes.forEach((_, i) => space.bytes[i] = (i * 37 + 11) & 0xff);
  for (const offset of [0, 1, 2, 3, 0x3d, 0xfd, 0xfff - 3]) {
    const bytes = [0, 1, 2, 3].map((i) => space.read(offset + i, 1));
    assert.equal(space.read(offset, 2), bytes[0] | bytes[1] << 8);
    assert.equal(space.read(offset, 4), (bytes[0] | bytes[1] << 8 | bytes[2] << 16 | bytes[3] << 24) >>> 0);
  }
  assert.equal(space.read(4095, 4) >>> 8, 0xffffff, "what is not there reads all ones");
  space.writable.fill(0xff);
  space.write(4094, 4, 0x44332211);
  assert.equal(space.read(4094, 2), 0x2211);
});
