import assert from "node:assert/strict";
import { RESET_VECTOR_ADDRESS, writeResetVector } from "../../src/boot/reset_vector.ts";
import { GuestMemory } from "../../src/memory/guest_memory.ts";

Deno.test("a jump to F000:FFF0 writes the reset register and halts", () => {
  const memory = GuestMemory.allocate(1 << 20);
  writeResetVector(memory, 0xcf9, 0x06);
  // mov dx, 0xcf9; mov al, 6; out dx, al; hlt
  const code = [0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4];
  assert.deepEqual([...memory.read(RESET_VECTOR_ADDRESS, code.length)], code);
  assert.equal(RESET_VECTOR_ADDRESS, 0xf000 * 16 + 0xfff0);
});
