/**
 * `denovisor doctor`: tells what this host can do and what is missing.
 *
 * @module
 */
import { examineHost, type FindingState } from "../machine/host.ts";
import { parseFlags } from "./arguments.ts";

/** Help of this command. */
export const DOCTOR_HELP = `Usage: denovisor doctor [--json]

Tells what this host can do for virtual machines, what is missing, and how to get it.
Exit code: 0 when machines can run (even if only bare-metal ones), 1 when not.`;

const MARKS: Readonly<Record<FindingState, string>> = { ok: "ok     ", limited: "limited", missing: "MISSING" };

/** Runs the command; returns the exit code. */
export function doctor(args: readonly string[]): number {
  const { flags } = parseFlags<{ json?: boolean; help?: boolean }>(args, {
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  });
  if (flags.help) {
    console.log(DOCTOR_HELP);
    return 0;
  }
  const report = examineHost();
  if (flags.json) {
    console.log(JSON.stringify(report, null, 2));
  } else {
    for (const { check, state, detail, remedy } of report.findings) {
      console.log(`${MARKS[state]}  ${check}: ${detail}`);
      if (remedy !== undefined) console.log(`         → ${remedy}`);
    }
    const verdict = report.runsLinux
      ? "This host runs Linux guests."
      : report.usable
      ? "This host runs bare-metal guests only."
      : "This host cannot run guests yet.";
    console.log(verdict);
  }
  return report.usable ? 0 : 1;
}
