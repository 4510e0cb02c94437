/**
 * Everything that the author of a device needs. A device imports this module, as `@denovisor/denovisor/plugin`, and
 * nothing else of the project; the devices that come with it do the same.
 *
 * @module
 */
export { definePciDevice, defineVirtioDevice } from "./define.ts";
export { PLUGIN_TAG, PLUGIN_VERSION } from "./definition.ts";
export type {
  CharacterStream,
  DeviceFile,
  DeviceHost,
  ErasedOptions,
  OpenFileOptions,
  OptionSchemas,
  OptionValues,
  PciDefinition,
  PciPlugin,
  Plugin,
  VirtioDefinition,
  VirtioPlugin,
} from "./definition.ts";
export { DeviceType } from "./device_type.ts";
export { type IntegerLimits, option, optional, type OptionKinds } from "./options.ts";

export type { GuestMemory, MemoryRegion } from "../memory/guest_memory.ts";
export type { ConfigurationSpace, FunctionIdentity } from "../pci/configuration_space.ts";
export type { AccessWidth, BarKind, BarMapping, BarRequest, PciDevice, PciSlot } from "../pci/device.ts";
export type { InterruptController, InterruptVectors } from "../pci/interrupt_controller.ts";
export type { Msix, MsixPlacement } from "../pci/msix.ts";
export { type CapabilityDeclaration, PciFunction, type PciFunctionOptions } from "../pci/pci_function.ts";
export type { Activation, DescriptorChain, QueueDeclaration, VirtioDevice, Virtqueue } from "../virtio/device.ts";
export type { DescribedSchema, OptionSchema, OutputOf, SchemaIssue, SchemaMembers, SchemaResult } from "./schema.ts";
