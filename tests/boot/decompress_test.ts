import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  type CompressionFormat,
  DecompressError,
  detectCompression,
  unpack,
} from "../../src/boot/decompress/unpack.ts";
import { needs, type Requirement } from "../support/requirements.ts";
import { compress, compressors, filter, programLike } from "./images.ts";

const formats = Object.keys(compressors) as CompressionFormat[];
const LIMIT = 64 * 2 ** 20;

function tool(format: CompressionFormat): Requirement {
  const { program } = compressors[format];
  return program === "lzop" || program === "bzip2" || program === "gzip" || program === "zstd" || program === "lz4"
    ? program
    : "xz";
}

/** Beyond one LZ4 block of 8 MiB and one LZMA2 chunk of 2 MiB. */
const data = programLike(9_000_001);

for (const format of formats) {
  Deno.test({
    ...needs(`${format}: a payload as the Linux build makes it is unpacked exactly`, tool(format)),
    async fn() {
      const payload = await compress(format, data);
      assert.equal(detectCompression(payload), format);
      const unpacked = await unpack(payload, format);
      assert.equal(unpacked.length, data.length);
      assert.ok(Buffer.from(unpacked).equals(data), "the bytes differ");
    },
  });

  Deno.test({
    ...needs(`${format}: unpacks nothing, one byte and a run of one byte`, tool(format)),
    async fn() {
      for (const small of [new Uint8Array(0), Uint8Array.of(7), new Uint8Array(300_000).fill(0x90)]) {
        const unpacked = await unpack(await compress(format, small), format);
        assert.ok(Buffer.from(unpacked).equals(small), `${small.length} bytes`);
      }
    },
  });

  Deno.test({
    ...needs(`${format}: no more than the limit comes out`, tool(format)),
    async fn() {
      const bomb = await compress(format, new Uint8Array(3_000_000));
      await assert.rejects(unpack(bomb, format, { limit: 1_000_000 }), (error: Error) => {
        assert.ok(error instanceof DecompressError, String(error));
        assert.match(error.message, /more than 1000000 bytes/);
        return true;
      });
    },
  });

  Deno.test({
    ...needs(`${format}: data cut short or damaged anywhere are an error or as they were, never a hang`, tool(format)),
    async fn() {
      const original = programLike(60_000);
      const payload = await compress(format, original);
      // The last quarter is left alone: container trailers that nobody reads may be missing.
      for (let length = 0; length < payload.length * 3 / 4; length += Math.ceil(payload.length / 40)) {
        await assert.rejects(
          unpack(payload.slice(0, length), format, { limit: LIMIT }),
          DecompressError,
          `cut at ${length}`,
        );
      }
      for (let at = 0; at < payload.length; at += Math.ceil(payload.length / 60)) {
        const damaged = payload.slice();
        damaged[at] ^= 0x55;
        try {
          const unpacked = await unpack(damaged, format, { limit: LIMIT });
          assert.ok(unpacked.length <= LIMIT);
        } catch (error) {
          assert.ok(error instanceof DecompressError, `byte ${at}: ${error}`);
        }
      }
    },
  });
}

Deno.test({
  ...needs("xz: the checksum of the data is checked", "xz"),
  async fn() {
    const payload = await filter("xz", ["--check=crc32"], programLike(5000));
    // Behind the data come the check (4 bytes), the index and the footer.
    const view = new DataView(payload.buffer);
    const indexSize = (view.getUint32(payload.length - 8, true) + 1) * 4;
    payload[payload.length - 12 - indexSize - 1] ^= 1;
    await assert.rejects(unpack(payload, "xz"), /wrong checksum of the data/);
  },
});

Deno.test({
  ...needs("xz: modules as distributions compress them, with and without other checks", "xz"),
  async fn() {
    const module = programLike(100_000);
    for (
      const args of [["--lzma2=dict=1MiB", "--check=crc32"], ["--check=crc64"], ["--check=sha256"], ["--check=none"]]
    ) {
      assert.ok(Buffer.from(await unpack(await filter("xz", args, module), "xz")).equals(module), args.join(" "));
    }
  },
});

Deno.test({
  ...needs("xz: a filter of another processor is refused by name", "xz"),
  async fn() {
    const payload = await filter("xz", ["--arm", "--lzma2"], programLike(1000));
    await assert.rejects(unpack(payload, "xz"), /not supported: filters 0x7 0x21/);
  },
});

Deno.test({
  ...needs("lz4: unpacks into given room, and elsewhere when that is too small", "lz4"),
  async fn() {
    const payload = await compress("lz4", data);
    const room = new Uint8Array(data.length + 1000);
    const inRoom = await unpack(payload, "lz4", { limit: LIMIT, room });
    assert.ok(inRoom.buffer === room.buffer, "the room was not used");
    assert.ok(Buffer.from(inRoom).equals(data));
    const elsewhere = await unpack(payload, "lz4", { limit: LIMIT, room: new Uint8Array(1000) });

    assert.ok(Buffer.from(elsewhere).equals(data));
  },
});

Deno.test("a file of no known compression is recognised as such", () => {
  assert.equal(detectCompression(new TextEncoder().encode("#!/bin/sh\n")), undefined);
  assert.equal(detectCompression(new Uint8Array()), undefined);
});
