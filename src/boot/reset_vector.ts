/**
 * What stands where a PC's firmware has its reset vector. A kernel without EFI on a machine with hardware-reduced ACPI reboots by
 * jumping there in real mode (Linux: BOOT_BIOS), whatever the ACPI tables say of a reset register.
 *
 * @module
 */
import type { GuestMemory } from "../memory/guest_memory.ts";

/** F000:FFF0, the address at which a processor in real mode starts after a reset. */
export const RESET_VECTOR_ADDRESS = 0xffff0;

/** Resets the machine by a port, then halts; 16-bit code. */
function resetCode(port: number, value: number): Uint8Array {
  return Uint8Array.of(
    // mov dx, port
    0xba,
    port & 0xff,
    port >> 8,
    // mov al, value
    0xb0,
    value,
    // out dx, al
    0xee,
    // hlt
    0xf4,
  );
}

/**
 * Puts code at the reset vector that resets the machine.
 *
 * @param port Port of the reset register.
 * @param value What resets when it is written there.
 */
export function writeResetVector(memory: GuestMemory, port: number, value: number): void {
  memory.write(RESET_VECTOR_ADDRESS, resetCode(port, value));
}
