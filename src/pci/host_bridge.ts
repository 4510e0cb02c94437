/**
 * The host bridge at 00:00.0: guests look for it, nobody drives it.
 *
 * @module
 */
import { PciFunction } from "./pci_function.ts";
import * as registers from "./registers.ts";

/** Vendor and device ID of the generic PCI Express host bridge in the PCI ID database. */
const HOST_BRIDGE_VENDOR = 0x1b36;
const HOST_BRIDGE_DEVICE = 0x0008;

/** Its slot by convention. */
export const HOST_BRIDGE_SLOT = 0;

/** A host bridge without registers of its own. Place it at {@linkcode HOST_BRIDGE_SLOT}. */
export class HostBridge extends PciFunction {
  constructor() {
    super({
      id: "host-bridge",
      identity: {
        vendorId: HOST_BRIDGE_VENDOR,
        deviceId: HOST_BRIDGE_DEVICE,
        classCode: registers.CLASS_HOST_BRIDGE,
      },
    });
  }
}
