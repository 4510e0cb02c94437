import assert from "node:assert/strict";
import { join } from "node:path";
import { findKernel, unpackedKernel } from "../support/kernels.ts";
import { guestInitramfs } from "./guest_image.ts";
import { type GuestRun, guestTests } from "./guest_runs.ts";

const DISK_BYTES = 1 << 20;

const jobs = {
  reboot: `
    if [ "$(dd if=/dev/vda bs=8 count=1 2>/dev/null)" = rebooted ]; then echo "second start"; exit 0; fi
    echo "first start"
    printf rebooted | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null
    reboot -f`,
  panic: `echo c > /proc/sysrq-trigger`,
};

/** Makes images and tells which guests to run with them. */
async function prepare(folder: string): Promise<GuestRun[]> {
  const kernel = findKernel("cloud")!;
  const path = (name: string) => join(folder, name);
  await Deno.writeFile(path("vmlinux"), await unpackedKernel(kernel));
  const initramfs = await guestInitramfs(kernel, jobs);
  await Deno.writeFile(path("initramfs"), initramfs);
  await Deno.writeFile(path("truncated"), initramfs.subarray(0, initramfs.length >> 1));
  for (const name of ["once.img", "twice.img"]) await Deno.writeFile(path(name), new Uint8Array(DISK_BYTES));

  const boot = (
    job: string,
  ) => ["--kernel", path("vmlinux"), "--cmdline", `console=ttyS0 quiet panic=-1 lab.job=${job}`];
  const small = ["--initramfs", path("initramfs")];
  return [
    { name: "reboot", args: [...boot("reboot"), ...small, "--disk", `path=${path("twice.img")}`] },
    { name: "no-reboot", args: [...boot("reboot"), ...small, "--no-reboot", "--disk", `path=${path("once.img")}`] },
    { name: "panic", args: [...boot("panic"), ...small] },
    { name: "truncated", args: [...boot("panic"), "--initramfs", path("truncated")] },
    { name: "no-kernel", args: ["--kernel", path("once.img"), ...small] },
    { name: "no-disk", args: [...boot("panic"), ...small, "--disk", `path=${path("gone.img")}`] },
  ];
}

const guestTest = guestTests([], prepare);

guestTest("a reboot starts the machine anew, with its disk as it was left", "reboot", (outcome) => {
  assert.equal(outcome.code, 0);
  assert.match(outcome.console, /first start[\s\S]*second start\nLAB-EXIT 0/);
});

guestTest("with --no-reboot a reboot ends the run with code 0", "no-reboot", (outcome) => {
  assert.equal(outcome.code, 0);
  assert.match(outcome.console, /first start/);
  assert.doesNotMatch(outcome.console, /second start/);
});

guestTest("a panic ends the run with code 120 and the kernel's own words", "panic", (outcome) => {
  assert.equal(outcome.code, 120);
  assert.match(outcome.stderr, /panic.*sysrq triggered crash/i);
});

guestTest("a truncated initramfs ends in a panic that is told, not in a hang", "truncated", (outcome) => {
  assert.equal(outcome.code, 120);
  assert.match(outcome.stderr, /panic/i);
});

guestTest("a kernel that is not one is refused with its path and what was expected", "no-kernel", (outcome) => {
  assert.equal(outcome.code, 125);
  assert.match(outcome.stderr, /once\.img/);
  assert.match(outcome.stderr, /ELF|bzImage/);
});

guestTest("a disk that is gone is refused with its path and the cause", "no-disk", (outcome) => {
  assert.equal(outcome.code, 125);
  assert.match(outcome.stderr, /gone\.img/);
  assert.match(outcome.stderr, /no such file|not exist|ENOENT|missing/i);
});
