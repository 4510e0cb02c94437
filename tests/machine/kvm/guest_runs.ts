/**
 * Launches of the embedded guest, and what they leave behind.
 *
 * @module
 */
import { guestImage } from "../../../guest/image.ts";
import { type LaunchOptions, type Listeners, type RunReport, VirtualMachine } from "../../../mod.ts";

/** Far above what any run here takes: a machine that hangs is an error, not a hanging test. */
const TIMEOUT_SECONDS = 60;

/** Launches the embedded guest in 64 MiB. */
export function launchGuest(options: Partial<LaunchOptions>, listeners?: Listeners): Promise<VirtualMachine> {
  return VirtualMachine.launch(
    { kernel: guestImage(), memory: "64M", timeoutSeconds: TIMEOUT_SECONDS, ...options },
    listeners,
  );
}

/** A finished run. */
export interface GuestRun extends RunReport {
  /** Output by stream. */
  readonly output: Readonly<Record<string, string>>;
  /** Lines that devices logged. */
  readonly log: readonly string[];
}

/** Runs the embedded guest to its end. */
export async function runGuest(options: Partial<LaunchOptions>): Promise<GuestRun> {
  const output: Record<string, string> = {};
  const log: string[] = [];
  const decoder = new TextDecoder();
  await using vm = await launchGuest(options, {
    onOutput: ({ stream, data }) => void (output[stream] = (output[stream] ?? "") + decoder.decode(data)),
    onLog: ({ device, message }) => void log.push(`${device}: ${message}`),
  });
  return { ...await vm.ended, output, log };
}

/** Waits until something holds. */
export async function until(what: string, holds: () => boolean, seconds = 30): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`it took longer than ${seconds} s until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What this process holds. */
export interface Holdings {
  readonly descriptors: number;
  /** Mappings of KVM, memory files and event descriptors. */
  readonly mappings: number;
  readonly threads: number;
}

/** Counts what this process holds. */
export function holdings(): Holdings {
  const maps = Deno.readTextFileSync("/proc/self/maps").split("\n");
  return {
    descriptors: [...Deno.readDirSync("/proc/self/fd")].length,
    mappings: maps.filter((line) => /kvm|memfd|anon_inode/.test(line)).length,
    threads: [...Deno.readDirSync("/proc/self/task")].length,
  };
}

/**
 * Waits until this process holds no more than before: Workers take a moment to go.
 *
 * @throws {Error} It still holds more after a while; the message names what.
 */
export async function settled(before: Holdings, slack: Partial<Holdings> = {}): Promise<void> {
  const left = () => {
    const now = holdings();
    return (Object.keys(now) as (keyof Holdings)[]).filter((key) => now[key] > before[key] + (slack[key] ?? 0));
  };
  try {
    await until("all was given back", () => left().length === 0, 10);
  } catch {
    const descriptors = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
      try {
        return `${name} → ${Deno.readLinkSync(`/proc/self/fd/${name}`)}`;
      } catch {
        return name;
      }
    });
    throw new Error(
      `left behind: ${left().join(", ")}; before ${JSON.stringify(before)}, now ${JSON.stringify(holdings())}; `
        + `descriptors: ${descriptors.join(", ")}`,
    );
  }
}

/** A plugin's module, as a URL: what stands in `body`, with the plugin interface as `plugin`. */
export function pluginModule(body: string): string {
  const api = import.meta.resolve("../../../src/plugin/api.ts");
  return `data:text/javascript,${encodeURIComponent(`import * as plugin from ${JSON.stringify(api)};\n${body}`)}`;
}
