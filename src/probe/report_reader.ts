/**
 * From the embedded guest's lines on the debug port to a {@linkcode Report}. The protocol is described in
 * `guest/README.md`.
 *
 * @module
 */
import { Fields, parseHexadecimal, required, requiredBig } from "./fields.ts";
import type {
  AcpiTable,
  Bar,
  Capability,
  Check,
  Count,
  EcamWindow,
  Fault,
  FunctionAddress,
  Loop,
  MemoryRange,
  ProbedFunction,
  Processor,
  Queue,
  Report,
  Timing,
  Virtio,
} from "./report.ts";

/** The version of the protocol that this reader understands. */
export const PROTOCOL_VERSION = 1;

/** A line of a report that cannot be understood. */
export class ReportError extends Error {
  /** Its number, from 1. */
  readonly line: number;

  /**
   * @param line The line's number, from 1.
   * @param text The line.
   * @param problem What is wrong with it.
   */
  constructor(line: number, text: string, problem: string) {
    super(
      `Cannot read the embedded guest's report: line ${line} ${JSON.stringify(text.slice(0, SHOWN))}: ${problem}. `
        + `Run the guest with the denovisor version it came with; if it is, this is a defect worth reporting`,
    );
    this.name = "ReportError";
    this.line = line;
  }
}

/** How much of a wrong line an error shows. */
const SHOWN = 120;

const TAB = 0x09;
const FIRST_PRINTABLE = 0x20;
const LAST_PRINTABLE = 0x7e;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

interface FunctionDraft extends Mutable<Omit<ProbedFunction, "capabilities" | "bars" | "virtio">> {
  readonly capabilities: Capability[];
  readonly bars: Bar[];
  virtio: VirtioDraft | undefined;
}

interface VirtioDraft extends Mutable<Omit<Virtio, "queues" | "properties">> {
  readonly queues: Queue[];
  readonly properties: Map<string, string>;
}

function isPrintable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code !== TAB && (code < FIRST_PRINTABLE || code > LAST_PRINTABLE)) return false;
  }
  return true;
}

function finished(draft: FunctionDraft): ProbedFunction {
  const { virtio } = draft;
  return {
    ...draft,
    virtio: virtio && { ...virtio, properties: Object.fromEntries(virtio.properties) },
  };
}

/** Collects lines as they come, and gives the report at any time. */
export class ReportReader {
  #lines = 0;
  #begun = false;
  #complete = false;
  #commandLine = "";
  #cpuVendor = "";
  #timeStampKhz = 0;
  readonly #memory: MemoryRange[] = [];
  readonly #tables: AcpiTable[] = [];
  readonly #ecam: EcamWindow[] = [];
  readonly #functions = new Map<FunctionAddress, FunctionDraft>();
  readonly #checks: Check[] = [];
  readonly #counts: Count[] = [];
  readonly #timings: Timing[] = [];
  readonly #loops: Loop[] = [];
  readonly #processors: Processor[] = [];
  readonly #faults: Fault[] = [];
  readonly #notes: string[] = [];

  /** Reads one line without its line feed. Lines of an unknown kind are passed over. */
  readonly #kinds: Readonly<Record<string, (fields: Fields) => void>> = {
    begin: (fields) => {
      const version = fields.number("version");
      if (version !== PROTOCOL_VERSION) {
        throw new SyntaxError(`the protocol has version ${version}, this reader understands ${PROTOCOL_VERSION}`);
      }
      this.#commandLine = fields.text("command line");
      this.#begun = true;
    },
    cpu: (fields) => {
      this.#cpuVendor = fields.text("vendor");
      this.#timeStampKhz = fields.number("frequency");
    },
    memory: (fields) => {
      this.#memory.push({
        address: fields.number("address"),
        length: fields.number("length"),
        type: fields.number("type"),
      });
    },
    table: (fields) => {
      this.#tables.push({
        signature: fields.text("signature"),
        address: fields.number("address"),
        length: fields.number("length"),
      });
    },
    ecam: (fields) => {
      this.#ecam.push({
        base: fields.number("base"),
        segment: fields.number("segment"),
        firstBus: fields.number("first bus"),
        lastBus: fields.number("last bus"),
      });
    },
    function: (fields) => this.#readFunction(fields),
    capability: (fields) => {
      this.#function(fields).capabilities.push({
        offset: fields.hexadecimal("offset"),
        id: fields.hexadecimal("id"),
        name: fields.text("name"),
        details: Object.fromEntries(fields.pairs("details")),
      });
    },
    bar: (fields) => {
      this.#function(fields).bars.push({
        index: fields.number("index"),
        kind: fields.oneOf("kind", ["memory32", "memory64", "io"]),
        address: fields.number("address"),
        size: fields.number("size"),
        prefetchable: fields.oneOf("flags", ["prefetchable", "-"]) === "prefetchable",
      });
    },
    virtio: (fields) => this.#readVirtio(fields),
    queue: (fields) => {
      this.#virtio(fields).queues.push({ index: fields.number("index"), size: fields.number("size") });
    },
    device: (fields) => {
      const virtio = this.#virtio(fields);
      virtio.properties.set(fields.text("property"), fields.text("value"));
    },
    check: (fields) => {
      this.#checks.push({
        verdict: fields.oneOf("verdict", ["PASS", "FAIL", "SKIP"]),
        id: fields.optional(),
        function: fields.functionOrNone(),
        text: fields.text("text"),
        reason: fields.optional(),
      });
    },
    count: (fields) => {
      this.#counts.push({
        name: fields.text("name"),
        function: fields.functionOrNone(),
        value: fields.number("value"),
      });
    },
    time: (fields) => {
      this.#timings.push({
        name: fields.text("name"),
        function: fields.functionOrNone(),
        samples: fields.number("samples"),
        minimum: fields.number("minimum"),
        median: fields.number("median"),
        maximum: fields.number("maximum"),
      });
    },
    loop: (fields) => {
      this.#loops.push({
        name: fields.text("name"),
        count: fields.number("count"),
        ticks: fields.number("ticks"),
      });
    },
    processor: (fields) => {
      this.#processors.push({
        apicId: fields.number("APIC id"),
        boot: fields.oneOf("state", ["boot", "started"]) === "boot",
      });
    },
    fault: (fields) => {
      this.#faults.push({
        vector: fields.number("vector"),
        error: fields.number("error code"),
        instruction: fields.big("instruction"),
        address: fields.big("address"),
      });
    },
    note: (fields) => {
      this.#notes.push(fields.text("text"));
    },
    end: (fields) => {
      const failures = fields.number("failures");
      const counted = this.#checks.filter((check) => check.verdict === "FAIL").length;
      if (failures !== counted) {
        throw new SyntaxError(
          `the guest counted ${failures} failures, but ${counted} are in the report: lines are lost`,
        );
      }
      this.#complete = true;
    },
  };

  /**
   * Takes one line.
   *
   * @param line The line, with or without its line feed.
   * @throws {ReportError} It is malformed, comes before `begin` or after `end`.
   */
  push(line: string): void {
    this.#lines++;
    const text = line.replace(/\r?\n?$/, "");
    if (text === "") return;
    const parts = text.split("\t");
    const kind = parts[0];
    try {
      if (!isPrintable(text)) throw new SyntaxError("it holds bytes that are not printable ASCII");
      if (kind === "begin" ? this.#begun : !this.#begun) {
        throw new SyntaxError(this.#begun ? "the report began already" : 'a report begins with "begin"');
      }
      if (this.#complete) throw new SyntaxError('nothing may follow "end"');
      if (Object.hasOwn(this.#kinds, kind)) this.#kinds[kind](new Fields(parts));
    } catch (error) {
      if (error instanceof SyntaxError) throw new ReportError(this.#lines, text, error.message);
      throw error;
    }
  }

  /** What was said so far. */
  report(): Report {
    return {
      commandLine: this.#commandLine,
      cpuVendor: this.#cpuVendor,
      timeStampKhz: this.#timeStampKhz,
      memory: this.#memory,
      tables: this.#tables,
      ecam: this.#ecam,
      functions: [...this.#functions.values()].map(finished),
      checks: this.#checks,
      counts: this.#counts,
      timings: this.#timings,
      loops: this.#loops,
      processors: this.#processors,
      faults: this.#faults,
      notes: this.#notes,
      complete: this.#complete,
    };
  }

  #readFunction(fields: Fields): void {
    const address = fields.function();
    if (this.#functions.has(address)) throw new SyntaxError(`the function ${address} was reported already`);
    const identity = fields.text("vendor:device").split(":");
    if (identity.length !== 2) throw new SyntaxError(`"${identity.join(":")}" is not vendor:device`);
    const pairs = fields.pairs("properties");
    this.#functions.set(address, {
      address,
      vendor: parseHexadecimal(identity[0], "vendor"),
      device: parseHexadecimal(identity[1], "device"),
      classCode: parseHexadecimal(required(pairs, "class"), "class"),
      revision: parseHexadecimal(required(pairs, "revision"), "revision"),
      subsystem: required(pairs, "subsystem"),
      capabilities: [],
      bars: [],
      virtio: undefined,
    });
  }

  #readVirtio(fields: Fields): void {
    const draft = this.#function(fields);
    const type = fields.number("type");
    const name = fields.text("name");
    const pairs = fields.pairs("properties");
    draft.virtio = {
      type,
      name,
      features: requiredBig(pairs, "features"),
      queueCount: Number(requiredBig(pairs, "queues")),
      vectors: Number(requiredBig(pairs, "vectors")),
      queues: [],
      properties: new Map(),
    };
  }

  #function(fields: Fields): FunctionDraft {
    const address = fields.function();
    const draft = this.#functions.get(address);
    if (!draft) throw new SyntaxError(`the function ${address} was not reported before`);
    return draft;
  }

  #virtio(fields: Fields): VirtioDraft {
    const draft = this.#function(fields);
    if (!draft.virtio) throw new SyntaxError(`${draft.address} was not reported as virtio before`);
    return draft.virtio;
  }
}

/**
 * Reads a whole report.
 *
 * @example
 * ```ts
 * import { parseReport } from "./report_reader.ts";
 * const report = parseReport("begin\t1\tmode=exit\nend\t0\n");
 * console.log(report.complete, report.commandLine); // true "mode=exit"
 * ```
 *
 * @param text All that the guest wrote to the debug port. A last line without a line feed is taken as cut short and
 * left out.
 * @throws {ReportError} A line is malformed.
 */
export function parseReport(text: string): Report {
  const reader = new ReportReader();
  const lines = text.split("\n");
  for (const line of lines.slice(0, -1)) reader.push(line);
  return reader.report();
}
