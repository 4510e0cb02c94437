/**
 * Runs a vCPU whenever it is told to, and tells how each run ended.
 *
 * @module
 */

import { KvmVcpu } from "../../../ffi/kvm/vcpu.ts";
import { currentThreadId } from "../../../ffi/thread_id.ts";

let vcpu: KvmVcpu | undefined;

self.onmessage = ({ data }: MessageEvent<"again" | "end" | { fd: number; address: bigint; length: number }>) => {
  if (data === "end") {
    self.postMessage({ result: 0 });
    return;
  }
  if (typeof data === "object") vcpu = new KvmVcpu(data.fd, data.address, data.length);
  if (vcpu === undefined) throw new Error("The first message must say which vCPU to run");
  vcpu.immediateExit = false;
  self.postMessage({ threadId: currentThreadId() });
  self.postMessage({ result: vcpu.run() });
};
