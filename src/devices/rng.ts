/**
 * Entropy device (virtio 1.3, 5.4): fills the buffers of the driver with random bytes.
 *
 * @module
 */
import {
  defineVirtioDevice,
  type DescriptorChain,
  type DeviceHost,
  DeviceType,
  option,
  optional,
  type VirtioPlugin,
} from "../plugin/api.ts";

const QUEUE_SIZE = 64;
/** A request may get fewer bytes than it has room for (5.4.6.1), so that none makes the host work for long. */
const MAXIMUM_BYTES = 64 * 1024;
/** Random bytes are made in pieces of this size. */
const PIECE = 256;

/** Where random bytes come from. */
interface Source extends Partial<Disposable> {
  /** Fills `length` bytes of the chain, or fewer, and returns it to its queue, now or later. */
  fill(chain: DescriptorChain, length: number): void;
  /** Ends what is in flight. */
  drain?(): void;
}

/** Entropy device: option `source` names a file or device to take the bytes from instead of this process's generator. */
const rng: VirtioPlugin = defineVirtioDevice({
  name: "rng",
  description: "source of random bytes",
  deviceType: DeviceType.entropy,
  options: { source: optional(option.path()) },
  create({ source: path }, host) {
    const source = path === undefined ? openGenerator() : openFile(path, host);
    return {
      features: 0n,
      queues: [{ name: "requestq", size: QUEUE_SIZE }],
      activate() {},
      notify(queue) {
        for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
          source.fill(chain, Math.min(chain.writableLength, MAXIMUM_BYTES));
        }
      },
      reset: () => source.drain?.(),
      resetQueue: () => source.drain?.(),
      [Symbol.dispose]: () => source[Symbol.dispose]?.(),
    };
  },
});

export default rng;

/** The cryptographic generator of this process. */
function openGenerator(): Source {
  const piece = new Uint8Array(PIECE);
  return {
    fill(chain, length) {
      let written = 0;
      while (written < length) {
        crypto.getRandomValues(piece);
        written += chain.write(written, piece);
      }
      chain.queue.push(chain, written);
    },
  };
}

/** A device such as /dev/urandom, or a file whose bytes are each given once. */
function openFile(path: string, host: DeviceHost): Source {
  const file = host.openFile(path, {
    writable: false,
    completed(chain, result) {
      if (result < 0) host.needsReset(`reading random bytes from ${path} failed with errno ${-result}`);
      chain.queue.push(chain, Math.max(result, 0));
    },
  });
  const isEndless = file.size === 0;
  let position = 0;
  return {
    fill(chain, length) {
      const available = isEndless ? length : Math.min(length, file.size - position);
      if (available > 0) file.read(chain, 0, available, position);
      else chain.queue.push(chain, 0);
      if (isEndless) return;
      position += available;
      if (available < length) host.needsReset(`all ${file.size} random bytes of ${path} are used up`);
    },
    drain: () => file.drain(),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}
