/**
 * What an option's schema is: anything that follows the Standard Schema interface (https://standardschema.dev), version 1. So
 * plugins can use the library they like (valibot, zod, arktype …), and those that need none load none.
 *
 * @module
 */

/** Why a value was not accepted. */
export interface SchemaIssue {
  /** In words. */
  readonly message: string;
}

/** What a validation yields: the value as the plugin gets it, or what is wrong. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** The members of a schema that the interface prescribes. */
export interface SchemaMembers<Input, Output> {
  /** Version of the interface. */
  readonly version: 1;
  /** The library that the schema is of. */
  readonly vendor: string;
  /** Validates a value. Options must be validated at once: a promise is refused. */
  readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
  /** For the type checker only. */
  readonly types?: { readonly input: Input; readonly output: Output } | undefined;
}

/** The schema of one option. */
export interface OptionSchema<Input = unknown, Output = Input> {
  /** See {@linkcode SchemaMembers}. */
  readonly "~standard": SchemaMembers<Input, Output>;
}

/** The type of the values that a schema yields. */
export type OutputOf<Schema extends OptionSchema> = NonNullable<Schema["~standard"]["types"]>["output"];

/** A schema of ours: it can describe itself. */
export interface DescribedSchema<Input = unknown, Output = Input> extends OptionSchema<Input, Output> {
  /** What it accepts, in a few words: "size, such as 512, 64K, 1M or 2G". */
  readonly expects: string;
}

/**
 * A schema from a parser.
 *
 * @param expects What it accepts, in a few words.
 * @param parse Returns the value, or undefined for what it does not accept.
 */
export function schemaOf<Input, Output>(
  expects: string,
  parse: (given: Input) => Output | undefined,
): DescribedSchema<Input, Output> {
  return describedSchema(expects, (given) => {
    const value = parse(given as Input);
    return value === undefined ? { issues: [{ message: `expected ${expects}` }] } : { value };
  });
}

/** A schema from a validation that may yield undefined. */
export function describedSchema<Input, Output>(
  expects: string,
  validate: (given: unknown) => SchemaResult<Output>,
): DescribedSchema<Input, Output> {
  return { expects, "~standard": { version: 1, vendor: "denovisor", validate } };
}

/**
 * Validates a value.
 *
 * @throws {TypeError} The schema answers with a promise.
 */
export function validate<Output>(schema: OptionSchema<unknown, Output>, value: unknown): SchemaResult<Output> {
  const result = schema["~standard"].validate(value);
  if (!(result instanceof Promise)) return result;
  result.catch(() => {});
  throw new TypeError(
    `Cannot use a schema of ${schema["~standard"].vendor} that validates asynchronously: options are validated at once`,
  );
}

/** Whether a value of this schema may be left out. */
export function isOptional(schema: OptionSchema): boolean {
  return validate(schema, undefined).issues === undefined;
}

/** What a value of this schema looks like, in a few words: "size, such as 64M (default 1M)". */
export function describeSchema(schema: OptionSchema): string {
  const { expects } = schema as { readonly expects?: unknown };
  return typeof expects === "string" ? expects : `a value that its schema (${schema["~standard"].vendor}) takes`;
}
