/**
 * The guest's clock.
 *
 * @module
 */
import { check } from "../../ffi/errno.ts";
import { ioctl, requestPlain } from "../../ffi/ioctl.ts";
import { KvmSystem } from "../../ffi/kvm/system.ts";

/** KVMIO and the number of KVM_GET_TSC_KHZ. Source: linux/kvm.h. */
const KVM_TYPE = 0xae;
const KVM_GET_TSC_KHZ_NUMBER = 0xa3;
const TICKS_PER_MICROSECOND_AND_KHZ = 1000;

/**
 * Ticks of a guest's time stamp counter per microsecond.
 *
 * @throws {Error} There is no KVM, or it does not tell.
 */
export function ticksPerMicrosecond(): number {
  using system = KvmSystem.open();
  using machine = system.createMachine();
  using vcpu = machine.createVcpu(0);
  const request = requestPlain(KVM_TYPE, KVM_GET_TSC_KHZ_NUMBER);
  return check(ioctl(vcpu.fd, request, null), "ioctl(KVM_GET_TSC_KHZ)") / TICKS_PER_MICROSECOND_AND_KHZ;
}
