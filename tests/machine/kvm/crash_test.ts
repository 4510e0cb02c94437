import assert from "node:assert/strict";
import { needs } from "../../support/requirements.ts";
import { launchGuest, pluginModule, runGuest } from "./guest_runs.ts";

/** What the vCPU isolates' start message is, as far as it is changed here. */
interface Start {
  readonly mailbox?: SharedArrayBuffer;
  shared?: SharedArrayBuffer;
  sharedPorts?: SharedArrayBuffer;
}

/**
 * Runs something while every vCPU isolate with `name` gets a start message that `damage` has changed, so that the isolate's own
 * code throws where it uses what is damaged.
 */
async function withDamagedVcpus(name: string, damage: (start: Start) => void, run: () => Promise<void>): Promise<void> {
  const Original = globalThis.Worker;
  globalThis.Worker = class extends Original {
    readonly #isTarget: boolean;

    constructor(specifier: string | URL, options?: WorkerOptions) {
      super(specifier, options);
      this.#isTarget = options?.name === name;
    }

    override postMessage(message: unknown): void {
      const start = { ...message as Start };
      if (this.#isTarget && start.mailbox !== undefined) damage(start);
      super.postMessage(this.#isTarget ? start : message);
    }
  };
  try {
    await run();
  } finally {
    globalThis.Worker = Original;
  }
}

Deno.test({
  ...needs("ROB-1: a vCPU isolate that crashes at its start ends the machine with the error", "kvm"),
  fn: () =>
    withDamagedVcpus("vcpu 1", (start) => start.sharedPorts = new SharedArrayBuffer(0), async () => {
      const { ending } = await runGuest({ cmdline: "mode=spin", cpus: 3 });
      assert.deepEqual([ending.kind, ending.exitCode], ["host-error", 125], ending.message);
      assert.match(ending.message, /^the isolate of vCPU 1 crashed: .*RangeError/);
    }),
});

Deno.test({
  ...needs("ROB-1: a vCPU isolate that crashes between two exits ends the machine with the error", "kvm"),
  fn: () =>
    withDamagedVcpus("vcpu 0", (start) => start.shared = new SharedArrayBuffer(0), async () => {
      const { ending } = await runGuest({ cmdline: "mode=ioloop count=1000000000", cpus: 2 });
      assert.equal(ending.kind, "host-error", ending.message);
      assert.match(ending.message, /^the isolate of vCPU 0 crashed: .*RangeError/);
    }),
});

Deno.test({
  ...needs("ROB-1: a vCPU isolate whose module does not load ends the machine with the error", "kvm"),
  async fn() {
    const Original = globalThis.Worker;
    globalThis.Worker = class extends Original {
      constructor(specifier: string | URL, options?: WorkerOptions) {
        super(options?.name === "vcpu 0" ? "data:text/javascript,export default 1 2" : specifier, options);
      }
    };
    try {
      const { ending } = await runGuest({ cmdline: "mode=spin" });
      assert.equal(ending.kind, "host-error", ending.message);
      assert.match(ending.message, /vCPU 0 crashed: .*SyntaxError/);
    } finally {
      globalThis.Worker = Original;
    }
  },
});

Deno.test({
  ...needs("ROB-1: a machine isolate that does not load fails the launch", "kvm"),
  async fn() {
    const Original = globalThis.Worker;
    globalThis.Worker = class extends Original {
      constructor(specifier: string | URL, options?: WorkerOptions) {
        super(options?.name === "machine" ? "data:text/javascript,throw new Error('broken')" : specifier, options);
      }
    };
    try {
      await assert.rejects(launchGuest({ cmdline: "mode=spin" }), { message: /the machine isolate crashed: .*broken/ });
    } finally {
      globalThis.Worker = Original;
    }
  },
});

Deno.test({
  ...needs(
    "a plugin that loops for ever does not keep a machine from being stopped, and is named as the suspect",
    "kvm",
  ),
  // The libraries that bring a vCPU out of the guest are loaded on this occasion, and stay.
  sanitizeResources: false,
  async fn() {
    const stuck = pluginModule(`export default plugin.defineVirtioDevice({
      name: "stuck", deviceType: 42,
      create: () => ({
        features: 0n, queues: [{ name: "q", size: 16 }], notify() {},
        activate() { while (true); },
      }),
    });`);
    const vm = await launchGuest({ cmdline: "mode=probe", cpus: 2, devices: [{ plugin: stuck }], timeoutSeconds: 2 });
    const { ending } = await vm.ended;
    assert.equal(ending.kind, "host-error");
    assert.match(
      ending.message,
      /did not end within 10 s after: the run took longer than 2 s; a plugin is probably stuck/,
    );
    assert.equal((await vm.stop()).ending, ending);
  },
});

Deno.test({
  ...needs("a plugin that never finishes loading does not keep a launch for longer than its time limit", "kvm"),
  async fn() {
    const never = pluginModule("await new Promise(() => {});");
    await assert.rejects(launchGuest({ devices: [{ plugin: never }], timeoutSeconds: 1 }), {
      message: /did not end within 10 s after: the run took longer than 1 s/,
    });
  },
});

Deno.test({
  ...needs("ROB-2: a plugin cannot end the isolate that it shares with the machine", "kvm"),
  async fn() {
    for (const call of ["Deno.exit(0)", "close()", "self.close()", '(await import("node:process")).default.exit(0)']) {
      const quitter = pluginModule(`${call};\nexport default 1;`);
      await assert.rejects(launchGuest({ devices: [{ plugin: quitter }] }), {
        message: /was called by a plugin: it would end the machine/,
      }, call);
    }
  },
});

Deno.test({
  ...needs("options that cannot be handed to another isolate fail the launch, and leave nothing behind", "kvm"),
  async fn() {
    const devices = [{ plugin: "rng", options: { source: () => 4 } }];
    await assert.rejects(launchGuest({ devices }), { message: /Cannot hand the options .*; use plain data$/ });
  },
});
