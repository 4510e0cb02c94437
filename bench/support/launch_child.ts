/**
 * A process that launches one machine as a user's script would, tells when its guest's first instructions have run, and waits to be
 * looked at until stdin ends.
 *
 * @module
 */
import { VirtualMachine } from "../../mod.ts";
import { elfOf, helloGuest } from "./guests.ts";

/** What the process prints, in milliseconds. */
export interface LaunchTimes {
  /** From the call of `launch` to the guest's first character in this script's hands. */
  readonly firstOutput: number;
  /** From the start of the process's isolate to the call of `launch`: loading the modules. */
  readonly beforeLaunch: number;
  /** The machine isolate's own account of the launch, from the call on. */
  readonly timeline: Readonly<Record<string, number>>;
}

const first = Promise.withResolvers<number>();
const kernel = elfOf(helloGuest());
const beforeLaunch = performance.now();
await using vm = await VirtualMachine.launch(
  { kernel, memory: "64M", serial: "off" },
  { onOutput: () => first.resolve(performance.now()) },
);
const firstOutput = await first.promise - beforeLaunch;
console.log(JSON.stringify({ firstOutput, beforeLaunch, timeline: vm.timeline } satisfies LaunchTimes));
await Deno.stdin.read(new Uint8Array(1));
