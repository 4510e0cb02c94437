/**
 * The least there is to a launch: the embedded guest in a machine of its own, its words on our standard output, its exit code
 * ours.
 *
 *     deno run -A examples/minimal.ts
 *
 * @module
 */
import { VirtualMachine } from "@denovisor/denovisor";
import { guestImage } from "../guest/image.ts";

await using vm = await VirtualMachine.launch(
  { kernel: guestImage(), cmdline: "mode=smp", cpus: 2, memory: "64M", timeoutSeconds: 60 },
  { onOutput: ({ data }) => void Deno.stdout.writeSync(data) },
);
const { ending } = await vm.ended;
console.error(ending.message);
Deno.exitCode = ending.exitCode;
