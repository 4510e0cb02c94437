/**
 * Request numbers of a vCPU. Source: linux/kvm.h.
 *
 * @module
 */

import { requestPlain, requestRead, requestReadWrite, requestWrite } from "../ioctl.ts";
import { KVM_TYPE } from "./constants.ts";
import {
  kvmCpuid2,
  kvmDebugregs,
  kvmFpu,
  kvmLapicState,
  kvmMpState,
  kvmMsrs,
  kvmRegs,
  kvmSregs,
  kvmVcpuEvents,
  kvmXcrs,
  kvmXsave,
} from "./vcpu_structs.ts";

/** Runs the guest. */
export const KVM_RUN: number = requestPlain(KVM_TYPE, 0x80);
/** Reads the general registers. */
export const KVM_GET_REGS: number = requestRead(KVM_TYPE, 0x81, kvmRegs.size);
/** Sets the general registers. */
export const KVM_SET_REGS: number = requestWrite(KVM_TYPE, 0x82, kvmRegs.size);
/** Reads the special registers. */
export const KVM_GET_SREGS: number = requestRead(KVM_TYPE, 0x83, kvmSregs.size);
/** Sets the special registers. */
export const KVM_SET_SREGS: number = requestWrite(KVM_TYPE, 0x84, kvmSregs.size);
/** Reads model-specific registers. */
export const KVM_GET_MSRS: number = requestReadWrite(KVM_TYPE, 0x88, kvmMsrs.size);
/** Sets model-specific registers. */
export const KVM_SET_MSRS: number = requestWrite(KVM_TYPE, 0x89, kvmMsrs.size);
/** Reads the floating point registers. */
export const KVM_GET_FPU: number = requestRead(KVM_TYPE, 0x8c, kvmFpu.size);
/** Sets the floating point registers. */
export const KVM_SET_FPU: number = requestWrite(KVM_TYPE, 0x8d, kvmFpu.size);
/** Reads the local APIC. */
export const KVM_GET_LAPIC: number = requestRead(KVM_TYPE, 0x8e, kvmLapicState.size);
/** Sets the local APIC. */
export const KVM_SET_LAPIC: number = requestWrite(KVM_TYPE, 0x8f, kvmLapicState.size);
/** Sets the CPUID leaves. */
export const KVM_SET_CPUID2: number = requestWrite(KVM_TYPE, 0x90, kvmCpuid2.size);
/** Reads what the vCPU does. */
export const KVM_GET_MP_STATE: number = requestRead(KVM_TYPE, 0x98, kvmMpState.size);
/** Sets what the vCPU does. */
export const KVM_SET_MP_STATE: number = requestWrite(KVM_TYPE, 0x99, kvmMpState.size);
/** Reads pending events. */
export const KVM_GET_VCPU_EVENTS: number = requestRead(KVM_TYPE, 0x9f, kvmVcpuEvents.size);
/** Sets pending events. */
export const KVM_SET_VCPU_EVENTS: number = requestWrite(KVM_TYPE, 0xa0, kvmVcpuEvents.size);
/** Reads the debug registers. */
export const KVM_GET_DEBUGREGS: number = requestRead(KVM_TYPE, 0xa1, kvmDebugregs.size);
/** Sets the debug registers. */
export const KVM_SET_DEBUGREGS: number = requestWrite(KVM_TYPE, 0xa2, kvmDebugregs.size);
/** Reads the extended processor state. */
export const KVM_GET_XSAVE: number = requestRead(KVM_TYPE, 0xa4, kvmXsave.size);
/** Sets the extended processor state. */
export const KVM_SET_XSAVE: number = requestWrite(KVM_TYPE, 0xa5, kvmXsave.size);
/** Reads the extended control registers. */
export const KVM_GET_XCRS: number = requestRead(KVM_TYPE, 0xa6, kvmXcrs.size);
/** Sets the extended control registers. */
export const KVM_SET_XCRS: number = requestWrite(KVM_TYPE, 0xa7, kvmXcrs.size);
/** Frequency of the time stamp counter. */
export const KVM_GET_TSC_KHZ: number = requestPlain(KVM_TYPE, 0xa3);
