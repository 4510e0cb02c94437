/**
 * A very small assembler for 32-bit flat protected mode: just the instructions that the measured guests are made of. Encodings are
 * those of the Intel SDM, volume 2.
 *
 * @module
 */

/** The general registers with their number in an instruction. */
export const Register = { eax: 0, ecx: 1, edx: 2, ebx: 3, esp: 4, ebp: 5, esi: 6, edi: 7 } as const;

/** Number of a general register, of {@linkcode Register}. */
export type RegisterNumber = typeof Register[keyof typeof Register];

/** A finished guest: bytes, where they belong, and where to begin. */
export interface GuestProgram {
  /** Code and data. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Guest-physical address of the first byte. */
  readonly base: number;
  /** Guest-physical address of the first instruction. */
  readonly entry: number;
}

/** Bytes of a relative 32-bit jump that stands behind two opcode bytes. */
const CONDITIONAL_JUMP_LENGTH = 6;
/** ModRM byte: operand at a 32-bit address. */
const MODRM_ABSOLUTE = 0x05;
/** ModRM byte: two registers. */
const MODRM_REGISTERS = 0xc0;
/** Position of the register field in a ModRM byte. */
const MODRM_REGISTER_SHIFT = 3;
/** An interrupt gate of the descriptor table: present, 32 bits. */
const INTERRUPT_GATE = 0x8e00;
const GATE_LENGTH = 8;

/** Assembles one guest. Every method appends one instruction, named as in the SDM. */
export class Assembler {
  readonly #base: number;
  readonly #bytes: number[] = [];

  /** @param base Guest-physical address of the first byte. */
  constructor(base: number) {
    this.#base = base;
  }

  /** Address of what is appended next. */
  get here(): number {
    return this.#base + this.#bytes.length;
  }

  /** Ends the program. */
  finish(entry: number): GuestProgram {
    return { bytes: new Uint8Array(this.#bytes), base: this.#base, entry };
  }

  /** `mov register, value` */
  moveValue(register: RegisterNumber, value: number): void {
    this.#emit(0xb8 + register);
    this.#emit32(value);
  }

  /** `mov to, from` */
  move(to: RegisterNumber, from: RegisterNumber): void {
    this.#emit(0x89, MODRM_REGISTERS | from << MODRM_REGISTER_SHIFT | to);
  }

  /** `mov eax, [address]` */
  load(address: number): void {
    this.#emit(0xa1);
    this.#emit32(address);
  }

  /** `mov [address], eax` */
  store(address: number): void {
    this.#emit(0xa3);
    this.#emit32(address);
  }

  /** `mov dword [address], value` */
  storeValue(address: number, value: number): void {
    this.#emit(0xc7, MODRM_ABSOLUTE);
    this.#emit32(address);
    this.#emit32(value);
  }

  /** `stosd`: `mov [edi], eax` and `add edi, 4` */
  storeString(): void {
    this.#emit(0xab);
  }

  /** `inc dword [address]` */
  increment(address: number): void {
    this.#emit(0xff, MODRM_ABSOLUTE);
    this.#emit32(address);
  }

  /** `sub to, value of from` */
  subtract(to: RegisterNumber, from: RegisterNumber): void {
    this.#emit(0x29, MODRM_REGISTERS | from << MODRM_REGISTER_SHIFT | to);
  }

  /** `cmp register, [address]` */
  compare(register: RegisterNumber, address: number): void {
    this.#emit(0x3b, MODRM_ABSOLUTE | register << MODRM_REGISTER_SHIFT);
    this.#emit32(address);
  }

  /** `cmp eax, value` */
  compareValue(value: number): void {
    this.#emit(0x3d);
    this.#emit32(value);
  }

  /** `dec register` */
  decrement(register: RegisterNumber): void {
    this.#emit(0x48 + register);
  }

  /** `jnz target` (and `jne`) */
  jumpIfNotZero(target: number): void {
    const from = this.here + CONDITIONAL_JUMP_LENGTH;
    this.#emit(0x0f, 0x85);
    this.#emit32(target - from);
  }

  /** `jb target`: below, as unsigned numbers */
  jumpIfBelow(target: number): void {
    const from = this.here + CONDITIONAL_JUMP_LENGTH;
    this.#emit(0x0f, 0x82);
    this.#emit32(target - from);
  }

  /** `in al, dx` */
  inByte(): void {
    this.#emit(0xec);
  }

  /** `out dx, al` */
  outByte(): void {
    this.#emit(0xee);
  }

  /** `rep outsb`: `ecx` bytes at `esi` to the port in `dx` */
  outBytes(): void {
    this.#emit(0xf3, 0x6e);
  }

  /** `rdtsc` */
  readTimeStamp(): void {
    this.#emit(0x0f, 0x31);
  }

  /** `lidt [address]` */
  loadInterruptTable(address: number): void {
    this.#emit(0x0f, 0x01, 0x1d);
    this.#emit32(address);
  }

  /** `sti` */
  enableInterrupts(): void {
    this.#emit(0xfb);
  }

  /** `hlt` */
  halt(): void {
    this.#emit(0xf4);
  }

  /** `ret count`: returns and drops `count` bytes of the stack */
  returnAndDrop(count: number): void {
    this.#emit(0xc2);
    this.#emit16(count);
  }

  /**
   * Data: an interrupt table with one handler, and what `lidt` wants to be told of it.
   *
   * @returns Address of the latter.
   */
  interruptTable(vector: number, handler: number, codeSelector: number): number {
    const table = this.here;
    for (let i = 0; i < vector * GATE_LENGTH; i++) this.#emit(0);
    this.#emit16(handler & 0xffff);
    this.#emit16(codeSelector);
    this.#emit16(INTERRUPT_GATE);
    this.#emit16(handler >>> 16);
    const pointer = this.here;
    this.#emit16(pointer - table - 1);
    this.#emit32(table);
    return pointer;
  }

  #emit(...bytes: number[]): void {
    this.#bytes.push(...bytes);
  }

  #emit16(value: number): void {
    this.#emit(value & 0xff, value >>> 8 & 0xff);
  }

  #emit32(value: number): void {
    this.#emit16(value);
    this.#emit16(value >>> 16);
  }
}
