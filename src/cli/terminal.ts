/**
 * Connects the terminal of this process (or whatever its standard streams are) with a character stream of a guest.
 *
 * @module
 */
import type { VirtualMachine } from "../machine/virtual_machine.ts";

/** Ctrl-a: begins an escape; typed twice it sends itself. */
const ESCAPE = 0x01;
const END_KEY = "x".charCodeAt(0);
const INPUT_BYTES = 4096;

/** What the terminal tells people when it is attached. */
export const ATTACH_NOTICE = "Ctrl-a x ends the machine, Ctrl-a Ctrl-a sends Ctrl-a";

/** How the bytes of a pipe or file go through a guest's console, which has an end of input only by convention. */
export interface InputEncoding {
  /** Encodes a piece. */
  encode(data: Uint8Array): Uint8Array;
  /** What tells the end. */
  end(): Uint8Array;
}

/** Standard input in raw mode, sent to a guest. Disposing restores the terminal. */
export class Terminal implements Disposable {
  readonly #vm: VirtualMachine;
  readonly #stream: string;
  readonly #encoding: InputEncoding | undefined;
  readonly #interactive = Deno.stdin.isTerminal();
  readonly #onResize = () => this.#resize();
  #escaped = false;
  #over = false;

  /**
   * @param vm The machine.
   * @param stream Its stream that gets the input.
   * @param encoding How input is sent that does not come from a person at a terminal; as it is by default.
   */
  constructor(vm: VirtualMachine, stream: string, encoding?: InputEncoding) {
    this.#vm = vm;
    this.#stream = stream;
    this.#encoding = encoding;
    if (this.#interactive) {
      Deno.stdin.setRaw(true);
      Deno.addSignalListener("SIGWINCH", this.#onResize);
      this.#resize();
    }
  }

  /** Sends input until it ends, the machine ends, or the escape is typed. */
  async pump(): Promise<void> {
    const buffer = new Uint8Array(INPUT_BYTES);
    while (!this.#over) {
      const count = await Deno.stdin.read(buffer);
      if (this.#over) return;
      if (count === null) {
        if (!this.#interactive && this.#encoding !== undefined) await this.#vm.send(this.#stream, this.#encoding.end());
        return;
      }
      const data = this.#interactive
        ? this.#takeEscapes(buffer.subarray(0, count))
        : this.#encode(buffer.slice(0, count));
      if (data === undefined) {
        await this.#vm.stop();
        return;
      }
      await this.#vm.send(this.#stream, data);
    }
  }

  /** Restores the terminal. */
  [Symbol.dispose](): void {
    if (this.#over) return;
    this.#over = true;
    if (!this.#interactive) return;
    Deno.removeSignalListener("SIGWINCH", this.#onResize);
    Deno.stdin.setRaw(false);
  }

  /** Undefined when the escape that ends the machine was typed. */
  #takeEscapes(typed: Uint8Array): Uint8Array | undefined {
    const sent: number[] = [];
    for (const key of typed) {
      if (!this.#escaped && key === ESCAPE) {
        this.#escaped = true;
        continue;
      }
      if (this.#escaped && key === END_KEY) return undefined;
      this.#escaped = false;
      sent.push(key);
    }
    return Uint8Array.from(sent);
  }

  #encode(data: Uint8Array): Uint8Array {
    return this.#encoding === undefined ? data : this.#encoding.encode(data);
  }

  #resize(): void {
    const { columns, rows } = Deno.consoleSize();
    this.#vm.resize(this.#stream, columns, rows);
  }
}

/** Writes all of it, however slowly the receiver reads. */
export async function writeAll(to: { write(data: Uint8Array): Promise<number> }, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length;) at += await to.write(data.subarray(at));
}
