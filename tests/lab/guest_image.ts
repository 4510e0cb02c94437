/**
 * What Linux guests of the tests start with: an initramfs with the kernel's virtio drivers and a few programs, and an
 * ext4 image to be their root file system. Both hold the same named jobs, shell text; `lab.job=NAME` on the kernel's
 * command line chooses one, `lab.root` has it run in the root file system on `/dev/vda` instead of in RAM.
 *
 * A job's output goes to the virtio console where there is one, else to the serial port, and ends with a line
 * `LAB-EXIT <code>`; then the guest powers off, unless the job did something else.
 *
 * @module
 */
import { dirname, join } from "node:path";
import { archive, type ArchiveEntry } from "../support/cpio.ts";
import { type InstalledKernel, moduleName, modulesInLoadOrder, readModule } from "../support/kernels.ts";
import { findProgram } from "../support/requirements.ts";

/** Shell texts by name. */
export type Jobs = Readonly<Record<string, string>>;

const guestModules = ["virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "ext4"];

/** Mounts what programs expect, then runs the job. The part that both file systems share. */
const runJob = `
console=/dev/console
[ -c /dev/hvc0 ] && console=/dev/hvc0
exec <$console >$console 2>&1
stty -opost -echo 2>/dev/null
[ -n "$job" ] || exec setsid -c sh
sh /jobs/$job
echo "LAB-EXIT $?"
sync
poweroff -f
`;

const readJobName =
  `for word in $(cat /proc/cmdline); do case $word in lab.job=*) job=\${word#lab.job=};; esac; done\n`;

const initramfsInit = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
dmesg -n 1
for module in $(cat /modules/order); do insmod /modules/$module || echo "lab: cannot load $module" >/dev/console; done
${readJobName}
if grep -qw lab.root /proc/cmdline; then
  mkdir -p /new
  for moment in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; sleep 0.2; done
  mount -t ext4 /dev/vda /new || { echo "lab: cannot mount /dev/vda" >/dev/console; poweroff -f; }
  umount /proc /sys /dev /tmp
  exec switch_root /new /sbin/init
fi
${runJob}`;

const rootInit = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
${readJobName}${runJob}`;

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
): Promise<Uint8Array<ArrayBuffer>> {
  const entries = new Map<string, ArchiveEntry>([["init", { kind: "program", content: initramfsInit }]]);
  for (const name of ["dev", "proc", "sys", "tmp", "root"]) entries.set(name, { kind: "folder" });
  for (const [path, content] of await systemFiles(jobs, programs)) entries.set(path, { kind: "program", content });
  const files = await modulesInLoadOrder(kernel, guestModules);
  for (const file of files) {
    entries.set(`modules/${moduleName(file)}`, { kind: "file", content: await readModule(file) });
  }
  entries.set("modules/order", { kind: "file", content: files.map(moduleName).join("\n") });
  return archive(entries);
}

/**
 * Makes an ext4 image to be a root file system.
 *
 * @param path Where the image is written.
 * @param programs See {@linkcode guestInitramfs}.
 * @param size Its size as mke2fs takes it.
 * @throws {Error} A program is not installed, or mke2fs failed.
 */
export async function rootImage(path: string, jobs: Jobs, programs: readonly string[], size = "256M"): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "denovisor-root-" });
  try {
    for (const name of ["dev", "proc", "sys", "tmp", "root", "etc"]) await Deno.mkdir(join(folder, name));
    for (const [name, content] of await systemFiles(jobs, programs)) {
      await Deno.mkdir(dirname(join(folder, name)), { recursive: true });
      await Deno.writeFile(join(folder, name), content, { mode: 0o755 });
    }
    for (const name of await busyboxPrograms()) await Deno.symlink("/bin/busybox", join(folder, "bin", name));
    await Deno.mkdir(join(folder, "sbin"), { recursive: true });
    await Deno.writeTextFile(join(folder, "sbin/init"), rootInit, { mode: 0o755 });
    const args = ["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-d", folder, path, size];
    await output(findProgram("mke2fs") ?? "mke2fs", args);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** busybox, the jobs, and programs with all libraries, by path. */
async function systemFiles(jobs: Jobs, programs: readonly string[]): Promise<Map<string, Uint8Array>> {
  const files = new Map([["bin/busybox", await Deno.readFile(findProgram("busybox") ?? "/bin/busybox")]]);
  for (const [name, text] of Object.entries(jobs)) files.set(`jobs/${name}`, new TextEncoder().encode(text));
  for (const name of programs) {
    const path = findProgram(name);
    if (path === undefined) throw new Error(`Cannot put ${name} into a guest: it is not installed here`);
    files.set(`usr/bin/${name}`, await Deno.readFile(path));
    for (const [library] of (await output("ldd", [path])).matchAll(/\/\S+/g)) {
      if (library.endsWith(":")) continue;
      files.set(library.slice(1), await Deno.readFile(library));
    }
  }
  return files;
}

async function busyboxPrograms(): Promise<string[]> {
  const names = (await output(findProgram("busybox") ?? "busybox", ["--list"])).split("\n");
  return names.filter((name) => name !== "" && name !== "busybox");
}

async function output(program: string, args: string[]): Promise<string> {
  const result = await new Deno.Command(program, { args }).output();
  const decoder = new TextDecoder();
  if (result.success) return decoder.decode(result.stdout);
  throw new Error(`${program} ${args.join(" ")} ended with code ${result.code}: ${decoder.decode(result.stderr)}`);
}
