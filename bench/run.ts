/**
 * All benches, one after the other, in less than three minutes: `deno task bench`. Each can also be run by itself.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { describeHost } from "./support/host.ts";
import { printTable } from "./support/samples.ts";

/** The benches in order, with what `deno` is told to do with them. */
const BENCHES: readonly { readonly file: string; readonly command: readonly string[]; readonly needsKvm: boolean }[] = [
  { file: "ffi_bench.ts", command: ["bench", "-A", "--no-check"], needsKvm: true },
  { file: "queue_bench.ts", command: ["bench", "-A", "--no-check"], needsKvm: false },
  { file: "heap.ts", command: ["run", "-A"], needsKvm: false },
  { file: "exits.ts", command: ["run", "-A"], needsKvm: true },
  { file: "interrupts.ts", command: ["run", "-A"], needsKvm: true },
  { file: "launch.ts", command: ["run", "-A"], needsKvm: true },
];

function canOpenKvm(): string | undefined {
  try {
    Deno.openSync("/dev/kvm", { read: true, write: true }).close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

printTable(["measured on", ""], describeHost().map((pair) => [...pair]));
const missing = canOpenKvm();
const failed: string[] = [];
for (const { file, command, needsKvm } of BENCHES) {
  if (needsKvm && missing !== undefined) {
    console.log(`\n${file} is left out: /dev/kvm cannot be opened (${missing}); "deno task doctor" tells what to do`);
    continue;
  }
  const path = fileURLToPath(import.meta.resolve(`./${file}`));
  const { success } = await new Deno.Command(Deno.execPath(), { args: [...command, path] }).spawn().status;
  if (!success) failed.push(file);
}
if (failed.length > 0) {
  console.error(`\nFailed: ${failed.join(", ")}`);
  Deno.exit(1);
}
