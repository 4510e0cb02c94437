/**
 * The embedded guest under QEMU's instruction emulator: a judge that shares no code with us.
 *
 * @module
 */
import { join } from "node:path";
import { guestImage } from "../../guest/image.ts";

/** Longest run, in milliseconds; a usual one takes half a second. */
const TIME_LIMIT = 30_000;

const DISK_BYTES = 1 << 20;

/** What is left of a run. */
export interface QemuRun {
  /** All that the guest wrote to the debug port. */
  readonly output: string;
  /** The guest's exit code; undefined where it ended otherwise, by a reset say. */
  readonly code: number | undefined;
  /** What was written to the console's port. */
  readonly console: string;
  /** What QEMU complained about. */
  readonly complaints: string;
}

/**
 * Runs the guest on a q35 machine with a disk, an entropy device and a console.
 *
 * @param commandLine The guest's command line.
 * @param extra Further arguments for QEMU.
 */
export async function runInQemu(commandLine: string, extra: readonly string[] = []): Promise<QemuRun> {
  const folder = await Deno.makeTempDir({ prefix: "denovisor_guest_" });
  try {
    const path = (name: string) => join(folder, name);
    const disk = new Uint8Array(DISK_BYTES).map((_, index) => index * 7 % 251);
    await Deno.writeFile(path("guest.elf"), guestImage());
    await Deno.writeFile(path("disk.img"), disk);
    const process = new Deno.Command("qemu-system-x86_64", {
      args: [
        ...["-M", "q35", "-accel", "tcg", "-m", "128", "-nodefaults", "-display", "none", "-no-reboot"],
        ...["-kernel", path("guest.elf"), "-append", commandLine],
        ...["-drive", `if=none,id=disk,file=${path("disk.img")},format=raw`],
        ...["-device", "virtio-blk-pci,disable-legacy=on,drive=disk,serial=disk-1"],
        ...["-device", "virtio-rng-pci,disable-legacy=on"],
        ...["-device", "virtio-serial-pci,disable-legacy=on"],
        ...["-chardev", `file,id=console,path=${path("console.txt")}`, "-device", "virtconsole,chardev=console"],
        ...["-debugcon", `file:${path("debug.txt")}`],
        ...["-device", "isa-debug-exit,iobase=0xf4"],
        ...extra,
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      signal: AbortSignal.timeout(TIME_LIMIT),
    });
    const { code, stderr } = await process.output();
    return {
      output: await Deno.readTextFile(path("debug.txt")),
      // isa-debug-exit makes every exit code odd; QEMU's own are 0 and 1, the latter being a guest's 0.
      code: code % 2 === 1 ? code >> 1 : undefined,
      console: await Deno.readTextFile(path("console.txt")),
      complaints: new TextDecoder().decode(stderr),
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
