import assert from "node:assert/strict";
import * as power from "../../src/legacy/acpi_power.ts";
import { DebugExit } from "../../src/legacy/debug_exit.ts";
import { DebugPort } from "../../src/legacy/debug_port.ts";
import { I8042, I8042_COMMAND_PORT, I8042_PORT } from "../../src/legacy/i8042.ts";
import type { PortDevice } from "../../src/legacy/port_device.ts";
import { PvPanic } from "../../src/legacy/pvpanic.ts";

const COMMAND = I8042_COMMAND_PORT - I8042_PORT;

Deno.test("keyboard controller: the reset line is pulled by pulse commands and through the output port", () => {
  let resets = 0;
  const controller = new I8042(() => void resets++);
  controller.writePort(COMMAND, 1, 0xfe);
  assert.equal(resets, 1);
  for (const harmless of [0xff, 0xf1, 0xaa, 0x20, 0xd1, 0x00]) controller.writePort(COMMAND, 1, harmless);
  controller.writePort(0, 1, 0xfe);
  assert.equal(resets, 1, "a data byte alone does nothing");
  controller.writePort(COMMAND, 1, 0xd1);
  controller.writePort(0, 1, 0xdf);
  assert.equal(resets, 1, "the output port with the line up (A20 on)");
  controller.writePort(COMMAND, 1, 0xd1);
  controller.writePort(0, 1, 0xde);
  controller.writePort(0, 1, 0xde);
  assert.equal(resets, 2);
});

Deno.test("keyboard controller: commands are taken at once, and drivers give up on the keyboard soon", () => {
  const controller = new I8042(() => {});
  for (let i = 0; i < 20; i++) {
    assert.equal(controller.readPort(COMMAND, 1) & 0x02, 0, "room for a command");
    assert.equal(controller.readPort(COMMAND, 1) & 0x01, 1, "the output buffer never gets empty");
    assert.equal(controller.readPort(0, 1), 0);
  }
});

Deno.test("ACPI power: soft-off and reset are asked for by exactly their values", () => {
  const requests: power.PowerRequest[] = [];
  const device = new power.AcpiPower((request) => void requests.push(request));
  const control = power.SLEEP_CONTROL_PORT - power.ACPI_POWER_PORT;
  const reset = power.RESET_PORT - power.ACPI_POWER_PORT;
  for (let value = 0; value < 256; value++) device.writePort(control, 1, value);
  // SLP_TYP 5, SLP_EN; bits 0, 1, 6 and 7 do not matter.
  assert.equal(requests.length, 16);
  assert.ok(requests.every((request) => request === "poweroff"));
  requests.length = 0;
  for (let value = 0; value < 256; value++) device.writePort(reset, 1, value);
  assert.deepEqual(requests, ["reset"]);
  assert.equal(device.readPort(control, 1), 0);
  assert.equal(device.readPort(power.SLEEP_STATUS_PORT - power.ACPI_POWER_PORT, 1), 0);
  assert.deepEqual(
    [power.SLEEP_CONTROL_PORT, power.SLEEP_STATUS_PORT, power.RESET_PORT, power.RESET_VALUE, power.SLEEP_TYPE_SOFT_OFF],
    [0x600, 0x601, 0x604, 1, 5],
    "what the FADT and the DSDT name",
  );
});

Deno.test("panic notification: supported events are read, reported ones written", () => {
  const events: string[] = [];
  const device = new PvPanic((event) => void events.push(event));
  assert.equal(device.readPort(0, 1), 0x03);
  device.writePort(0, 1, 0x01);
  device.writePort(0, 1, 0x02);
  device.writePort(0, 1, 0x03);
  device.writePort(0, 1, 0xfc);
  device.writePort(1, 1, 0x01);
  assert.deepEqual(events, ["panicked", "crashLoaded", "panicked"]);
});

Deno.test("debug port: every byte of an access is text, and reading tells that it is there", () => {
  let text = "";
  const device = new DebugPort((byte) => void (text += String.fromCharCode(byte)));
  device.writePort(0, 1, 0x141);
  device.writePort(0, 2, 0x4342);
  device.writePort(0, 4, 0x47464544);
  assert.equal(text, "ABCDEFG");
  assert.equal(device.readPort(0, 1), 0xe9);
});

Deno.test("debug exit: the low byte is the code", () => {
  const codes: number[] = [];
  const device = new DebugExit((code) => void codes.push(code));
  device.writePort(0, 1, 0);
  device.writePort(0, 4, 0x1234);
  device.writePort(1, 1, 7);
  assert.deepEqual(codes, [0, 0x34]);
});

Deno.test("ROB-1: ports answer any access of any width at any offset", () => {
  const devices: PortDevice[] = [
    new I8042(() => {}),
    new power.AcpiPower(() => {}),
    new PvPanic(() => {}),
    new DebugPort(() => {}),
    new DebugExit(() => {}),
  ];
  for (const device of devices) {
    for (const offset of [0, 1, 2, 3, 4, 5, 7, 100, 65535]) {
      for (const width of [1, 2, 4] as const) {
        for (const value of [0, 1, 0xff, 0xffff_ffff, 0x8000_0000]) device.writePort(offset, width, value);
        const read = device.readPort(offset, width);
        assert.ok(Number.isInteger(read) && read >= 0 && read < 2 ** (8 * width), `${device.constructor.name} ${read}`);
      }
    }
  }
});
