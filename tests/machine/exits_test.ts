import assert from "node:assert/strict";
import { Exits } from "../../src/machine/exits.ts";
import { ECAM, LOW_MEMORY_LIMIT, MEMORY32_WINDOW } from "../../src/machine/layout.ts";
import { Field, MAILBOX_BYTES, RequestKind } from "../../src/machine/mailbox.ts";
import { PortBus } from "../../src/machine/port_bus.ts";
import { PciBus } from "../../src/pci/bus.ts";
import type { AccessWidth } from "../../src/pci/device.ts";
import { HostBridge } from "../../src/pci/host_bridge.ts";
import { PciFunction } from "../../src/pci/pci_function.ts";

const HOST_BRIDGE_ID = 0x0d57_1b36;
const HIGH_BAR = 8 * 2 ** 30;

/** Remembers what is written to its BARs: 32-bit registers at BAR 0 (memory), BAR 1 (I/O) and BAR 2 (above 4 GiB). */
class Scratch extends PciFunction {
  readonly log: string[] = [];

  constructor() {
    super({
      id: "scratch",
      identity: { vendorId: 0x1234, deviceId: 0x5678, classCode: 0xff0000 },
      bars: [
        { index: 0, kind: "memory32", size: 4096 },
        { index: 1, kind: "io", size: 16 },
        { index: 2, kind: "memory64", size: 4096 },
      ],
    });
  }

  protected override readRegister(bar: number, offset: number, width: AccessWidth): number {
    this.log.push(`read ${bar}:${offset}/${width}`);
    return 0xa000_0000 + offset;
  }

  protected override writeRegister(bar: number, offset: number, width: AccessWidth, value: number): void {
    this.log.push(`write ${bar}:${offset}/${width} ${value.toString(16)}`);
  }
}

function setUp() {
  const bus = new PciBus({
    windows: {
      memory32: MEMORY32_WINDOW,
      memory64: { address: HIGH_BAR, length: 2 ** 30 },
      io: { address: 0x1000, length: 0xf000 },
    },
  });
  bus.add(new HostBridge(), 0);
  const scratch = new Scratch();
  bus.add(scratch, 3);
  // Memory and I/O space on.
  bus.writeEcam((3 << 15) + 4, 2, 3);
  const ports = new PortBus(new Uint8Array(65536));
  const written: string[] = [];
  ports.claim("test", 0x60, 4, {
    readPort: (offset, width) => offset * 16 + width,
    writePort: (offset, width, value) => written.push(`${offset}/${width} ${value.toString(16)}`),
  });
  const exits = new Exits(ports, bus);
  const mailbox = new Int32Array(MAILBOX_BYTES / 4);
  const request = (kind: number, address: number, width: number, low = 0, high = 0): [low: number, high: number] => {
    mailbox[Field.kind] = kind;
    mailbox[Field.addressLow] = address % 2 ** 32;
    mailbox[Field.addressHigh] = Math.floor(address / 2 ** 32);
    mailbox[Field.width] = width;
    mailbox[Field.dataLow] = low;
    mailbox[Field.dataHigh] = high;
    exits.handle(mailbox);
    return [mailbox[Field.dataLow] >>> 0, mailbox[Field.dataHigh] >>> 0];
  };
  const bars = [0x10, 0x14, 0x18].map((at) => bus.readEcam((3 << 15) + at, 4));
  return { exits, request, scratch, written, memoryBar: bars[0], ioBar: bars[1] & ~3, highBar: HIGH_BAR };
}

Deno.test("port exits reach the device at the port, and count for it", () => {
  const { exits, request, written } = setUp();
  assert.deepEqual(request(RequestKind.portRead, 0x62, 2)[0], 0x22);
  request(RequestKind.portWrite, 0x61, 4, 0xdead_beef | 0);
  assert.deepEqual(written, ["1/4 deadbeef"]);
  assert.equal(exits.places.test, 2);
});

Deno.test("BUS-1: port exits at 0xcf8 and 0xcfc reach configuration space", () => {
  const { exits, request } = setUp();
  request(RequestKind.portWrite, 0xcf8, 4, 0x8000_0000 | 0);
  const [identity] = request(RequestKind.portRead, 0xcfc, 4);
  assert.equal(identity & 0xffff, HOST_BRIDGE_ID & 0xffff);
  request(RequestKind.portWrite, 0xcf8, 4, 0x8000_f800 | 0);
  assert.equal(request(RequestKind.portRead, 0xcfc, 4)[0], 0xffff_ffff, "an empty slot");
  assert.equal(exits.places["pci configuration"], 4);
});

Deno.test("BUS-2: memory exits in ECAM reach configuration space, eight bytes as two fours", () => {
  const { exits, request } = setUp();
  const slot3 = ECAM.address + (3 << 15);
  assert.deepEqual(request(RequestKind.memoryRead, slot3, 4), [0x5678_1234, 0]);
  assert.deepEqual(request(RequestKind.memoryRead, slot3 + 2, 2), [0x5678, 0]);
  const [low, high] = request(RequestKind.memoryRead, slot3, 8);
  assert.deepEqual([low, high & 3], [0x5678_1234, 3]);
  request(RequestKind.memoryWrite, slot3 + 4, 2, 0);
  assert.equal(request(RequestKind.memoryRead, slot3 + 4, 2)[0], 0, "the command register was written");
  assert.equal(exits.places["pci configuration"], 6);
});

Deno.test("memory and port exits in a BAR reach its function, above 4 GiB too", () => {
  const { exits, request, scratch, memoryBar, ioBar, highBar } = setUp();
  assert.deepEqual(request(RequestKind.memoryRead, memoryBar + 8, 4), [0xa000_0008, 0]);
  request(RequestKind.memoryWrite, highBar + 16, 8, 0x1111_1111, 0x2222_2222);
  assert.equal(request(RequestKind.portRead, ioBar + 4, 4)[0], 0xa000_0004);
  assert.deepEqual(scratch.log, ["read 0:8/4", "write 2:16/4 11111111", "write 2:20/4 22222222", "read 1:4/4"]);
  assert.equal(exits.places["pci bars"], 3);
});

Deno.test("ROB-1: where nobody is, reads give all ones and writes are forgotten", () => {
  const { exits, request } = setUp();
  assert.equal(request(RequestKind.portRead, 0x80, 1)[0] & 0xff, 0xff);
  request(RequestKind.portWrite, 0x80, 4, -1);
  for (const address of [LOW_MEMORY_LIMIT + 2 ** 24, 0xffff_fffc, 2 ** 40, 2 ** 52 - 8, 2 ** 64 - 2 ** 12]) {
    assert.deepEqual(request(RequestKind.memoryRead, address, 8), [0xffff_ffff, 0xffff_ffff], address.toString(16));
    request(RequestKind.memoryWrite, address, 8, 1, 1);
  }
  assert.equal(exits.places.unclaimed, 22);
});

Deno.test("ROB-1: accesses of odd widths and at borders read zero or ones, and never throw", () => {
  const { exits, request, memoryBar } = setUp();
  for (const width of [0, 3, 5, 6, 7]) {
    assert.deepEqual(request(RequestKind.memoryRead, memoryBar, width), [0, 0]);
    request(RequestKind.memoryWrite, memoryBar, width, -1, -1);
  }
  assert.equal(exits.places.unaligned, 10);
  for (const width of [1, 2, 4, 8]) {
    for (const address of [ECAM.address - 1, ECAM.address + ECAM.length - 1, memoryBar + 4095, memoryBar - 3]) {
      request(RequestKind.memoryRead, address, width);
      request(RequestKind.memoryWrite, address, width, -1, -1);
    }
  }
});
