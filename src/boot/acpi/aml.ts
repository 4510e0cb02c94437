/**
 * A writer of AML, the bytecode of ACPI: each function makes the bytes of one term.
 *
 * Source: ACPI specification 6.5, chapter 20 (AML) and 6.4 (resource descriptors).
 *
 * @module
 */

/** The bytes of a term. */
export type Aml = Uint8Array;

/** Local variables of a method. */
export const LOCAL0: Aml = bytes(0x60);
/** Arguments of a method, by their index. */
export const ARGUMENTS: readonly Aml[] = [0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e].map((op) => bytes(op));
/** A target that stores nowhere. */
const NOWHERE = bytes(0x00);

const NAME_LENGTH = 4;
/** Largest package length of one, two and three bytes (20.2.4). */
const PACKAGE_LENGTHS = [0x3f, 0xfff, 0xfffff];

/** An integer, in the shortest form that holds it. */
export function integer(value: number | bigint): Aml {
  const number = BigInt(value);
  if (number < 0n || number > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`Cannot write ${value} as an AML integer: expected 64 bits without a sign`);
  }
  if (number <= 1n) return bytes(Number(number));
  if (number <= 0xffn) return concat([bytes(0x0a), littleEndian(number, 1)]);
  if (number <= 0xffffn) return concat([bytes(0x0b), littleEndian(number, 2)]);
  if (number <= 0xffff_ffffn) return concat([bytes(0x0c), littleEndian(number, 4)]);
  return concat([bytes(0x0e), littleEndian(number, 8)]);
}

/** A string of ASCII characters. */
export function string(value: string): Aml {
  return concat([bytes(0x0d), ascii(value), bytes(0)]);
}

/** The compressed identifier of a plug-and-play device: "PNP0A08". */
export function eisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) {
    throw new RangeError(
      `Cannot write "${id}" as an EISA identifier: expected three capitals and four hexadecimal digits`,
    );
  }
  const letter = (index: number): number => id.charCodeAt(index) - 0x40;
  const vendor = letter(0) << 10 | letter(1) << 5 | letter(2);
  const product = Number.parseInt(id.slice(3), 16);
  return bytes(0x0c, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff);
}

/** A reference to a name: "COM1", "_SB_.PC00", "\\_SB_". */
export function path(name: string): Aml {
  const root = name.startsWith("\\");
  const segments = name.slice(root ? 1 : 0).split(".").map(nameSegment);
  const prefix = segments.length === 1 ? [] : segments.length === 2 ? [0x2e] : [0x2f, segments.length];
  return concat([bytes(...(root ? [0x5c] : []), ...prefix), ...segments]);
}

/** `Name (name, value)`. */
export function name(at: string, value: Aml): Aml {
  return concat([bytes(0x08), path(at), value]);
}

/** `Scope (name) { … }`. */
export function scope(at: string, terms: readonly Aml[]): Aml {
  return packaged([0x10], [path(at), ...terms]);
}

/** `Device (name) { … }`. */
export function device(at: string, terms: readonly Aml[]): Aml {
  return packaged([0x5b, 0x82], [path(at), ...terms]);
}

/** `Method (name, argumentCount, Serialized) { … }`: only one thread is in it at a time. */
export function method(at: string, argumentCount: number, terms: readonly Aml[]): Aml {
  const serialized = 0x08;
  return packaged([0x14], [path(at), bytes(argumentCount | serialized), ...terms]);
}

/** `Package () { … }`. */
export function packageOf(elements: readonly Aml[]): Aml {
  return packaged([0x12], [bytes(elements.length), ...elements]);
}

/** `Buffer () { … }`. */
export function buffer(content: Uint8Array): Aml {
  return packaged([0x11], [integer(content.length), content]);
}

/** `ToUUID ("…")`: the first three groups are little-endian (19.6.142). */
export function uuid(text: string): Aml {
  const digits = text.replaceAll("-", "");
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return buffer(Uint8Array.from(order, (index) => Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16)));
}

/** `Return (value)`. */
export function returnValue(value: Aml): Aml {
  return concat([bytes(0xa4), value]);
}

/** `Store (value, target)`. */
export function store(value: Aml, target: Aml): Aml {
  return concat([bytes(0x70), value, target]);
}

/** `And (left, right)`. */
export function and(left: Aml, right: Aml, target: Aml = NOWHERE): Aml {
  return concat([bytes(0x7b), left, right, target]);
}

/** `Or (left, right)`. */
export function or(left: Aml, right: Aml, target: Aml = NOWHERE): Aml {
  return concat([bytes(0x7d), left, right, target]);
}

/** `LEqual (left, right)`. */
export function equal(left: Aml, right: Aml): Aml {
  return concat([bytes(0x93), left, right]);
}

/** `LNot (operand)`. */
export function not(operand: Aml): Aml {
  return concat([bytes(0x92), operand]);
}

/** `If (condition) { … }`, and `Else { … }` where there is something in it. */
export function when(condition: Aml, then: readonly Aml[], otherwise: readonly Aml[] = []): Aml {
  const consequence = packaged([0xa0], [condition, ...then]);
  return otherwise.length === 0 ? consequence : concat([consequence, packaged([0xa1], otherwise)]);
}

/** `CreateDWordField (source, byteIndex, name)`. */
export function dwordField(source: Aml, byteIndex: number, at: string): Aml {
  return concat([bytes(0x8a), source, integer(byteIndex), path(at)]);
}

/** `Notify (object, value)`. */
export function notify(object: string, value: number): Aml {
  return concat([bytes(0x86), path(object), integer(value)]);
}

/** `ResourceTemplate () { … }`. */
export function resourceTemplate(descriptors: readonly Uint8Array[]): Aml {
  // The end tag with checksum 0, which means that there is none.
  return buffer(concat([...descriptors, bytes(0x79, 0x00)]));
}

/** `IO (Decode16, first, first, 0x01, length)`: ports of a device. */
export function ioPorts(first: number, length: number): Uint8Array {
  return concat([bytes(0x47, 0x01), littleEndian(first, 2), littleEndian(first, 2), bytes(0x01, length)]);
}

/** `Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { … }`: a line of the I/O interrupt controller. */
export function interruptLine(gsi: number): Uint8Array {
  const consumerEdgeHighExclusive = 0x03;
  return concat([bytes(0x89), littleEndian(6, 2), bytes(consumerEdgeHighExclusive, 1), littleEndian(gsi, 4)]);
}

/** `WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, …)`. */
export function busNumbers(first: number, count: number): Uint8Array {
  return addressSpace(0x88, 2, 0x02, 0x00, first, count);
}

/** `WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, …)`: ports that a bridge passes on. */
export function ioWindow(first: number, length: number): Uint8Array {
  const entireRange = 0x03;
  return addressSpace(0x88, 2, 0x01, entireRange, first, length);
}

/** `DWordMemory` or `QWordMemory` `(ResourceProducer, PosDecode, MinFixed, MaxFixed, …, ReadWrite, …)`: memory of a bridge. */
export function memoryWindow(first: number, length: number, prefetchable: boolean): Uint8Array {
  const readWrite = 0x01;
  const flags = readWrite | (prefetchable ? 0x06 : 0x00);
  const wide = first + length > 0x1_0000_0000;
  return wide ? addressSpace(0x8a, 8, 0x00, flags, first, length) : addressSpace(0x87, 4, 0x00, flags, first, length);
}

/** `QWordMemory (ResourceConsumer, …)` without caching: memory that a device takes for itself. */
export function deviceMemory(first: number, length: number): Uint8Array {
  return addressSpace(0x8a, 8, 0x00, 0x01, first, length, 0x01);
}

/** An address space descriptor (6.4.3.5) whose fields are `width` bytes wide. */
function addressSpace(
  tag: number,
  width: 2 | 4 | 8,
  resourceType: number,
  typeFlags: number,
  first: number,
  length: number,
  consumer = 0x00,
): Uint8Array {
  const limit = 2 ** Math.min(53, width * 8);
  if (length <= 0 || first + length > limit) {
    throw new RangeError(
      `Cannot describe ${length} addresses from 0x${
        first.toString(16)
      } in fields of ${width} bytes: expected at least one, and `
        + `an end of at most 0x${limit.toString(16)}`,
    );
  }
  const minimumAndMaximumFixed = 0x0c;
  const granularity = 0;
  const translation = 0;
  const fields = [granularity, first, first + length - 1, translation, length];
  return concat([
    bytes(tag),
    littleEndian(3 + fields.length * width, 2),
    bytes(resourceType, minimumAndMaximumFixed | consumer, typeFlags),
    ...fields.map((field) => littleEndian(field, width)),
  ]);
}

/** Joins terms. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** A number as `width` bytes, least significant first. */
export function littleEndian(value: number | bigint, width: number): Uint8Array {
  let rest = BigInt(value);
  return Uint8Array.from({ length: width }, () => {
    const byte = Number(rest & 0xffn);
    rest >>= 8n;
    return byte;
  });
}

/** Characters as bytes. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Opcode, package length, content. The length counts its own bytes. */
function packaged(opcode: readonly number[], terms: readonly Aml[]): Aml {
  const content = concat(terms);
  const width = 1 + PACKAGE_LENGTHS.findIndex((limit, more) => content.length + 1 + more <= limit);
  if (width === 0) {
    throw new RangeError(`Cannot write an AML term of ${content.length} bytes: expected less than 1 MiB`);
  }
  const length = content.length + width;
  const encoded = width === 1
    ? [length]
    : [width - 1 << 6 | length & 0xf, ...littleEndian(length >> 4, width - 1)];
  return concat([bytes(...opcode, ...encoded), content]);
}

/** Four characters, filled up with underscores. */
function nameSegment(segment: string): Uint8Array {
  if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment)) {
    throw new RangeError(
      `Cannot use "${segment}" as an AML name: expected one to four capitals, digits and underscores`,
    );
  }
  return ascii(segment.padEnd(NAME_LENGTH, "_"));
}

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}
