import assert from "node:assert/strict";
import { join } from "node:path";
import { encodeCommandInput, endOfCommandInput, parseCommandStatus } from "../../src/boot/command_ports.ts";
import { CpioWriter } from "../../src/boot/cpio.ts";
import { commandInit, rootInit, shellWords } from "../../src/boot/init_script.ts";
import { buildCommandInitramfs, buildRootInitramfs, BUSYBOX_PATH } from "../../src/boot/initramfs.ts";
import { moduleName, orderModules, parseModuleIndex, readModules } from "../../src/boot/modules.ts";
import { kernelRelease } from "../../src/boot/release.ts";
import { findKernel } from "../support/kernels.ts";
import { needs } from "../support/requirements.ts";
import { filter, makeBzImage, makeElf } from "./images.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

/** The files of an archive by their path. */
function unpackCpio(archive: Uint8Array): Map<string, { mode: number; data: Uint8Array }> {
  const files = new Map<string, { mode: number; data: Uint8Array }>();
  for (let at = 0;;) {
    assert.equal(text(archive.subarray(at, at + 6)), "070701");
    const field = (index: number) =>
      Number.parseInt(text(archive.subarray(at + 6 + index * 8, at + 14 + index * 8)), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const path = text(archive.subarray(at + 110, at + 110 + nameSize - 1));
    if (path === "TRAILER!!!") return files;
    const start = Math.ceil((at + 110 + nameSize) / 4) * 4;
    files.set(path, { mode, data: archive.subarray(start, start + size) });
    at = Math.ceil((start + size) / 4) * 4;
  }
}

Deno.test({
  ...needs("cpio: the program of that name lists and extracts what was put in", "cpio"),
  async fn() {
    const archive = new CpioWriter().directory("a").file("/a/b", "hello\n", 0o755).file(
      "odd",
      new Uint8Array(4097).fill(7),
    )
      .link("l", "a/b").characterDevice("c", 5, 1).finish();
    const list = text(await filter("cpio", ["-itv", "--quiet"], archive));
    assert.match(list, /^drwxr-xr-x .* a$/m);
    assert.match(list, /^-rwxr-xr-x .* 6 .* a\/b$/m);
    assert.match(list, /^-rw-r--r-- .* 4097 .* odd$/m);
    assert.match(list, /^lrwxrwxrwx .* l -> a\/b$/m);
    assert.match(list, /^crw------- .* 5, +1 .* c$/m);
    assert.equal(text(await filter("cpio", ["-i", "--to-stdout", "--quiet", "a/b"], archive)), "hello\n");
  },
});

const index = parseModuleIndex(
  "kernel/a/virtio-pci.ko.xz: kernel/b/pci_modern.ko.xz kernel/b/virtio_ring.ko kernel/b/virtio.ko\n"
    + "kernel/b/pci_modern.ko.xz: kernel/b/virtio.ko\nkernel/b/virtio_ring.ko:\nkernel/b/virtio.ko: kernel/b/virtio_ring.ko\n",
  "kernel/fs/ext4/ext4.ko\nkernel/lib/crc16.ko\n",
);

Deno.test("modules are ordered so that each comes behind those it needs, names with hyphens alike", () => {
  assert.equal(moduleName("kernel/drivers/char/hw_random/virtio-rng.ko.zst"), "virtio_rng");
  const { order, missing } = orderModules(index, ["virtio-pci", "ext4", "virtio_ring", "nosuch"]);
  assert.deepEqual(order, ["virtio", "virtio_ring", "pci_modern", "virtio_pci"]);
  assert.deepEqual(missing, ["nosuch"]);
});

Deno.test({
  ...needs("modules are read and unpacked, whatever they are compressed with", "xz", "zstd", "gzip"),
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const home = join(folder, "1.2.3");
      await Deno.mkdir(home);
      const plain = bytes("\x7fELF a module");
      await Deno.writeFile(join(home, "a.ko"), plain);
      await Deno.writeFile(join(home, "b.ko.xz"), await filter("xz", ["--check=crc32", "--lzma2=dict=1MiB"], plain));
      await Deno.writeFile(join(home, "c.ko.zst"), await filter("zstd", ["-q"], plain));
      await Deno.writeFile(join(home, "d.ko.gz"), await filter("gzip", [], plain));
      await Deno.writeTextFile(join(home, "modules.dep"), "a.ko:\nb.ko.xz: a.ko\nc.ko.zst: b.ko.xz a.ko\nd.ko.gz:\n");
      const request = { release: "1.2.3", directory: folder };
      const modules = await readModules({ ...request, required: ["c"], optional: ["d", "e"] });
      assert.deepEqual(
        modules.map(({ name, data }) => [name, text(data)]),
        ["a", "b", "c", "d"].map((n) => [n, text(plain)]),
      );
      await assert.rejects(
        readModules({ ...request, required: ["virtio-pci"] }),
        /modules virtio_pci of release 1\.2\.3: neither in .*modules\.dep nor built in/,
      );
      await Deno.writeTextFile(join(home, "modules.builtin"), "kernel/virtio_pci.ko\n");
      assert.deepEqual(await readModules({ ...request, required: ["virtio-pci"] }), []);
      await Deno.writeFile(join(home, "b.ko.xz"), Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 1));
      await assert.rejects(readModules({ ...request, required: ["c"] }), bootErrorAbout("b.ko.xz"));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

function bootErrorAbout(part: string): (error: Error) => boolean {
  return (error) => {
    assert.equal(error.name, "BootError");
    assert.ok(error.message.includes(part), error.message);
    return true;
  };
}

Deno.test("a release without modules is told with where they were looked for and what to install", async () => {
  await assert.rejects(
    readModules({ release: "9.9.9-none", required: ["virtio_pci"] }),
    /\/lib\/modules\/9\.9\.9-none\/modules\.dep .* apt-get install linux-image-9\.9\.9-none/,
  );
});

Deno.test("a kernel's release is read from a bzImage's header and from a vmlinux's banner", () => {
  assert.equal(kernelRelease(makeBzImage({ version: "6.1.0-5-amd64 (x) #1" })), "6.1.0-5-amd64");
  const data = bytes("Linux version %s\0Linux version 5.10.0+x (gcc)\0");
  assert.equal(kernelRelease(makeElf({ segments: [{ address: 0x100000, data }] })), "5.10.0+x");
  assert.equal(kernelRelease(makeElf()), undefined);
  assert.equal(kernelRelease(bytes("text")), undefined);
});

const awkward = ["", "a b", "it's", '"', "$HOME", "`id`", "*", "\\", "a\nb", "-n", "é", "--", "a=b", ";", "!"];

Deno.test({
  ...needs("a shell passes every word of a command exactly", "busybox"),
  async fn() {
    const script = `exec ${shellWords(["printf", "%s\\0", ...awkward])}\n`;
    const printed = text(await filter(BUSYBOX_PATH, ["sh"], bytes(script)));
    assert.deepEqual(printed.split("\0").slice(0, -1), awkward);
  },
});

Deno.test({
  ...needs("both init scripts are correct shell", "busybox"),
  async fn() {
    const modules = ["virtio_pci", "virtio_console"];
    for (
      const script of [
        commandInit({ modules, terminal: false }),
        commandInit({ modules: [], terminal: true }),
        rootInit({ modules, root: "/dev/vda", fileSystem: undefined, readOnly: false, init: "/sbin/init" }),
        rootInit({ modules, root: "/dev/a b", fileSystem: "ext4", readOnly: true, init: "/it's" }),
      ]
    ) {
      await filter(BUSYBOX_PATH, ["sh", "-n"], bytes(script));
    }
  },
});

Deno.test({
  ...needs(
    "the initramfs of a command holds busybox, the modules in order, the command and further files",
    "busybox",
    "guest kernel",
  ),
  async fn() {
    const { release } = findKernel("cloud")!;
    const files = unpackCpio(
      await buildCommandInitramfs({
        release,
        command: ["echo", "it's"],
        files: new Map([["/opt/tool/run", { data: bytes("x"), permissions: 0o755 }]]),
      }),
    );
    assert.equal(text(files.get("command")!.data), "exec echo 'it'\\''s'\n");
    assert.equal(files.get("init")!.mode, 0o100755);
    assert.equal(files.get("opt/tool")!.mode, 0o040755);
    assert.equal(files.get("opt/tool/run")!.mode, 0o100755);
    assert.equal(files.get("bin/busybox")!.data.length, (await Deno.stat(BUSYBOX_PATH)).size);
    const names = [...files.keys()].filter((path) => path.startsWith("modules/")).map(moduleName);
    assert.ok(names.indexOf("virtio_ring") < names.indexOf("virtio"));
    assert.ok(names.indexOf("virtio") < names.indexOf("virtio_pci"));
    for (const name of ["virtio_pci", "virtio_console", "virtio_blk", "virtio_rng"]) {
      assert.ok(names.includes(name), name);
    }
    const loop = /for module in (.*); do/.exec(text(files.get("init")!.data));
    assert.deepEqual(loop?.[1].split(" "), names);
    const root = unpackCpio(await buildRootInitramfs({ release, root: "/dev/vdb", init: "/bin/my init" }));
    assert.match(text(root.get("init")!.data), /exec switch_root \/newroot '\/bin\/my init'/);
  },
});

Deno.test("an initramfs without command, busybox, or a static busybox is refused with the remedy", async () => {
  await assert.rejects(buildCommandInitramfs({ command: [] }), /the command is empty/);
  await assert.rejects(buildCommandInitramfs({ command: ["a\0"] }), /NUL character/);
  await assert.rejects(
    buildCommandInitramfs({ command: ["true"], busybox: "/nonexistent/busybox" }),
    /Cannot read \/nonexistent\/busybox.*apt-get install busybox-static/,
  );
  const dynamic = makeElf();
  new DataView(dynamic.buffer).setUint32(64, 3, true);
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, dynamic);
    await assert.rejects(buildRootInitramfs({ root: "/dev/vda", busybox: path }), /linked dynamically/);
  } finally {
    await Deno.remove(path);
  }
});

/** What a line discipline in the mode of the initramfs makes of characters: the pieces that reads return; an empty one is the end. */
function lineDiscipline(input: Uint8Array): number[][] {
  const reads: number[][] = [];
  let line: number[] = [];
  for (let i = 0; i < input.length; i++) {
    const literal = input[i] === 0x16;
    const byte = literal ? input[++i] : input[i];
    const isEnd = byte === 0x04 && !literal;
    if (!isEnd) line.push(byte);
    if (isEnd || byte === 0x0a && !literal) {
      reads.push(line);
      line = [];
    }
    assert.ok(line.length < 4096, "more than a line's buffer holds");
  }
  assert.deepEqual(line, [], "something is held back");
  return reads;
}

Deno.test("any input reaches the command exactly and at once, and ends only when it is said to end", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  const cases = [
    Uint8Array.of(),
    Uint8Array.of(4),
    Uint8Array.of(0x16),
    Uint8Array.of(0x16, 4, 0x0a),
    all,
    new Uint8Array(100_000).fill(65),
    new Uint8Array(1024).fill(65).with(1023, 0x0a),
    new Uint8Array(5000).fill(4),
    bytes("line\n\nline\n"),
  ];
  for (const input of cases) {
    const reads = lineDiscipline(encodeCommandInput(input));
    assert.ok(reads.every((read) => read.length > 0), "the input ends too early");
    assert.deepEqual(reads.flat(), [...input]);
  }
  assert.deepEqual(lineDiscipline(endOfCommandInput()), [[]]);
});

Deno.test("the status port's text tells when input may be sent, and the exit code", () => {
  assert.deepEqual(parseCommandStatus(""), { ready: false, exitCode: undefined });
  assert.deepEqual(parseCommandStatus("read"), { ready: false, exitCode: undefined });
  assert.deepEqual(parseCommandStatus("ready\n4"), { ready: true, exitCode: undefined });
  assert.deepEqual(parseCommandStatus("ready\r\n42\r\n"), { ready: true, exitCode: 42 });
  assert.deepEqual(parseCommandStatus("nonsense\n999\n-1\n"), { ready: false, exitCode: undefined });
});
