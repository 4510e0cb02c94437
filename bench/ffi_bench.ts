/**
 * Calls of the kernel through `ffi/`, beside the same calls in a C loop. An iteration is {@linkcode CALLS} calls, so that a figure's
 * microseconds are nanoseconds of one call.
 *
 * `deno bench -A bench/ffi_bench.ts`
 *
 * @module
 */
import { EventDescriptor } from "../ffi/event_descriptor.ts";
import { KvmSystem } from "../ffi/kvm/system.ts";
import { compileTwin } from "./support/c_twin.ts";
import { type FfiTwin, openFfiTwin } from "./support/ffi_twin.ts";

const CALLS = 1000;
/** Bytes of the copies that are compared: a page. */
const PAGE = 4096;

const library = compileTwin("ffi", "library");
if (typeof library === "string") console.log(library);
else globalThis.addEventListener("unload", () => library[Symbol.dispose]());
const twin = typeof library === "string" ? undefined : openFfiTwin(library.path);

// Closed by the end of the process: Deno.bench has no hook for it.
const system = KvmSystem.open();
const event = new EventDescriptor();
const from = new Uint8Array(PAGE);
const to = new Uint8Array(PAGE);

function compare(name: string, ours: () => void, c: (twin: FfiTwin) => void): void {
  const group = `${CALLS} × ${name}`;
  if (twin !== undefined) Deno.bench(`C: ${name}`, { group, baseline: true }, () => c(twin));
  Deno.bench(`ffi/: ${name}`, { group }, ours);
}

compare("ioctl(KVM_GET_API_VERSION)", () => {
  for (let i = 0; i < CALLS; i++) system.apiVersion();
}, (c) => c.apiVersion(system.fd, CALLS));

compare("write(event descriptor)", () => {
  for (let i = 0; i < CALLS; i++) event.write();
}, (c) => {
  if (c.signal(event.fd, CALLS) !== CALLS) throw new Error("write(event descriptor) failed in the C twin");
});

compare("write and read(event descriptor)", () => {
  for (let i = 0; i < CALLS; i++) {
    event.write();
    event.read();
  }
}, (c) => {
  if (c.signalAndTake(event.fd, CALLS) !== 2 * CALLS) throw new Error("read(event descriptor) failed in the C twin");
});

// Not a call, but what takes the place of one: guest memory is copied by the language.
compare("copy of 4 KiB, set(array)", () => {
  for (let i = 0; i < CALLS; i++) to.set(from);
}, (c) => c.copy(to, from, CALLS));
