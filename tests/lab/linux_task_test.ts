import assert from "node:assert/strict";
import { join } from "node:path";
import { findKernel } from "../support/kernels.ts";
import { needs } from "../support/requirements.ts";
import { chooseLinuxHost } from "./linux_host.ts";

const tool = join(import.meta.dirname!, "../../tools/linux.ts");

Deno.test({
  ...needs(
    "deno task linux -- COMMAND runs it on an ext4 disk of ours, prints its output, ends with its code",
    ...(["linux host", "guest kernel", "busybox", "mke2fs"] as const),
  ),
  fn: async () => {
    const command = `uname -r; grep ' / ' /proc/mounts | cut -d' ' -f1,3; echo "it's done"; exit 5`;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", tool, "--", command],
      stdin: "null",
    }).output();
    const decoder = new TextDecoder();
    const complaints = decoder.decode(stderr);
    assert.equal(decoder.decode(stdout), `${findKernel("cloud")!.release}\n/dev/vda ext4\nit's done\n`, complaints);
    assert.equal(code, 5, complaints);
    const { kind, reason } = chooseLinuxHost();
    assert.match(complaints, kind === "box" ? /on a KVM host in a box: / : /directly on this machine: /);
    assert.ok(complaints.includes(reason), complaints);
  },
});
