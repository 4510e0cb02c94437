/**
 * The fields of one line of the embedded guest's report.
 *
 * @module
 */
import type { FunctionAddress } from "./report.ts";

/** The fields of one line, read from left to right; every reader throws a plain message. */
export class Fields {
  readonly #fields: readonly string[];
  #next = 1;

  /** @param fields The line, split at its tabs; the first is the kind. */
  constructor(fields: readonly string[]) {
    this.#fields = fields;
  }

  /** The next field. */
  text(what: string): string {
    const field = this.#fields[this.#next++];
    if (field === undefined) throw new SyntaxError(`the field "${what}" is missing`);
    return field;
  }

  /** The next field where there is one and it is not `-`. */
  optional(): string | undefined {
    const field = this.#fields[this.#next++];
    return field === "-" ? undefined : field;
  }

  /** A number: decimal, or hexadecimal after 0x. */
  big(what: string): bigint {
    const field = this.text(what);
    if (!/^(\d+|0x[0-9a-f]+)$/.test(field)) throw new SyntaxError(`${what} is "${field}", not a number`);
    return BigInt(field);
  }

  /** A number below 2^53. */
  number(what: string): number {
    const value = this.big(what);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new SyntaxError(`${what} is ${value}, more than 2^53`);
    return Number(value);
  }

  /** A number in hexadecimal without 0x. */
  hexadecimal(what: string): number {
    return parseHexadecimal(this.text(what), what);
  }

  /** One of a few words. */
  oneOf<const Choice extends string>(what: string, choices: readonly Choice[]): Choice {
    const field = this.text(what);
    const found = choices.find((choice) => choice === field);
    if (found === undefined) throw new SyntaxError(`${what} is "${field}", expected ${choices.join(" or ")}`);
    return found;
  }

  /** Where a function is. */
  function(): FunctionAddress {
    const field = this.text("function");
    if (!FUNCTION_PATTERN.test(field)) throw new SyntaxError(`"${field}" is not bus:device.function`);
    return field;
  }

  /** Where a function is, or undefined for the machine as a whole. */
  functionOrNone(): FunctionAddress | undefined {
    return this.#fields[this.#next] === "-" ? this.optional() : this.function();
  }

  /** `k=v` pairs, or `-` for none. */
  pairs(what: string): Map<string, string> {
    const field = this.text(what);
    const pairs = new Map<string, string>();
    if (field === "-") return pairs;
    for (const pair of field.split(" ")) {
      const at = pair.indexOf("=");
      if (at < 1) throw new SyntaxError(`"${pair}" in ${what} is not name=value`);
      pairs.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return pairs;
  }
}

const FUNCTION_PATTERN = /^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

/** A hexadecimal number without 0x. */
export function parseHexadecimal(text: string, what: string): number {
  if (!/^[0-9a-f]{1,12}$/.test(text)) throw new SyntaxError(`${what} is "${text}", not a hexadecimal number`);
  return parseInt(text, 16);
}

/** The value of a pair that must be there. */
export function required(pairs: ReadonlyMap<string, string>, name: string): string {
  const value = pairs.get(name);
  if (value === undefined) throw new SyntaxError(`the pair ${name}=… is missing`);
  return value;
}

/** The number of a pair that must be there. */
export function requiredBig(pairs: ReadonlyMap<string, string>, name: string): bigint {
  return new Fields(["", required(pairs, name)]).big(name);
}
