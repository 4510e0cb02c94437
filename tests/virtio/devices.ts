/** Small devices for the tests of the transport. */
import type { AccessWidth } from "../../src/pci/device.ts";
import type {
  Activation,
  DescriptorChain,
  QueueDeclaration,
  VirtioDevice,
  Virtqueue,
} from "../../src/virtio/device.ts";
import type { SplitRingDriver } from "../support/driver.ts";
import type { VirtioHarness } from "../support/virtio_harness.ts";

/** Returns every chain at once, its readable bytes copied to its writable part. Notes what is done to it. */
export class EchoDevice implements VirtioDevice {
  readonly features: bigint;
  readonly queues: readonly QueueDeclaration[];
  configuration: Uint8Array<ArrayBuffer> = new Uint8Array(8);
  readonly log: string[] = [];
  activation: Activation | undefined;
  /** When set, chains are kept here instead of being returned. */
  kept: DescriptorChain[] | undefined;
  /** The operation that throws. */
  broken: "activate" | "notify" | "reset" | "acceptFeatures" | "writeConfiguration" | "resetQueue" | undefined;
  /** What {@linkcode acceptFeatures} says. */
  accepts = true;

  constructor(queueCount = 1, size = 8, features = 0n) {
    this.features = features;
    this.queues = Array.from({ length: queueCount }, (_, i) => ({ name: `queue${i}`, size }));
  }

  acceptFeatures(features: bigint): boolean {
    this.#note("acceptFeatures", features.toString(16));
    return this.accepts;
  }

  activate(activation: Activation): void {
    this.#note("activate", activation.queues.map((queue) => queue === undefined ? "-" : queue.size).join());
    this.activation = activation;
  }

  notify(queue: Virtqueue): void {
    this.#note("notify", queue.index);
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      if (this.kept !== undefined) {
        this.kept.push(chain);
        continue;
      }
      const data = new Uint8Array(chain.readableLength);
      chain.read(0, data);
      queue.push(chain, chain.write(0, data));
    }
  }

  writeConfiguration(offset: number, width: AccessWidth, value: number): void {
    this.#note("writeConfiguration", `${offset},${width},${value}`);
    this.configuration[offset] = value;
  }

  reset(): void {
    this.#note("reset", "");
    this.activation = undefined;
  }

  resetQueue(queue: Virtqueue): void {
    this.#note("resetQueue", queue.index);
  }

  [Symbol.dispose](): void {
    this.log.push("dispose");
  }

  #note(operation: NonNullable<EchoDevice["broken"]>, detail: string | number): void {
    this.log.push(detail === "" ? operation : `${operation} ${detail}`);
    if (this.broken === operation) throw new Error(`${operation} is broken on purpose`);
  }
}

/** Adds a chain of one readable and one writable buffer. */
export function addEcho(harness: VirtioHarness, queue: SplitRingDriver, text = "ping"): number {
  const data = new TextEncoder().encode(text);
  const from = harness.driver.allocator.take(data.length);
  const to = harness.driver.allocator.take(data.length);
  harness.memory.write(from, data);
  queue.add([{ address: from, length: data.length }, { address: to, length: data.length, writable: true }]);
  return to;
}
