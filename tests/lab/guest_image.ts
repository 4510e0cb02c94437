/**
 * What Linux guests of the tests start with: an initramfs with the kernel's virtio drivers and a few programs, or an
 * ext4 image to be their root file system. Both hold named jobs, shell text, of which `lab.job=NAME` on the kernel's
 * command line chooses one; without it, there is a shell.
 *
 * A job's output goes to the virtio console where there is one, else to the serial port, and ends with a line
 * `LAB-EXIT <code>`; then the guest powers off, unless the job did something else.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { CpioWriter } from "../../src/boot/cpio.ts";
import { readModules } from "../../src/boot/modules.ts";
import type { InstalledKernel } from "../support/kernels.ts";
import { findProgram } from "../support/requirements.ts";

/** Shell texts by name. */
export type Jobs = Readonly<Record<string, string>>;

const guestModules = ["virtio_pci", "virtio_blk", "virtio_console", "virtio_rng"];
const emptyFolders = ["dev", "proc", "sys", "tmp", "root", "etc", "sbin"];

const prologue = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
/bin/busybox --install -s /bin
# They are mounted already where this is the root disk that an initramfs switched to.
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sys /sys 2>/dev/null
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
dmesg -n 1
`;

const loadModules = `for module in $(cat /modules/order); do
  insmod /modules/$module || echo "lab: cannot load $module" >/dev/console
done
`;

const runJob = `console=/dev/console
[ -c /dev/hvc0 ] && console=/dev/hvc0
for word in $(cat /proc/cmdline); do case $word in lab.job=*) job=\${word#lab.job=};; esac; done
if [ -z "$job" ]; then
  [ $console = /dev/console ] && console=/dev/ttyS0
  setsid -c sh -i <>$console >&0 2>&1
  poweroff -f
fi
exec <$console >$console 2>&1
stty -opost -echo 2>/dev/null
sh /jobs/$job
echo "LAB-EXIT $?"
sync
poweroff -f
`;

/**
 * An initramfs.
 *
 * @param programs Names of installed programs to take along with their libraries; busybox's are always there.
 * @throws {Error} A program or module is not installed.
 */
export async function guestInitramfs(
  kernel: InstalledKernel,
  jobs: Jobs,
  programs: readonly string[] = [],
): Promise<Uint8Array> {
  const writer = new CpioWriter();
  const files = await systemFiles(jobs, programs);
  const folders = new Set([...emptyFolders, "modules", ...[...files.keys()].flatMap(foldersAbove)]);
  for (const folder of folders) writer.directory(folder);
  writer.file("init", prologue + loadModules + runJob, 0o755);
  for (const [path, content] of files) writer.file(path, content, 0o755);
  const modules = await readModules({ release: kernel.release, required: guestModules });
  for (const { name, data } of modules) writer.file(`modules/${name}`, data);
  writer.file("modules/order", modules.map(({ name }) => name).join("\n"));
  return writer.finish();
}

/**
 * Makes an ext4 image to be a root file system.
 *
 * @param path Where the image is written.
 * @param programs See {@linkcode guestInitramfs}.
 * @param size Its size as mke2fs takes it.
 * @throws {Error} A program is not installed, or mke2fs failed.
 */
export async function rootImage(path: string, jobs: Jobs, programs: readonly string[], size: string): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "denovisor-root-" });
  try {
    const files = await systemFiles(jobs, programs);
    files.set("sbin/init", new TextEncoder().encode(prologue + runJob));
    for (const name of emptyFolders) await Deno.mkdir(join(folder, name));
    for (const [name, content] of files) {
      await Deno.mkdir(dirname(join(folder, name)), { recursive: true });
      await Deno.writeFile(join(folder, name), content, { mode: 0o755 });
    }
    await output("mke2fs", ["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-d", folder, path, size]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** "a/b" and "a" for "a/b/c". */
function foldersAbove(path: string): string[] {
  const parts = path.split("/");
  return parts.slice(1).map((_, depth) => parts.slice(0, depth + 1).join("/"));
}

/** busybox, the jobs, and programs with all their libraries, by path. */
async function systemFiles(jobs: Jobs, programs: readonly string[]): Promise<Map<string, Uint8Array>> {
  const files = new Map([["bin/busybox", await Deno.readFile(installed("busybox"))]]);
  for (const [name, text] of Object.entries(jobs)) files.set(`jobs/${name}`, new TextEncoder().encode(text));
  for (const name of programs) {
    const path = installed(name);
    files.set(`usr/bin/${name}`, await Deno.readFile(path));
    for (const [library] of (await output("ldd", [path])).matchAll(/(?<=\s)\/\S+(?= \()/g)) {
      files.set(library.slice(1), await Deno.readFile(library));
    }
  }
  return files;
}

function installed(program: string): string {
  const path = findProgram(program);
  if (path === undefined) throw new Error(`Cannot make a guest's image: ${program} is not installed here`);
  return path;
}

async function output(program: string, args: string[]): Promise<string> {
  const result = await new Deno.Command(installed(program), { args }).output();
  const decoder = new TextDecoder();
  if (result.success) return decoder.decode(result.stdout);
  throw new Error(`${program} ${args.join(" ")} ended with code ${result.code}: ${decoder.decode(result.stderr)}`);
}
