import assert from "node:assert/strict";
import { EBADF, EINTR } from "../../../ffi/errno.ts";
import { EventDescriptor } from "../../../ffi/event_descriptor.ts";
import {
  Capability,
  ExitReason,
  exitReasonName,
  InterruptChip,
  IoDirection,
  MemorySlotFlag,
  Msr,
} from "../../../ffi/kvm/constants.ts";
import { InterruptRoutingTable } from "../../../ffi/kvm/machine.ts";
import { kvmIrqchip, kvmIrqRouting, kvmIrqRoutingEntry } from "../../../ffi/kvm/structs.ts";
import { KvmSystem } from "../../../ffi/kvm/system.ts";
import { KvmVcpu } from "../../../ffi/kvm/vcpu.ts";
import { decode } from "../../../ffi/struct.ts";
import { installWakeSignal, wakeThread } from "../../../ffi/thread.ts";
import { needs } from "../../support/requirements.ts";
import { assertNoDescriptorIsLeft, mappedRanges, openDescriptors } from "../support.ts";
import { MEMORY_SIZE, PROGRAM_ADDRESS, type SmallMachine, smallMachine } from "./kvm_guest.ts";

/** Ports that the programs write to. */
const REPORT_PORT = 0xe9;
const DOORBELL_PORT = 0x510;

/** Runs until the guest stops, and asserts that it stopped for the reason. */
function runUntil({ vcpu }: SmallMachine, reason: number): void {
  assert.equal(vcpu.run(), 0);
  assert.equal(exitReasonName(vcpu.exitReason), exitReasonName(reason));
}

Deno.test({
  ...needs("the host's KVM tells version, capabilities, CPUID and registers", "kvm"),
  fn: () => {
    assertNoDescriptorIsLeft(() => {
      using system = KvmSystem.open();
      assert.equal(system.apiVersion(), 12);
      assert.ok(system.vcpuMapSize() >= 4096);
      assert.equal(system.checkExtension(Capability.userMemory), 1);
      assert.ok(system.checkExtension(Capability.memorySlots) >= 32);
      assert.equal(system.checkExtension(9999), 0);
      const cpuid = system.supportedCpuid();
      assert.equal(cpuid.length, 8 + new DataView(cpuid.buffer).getUint32(0, true) * 40);
      assert.ok(system.supportedMsrs().includes(Msr.timeStampCounter));
    });
  },
});

Deno.test("a device that is not KVM is refused by name", () => {
  assertNoDescriptorIsLeft(() => {
    assert.throws(() => KvmSystem.open("/dev/null"), { code: "ENOTTY", operation: "ioctl(KVM_GET_API_VERSION)" });
    assert.throws(() => KvmSystem.open("/dev/no-kvm"), { code: "ENOENT", operation: `open("/dev/no-kvm")` });
  });
});

Deno.test({
  ...needs("a real-mode guest writes to a port, reads from another, and halts", "kvm"),
  fn: () => {
    assertNoDescriptorIsLeft(() => {
      using small = smallMachine();
      const { vcpu } = small;
      // mov ax, 0x1234; out 0xe9, ax; mov dx, 0x510; in al, dx; out 0xe9, al; hlt
      small.load([0xb8, 0x34, 0x12, 0xe7, 0xe9, 0xba, 0x10, 0x05, 0xec, 0xe6, 0xe9, 0xf4]);
      runUntil(small, ExitReason.io);
      assert.deepEqual([vcpu.ioDirection, vcpu.ioSize, vcpu.ioPort, vcpu.ioCount], [
        IoDirection.out,
        2,
        REPORT_PORT,
        1,
      ]);
      assert.equal(vcpu.view.getUint16(vcpu.ioDataOffset, true), 0x1234);
      runUntil(small, ExitReason.io);
      assert.deepEqual([vcpu.ioDirection, vcpu.ioSize, vcpu.ioPort], [IoDirection.in, 1, DOORBELL_PORT]);
      vcpu.bytes[vcpu.ioDataOffset] = 0x5a;
      runUntil(small, ExitReason.io);
      assert.deepEqual([vcpu.ioDirection, vcpu.bytes[vcpu.ioDataOffset]], [IoDirection.out, 0x5a]);
      runUntil(small, ExitReason.halt);
      assert.equal(vcpu.getRegisters().rip, BigInt(PROGRAM_ADDRESS + 12));
      assert.equal(vcpu.getRegisters().rax & 0xffn, 0x5an);
    });
  },
});

Deno.test({
  ...needs("accesses to memory that is none stop with address, width and data", "kvm"),
  fn: () => {
    using small = smallMachine();
    const { vcpu } = small;
    // mov ax, 0xf000; mov ds, ax; mov byte [0x1234], 0x77; mov bx, [0x1238]; hlt
    small.load([0xb8, 0x00, 0xf0, 0x8e, 0xd8, 0xc6, 0x06, 0x34, 0x12, 0x77, 0x8b, 0x1e, 0x38, 0x12, 0xf4]);
    runUntil(small, ExitReason.mmio);
    assert.deepEqual([vcpu.mmioAddress, vcpu.mmioLength, vcpu.mmioIsWrite], [0xf1234, 1, true]);
    assert.deepEqual([vcpu.mmioAddressLow, vcpu.mmioAddressHigh, vcpu.bytes[vcpu.mmioDataOffset]], [0xf1234, 0, 0x77]);
    runUntil(small, ExitReason.mmio);
    assert.deepEqual([vcpu.mmioAddress, vcpu.mmioLength, vcpu.mmioIsWrite], [0xf1238, 2, false]);
    vcpu.view.setUint16(vcpu.mmioDataOffset, 0xbeef, true);
    runUntil(small, ExitReason.halt);
    assert.equal(vcpu.getRegisters().rbx & 0xffffn, 0xbeefn);
  },
});

Deno.test({
  ...needs("pages that a guest writes are logged", "kvm"),
  fn: () => {
    using small = smallMachine({ memoryFlags: MemorySlotFlag.logDirtyPages });
    const bitmap = new BigUint64Array(1);
    small.machine.getDirtyLog(0, bitmap);
    // mov byte [0x5000], 1; hlt
    small.load([0xc6, 0x06, 0x00, 0x50, 0x01, 0xf4]);
    runUntil(small, ExitReason.halt);
    small.machine.getDirtyLog(0, bitmap);
    assert.equal(bitmap[0] & (1n << 5n), 1n << 5n);
    small.machine.getDirtyLog(0, bitmap);
    assert.equal(bitmap[0] & (1n << 5n), 0n);
  },
});

Deno.test({
  ...needs("an access is completed, but nothing more is run, when an immediate exit is wanted", "kvm"),
  fn: () => {
    using small = smallMachine();
    const { vcpu } = small;
    // in al, 0xe9; hlt
    small.load([0xe4, 0xe9, 0xf4]);
    runUntil(small, ExitReason.io);
    vcpu.bytes[vcpu.ioDataOffset] = 0x21;
    vcpu.immediateExit = true;
    assert.equal(vcpu.run(), -EINTR);
    assert.equal(vcpu.getRegisters().rax & 0xffn, 0x21n);
    vcpu.immediateExit = false;
    runUntil(small, ExitReason.halt);
  },
});

Deno.test({
  ...needs("registers come back as they were set", "kvm"),
  fn: () => {
    using small = smallMachine({ chips: true });
    const { vcpu } = small;
    const registers = { ...vcpu.getRegisters(), r15: 0xfedc_ba98_7654_3210n, rbx: 1n };
    vcpu.setRegisters(registers);
    assert.deepEqual(vcpu.getRegisters(), registers);
    const special = vcpu.getSpecialRegisters();
    special.gs.base = 0x1_2345_6000n;
    special.idt = { base: 0x4000n, limit: 0x3ff, padding: [0, 0, 0] };
    vcpu.setSpecialRegisters(special);
    assert.deepEqual(vcpu.getSpecialRegisters(), special);
    vcpu.setMsrs([[Msr.pageAttributeTable, 0x0007_0406_0007_0406n], [Msr.sysenterEip, 0x1234n]]);
    assert.deepEqual(vcpu.getMsrs([Msr.sysenterEip, Msr.pageAttributeTable]), [
      [Msr.sysenterEip, 0x1234n],
      [Msr.pageAttributeTable, 0x0007_0406_0007_0406n],
    ]);
    assert.throws(() => vcpu.setMsrs([[Msr.sysenterEip, 1n], [0x1234_5678, 0x9n]]), /Cannot set MSR 0x12345678 to 0x9/);
    assert.throws(() => vcpu.getMsrs([0x1234_5678]), /Cannot read MSR 0x12345678/);
    const fpu = { ...vcpu.getFpu(), fcw: 0x37f, mxcsr: 0x1f80 };
    vcpu.setFpu(fpu);
    assert.equal(vcpu.getFpu().fcw, 0x37f);
    vcpu.setMultiprocessingState(vcpu.getMultiprocessingState());
    assert.equal(vcpu.getMultiprocessingState(), 0);
    const events = vcpu.getEvents();
    events.nmi.masked = 1;
    vcpu.setEvents(events);
    assert.equal(vcpu.getEvents().nmi.masked, 1);
    const debug = vcpu.getDebugRegisters();
    debug.db[2] = 0x4321n;
    vcpu.setDebugRegisters(debug);
    assert.equal(vcpu.getDebugRegisters().db[2], 0x4321n);
    const apic = vcpu.getLocalApic();
    assert.equal(apic.length, 1024);
    apic[0x80] = 0x20;
    vcpu.setLocalApic(apic);
    assert.equal(vcpu.getLocalApic()[0x80], 0x20);
    assert.throws(() => vcpu.setLocalApic(new Uint8Array(3)), /got 3 bytes, expected 1024/);
    assert.equal(vcpu.getExtendedState().length, 4096);
    vcpu.setExtendedControlRegisters(vcpu.getExtendedControlRegisters());
    small.machine.setClock(10n ** 15n);
    const clock = small.machine.getClock();
    assert.ok(clock >= 10n ** 15n && clock < 10n ** 15n + 10n ** 11n, `${clock}`);
  },
});

Deno.test("a routing table has a GSI's pins on several chips, or its message", () => {
  const table = new InterruptRoutingTable();
  table.setChip(5, InterruptChip.picMaster, 5);
  table.setChip(5, InterruptChip.ioApic, 4);
  table.setChip(5, InterruptChip.ioApic, 6);
  table.setChip(24, InterruptChip.ioApic, 1);
  table.setMessage(24, 0xfee0_1000, 0x7, 0x4021);
  table.setMessage(25, 1, 2, 3);
  table.remove(25);
  table.remove(26);
  assert.equal(table.size, 3);
  const bytes = table.toBytes();
  const view = new DataView(bytes.buffer);
  assert.deepEqual([view.getUint32(0, true), bytes.length], [3, kvmIrqRouting.size + 3 * kvmIrqRoutingEntry.size]);
  const entries = [0, 1, 2].map((i) =>
    decode(kvmIrqRoutingEntry, view, kvmIrqRouting.size + i * kvmIrqRoutingEntry.size)
  );
  assert.deepEqual(entries.map(({ gsi, type }) => [gsi, type]), [[5, 1], [5, 1], [24, 2]]);
  assert.deepEqual(entries[1].u.irqchip, { irqchip: InterruptChip.ioApic, pin: 6 });
  assert.deepEqual(entries[2].u.pad.slice(0, 4), [0xfee0_1000, 0x7, 0x4021, 0]);
});

/** Spurious-interrupt vector register of the local APIC, and its enable bit. Source: Intel SDM volume 3, 11.9. */
const APIC_SPURIOUS_VECTOR = 0xf0;
const APIC_ENABLED = 0x1ff;
const MESSAGE_ADDRESS = 0xfee0_0000;
const VECTOR = 0x40;
const HANDLER_ADDRESS = 0x2000;
/** The first GSI above the IOAPIC's pins. */
const GSI = 24;

Deno.test({
  ...needs("a guest's doorbell reaches an event descriptor, and that one the guest's interrupt handler", "kvm"),
  fn: () => {
    assertNoDescriptorIsLeft(() => {
      using small = smallMachine({ chips: true });
      const { machine, vcpu, bytes } = small;
      const apic = vcpu.getLocalApic();
      new DataView(apic.buffer).setUint32(APIC_SPURIOUS_VECTOR, APIC_ENABLED, true);
      vcpu.setLocalApic(apic);
      // The handler: mov al, 'I'; out 0xe9, al; iret
      bytes.set([0xb0, 0x49, 0xe6, 0xe9, 0xcf], HANDLER_ADDRESS);
      new DataView(small.memory.buffer).setUint16(VECTOR * 4, HANDLER_ADDRESS, true);
      // sti; mov dx, 0x510; mov al, 1; out dx, al; mov cx, 0xffff; loop $; mov al, 'T'; out 0xe9, al
      const program = [0xfb, 0xba, 0x10, 0x05, 0xb0, 0x01, 0xee, 0xb9, 0xff, 0xff, 0xe2, 0xfe, 0xb0, 0x54, 0xe6, 0xe9];
      using interrupt = new EventDescriptor();
      using doorbell = new EventDescriptor();
      const table = new InterruptRoutingTable();
      table.setMessage(GSI, MESSAGE_ADDRESS, 0, VECTOR);
      machine.setInterruptRouting(table);
      machine.attachInterrupt(interrupt.fd, GSI);

      // The doorbell is the interrupt's event descriptor: no user space in between.
      machine.attachDoorbell(interrupt.fd, DOORBELL_PORT, { port: true, length: 1 });
      small.load(program);
      runUntil(small, ExitReason.io);
      assert.deepEqual([vcpu.ioPort, String.fromCharCode(vcpu.bytes[vcpu.ioDataOffset])], [REPORT_PORT, "I"]);
      machine.detachDoorbell(interrupt.fd, DOORBELL_PORT, { port: true, length: 1 });
      machine.detachInterrupt(interrupt.fd, GSI);

      // A doorbell for one value only; the guest writes it, and no interrupt comes. The vector is still in service.
      machine.attachDoorbell(doorbell.fd, DOORBELL_PORT, { port: true, length: 1, match: 1 });
      small.load(program);
      runUntil(small, ExitReason.io);
      assert.deepEqual([vcpu.ioPort, String.fromCharCode(vcpu.bytes[vcpu.ioDataOffset])], [REPORT_PORT, "T"]);
      assert.equal(doorbell.read(), 1);
      machine.detachDoorbell(doorbell.fd, DOORBELL_PORT, { port: true, length: 1, match: 1 });

      // Without a doorbell, the write is an exit.
      small.load(program);
      runUntil(small, ExitReason.io);
      assert.equal(vcpu.ioPort, DOORBELL_PORT);
      assert.equal(doorbell.read(), 0);
    });
  },
});

Deno.test({
  ...needs("a doorbell at a memory address rings for any width", "kvm"),
  fn: () => {
    using small = smallMachine();
    using doorbell = new EventDescriptor();
    small.machine.attachDoorbell(doorbell.fd, 0xf1230);
    // mov ax, 0xf000; mov ds, ax; mov byte [0x1230], 1; mov word [0x1230], 2; mov dword [0x1230], 3; hlt
    small.load([
      ...[0xb8, 0x00, 0xf0, 0x8e, 0xd8],
      ...[0xc6, 0x06, 0x30, 0x12, 0x01],
      ...[0xc7, 0x06, 0x30, 0x12, 0x02, 0x00],
      ...[0x66, 0xc7, 0x06, 0x30, 0x12, 0x03, 0x00, 0x00, 0x00],
      0xf4,
    ]);
    runUntil(small, ExitReason.halt);
    assert.equal(doorbell.read(), 3);
    assert.throws(() => small.machine.attachDoorbell(doorbell.fd, 0xf1230), {
      code: "EEXIST",
      message: /KVM_IOEVENTFD, attach event descriptor \d+, address 0xf1230, any width.*another doorbell/,
    });
    small.machine.detachDoorbell(doorbell.fd, 0xf1230);
    assert.throws(() => small.machine.detachDoorbell(doorbell.fd, 0xf1230), { code: "ENOENT" });
  },
});

Deno.test({
  ...needs("a line of the interrupt chip rises and falls", "kvm"),
  fn: () => {
    using small = smallMachine({ chips: true });
    const { machine } = small;
    /** Interrupt request register of a PIC: the second byte of struct kvm_pic_state. */
    const requests = () => machine.getInterruptChip(InterruptChip.picMaster)[kvmIrqchip.offsets.chip + 1];
    assert.equal(requests() & (1 << 5), 0);
    machine.setInterruptLine(5, true);
    assert.equal(requests() & (1 << 5), 1 << 5);
    const state = machine.getInterruptChip(InterruptChip.picMaster);
    state[kvmIrqchip.offsets.chip + 1] = 0;
    machine.setInterruptChip(state);
    assert.equal(requests(), 0);
    machine.setInterruptLine(5, false);
  },
});

Deno.test({
  ...needs("what KVM refuses is told with values and remedy", "kvm"),
  fn: () => {
    using small = smallMachine({ chips: true });
    const { machine, memory } = small;
    assert.throws(() => machine.setMemorySlot(1, 0x1000, 0x1000, memory.address), {
      code: "EEXIST",
      message: /slot 1, 4096 bytes at guest address 0x1000\) failed.*another slot is there/,
    });
    assert.throws(() => machine.setMemorySlot(1, 0x20000, 100, memory.address), {
      code: "EINVAL",
      message: /whole pages/,
    });
    assert.throws(() => machine.createVcpu(0), { code: "EEXIST" });
    assert.throws(() => machine.attachInterrupt(-1, GSI), {
      code: "EBADF",
      message: /attach event descriptor -1, GSI 24/,
    });
    machine.setMemorySlot(0, 0, 0, 0n);
    machine.setMemorySlot(0, MEMORY_SIZE, MEMORY_SIZE, memory.address);
  },
});

Deno.test({
  ...needs("a spinning guest on another thread is stopped by an immediate exit and a signal", "kvm"),
  fn: async () => {
    installWakeSignal();
    using small = smallMachine();
    // jmp $
    small.load([0xeb, 0xfe]);
    const other = new KvmVcpu(small.vcpu.fd, small.runAddress, small.vcpu.bytes.length);
    const worker = new Worker(new URL("spinning_vcpu_worker.ts", import.meta.url), { type: "module" });
    try {
      const messages: { threadId?: number; result?: number }[] = [];
      let wake: () => void = () => {};
      worker.onmessage = ({ data }) => {
        messages.push(data);
        wake();
      };
      const next = async () => {
        if (messages.length === 0) await new Promise<void>((resolve) => wake = resolve);
        return messages.shift();
      };
      worker.postMessage({ fd: small.vcpu.fd, address: small.runAddress, length: small.vcpu.bytes.length });
      for (let round = 0; round < 20; round++) {
        const threadId = (await next())?.threadId;
        assert.ok(threadId !== undefined && threadId !== Deno.pid);
        // Long enough to be inside on some rounds, and before on others.
        await new Promise((resolve) => setTimeout(resolve, round));
        other.immediateExit = true;
        assert.equal(wakeThread(threadId), true);
        assert.deepEqual(await next(), { result: -EINTR });
        worker.postMessage(round === 19 ? "end" : "again");
      }
      assert.deepEqual(await next(), { result: 0 });
    } finally {
      worker.terminate();
    }
  },
});

Deno.test("waking a thread that is gone is no error", () => {
  // The kernel hands out numbers up to 2^22.
  assert.equal(wakeThread(2 ** 22 + 1), false);
});

Deno.test({
  ...needs("nothing is left after a hundred machines", "kvm"),
  fn: () => {
    const before = openDescriptors();
    const mappings = () => mappedRanges().filter(({ name }) => /kvm|memfd:guest/.test(name)).length;
    for (let i = 0; i < 100; i++) {
      using small = smallMachine({ chips: i % 2 === 0 });
      assert.ok(small.vcpu.fd >= 0);
    }
    // Other tests of this process may still be closing theirs.
    assert.ok(openDescriptors() <= before, `${openDescriptors()} descriptors are open, ${before} were before`);
    assert.equal(mappings(), 0);
    assert.equal(new KvmVcpu(-1, addressOfNothing(), 4096).run(), -EBADF);
  },
});

/** A page that is never accessed. */
function addressOfNothing(): bigint {
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(new Uint8Array(8192))));
}
