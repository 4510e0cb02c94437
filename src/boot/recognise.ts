/**
 * What a file is that is not the kernel it was said to be, in words for its owner.
 *
 * @module
 */

/** A kind of file by its bytes. */
interface Kind {
  readonly what: string;
  readonly at: number;
  readonly magic: readonly number[];
  readonly advice: string;
}

const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0));

const KINDS: readonly Kind[] = [
  { what: "an arm64 kernel (Image)", at: 0x38, magic: ascii("ARMd"), advice: "Give a kernel built for x86-64" },
  { what: "a RISC-V kernel (Image)", at: 0x38, magic: ascii("RSC\x05"), advice: "Give a kernel built for x86-64" },
  {
    what: "an initramfs (cpio archive)",
    at: 0,
    magic: ascii("07070"),
    advice: "Give it as initramfs, and a kernel as kernel",
  },
  {
    what: "a gzip file",
    at: 0,
    magic: [0x1f, 0x8b],
    advice: "It may be a compressed kernel: unpack it with gunzip; or an initramfs: give that as initramfs",
  },
  {
    what: "a zstd file",
    at: 0,
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    advice: "It may be a compressed kernel: unpack it with zstd -d; or an initramfs: give that as initramfs",
  },
  {
    what: "an xz file",
    at: 0,
    magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a],
    advice: "It may be a compressed kernel: unpack it with unxz; or an initramfs: give that as initramfs",
  },
  { what: "an lz4 file", at: 0, magic: [0x02, 0x21, 0x4c, 0x18], advice: "Unpack it with lz4 -d" },
  { what: "a bzip2 file", at: 0, magic: ascii("BZh"), advice: "Unpack it with bunzip2" },
  { what: "a qcow2 disk image", at: 0, magic: ascii("QFI\xfb"), advice: "Give it as disk, and a kernel as kernel" },
  {
    what: "an ext2/3/4 file system",
    at: 0x438,
    magic: [0x53, 0xef],
    advice: "Give it as disk, and a kernel as kernel",
  },
  {
    what: "a disk image with a boot sector",
    at: 0x1fe,
    magic: [0x55, 0xaa],
    advice: "Give it as disk, and a kernel as kernel",
  },
  {
    what: "a U-Boot image",
    at: 0,
    magic: [0x27, 0x05, 0x19, 0x56],
    advice: "Give the bzImage or vmlinux that it was made from",
  },
  {
    what: "an EFI program (PE)",
    at: 0,
    magic: ascii("MZ"),
    advice: "Of a unified kernel image, extract the kernel: objcopy -O binary --only-section=.linux IN OUT",
  },
  { what: "a script", at: 0, magic: ascii("#!"), advice: "Give a bzImage or a vmlinux" },
];

/** How much is looked at to tell text. */
const TEXT_SAMPLE = 512;

/**
 * Says what a file looks like and what to do with it: "It looks like a gzip file. Unpack it …".
 *
 * @param data The whole file.
 */
export function describeForeignFile(data: Uint8Array): string {
  const kind = KINDS.find(({ at, magic }) => magic.every((byte, i) => data[at + i] === byte));
  if (kind !== undefined) return `It looks like ${kind.what}. ${kind.advice}`;
  const sample = data.subarray(0, TEXT_SAMPLE);
  if (sample.every((byte) => byte === 0)) return "It begins with zeros. Give a bzImage or a vmlinux";
  if (sample.every((byte) => byte >= 0x20 && byte < 0x7f || byte === 0x0a || byte === 0x0d || byte === 0x09)) {
    return "It looks like text. Give a bzImage or a vmlinux";
  }
  const start = [...data.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `It begins with ${start}, which is no known format. Give a bzImage or a vmlinux`;
}
