/**
 * The legacy devices of the machine and the ports they answer at.
 *
 * @module
 */
import { ACPI_POWER_PORT, ACPI_POWER_PORT_COUNT, AcpiPower, type PowerRequest } from "../legacy/acpi_power.ts";
import { CMOS_PORT, CMOS_PORT_COUNT, CmosRtc } from "../legacy/cmos_rtc.ts";
import { DEBUG_EXIT_PORT, DebugExit } from "../legacy/debug_exit.ts";
import { DEBUG_PORT, DebugPort } from "../legacy/debug_port.ts";
import { I8042, I8042_COMMAND_PORT, I8042_PORT } from "../legacy/i8042.ts";
import { PvPanic, PVPANIC_PORT } from "../legacy/pvpanic.ts";
import { RESET_CONTROL_PORT, ResetControl } from "../legacy/reset_control.ts";
import { Serial16550, SERIAL_PORT_COUNT } from "../legacy/serial16550.ts";
import type { GuestMemory } from "../memory/guest_memory.ts";
import type { CharacterStream } from "../plugin/definition.ts";
import { HIGH_MEMORY_START } from "./layout.ts";
import { PanicWatch } from "./panic_watch.ts";
import type { PortBus } from "./port_bus.ts";

/** First port and interrupt line of COM1. */
export const SERIAL_PORT = 0x3f8;
/** See {@linkcode SERIAL_PORT}. */
export const SERIAL_INTERRUPT = 4;

/** Bytes taken from the outside for the serial port at once. */
const INPUT_PIECE = 256;

/** What the legacy devices ask of the machine. */
export interface LegacyConnections {
  /** The guest turns power off or resets. */
  power(request: PowerRequest): void;
  /** The guest ends its run with a code. */
  exit(code: number): void;
  /** The guest's kernel begins to panic, and still has things to print. */
  panicking(message: string): void;
  /** The guest's kernel has panicked and will do no more. */
  panicked(): void;
  /** Sets an interrupt line of the chips inside KVM. */
  interruptLine(line: number, level: boolean): void;
}

/** Places all legacy devices on the ports, the serial port only if it has a stream. */
export function addLegacyDevices(
  ports: PortBus,
  memory: GuestMemory,
  connections: LegacyConnections,
  streams: { readonly debug: CharacterStream; readonly serial: CharacterStream | undefined },
  watchForPanic: boolean,
): void {
  const sizeAt = (high: boolean) =>
    memory.regions.filter(({ address }) => address >= HIGH_MEMORY_START === high)
      .reduce((sum, { length }) => sum + length, 0);
  ports.claim("acpi-power", ACPI_POWER_PORT, ACPI_POWER_PORT_COUNT, new AcpiPower(connections.power));
  ports.claim("debug-exit", DEBUG_EXIT_PORT, 1, new DebugExit(connections.exit));
  ports.claim("debug-port", DEBUG_PORT, 1, new DebugPort(byteWriter(streams.debug)));
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
  if (streams.serial !== undefined) {
    const watch = watchForPanic ? panicWatch(connections) : undefined;
    ports.claim("serial", SERIAL_PORT, SERIAL_PORT_COUNT, serialPort(streams.serial, connections, watch));
  }
}

function panicWatch(connections: LegacyConnections): PanicWatch {
  return new PanicWatch((reason, isLast) => {
    if (isLast) connections.panicked();
    else connections.panicking(`the guest's kernel panicked: ${reason}`);
  });
}

function serialPort(
  stream: CharacterStream,
  connections: LegacyConnections,
  watch: PanicWatch | undefined,
): Serial16550 {
  const byte = new Uint8Array(1);
  const input = new Uint8Array(INPUT_PIECE);
  let held = new Uint8Array(0);
  const takeInput = () => {
    for (;;) {
      if (held.length === 0) {
        const count = stream.read(input);
        if (count === 0) return;
        held = input.slice(0, count);
      }
      held = held.subarray(port.receive(held));
      if (held.length > 0) return;
    }
  };
  const port = new Serial16550({
    interruptLine: (level) => connections.interruptLine(SERIAL_INTERRUPT, level),
    transmit: (value) => {
      byte[0] = value;
      watch?.see(value);
      return stream.write(byte);
    },
    receiverReady: takeInput,
  });
  stream.onReadable = takeInput;
  stream.onWritable = () => port.transmitterReady();
  return port;
}

function byteWriter(stream: CharacterStream): (value: number) => void {
  const byte = new Uint8Array(1);
  return (value) => {
    byte[0] = value;
    stream.write(byte);
  };
}
