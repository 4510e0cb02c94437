/**
 * The command line's way to name a device: `SPEC,key=value,key2=value2`.
 *
 * ```text
 * specification = specifier *( "," key [ "=" value ] )
 * ```
 *
 * A comma that belongs to the specifier or a value is written twice (as QEMU does it), or the whole is put in double
 * quotes, in which a quote is written twice. A value may hold `=`. A key without a value stands for true.
 *
 * @module
 */

/** A device as it was asked for: which plugin, with which options, none of them validated. */
export interface DeviceSpecification {
  /** Name, path or URL of the plugin. */
  readonly specifier: string;
  /** Options as text; true for a key without a value. */
  readonly options: Readonly<Record<string, string | true>>;
}

/**
 * Takes `SPEC,key=value,…` apart.
 *
 * @throws {SyntaxError} There is no specifier, a key is empty or given twice, or a quote is not closed.
 *
 * @example
 * ```ts
 * import { parseSpecification } from "./specification.ts";
 * parseSpecification("./rng.ts,source=/dev/urandom,fast");
 * // { specifier: "./rng.ts", options: { source: "/dev/urandom", fast: true } }
 * ```
 */
export function parseSpecification(text: string): DeviceSpecification {
  const scanner = new Scanner(text);
  const specifier = scanner.takeValue();
  if (specifier === "") {
    throw scanner.fault("it must begin with a device: a built-in name, a path or a URL");
  }
  const options: Record<string, string | true> = Object.create(null);
  while (scanner.takeSeparator()) {
    const key = scanner.takeKey();
    if (key === "") throw scanner.fault('a key is missing; options are written key=value (a comma in a value: ",,")');
    if (key in options) throw scanner.fault(`the key "${key}" is given twice`);
    options[key] = scanner.takeEquals() ? scanner.takeValue() : true;
  }
  return { specifier, options };
}

/** Walks through one specification. */
class Scanner {
  #position = 0;

  constructor(readonly text: string) {}

  /** Takes a comma; false at the end of the text. */
  takeSeparator(): boolean {
    if (this.#position >= this.text.length) return false;
    if (this.text[this.#position] !== ",") throw this.fault("after a closing quote only a comma may follow");
    this.#position++;
    return true;
  }

  /** Takes an equals sign, if there is one. */
  takeEquals(): boolean {
    if (this.text[this.#position] !== "=") return false;
    this.#position++;
    return true;
  }

  /** Takes everything up to an equals sign, a comma or the end. */
  takeKey(): string {
    const start = this.#position;
    while (this.#position < this.text.length && !"=,".includes(this.text[this.#position])) this.#position++;
    return this.text.slice(start, this.#position).trim();
  }

  /** Takes a quoted value, or everything up to a single comma or the end. */
  takeValue(): string {
    if (this.text[this.#position] !== '"') return this.#takeUntil(",", false);
    this.#position++;
    return this.#takeUntil('"', true);
  }

  /** Takes everything before a single `end`; two of them stand for one. */
  #takeUntil(end: string, required: boolean): string {
    let value = "";
    for (; this.#position < this.text.length; this.#position++) {
      const character = this.text[this.#position];
      if (character === end) {
        if (this.text[this.#position + 1] !== end) {
          if (required) this.#position++;
          return value;
        }
        this.#position++;
      }
      value += character;
    }
    if (required) throw this.fault("a quote is not closed");
    return value;
  }

  fault(reason: string): SyntaxError {
    return new SyntaxError(
      `Cannot read the device ${JSON.stringify(this.text)} at character ${this.#position + 1}: ${reason}`,
    );
  }
}
