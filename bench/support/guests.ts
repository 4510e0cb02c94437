/**
 * The guests that are measured, for our machine and for its C twin alike: the same bytes run under both.
 *
 * @module
 */
import { Assembler, type GuestProgram, Register } from "./assembler.ts";

/** Where a guest is loaded: nothing else lives at 1 MiB and above. */
const BASE = 0x10_0000;
/** Where it collects samples: 32-bit differences of the time stamp counter. */
const SAMPLES = 0x20_0000;
/** Top of its stack. */
const STACK = 0x1f_0000;
/** The flat code segment that a PVH guest begins with, and that the C twins set up alike. */
const CODE_SELECTOR = 0x08;
const BYTES_PER_SAMPLE = 4;
/** Bytes that an interrupt pushes below the return address. */
const SELECTOR_AND_FLAGS = 8;

/** Takes characters: the machine's debug port, and where the C twins collect samples. */
export const DEBUG_PORT = 0xe9;
/** Ends the run. */
export const EXIT_PORT = 0xf4;

/** Words by which guest and host talk while interrupts are measured. */
export const Word = {
  /** The host writes the number of the doorbell that it has handled. */
  handled: 0x30_0000,
  /** The guest counts the interrupts that it has taken. */
  interrupts: 0x30_0040,
} as const;
/** Vector of the interrupt that is measured. */
export const INTERRUPT_VECTOR = 0x40;

/** Registers of the local APIC (Intel SDM volume 3, 12.4). */
const LocalApic = { endOfInterrupt: 0xfee0_00b0, spuriousVector: 0xfee0_00f0 } as const;
/** The local APIC is on, spurious interrupts go to vector 0xff. */
const SPURIOUS_ENABLE = 0x1ff;

/** What leaves the guest. */
export type ExitKind = "nothing" | "port-write" | "port-read" | "memory-write" | "memory-read";

/** One exit, over and over. */
export interface ExitLoop {
  /** What is done. */
  readonly kind: ExitKind;
  /** Port or guest-physical address. */
  readonly place: number;
  /** Exits that are made before the first one is measured. */
  readonly warmUp: number;
  /** Exits that are measured. */
  readonly samples: number;
}

/** A guest that times every single exit and tells all times on the debug port. */
export function exitGuest({ kind, place, warmUp, samples }: ExitLoop): GuestProgram {
  const code = new Assembler(BASE);
  const entry = code.here;
  for (const count of [warmUp, samples]) {
    timedLoop(code, count, () => {
      if (kind === "memory-write") code.store(place);
      else if (kind === "memory-read") code.load(place);
      else if (kind !== "nothing") {
        code.moveValue(Register.edx, place);
        if (kind === "port-write") code.outByte();
        else code.inByte();
      }
    });
  }
  tell(code, samples);
  return code.finish(entry);
}

/** Doorbells, one after the other has been handled. */
export interface DoorbellLoop {
  /** Guest-physical address of the doorbell. */
  readonly doorbell: number;
  /** Doorbells that are rung before the first one is measured. */
  readonly warmUp: number;
  /** Doorbells that are measured. */
  readonly samples: number;
  /** Ticks of the time stamp counter between two of them, so that the other side falls asleep. */
  readonly pause: number;
}

/** A guest that rings a doorbell and looks at a word until the handler has changed it. */
export function doorbellGuest({ doorbell, warmUp, samples, pause }: DoorbellLoop): GuestProgram {
  const code = new Assembler(BASE);
  const entry = code.here;
  // ebp: number of the doorbell that is being rung, counting down to 1.
  code.moveValue(Register.ebp, warmUp + samples);
  for (const count of [warmUp, samples]) {
    timedLoop(code, count, () => {
      code.store(doorbell);
      const poll = code.here;
      code.compare(Register.ebp, Word.handled);
      code.jumpIfNotZero(poll);
    }, () => {
      code.decrement(Register.ebp);
      if (pause > 0) wait(code, pause);
    });
  }
  tell(code, samples);
  return code.finish(entry);
}

/** A guest that halts, counts interrupts in a word, and ends itself after `count`. */
export function interruptGuest(count: number): GuestProgram {
  const code = new Assembler(BASE);
  const handler = code.here;
  code.increment(Word.interrupts);
  code.storeValue(LocalApic.endOfInterrupt, 0);
  // Instead of iret, which KVM does not emulate in 32-bit mode where it emulates everything: back to the same segment, and the
  // only flag that matters, carry, is as it was. No interrupt comes between the two instructions.
  code.enableInterrupts();
  code.returnAndDrop(SELECTOR_AND_FLAGS);
  const table = code.interruptTable(INTERRUPT_VECTOR, handler, CODE_SELECTOR);
  const entry = code.here;
  code.moveValue(Register.esp, STACK);
  code.loadInterruptTable(table);
  code.storeValue(LocalApic.spuriousVector, SPURIOUS_ENABLE);
  code.enableInterrupts();
  const loop = code.here;
  code.halt();
  code.load(Word.interrupts);
  code.compareValue(count);
  code.jumpIfBelow(loop);
  end(code);
  return code.finish(entry);
}

/** A guest whose first instructions print one line feed on the debug port, and that then halts for ever. */
export function helloGuest(): GuestProgram {
  const LINE_FEED = 0x0a;
  const code = new Assembler(BASE);
  const entry = code.here;
  code.moveValue(Register.edx, DEBUG_PORT);
  code.moveValue(Register.eax, LINE_FEED);
  code.outByte();
  const loop = code.here;
  code.halt();
  // What is in eax is not 0: round and round.
  code.compareValue(0);
  code.jumpIfNotZero(loop);
  return code.finish(entry);
}

/** `count` times: clock, `measured`, clock, difference to the table at edi; then `between`. Uses eax, ebx, ecx, edx, edi. */
function timedLoop(code: Assembler, count: number, measured: () => void, between: () => void = () => {}): void {
  code.moveValue(Register.ecx, count);
  // Warming up writes the same table, which is then written anew.
  code.moveValue(Register.edi, SAMPLES);
  const loop = code.here;
  code.readTimeStamp();
  code.move(Register.ebx, Register.eax);
  measured();
  code.readTimeStamp();
  code.subtract(Register.eax, Register.ebx);
  code.storeString();
  between();
  code.decrement(Register.ecx);
  code.jumpIfNotZero(loop);
}

/** Looks at the clock until `ticks` have gone by. Uses eax, ebx, edx. */
function wait(code: Assembler, ticks: number): void {
  code.readTimeStamp();
  code.move(Register.ebx, Register.eax);
  const loop = code.here;
  code.readTimeStamp();
  code.subtract(Register.eax, Register.ebx);
  code.compareValue(ticks);
  code.jumpIfBelow(loop);
}

/** Tells all samples and ends. */
function tell(code: Assembler, samples: number): void {
  code.moveValue(Register.ecx, samples * BYTES_PER_SAMPLE);
  code.moveValue(Register.esi, SAMPLES);
  code.moveValue(Register.edx, DEBUG_PORT);
  code.outBytes();
  end(code);
}

function end(code: Assembler): void {
  code.moveValue(Register.edx, EXIT_PORT);
  code.moveValue(Register.eax, 0);
  code.outByte();
}

/** Samples as a guest has told them, in ticks. */
export function samplesOf(bytes: Uint8Array): Uint32Array<ArrayBuffer> {
  const copy = bytes.slice();
  return new Uint32Array(copy.buffer, 0, copy.length / BYTES_PER_SAMPLE);
}

/** Fields of a 32-bit ELF file (System V ABI, chapter 4 and 5) and of Xen's note that names the PVH entry point. */
const Elf = {
  magic: 0x464c_457f,
  headerSize: 52,
  segmentHeaderSize: 32,
  executable: 2,
  i386: 3,
  version: 1,
  load: 1,
  note: 4,
  readWriteExecute: 7,
  read: 4,
} as const;
const CLASS_32_LITTLE_ENDIAN = 0x0001_0101;
const NOTE_OWNER = 0x006e_6558;
const NOTE_OWNER_SIZE = 4;
const NOTE_PHYS32_ENTRY = 18;
const NOTE_SIZE = 20;

/** A guest as an ELF file with a PVH entry point, which is what a machine is launched with. */
export function elfOf({ bytes, base, entry }: GuestProgram): Uint8Array<ArrayBuffer> {
  const noteAt = Elf.headerSize + 2 * Elf.segmentHeaderSize;
  const codeAt = noteAt + NOTE_SIZE;
  const file = new Uint8Array(codeAt + bytes.length);
  const view = new DataView(file.buffer);
  const words = (at: number, values: readonly number[]) =>
    values.forEach((value, index) => view.setUint32(at + index * Uint32Array.BYTES_PER_ELEMENT, value, true));
  const pair = (low: number, high: number) => (high << 16 | low) >>> 0;
  words(0, [
    Elf.magic,
    CLASS_32_LITTLE_ENDIAN,
    0,
    0,
    pair(Elf.executable, Elf.i386),
    Elf.version,
    entry,
    Elf.headerSize,
    0,
    0,
    pair(Elf.headerSize, Elf.segmentHeaderSize),
    pair(2, 0),
    0,
  ]);
  const alignment = 4;
  words(Elf.headerSize, [Elf.load, codeAt, base, base, bytes.length, bytes.length, Elf.readWriteExecute, alignment]);
  const noteHeader = [Elf.note, noteAt, 0, 0, NOTE_SIZE, NOTE_SIZE, Elf.read, alignment];
  words(Elf.headerSize + Elf.segmentHeaderSize, noteHeader);
  words(noteAt, [NOTE_OWNER_SIZE, NOTE_OWNER_SIZE, NOTE_PHYS32_ENTRY, NOTE_OWNER, entry]);
  file.set(bytes, codeAt);
  return file;
}
