/**
 * What the control isolate and the machine isolate tell each other. Messages to the machine are followed by a ring of its
 * control event, since it does not look at its messages while it waits for devices.
 *
 * @module
 */
import type { Ending } from "./ending.ts";
import type { Statistics } from "./statistics.ts";

/** A device to be plugged in. */
export interface DeviceRequest {
  /** Built-in name, path or URL of the plugin module. Relative paths were resolved by the control isolate. */
  readonly plugin: string;
  /** Unique name; made from the plugin's name where absent. */
  readonly id?: string;
  /** Options as given, not yet validated. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Device number on the bus, 1-31. */
  readonly slot?: number;
}

/** A machine to be built: everything validated but the plugins' own options. */
export interface MachineRequest {
  /** Path of the kernel, or its bytes. */
  readonly kernel: string | Uint8Array;
  /** Path of the initramfs, or its bytes. */
  readonly initramfs?: string | Uint8Array;
  /** Kernel command line. */
  readonly cmdline: string;
  /** Number of vCPUs. */
  readonly cpus: number;
  /** Bytes of RAM. */
  readonly memory: number;
  /** Devices in the order of their slots. */
  readonly devices: readonly DeviceRequest[];
  /** Where the first serial port's characters go, as a stream name; undefined for no port at all. */
  readonly serial?: string;
  /** Whether register dumps are wanted when a run fails. */
  readonly verbose: boolean;
  /** Whether the guest's panics are recognised on the serial port too. */
  readonly watchForPanic: boolean;
  /** `performance.timeOrigin + performance.now()` at the launch. */
  readonly launchedAt: number;
  /** Whether the machine is started anew after a reset: what it printed to files before is kept. */
  readonly isReboot?: boolean;
}

/** The shared blocks of a machine. */
export interface SharedBlocks {
  /** One per vCPU, see mailbox.ts. */
  readonly mailboxes: readonly SharedArrayBuffer[];
  /** See `MACHINE_SLEEPS` in mailbox.ts; from {@linkcode CREDIT_BASE} on, the bytes not yet consumed per stream. */
  readonly shared: SharedArrayBuffer;
  /** See `claimedPorts` in mailbox.ts. */
  readonly claimedPorts: SharedArrayBuffer;
  /** See `SharedPorts` in shared_ports.ts. */
  readonly sharedPorts: SharedArrayBuffer;
}

/** First word of `SharedBlocks.shared` that counts a stream's bytes in flight towards the control isolate. */
export const CREDIT_BASE = 16;
/** How many streams a machine can have. */
export const STREAM_LIMIT = 64;
/** First word of `SharedBlocks.shared` that counts a stream's input that its device has not yet taken. */
export const INPUT_CREDIT_BASE: number = CREDIT_BASE + STREAM_LIMIT;
/** Bytes of `SharedBlocks.shared`. */
export const SHARED_BYTES: number = (INPUT_CREDIT_BASE + STREAM_LIMIT) * 4;
/** A stream is held back while more bytes than this are in flight. */
export const STREAM_HIGH_WATER: number = 1 << 20;

/** From control to machine. */
export type ToMachine =
  | { readonly type: "build"; readonly request: MachineRequest; readonly blocks: SharedBlocks }
  | { readonly type: "stop"; readonly ending: Ending }
  | { readonly type: "input"; readonly stream: number; readonly data: Uint8Array }
  | { readonly type: "resize"; readonly stream: number; readonly columns: number; readonly rows: number }
  | { readonly type: "drained"; readonly stream: number }
  | { readonly type: "vcpu-failed"; readonly index: number; readonly message: string }
  /** Nobody will write to the control event any more: the isolate may close it, and itself. */
  | { readonly type: "release" };

/** From machine to control. */
export type FromMachine =
  /** The control event exists: messages can be announced by writing to it. */
  | { readonly type: "ready"; readonly controlEvent: number }
  | { readonly type: "started"; readonly notes: readonly string[]; readonly timeline: Readonly<Record<string, number>> }
  | { readonly type: "stream"; readonly stream: number; readonly name: string }
  | { readonly type: "output"; readonly stream: number; readonly data: Uint8Array }
  | { readonly type: "input-drained"; readonly stream: number }
  | { readonly type: "log"; readonly device: string; readonly message: string }
  | { readonly type: "failed"; readonly message: string; readonly stack: string }
  | { readonly type: "ended"; readonly ending: Ending; readonly statistics: Statistics };
