/**
 * Turns the raw options of a device into validated ones.
 *
 * @module
 */
import { describeValue } from "./define.ts";
import type { ErasedOptions, OptionSchemas } from "./definition.ts";
import { PluginError } from "./error.ts";
import { nearest } from "./nearest.ts";
import { describeSchema, isOptional, type OptionSchema, validate } from "./schema.ts";

/** Options as they come from a command line or a script. */
export type RawOptions = Readonly<Record<string, unknown>>;

/**
 * Validates raw options against a plugin's schemas. Every fault is reported at once.
 *
 * @param owner Name of the plugin or its module, for messages.
 * @throws {PluginError} A key is unknown or missing, or a value is not what its schema takes. The message names the owner,
 *   the key, what was expected, what was given, the valid keys and the nearest of them.
 */
export function validateOptions(owner: string, schemas: OptionSchemas, raw: RawOptions): ErasedOptions {
  const faults: string[] = [];
  const keys = Object.keys(schemas);
  for (const key of Object.keys(raw)) {
    if (!Object.hasOwn(schemas, key)) faults.push(describeUnknown(key, keys));
  }
  const values: Record<string, unknown> = {};
  for (const key of keys) {
    const schema = schemas[key];
    const given = Object.hasOwn(raw, key) ? raw[key] : undefined;
    if (given === undefined && !isOptional(schema)) {
      faults.push(`"${key}" is missing: expected ${describeSchema(schema)}`);
      continue;
    }
    const result = validate(schema, given);
    if (result.issues === undefined) values[key] = result.value;
    else faults.push(describeWrong(key, schema, given, result.issues[0].message));
  }
  if (faults.length === 0) return Object.freeze(values);
  const valid = keys.length === 0 ? "It takes no options" : `Its options are ${keys.join(", ")}`;
  throw new PluginError(`Wrong options for ${owner}: ${faults.join("; ")}. ${valid}.`);
}

/** One line per option, for help: name and description. */
export function describeOptions(schemas: OptionSchemas): readonly { readonly key: string; readonly expects: string }[] {
  return Object.entries(schemas).map(([key, schema]) => ({
    key,
    expects: describeSchema(schema) + (isOptional(schema) ? "" : " (required)"),
  }));
}

function describeUnknown(key: string, valid: readonly string[]): string {
  const meant = nearest(key, valid);
  return `there is no option "${key}"` + (meant === undefined ? "" : ` (did you mean "${meant}"?)`);
}

function describeWrong(key: string, schema: OptionSchema, given: unknown, message: string): string {
  const bareKey = given === true ? ` (a key alone means true; write ${key}=VALUE)` : "";
  const expected = describeSchema(schema);
  const detail = message === "" || expected.startsWith(message.replace(/^expected /, "")) ? "" : ` (${message})`;
  return `"${key}" expected ${expected}, but was given ${describeValue(given)}${bareKey}${detail}`;
}
