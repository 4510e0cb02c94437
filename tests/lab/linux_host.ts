/**
 * Where Linux guests can run: on this machine's own KVM if the processor supports it, else on a KVM host in a box.
 *
 * @module
 */
import { boxRequirements, hardwareKvmProblem, requirement } from "../support/requirements.ts";
import { BoxError, type BoxOptions, type BoxResult, runInBox } from "./box.ts";

/** A place for Linux guests, and why it was chosen. */
export interface LinuxHost {
  /** "none" where neither is possible. */
  readonly kind: "direct" | "box" | "none";
  /** For people. */
  readonly reason: string;
}

/** Chooses the place. */
export function chooseLinuxHost(): LinuxHost {
  const problem = hardwareKvmProblem();
  if (problem === undefined) return { kind: "direct", reason: "KVM of this machine runs on the processor's support" };
  const missing = requirement(...boxRequirements);
  return missing === undefined
    ? { kind: "box", reason: `${problem}; so QEMU emulates a host that can run Linux guests` }
    : { kind: "none", reason: `${problem}; and a KVM host in a box cannot be emulated: ${missing}` };
}

/** What {@linkcode runOnLinuxHost} takes. */
export interface HostOptions extends Pick<BoxOptions, "memory"> {
  /** Folder for results; the command finds its path in the variable RESULTS. */
  readonly results: string;
  /** Time limit in seconds. */
  readonly timeout: number;
}

const TIMEOUT_CODE = 124;

/**
 * Runs shell text where Linux guests can run.
 *
 * @throws {BoxError} There is no such place, it broke down, or the time limit was reached.
 */
export async function runOnLinuxHost(command: string, options: HostOptions): Promise<BoxResult> {
  const host = chooseLinuxHost();
  if (host.kind === "none") throw new BoxError(host.reason);
  if (host.kind === "box") return await runInBox(command, { ...options, environment: { RESULTS: "/results" } });
  const started = performance.now();
  const child = await new Deno.Command("timeout", {
    args: ["--kill-after=5", `${options.timeout}`, "bash", "-c", command],
    env: { RESULTS: options.results, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  if (child.code === TIMEOUT_CODE) throw new BoxError(`The command took longer than ${options.timeout} s`, true);
  const decoder = new TextDecoder();
  return {
    code: child.code,
    stdout: decoder.decode(child.stdout),
    stderr: decoder.decode(child.stderr),
    seconds: (performance.now() - started) / 1000,
  };
}
