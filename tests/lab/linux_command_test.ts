import assert from "node:assert/strict";
import { findKernel } from "../support/kernels.ts";
import { type GuestRun, guestTests } from "./guest_runs.ts";

function prepare(): Promise<GuestRun[]> {
  const kernel = findKernel("cloud")!;
  return Promise.resolve([
    { name: "uname", args: ["--kernel", kernel.image], command: ["uname", "-r"] },
    {
      name: "words",
      args: ["--kernel", kernel.image, "--cpus", "boot=2"],
      command: ["sh", "-c", "nproc; echo 'it is' \"a $0\" >&2; exit 42", "complaint"],
    },
    { name: "limit", args: ["--kernel", kernel.image], command: ["sleep", "1000"], timeout: 20 },
  ]);
}

const guestTest = guestTests([], prepare);

guestTest("a command's output is the only thing on standard output", "uname", (outcome) => {
  assert.equal(outcome.code, 0);
  assert.equal(outcome.stdout, `${findKernel("cloud")!.release}\n`);
});

guestTest("a command's exit code and error output are ours, its words arrive as they are", "words", (outcome) => {
  assert.equal(outcome.code, 42);
  assert.equal(outcome.stdout, "2\n");
  assert.equal(outcome.stderr, "it is a complaint\n");
});

guestTest("--timeout ends a guest that does not end, with code 124", "limit", (outcome) => {
  assert.equal(outcome.code, 124);
  assert.match(outcome.stderr, /longer than 20 s/);
});
