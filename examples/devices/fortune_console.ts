/**
 * A console that answers: each line that the guest writes gets a saying back. No stream of the host is involved.
 *
 *     denovisor run --kernel vmlinuz --device ./fortune_console.ts,file=sayings.txt
 *
 * In the guest: `echo hello >/dev/hvc0; head -n 1 /dev/hvc0`
 *
 * @module
 */
import * as plugin from "@denovisor/denovisor/plugin";

const SAYINGS = "Measure twice, cut once.\nA queue is a promise.\nWhoever resets last resets best.\n";
const LINE_FEED = 0x0a;
/** Answers that wait for a buffer; a guest that never reads gets no more. */
const WAITING_LIMIT = 16;

const fortuneConsole: plugin.VirtioPlugin = plugin.defineVirtioDevice({
  name: "fortune-console",
  description: "console that answers each line with a saying",
  deviceType: plugin.DeviceType.console,
  options: { file: plugin.optional(plugin.option.path()) },
  create({ file }) {
    const lines = (file === undefined ? SAYINGS : Deno.readTextFileSync(file)).match(/.+/g);
    if (lines === null) throw new Error(`${file} holds no sayings; write one per line`);
    return new FortuneConsole(lines.map((line) => new TextEncoder().encode(`${line}\r\n`)));
  },
});

export default fortuneConsole;

class FortuneConsole implements plugin.VirtioDevice {
  readonly features = 0n;
  readonly queues = [{ name: "receiveq", size: 16 }, { name: "transmitq", size: 16 }];
  readonly #line = new Uint8Array(256);
  #activeQueues: plugin.Activation["queues"] = [];
  #waiting = 0;
  #told = 0;

  constructor(readonly sayings: readonly Uint8Array[]) {}

  activate({ queues }: plugin.Activation): void {
    this.#activeQueues = queues;
  }

  notify(): void {
    const [receive, transmit] = this.#activeQueues;
    for (let chain = transmit?.pop(); chain !== undefined; chain = transmit?.pop()) {
      const length = chain.read(0, this.#line);
      for (let i = 0; i < length; i++) if (this.#line[i] === LINE_FEED) this.#waiting++;
      chain.queue.push(chain, 0);
    }
    this.#waiting = Math.min(this.#waiting, WAITING_LIMIT);
    for (; this.#waiting > 0; this.#waiting--) {
      const chain = receive?.pop();
      if (chain === undefined) return;
      chain.queue.push(chain, chain.write(0, this.sayings[this.#told++ % this.sayings.length]));
    }
  }
}
