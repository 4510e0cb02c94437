import assert from "node:assert/strict";
import { buildGuest, findToolchain } from "../../guest/build.ts";
import { GUEST_COMPILER, GUEST_LINKER, guestImage } from "../../guest/image.ts";
import { needs } from "../support/requirements.ts";

Deno.test("the committed guest is small, static and has a PVH entry note", async () => {
  const image = guestImage();
  const view = new DataView(image.buffer);
  const text = new TextDecoder("latin1").decode(image);
  assert.equal(text.slice(0, 4), "\x7fELF");
  const programHeaders = Number(view.getBigUint64(32, true));
  const count = view.getUint16(56, true);
  const kinds = Array.from({ length: count }, (_, index) => view.getUint32(programHeaders + index * 56, true));
  assert.deepEqual(kinds, [1, 1, 4], "two PT_LOAD and one PT_NOTE, no interpreter");
  const note = Number(view.getBigUint64(programHeaders + 2 * 56 + 8, true));
  assert.equal(view.getUint32(note + 8, true), 18, "XEN_ELFNOTE_PHYS32_ENTRY");
  assert.equal(text.slice(note + 12, note + 16), "Xen\0");
  const entry = view.getBigUint64(note + 16, true);
  assert.ok(entry >= 0x100000n && entry < 0x200000n, `entry ${entry}`);
  assert.ok(!text.includes("guest/") && !text.includes("/tmp"), "no path may be in it");
  assert.ok((await Deno.stat(new URL("../../guest/image.ts", import.meta.url))).size < 100_000);
});

Deno.test({
  ...needs("the committed guest is what its sources build to", "gcc"),
  async fn(t) {
    const toolchain = await findToolchain();
    assert.ok(toolchain, "gcc is there, so that its linker must be");
    const built = await buildGuest();
    assert.ok(built.length > 0);
    const same = toolchain.compiler === GUEST_COMPILER && toolchain.linker === GUEST_LINKER;
    await t.step({
      name: same
        ? "byte for byte, by the same tools"
        : `byte for byte [skipped: it was built by ${GUEST_COMPILER} and ${GUEST_LINKER}, here are `
          + `${toolchain.compiler} and ${toolchain.linker}; remedy: Debian 12's gcc and binutils]`,
      ignore: !same,
      fn() {
        const remedy = "renew it by: deno run --allow-read --allow-write --allow-run guest/build.ts";
        assert.ok(
          built.toBase64() === guestImage().toBase64(),
          `guest/image.ts is not what guest/ builds to; ${remedy}`,
        );
      },
    });
  },
});
