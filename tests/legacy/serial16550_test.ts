import assert from "node:assert/strict";
import { Serial16550 } from "../../src/legacy/serial16550.ts";

/** Registers by their names in Linux's serial_reg.h. */
const RX = 0, TX = 0, DLL = 0, IER = 1, DLM = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7;
const NO_INTERRUPT = 0x01, THRI = 0x02, RDI = 0x04, RLSI = 0x06, TIMEOUT = 0x0c;

/** A port with the other end of its cable. */
class Setup {
  output = "";
  /** How many more bytes the receiver takes. */
  room = Infinity;
  level = false;
  /** How often the line rose. */
  edges = 0;
  receiverReady = 0;
  readonly port = new Serial16550({
    interruptLine: (level) => {
      assert.notEqual(level, this.level, "the line is set on changes only");
      this.level = level;
      if (level) this.edges++;
    },
    transmit: (byte) => {
      assert.ok(this.room > 0, "a byte was sent although the receiver is full");
      this.output += String.fromCharCode(byte);
      return --this.room > 0;
    },
    receiverReady: () => void this.receiverReady++,
  });

  read(register: number): number {
    return this.port.readPort(register, 1);
  }

  write(register: number, value: number): void {
    this.port.writePort(register, 1, value);
  }

  type(text: string): number {
    return this.port.receive(new TextEncoder().encode(text));
  }

  send(text: string): void {
    for (const byte of new TextEncoder().encode(text)) this.write(TX, byte);
  }
}

Deno.test("serial: the probe of Linux's 8250 driver finds a 16550A", () => {
  const s = new Setup();
  // autoconfig(): the enable register keeps its lower half only.
  s.write(IER, 0);
  assert.equal(s.read(IER) & 0x0f, 0);
  s.write(IER, 0xff);
  assert.equal(s.read(IER), 0x0f);
  s.write(IER, 0);
  // Loopback: OUT2 and RTS appear as DCD and CTS.
  s.write(MCR, 0x10 | 0x0a);
  assert.equal(s.read(MSR) & 0xf0, 0x90);
  s.write(MCR, 0);
  // Enhanced features would show in these register banks; neither may read 0.
  s.write(LCR, 0xbf);
  assert.notEqual(s.read(IIR), 0x00, "a FIFO-less read has the no-interrupt bit");
  s.write(LCR, 0);
  s.write(FCR, 0x01);
  assert.equal(s.read(IIR) >> 6, 3, "FIFOs are enabled and work: 16550A");
  // autoconfig_16550a(): a 16750 would show bit 5 after this, in one bank or in both.
  s.write(FCR, 0x21);
  assert.equal(s.read(IIR) >> 5, 6);
  s.write(LCR, 0x80);
  s.write(FCR, 0x21);
  assert.equal(s.read(IIR) >> 5, 6);
  s.write(LCR, 0);
  // An XScale port would keep the unit-enable bit.
  s.write(IER, 0x40);
  assert.equal(s.read(IER), 0);
  // The scratch register exists, as it did not on the 8250.
  for (const value of [0xa5, 0x5a]) {
    s.write(SCR, value);
    assert.equal(s.read(SCR), value);
  }
});

Deno.test("serial: the start-up tests of Linux's driver find neither of its known defects", () => {
  const s = new Setup();
  assert.notEqual(s.read(LSR), 0xff, "there is a port");
  // UART_BUG_THRE: enabling the interrupt a second time raises it again.
  s.write(IER, 0x02);
  assert.equal(s.read(IIR), THRI);
  s.write(IER, 0);
  s.write(IER, 0x02);
  assert.equal(s.read(IIR), THRI);
  s.write(IER, 0);
  // UART_BUG_TXEN: with an empty transmitter the interrupt is pending at once.
  s.write(IER, 0x02);
  assert.equal(s.read(LSR) & 0x40, 0x40);
  assert.equal(s.read(IIR) & NO_INTERRUPT, 0);
});

Deno.test("serial: the divisor hides behind DLAB", () => {
  const s = new Setup();
  s.write(LCR, 0x83);
  s.write(DLL, 0x34);
  s.write(DLM, 0x12);
  assert.deepEqual([s.read(DLL), s.read(DLM), s.output], [0x34, 0x12, ""]);
  s.write(LCR, 0x03);
  assert.deepEqual([s.read(RX), s.read(IER), s.read(LCR)], [0, 0, 3]);
});

Deno.test("serial: without interrupts bytes go out one by one, and the line stays low", () => {
  const s = new Setup();
  s.send("Hello\n");
  assert.equal(s.output, "Hello\n");
  assert.equal(s.read(LSR), 0x60);
  assert.equal(s.edges, 0);
});

Deno.test("serial: a transmitter interrupt is cleared by looking and comes back after sending", () => {
  const s = new Setup();
  s.write(IER, 0x02);
  assert.equal(s.level, true);
  assert.equal(s.read(IIR), THRI);
  assert.equal(s.level, false);
  assert.equal(s.read(IIR), NO_INTERRUPT);
  s.send("0123456789abcdef");
  assert.equal(s.edges, 2, "one edge for sixteen bytes");
  assert.equal(s.read(IIR), THRI);
  s.write(IER, 0);
  assert.equal(s.level, false);
});

Deno.test("serial: a full receiver makes the transmitter busy and loses none of a FIFO's bytes", () => {
  const s = new Setup();
  s.write(FCR, 0x01);
  s.write(IER, 0x02);
  s.read(IIR);
  s.room = 3;
  s.send("0123456789abcdef");
  assert.equal(s.output, "012");
  assert.equal(s.read(LSR) & 0x60, 0, "neither empty bit is set");
  assert.equal(s.level, false, "no interrupt while it is busy");
  s.room = 4;
  s.port.transmitterReady();
  assert.equal(s.output, "0123456");
  assert.equal(s.read(LSR) & 0x60, 0);
  s.room = Infinity;
  s.port.transmitterReady();
  assert.equal(s.output, "0123456789abcdef");
  assert.equal(s.read(LSR) & 0x60, 0x60);
  assert.equal(s.level, true);
});

Deno.test("serial: a guest that ignores a busy transmitter loses bytes, not our memory", () => {
  const s = new Setup();
  s.room = 1;
  for (let i = 0; i < 10_000; i++) s.write(TX, 0x78);
  s.room = Infinity;
  s.port.transmitterReady();
  assert.equal(s.output.length, 17);
  s.room = 1;
  s.send("abc");
  s.write(FCR, 0x04);
  s.room = Infinity;
  s.port.transmitterReady();
  assert.equal(s.output.slice(17), "abc".slice(0, 1), "clearing the transmitter drops what waits");
});

Deno.test("serial: input interrupts at the trigger level, and below it as a timeout", () => {
  const s = new Setup();
  s.write(FCR, 0x81);
  s.write(IER, 0x01);
  assert.equal(s.type("abc"), 3);
  assert.equal(s.read(IIR), 0xc0 | TIMEOUT);
  assert.equal(s.type("defgh"), 5);
  assert.equal(s.read(IIR), 0xc0 | RDI);
  assert.equal(s.level, true);
  let text = "";
  while ((s.read(LSR) & 0x01) !== 0) text += String.fromCharCode(s.read(RX));
  assert.equal(text, "abcdefgh");
  assert.equal(s.level, false);
  assert.equal(s.read(RX), 0);
});

Deno.test("serial: input is held back, not lost, and asked for when there is room", () => {
  const s = new Setup();
  const taken = s.type("x".repeat(1000));
  assert.equal(taken, 256);
  assert.equal(s.type("y"), 0);
  for (let i = 0; i < 255; i++) s.read(RX);
  assert.equal(s.receiverReady, 0);
  s.read(RX);
  assert.equal(s.receiverReady, 1);
  s.type("z".repeat(300));
  s.write(FCR, 0x03);
  assert.equal(s.read(LSR) & 0x01, 0, "clearing the receiver drops what waits");
  assert.equal(s.receiverReady, 2);
});

Deno.test("serial: in loopback mode bytes come back, and too many are an overrun", () => {
  const s = new Setup();
  s.write(MCR, 0x10);
  s.write(IER, 0x05);
  s.send("echo");
  assert.equal(s.output, "");
  assert.equal(String.fromCharCode(s.read(RX), s.read(RX)), "ec");
  s.send("x".repeat(300));
  assert.equal(s.read(IIR), RLSI);
  assert.equal(s.read(LSR) & 0x02, 0x02);
  assert.equal(s.read(LSR) & 0x02, 0, "reading clears the overrun");
  assert.equal(s.read(IIR), RDI);
});

Deno.test("serial: a change of the modem's inputs interrupts and is cleared by looking", () => {
  const s = new Setup();
  s.write(IER, 0x08);
  assert.equal(s.read(MSR), 0xb0);
  s.write(MCR, 0x10);
  assert.equal(s.level, true);
  assert.equal(s.read(IIR), 0x00);
  assert.equal(s.read(MSR), 0x0b);
  assert.equal(s.level, false);
  s.write(MCR, 0x1f);
  assert.equal(s.read(MSR), 0xff);
});

Deno.test("ROB-1: serial answers any access of any width at any offset", () => {
  const s = new Setup();
  let seed = 99;
  const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0);
  for (let i = 0; i < 20_000; i++) {
    const width = ([1, 2, 4] as const)[random() % 3];
    const offset = (random() >>> 8) % 12;
    if (random() % 2 === 0) s.port.writePort(offset, width, random());
    else {
      const value = s.port.readPort(offset, width);
      assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * width), `read ${value} of width ${width}`);
    }
    if (i % 100 === 0) s.port.receive(new Uint8Array(random() % 40));
    if (i % 77 === 0) s.room = 1 + random() % 20;
    if (i % 77 === 0) s.port.transmitterReady();
    if (s.room === 0) {
      s.room = 5;
      s.port.transmitterReady();
    }
  }
  assert.equal(s.port.readPort(1000, 4), 0xffff_ffff);
});

Deno.test("serial: a wide write reaches neighbouring registers as on an ISA bus", () => {
  const s = new Setup();
  s.port.writePort(0, 2, 0x0241);
  assert.equal(s.output, "A");
  assert.equal(s.read(IER), 0x02);
  assert.equal(s.port.readPort(SCR, 2), 0xff00);
});
