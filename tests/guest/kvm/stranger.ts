/**
 * A device of a type that the embedded guest has no driver for: three queues of different sizes, a configuration space,
 * a feature bit of its own.
 *
 * @module
 */
import { defineVirtioDevice, type VirtioPlugin } from "../../../src/plugin/api.ts";

const stranger: VirtioPlugin = defineVirtioDevice({
  name: "stranger",
  deviceType: 42,
  create: () => ({
    features: 1n,
    queues: [{ name: "first", size: 2 }, { name: "second", size: 32 }, { name: "third", size: 1024 }],
    configuration: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    activate() {},
    notify(queue) {
      for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) queue.push(chain, 0);
    },
  }),
});

export default stranger;
