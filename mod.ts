/**
 * Denovisor: a hypervisor you can script.
 *
 * @module
 */
export type { DeviceOptions, DiskOptions, LaunchOptions } from "./src/machine/configuration.ts";
export type { Ending, EndKind } from "./src/machine/ending.ts";
export { examineHost, type Finding, type FindingState, type HostReport } from "./src/machine/host.ts";
export type { DeviceStatistics, ExitCounts, Statistics } from "./src/machine/statistics.ts";
export {
  type Listeners,
  type LogLine,
  type RunReport,
  type StreamOutput,
  VirtualMachine,
} from "./src/machine/virtual_machine.ts";
export { definePciDevice, defineVirtioDevice } from "./src/plugin/api.ts";
