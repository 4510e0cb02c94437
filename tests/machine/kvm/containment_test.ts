import assert from "node:assert/strict";
import { passed } from "../../../src/probe/report.ts";
import { parseReport } from "../../../src/probe/report_reader.ts";
import { needs } from "../../support/requirements.ts";
import { launchGuest, pluginModule, runGuest, until } from "./guest_runs.ts";

/** A device that throws where `faults` says so; else an entropy device that works. */
function faulty(faults: Readonly<Record<string, string>>, deviceType = 4): string {
  const fault = (place: string) => faults[place] ?? "";
  return pluginModule(`export default plugin.defineVirtioDevice({
    name: "faulty", deviceType: ${deviceType},
    create(_options, host) {
      ${fault("create")}
      const configuration = new Uint8Array(8);
      return {
        features: 0n, queues: [{ name: "requestq", size: 16 }], configuration,
        activate() { ${fault("activate")} },
        notify(queue) {
          ${fault("notify")}
          for (let chain = queue.pop(); chain; chain = queue.pop()) queue.push(chain, chain.write(0, new Uint8Array(64)));
        },
        acceptFeatures() { ${fault("acceptFeatures")}; return true; },
        writeConfiguration() { ${fault("writeConfiguration")} },
        reset() { ${fault("reset")} },
        [Symbol.dispose]() { ${fault("dispose")} },
      };
    },
  });`);
}

for (const place of ["activate", "notify", "acceptFeatures", "reset", "dispose"]) {
  Deno.test({
    ...needs(`ROB-2: a plugin that throws in ${place} is contained and named; the machine goes on`, "kvm"),
    async fn() {
      const devices = [{ plugin: faulty({ [place]: 'throw new Error("broken by design")' }), id: "bad" }];
      const { ending, output, log } = await runGuest({ cmdline: "mode=probe", devices, rng: true });
      assert.equal(ending.kind, "debug-exit", ending.message);
      const report = parseReport(output.debug);
      const good = report.checks.filter((check) => check.function === "00:01.0" && check.verdict === "FAIL");
      assert.deepEqual(good, [], "the device beside it works");
      const operation = place === "dispose" ? "disposing" : place;
      const line = `bad: Virtio device bad: ${operation} failed: broken by design`;
      assert.ok(log.includes(line), log.join("\n"));
    },
  });
}

Deno.test({
  ...needs("ROB-2: a plugin that throws in create fails the launch, by name", "kvm"),
  async fn() {
    const devices = [{ plugin: faulty({ create: 'throw new Error("not today")' }), id: "bad" }];
    await assert.rejects(launchGuest({ devices }), {
      message: 'Cannot create device "bad" of plugin "faulty": not today',
    });
  },
});

Deno.test({
  ...needs("ROB-2: what a plugin throws later, between its calls, does not end the machine", "kvm"),
  async fn() {
    const faults = [
      ["a rejected promise", 'Promise.reject(new Error("late"));'],
      ["a timer", 'setTimeout(() => { throw new Error("late"); }, 0);'],
      ["a microtask", 'queueMicrotask(() => { throw new Error("late"); });'],
    ];
    for (const [what, statement] of faults) {
      const devices = [{ plugin: faulty({ create: statement }), id: "bad" }];
      // The launch may refuse, or the machine may end: but with the reason, and in time.
      const outcome = await launchGuest({ cmdline: "mode=halt", devices }).then(
        async (vm) => {
          await Promise.race([vm.ended, new Promise((resolve) => setTimeout(resolve, 300))]);
          return (await vm.stop()).ending.message;
        },
        (error: Error) => error.message,
      );
      assert.match(outcome, /late|stopped by request/, what);
    }
  },
});

Deno.test({
  ...needs("ROB-2: a plugin that throws when its file operation completes is contained", "kvm"),
  async fn() {
    const reader = pluginModule(`export default plugin.defineVirtioDevice({
      name: "reader", deviceType: 4,
      create(_options, host) {
        const file = host.openFile("/dev/zero", { writable: false, completed() { throw new Error("at completion"); } });
        return {
          features: 0n, queues: [{ name: "requestq", size: 16 }], activate() {},
          notify(queue) {
            for (let chain = queue.pop(); chain; chain = queue.pop()) file.read(chain, 0, chain.writableLength, 0);
          },
          reset() { file.drain(); },
          [Symbol.dispose]() { file[Symbol.dispose](); },
        };
      },
    });`);
    const { ending, log } = await runGuest({
      cmdline: "mode=latency count=1",
      devices: [{ plugin: reader, id: "bad" }],
    });
    assert.equal(ending.kind, "debug-exit", ending.message);
    assert.ok(log.some((line) => line.startsWith("bad: ") && line.includes("at completion")), log.join("\n"));
  },
});

Deno.test({
  ...needs("ROB-2: a plugin that throws when characters arrive is contained", "kvm"),
  async fn() {
    const listener = pluginModule(`export default plugin.defineVirtioDevice({
      name: "listener", deviceType: 42,
      create(_options, host) {
        const stream = host.openCharacterStream("input");
        stream.onReadable = () => { throw new Error("at input"); };
        return { features: 0n, queues: [], activate() {}, notify() {} };
      },
    });`);
    const log: string[] = [];
    const vm = await launchGuest({ cmdline: "mode=halt", devices: [{ plugin: listener, id: "bad" }] }, {
      onLog: ({ device, message }) => void log.push(`${device}: ${message}`),
    });
    await vm.send("input", new Uint8Array(3));
    await until("the fault was told", () => log.length > 0, 5).catch(() => {});
    const { ending } = await vm.stop();
    assert.equal(ending.kind, "stopped", ending.message);
    assert.ok(log.some((line) => line.startsWith("bad: ") && line.includes("at input")), log.join("\n"));
  },
});

Deno.test({
  ...needs("ROB-2: a PCI plugin that throws in any access is contained", "kvm"),
  async fn() {
    for (const place of ["readConfiguration", "writeConfiguration", "readBar", "writeBar", "reset"]) {
      const device = pluginModule(`class Bad extends plugin.PciFunction {
        constructor(id) {
          super({
            id, identity: { vendorId: 0x1234, deviceId: 1, classCode: 0xff0000 },
            bars: [{ index: 0, kind: "memory32", size: 4096 }],
          });
        }
        ${place}(...args) { throw new Error("broken by design"); }
      }
      export default plugin.definePciDevice({ name: "bad", create: (_options, host) => new Bad(host.id) });`);
      const { ending, output, log } = await runGuest({
        cmdline: "mode=probe",
        devices: [{ plugin: device, id: "bad", slot: 9 }],
        rng: true,
      });
      assert.equal(ending.kind, "debug-exit", `${place}: ${ending.message}`);
      const good = parseReport(output.debug).checks
        .filter((check) => check.function === "00:01.0" && check.verdict === "FAIL");
      assert.deepEqual(good, [], place);
      if (place.endsWith("Configuration")) {
        assert.ok(log.some((line) => /^bad: .*broken by design/.test(line)), `${place}: ${log.join("\n")}`);
      }
    }
  },
});

Deno.test({
  ...needs("ROB-2: a plugin of faultless manners passes the same probe", "kvm"),
  async fn() {
    const { output, log, ending } = await runGuest({ cmdline: "mode=probe", devices: [{ plugin: faulty({}, 42) }] });
    assert.deepEqual(log, []);
    assert.equal(ending.exitCode, 0, output.debug);
    assert.ok(passed(parseReport(output.debug)));
  },
});
