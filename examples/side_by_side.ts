/**
 * Two machines at once in one process. The slower one is stopped when the faster one is done.
 *
 *     deno run -A examples/side_by_side.ts
 *
 * @module
 */
import { VirtualMachine } from "@denovisor/denovisor";
import { guestImage } from "../guest/image.ts";

const machine = { kernel: guestImage(), memory: "64M", timeoutSeconds: 60 };

const [patient, quick] = await Promise.all([
  VirtualMachine.launch({ ...machine, cmdline: "mode=halt" }),
  VirtualMachine.launch({ ...machine, cmdline: "mode=exit code=7", rng: true }),
]);

const first = await Promise.race([
  patient.ended.then(({ ending }) => `patient: ${ending.message}`),
  quick.ended.then(({ ending }) => `quick: ${ending.message}`),
]);
console.log(`first: ${first}`);

const { ending } = await patient.stop();
console.log(`then: patient: ${ending.message}`);
