import assert from "node:assert/strict";
import { denovisor } from "./command_line.ts";

Deno.test("help is on standard output, with examples, for the whole and for each command", async () => {
  for (const args of [["help"], ["--help"], ["-h"]]) {
    const { code, stdout, stderr } = await denovisor(args);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^Usage: denovisor COMMAND/);
    for (const command of ["run", "demo", "probe", "doctor"]) assert.match(stdout, new RegExp(`^  ${command} `, "m"));
    assert.match(stdout, /^Examples:$/m);
  }
  for (const command of ["run", "demo", "probe", "doctor"]) {
    const { code, stdout, stderr } = await denovisor([command, "--help"]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, new RegExp(`^Usage: denovisor ${command}`));
  }
});

Deno.test("help of run names every flag", async () => {
  const { stdout } = await denovisor(["run", "--help"]);
  const { MACHINE_FLAGS } = await import("../../src/cli/arguments.ts");
  const missing = Object.keys(MACHINE_FLAGS).filter((flag) => flag !== "help" && !stdout.includes(`--${flag}`));
  assert.deepEqual(missing, []);
});

Deno.test("a command line that cannot be understood ends with 2, a reason on standard error, and nothing else", async () => {
  const wrong: [string[], RegExp][] = [
    [["rum"], /There is no command "rum", did you mean "run"\?/],
    [["xyzzyxyzzy"], /There is no command "xyzzyxyzzy" Commands are run, demo, probe, doctor\./],
    [["run"], /--kernel is missing/],
    [["run", "--kernel", "k", "--kernal", "k"], /no flag --kernal, did you mean --kernel\?/],
    [["run", "--kernel", "k", "--"], /after "--" a command for the guest was expected/],
    [["run", "--kernel", "k", "--cpus", "0"], /"cpus" expected integer from 1/],
    [["run", "--kernel", "k", "--memory", "lots"], /"memory" expected size/],
    [["run", "--kernel", "k", "uname"], /"uname" belongs to no flag/],
    [["probe"], /--device is missing/],
    [["probe", "--device", "rng,=1"], /a key is missing/],
    [["demo", "--cpus", "two"], /--cpus two: expected a whole number/],
    [["doctor", "--jsno"], /no flag --jsno, did you mean --json\?/],
  ];
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = await denovisor(args);
    assert.deepEqual([code, stdout], [2, ""], `${args.join(" ")}: ${stderr}`);
    assert.match(stderr, message);
    assert.match(stderr, /^denovisor: /);
    assert.match(stderr, /tell more\.\n$/);
    assert.doesNotMatch(stderr, /^ {4}at /m, "no stack for a mistake in the command line");
  }
  const nothing = await denovisor([]);
  assert.equal(nothing.code, 2);
  assert.match(nothing.stdout, /^Usage: denovisor COMMAND/);
});

Deno.test("paths are meant from where the task was called", async () => {
  const folder = await Deno.makeTempDir({ prefix: "denovisor_cli_" });
  try {
    const { code, stderr } = await denovisor(["run", "--kernel", "no-such-kernel"], {
      env: { INIT_CWD: folder, NO_COLOR: "1" },
    });
    assert.equal(code, 125);
    assert.match(stderr, new RegExp(`${folder}/no-such-kernel|/dev/kvm`));
  } finally {
    await Deno.remove(folder);
  }
});

Deno.test("doctor tells what this host can do, for people and for machines", async () => {
  const json = await denovisor(["doctor", "--json"]);
  const report = JSON.parse(json.stdout);
  assert.equal(typeof report.usable, "boolean");
  assert.equal(json.code, report.usable ? 0 : 1);
  for (const { check, state, detail, remedy } of report.findings) {
    assert.ok(["ok", "limited", "missing"].includes(state), check);
    assert.ok(detail.length > 0, check);
    if (state !== "ok") assert.ok(remedy?.length > 0, `${check} has no remedy`);
  }
  const checks = report.findings.map(({ check }: { check: string }) => check);
  for (const check of ["platform", "/dev/kvm", "io_uring", "memory"]) assert.ok(checks.includes(check), check);
  const text = await denovisor(["doctor"]);
  assert.equal(text.code, json.code);
  for (const check of checks) assert.ok(text.stdout.includes(`${check}: `), check);
  assert.match(text.stdout, /This host (runs Linux guests|runs bare-metal guests only|cannot run guests yet)\.\n$/);
});
