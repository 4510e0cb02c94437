import assert from "node:assert/strict";
import { Msix, msixCapability, NO_VECTOR } from "../../src/pci/msix.ts";
import * as registers from "../../src/pci/registers.ts";
import { RecorderInterruptController, type RecorderInterruptVectors } from "../support/recorders.ts";

interface Fixture {
  readonly msix: Msix;
  readonly vectors: RecorderInterruptVectors;
  readonly errors: Error[];
}

function fixture(count = 3): Fixture {
  const errors: Error[] = [];
  const msix = new Msix(count, (error) => void errors.push(error));
  const vectors = new RecorderInterruptController().allocate("test", 8, count);
  msix.connect(vectors);
  return { msix, vectors, errors };
}

function program(msix: Msix, vector: number, data: number, control = 0): void {
  const at = registers.MSIX_ENTRY_SIZE * vector;
  msix.writeTable(at, 4, 0xfee0_1000);
  msix.writeTable(at + 4, 4, 0);
  msix.writeTable(at + 8, 4, data);
  msix.writeTable(at + 12, 4, control);
}

Deno.test("MSI-1: all entries are masked at power-on", () => {
  const { msix } = fixture();
  for (let vector = 0; vector < 3; vector++) {
    assert.deepEqual([0, 4, 8, 12].map((field) => msix.readTable(16 * vector + field, 4)), [0, 0, 0, 1]);
  }
  assert.equal(msix.enabled, false);
});

Deno.test("MSI-1: other widths, misaligned offsets and indices out of range read 0 and write nothing", () => {
  const { msix } = fixture();
  program(msix, 0, 0x41);
  const before = [...msix.table];
  msix.writeTable(8, 1, 0xff);
  msix.writeTable(8, 2, 0xffff);
  msix.writeTable(6, 4, 0xffff_ffff);
  msix.writeTable(48, 4, 0xffff_ffff);
  msix.writeTable(0x3_fff0, 4, 0xffff_ffff);
  assert.deepEqual([...msix.table], before);
  assert.equal(msix.readTable(8, 1), 0);
  assert.equal(msix.readTable(8, 2), 0);
  assert.equal(msix.readTable(6, 4), 0);
  assert.equal(msix.readTable(48, 4), 0, "CVE-2020-13754: an access beyond the table");
  assert.equal(msix.readTable(8, 4), 0x41);
  assert.equal(msix.readPending(8, 4), 0);
});

Deno.test("MSI-1: reserved bits of an entry stay 0", () => {
  const { msix } = fixture();
  msix.writeTable(0, 4, 0xfee0_1003);
  msix.writeTable(12, 4, 0xffff_ffff);
  assert.equal(msix.readTable(0, 4), 0xfee0_1000);
  assert.equal(msix.readTable(12, 4), 1);
});

Deno.test("MSI-2: enabled and unmasked is delivered; disabled and NO_VECTOR are not, and are not pending", () => {
  const { msix, vectors } = fixture();
  program(msix, 1, 0x41);
  assert.equal(msix.trigger(1), false, "MSI-X is off");
  msix.setControl(registers.MSIX_ENABLE);
  assert.equal(msix.trigger(1), true);
  assert.equal(msix.trigger(NO_VECTOR), false);
  assert.equal(msix.trigger(3), false);
  assert.deepEqual(vectors.order, [1]);
  assert.deepEqual([...msix.pending], [0, 0]);
});

Deno.test("MSI-2: a mask of either kind makes the interrupt pending", () => {
  const { msix, vectors } = fixture();
  program(msix, 0, 0x40);
  program(msix, 2, 0x42, 1);
  msix.setControl(registers.MSIX_ENABLE);
  msix.trigger(2);
  assert.equal(msix.readPending(0, 4), 0b100);
  msix.setControl(registers.MSIX_ENABLE | registers.MSIX_FUNCTION_MASK);
  msix.trigger(0);
  assert.equal(msix.readPending(0, 4), 0b101);
  assert.equal(vectors.total, 0);
});

Deno.test("MSI-3: unmasking delivers what is pending, once, and clears it", () => {
  const { msix, vectors } = fixture();
  program(msix, 0, 0x40);
  program(msix, 1, 0x41, 1);
  msix.setControl(registers.MSIX_ENABLE);
  msix.trigger(1);
  msix.trigger(1);
  msix.writeTable(16 + 12, 4, 0);
  assert.deepEqual(vectors.order, [1]);
  assert.equal(msix.readPending(0, 4), 0);
  msix.writeTable(16 + 12, 4, 1);
  msix.writeTable(16 + 12, 4, 0);
  assert.deepEqual(vectors.order, [1], "nothing is delivered twice");
  msix.setControl(registers.MSIX_ENABLE | registers.MSIX_FUNCTION_MASK);
  msix.trigger(0);
  msix.setControl(registers.MSIX_ENABLE);
  assert.deepEqual(vectors.order, [1, 0]);
  assert.equal(msix.readPending(0, 4), 0);
});

Deno.test("MSI-5: attached exactly while enabled and unmasked, with address and data", () => {
  const { msix, vectors } = fixture();
  program(msix, 0, 0x40);
  program(msix, 1, 0x41, 1);
  assert.deepEqual(vectors.routes, [undefined, undefined, undefined]);
  msix.setControl(registers.MSIX_ENABLE);
  const route = { addressLow: 0xfee0_1000, addressHigh: 0, data: 0x40 };
  assert.deepEqual(vectors.routes, [route, undefined, undefined]);
  msix.writeTable(16 + 12, 4, 0);
  assert.deepEqual(vectors.routes[1], { ...route, data: 0x41 });
  msix.setControl(registers.MSIX_ENABLE | registers.MSIX_FUNCTION_MASK);
  assert.deepEqual(vectors.routes, [undefined, undefined, undefined]);
  msix.setControl(registers.MSIX_ENABLE);
  assert.deepEqual(vectors.routes[0], route);
  msix.setControl(0);
  assert.deepEqual(vectors.routes, [undefined, undefined, undefined]);
});

Deno.test("MSI-6: rewriting an unmasked entry re-routes it; the same values do nothing", () => {
  const { msix, vectors } = fixture();
  program(msix, 0, 0x40);
  msix.setControl(registers.MSIX_ENABLE);
  const { attachments } = vectors;
  program(msix, 0, 0x40);
  assert.equal(vectors.attachments, attachments);
  msix.writeTable(8, 4, 0x50);
  assert.equal(vectors.routes[0]?.data, 0x50);
  msix.writeTable(4, 4, 1);
  assert.equal(vectors.routes[0]?.addressHigh, 1);
  assert.equal(vectors.attachments, attachments + 2);
});

Deno.test("MSI-7: a vector's notifier can be had; one that does not exist cannot", () => {
  const { msix } = fixture();
  assert.equal(msix.notifier(2), 1002);
  assert.equal(msix.notifier(3), undefined);
  assert.equal(msix.notifier(NO_VECTOR), undefined);
});

Deno.test("MSI-5: a controller that fails is reported and does not throw at the guest", () => {
  const { msix, vectors, errors } = fixture();
  vectors.attachError = new Error("no GSI left");
  program(msix, 1, 0x41);
  msix.setControl(registers.MSIX_ENABLE);
  assert.equal(msix.trigger(1), false);
  assert.equal(errors.length, 1);
  assert.match(errors[0].message, /attach MSI-X vector 1/);
  assert.equal(errors[0].cause, vectors.attachError);
});

Deno.test("MSI-1: reset masks, clears and detaches everything; disposing frees all vectors", () => {
  const { msix, vectors } = fixture();
  program(msix, 0, 0x40);
  program(msix, 1, 0x41, 1);
  msix.setControl(registers.MSIX_ENABLE);
  msix.trigger(1);
  msix.reset();
  assert.deepEqual(vectors.routes, [undefined, undefined, undefined]);
  assert.deepEqual([...msix.pending], [0, 0]);
  assert.equal(msix.readTable(12, 4), 1);
  assert.equal(msix.readTable(0, 4), 0);
  msix[Symbol.dispose]();
  assert.equal(vectors.disposed, true);
});

Deno.test("CAP-7: the capability encodes N-1, BIR and offsets", () => {
  const body = new DataView(
    msixCapability({ vectors: 5, tableBar: 0, tableOffset: 0x8000, pbaBar: 2, pbaOffset: 0x48000 }).buffer,
  );
  assert.deepEqual([body.getUint16(0, true), body.getUint32(2, true), body.getUint32(6, true)], [4, 0x8000, 0x48002]);
  assert.throws(() => new Msix(2049, () => {}), /2049 vectors: expected 1-2048/);
});
