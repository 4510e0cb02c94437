/**
 * What the embedded guest found out, as typed data. `report_reader.ts` makes it out of the guest's lines.
 *
 * @module
 */

/** `bus:device.function` in hexadecimal. */
export type FunctionAddress = string;

/** The outcome of one check. */
export type Verdict = "PASS" | "FAIL" | "SKIP";

/** A range of the guest's memory map. */
export interface MemoryRange {
  /** First guest-physical address. */
  readonly address: number;
  /** Length in bytes. */
  readonly length: number;
  /** Type as in E820: 1 is RAM, 2 reserved. */
  readonly type: number;
}

/** An ACPI table that the guest found. */
export interface AcpiTable {
  /** Its four letters. */
  readonly signature: string;
  /** Guest-physical address. */
  readonly address: number;
  /** Length in bytes. */
  readonly length: number;
}

/** A window onto configuration space, from ACPI's MCFG. */
export interface EcamWindow {
  /** Guest-physical address of bus 0. */
  readonly base: number;
  /** PCI segment group. */
  readonly segment: number;
  /** First bus that it covers. */
  readonly firstBus: number;
  /** Last bus that it covers. */
  readonly lastBus: number;
}

/** An entry of a capability list. */
export interface Capability {
  /** Offset in configuration space; from 0x100 on it is an extended capability. */
  readonly offset: number;
  /** Its id. */
  readonly id: number;
  /** Its name, such as "msi-x" or "virtio-common". */
  readonly name: string;
  /** What else it says, by name. */
  readonly details: Readonly<Record<string, string>>;
}

/** A Base Address Register. */
export interface Bar {
  /** 0-5. */
  readonly index: number;
  /** What it decodes. */
  readonly kind: "memory32" | "memory64" | "io";
  /** Where it decodes; 0 where it was not assigned. */
  readonly address: number;
  /** How many bytes. */
  readonly size: number;
  /** Whether reads have no side effects. */
  readonly prefetchable: boolean;
}

/** A virtqueue. */
export interface Queue {
  /** Index within the device. */
  readonly index: number;
  /** Largest number of descriptors. */
  readonly size: number;
}

/** The virtio side of a function. */
export interface Virtio {
  /** The specification's device type. */
  readonly type: number;
  /** Its name; "other" for types that the guest does not drive. */
  readonly name: string;
  /** Offered features. */
  readonly features: bigint;
  /** How many queues there are. */
  readonly queueCount: number;
  /** MSI-X vectors. */
  readonly vectors: number;
  /** The first queues; at most 16 are listed. */
  readonly queues: readonly Queue[];
  /** What only its type has: capacity, serial … */
  readonly properties: Readonly<Record<string, string>>;
}

/** A PCI function as the guest saw it. */
export interface ProbedFunction {
  /** Where it is. */
  readonly address: FunctionAddress;
  /** Vendor id. */
  readonly vendor: number;
  /** Device id. */
  readonly device: number;
  /** Class, sub-class and interface as 0xCCSSPP. */
  readonly classCode: number;
  /** Revision id. */
  readonly revision: number;
  /** Subsystem as "vendor:device" in hexadecimal. */
  readonly subsystem: string;
  /** Capabilities in the order of the list. */
  readonly capabilities: readonly Capability[];
  /** BARs in ascending order. */
  readonly bars: readonly Bar[];
  /** Present for a virtio function that could be driven. */
  readonly virtio: Virtio | undefined;
}

/** One check and its outcome. */
export interface Check {
  /** How it ended. */
  readonly verdict: Verdict;
  /** Row of the conformance list; undefined where none fits. */
  readonly id: string | undefined;
  /** The function it was made on; undefined for the machine as a whole. */
  readonly function: FunctionAddress | undefined;
  /** What was checked. */
  readonly text: string;
  /** Why it failed or was left out. */
  readonly reason: string | undefined;
}

/** A number of events. */
export interface Count {
  /** What was counted, such as "doorbells". */
  readonly name: string;
  /** Where. */
  readonly function: FunctionAddress | undefined;
  /** How many. */
  readonly value: number;
}

/** A set of measurements, in ticks of the time stamp counter. */
export interface Timing {
  /** What was measured, such as "doorbell-to-interrupt". */
  readonly name: string;
  /** Where. */
  readonly function: FunctionAddress | undefined;
  /** How many measurements. */
  readonly samples: number;
  /** The least. */
  readonly minimum: number;
  /** The middle one. */
  readonly median: number;
  /** The greatest. */
  readonly maximum: number;
}

/** A repeated operation. */
export interface Loop {
  /** What was repeated, such as "port-writes". */
  readonly name: string;
  /** How often. */
  readonly count: number;
  /** Ticks of the time stamp counter in all. */
  readonly ticks: number;
}

/** A processor that came up. */
export interface Processor {
  /** Local APIC id. */
  readonly apicId: number;
  /** Whether the machine started on it. */
  readonly boot: boolean;
}

/** An exception that ended the guest. */
export interface Fault {
  /** Vector of the exception. */
  readonly vector: number;
  /** Its error code. */
  readonly error: number;
  /** Address of the instruction. */
  readonly instruction: bigint;
  /** The address that faulted, for a page fault. */
  readonly address: bigint;
}

/** All that the guest said. */
export interface Report {
  /** The guest's command line. */
  readonly commandLine: string;
  /** Vendor of the processor; "" where the guest did not say. */
  readonly cpuVendor: string;
  /** Frequency of the time stamp counter in kHz; 0 where it is not known. */
  readonly timeStampKhz: number;
  /** The memory map. */
  readonly memory: readonly MemoryRange[];
  /** ACPI tables in the order of the root table. */
  readonly tables: readonly AcpiTable[];
  /** Windows onto configuration space. */
  readonly ecam: readonly EcamWindow[];
  /** The functions of bus 0. */
  readonly functions: readonly ProbedFunction[];
  /** Every check, in the order in which they were made. */
  readonly checks: readonly Check[];
  /** Events counted. */
  readonly counts: readonly Count[];
  /** Measurements. */
  readonly timings: readonly Timing[];
  /** Repeated operations. */
  readonly loops: readonly Loop[];
  /** Processors. */
  readonly processors: readonly Processor[];
  /** Exceptions; at most one. */
  readonly faults: readonly Fault[];
  /** Remarks. */
  readonly notes: readonly string[];
  /** Whether the report has its last line: false where the guest was cut short. */
  readonly complete: boolean;
}

/** Whether the guest finished and found nothing wrong. */
export function passed(report: Report): boolean {
  return report.complete && report.faults.length === 0 && report.checks.every((check) => check.verdict !== "FAIL");
}
