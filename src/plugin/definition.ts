/**
 * What a plugin module exports, and what a device gets from its host. A plugin imports this through
 * `@denovisor/denovisor/plugin` and nothing else of the project.
 *
 * @module
 */
import type { PciDevice } from "../pci/device.ts";
import type { DescriptorChain, VirtioDevice } from "../virtio/device.ts";
import type { OptionSchema, OutputOf } from "./schema.ts";

/** A map from option name to its schema. Values arrive as text from the command line, or typed from the API. */
export type OptionSchemas = Readonly<Record<string, OptionSchema>>;

/** The validated options of a plugin. */
export type OptionValues<Schemas extends OptionSchemas> = {
  readonly [Key in keyof Schemas]: OutputOf<Schemas[Key]>;
};

/** What a device is given by its host when it is created. */
export interface DeviceHost {
  /** The device's unique name on its machine. */
  readonly id: string;
  /** A line for the people who run the machine. Never call it per request. */
  log(message: string): void;
  /** The bytes of the configuration space have changed: the driver is told. */
  configurationChanged(): void;
  /** The device cannot go on (a broken queue, say): DEVICE_NEEDS_RESET is set and the driver is told. */
  needsReset(reason: string): void;
  /**
   * Opens a regular file or block device for asynchronous I/O from and to guest memory.
   *
   * @throws {Error} It is missing, a directory, not readable or not writable; the message names path, cause and remedy.
   */
  openFile(path: string, options: OpenFileOptions): DeviceFile;
  /** A stream of characters to and from the outside: the terminal, a file, a script. */
  openCharacterStream(name: string): CharacterStream;
}

/** How a {@linkcode DeviceFile} is opened and where its completions go. */
export interface OpenFileOptions {
  /** Whether it is written. */
  readonly writable: boolean;
  /** Whether the host's page cache is passed over (O_DIRECT). */
  readonly direct?: boolean;
  /**
   * An operation on a chain has ended.
   *
   * @param result Bytes transferred (always all that was asked for), or a negative errno.
   */
  completed(chain: DescriptorChain, result: number): void;
}

/**
 * A file that devices read and write asynchronously. Every operation is identified by the chain it serves, ends in exactly one
 * `completed` call, and is complete or failed: short transfers are continued by the host.
 */
export interface DeviceFile extends Disposable {
  /** Length in bytes at opening. */
  readonly size: number;
  /** Logical block size of a block device; 512 for a regular file. */
  readonly blockSize: number;
  /** Reads `length` bytes at `position` of the file into the chain's writable part, from its byte `at` on. */
  read(chain: DescriptorChain, at: number, length: number, position: number): void;
  /** Writes `length` bytes of the chain's readable part, from its byte `at` on, at `position` of the file. */
  write(chain: DescriptorChain, at: number, length: number, position: number): void;
  /** Makes all completed writes durable. */
  flush(chain: DescriptorChain): void;
  /** Gives back the space of a range; it reads zero or its old content. */
  discard(chain: DescriptorChain, position: number, length: number): void;
  /** Makes a range read zero; `mayDeallocate` permits to give back its space. */
  writeZeroes(chain: DescriptorChain, position: number, length: number, mayDeallocate: boolean): void;
  /** Reads at once, for headers and small sources; returns the number of bytes read. */
  readSync(into: Uint8Array, position: number): number;
  /** Waits until no operation is in flight. Their `completed` calls have been made when it returns. */
  drain(): void;
}

/** Characters to and from the outside. */
export interface CharacterStream extends Disposable {
  /** Sends bytes out; they are copied. Returns false when the receiver falls behind: hold back until `onWritable`. */
  write(data: Uint8Array): boolean;
  /** Called when input has arrived; take it with {@linkcode read}. */
  onReadable: (() => void) | undefined;
  /** Called when the receiver has caught up. */
  onWritable: (() => void) | undefined;
  /** Called when the terminal's size changed. */
  onResize: (() => void) | undefined;
  /** Takes up to `into.length` bytes of waiting input; returns how many. */
  read(into: Uint8Array): number;
  /** Columns of the terminal; 0 where there is none. */
  readonly columns: number;
  /** Rows of the terminal; 0 where there is none. */
  readonly rows: number;
}

/** A virtio device as a plugin defines it. */
export interface VirtioDefinition<Schemas extends OptionSchemas = OptionSchemas> {
  /** Name by which errors, logs and `--device NAME` call it. */
  readonly name: string;
  /** One line for `--help`. */
  readonly description?: string;
  /** The specification's device type: 2 block, 4 entropy … */
  readonly deviceType: number;
  /** PCI class code as 0xCCSSPP, where the transport's choice by type does not fit. */
  readonly pciClass?: number;
  /** The options that it takes. */
  readonly options?: Schemas;
  /** Makes one device. Throw an error that tells what is wrong with the options' values, if they are. */
  create(options: OptionValues<Schemas>, host: DeviceHost): VirtioDevice;
}

/** A PCI function of any kind as a plugin defines it. */
export interface PciDefinition<Schemas extends OptionSchemas = OptionSchemas> {
  /** See {@linkcode VirtioDefinition.name}. */
  readonly name: string;
  /** See {@linkcode VirtioDefinition.description}. */
  readonly description?: string;
  /** See {@linkcode VirtioDefinition.options}. */
  readonly options?: Schemas;
  /** Makes one function. */
  create(options: OptionValues<Schemas>, host: DeviceHost): PciDevice;
}

/** A map of validated values whose schemas are no longer known to the compiler. */
export type ErasedOptions = Readonly<Record<string, unknown>>;

/** Marks a plugin, whichever copy of the project its author's module imported. Its value is {@linkcode PLUGIN_VERSION}. */
export const PLUGIN_TAG: unique symbol = Symbol.for("denovisor.plugin") as never;

/** Version of the contract between plugins and the project: what {@linkcode PLUGIN_TAG} holds. */
export const PLUGIN_VERSION = 1;

/** A virtio device that can be made, with the types of its options erased: what a module's default export is. */
export interface VirtioPlugin extends Omit<VirtioDefinition, "options" | "create"> {
  /** See {@linkcode PLUGIN_VERSION}. */
  readonly [PLUGIN_TAG]: number;
  /** Tells the kinds of plugins apart. */
  readonly kind: "virtio";
  /** The options that it takes; empty for none. */
  readonly options: OptionSchemas;
  /** Makes one device of options that were validated against {@linkcode options}. */
  create(options: ErasedOptions, host: DeviceHost): VirtioDevice;
}

/** A PCI function that can be made, with the types of its options erased: what a module's default export is. */
export interface PciPlugin extends Omit<PciDefinition, "options" | "create"> {
  /** See {@linkcode PLUGIN_VERSION}. */
  readonly [PLUGIN_TAG]: number;
  /** Tells the kinds of plugins apart. */
  readonly kind: "pci";
  /** The options that it takes; empty for none. */
  readonly options: OptionSchemas;
  /** Makes one function of options that were validated against {@linkcode options}. */
  create(options: ErasedOptions, host: DeviceHost): PciDevice;
}

/** Anything that a module can export to be a device. */
export type Plugin = VirtioPlugin | PciPlugin;
