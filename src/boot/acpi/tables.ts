/**
 * The ACPI tables of a machine: RSDP, XSDT, FADT, MADT, MCFG, DSDT.
 *
 * The machine is "hardware-reduced" (ACPI 6.5, 4.1): no SCI, no PM timer, no fixed registers. Power-off is a write of
 * `SLEEP_OFF_VALUE` to the sleep control port, reset one of `RESET_VALUE` to the reset port. Linux then leaves PIT and PIC alone
 * and reaches the serial port's interrupt through the I/O APIC, for which the MADT has an override that keeps its number.
 *
 * @module
 */
import { BootError } from "../errors.ts";
import { ACPI_ADDRESS, ACPI_ROOM, type AddressRange } from "../layout.ts";
import { ascii, concat, littleEndian } from "./aml.ts";
import { SLEEP_TYPE_OFF, systemDescription } from "./dsdt.ts";

/** A range of guest-physical addresses that the host bridge passes on to its devices. */
export interface MemoryWindow extends AddressRange {
  /** Whether it is meant for prefetchable BARs. */
  readonly prefetchable?: boolean;
}

/** An ISA interrupt that arrives at an input of the I/O APIC. */
export interface InterruptOverride {
  /** ISA interrupt number. */
  readonly source: number;
  /** Global system interrupt: input of the I/O APIC. */
  readonly gsi: number;
}

/** The machine that the tables describe. */
export interface AcpiRequest {
  /** Number of vCPUs; their APIC identifiers are 0, 1, 2 … */
  readonly vcpus: number;
  /** Memory-mapped configuration space: 1 MiB per bus. */
  readonly ecam: { readonly address: number; readonly buses: number };
  /** Memory of the host bridge, below and above 4 GiB. */
  readonly memoryWindows: readonly MemoryWindow[];
  /** I/O ports of the host bridge. */
  readonly ioWindows: readonly AddressRange[];
  /** 16550 serial ports, COM1 first. */
  readonly serialPorts: readonly { readonly port: number; readonly interrupt: number }[];
  /** Whether there is a CMOS clock at 0x70. */
  readonly rtc: boolean;
  /** Whether there is an i8042 at 0x60 that the guest shall look for. Resetting through it works without. */
  readonly keyboardController: boolean;
  /** Port of pvpanic (by custom 0x505). */
  readonly panicPort?: number | undefined;
  /** A power button, and the interrupt by which the machine says that it was pressed. */
  readonly powerButton?: { readonly interrupt: number } | undefined;
  /** Port that resets the machine when {@linkcode RESET_VALUE} is written; by default {@linkcode RESET_PORT}. */
  readonly resetPort?: number | undefined;
  /** Port of the sleep control register; the status register is next to it. By default {@linkcode SLEEP_CONTROL_PORT}. */
  readonly sleepControlPort?: number | undefined;
  /** ISA interrupts; by default the timer at input 2, as on every PC, and the serial ports' own numbers. */
  readonly interruptOverrides?: readonly InterruptOverride[] | undefined;
}

/** Finished tables. */
export interface AcpiTables {
  /** All tables, to be written at {@linkcode address}. */
  readonly bytes: Uint8Array;
  /** Guest-physical address that they are made for. */
  readonly address: number;
  /** Guest-physical address of the RSDP. */
  readonly rsdpAddress: number;
  /** Each table by its signature, for tools and tests. */
  readonly tables: ReadonlyMap<string, Uint8Array>;
}

/** The reset control register of PC chipsets, one byte wide. */
export const RESET_PORT = 0xcf9;
/** What the guest writes to it: full reset. */
export const RESET_VALUE = 0x06;
/** Sleep control register; {@linkcode SLEEP_OFF_VALUE} powers off. */
export const SLEEP_CONTROL_PORT = 0x600;
/** The sleep status register is this far behind: reads 0, writes are ignored. */
export const SLEEP_STATUS_OFFSET = 1;
/** SLP_EN and the sleep type of soft-off in SLP_TYP (4.8.3.7). */
export const SLEEP_OFF_VALUE: number = 0x20 | SLEEP_TYPE_OFF << 2;

/** The local APICs. */
const LOCAL_APIC_ADDRESS = 0xfee0_0000;
/** The I/O APIC that KVM emulates. */
const IO_APIC_ADDRESS = 0xfec0_0000;
/** ISA interrupt of the timer, and the input where a PC has it. */
const TIMER: InterruptOverride = { source: 0, gsi: 2 };
/** Highest identifier of an APIC in its first form; larger ones are x2APIC only. */
const LAST_XAPIC_ID = 254;

const OEM_ID = "DENOVR";
const OEM_TABLE_ID = "DENOVISR";
const CREATOR_ID = "DENO";
const HEADER_LENGTH = 36;
const CHECKSUM_OFFSET = 9;
const TABLE_ALIGNMENT = 16;
const RSDP_LENGTH = 36;
const RSDP_V1_LENGTH = 20;

/** Fields of the FADT (5.2.9). */
const FADT = {
  bootArchitecture: 109,
  flags: 112,
  resetRegister: 116,
  resetValue: 128,
  minorVersion: 131,
  dsdt: 140,
  sleepControl: 244,
  sleepStatus: 256,
  length: 276,
} as const;
const FADT_WBINVD = 1 << 0;
const FADT_PROCESSOR_C1 = 1 << 2;
/** The power button is a device, not a fixed register. */
const FADT_POWER_BUTTON_DEVICE = 1 << 4;
/** As for the sleep button, of which there is none. */
const FADT_SLEEP_BUTTON_DEVICE = 1 << 5;
const FADT_RESET_REGISTER = 1 << 10;
const FADT_HARDWARE_REDUCED = 1 << 20;
const BOOT_8042 = 1 << 1;
const BOOT_NO_VGA = 1 << 2;
const BOOT_NO_CMOS_RTC = 1 << 5;

const MADT_LOCAL_APIC = 0;
const MADT_IO_APIC = 1;
const MADT_OVERRIDE = 2;
const MADT_LOCAL_APIC_NMI = 4;
const MADT_LOCAL_X2APIC = 9;
const MADT_LOCAL_X2APIC_NMI = 10;
const APIC_ENABLED = 1;
/** Polarity and trigger "as the bus has it": edge, active high for ISA. */
const CONFORMING = 0;
/** NMI arrives at this local input. */
const NMI_INPUT = 1;

/**
 * Makes all tables.
 *
 * @throws {BootError} The machine cannot be described: no vCPU, or more than the room for tables holds.
 */
export function buildAcpiTables(request: AcpiRequest): AcpiTables {
  if (!Number.isInteger(request.vcpus) || request.vcpus < 1) {
    throw new BootError(`Cannot describe a machine of ${request.vcpus} vCPUs: expected a positive integer`);
  }
  if (request.ecam.buses < 1 || request.ecam.buses > 256) {
    throw new BootError(`Cannot describe a PCI segment of ${request.ecam.buses} buses: expected 1 to 256`);
  }
  // The root pointer comes first, so that guests that search for it find it; the rest needs to know only what it points to.
  let next = align(ACPI_ADDRESS + RSDP_LENGTH);
  const placed: { address: number; bytes: Uint8Array }[] = [];
  const place = (bytes: Uint8Array): number => {
    const address = next;
    placed.push({ address, bytes });
    next = align(next + bytes.length);
    return address;
  };
  const dsdt = table("DSDT", 2, systemDescription(request));
  const fadt = fixedDescription(request, place(dsdt));
  const madt = interruptControllers(request);
  const mcfg = configurationSpace(request);
  const pointers = [fadt, madt, mcfg].map((bytes) => littleEndian(place(bytes), 8));
  const xsdt = table("XSDT", 1, concat(pointers));
  const rsdp = rootPointer(place(xsdt));
  placed.unshift({ address: ACPI_ADDRESS, bytes: rsdp });

  const length = next - ACPI_ADDRESS;
  if (length > ACPI_ROOM) {
    throw new BootError(
      `Cannot describe a machine of ${request.vcpus} vCPUs: its ACPI tables take ${length} bytes, there is room for ${ACPI_ROOM}`,
    );
  }
  const bytes = new Uint8Array(length);
  for (const { address, bytes: part } of placed) bytes.set(part, address - ACPI_ADDRESS);
  const tables = new Map([["RSDP", rsdp], ["XSDT", xsdt], ["FACP", fadt], ["APIC", madt], ["MCFG", mcfg], [
    "DSDT",
    dsdt,
  ]]);
  return { bytes, address: ACPI_ADDRESS, rsdpAddress: ACPI_ADDRESS, tables };
}

/** Fixed ACPI description table: that nothing is fixed, and where to reset and power off. */
function fixedDescription(request: AcpiRequest, dsdtAddress: number): Uint8Array {
  const sleepControl = request.sleepControlPort ?? SLEEP_CONTROL_PORT;
  const body = new Uint8Array(FADT.length - HEADER_LENGTH);
  const put = (offset: number, value: Uint8Array): void => body.set(value, offset - HEADER_LENGTH);
  put(
    FADT.bootArchitecture,
    littleEndian(
      BOOT_NO_VGA | (request.keyboardController ? BOOT_8042 : 0) | (request.rtc ? 0 : BOOT_NO_CMOS_RTC),
      2,
    ),
  );
  put(
    FADT.flags,
    littleEndian(
      FADT_WBINVD | FADT_PROCESSOR_C1 | FADT_POWER_BUTTON_DEVICE | FADT_SLEEP_BUTTON_DEVICE | FADT_RESET_REGISTER
        | FADT_HARDWARE_REDUCED,
      4,
    ),
  );
  put(FADT.resetRegister, portAddress(request.resetPort ?? RESET_PORT));
  put(FADT.resetValue, littleEndian(RESET_VALUE, 1));
  put(FADT.minorVersion, littleEndian(5, 1));
  put(FADT.dsdt, littleEndian(dsdtAddress, 8));
  put(FADT.sleepControl, portAddress(sleepControl));
  put(FADT.sleepStatus, portAddress(sleepControl + SLEEP_STATUS_OFFSET));
  return table("FACP", 6, body);
}

/** Multiple APIC description table: the vCPUs, the I/O APIC, and where ISA interrupts arrive. */
function interruptControllers(request: AcpiRequest): Uint8Array {
  const overrides = request.interruptOverrides
    ?? [TIMER, ...request.serialPorts.map(({ interrupt }) => ({ source: interrupt, gsi: interrupt }))];
  const ids = Array.from({ length: request.vcpus }, (_, index) => index);
  const hasX2Apic = request.vcpus > LAST_XAPIC_ID + 1;
  const allProcessors8 = 0xff;
  const allProcessors32 = 0xffff_ffff;
  const legacyPic = 0;
  return table(
    "APIC",
    5,
    concat([
      fields([LOCAL_APIC_ADDRESS, 4], [legacyPic, 4]),
      ...ids.map((id) =>
        id <= LAST_XAPIC_ID
          ? entry(MADT_LOCAL_APIC, [id, 1], [id, 1], [APIC_ENABLED, 4])
          : entry(MADT_LOCAL_X2APIC, [0, 2], [id, 4], [APIC_ENABLED, 4], [id, 4])
      ),
      entry(MADT_IO_APIC, [0, 1], [0, 1], [IO_APIC_ADDRESS, 4], [0, 4]),
      ...overrides.map(({ source, gsi }) => entry(MADT_OVERRIDE, [0, 1], [source, 1], [gsi, 4], [CONFORMING, 2])),
      entry(MADT_LOCAL_APIC_NMI, [allProcessors8, 1], [CONFORMING, 2], [NMI_INPUT, 1]),
      ...(hasX2Apic
        ? [entry(MADT_LOCAL_X2APIC_NMI, [CONFORMING, 2], [allProcessors32, 4], [NMI_INPUT, 1], [0, 3])]
        : []),
    ]),
  );
}

/** Memory-mapped configuration space (PCI Firmware Specification 3.3, 4.1.2). */
function configurationSpace({ ecam }: AcpiRequest): Uint8Array {
  const segment = 0;
  const firstBus = 0;
  return table("MCFG", 1, fields([0, 8], [ecam.address, 8], [segment, 2], [firstBus, 1], [ecam.buses - 1, 1], [0, 4]));
}

/** Root system description pointer, with its two checksums (5.2.5.3). */
function rootPointer(xsdtAddress: number): Uint8Array {
  const revision = 2;
  const bytes = concat([
    ascii("RSD PTR "),
    fields([0, 1]),
    ascii(OEM_ID),
    fields([revision, 1], [0, 4], [RSDP_LENGTH, 4], [xsdtAddress, 8], [0, 1], [0, 3]),
  ]);
  bytes[8] = checksum(bytes.subarray(0, RSDP_V1_LENGTH));
  bytes[32] = checksum(bytes);
  return bytes;
}

/** A table: the header that all have in common (5.2.6), its body, its checksum. */
function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const bytes = concat([
    ascii(signature),
    fields([HEADER_LENGTH + body.length, 4], [revision, 1], [0, 1]),
    ascii(OEM_ID),
    ascii(OEM_TABLE_ID),
    fields([1, 4]),
    ascii(CREATOR_ID),
    fields([1, 4]),
    body,
  ]);
  bytes[CHECKSUM_OFFSET] = checksum(bytes);
  return bytes;
}

/** An entry of the MADT: type, length, fields. */
function entry(type: number, ...values: readonly Field[]): Uint8Array {
  const body = fields(...values);
  return concat([fields([type, 1], [body.length + 2, 1]), body]);
}

/** A generic address structure for one byte-wide port (5.2.3.2). */
function portAddress(port: number): Uint8Array {
  const systemIo = 1;
  const bitWidth = 8;
  const bitOffset = 0;
  const byteAccess = 1;
  return fields([systemIo, 1], [bitWidth, 1], [bitOffset, 1], [byteAccess, 1], [port, 8]);
}

/** A number and its width in bytes. */
type Field = readonly [value: number, width: number];

function fields(...values: readonly Field[]): Uint8Array {
  return concat(values.map(([value, width]) => littleEndian(value, width)));
}

/** The byte that makes all bytes add up to 0. */
function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

function align(address: number): number {
  return Math.ceil(address / TABLE_ALIGNMENT) * TABLE_ALIGNMENT;
}
