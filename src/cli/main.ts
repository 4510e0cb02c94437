/**
 * The command line. Thin: each command is a file of its own, loaded when it is called.
 *
 * @module
 */
import { USAGE_EXIT_CODE } from "../machine/ending.ts";
import { nearest } from "../plugin/nearest.ts";
import { UsageError } from "./arguments.ts";

interface CommandEntry {
  readonly summary: string;
  load(): Promise<(args: readonly string[]) => number | Promise<number>>;
}

const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  run: { summary: "boot a machine", load: async () => (await import("./run.ts")).run },
  demo: {
    summary: "boot the embedded guest and show what it saw of the devices",
    load: async () => (await import("./demo.ts")).demo,
  },
  probe: {
    summary: "let the embedded guest examine any device plugin",
    load: async () => (await import("./demo.ts")).probe,
  },
  doctor: {
    summary: "tell what this host can do and what is missing",
    load: async () => (await import("./doctor.ts")).doctor,
  },
};

const HOST_ERROR_EXIT_CODE = 125;

function help(): string {
  const commands = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(8)} ${summary}`);
  return [
    "Usage: denovisor COMMAND [flags]",
    "",
    "Commands:",
    ...commands,
    "",
    "denovisor COMMAND --help tells more.",
    "",
    "Examples:",
    "  denovisor demo",
    "  denovisor run --kernel vmlinuz -- uname -r",
    "  denovisor probe --device ./my_device.ts",
  ].join("\n");
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    console.log(help());
    return name === undefined ? USAGE_EXIT_CODE : 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const meant = nearest(name, Object.keys(COMMANDS));
    const hint = meant === undefined ? "" : `, did you mean "${meant}"?`;
    throw new UsageError(`There is no command "${name}"${hint} Commands are ${Object.keys(COMMANDS).join(", ")}.`);
  }
  return await (await command.load())(rest);
}

/** `deno task` runs in the project's folder and tells where it was called: paths are meant from there. */
function returnToCaller(): void {
  const caller = Deno.env.get("INIT_CWD");
  if (caller !== undefined) Deno.chdir(caller);
}

try {
  returnToCaller();
  Deno.exit(await main(Deno.args));
} catch (error) {
  const isUsage = error instanceof UsageError;
  console.error(`denovisor: ${error instanceof Error ? error.message : String(error)}`);
  if (isUsage) console.error("`denovisor help` and `denovisor COMMAND --help` tell more.");
  Deno.exit(isUsage ? USAGE_EXIT_CODE : HOST_ERROR_EXIT_CODE);
}
