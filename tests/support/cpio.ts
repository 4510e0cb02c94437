/**
 * Writes the archive format of an initramfs ("newc": Documentation/driver-api/early-userspace/buffer-format.rst).
 *
 * @module
 */

const DIRECTORY = 0o040755;
const SYMBOLIC_LINK = 0o120777;
const REGULAR_FILE = 0o100644;
const PROGRAM = 0o100755;

/** What stands at a path of the archive. */
export type ArchiveEntry =
  | { readonly kind: "folder" }
  | { readonly kind: "file" | "program"; readonly content: Uint8Array | string }
  | { readonly kind: "link"; readonly target: string };

/** The archive of entries by path (without a leading slash). Folders that are missing on the way are added. */
export function archive(entries: ReadonlyMap<string, ArchiveEntry>): Uint8Array<ArrayBuffer> {
  const complete = new Map<string, ArchiveEntry>();
  for (const [path, entry] of entries) {
    for (let slash = path.indexOf("/"); slash > 0; slash = path.indexOf("/", slash + 1)) {
      const folder = path.slice(0, slash);
      if (!complete.has(folder)) complete.set(folder, { kind: "folder" });
    }
    complete.set(path, entry);
  }
  const parts: Uint8Array[] = [];
  let inode = 1;
  for (const [path, entry] of complete) record(parts, inode++, path, mode(entry), content(entry));
  record(parts, 0, "TRAILER!!!", 0, new Uint8Array());
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function mode(entry: ArchiveEntry): number {
  return { folder: DIRECTORY, link: SYMBOLIC_LINK, file: REGULAR_FILE, program: PROGRAM }[entry.kind];
}

function content(entry: ArchiveEntry): Uint8Array {
  if (entry.kind === "folder") return new Uint8Array();
  const data = entry.kind === "link" ? entry.target : entry.content;
  return typeof data === "string" ? new TextEncoder().encode(data) : data;
}

/** One header of thirteen 8-digit fields, the path, the data; path and data padded to 4 bytes. */
function record(parts: Uint8Array[], inode: number, path: string, entryMode: number, data: Uint8Array): void {
  const name = new TextEncoder().encode(`${path}\0`);
  // inode, mode, owner, group, links, time, length, device (2), special device (2), length of the name, checksum
  const fields = [inode, entryMode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = "070701" + fields.map((field) => field.toString(16).padStart(8, "0")).join("");
  const head = new TextEncoder().encode(header);
  parts.push(head, name, padding(head.length + name.length), data, padding(data.length));
}

function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3);
}
