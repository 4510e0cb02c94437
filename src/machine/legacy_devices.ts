/**
 * The legacy devices of the machine and the ports they answer at.
 *
 * @module
 */
import { ACPI_POWER_PORT, ACPI_POWER_PORT_COUNT, AcpiPower, type PowerRequest } from "../legacy/acpi_power.ts";
import { CMOS_PORT, CMOS_PORT_COUNT, CmosRtc } from "../legacy/cmos_rtc.ts";
import { DEBUG_EXIT_PORT, DebugExit } from "../legacy/debug_exit.ts";
import { I8042, I8042_COMMAND_PORT, I8042_PORT } from "../legacy/i8042.ts";
import { PvPanic, PVPANIC_PORT } from "../legacy/pvpanic.ts";
import { RESET_CONTROL_PORT, ResetControl } from "../legacy/reset_control.ts";
import type { GuestMemory } from "../memory/guest_memory.ts";
import { HIGH_MEMORY_START } from "./layout.ts";
import type { PortBus } from "./port_bus.ts";

/** What the legacy devices ask of the machine. */
export interface LegacyConnections {
  /** The guest turns power off or resets. */
  power(request: PowerRequest): void;
  /** The guest ends its run with a code. */
  exit(code: number): void;
  /** The guest's kernel has panicked and will do no more. */
  panicked(): void;
}

/** Places all legacy devices that the machine isolate answers on the ports. */
export function addLegacyDevices(ports: PortBus, memory: GuestMemory, connections: LegacyConnections): void {
  const sizeAt = (high: boolean) =>
    memory.regions.filter(({ address }) => address >= HIGH_MEMORY_START === high)
      .reduce((sum, { length }) => sum + length, 0);
  ports.claim("acpi-power", ACPI_POWER_PORT, ACPI_POWER_PORT_COUNT, new AcpiPower(connections.power));
  ports.claim("debug-exit", DEBUG_EXIT_PORT, 1, new DebugExit(connections.exit));
  ports.claim(
    "cmos",
    CMOS_PORT,
    CMOS_PORT_COUNT,
    new CmosRtc({ memoryBelow4G: sizeAt(false), memoryAbove4G: sizeAt(true) }),
  );
  const keyboard = new I8042(() => connections.power("reset"));
  ports.claim("i8042", I8042_PORT, 1, keyboard);
  ports.claim("i8042", I8042_COMMAND_PORT, 1, {
    readPort: (offset, width) => keyboard.readPort(offset + I8042_COMMAND_PORT - I8042_PORT, width),
    writePort: (offset, width, value) => keyboard.writePort(offset + I8042_COMMAND_PORT - I8042_PORT, width, value),
  });
  ports.claim("reset-control", RESET_CONTROL_PORT, 1, new ResetControl(() => connections.power("reset")));
  const panic = new PvPanic((event) => {
    if (event === "panicked") connections.panicked();
  });
  ports.claim("pvpanic", PVPANIC_PORT, 1, panic);
}
