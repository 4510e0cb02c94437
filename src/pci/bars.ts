/**
 * Base Address Registers: sizing, moves, and rollback of moves that the bus refuses.
 *
 * A register holds what the guest wrote, cut to the size's alignment; that alone answers the sizing probes (PCI 3.0, section 6.2.5.1). Apart
 * from it stands where the BAR is decoded. The two meet in {@linkcode BaseAddressRegisters.update}, which runs after
 * every write to a BAR or to Command.
 *
 * @module
 */
import type { ConfigurationSpace } from "./configuration_space.ts";
import type { BarRequest, PciSlot } from "./device.ts";
import * as registers from "./registers.ts";

const TWO_TO_32 = 2 ** 32;

/** One BAR: what was asked for and where it is. Plain data. */
export interface BarState {
  /** The declaration. */
  readonly request: BarRequest;
  /** Where it is decoded now; undefined while its address space is disabled or its move was refused. */
  decoded: number | undefined;
  /** The last address that the bus granted: what a refused move goes back to. */
  granted: number | undefined;
}

/**
 * Is told where a BAR is decoded from now on (`undefined`: nowhere). Throwing refuses the move, which is then rolled back; the
 * listener is called again with the old address.
 */
export type BarListener = (index: number, address: number | undefined) => void;

/** Checks a function's declarations. */
function validate(requests: readonly BarRequest[]): void {
  const taken = new Set<number>();
  for (const request of requests) {
    const { index, kind, size } = request;
    const minimum = kind === "io" ? registers.BAR_MINIMUM_IO : registers.BAR_MINIMUM_MEMORY;
    const maximum = kind === "io" ? 0x1_0000 : kind === "memory32" ? 2 ** 31 : 2 ** 48;
    const indices = kind === "memory64" ? [index, index + 1] : [index];
    if (!(size >= minimum && size <= maximum && Number.isInteger(Math.log2(size)))) {
      throw new RangeError(
        `Cannot declare BAR ${index} with ${size} bytes: expected a power of two from ${minimum} to ${maximum} for ${kind}`,
      );
    }
    for (const each of indices) {
      if (!Number.isInteger(each) || each < 0 || each >= registers.BAR_COUNT || taken.has(each)) {
        throw new RangeError(
          `Cannot declare BAR ${index} (${kind}): register ${each} is ${
            taken.has(each) ? "taken by another BAR" : "none of 0-5"
          }`
            + `; a memory64 BAR takes two registers`,
        );
      }
      taken.add(each);
    }
  }
}

/** The Base Address Registers of one function. */
export class BaseAddressRegisters {
  /** One entry per declared BAR. */
  readonly states: readonly BarState[];
  readonly #space: ConfigurationSpace;
  readonly #listener: BarListener;
  readonly #reportError: (error: Error) => void;
  #slot: PciSlot | undefined;

  /**
   * @param space Where the registers are.
   * @param requests The declared BARs.
   * @param listener Is told about moves.
   * @param reportError Is told why a move failed that the bus had granted.
   * @throws {RangeError} A declaration is not possible.
   */
  constructor(
    space: ConfigurationSpace,
    requests: readonly BarRequest[],
    listener: BarListener,
    reportError: (error: Error) => void,
  ) {
    validate(requests);
    this.#space = space;
    this.#listener = listener;
    this.#reportError = reportError;
    this.states = requests.map((request) => ({ request, decoded: undefined, granted: undefined }));
    for (const { request } of this.states) {
      const at = registers.BASE_ADDRESS_0 + 4 * request.index;
      space.set(at, 4, barFlags(request));
      space.allowWrites(at, 4, lowMask(request));
      if (request.kind === "memory64") space.allowWrites(at + 4, 4, highMask(request));
    }
  }

  /** Takes over the addresses that the bus allocated. Nothing is decoded before the guest enables the address space. */
  attach(slot: PciSlot): void {
    this.#slot = slot;
    this.reset();
  }

  /** Power-on state: nothing decoded, the registers hold the allocated addresses. Command must read 0. */
  reset(): void {
    this.update();
    for (const mapping of this.#slot?.allocated ?? []) {
      const state = this.states.find(({ request }) => request.index === mapping.index);
      if (state === undefined) continue;
      state.granted = mapping.address;
      this.#setRegister(state.request, mapping.address);
    }
  }

  /** The state of the BAR with an index. */
  state(index: number): BarState | undefined {
    return this.states.find(({ request }) => request.index === index);
  }

  /** Whether a configuration write touches any BAR register. */
  touches(offset: number, width: number): boolean {
    return offset < registers.BASE_ADDRESS_0 + 4 * registers.BAR_COUNT && offset + width > registers.BASE_ADDRESS_0;
  }

  /**
   * Brings decoding in line with the registers and Command.
   *
   * @param written Offset of the register that the guest wrote, when that was a BAR.
   */
  update(written?: number): void {
    const command = this.#space.command;
    for (const state of this.states) {
      const enable = state.request.kind === "io" ? registers.COMMAND_IO_SPACE : registers.COMMAND_MEMORY_SPACE;
      if ((command & enable) === 0) {
        if (state.decoded !== undefined) this.#decode(state, undefined);
        continue;
      }
      const wanted = this.#register(state.request);
      // The halves of a 64-bit address come one by one. After the low one the address may be anything: it has no say yet.
      const halfway = state.request.kind === "memory64" && written !== undefined
        && Math.trunc((written - registers.BASE_ADDRESS_0) / 4) === state.request.index;
      if (wanted === state.decoded || this.#isProbe(state.request, halfway)) continue;
      if (!this.#decode(state, wanted) && !halfway) this.#rollBack(state);
    }
  }

  /** Moves decoding; on refusal by the bus or by the listener everything is as before. */
  #decode(state: BarState, address: number | undefined): boolean {
    const slot = this.#slot;
    if (slot === undefined) return false;
    const { index } = state.request;
    const old = state.decoded;
    if (!slot.decode(index, address)) return false;
    state.decoded = address;
    if (!this.#tell(index, address)) {
      // The listener could not follow (no descriptor left, say). The guest sees that its write had no effect.
      slot.decode(index, old);
      state.decoded = old;
      this.#tell(index, old);
      return false;
    }
    if (address !== undefined) state.granted = address;
    return true;
  }

  #tell(index: number, address: number | undefined): boolean {
    try {
      this.#listener(index, address);
      return true;
    } catch (cause) {
      const where = address === undefined ? "off" : `to 0x${address.toString(16)}`;
      this.#reportError(new Error(`Cannot move BAR ${index} ${where}: it goes back to where it was`, { cause }));
      return false;
    }
  }

  /** A refused move: the register shows the last granted address again, and that is decoded if it can be. */
  #rollBack(state: BarState): void {
    if (state.granted === undefined) return;
    this.#setRegister(state.request, state.granted);
    if (state.decoded === undefined) this.#decode(state, state.granted);
  }

  /**
   * Whether the register holds a sizing pattern, all address bits set, rather than an address. No BAR is ever moved there. Probes of the high half
   * show as addresses of 2^53 and more. The low half of a complete 64-bit address may well be all ones, so that only counts while the
   * high half is yet to come.
   */
  #isProbe(request: BarRequest, halfway: boolean): boolean {
    const low = lowMask(request);
    const lowProbe = low !== 0
      && (this.#space.read(registers.BASE_ADDRESS_0 + 4 * request.index, 4) & low) >>> 0 === low;
    if (request.kind !== "memory64") return lowProbe;
    return lowProbe && halfway || !Number.isSafeInteger(this.#register(request));
  }

  #register(request: BarRequest): number {
    const at = registers.BASE_ADDRESS_0 + 4 * request.index;
    const low = (this.#space.read(at, 4) & lowMask(request)) >>> 0;
    return request.kind === "memory64" ? this.#space.read(at + 4, 4) * TWO_TO_32 + low : low;
  }

  #setRegister(request: BarRequest, address: number): void {
    const at = registers.BASE_ADDRESS_0 + 4 * request.index;
    this.#space.set(at, 4, address % TWO_TO_32 | barFlags(request));
    if (request.kind === "memory64") this.#space.set(at + 4, 4, Math.floor(address / TWO_TO_32));
  }
}

/** The read-only low bits of a BAR. */
function barFlags(request: BarRequest): number {
  if (request.kind === "io") return registers.BAR_IO;
  const type = request.kind === "memory64" ? registers.BAR_MEMORY_64 : 0;
  return type | (request.prefetchable === true ? registers.BAR_PREFETCHABLE : 0);
}

/** The writable bits of the low register. I/O BARs decode 16 bits. */
function lowMask(request: BarRequest): number {
  if (request.size >= TWO_TO_32) return 0;
  return (request.kind === "io" ? ~(request.size - 1) & 0xfffc : ~(request.size - 1)) >>> 0;
}

/** The writable bits of the high register of a 64-bit BAR. */
function highMask(request: BarRequest): number {
  return request.size <= TWO_TO_32 ? 0xffff_ffff : ~(request.size / TWO_TO_32 - 1) >>> 0;
}
