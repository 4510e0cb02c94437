/**
 * A virtual machine inside KVM: memory slots, interrupt chips and routes, event descriptors, vCPUs.
 *
 * @module
 */

import { Descriptor } from "../descriptor.ts";
import { check, EEXIST, EINTR, EINVAL, ENOSPC } from "../errno.ts";
import { ioctl } from "../ioctl.ts";
import { ioctlValue } from "../ioctl_value.ts";
import { allocate, setUint64 } from "../struct.ts";
import { InterruptLines } from "./interrupt_line.ts";
import type { InterruptRoutingTable } from "./interrupt_routing.ts";
import {
  KVM_CHECK_EXTENSION,
  KVM_CREATE_IRQCHIP,
  KVM_CREATE_PIT2,
  KVM_CREATE_VCPU,
  KVM_ENABLE_CAP,
  KVM_GET_CLOCK,
  KVM_GET_DIRTY_LOG,
  KVM_GET_IRQCHIP,
  KVM_IOEVENTFD,
  KVM_IRQFD,
  KVM_SET_CLOCK,
  KVM_SET_GSI_ROUTING,
  KVM_SET_IDENTITY_MAP_ADDR,
  KVM_SET_IRQCHIP,
  KVM_SET_TSS_ADDR,
  KVM_SET_USER_MEMORY_REGION,
} from "./requests.ts";
import {
  kvmClockData,
  kvmDirtyLog,
  kvmEnableCap,
  kvmIoeventfd,
  kvmIrqchip,
  kvmIrqfd,
  kvmPitConfig,
  kvmUserspaceMemoryRegion,
} from "./structs.ts";

export { InterruptRoutingTable } from "./interrupt_routing.ts";

/** KVM_PIT_SPEAKER_DUMMY: the timer answers at the speaker's port too, which Linux uses to measure time. */
const PIT_SPEAKER_DUMMY = 1;

/** KVM_IRQFD_FLAG_* */
const IRQFD_DEASSIGN = 1 << 0;
const IRQFD_RESAMPLE = 1 << 1;

/** KVM_IOEVENTFD_FLAG_* */
const IOEVENTFD_DATA_MATCH = 1 << 0;
const IOEVENTFD_PORT = 1 << 1;
const IOEVENTFD_DEASSIGN = 1 << 2;

/** Which writes ring a doorbell. */
export interface DoorbellOptions {
  /** Bytes of the write; 0 (the default) for any width. */
  readonly length?: 0 | 1 | 2 | 4 | 8;
  /** Whether the address is an I/O port. */
  readonly port?: boolean;
  /** The value that must be written; any, if it is left out. Needs a length. */
  readonly match?: number;
}

/** A virtual machine inside KVM. */
export class KvmMachine implements Disposable {
  readonly #descriptor: Descriptor;
  // One of each, used for every request: the interrupt controller calls these whenever a guest masks a vector.
  readonly #irqfd = allocate(kvmIrqfd);
  readonly #ioeventfd = allocate(kvmIoeventfd);
  readonly #lines: InterruptLines;

  /** @param fd The descriptor that KVM_CREATE_VM gave. */
  constructor(fd: number) {
    this.#lines = new InterruptLines(fd);
    this.#descriptor = new Descriptor(fd);
  }

  /** The descriptor; -1 once it is closed. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** What the host says to a {@linkcode Capability} for this machine. */
  checkExtension(capability: number): number {
    const result = ioctlValue(this.fd, KVM_CHECK_EXTENSION, BigInt(capability));
    return check(result, `ioctl(KVM_CHECK_EXTENSION, ${capability})`);
  }

  /** Switches a capability on. */
  enableCapability(capability: number, ...values: readonly bigint[]): void {
    const view = allocate(kvmEnableCap);
    view.setUint32(kvmEnableCap.offsets.cap, capability, true);
    values.forEach((value, i) => view.setBigUint64(kvmEnableCap.offsets.args + i * 8, value, true));
    check(ioctl(this.fd, KVM_ENABLE_CAP, view), `ioctl(KVM_ENABLE_CAP, ${capability})`);
  }

  /** Where Intel hosts may put three pages of their own, below 4 GiB and outside all RAM. Before any vCPU is made. */
  setTssAddress(address: number): void {
    check(ioctlValue(this.fd, KVM_SET_TSS_ADDR, BigInt(address)), `ioctl(KVM_SET_TSS_ADDR, 0x${address.toString(16)})`);
  }

  /** Where Intel hosts may put one page of identity mapping, below 4 GiB and outside all RAM. Before any vCPU is made. */
  setIdentityMapAddress(address: number): void {
    const result = ioctl(this.fd, KVM_SET_IDENTITY_MAP_ADDR, BigUint64Array.of(BigInt(address)));
    check(result, `ioctl(KVM_SET_IDENTITY_MAP_ADDR, 0x${address.toString(16)})`);
  }

  /** Makes the PICs, the IOAPIC, and a local APIC for each vCPU to come. */
  createInterruptChip(): void {
    check(ioctl(this.fd, KVM_CREATE_IRQCHIP, null), "ioctl(KVM_CREATE_IRQCHIP)");
  }

  /** Makes the interval timer (8254) with the speaker's port. Needs the interrupt chip. */
  createTimer(): void {
    const view = allocate(kvmPitConfig);
    view.setUint32(kvmPitConfig.offsets.flags, PIT_SPEAKER_DUMMY, true);
    check(ioctl(this.fd, KVM_CREATE_PIT2, view), "ioctl(KVM_CREATE_PIT2)", "the interrupt chip must be made before");
  }

  /**
   * Puts host memory at guest-physical addresses, or moves or removes it.
   *
   * @param slot Number of the slot, below what {@linkcode Capability.memorySlots} allows.
   * @param guestAddress The first byte's guest-physical address, in whole pages.
   * @param length Bytes, in whole pages; 0 removes the slot.
   * @param hostAddress The memory's address in this process; it must stay mapped as long as the slot is there.
   * @param flags Of {@linkcode MemorySlotFlag}.
   */
  setMemorySlot(slot: number, guestAddress: number, length: number, hostAddress: bigint, flags = 0): void {
    const { offsets } = kvmUserspaceMemoryRegion;
    const view = allocate(kvmUserspaceMemoryRegion);
    view.setUint32(offsets.slot, slot, true);
    view.setUint32(offsets.flags, flags, true);
    setUint64(view, offsets.guest_phys_addr, guestAddress);
    setUint64(view, offsets.memory_size, length);
    view.setBigUint64(offsets.userspace_addr, hostAddress, true);
    const result = ioctl(this.fd, KVM_SET_USER_MEMORY_REGION, view);
    if (result >= 0) return;
    check(
      result,
      `ioctl(KVM_SET_USER_MEMORY_REGION, slot ${slot}, ${length} bytes at guest address 0x${
        guestAddress.toString(16)
      })`,
      result === -EEXIST ? "another slot is there already" : "addresses and length must be whole pages",
    );
  }

  /**
   * Reads and clears which pages of a slot were written since the last time. The slot must log them.
   *
   * @param slot The slot.
   * @param bitmap One bit per page of 4 KiB, in whole 64-bit words.
   */
  getDirtyLog(slot: number, bitmap: BigUint64Array<ArrayBuffer>): void {
    const view = allocate(kvmDirtyLog);
    view.setUint32(kvmDirtyLog.offsets.slot, slot, true);
    const address = Deno.UnsafePointer.value(Deno.UnsafePointer.of(bitmap));
    view.setBigUint64(kvmDirtyLog.offsets.$bitmap, BigInt(address), true);
    check(ioctl(this.fd, KVM_GET_DIRTY_LOG, view), `ioctl(KVM_GET_DIRTY_LOG, slot ${slot})`);
  }

  /**
   * Makes a vCPU.
   *
   * @param index Its number, which is also its APIC id.
   * @returns Its descriptor, for {@linkcode KvmVcpu}.
   */
  createVcpu(index: number): Descriptor {
    for (;;) {
      const result = ioctlValue(this.fd, KVM_CREATE_VCPU, BigInt(index));
      if (result === -EINTR) continue;
      const details = result === -EINVAL ? "the host allows fewer vCPUs" : undefined;
      return new Descriptor(check(result, `ioctl(KVM_CREATE_VCPU, ${index})`, details));
    }
  }

  /** Replaces all interrupt routes by those of a table. */
  setInterruptRouting(table: InterruptRoutingTable): void {
    const result = ioctl(this.fd, KVM_SET_GSI_ROUTING, table.toBytes());
    if (result < 0) {
      check(result, `ioctl(KVM_SET_GSI_ROUTING, ${table.size} routes)`, "the host allows fewer, or a GSI is too large");
    }
  }

  /**
   * Lets an event descriptor raise an interrupt (irqfd).
   *
   * @param eventFd The event descriptor.
   * @param gsi The interrupt, which must have a route for anything to happen.
   * @param resampleFd For a level-triggered interrupt: an event descriptor that is signalled when the guest has
   * acknowledged it.
   */
  attachInterrupt(eventFd: number, gsi: number, resampleFd?: number): void {
    this.#setInterrupt(eventFd, gsi, resampleFd === undefined ? 0 : IRQFD_RESAMPLE, resampleFd ?? 0);
  }

  /** Undoes {@linkcode attachInterrupt}. When it returns, no more interrupts come from the event descriptor. */
  detachInterrupt(eventFd: number, gsi: number): void {
    this.#setInterrupt(eventFd, gsi, IRQFD_DEASSIGN, 0);
  }

  /**
   * Lets a guest's write at an address signal an event descriptor (ioeventfd), without an exit.
   *
   * @param eventFd The event descriptor.
   * @param address Guest-physical address, or port.
   * @param options Which writes.
   */
  attachDoorbell(eventFd: number, address: number, options: DoorbellOptions = {}): void {
    this.#setDoorbell(eventFd, address, options, 0);
  }

  /** Undoes {@linkcode attachDoorbell}, which must have been called with the same values. */
  detachDoorbell(eventFd: number, address: number, options: DoorbellOptions = {}): void {
    this.#setDoorbell(eventFd, address, options, IOEVENTFD_DEASSIGN);
  }

  /** Sets the level of an interrupt line of the chips inside KVM. */
  setInterruptLine(gsi: number, level: boolean): void {
    this.#lines.set(gsi, level);
  }

  /** State of an interrupt chip, as a `struct kvm_irqchip`. */
  getInterruptChip(chip: number): Uint8Array<ArrayBuffer> {
    const view = allocate(kvmIrqchip);
    view.setUint32(kvmIrqchip.offsets.chip_id, chip, true);
    check(ioctl(this.fd, KVM_GET_IRQCHIP, view), `ioctl(KVM_GET_IRQCHIP, ${chip})`);
    return new Uint8Array(view.buffer);
  }

  /** Restores what {@linkcode getInterruptChip} gave. */
  setInterruptChip(state: Uint8Array<ArrayBuffer>): void {
    check(ioctl(this.fd, KVM_SET_IRQCHIP, state), "ioctl(KVM_SET_IRQCHIP)");
  }

  /** The paravirtual clock in nanoseconds. */
  getClock(): bigint {
    const view = allocate(kvmClockData);
    check(ioctl(this.fd, KVM_GET_CLOCK, view), "ioctl(KVM_GET_CLOCK)");
    return view.getBigUint64(kvmClockData.offsets.clock, true);
  }

  /** Sets the paravirtual clock in nanoseconds. */
  setClock(nanoseconds: bigint): void {
    const view = allocate(kvmClockData);
    view.setBigUint64(kvmClockData.offsets.clock, nanoseconds, true);
    check(ioctl(this.fd, KVM_SET_CLOCK, view), `ioctl(KVM_SET_CLOCK, ${nanoseconds})`);
  }

  /** Closes the machine. The kernel frees it when its vCPUs are closed and unmapped too. */
  [Symbol.dispose](): void {
    this.#descriptor.close();
  }

  #setInterrupt(eventFd: number, gsi: number, flags: number, resampleFd: number): void {
    const view = this.#irqfd;
    view.setUint32(kvmIrqfd.offsets.fd, eventFd, true);
    view.setUint32(kvmIrqfd.offsets.gsi, gsi, true);
    view.setUint32(kvmIrqfd.offsets.flags, flags, true);
    view.setUint32(kvmIrqfd.offsets.resamplefd, resampleFd, true);
    const result = ioctl(this.fd, KVM_IRQFD, view);
    if (result >= 0) return;
    const verb = flags === IRQFD_DEASSIGN ? "detach" : "attach";
    check(result, `ioctl(KVM_IRQFD, ${verb} event descriptor ${eventFd}, GSI ${gsi})`);
  }

  #setDoorbell(eventFd: number, address: number, options: DoorbellOptions, flag: number): void {
    const { length = 0, port = false, match } = options;
    const { offsets } = kvmIoeventfd;
    const view = this.#ioeventfd;
    setUint64(view, offsets.datamatch, match ?? 0);
    setUint64(view, offsets.addr, address);
    view.setUint32(offsets.len, length, true);
    view.setInt32(offsets.fd, eventFd, true);
    const flags = flag | (port ? IOEVENTFD_PORT : 0) | (match === undefined ? 0 : IOEVENTFD_DATA_MATCH);
    view.setUint32(offsets.flags, flags, true);
    const result = ioctl(this.fd, KVM_IOEVENTFD, view);
    if (result >= 0) return;
    check(
      result,
      `ioctl(KVM_IOEVENTFD, ${flag === 0 ? "attach" : "detach"} event descriptor ${eventFd}, `
        + `${port ? "port" : "address"} 0x${address.toString(16)}, ${length === 0 ? "any width" : `${length} bytes`})`,
      result === -EEXIST
        ? "another doorbell is there already"
        : result === -ENOSPC
        ? "the host allows no more doorbells for one machine"
        : undefined,
    );
  }
}
