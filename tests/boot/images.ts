/**
 * Small kernels made for tests, and the tools that compress them as the Linux build does.
 *
 * @module
 */
import { SETUP, SETUP_MAGIC } from "../../src/boot/bzimage.ts";

/** What a test ELF file is made of. */
export interface ElfRecipe {
  readonly bits?: 32 | 64;
  readonly machine?: number;
  readonly type?: number;
  readonly entry?: number;
  readonly segments?: readonly { address: number; data: Uint8Array; memorySize?: number }[];
  /** Value of the PVH note; none by default. */
  readonly pvhEntry?: number;
  readonly pvhNoteSize?: 4 | 8;
}

const headerSizes = { 32: 52, 64: 64 };
const segmentSizes = { 32: 32, 64: 56 };

/** An ELF file. */
export function makeElf(recipe: ElfRecipe = {}): Uint8Array {
  const { bits = 64, machine = 62, type = 2, entry = 0x100000, pvhEntry, pvhNoteSize = 4 } = recipe;
  const segments = recipe.segments ?? [{ address: 0x100000, data: Uint8Array.of(0xf4) }];
  const note = pvhEntry === undefined ? undefined : makeNote(pvhEntry, pvhNoteSize);
  const count = segments.length + (note === undefined ? 0 : 1);
  let end = headerSizes[bits] + count * segmentSizes[bits];
  const placed = segments.map(({ address, data, memorySize = data.length }) => {
    const offset = end;
    end += data.length;
    return { kind: 1, offset, address, data, memorySize };
  });
  if (note !== undefined) placed.push({ kind: 4, offset: end, address: 0, data: note, memorySize: note.length });
  end += note?.length ?? 0;

  const file = new Uint8Array(end);
  const view = new DataView(file.buffer);
  const wide = (at: number, value: number) =>
    bits === 64 ? view.setBigUint64(at, BigInt(value), true) : view.setUint32(at, value, true);
  file.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, 1, 1]);
  view.setUint16(16, type, true);
  view.setUint16(18, machine, true);
  wide(24, entry);
  wide(bits === 64 ? 32 : 28, headerSizes[bits]);
  view.setUint16(bits === 64 ? 54 : 42, segmentSizes[bits], true);
  view.setUint16(bits === 64 ? 56 : 44, count, true);
  placed.forEach(({ kind, offset, address, data, memorySize }, index) => {
    const at = headerSizes[bits] + index * segmentSizes[bits];
    view.setUint32(at, kind, true);
    wide(at + (bits === 64 ? 8 : 4), offset);
    wide(at + (bits === 64 ? 24 : 12), address);
    wide(at + (bits === 64 ? 32 : 16), data.length);
    wide(at + (bits === 64 ? 40 : 20), memorySize);
    wide(at + (bits === 64 ? 48 : 28), 4);
    file.set(data, offset);
  });
  return file;
}

/** A foreign note first, then the PVH one. */
function makeNote(entry: number, size: 4 | 8): Uint8Array {
  const note = new Uint8Array(20 + 16 + size);
  const view = new DataView(note.buffer);
  note.set([4, 0, 0, 0, 4, 0, 0, 0, 18, 0, 0, 0, 0x47, 0x4e, 0x55, 0, 1, 2, 3, 4]);
  view.setUint32(20, 4, true);
  view.setUint32(24, size, true);
  view.setUint32(28, 18, true);
  note.set([0x58, 0x65, 0x6e, 0], 32);
  if (size === 8) view.setBigUint64(36, BigInt(entry), true);
  else view.setUint32(36, entry, true);
  return note;
}

/** What a test bzImage is made of. */
export interface BzImageRecipe {
  readonly payload?: Uint8Array;
  readonly protocolVersion?: number;
  readonly has64BitEntry?: boolean;
  readonly preferredAddress?: number;
  readonly initSize?: number;
  readonly relocatable?: boolean;
  readonly version?: string;
  readonly initrdAddressMax?: number;
}

const setupSectors = 2;
const kernelOffset = (setupSectors + 1) * 512;
const payloadOffset = 0x300;

/** A bzImage. */
export function makeBzImage(recipe: BzImageRecipe = {}): Uint8Array {
  const payload = recipe.payload ?? new TextEncoder().encode("no payload at all");
  const kernelLength = Math.ceil((payloadOffset + payload.length) / 16) * 16;
  const image = new Uint8Array(kernelOffset + kernelLength);
  const view = new DataView(image.buffer);
  image[SETUP.setupSectors] = setupSectors;
  view.setUint32(SETUP.systemSize, kernelLength / 16, true);
  view.setUint16(SETUP.bootFlag, 0xaa55, true);
  image[SETUP.jumpLength] = 0x66;
  view.setUint32(SETUP.magic, SETUP_MAGIC, true);
  view.setUint16(SETUP.version, recipe.protocolVersion ?? 0x20f, true);
  view.setUint16(SETUP.kernelVersion, 0x100, true);
  image.set(new TextEncoder().encode(`${recipe.version ?? "6.1.0-test (me) #1"}\0`), 0x300);
  image[SETUP.loadFlags] = 1;
  view.setUint32(SETUP.initrdAddressMax, recipe.initrdAddressMax ?? 0x7fff_ffff, true);
  view.setUint32(SETUP.kernelAlignment, 0x100000, true);
  image[SETUP.relocatable] = recipe.relocatable ?? true ? 1 : 0;
  view.setUint16(SETUP.extendedLoadFlags, recipe.has64BitEntry ?? true ? 1 : 0, true);
  view.setUint32(SETUP.commandLineSize, 255, true);
  view.setUint32(SETUP.payloadOffset, payloadOffset, true);
  view.setUint32(SETUP.payloadLength, payload.length, true);
  view.setBigUint64(SETUP.preferredAddress, BigInt(recipe.preferredAddress ?? 0x400000), true);
  view.setUint32(SETUP.initSize, recipe.initSize ?? kernelLength + 0x10000, true);
  image.set(payload, kernelOffset + payloadOffset);
  return image;
}

/** Runs a program with bytes as its input and returns its output. */
export async function filter(program: string, args: readonly string[], input: Uint8Array): Promise<Uint8Array> {
  const child = new Deno.Command(program, { args: [...args], stdin: "piped", stdout: "piped", stderr: "piped" })
    .spawn();
  const [, output] = await Promise.all([
    new Blob([new Uint8Array(input)]).stream().pipeTo(child.stdin),
    child.output(),
  ]);
  if (output.success) return output.stdout;
  throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(output.stderr)}`);
}

/** How the Linux build compresses (scripts/Makefile.lib), and whether it appends the size of what was compressed. */
export const compressors = {
  gzip: { program: "gzip", args: ["-n", "-f", "-9"], sizeWord: false },
  xz: { program: "xz", args: ["--check=crc32", "--x86", "--lzma2=,dict=32MiB"], sizeWord: true },
  zstd: { program: "zstd", args: ["-19", "-q"], sizeWord: true },
  lz4: { program: "lz4", args: ["-l", "-9", "-q"], sizeWord: true },
  lzo: { program: "lzop", args: ["-9"], sizeWord: true },
  bzip2: { program: "bzip2", args: ["-9"], sizeWord: true },
  lzma: { program: "xz", args: ["--format=lzma", "-9"], sizeWord: true },
} as const;

/** Compresses as the Linux build does. */
export async function compress(format: keyof typeof compressors, data: Uint8Array): Promise<Uint8Array> {
  const { program, args, sizeWord } = compressors[format];
  const packed = await filter(program, args, data);
  if (!sizeWord) return packed;
  const payload = new Uint8Array(packed.length + 4);
  payload.set(packed);
  new DataView(payload.buffer).setUint32(packed.length, data.length, true);
  return payload;
}

/** Bytes like those of a program: repetitions near and far, runs, calls, and noise; always the same. */
export function programLike(length: number): Uint8Array {
  const data = new Uint8Array(length);
  let state = 1;
  const random = (below: number): number => {
    state = Math.imul(state, 1103515245) + 12345 >>> 0;
    return (state >>> 8) % below;
  };
  let at = 0;
  while (at < length) {
    const kind = random(5);
    const count = Math.min(length - at, 1 + random(kind === 0 ? 5000 : 60));
    if (kind === 0) data.fill(random(256), at, at + count);
    else if (kind === 1) {
      for (let i = 0; i < count; i++) data[at + i] = random(256);
    } else if (kind === 2 && at + 5 <= length) {
      // A call of one of a few functions: what the x86 filter is for.
      data[at] = 0xe8 + random(2);
      new DataView(data.buffer).setInt32(at + 1, random(16) * 4096 - at, true);
      at += 5;
      continue;
    } else if (at > 0) {
      const distance = 1 + random(Math.min(at, 1 << 4 + random(18)));
      for (let i = 0; i < count; i++) data[at + i] = data[at + i - distance];
    }
    at += count;
  }
  return data;
}
