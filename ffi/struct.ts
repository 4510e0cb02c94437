/**
 * One notation for C structures. A layout is declared once, beside the name and the header of its C twin, and a test
 * compiles the twins and compares every size and offset.
 *
 * ```ts
 * import { struct } from "./struct.ts";
 * const kvmDtable = struct("struct kvm_dtable", "linux/kvm.h", { base: "u64", limit: "u16", padding: ["u16", 3] });
 * const offset: number = kvmDtable.offsets.limit; // 8
 * ```
 *
 * Alignment is that of C on x86_64. A field whose name begins with `$` is an anonymous union or structure: in C its
 * members belong to the one around it.
 *
 * @module
 */

/** A number in memory, little-endian. */
export type Scalar = "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64";

/** What a field can be: a number, an array, or a structure or union. */
export type FieldType = Scalar | readonly [FieldType, number] | Layout;

/** The fields of a structure in their order, or the members of a union. */
export interface FieldTypes {
  /** One field by its C name. */
  readonly [name: string]: FieldType;
}

/** A structure or union in memory. */
export interface Layout<Fields extends FieldTypes = FieldTypes> {
  /** Which of the two it is. */
  readonly kind: "struct" | "union";
  /** How C names the type; empty for one without a name. */
  readonly name: string;
  /** The header that declares it; empty for one without a name. */
  readonly header: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes; a power of two. */
  readonly alignment: number;
  /** Byte offset of each field. */
  readonly offsets: { readonly [Name in keyof Fields]: number };
  /** The fields as they were declared. */
  readonly fields: Fields;
}

/** What {@linkcode decode} makes of a type: numbers up to 32 bits, bigints of 64, arrays, objects. */
export type Value<Type> = Type extends "u64" | "i64" ? bigint
  : Type extends Scalar ? number
  : Type extends readonly [infer Element, number] ? Value<Element>[]
  : Type extends Layout<infer Fields> ? { -readonly [Name in keyof Fields]: Value<Fields[Name]> }
  : never;

const SCALAR_SIZES: Readonly<Record<Scalar, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, i8: 1, i16: 2, i32: 4, i64: 8 };

function isArray(type: FieldType): type is readonly [FieldType, number] {
  return Array.isArray(type);
}

/** Bytes of a field. */
export function sizeOf(type: FieldType): number {
  if (typeof type === "string") return SCALAR_SIZES[type];
  return isArray(type) ? sizeOf(type[0]) * type[1] : type.size;
}

/** Alignment of a field in bytes. */
export function alignmentOf(type: FieldType): number {
  if (typeof type === "string") return SCALAR_SIZES[type];
  return isArray(type) ? alignmentOf(type[0]) : type.alignment;
}

function alignUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

function layout<Fields extends FieldTypes>(
  kind: "struct" | "union",
  name: string,
  header: string,
  fields: Fields,
  packed: boolean,
): Layout<Fields> {
  const offsets: Record<string, number> = {};
  let end = 0;
  let alignment = 1;
  for (const [field, type] of Object.entries<FieldType>(fields)) {
    const fieldAlignment = packed ? 1 : alignmentOf(type);
    const offset = kind === "union" ? 0 : alignUp(end, fieldAlignment);
    offsets[field] = offset;
    end = Math.max(end, offset + sizeOf(type));
    alignment = Math.max(alignment, fieldAlignment);
  }
  return {
    kind,
    name,
    header,
    size: alignUp(end, alignment),
    alignment,
    offsets: offsets as { readonly [Name in keyof Fields]: number },
    fields,
  };
}

/**
 * A structure: fields one after the other.
 *
 * @param name Its C type, such as `struct kvm_regs`; empty for an anonymous one.
 * @param header The header that declares it, such as `linux/kvm.h`.
 * @param fields The fields in their order.
 * @param options `packed`: no padding between the fields.
 */
export function struct<const Fields extends FieldTypes>(
  name: string,
  header: string,
  fields: Fields,
  options: { packed?: boolean } = {},
): Layout<Fields> {
  return layout("struct", name, header, fields, options.packed ?? false);
}

/**
 * A union: members in the same place.
 *
 * @param name Its C type; empty for an anonymous one.
 * @param header The header that declares it.
 * @param fields The members.
 */
export function union<const Fields extends FieldTypes>(name: string, header: string, fields: Fields): Layout<Fields> {
  return layout("union", name, header, fields, false);
}

/** Zeroed memory for one structure, with `extra` bytes after it for the entries of an array without a fixed length. */
export function allocate(layout: Layout, extra = 0): DataView<ArrayBuffer> {
  return new DataView(new ArrayBuffer(layout.size + extra));
}

const TWO_TO_32 = 2 ** 32;

/** Reads 64 bits as a number: exact up to 2^53, rounded beyond. Allocates nothing. */
export function getUint64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * TWO_TO_32;
}

/** Writes a non-negative safe integer as 64 bits. Allocates nothing. */
export function setUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, value / TWO_TO_32, true);
}

/** Reads one value of a type. Not for hot paths: it allocates. */
export function decode<const Type extends FieldType>(type: Type, view: DataView, offset = 0): Value<Type> {
  return decodeAny(type, view, offset) as Value<Type>;
}

function decodeAny(type: FieldType, view: DataView, offset: number): unknown {
  if (typeof type === "string") return decodeScalar(type, view, offset);
  if (isArray(type)) {
    const [element, count] = type;
    return Array.from({ length: count }, (_, i) => decodeAny(element, view, offset + i * sizeOf(element)));
  }
  return Object.fromEntries(
    Object.entries(type.fields).map(([name, field]) => [name, decodeAny(field, view, offset + type.offsets[name])]),
  );
}

function decodeScalar(type: Scalar, view: DataView, offset: number): number | bigint {
  switch (type) {
    case "u8":
      return view.getUint8(offset);
    case "u16":
      return view.getUint16(offset, true);
    case "u32":
      return view.getUint32(offset, true);
    case "u64":
      return view.getBigUint64(offset, true);
    case "i8":
      return view.getInt8(offset);
    case "i16":
      return view.getInt16(offset, true);
    case "i32":
      return view.getInt32(offset, true);
    case "i64":
      return view.getBigInt64(offset, true);
  }
}

/**
 * Writes one value of a type. Not for hot paths. Of a union, all members are written in their order, so the last one
 * stands.
 */
export function encode<const Type extends FieldType>(
  type: Type,
  view: DataView,
  value: Value<Type>,
  offset = 0,
): void {
  encodeAny(type, view, value, offset);
}

function encodeAny(type: FieldType, view: DataView, value: unknown, offset: number): void {
  if (typeof type === "string") {
    encodeScalar(type, view, value as number | bigint, offset);
  } else if (isArray(type)) {
    const [element, count] = type;
    const values = value as readonly unknown[];
    for (let i = 0; i < count; i++) encodeAny(element, view, values[i], offset + i * sizeOf(element));
  } else {
    const values = value as Readonly<Record<string, unknown>>;
    for (const [name, field] of Object.entries(type.fields)) {
      encodeAny(field, view, values[name], offset + type.offsets[name]);
    }
  }
}

function encodeScalar(type: Scalar, view: DataView, value: number | bigint, offset: number): void {
  switch (SCALAR_SIZES[type]) {
    case 1:
      return view.setUint8(offset, Number(value));
    case 2:
      return view.setUint16(offset, Number(value), true);
    case 4:
      return view.setUint32(offset, Number(value), true);
    default:
      return view.setBigUint64(offset, BigInt(value), true);
  }
}
