/** Small devices for the tests of the transport. */
import type { AccessWidth } from "../../src/pci/device.ts";
import type {
  Activation,
  DescriptorChain,
  QueueDeclaration,
  VirtioDevice,
  Virtqueue,
} from "../../src/virtio/device.ts";

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
