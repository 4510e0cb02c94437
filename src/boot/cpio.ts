/**
 * Archives that Linux takes as initramfs: cpio in its "newc" form.
 *
 * Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
 *
 * @module
 */

/** Type bits of a file's mode. */
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const SYMBOLIC_LINK = 0o120000;
const CHARACTER_DEVICE = 0o020000;

const MAGIC = "070701";
const TRAILER = "TRAILER!!!";
const HEADER_LENGTH = 110;
const ALIGNMENT = 4;
/** Width of a header's field: hexadecimal digits. */
const FIELD_DIGITS = 8;
/** A file's length must fit into a field. */
const LONGEST_FILE = 0xffff_ffff;

/** An archive in the making. Directories come before what is in them; all belongs to root, at time 0. */
export class CpioWriter {
  readonly #parts: Uint8Array[] = [];
  #length = 0;
  #inode = 0;

  /** Adds a directory. */
  directory(path: string, permissions = 0o755): this {
    return this.#add(path, DIRECTORY | permissions, new Uint8Array());
  }

  /** Adds a regular file. The data are not copied before {@linkcode finish}. */
  file(path: string, data: Uint8Array | string, permissions = 0o644): this {
    return this.#add(path, REGULAR | permissions, typeof data === "string" ? new TextEncoder().encode(data) : data);
  }

  /** Adds a symbolic link. */
  link(path: string, target: string): this {
    return this.#add(path, SYMBOLIC_LINK | 0o777, new TextEncoder().encode(target));
  }

  /** Adds a character device. */
  characterDevice(path: string, major: number, minor: number, permissions = 0o600): this {
    return this.#add(path, CHARACTER_DEVICE | permissions, new Uint8Array(), major, minor);
  }

  /** The archive's bytes. Call it once, at last. */
  finish(): Uint8Array {
    this.#add(TRAILER, 0, new Uint8Array());
    const archive = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      archive.set(part, at);
      at += part.length;
    }
    return archive;
  }

  #add(path: string, mode: number, data: Uint8Array, major = 0, minor = 0): this {
    if (data.length > LONGEST_FILE) {
      throw new RangeError(
        `Cannot put ${path} into a cpio archive: ${data.length} bytes, expected at most ${LONGEST_FILE}`,
      );
    }
    const name = new TextEncoder().encode(`${path.replace(/^\/+/, "")}\0`);
    const inode = mode === 0 ? 0 : ++this.#inode;
    const owner = 0;
    const links = 1;
    const time = 0;
    const device = 0;
    const check = 0;
    const fields = [
      inode,
      mode,
      owner,
      owner,
      links,
      time,
      data.length,
      device,
      device,
      major,
      minor,
      name.length,
      check,
    ];
    const header = MAGIC + fields.map((field) => field.toString(16).padStart(FIELD_DIGITS, "0")).join("");
    this.#append(new TextEncoder().encode(header));
    this.#append(name);
    this.#pad(HEADER_LENGTH + name.length);
    this.#append(data);
    this.#pad(data.length);
    return this;
  }

  #append(part: Uint8Array): void {
    this.#parts.push(part);
    this.#length += part.length;
  }

  #pad(length: number): void {
    const rest = length % ALIGNMENT;
    if (rest > 0) this.#append(new Uint8Array(ALIGNMENT - rest));
  }
}
