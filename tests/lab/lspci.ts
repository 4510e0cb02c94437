/**
 * Reads what `lspci -vvv -nn` prints.
 *
 * @module
 */

/** One capability. */
export interface ListedCapability {
  /** Offset in the configuration space. */
  readonly offset: number;
  /** Its first line. */
  readonly title: string;
  /** All its lines, joined by spaces. */
  readonly text: string;
}

/** One function. */
export interface ListedFunction {
  /** As "00:01.0". */
  readonly address: string;
  /** Class and sub-class as four hexadecimal digits. */
  readonly class: string;
  /** "vendor:device" as hexadecimal digits. */
  readonly id: string;
  /** The same of the subsystem; empty where there is none. */
  readonly subsystem: string;
  /** Revision. */
  readonly revision: number;
  /** Lines that describe BARs. */
  readonly regions: readonly string[];
  /** In the order of the chain. */
  readonly capabilities: readonly ListedCapability[];
  /** Everything. */
  readonly text: string;
}

/** The functions of a listing, by address. */
export function parseListing(listing: string): Map<string, ListedFunction> {
  const functions = new Map<string, ListedFunction>();
  for (const text of listing.split(/\n(?=[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] )/)) {
    const head = /^([0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) .*?\[([0-9a-f]{4})\]: .*?\[([0-9a-f]{4}:[0-9a-f]{4})\](.*)/m.exec(
      text,
    );
    if (head === null) continue;
    const [, address, classCode, id, rest] = head;
    const subsystem = /^\tSubsystem: .*\[([0-9a-f]{4}:[0-9a-f]{4})\]/m.exec(text)?.[1] ?? "";
    const capabilities = [...text.matchAll(/^\tCapabilities: \[([0-9a-f]+)\] (.*)((?:\n\t\t.*)*)/gm)].map(
      ([, offset, title, more]) => ({
        offset: parseInt(offset, 16),
        title,
        text: (title + more).replaceAll(/\s+/g, " "),
      }),
    );
    functions.set(address, {
      address,
      class: classCode,
      id,
      subsystem,
      revision: parseInt(/\(rev ([0-9a-f]+)\)/.exec(rest)?.[1] ?? "0", 16),
      regions: [...text.matchAll(/^\tRegion .*/gm)].map(([line]) => line.trim()),
      capabilities,
      text,
    });
  }
  return functions;
}
