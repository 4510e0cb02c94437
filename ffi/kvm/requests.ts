/**
 * Request numbers of KVM's system and machines. Source: linux/kvm.h.
 *
 * @module
 */

import { requestPlain, requestRead, requestReadWrite, requestWrite } from "../ioctl.ts";
import { KVM_TYPE } from "./constants.ts";
import {
  kvmClockData,
  kvmCpuid2,
  kvmDirtyLog,
  kvmEnableCap,
  kvmIoeventfd,
  kvmIrqchip,
  kvmIrqfd,
  kvmIrqLevel,
  kvmIrqRouting,
  kvmMsrList,
  kvmPitConfig,
  kvmUserspaceMemoryRegion,
} from "./structs.ts";

/** Version of the interface. */
export const KVM_GET_API_VERSION: number = requestPlain(KVM_TYPE, 0x00);
/** A new machine. */
export const KVM_CREATE_VM: number = requestPlain(KVM_TYPE, 0x01);
/** Which model-specific registers a vCPU has. */
export const KVM_GET_MSR_INDEX_LIST: number = requestReadWrite(KVM_TYPE, 0x02, kvmMsrList.size);
/** What the host says to a capability. */
export const KVM_CHECK_EXTENSION: number = requestPlain(KVM_TYPE, 0x03);
/** Bytes of a vCPU's shared page. */
export const KVM_GET_VCPU_MMAP_SIZE: number = requestPlain(KVM_TYPE, 0x04);
/** CPUID leaves that can be offered. */
export const KVM_GET_SUPPORTED_CPUID: number = requestReadWrite(KVM_TYPE, 0x05, kvmCpuid2.size);
/** A new vCPU. */
export const KVM_CREATE_VCPU: number = requestPlain(KVM_TYPE, 0x41);
/** Which pages were written. */
export const KVM_GET_DIRTY_LOG: number = requestWrite(KVM_TYPE, 0x42, kvmDirtyLog.size);
/** Puts memory into a slot. */
export const KVM_SET_USER_MEMORY_REGION: number = requestWrite(KVM_TYPE, 0x46, kvmUserspaceMemoryRegion.size);
/** Place of three pages of the host's own. */
export const KVM_SET_TSS_ADDR: number = requestPlain(KVM_TYPE, 0x47);
/** Place of one page of the host's own. */
export const KVM_SET_IDENTITY_MAP_ADDR: number = requestWrite(KVM_TYPE, 0x48, BigUint64Array.BYTES_PER_ELEMENT);
/** Makes the interrupt chips. */
export const KVM_CREATE_IRQCHIP: number = requestPlain(KVM_TYPE, 0x60);
/** Sets the level of an interrupt line. */
export const KVM_IRQ_LINE: number = requestWrite(KVM_TYPE, 0x61, kvmIrqLevel.size);
/** Reads an interrupt chip. */
export const KVM_GET_IRQCHIP: number = requestReadWrite(KVM_TYPE, 0x62, kvmIrqchip.size);
/** Restores an interrupt chip. The header declares it with the direction of a read. */
export const KVM_SET_IRQCHIP: number = requestRead(KVM_TYPE, 0x63, kvmIrqchip.size);
/** Replaces all interrupt routes. */
export const KVM_SET_GSI_ROUTING: number = requestWrite(KVM_TYPE, 0x6a, kvmIrqRouting.size);
/** Lets an event descriptor raise an interrupt. */
export const KVM_IRQFD: number = requestWrite(KVM_TYPE, 0x76, kvmIrqfd.size);
/** Makes the interval timer. */
export const KVM_CREATE_PIT2: number = requestWrite(KVM_TYPE, 0x77, kvmPitConfig.size);
/** Lets a guest's write signal an event descriptor. */
export const KVM_IOEVENTFD: number = requestWrite(KVM_TYPE, 0x79, kvmIoeventfd.size);
/** Sets the paravirtual clock. */
export const KVM_SET_CLOCK: number = requestWrite(KVM_TYPE, 0x7b, kvmClockData.size);
/** Reads the paravirtual clock. */
export const KVM_GET_CLOCK: number = requestRead(KVM_TYPE, 0x7c, kvmClockData.size);
/** Switches a capability on. */
export const KVM_ENABLE_CAP: number = requestWrite(KVM_TYPE, 0xa3, kvmEnableCap.size);
