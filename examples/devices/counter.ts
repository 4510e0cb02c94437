/**
 * The smallest device: one queue, one option. To a guest it is a source of randomness whose bytes count up, which makes
 * every run the same.
 *
 *     denovisor run --kernel vmlinuz --device ./counter.ts,start=100
 *
 * In the guest: `head -c 4 /dev/hwrng | od -An -tu1` prints 100 101 102 103.
 *
 * @module
 */
import { defineVirtioDevice, DeviceType, option, optional, type VirtioPlugin } from "@denovisor/denovisor/plugin";

/** Bytes that one request gets at most. */
const LIMIT = 4096;

const counter: VirtioPlugin = defineVirtioDevice({
  name: "counter",
  description: "bytes that count up",
  deviceType: DeviceType.entropy,
  options: { start: optional(option.integer({ min: 0, max: 255 }), 0) },
  create({ start }) {
    const bytes = new Uint8Array(LIMIT);
    let next = start;
    return {
      features: 0n,
      queues: [{ name: "requestq", size: 16 }],
      activate() {},
      notify(queue) {
        for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
          for (let i = 0; i < LIMIT; i++) bytes[i] = next + i;
          const written = chain.write(0, bytes);
          next = (next + written) % 256;
          queue.push(chain, written);
        }
      },
    };
  },
});

export default counter;
