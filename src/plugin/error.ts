/**
 * What is thrown when a plugin cannot be used.
 *
 * @module
 */

/** A plugin cannot be loaded, or its device not be made. The message is complete: it can be shown to people as it is. */
export class PluginError extends Error {
  override readonly name = "PluginError";
}

/** The message of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
