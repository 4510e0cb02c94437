/**
 * Stops vCPUs whose machine isolate is gone, so that their threads do not keep the process.
 *
 * @module
 */
import { KvmVcpu } from "../../ffi/kvm/vcpu.ts";
import { installWakeSignal, wakeThread } from "../../ffi/thread.ts";
import { Field, RequestState, VcpuState } from "./mailbox.ts";

const RETRY_MILLISECONDS = 10;
const RETRIES = 1000;

/** Makes every vCPU that runs leave the guest. Their command must say so already. Resolves when they have. */
export async function stopAbandoned(mailboxes: readonly SharedArrayBuffer[]): Promise<void> {
  installWakeSignal();
  const running = () => mailboxes.map((block) => new Int32Array(block)).filter(isRunning);
  for (let attempt = 0, left = running(); left.length > 0 && attempt < RETRIES; attempt++, left = running()) {
    left.forEach(interrupt);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
  }
}

function isRunning(mailbox: Int32Array): boolean {
  return Atomics.load(mailbox, Field.vcpuState) === VcpuState.running;
}

/** See `Vcpus`: the flag first, the signal after, and an answer for one who waits for it. */
function interrupt(mailbox: Int32Array): void {
  const address = (BigInt(mailbox[Field.runAddressHigh] >>> 0) << 32n) | BigInt(mailbox[Field.runAddressLow] >>> 0);
  new KvmVcpu(mailbox[Field.vcpuDescriptor], address, mailbox[Field.runLength]).immediateExit = true;
  wakeThread(mailbox[Field.threadId]);
  const state = Atomics.load(mailbox, Field.requestState);
  if (state !== RequestState.posted && state !== RequestState.waiting) return;
  mailbox[Field.dataLow] = mailbox[Field.dataHigh] = 0;
  Atomics.store(mailbox, Field.requestState, RequestState.answered);
  Atomics.notify(mailbox, Field.requestState);
}
