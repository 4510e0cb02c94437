/**
 * The isolate of one vCPU at its barest: runs a guest until it writes the exit port, and keeps what it prints.
 *
 * @module
 */
import { EAGAIN, EINTR } from "../../ffi/errno.ts";
import { ExitReason } from "../../ffi/kvm/constants.ts";
import { KvmVcpu } from "../../ffi/kvm/vcpu.ts";
import { DEBUG_PORT, EXIT_PORT } from "./guests.ts";

/** Words that the isolates share. */
export const Shared = {
  /** Set by the machine's side: go. */
  go: 0,
  /** Set here when the guest has ended. */
  over: 1,
  /** How many bytes it has printed. */
  printed: 2,
  /** An errno or an exit reason that should not be; 0 if all is well. */
  wrong: 3,
  /** Bytes of these words; behind them lies what was printed. */
  bytes: 16,
} as const;

/** What the isolate is sent at its start. */
export interface VcpuStart {
  /** Descriptor of the vCPU. */
  readonly fd: number;
  /** Where its page is mapped. */
  readonly address: bigint;
  /** Bytes of the page. */
  readonly length: number;
  /** See {@linkcode Shared}. */
  readonly shared: SharedArrayBuffer;
}

function run({ fd, address, length, shared }: VcpuStart): void {
  const words = new Int32Array(shared, 0, Shared.bytes / Int32Array.BYTES_PER_ELEMENT);
  const output = new Uint8Array(shared, Shared.bytes);
  const vcpu = new KvmVcpu(fd, address, length);
  Atomics.wait(words, Shared.go, 0);
  for (;;) {
    const result = vcpu.run();
    if (result === -EINTR || result === -EAGAIN) continue;
    if (result < 0 || vcpu.exitReason !== ExitReason.io) {
      words[Shared.wrong] = result < 0 ? -result : vcpu.exitReason;
      break;
    }
    if (vcpu.ioPort === EXIT_PORT) break;
    if (vcpu.ioPort !== DEBUG_PORT) continue;
    const at = vcpu.ioDataOffset;
    for (let i = 0; i < vcpu.ioCount; i++) output[words[Shared.printed]++] = vcpu.bytes[at + i];
  }
  Atomics.store(words, Shared.over, 1);
}

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<VcpuStart>) => void) | null;
  postMessage(message: "ready"): void;
  close(): void;
};
if (typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope) {
  scope.onmessage = ({ data }) => {
    scope.postMessage("ready");
    run(data);
    scope.close();
  };
}
