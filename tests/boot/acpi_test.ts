import assert from "node:assert/strict";
import { join } from "node:path";
import * as aml from "../../src/boot/acpi/aml.ts";
import { type AcpiRequest, buildAcpiTables, RESET_PORT, SLEEP_OFF_VALUE } from "../../src/boot/acpi/tables.ts";
import { needs } from "../support/requirements.ts";

const machine: AcpiRequest = {
  vcpus: 2,
  ecam: { address: 0xe000_0000, buses: 16 },
  memoryWindows: [
    { address: 0xc000_0000, length: 0x1000_0000 },
    { address: 0x40_0000_0000, length: 0x40_0000_0000, prefetchable: true },
  ],
  ioWindows: [{ address: 0x1000, length: 0xf000 }],
  serialPorts: [{ port: 0x3f8, interrupt: 4 }],
  rtc: true,
  keyboardController: false,
};
const full: AcpiRequest = { ...machine, keyboardController: true, panicPort: 0x505, powerButton: { interrupt: 5 } };

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte & 0xff, 0);
const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const ascii = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

Deno.test("a guest that searches finds the RSDP, and from it every table, each with a right checksum", () => {
  const { bytes, address, rsdpAddress } = buildAcpiTables(full);
  assert.equal(address, 0xe0000);
  assert.equal(rsdpAddress % 16, 0);
  const at = (guest: number, length: number): Uint8Array => bytes.subarray(guest - address, guest - address + length);
  const rsdp = at(rsdpAddress, 36);
  assert.equal(ascii(rsdp.subarray(0, 8)), "RSD PTR ");
  assert.equal(sum(rsdp.subarray(0, 20)), 0);
  assert.equal(sum(rsdp), 0);
  const table = (guest: number): Uint8Array => {
    const found = at(guest, view(at(guest, 8)).getUint32(4, true));
    assert.equal(sum(found), 0, ascii(found.subarray(0, 4)));
    return found;
  };
  const xsdt = table(Number(view(rsdp).getBigUint64(24, true)));
  assert.equal(ascii(xsdt.subarray(0, 4)), "XSDT");
  const signatures: string[] = [];
  for (let entry = 36; entry < xsdt.length; entry += 8) {
    const found = table(Number(view(xsdt).getBigUint64(entry, true)));
    signatures.push(ascii(found.subarray(0, 4)));
    if (signatures.at(-1) === "FACP") {
      const dsdt = table(Number(view(found).getBigUint64(140, true)));
      assert.equal(ascii(dsdt.subarray(0, 4)), "DSDT");
    }
  }
  assert.deepEqual(signatures, ["FACP", "APIC", "MCFG"]);
});

Deno.test("FADT: hardware-reduced, with ports for reset and power-off, each one byte wide", () => {
  const fadt = buildAcpiTables(machine).tables.get("FACP")!;
  const fields = view(fadt);
  assert.equal(fadt.length, 276);
  const flags = fields.getUint32(112, true);
  assert.equal(flags >>> 20 & 1, 1, "HW_REDUCED_ACPI");
  assert.equal(flags >>> 10 & 1, 1, "RESET_REG_SUP");
  const register = (at: number): number[] => [...fadt.subarray(at, at + 4), Number(fields.getBigUint64(at + 4, true))];
  assert.deepEqual(register(116), [1, 8, 0, 1, RESET_PORT]);
  assert.equal(fadt[128], 6);
  assert.deepEqual(register(244), [1, 8, 0, 1, 0x600]);
  assert.deepEqual(register(256), [1, 8, 0, 1, 0x601]);
  assert.equal(SLEEP_OFF_VALUE, 0x34);
  assert.equal(fields.getUint16(109, true), 0x04, "no VGA; a clock; no 8042");
  const other = view(buildAcpiTables({ ...machine, rtc: false, keyboardController: true }).tables.get("FACP")!);
  assert.equal(other.getUint16(109, true), 0x26, "no VGA; no clock; 8042");
  const moved = view(buildAcpiTables({ ...machine, resetPort: 0x604, sleepControlPort: 0x700 }).tables.get("FACP")!);
  assert.deepEqual([moved.getUint16(120, true), moved.getUint16(248, true), moved.getUint16(260, true)], [
    0x604,
    0x700,
    0x701,
  ]);
});

/** Entries of a MADT as [type, ...bytes]. */
function madtEntries(request: AcpiRequest): number[][] {
  const madt = buildAcpiTables(request).tables.get("APIC")!;
  const entries: number[][] = [];
  for (let at = 44; at < madt.length; at += madt[at + 1]) {
    entries.push([madt[at], ...madt.subarray(at + 2, at + madt[at + 1])]);
  }
  return entries;
}

Deno.test("MADT: every vCPU, as x2APIC where its number is beyond 254; the I/O APIC; the overrides", () => {
  assert.deepEqual(madtEntries(machine), [
    [0, 0, 0, 1, 0, 0, 0],
    [0, 1, 1, 1, 0, 0, 0],
    [1, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
    [2, 0, 0, 2, 0, 0, 0, 0, 0],
    [2, 0, 4, 4, 0, 0, 0, 0, 0],
    [4, 0xff, 0, 0, 1],
  ]);
  const many = madtEntries({ ...machine, vcpus: 300 });
  assert.equal(many.filter(([type]) => type === 0).length, 255);
  const large = many.filter(([type]) => type === 9);
  assert.equal(large.length, 45);
  assert.deepEqual(large[0], [9, 0, 0, 255, 0, 0, 0, 1, 0, 0, 0, 255, 0, 0, 0]);
  assert.deepEqual(madtEntries({ ...machine, interruptOverrides: [] }).filter(([type]) => type === 2), []);
});

Deno.test("MCFG: one segment with all its buses", () => {
  const mcfg = view(buildAcpiTables(machine).tables.get("MCFG")!);
  assert.equal(mcfg.getBigUint64(44, true), 0xe000_0000n);
  assert.deepEqual([mcfg.getUint16(52, true), mcfg.getUint8(54), mcfg.getUint8(55)], [0, 0, 15]);
});

Deno.test("a machine that cannot be described is refused", () => {
  assert.throws(() => buildAcpiTables({ ...machine, vcpus: 0 }), /machine of 0 vCPUs/);
  assert.throws(() => buildAcpiTables({ ...machine, vcpus: 20_000 }), /take \d+ bytes, there is room for 131072/);
  assert.throws(
    () => buildAcpiTables({ ...machine, ecam: { address: 0, buses: 257 } }),
    /257 buses: expected 1 to 256/,
  );
  assert.throws(() => buildAcpiTables({ ...machine, ioWindows: [{ address: 0xff00, length: 0x200 }] }), /0xff00/);
});

Deno.test("AML: integers, names and package lengths take their shortest forms", () => {
  const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  assert.deepEqual(
    [0, 1, 2, 0xff, 0x100, 0xffff, 0x10000, 2 ** 32].map((value) => hex(aml.integer(value))),
    ["00", "01", "0a02", "0aff", "0b0001", "0bffff", "0c00000100", "0e0000000001000000"],
  );
  assert.throws(() => aml.integer(-1), RangeError);
  assert.equal(hex(aml.eisaId("PNP0A08")), "0c41d00a08");
  assert.throws(() => aml.eisaId("pnp0a08"), RangeError);
  assert.equal(hex(aml.path("\\_SB")), "5c5f53425f");
  assert.equal(hex(aml.path("A.B")), "2e415f5f5f425f5f5f");
  assert.equal(hex(aml.path("A.B.C")).slice(0, 4), "2f03");
  assert.throws(() => aml.path("TOOLONG"), RangeError);
  // The length counts its own bytes: at 63 one byte no longer does, at 4095 two.
  for (const [content, prefix] of [[58, "3f"], [59, "4104"], [4089, "4fff"], [4090, "810001"]] as const) {
    const term = aml.scope("ABCD", [new Uint8Array(content)]);
    assert.equal(hex(term).slice(2, 2 + prefix.length), prefix, `${content} bytes`);
    assert.equal(term.length, 1 + prefix.length / 2 + 4 + content);
  }
  assert.equal(hex(aml.uuid("33db4d5b-1ff7-401c-9657-7441c03dd766")), "11130a105b4ddb33f71f1c4096577441c03dd766");
});

/** Runs iasl in a folder and returns what it printed; throws where it failed. */
async function iasl(folder: string, ...args: string[]): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command("iasl", { args, cwd: folder }).output();
  const printed = ascii(stdout) + ascii(stderr);
  assert.ok(success, printed);
  return printed;
}

Deno.test({
  ...needs("iasl disassembles every table without complaint and compiles it again to the same", "iasl"),
  async fn() {
    for (const request of [machine, full, { ...full, vcpus: 300 }]) {
      const folder = await Deno.makeTempDir();
      try {
        for (const [signature, bytes] of buildAcpiTables(request).tables) {
          if (signature === "RSDP") continue;
          await Deno.writeFile(join(folder, `${signature}.aml`), bytes);
          const complaint = /\b(error|warning|invalid|incorrect|unknown|beyond)\b/i;
          assert.doesNotMatch(await iasl(folder, "-d", `${signature}.aml`), complaint, signature);
          const compiled = await iasl(folder, "-oa", "-p", "again", `${signature}.dsl`);
          assert.match(compiled, /0 Errors, 0 Warnings/, `${signature}: ${compiled}`);
          const again = await Deno.readFile(join(folder, "again.aml"));
          // The header holds the compiler's name, and checksum and length that follow from it.
          if (signature !== "DSDT") assert.deepEqual(again.subarray(36), bytes.subarray(36), signature);
        }
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    }
  },
});

Deno.test({
  ...needs("iasl reads in the DSDT what the machine has, and nothing else", "iasl"),
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const source = async (request: AcpiRequest): Promise<string> => {
        await Deno.writeFile(join(folder, "dsdt.aml"), buildAcpiTables(request).tables.get("DSDT")!);
        await iasl(folder, "-d", "dsdt.aml");
        return (await Deno.readTextFile(join(folder, "dsdt.dsl"))).replaceAll(/\s+/g, " ");
      };
      const small = await source(machine);
      assert.match(small, /EisaId \("PNP0A08"\)/);
      assert.match(small, /DWordMemory .*? 0xC0000000, .*? 0xCFFFFFFF/);
      assert.match(
        small,
        /QWordMemory \(ResourceProducer, .*? Prefetchable, .*? 0x0000004000000000, .*? 0x0000007FFFFFFFFF/,
      );
      assert.match(small, /WordBusNumber .*? 0x000F,/);
      assert.match(small, /PNP0C02.*?QWordMemory \(ResourceConsumer, .*? 0x00000000E0000000, .*? 0x00000000E0FFFFFF/);
      assert.match(
        small,
        /COM1.*?0x03F8.*?Interrupt \(ResourceConsumer, Edge, ActiveHigh, Exclusive, ,, \) \{ 0x00000004,/,
      );
      assert.match(small, /Name \(\\?_S5, Package \(0x04\)[^{]*\{ 0x05, Zero, Zero, Zero/);
      assert.doesNotMatch(small, /QEMU0001|PNP0303|PNP0C0C|ACPI0013/);
      const large = await source(full);
      assert.match(large, /QEMU0001.*?0x0505/);
      assert.match(large, /ACPI0013.*?If \(\(Arg0 == 0x05\)\) \{ Notify \(\\_SB\.PWRB, 0x80\)/);
      assert.match(large, /PNP0303/);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
