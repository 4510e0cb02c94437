import assert from "node:assert/strict";
import { findProgram, needs } from "../support/requirements.ts";
import { denovisor, outcome, PROGRAM, start, withKernel } from "./command_line.ts";

const isSoftwareOnly = (() => {
  try {
    return Deno.statSync("/sys/module/kvm_pvm").isDirectory;
  } catch {
    return false;
  }
})();

/** A launch of the embedded guest in a mode. */
const guest = (
  kernel: string,
  mode: string,
) => ["run", "--kernel", kernel, "--memory", "64M", "--cmdline", `mode=${mode}`];

Deno.test({
  ...needs("run: the guest's exit code is ours, and its output is printed plainly", "kvm"),
  fn: () =>
    withKernel(async (kernel) => {
      for (const code of [0, 42]) {
        const result = await denovisor(guest(kernel, `exit code=${code}`));
        assert.equal(result.code, code, result.stderr);
        assert.equal(result.stdout, `begin\t1\tmode=exit code=${code}\nend\t0\n`);
        assert.equal(result.stderr, "");
      }
    }),
});

Deno.test({
  ...needs("run: every ending has its exit code and its reason", "kvm"),
  fn: () =>
    withKernel(async (kernel, folder) => {
      const cases: [string[], number, RegExp][] = [
        [[...guest(kernel, "triple-fault")], 121, /^denovisor: vCPU 0 shut down after a triple fault\n$/],
        [[...guest(kernel, "triple-fault"), "--verbose"], 121, /rip=[0-9a-f]{16}/],
        [[...guest(kernel, "spin"), "--timeout", "1"], 124, /^denovisor: the run took longer than 1 s\n$/],
        [[...guest(kernel, "reset"), "--no-reboot"], 0, /^denovisor: the guest reset the machine\n$/],
        [[...guest(`${folder}/none`, "exit")], 125, /^denovisor: Cannot read the kernel .*none/],
        [[...guest(kernel, "exit"), "--disk", `path=${folder}/none`], 125, /^denovisor: .*none/],
        [[...guest(kernel, "exit"), "--device", `${folder}/none.ts`], 125, /there is no file .*none\.ts/],
        [[...guest(kernel, "exit"), "--device", "rng,sauce=1"], 125, /no option "sauce" \(did you mean "source"\?\)/],
      ];
      for (const [args, code, message] of cases) {
        const { stderr, code: got } = await denovisor(args);
        assert.equal(got, code, `${args.join(" ")}: ${stderr}`);
        assert.match(stderr, message);
      }
    }),
});

Deno.test({
  ...needs("run: a guest that reboots begins anew until its time is over", "kvm"),
  fn: () =>
    withKernel(async (kernel) => {
      const { code, stdout, stderr } = await denovisor([...guest(kernel, "reset"), "--timeout", "2"]);
      assert.equal(code, 124, stderr);
      assert.ok(stderr.split("the guest reboots").length > 2, stderr);
      assert.ok(stdout.split("begin\t1").length > 2);
    }),
});

Deno.test({
  ...needs("run --stats prints exits, devices and a timeline on standard error", "kvm"),
  fn: () =>
    withKernel(async (kernel) => {
      const { code, stdout, stderr } = await denovisor([...guest(kernel, "exit"), "--rng", "--stats"]);
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stdout, /vcpu/);
      assert.match(stderr, /^vcpu 0 exits: .*portWrite \d+/m);
      assert.match(stderr, /^exits answered by the machine: .*debug-exit 1/m);
      assert.match(stderr, /^device rng: /m);
      assert.match(stderr, /^timeline in ms: isolate [\d.]+, .*running [\d.]+$/m);
    }),
});

Deno.test({
  ...needs("run works without a terminal: standard input closed, empty or never ending", "kvm"),
  fn: () =>
    withKernel(async (kernel) => {
      for (const stdin of ["null", "piped"] as const) {
        const child = start(guest(kernel, "exit code=7"), { stdin });
        const result = outcome(await child.output());
        assert.equal(result.code, 7, result.stderr);
        if (stdin === "piped") await child.stdin.close().catch(() => {});
      }
      const closed = await new Deno.Command("sh", {
        args: ["-c", '"$@" <&-', "sh", ...PROGRAM, ...guest(kernel, "exit code=8")],
        env: { NO_COLOR: "1" },
      }).output();
      assert.equal(closed.code, 8, outcome(closed).stderr);
    }),
});

Deno.test({
  ...needs("run ends with a reason, not with a hang, when its output is not wanted any more", "kvm"),
  fn: () =>
    withKernel(async (kernel) => {
      const child = start(guest(kernel, "ioloop port=0xe9 count=1000000000"));
      const reader = child.stdout.getReader();
      await reader.read();
      await reader.cancel();
      const [status, stderr] = await Promise.all([child.status, new Response(child.stderr).text()]);
      assert.equal(status.code, 125, stderr);
      assert.match(stderr, /onOutput failed: Broken pipe/);
    }),
});

Deno.test({
  ...needs("run stops its machine on a signal, with a shell's code for it", "kvm"),
  fn: () =>
    withKernel(async (kernel) => {
      for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130], ["SIGHUP", 129]] as const) {
        const child = start(guest(kernel, "spin"));
        const reader = child.stdout.getReader();
        await reader.read();
        // The runtime installs its own handlers again soon after the start.
        await new Promise((resolve) => setTimeout(resolve, 1000));
        child.kill(signal);
        const [status, stderr] = await Promise.all([child.status, new Response(child.stderr).text()]);
        await reader.cancel();
        assert.deepEqual([status.code, status.signal], [code, null], stderr);
      }
    }),
});

Deno.test({
  ...needs("run refuses a Linux kernel where KVM has no processor support, and says what to do", "kvm", "guest kernel"),
  ignore: !isSoftwareOnly || needs("", "kvm", "guest kernel").ignore,
  async fn() {
    const kernel = [...Deno.readDirSync("/boot")].find(({ name }) => name.startsWith("vmlinuz-"))!.name;
    const { code, stderr } = await denovisor(["run", "--kernel", `/boot/${kernel}`]);
    assert.equal(code, 125);
    assert.match(stderr, /is a Linux kernel, and this host's KVM \(kvm_pvm\) has no processor support/);
    assert.match(stderr, /deno task linux/);
    assert.match(stderr, /--force/);
  },
});

/** Runs a shell's line on a terminal of its own, typing `keys` when `prompt` has appeared. */
async function onTerminal(line: string, prompt: string, keys: string): Promise<{ code: number; screen: string }> {
  const child = new Deno.Command("script", {
    args: ["-qec", line, "/dev/null"],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
    env: { NO_COLOR: "1", SHELL: "/bin/sh" },
  }).spawn();
  const decoder = new TextDecoder();
  const writer = child.stdin.getWriter();
  let screen = "";
  let typed = false;
  for await (const data of child.stdout) {
    screen += decoder.decode(data, { stream: true });
    if (typed || !screen.includes(prompt)) continue;
    typed = true;
    await writer.write(new TextEncoder().encode(keys));
  }
  await writer.close().catch(() => {});
  return { code: (await child.status).code, screen };
}

const noTerminal = findProgram("script") === undefined || findProgram("stty") === undefined;

Deno.test({
  ...needs("run on a terminal: Ctrl-a x ends a running machine, and the terminal is as it was", "kvm"),
  ignore: noTerminal || needs("", "kvm").ignore,
  fn: () =>
    withKernel(async (kernel) => {
      const program = [...PROGRAM, ...guest(kernel, "halt")].join(" ");
      const line = `stty -g; ${program}; echo "code $?"; stty -g`;
      const { screen } = await onTerminal(line, "begin\t1", "a\x01x");
      assert.match(screen, /Ctrl-a x ends the machine/);
      assert.match(screen, /code 0\r/);
      const settings = screen.match(/^[0-9a-f]+(:[0-9a-f]+){10,}/gm) ?? [];
      assert.equal(settings.length, 2, screen);
      assert.equal(settings[0], settings[1], "the terminal's settings");
    }),
});

Deno.test({
  ...needs("run on a terminal: when a signal ends it, the terminal is as it was", "kvm"),
  ignore: noTerminal || needs("", "kvm").ignore,
  fn: () =>
    withKernel(async (kernel) => {
      const program = [...PROGRAM, ...guest(kernel, "halt")].join(" ");
      const line = `stty -g; (sleep 3; kill -TERM $(cat ${kernel}.pid)) & `
        + `sh -c 'echo $$ >${kernel}.pid; exec ${program}'; echo "code $?"; stty -g`;
      const { screen } = await onTerminal(line, "never typed", "");
      assert.match(screen, /code 143\r/);
      const settings = screen.match(/^[0-9a-f]+(:[0-9a-f]+){10,}/gm) ?? [];
      assert.equal(settings.length, 2, screen);
      assert.equal(settings[0], settings[1], "the terminal's settings");
    }),
});
