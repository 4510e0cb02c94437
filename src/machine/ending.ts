/**
 * How a run can end, and the exit code that each ending has on the command line.
 *
 * @module
 */

/** Why a machine stopped. */
export type EndKind =
  | "power-off"
  | "reset"
  | "debug-exit"
  | "command"
  | "stopped"
  | "timeout"
  | "panic"
  | "triple-fault"
  | "internal-error"
  | "failed-entry"
  | "host-error";

/** The end of a run. */
export interface Ending {
  /** What happened. */
  readonly kind: EndKind;
  /** One line for people. */
  readonly message: string;
  /** What a process that ran this machine should exit with. */
  readonly exitCode: number;
  /** Registers of the vCPUs and the like, where they help. */
  readonly details?: string;
}

/** Exit code of each ending; `debug-exit` and `command` bring their own. */
export const EXIT_CODES: Readonly<Record<Exclude<EndKind, "debug-exit" | "command">, number>> = {
  "power-off": 0,
  "reset": 0,
  "stopped": 0,
  "panic": 120,
  "triple-fault": 121,
  "internal-error": 122,
  "failed-entry": 123,
  "timeout": 124,
  "host-error": 125,
};

/** Exit code for a command line that cannot be understood. */
export const USAGE_EXIT_CODE = 2;

/** Makes an {@linkcode Ending} of a kind that has a fixed exit code. */
export function ending(kind: keyof typeof EXIT_CODES, message: string, details?: string): Ending {
  return { kind, message, exitCode: EXIT_CODES[kind], ...(details === undefined ? {} : { details }) };
}
