import assert from "node:assert/strict";
import { CmosRtc } from "../../src/legacy/cmos_rtc.ts";

const GIB = 2 ** 30;
const NOON = Date.UTC(2031, 11, 24, 18, 45, 59, 120);

/** A clock whose host time a test sets. */
class Setup {
  time = NOON;
  readonly clock: CmosRtc;

  constructor(memoryBelow4G = GIB, memoryAbove4G = 0) {
    this.clock = new CmosRtc({ memoryBelow4G, memoryAbove4G, now: () => this.time });
  }

  read(index: number): number {
    this.clock.writePort(0, 1, index);
    return this.clock.readPort(1, 1);
  }

  write(index: number, value: number): void {
    this.clock.writePort(0, 1, index);
    this.clock.writePort(1, 1, value);
  }

  number(index: number, width: number): number {
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.read(index + i);
    return value;
  }

  /** Century, year, month, day, weekday, hours, minutes, seconds. */
  fields(): number[] {
    return [0x32, 0x09, 0x08, 0x07, 0x06, 0x04, 0x02, 0x00].map((index) => this.read(index));
  }
}

Deno.test("clock: the host's UTC in BCD, 24 hours", () => {
  const s = new Setup();
  assert.deepEqual(s.fields(), [0x20, 0x31, 0x12, 0x24, 0x04, 0x18, 0x45, 0x59]);
  assert.equal(s.read(0x0b), 0x02);
  assert.equal(s.read(0x0d), 0x80, "the battery is good");
  assert.equal(s.read(0x0c), 0);
});

Deno.test("clock: binary numbers on request", () => {
  const s = new Setup();
  s.write(0x0b, 0x04);
  assert.equal(s.read(0x0b), 0x06, "always 24 hours");
  assert.deepEqual(s.fields(), [20, 31, 12, 24, 4, 18, 45, 59]);
});

Deno.test("clock: an update is announced before the second ends", () => {
  const s = new Setup();
  assert.equal(s.read(0x0a), 0x26);
  s.time = NOON - 120 + 999;
  assert.equal(s.read(0x0a), 0xa6);
  s.time = NOON - 120 + 1000;
  assert.equal(s.read(0x0a), 0x26);
  assert.equal(s.read(0x02), 0x46);
});

Deno.test("clock: a guest sets it and it runs on from there", () => {
  const s = new Setup();
  s.write(0x0b, 0x82);
  s.write(0x32, 0x19);
  s.write(0x09, 0x99);
  s.write(0x08, 0x12);
  s.write(0x07, 0x31);
  s.write(0x04, 0x23);
  s.write(0x02, 0x59);
  s.write(0x00, 0x58);
  s.time += 60_000;
  assert.equal(s.read(0x00), 0x58, "halted while it is set");
  s.write(0x0b, 0x02);
  s.time += 2000;
  assert.deepEqual(s.fields(), [0x20, 0x00, 0x01, 0x01, 0x07, 0x00, 0x00, 0x00]);
  s.write(0x02, 0x30);
  assert.deepEqual(s.fields(), [0x20, 0x00, 0x01, 0x01, 0x07, 0x00, 0x30, 0x00], "set while running");
});

Deno.test("clock: memory sizes, or the largest that fit", () => {
  const small = new Setup(64 * 2 ** 20);
  assert.equal(small.number(0x15, 2), 640);
  assert.equal(small.number(0x17, 2), 63 * 1024);
  assert.equal(small.number(0x30, 2), 63 * 1024);
  assert.equal(small.number(0x34, 2), 48 * 16);
  const large = new Setup(3 * GIB, 5 * GIB);
  assert.equal(large.number(0x17, 2), 0xffff);
  assert.equal(large.number(0x34, 2), 48 * 1024 - 256);
  assert.equal(large.number(0x5b, 3), 5 * 16384);
  assert.equal(new Setup(2 ** 19).number(0x17, 2), 0);
});

Deno.test("clock: the rest is memory; status C and D cannot be written; the index drops its top bit", () => {
  const s = new Setup();
  s.write(0x40, 0xab);
  assert.equal(s.read(0xc0), 0xab);
  s.write(0x0c, 0xff);
  s.write(0x0d, 0);
  assert.deepEqual([s.read(0x0c), s.read(0x0d)], [0, 0x80]);
  s.write(0x0a, 0xff);
  assert.equal(s.read(0x0a), 0x7f);
});

Deno.test("ROB-1: the clock survives any access, nonsense dates included", () => {
  const s = new Setup();
  let seed = 7;
  const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 8;
  for (let i = 0; i < 20_000; i++) {
    const width = ([1, 2, 4] as const)[random() % 3];
    if (random() % 2 === 0) s.clock.writePort(random() % 4, width, random());
    else {
      const value = s.clock.readPort(random() % 4, width);
      assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * width));
    }
  }
  s.write(0x0b, 0x02);
  for (const value of s.fields()) assert.ok(Number.isInteger(value));
});
