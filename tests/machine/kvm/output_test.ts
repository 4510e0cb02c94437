import assert from "node:assert/strict";
import { needs } from "../../support/requirements.ts";
import { launchGuest, pluginModule, runGuest, until } from "./guest_runs.ts";

const DEBUG_PORT = "0xe9";
const SERIAL_PORT = "0x3f8";
const MIB = 2 ** 20;

for (const [name, port] of [["debug", DEBUG_PORT], ["serial", SERIAL_PORT]]) {
  Deno.test({
    ...needs(
      `ROB-1: a guest that floods the ${name} port is held back by a slow receiver, and can be stopped`,
      "kvm",
    ),
    async fn() {
      let received = 0;
      let handedOver = 0;
      let most = 0;
      const { promise: blocked, resolve: unblock } = Promise.withResolvers<void>();
      const vm = await launchGuest({ cmdline: `mode=ioloop port=${port} count=1000000000` }, {
        async onOutput({ stream, data }) {
          if (stream !== name) return;
          handedOver++;
          most = Math.max(most, handedOver);
          received += data.length;
          if (received > 64 * 1024) await blocked;
          handedOver--;
        },
      });
      await until("the receiver was behind", () => received > 64 * 1024);
      const [before, rss] = [received, Deno.memoryUsage().rss];
      await new Promise((resolve) => setTimeout(resolve, 1000));
      assert.equal(received, before, "nothing is handed to a receiver that is not done");
      assert.equal(most, 1, "pieces come one after the other");
      const growth = Deno.memoryUsage().rss - rss;
      assert.ok(growth < 64 * MIB, `memory grew by ${Math.round(growth / MIB)} MiB`);
      unblock();
      await until("output went on", () => received > before + 64 * 1024);
      const asked = performance.now();
      assert.equal((await vm.stop()).ending.kind, "stopped");
      assert.ok(performance.now() - asked < 5000);
    },
  });

  Deno.test({
    ...needs(
      `ROB-1: a receiver of the ${name} port that never comes back does not keep a machine from stopping`,
      "kvm",
    ),
    async fn() {
      let started = false;
      const vm = await launchGuest({ cmdline: `mode=ioloop port=${port} count=1000000000`, cpus: 2 }, {
        onOutput: ({ stream }) => {
          started ||= stream === name;
          return new Promise(() => {});
        },
      });
      await until("output came", () => started);
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal((await vm.stop()).ending.kind, "stopped");
    },
  });
}

Deno.test({
  ...needs("a machine's end waits for receivers of its output, so that nothing is lost", "kvm"),
  async fn() {
    let text = "";
    const vm = await launchGuest({ cmdline: "mode=ioreadloop count=3" }, {
      async onOutput({ data }) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        text += new TextDecoder().decode(data);
      },
    });
    const { ending } = await vm.ended;
    assert.equal(ending.exitCode, 0, ending.message);
    assert.match(text, /^begin\t1\t.*\n(.*\n)*end\t0\n$/);
  },
});

Deno.test({
  ...needs("a receiver that never comes back does not keep an ended machine from being stopped", "kvm"),
  async fn() {
    const vm = await launchGuest({ cmdline: "mode=exit code=5" }, { onOutput: () => new Promise(() => {}) });
    const early = await Promise.race([vm.ended, new Promise((resolve) => setTimeout(resolve, 1000, "waiting"))]);
    assert.equal(early, "waiting");
    assert.ok(["stopped", "debug-exit"].includes((await vm.stop()).ending.kind));
  },
});

Deno.test({
  ...needs("a listener that fails ends the machine, with its error", "kvm"),
  async fn() {
    const failures: [string, () => void | Promise<void>][] = [
      ["thrown", () => {
        throw new Error("no more");
      }],
      ["rejected", () => Promise.reject(new Error("no more"))],
    ];
    for (const [how, onOutput] of failures) {
      let calls = 0;
      const vm = await launchGuest({ cmdline: "mode=halt" }, {
        onOutput() {
          calls++;
          return onOutput();
        },
      });
      const { ending } = await vm.ended;
      assert.equal(ending.kind, "host-error", how);
      assert.equal(ending.message, "the listener onOutput failed: no more");
      assert.equal(calls, 1, "it is not called again");
    }
    const vm = await launchGuest({ cmdline: "mode=reset", rebootOnReset: true }, {
      onReboot() {
        throw new Error("once is enough");
      },
    });
    assert.equal((await vm.ended).ending.message, "the listener onReboot failed: once is enough");
  },
});

Deno.test({
  ...needs("streams go to files, to nowhere, or by their names to the script", "kvm"),
  async fn() {
    const path = await Deno.makeTempFile({ prefix: "denovisor_output_" });
    try {
      const flood = `mode=ioloop port=${SERIAL_PORT} count=300`;
      const toFile = await runGuest({ cmdline: flood, serial: `file=${path}` });
      assert.equal(toFile.output.serial, undefined);
      assert.deepEqual([...await Deno.readFile(path)], Array.from({ length: 300 }, (_, i) => i & 0xff));
      const named = await runGuest({ cmdline: flood, serial: "kernel log" });
      assert.equal(named.output["kernel log"]?.length, 300, "what is no UTF-8 becomes one character each");
      assert.deepEqual(Object.keys((await runGuest({ cmdline: flood, serial: "null" })).output), ["debug"]);
      assert.deepEqual(Object.keys((await runGuest({ cmdline: flood, serial: "off" })).output), ["debug"]);
      const full = await runGuest({ cmdline: flood, serial: "file=/dev/full" });
      assert.equal(full.ending.kind, "host-error");
      assert.match(full.ending.message, /ENOSPC|No space/);
    } finally {
      await Deno.remove(path);
    }
  },
});

Deno.test({
  ...needs("ROB-1: input that nobody reads is held back at the sender, who hears when the machine ends", "kvm"),
  async fn() {
    const vm = await launchGuest({ cmdline: "mode=halt" });
    const data = new Uint8Array(700_000);
    await vm.send("serial", data);
    let settled = 0;
    const sends = [vm.send("serial", data), vm.send("serial", data)].map((send) => send.then(() => settled++));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(settled, 0, "more than the limit is under way");
    await vm.stop();
    await Promise.all(sends);
    assert.equal(settled, 2);
  },
});

Deno.test({
  ...needs("several senders that wait are all told when the guest has read", "kvm"),
  async fn() {
    const sink = pluginModule(`export default plugin.defineVirtioDevice({
      name: "sink", deviceType: 42,
      create(_options, host) {
        const stream = host.openCharacterStream("sink");
        const piece = new Uint8Array(65536);
        stream.onReadable = () => { while (stream.read(piece) > 0); };
        return { features: 0n, queues: [], activate() {}, notify() {} };
      },
    });`);
    const vm = await launchGuest({ cmdline: "mode=halt", devices: [{ plugin: sink }] });
    await Promise.all(Array.from({ length: 8 }, () => vm.send("sink", new Uint8Array(700_000))));
    await assert.rejects(vm.send("sewer", new Uint8Array(1)), {
      message: 'Cannot send to the stream "sewer": this machine has debug, serial, sink',
    });
    await vm.stop();
  },
});
