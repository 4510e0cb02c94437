/**
 * Real-time clock and CMOS memory of a PC: Motorola MC146818 at ports 0x70 (index) and 0x71 (data).
 *
 * The clock follows the host's, in UTC. A guest that sets it gets its own offset. Alarms and periodic interrupts do not
 * exist.
 *
 * @module
 */
import { BytePortDevice, OPEN_BUS } from "./port_device.ts";

/** First port. */
export const CMOS_PORT = 0x70;
/** How many ports it decodes. */
export const CMOS_PORT_COUNT = 2;

/** Indices of the registers: MC146818 data sheet, and IBM's layout for the memory behind them. */
const Register = {
  seconds: 0x00,
  minutes: 0x02,
  hours: 0x04,
  weekday: 0x06,
  day: 0x07,
  month: 0x08,
  year: 0x09,
  statusA: 0x0a,
  statusB: 0x0b,
  statusC: 0x0c,
  statusD: 0x0d,
  /** Conventional memory in KiB, two bytes. */
  baseMemory: 0x15,
  /** Memory above 1 MiB in KiB, two bytes, and a second copy. */
  extendedMemory: 0x17,
  extendedMemoryCopy: 0x30,
  century: 0x32,
  /** Memory above 16 MiB in units of 64 KiB, two bytes. */
  memoryAbove16M: 0x34,
  /** Memory above 4 GiB in units of 64 KiB, three bytes. */
  memoryAbove4G: 0x5b,
} as const;

const TIME_REGISTERS: readonly number[] = [
  Register.seconds,
  Register.minutes,
  Register.hours,
  Register.weekday,
  Register.day,
  Register.month,
  Register.year,
  Register.century,
];

/** Bit 7 of the index port gates the non-maskable interrupt. */
const INDEX_MASK = 0x7f;
const CMOS_SIZE = 0x80;

/** Status A: update in progress; else the divider of a 32 kHz crystal and a rate of 1024 Hz. */
const STATUS_A_UPDATING = 0x80;
const STATUS_A_DEFAULT = 0x26;
/** Status B: clock halted to be set; numbers are binary, not BCD; 24 hours a day. */
const STATUS_B_SET = 0x80;
const STATUS_B_BINARY = 0x04;
const STATUS_B_24_HOURS = 0x02;
/** Status D: the battery is good. */
const STATUS_D_VALID = 0x80;

const MILLISECONDS = 1000;
/**
 * For so many milliseconds before a new second an update is said to be in progress. The chip promises 0.244 ms to read
 * all registers after it was seen not to be; exits are slower than ports, so we promise more.
 */
const UPDATE_WINDOW = 2;

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const UNIT_64K = 64 * KIB;
const BASE_MEMORY_KIB = 640;

/** What the clock needs to know. */
export interface CmosOptions {
  /** Bytes of RAM below 4 GiB. */
  readonly memoryBelow4G: number;
  /** Bytes of RAM from 4 GiB on. */
  readonly memoryAbove4G: number;
  /** The time in milliseconds since 1970; default: the host's. */
  now?(): number;
}

/** Real-time clock and CMOS memory. */
export class CmosRtc extends BytePortDevice {
  readonly #bytes = new Uint8Array(CMOS_SIZE);
  readonly #now: () => number;
  #index = 0;
  /** What the guest's clock is ahead of ours, in milliseconds. */
  #offset = 0;

  /** @param options Memory sizes to report, and the clock to follow. */
  constructor(options: CmosOptions) {
    super();
    this.#now = options.now ?? Date.now;
    this.#bytes[Register.statusA] = STATUS_A_DEFAULT;
    this.#bytes[Register.statusB] = STATUS_B_24_HOURS;
    this.#bytes[Register.statusD] = STATUS_D_VALID;
    const { memoryBelow4G: below, memoryAbove4G: above } = options;
    const extended = Math.max(0, below - MIB) / KIB;
    this.#store(Register.baseMemory, 2, BASE_MEMORY_KIB);
    this.#store(Register.extendedMemory, 2, extended);
    this.#store(Register.extendedMemoryCopy, 2, extended);
    this.#store(Register.memoryAbove16M, 2, Math.max(0, below - 16 * MIB) / UNIT_64K);
    this.#store(Register.memoryAbove4G, 3, above / UNIT_64K);
  }

  protected readByte(offset: number): number {
    // The index port cannot be read on a PC.
    if (offset !== 1) return OPEN_BUS;
    if (this.#index === Register.statusA) return this.#readStatusA();
    if (TIME_REGISTERS.includes(this.#index) && !this.#isHalted) this.#latchTime();
    return this.#bytes[this.#index];
  }

  protected writeByte(offset: number, value: number): void {
    if (offset === 0) this.#index = value & INDEX_MASK;
    else if (offset === 1) this.#writeRegister(this.#index, value);
  }

  get #isHalted(): boolean {
    return (this.#bytes[Register.statusB] & STATUS_B_SET) !== 0;
  }

  get #isBinary(): boolean {
    return (this.#bytes[Register.statusB] & STATUS_B_BINARY) !== 0;
  }

  #readStatusA(): number {
    const intoSecond = modulo(this.#now() + this.#offset, MILLISECONDS);
    const isUpdating = !this.#isHalted && intoSecond >= MILLISECONDS - UPDATE_WINDOW;
    return this.#bytes[Register.statusA] | (isUpdating ? STATUS_A_UPDATING : 0);
  }

  #writeRegister(index: number, value: number): void {
    switch (index) {
      case Register.statusA:
        this.#bytes[index] = value & ~STATUS_A_UPDATING;
        return;
      case Register.statusB:
        this.#writeStatusB(value);
        return;
      case Register.statusC:
      case Register.statusD:
        return;
    }
    const isTime = TIME_REGISTERS.includes(index);
    if (isTime && !this.#isHalted) this.#latchTime();
    this.#bytes[index] = value;
    if (isTime && !this.#isHalted) this.#setTime();
  }

  /** While the clock is halted the registers hold what was written; it goes on from there. */
  #writeStatusB(value: number): void {
    const wasHalted = this.#isHalted;
    if (!wasHalted) this.#latchTime();
    // Set before the mode changes: the registers were written in the old one, unless both come in one write.
    this.#bytes[Register.statusB] = value | STATUS_B_24_HOURS;
    if (wasHalted && !this.#isHalted) this.#setTime();
  }

  /** Puts the time of now into the registers. */
  #latchTime(): void {
    const date = new Date(this.#now() + this.#offset);
    const year = date.getUTCFullYear();
    this.#put(Register.seconds, date.getUTCSeconds());
    this.#put(Register.minutes, date.getUTCMinutes());
    this.#put(Register.hours, date.getUTCHours());
    this.#put(Register.weekday, date.getUTCDay() + 1);
    this.#put(Register.day, date.getUTCDate());
    this.#put(Register.month, date.getUTCMonth() + 1);
    this.#put(Register.year, year % 100);
    this.#put(Register.century, Math.floor(year / 100) % 100);
  }

  /** Takes the registers for the time of now. A date that does not exist leaves the clock as it is. */
  #setTime(): void {
    const year = this.#get(Register.century) * 100 + this.#get(Register.year);
    const time = Date.UTC(
      year,
      this.#get(Register.month) - 1,
      this.#get(Register.day),
      this.#get(Register.hours),
      this.#get(Register.minutes),
      this.#get(Register.seconds),
    );
    if (!Number.isNaN(time)) this.#offset = time - Math.floor(this.#now() / MILLISECONDS) * MILLISECONDS;
  }

  #put(register: number, value: number): void {
    this.#bytes[register] = this.#isBinary ? value : Math.floor(value / 10) * 16 + value % 10;
  }

  #get(register: number): number {
    const value = this.#bytes[register];
    return this.#isBinary ? value : (value >> 4) * 10 + (value & 0x0f);
  }

  /** Stores a little-endian number, or the largest that fits. */
  #store(register: number, width: number, value: number): void {
    let rest = Math.min(Math.floor(value), 2 ** (8 * width) - 1);
    for (let i = 0; i < width; i++, rest = Math.floor(rest / 256)) this.#bytes[register + i] = rest % 256;
  }
}

function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}
