/* What every part of the guest stands on: fixed-width types, and the processor's own instructions as functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ports. */
static inline void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out16(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out32(uint16_t port, uint32_t value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }

static inline uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline uint16_t in16(uint16_t port) {
  uint16_t value;
  __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline uint32_t in32(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

/*
 * Memory-mapped registers. Always one plain `mov` of exactly the width that is named, so that a device sees what the
 * source says, and an emulator need not know more than `mov`.
 */
static inline uint8_t read8(uint64_t address) {
  uint8_t value;
  __asm__ volatile("movb (%1), %0" : "=q"(value) : "r"(address) : "memory");
  return value;
}

static inline uint16_t read16(uint64_t address) {
  uint16_t value;
  __asm__ volatile("movw (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline uint32_t read32(uint64_t address) {
  uint32_t value;
  __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline uint64_t read64(uint64_t address) {
  uint64_t value;
  __asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline void write8(uint64_t address, uint8_t value) {
  __asm__ volatile("movb %0, (%1)" : : "q"(value), "r"(address) : "memory");
}

static inline void write16(uint64_t address, uint16_t value) {
  __asm__ volatile("movw %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void write32(uint64_t address, uint32_t value) {
  __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline void write64(uint64_t address, uint64_t value) {
  __asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

/* The processor. */
struct cpuid_result {
  uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_result cpuid(uint32_t leaf) {
  struct cpuid_result result;
  __asm__ volatile("cpuid"
                   : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
                   : "a"(leaf), "c"(0));
  return result;
}

static inline uint64_t read_time_stamp(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return (uint64_t)high << 32 | low;
}

static inline uint64_t read_msr(uint32_t index) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
  return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t index, uint64_t value) {
  __asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline void disable_interrupts(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void enable_interrupts(void) { __asm__ volatile("sti" : : : "memory"); }

/* `sti` takes effect after the next instruction: an interrupt that is already pending still ends the `hlt`. */
static inline void enable_interrupts_and_halt(void) { __asm__ volatile("sti; hlt" : : : "memory"); }

/* Keeps the compiler from moving memory accesses across. */
static inline void compiler_barrier(void) { __asm__ volatile("" : : : "memory"); }

/* Orders a store before a later load. A locked instruction, since emulators know it where they do not know `mfence`. */
static inline void full_barrier(void) { __asm__ volatile("lock orl $0, (%%rsp)" : : : "memory"); }

static inline void relax(void) { __asm__ volatile("pause" : : : "memory"); }

/* Bulk work is one string instruction: cheap on an emulator that charges by the instruction. */
static inline void clear_quadwords(void *target, size_t bytes) {
  size_t count = bytes / 8;
  __asm__ volatile("rep stosq" : "+D"(target), "+c"(count) : "a"(0) : "memory");
}

static inline void copy_bytes(void *target, const void *source, size_t bytes) {
  __asm__ volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(bytes) : : "memory");
}
