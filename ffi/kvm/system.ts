/**
 * KVM as the host offers it.
 *
 * @module
 */

import { type Descriptor, OpenFlag, openPath } from "../descriptor.ts";
import { check, E2BIG, EINTR } from "../errno.ts";
import { ioctl } from "../ioctl.ts";
import { ioctlValue } from "../ioctl_value.ts";
import { allocate } from "../struct.ts";
import { API_VERSION } from "./constants.ts";
import { KvmMachine } from "./machine.ts";
import {
  KVM_CHECK_EXTENSION,
  KVM_CREATE_VM,
  KVM_GET_API_VERSION,
  KVM_GET_MSR_INDEX_LIST,
  KVM_GET_SUPPORTED_CPUID,
  KVM_GET_VCPU_MMAP_SIZE,
} from "./requests.ts";
import { kvmCpuid2, kvmCpuidEntry2, kvmMsrList } from "./structs.ts";

/** Entries that are enough on processors of today; the table is doubled where they are not. */
const INITIAL_CPUID_ENTRIES = 128;
const MAXIMUM_CPUID_ENTRIES = 4096;
const BYTES_OF_INDEX = 4;

/** The host's KVM: what it can do, and the maker of machines. */
export class KvmSystem implements Disposable {
  readonly #descriptor: Descriptor;

  private constructor(descriptor: Descriptor) {
    this.#descriptor = descriptor;
  }

  /**
   * Opens KVM.
   *
   * @param path Its device.
   * @throws {SystemError} ENOENT: no KVM here; EACCES: not for this user.
   * @throws {Error} The device is something else.
   */
  static open(path = "/dev/kvm"): KvmSystem {
    const system = new KvmSystem(openPath(path, OpenFlag.readWrite));
    try {
      const version = system.apiVersion();
      if (version !== API_VERSION) {
        throw new Error(`Cannot use ${path}: its KVM interface has version ${version}, expected ${API_VERSION}`);
      }
      return system;
    } catch (error) {
      system[Symbol.dispose]();
      throw error;
    }
  }

  /** The descriptor of the device. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Version of the interface; {@linkcode API_VERSION} on every kernel of today. */
  apiVersion(): number {
    return check(ioctl(this.fd, KVM_GET_API_VERSION, null), "ioctl(KVM_GET_API_VERSION)");
  }

  /** What the host says to a {@linkcode Capability}: 0 for no, 1 or a number of its own for yes. */
  checkExtension(capability: number): number {
    const result = ioctlValue(this.fd, KVM_CHECK_EXTENSION, BigInt(capability));
    return check(result, `ioctl(KVM_CHECK_EXTENSION, ${capability})`);
  }

  /** Bytes of the shared page (with what follows it) of each vCPU. */
  vcpuMapSize(): number {
    return check(ioctl(this.fd, KVM_GET_VCPU_MMAP_SIZE, null), "ioctl(KVM_GET_VCPU_MMAP_SIZE)");
  }

  /** The CPUID leaves that host and KVM support, as a `struct kvm_cpuid2` with exactly its entries. */
  supportedCpuid(): Uint8Array<ArrayBuffer> {
    for (let entries = INITIAL_CPUID_ENTRIES;; entries *= 2) {
      const view = allocate(kvmCpuid2, entries * kvmCpuidEntry2.size);
      view.setUint32(kvmCpuid2.offsets.nent, entries, true);
      const result = ioctl(this.fd, KVM_GET_SUPPORTED_CPUID, view);
      if (result === -E2BIG && entries < MAXIMUM_CPUID_ENTRIES) continue;
      check(result, `ioctl(KVM_GET_SUPPORTED_CPUID, ${entries} entries)`);
      const used = view.getUint32(kvmCpuid2.offsets.nent, true);
      return new Uint8Array(view.buffer).slice(0, kvmCpuid2.size + used * kvmCpuidEntry2.size);
    }
  }

  /** Indices of the model-specific registers that belong to a vCPU's state. */
  supportedMsrs(): Uint32Array<ArrayBuffer> {
    const probe = allocate(kvmMsrList);
    const probed = ioctl(this.fd, KVM_GET_MSR_INDEX_LIST, probe);
    if (probed !== -E2BIG) check(probed, "ioctl(KVM_GET_MSR_INDEX_LIST)");
    const count = probe.getUint32(kvmMsrList.offsets.nmsrs, true);
    const view = allocate(kvmMsrList, count * BYTES_OF_INDEX);
    view.setUint32(kvmMsrList.offsets.nmsrs, count, true);
    check(ioctl(this.fd, KVM_GET_MSR_INDEX_LIST, view), `ioctl(KVM_GET_MSR_INDEX_LIST, ${count} entries)`);
    return new Uint32Array(view.buffer, kvmMsrList.offsets.indices, count);
  }

  /**
   * A new machine: no memory, no vCPU, no chip.
   *
   * @throws {SystemError} The host allows no more machines.
   */
  createMachine(): KvmMachine {
    for (;;) {
      // 0n: the only machine type of x86 that has no encryption.
      const result = ioctlValue(this.fd, KVM_CREATE_VM, 0n);
      if (result === -EINTR) continue;
      return new KvmMachine(check(result, "ioctl(KVM_CREATE_VM)"));
    }
  }

  /** Closes the device. Machines live on. */
  [Symbol.dispose](): void {
    this.#descriptor.close();
  }
}
