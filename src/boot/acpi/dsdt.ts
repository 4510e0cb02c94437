/**
 * The machine as ACPI's namespace tells it: what cannot be found by enumeration.
 *
 * @module
 */
import * as aml from "./aml.ts";
import type { AcpiRequest } from "./tables.ts";

/** Sleep type of "soft off": what the guest writes to the sleep control register to power off. */
export const SLEEP_TYPE_OFF = 5;

/** Interface of a PCI host bridge that hands control of features to the guest (PCI Firmware Specification 3.3, 4.5.1). */
const PCI_HOST_BRIDGE_UUID = "33db4d5b-1ff7-401c-9657-7441c03dd766";
/** What the guest may control: native hot-plug (bit 0) and the PCI Express capability structure (bit 4). */
const CONTROL_GRANTED = 0x11;
/** Bits of the first dword that `_OSC` returns. */
const OSC_UNKNOWN_INTERFACE = 0x04;
const OSC_UNKNOWN_REVISION = 0x08;
const OSC_CONTROL_DENIED = 0x10;
const OSC_REVISION = 1;

/** Ports of the PCI configuration mechanism, which the host bridge keeps for itself. */
const CONFIGURATION_PORT = 0xcf8;
const CONFIGURATION_PORTS = 8;
const SERIAL_PORTS = 8;
const RTC_PORT = 0x70;
const RTC_PORTS = 2;
const KEYBOARD_DATA_PORT = 0x60;
const KEYBOARD_COMMAND_PORT = 0x64;
const KEYBOARD_INTERRUPT = 1;
/** Notification of a button that it was pressed. */
const BUTTON_PRESSED = 0x80;

/** The definition block's terms. */
export function systemDescription(request: AcpiRequest): aml.Aml {
  const devices = [
    hostBridge(request),
    motherboard(request),
    ...request.serialPorts.map(serialPort),
    ...(request.rtc ? [realTimeClock()] : []),
    ...(request.keyboardController ? [keyboardController()] : []),
    ...(request.panicPort === undefined ? [] : [panicDevice(request.panicPort)]),
    ...(request.powerButton === undefined ? [] : powerButton(request.powerButton.interrupt)),
  ];
  const softOff = aml.packageOf([aml.integer(SLEEP_TYPE_OFF), aml.integer(0), aml.integer(0), aml.integer(0)]);
  return aml.concat([aml.scope("\\_SB_", devices), aml.name("\\_S5_", softOff)]);
}

function hostBridge({ ecam, memoryWindows, ioWindows }: AcpiRequest): aml.Aml {
  return aml.device("PC00", [
    aml.name("_HID", aml.eisaId("PNP0A08")),
    aml.name("_CID", aml.eisaId("PNP0A03")),
    aml.name("_SEG", aml.integer(0)),
    aml.name("_BBN", aml.integer(0)),
    aml.name("_UID", aml.integer(0)),
    aml.name(
      "_CRS",
      aml.resourceTemplate([
        aml.busNumbers(0, ecam.buses),
        aml.ioPorts(CONFIGURATION_PORT, CONFIGURATION_PORTS),
        ...ioWindows.map(({ address, length }) => aml.ioWindow(address, length)),
        ...memoryWindows.map(({ address, length, prefetchable }) =>
          aml.memoryWindow(address, length, prefetchable ?? false)
        ),
      ]),
    ),
    controlNegotiation(),
  ]);
}

/** `_OSC`: the guest asks in the third dword for control of features and gets what we allow. */
function controlNegotiation(): aml.Aml {
  const [interfaceId, revision, , capabilities] = aml.ARGUMENTS;
  const status = aml.path("CDW1");
  const control = aml.path("CDW3");
  const addToStatus = (bit: number): aml.Aml => aml.or(status, aml.integer(bit), status);
  return aml.method("_OSC", 4, [
    aml.dwordField(capabilities, 0, "CDW1"),
    aml.when(
      aml.equal(interfaceId, aml.uuid(PCI_HOST_BRIDGE_UUID)),
      [
        aml.dwordField(capabilities, 8, "CDW3"),
        aml.and(control, aml.integer(CONTROL_GRANTED), aml.LOCAL0),
        aml.when(aml.not(aml.equal(revision, aml.integer(OSC_REVISION))), [addToStatus(OSC_UNKNOWN_REVISION)]),
        aml.when(aml.not(aml.equal(control, aml.LOCAL0)), [addToStatus(OSC_CONTROL_DENIED)]),
        aml.store(aml.LOCAL0, control),
      ],
      [addToStatus(OSC_UNKNOWN_INTERFACE)],
    ),
    aml.returnValue(capabilities),
  ]);
}

/** Takes the ECAM window, without which Linux does not use it. */
function motherboard({ ecam }: AcpiRequest): aml.Aml {
  return aml.device("MBRD", [
    aml.name("_HID", aml.eisaId("PNP0C02")),
    aml.name("_UID", aml.integer(0)),
    aml.name("_CRS", aml.resourceTemplate([aml.deviceMemory(ecam.address, ecam.buses * 2 ** 20)])),
  ]);
}

function serialPort({ port, interrupt }: AcpiRequest["serialPorts"][number], index: number): aml.Aml {
  return aml.device(`COM${index + 1}`, [
    aml.name("_HID", aml.eisaId("PNP0501")),
    aml.name("_UID", aml.integer(index)),
    aml.name("_CRS", aml.resourceTemplate([aml.ioPorts(port, SERIAL_PORTS), aml.interruptLine(interrupt)])),
  ]);
}

/** Time only: without an interrupt there are no alarms. */
function realTimeClock(): aml.Aml {
  return aml.device("RTC_", [
    aml.name("_HID", aml.eisaId("PNP0B00")),
    aml.name("_CRS", aml.resourceTemplate([aml.ioPorts(RTC_PORT, RTC_PORTS)])),
  ]);
}

function keyboardController(): aml.Aml {
  return aml.device("KBD_", [
    aml.name("_HID", aml.eisaId("PNP0303")),
    aml.name(
      "_CRS",
      aml.resourceTemplate([
        aml.ioPorts(KEYBOARD_DATA_PORT, 1),
        aml.ioPorts(KEYBOARD_COMMAND_PORT, 1),
        aml.interruptLine(KEYBOARD_INTERRUPT),
      ]),
    ),
  ]);
}

/** pvpanic: the guest's kernel writes to the port when it panics (QEMU, docs/specs/pvpanic). */
function panicDevice(port: number): aml.Aml {
  const presentEnabledShownWorking = 0x0f;
  return aml.device("PEVT", [
    aml.name("_HID", aml.string("QEMU0001")),
    aml.name("_STA", aml.integer(presentEnabledShownWorking)),
    aml.name("_CRS", aml.resourceTemplate([aml.ioPorts(port, 1)])),
  ]);
}

/** A button, and the generic event device whose interrupt says that it was pressed (5.6.9). */
function powerButton(interrupt: number): aml.Aml[] {
  return [
    aml.device("PWRB", [aml.name("_HID", aml.eisaId("PNP0C0C")), aml.name("_UID", aml.integer(0))]),
    aml.device("GED_", [
      aml.name("_HID", aml.string("ACPI0013")),
      aml.name("_UID", aml.integer(0)),
      aml.name("_CRS", aml.resourceTemplate([aml.interruptLine(interrupt)])),
      aml.method("_EVT", 1, [
        aml.when(aml.equal(aml.ARGUMENTS[0], aml.integer(interrupt)), [aml.notify("\\_SB_.PWRB", BUTTON_PRESSED)]),
      ]),
    ]),
  ];
}
