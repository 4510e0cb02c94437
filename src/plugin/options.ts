/**
 * Schemas for the options of plugins. Each takes text, as it comes from a command line, and typed values, as they come
 * from a script, and can describe itself for help and error messages.
 *
 * Any schema that follows the Standard Schema interface serves as well: of valibot, zod, arktype and others.
 *
 * @module
 */
import { filePath } from "./paths.ts";
import {
  type DescribedSchema,
  describedSchema,
  describeSchema,
  type OptionSchema,
  schemaOf,
  validate,
} from "./schema.ts";

/** Bytes per unit of a size's suffix. Binary units throughout, as in QEMU: "1K" and "1KiB" are 1024 bytes. */
const SIZE_UNITS: Readonly<Record<string, number>> = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

const SIZE_TEXT = /^(\d+)([KMGT]?)(?:i?B)?$/i;
const INTEGER_TEXT = /^[+-]?(?:\d+|0x[0-9a-f]+)$/i;
const BOOLEAN_TEXT: Readonly<Record<string, boolean>> = {
  on: true,
  true: true,
  yes: true,
  "1": true,
  off: false,
  false: false,
  no: false,
  "0": false,
};

/** Limits of {@linkcode option.integer}. */
export interface IntegerLimits {
  /** Smallest value, inclusive. */
  readonly min?: number;
  /** Largest value, inclusive. */
  readonly max?: number;
}

/** The schemas of options, by the kind of value. */
export interface OptionKinds {
  /** Any text. */
  text(): DescribedSchema<string, string>;
  /** An integer: 3, "3", "0x1f". */
  integer(limits?: IntegerLimits): DescribedSchema<string | number, number>;
  /** A number of bytes: 512, "512", "64K", "1M", "1GiB". */
  size(): DescribedSchema<string | number, number>;
  /** true, "on", "yes", "1" or the opposite. */
  boolean(): DescribedSchema<string | boolean, boolean>;
  /** The path of a file. */
  path(): DescribedSchema<string | URL, string>;
  /** One of several texts. */
  oneOf<const Choice extends string>(choices: readonly Choice[]): DescribedSchema<string, Choice>;
}

/**
 * The schemas of options.
 *
 * @example
 * ```ts
 * import { option, optional } from "@denovisor/denovisor/plugin";
 * const options = {
 *   path: option.path(),
 *   limit: optional(option.size(), "1M"),
 *   mode: optional(option.oneOf(["fast", "safe"]), "safe"),
 * };
 * ```
 */
export const option: OptionKinds = Object.freeze({
  text: () => schemaOf("text", (given: string) => typeof given === "string" ? given : undefined),

  integer: (limits: IntegerLimits = {}) => {
    const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = limits;
    return schemaOf(describeLimits(limits), (given: string | number) => {
      const value = typeof given === "string" && INTEGER_TEXT.test(given) ? Number(given) : given;
      return Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max ? Number(value) : undefined;
    });
  },

  size: () => schemaOf("size, such as 512, 64K, 1M or 2G", parseSize),

  boolean: () =>
    schemaOf("on or off", (given: string | boolean) => {
      if (typeof given === "boolean") return given;
      const key = typeof given === "string" ? given.toLowerCase() : "";
      return Object.hasOwn(BOOLEAN_TEXT, key) ? BOOLEAN_TEXT[key] : undefined;
    }),

  path: () =>
    schemaOf("path of a file", (given: string | URL) => {
      if (given instanceof URL) return given.protocol === "file:" ? filePath(given) : undefined;
      return typeof given === "string" && given !== "" && !given.includes("\0") ? given : undefined;
    }),

  oneOf: <const Choice extends string>(choices: readonly Choice[]) =>
    schemaOf(choices.join(" or "), (given: string) => choices.find((choice) => choice === given)),
});

/** An option that may be left out, and then is undefined. */
export function optional<Input, Output>(
  schema: OptionSchema<Input, Output>,
): DescribedSchema<Input | undefined, Output | undefined>;
/**
 * An option that may be left out.
 *
 * @param fallback What is taken instead, in any form that the schema takes.
 */
export function optional<Input, Output>(
  schema: OptionSchema<Input, Output>,
  fallback: Input,
): DescribedSchema<Input | undefined, Output>;
export function optional<Input, Output>(
  schema: OptionSchema<Input, Output>,
  fallback?: Input,
): DescribedSchema<Input | undefined, Output | undefined> {
  const isSimple = typeof fallback === "string" || typeof fallback === "number" || typeof fallback === "boolean";
  const expects = describeSchema(schema) + (isSimple ? ` (default ${fallback})` : "");
  return describedSchema<Input | undefined, Output | undefined>(expects, (given) => {
    const value = given === undefined ? fallback : given;
    return value === undefined ? { value: undefined } : validate(schema, value);
  });
}

function parseSize(given: string | number): number | undefined {
  if (typeof given === "number") return Number.isSafeInteger(given) && given >= 0 ? given : undefined;
  const match = typeof given === "string" ? SIZE_TEXT.exec(given) : null;
  if (match === null) return undefined;
  const bytes = Number(match[1]) * SIZE_UNITS[match[2].toUpperCase()];
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

function describeLimits({ min, max }: IntegerLimits): string {
  if (min !== undefined && max !== undefined) return `integer from ${min} to ${max}`;
  if (min !== undefined) return `integer of ${min} or more`;
  if (max !== undefined) return `integer of ${max} or less`;
  return "integer";
}
