/**
 * The initramfs with which the KVM host in a box starts: busybox, the modules it needs to reach this machine's files
 * and to have KVM, and an init that runs one job in them.
 *
 * @module
 */
import { join } from "node:path";
import { CpioWriter } from "../../src/boot/cpio.ts";
import { readModules } from "../../src/boot/modules.ts";
import type { InstalledKernel } from "../support/kernels.ts";
import { findProgram } from "../support/requirements.ts";

/** Mount tags of the 9p shares. */
export const shareTags = { root: "root", control: "control", results: "results" } as const;

/** Where the box's own files appear in the root that a job sees. */
export const controlFolder = "/run/box";
/** Where the results folder appears. */
export const resultsFolder = "/results";

/** Names of the serial ports that carry the job's output. */
export const portNumbers = { stdout: 1, stderr: 2 } as const;

const bootModules = ["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "kvm_amd"];

const shareOptions = "trans=virtio,version=9p2000.L,msize=512000";

/**
 * The first program of the box. It mounts the share of this machine's root under a writable overlay in RAM and runs
 * `/run/box/job` in it. The job's output goes to virtio ports of its own, so that no kernel message can get between;
 * its exit code is a file on the control share. A job may leave processes behind that hold its output open: they are
 * given a moment, then the box is switched off.
 */
const initScript = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module || echo "box: cannot load $module"; done
mount -t 9p -o ${shareOptions},cache=loose,ro ${shareTags.root} /share || echo "box: cannot mount the root share"
mount -t tmpfs -o size=70% changes /changes; mkdir /changes/upper /changes/work
mount -t overlay -o lowerdir=/share,upperdir=/changes/upper,workdir=/changes/work root /host \\
  || echo "box: cannot mount the overlay"
mount -t proc proc /host/proc; mount -t sysfs sys /host/sys; mount -t devtmpfs dev /host/dev
mkdir -p /host/dev/pts /host/dev/shm /host${controlFolder} /host${resultsFolder}
mount -t devpts pts /host/dev/pts; mount -t tmpfs shm /host/dev/shm
ln -sf /proc/self/fd /host/dev/fd; ln -sf fd/0 /host/dev/stdin; ln -sf fd/1 /host/dev/stdout; ln -sf fd/2 /host/dev/stderr
mount -t 9p -o ${shareOptions},cache=none ${shareTags.control} /host${controlFolder} || echo "box: no control share"
mount -t 9p -o ${shareOptions},cache=none ${shareTags.results} /host${resultsFolder} 2>/dev/null
ip link set lo up; hostname box
if grep -q box.interactive /proc/cmdline; then
  setsid -c chroot /host /bin/bash ${controlFolder}/job <>/dev/hvc0 >&0 2>&1
  echo $? > /host${controlFolder}/code
else
  until [ -e /dev/vport*p${portNumbers.stdout} ] && [ -e /dev/vport*p${portNumbers.stderr} ]; do sleep 0.05; done
  mkfifo /stdout /stderr
  cat /stdout > $(echo /dev/vport*p${portNumbers.stdout}) & out=$!
  cat /stderr > $(echo /dev/vport*p${portNumbers.stderr}) & err=$!
  chroot /host /bin/bash ${controlFolder}/job </dev/null >/stdout 2>/stderr
  echo $? > /host${controlFolder}/code
  for moment in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 $out 2>/dev/null || kill -0 $err 2>/dev/null || break
    sleep 0.1
  done
fi
sync
poweroff -f
`;

/**
 * Path of the initramfs, from the cache where it is there already.
 *
 * @throws {Error} busybox or a module is missing.
 */
export async function boxInitramfs(kernel: InstalledKernel): Promise<string> {
  const busybox = findProgram("busybox");
  if (busybox === undefined) {
    throw new Error("Cannot make the box's initramfs: busybox is not installed; apt-get install busybox-static");
  }
  const folder = cacheFolder();
  await Deno.mkdir(folder, { recursive: true });
  const path = join(folder, `box-${kernel.release}-${await fingerprint(initScript + bootModules)}.cpio`);
  try {
    await Deno.stat(path);
    return path;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const writer = new CpioWriter();
  for (const name of ["bin", "dev", "proc", "sys", "modules", "share", "changes", "host"]) writer.directory(name);
  writer.file("init", initScript, 0o755).file("bin/busybox", await Deno.readFile(busybox), 0o755);
  const modules = await readModules({ release: kernel.release, required: bootModules });
  for (const { name, data } of modules) writer.file(`modules/${name}`, data);
  writer.file("modules/order", modules.map(({ name }) => name).join("\n"));
  // Another process may be making the same file: each writes its own, and the last one to be renamed stays.
  const unfinished = await Deno.makeTempFile({ dir: folder, prefix: "unfinished-" });
  await Deno.writeFile(unfinished, writer.finish());
  await Deno.rename(unfinished, path);
  return path;
}

/** Where things that can be made anew are kept between runs. */
export function cacheFolder(): string {
  const home = Deno.env.get("HOME");
  const caches = Deno.env.get("XDG_CACHE_HOME") ?? (home ? join(home, ".cache") : Deno.env.get("TMPDIR") ?? "/tmp");
  return join(caches, "denovisor");
}

async function fingerprint(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(digest).toHex().slice(0, 12);
}
