/**
 * A unit test of bare-metal code: a machine per test, the guest's exit code and words as the result. Put your own kernel in
 * place of the embedded guest.
 *
 *     deno test -A examples/unit_test.ts
 *
 * @module
 */
import { type EndKind, VirtualMachine } from "@denovisor/denovisor";
import assert from "node:assert/strict";
import { guestImage } from "../guest/image.ts";

interface Result {
  readonly kind: EndKind;
  readonly exitCode: number;
  readonly text: string;
}

async function runGuest(cmdline: string): Promise<Result> {
  let text = "";
  await using vm = await VirtualMachine.launch({ kernel: guestImage(), cmdline, memory: "64M", timeoutSeconds: 60 }, {
    onOutput: ({ stream, data }) => {
      if (stream === "debug") text += new TextDecoder().decode(data);
    },
  });
  const { kind, exitCode } = (await vm.ended).ending;
  return { kind, exitCode, text };
}

Deno.test("the guest's exit code is told", async () => {
  const { kind, exitCode } = await runGuest("mode=exit code=3");
  assert.deepEqual([kind, exitCode], ["debug-exit", 3]);
});

Deno.test("a page fault is reported by its address", async () => {
  const { exitCode, text } = await runGuest("mode=fault");
  assert.equal(exitCode, 3);
  assert.match(text, /^fault\t14\t/m);
});

Deno.test("a triple fault is told from an orderly end", async () => {
  assert.equal((await runGuest("mode=triple-fault")).kind, "triple-fault");
});
