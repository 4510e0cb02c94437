import assert from "node:assert/strict";
import { launchOptions, MACHINE_FLAGS, type MachineFlags, parseFlags, UsageError } from "../../src/cli/arguments.ts";

const parse = (...args: string[]) => parseFlags<MachineFlags>(args, MACHINE_FLAGS);
const options = (...args: string[]) => launchOptions(parse("--kernel", "k", ...args).flags);

function usage(message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof UsageError, `${error}`);
    assert.match(error.message, message);
    return true;
  };
}

Deno.test("flags take their values in both forms, and repeat where there may be several", () => {
  const { flags, command } = parse(
    "--kernel=k",
    "--memory",
    "size=1G",
    "--disk",
    "path=a",
    "--disk=path=b",
    "-v",
    "--rng",
  );
  assert.deepEqual({ ...flags }, {
    kernel: "k",
    memory: "size=1G",
    disk: ["path=a", "path=b"],
    verbose: true,
    rng: true,
  });
  assert.equal(command, undefined);
});

Deno.test('what follows "--" is the guest\'s command, whatever it looks like', () => {
  assert.deepEqual(parse("--kernel", "k", "--", "sh", "-c", "echo -- --kernel x", "--").command, [
    "sh",
    "-c",
    "echo -- --kernel x",
    "--",
  ]);
  assert.deepEqual(parse("--").command, []);
});

Deno.test("an unknown flag is refused with the nearest one and all there are", () => {
  assert.throws(
    () => parse("--kernal", "k"),
    usage(/no flag --kernal, did you mean --kernel\? Flags are --kernel, --init/),
  );
  assert.throws(() => parse("--memroy=1G"), usage(/no flag --memroy, did you mean --memory\?/));
  assert.throws(() => parse("--xyzzyxyzzy"), usage(/^There is no flag --xyzzyxyzzy Flags are/));
  assert.throws(() => parse("-q"), usage(/-q/));
});

Deno.test("a stray word, a missing value and a value too many are refused", () => {
  assert.throws(() => parse("uname", "-r"), usage(/"uname" belongs to no flag; .* after "--"|-r/));
  assert.throws(() => parse("uname"), usage(/"uname" belongs to no flag; a command for the guest is given after "--"/));
  assert.throws(() => parse("--kernel"), usage(/kernel/));
  assert.throws(() => parse("--rng=yes"), usage(/rng/));
});

Deno.test("flags become launch options", () => {
  assert.deepEqual(options(), {
    kernel: "k",
    cmdline: "",
    cpus: 1,
    memory: "256M",
    disks: [],
    rng: false,
    consoles: [],
    serial: "tty",
    devices: [],
    verbose: false,
    rebootOnReset: true,
  });
  const given = options(
    ..."--initramfs i --cpus boot=4 --memory 1G --rng --serial null --console tty --timeout 9 --no-reboot -v".split(
      " ",
    ),
    "--cmdline",
    "a=b c",
    "--disk",
    "path=d.img,readonly=on",
    "--device",
    "./x.ts,k=v",
  );
  assert.deepEqual(given, {
    kernel: "k",
    initramfs: "i",
    cmdline: "a=b c",
    cpus: 4,
    memory: "1G",
    disks: [{ path: "d.img", readonly: "on" }],
    rng: true,
    consoles: ["tty"],
    serial: "null",
    devices: ["./x.ts,k=v"],
    verbose: true,
    rebootOnReset: false,
    timeoutSeconds: 9,
  });
});

Deno.test("a value that a flag does not take is a usage error, and the message says what it takes", () => {
  const wrong: [string[], RegExp][] = [
    [["--cpus", "many"], /--cpus many: expected a whole number/],
    [["--cpus", "cores=2"], /--cpus cores=2: expected boot=VALUE and no other key/],
    [["--cpus", "boot=1,max=2"], /expected boot=VALUE and no other key/],
    [["--cpus", "0"], /"cpus" expected integer from 1 to 254/],
    [["--memory", "12Q"], /"memory" expected size, such as/],
    [["--memory", "size=1000"], /1000 bytes of memory: expected a multiple of 4096/],
    [["--memory", "hugepages=on"], /--memory hugepages=on: expected size=VALUE/],
    [["--timeout", "1.5"], /--timeout 1.5: expected a whole number/],
    [["--timeout", "0"], /"timeoutSeconds" expected integer from 1/],
    [["--timeout", "99999999"], /"timeoutSeconds" expected integer from 1 to 2147483/],
    [["--disk", "root.img"], /--disk root.img: expected path=IMAGE/],
    [["--disk", "readonly=on"], /--disk readonly=on: expected path=IMAGE/],
    [["--disk", "path=a,path=b"], /the key "path" is given twice/],
    [["--device", ""], /it must begin with a device/],
    [["--device", "rng,=3"], /a key is missing/],
    [["--device", "rng,slot=77"], /"slot" expected integer from 1 to 31/],
    [["--console", "tty"], /--serial tty and --console tty cannot share one terminal/],
  ];
  for (const [args, message] of wrong) assert.throws(() => options(...args), usage(message), args.join(" "));
  assert.throws(() => launchOptions({}), usage(/--kernel is missing/));
});
