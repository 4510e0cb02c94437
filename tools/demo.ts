/**
 * `deno task demo`: the embedded guest on this machine's `/dev/kvm`; where that is missing or may not be opened, on a KVM host in a
 * box, for which the packages are installed if this is root.
 *
 * @module
 */
import { quote, runInBox } from "../tests/lab/box.ts";
import { boxRequirements, installPackages, missingPackagesOf, requirement } from "../tests/support/requirements.ts";

const FAILED = 1;

async function main(args: readonly string[]): Promise<number> {
  const command = ["run", "-A", new URL("../src/cli/main.ts", import.meta.url).pathname, "demo", ...args];
  const problem = requirement("kvm");
  if (problem === undefined) {
    const child = new Deno.Command(Deno.execPath(), { args: command, stdin: "null" }).spawn();
    return (await child.status).code;
  }
  console.error(`demo: ${problem}`);
  console.error("demo: so QEMU emulates a host that has it, which takes a minute");
  const packages = missingPackagesOf(boxRequirements);
  if (packages.length > 0) await installPackages(packages);
  const { code } = await runInBox([Deno.execPath(), ...command].map(quote).join(" "), {
    onOutput: (stream, data) => void (stream === "stdout" ? Deno.stdout : Deno.stderr).writeSync(data),
  });
  return code;
}

try {
  Deno.exit(await main(Deno.args));
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : error}`);
  Deno.exit(FAILED);
}
