/**
 * The devices that come with the project, by the names under which they are loaded.
 *
 * @module
 */

/** How each module is imported: only when it is asked for. Hand it to `loadPlugin`. */
export const BUILT_IN_DEVICES: Readonly<Record<string, () => Promise<object>>> = {
  block: () => import("./block.ts"),
  console: () => import("./console.ts"),
  rng: () => import("./rng.ts"),
};
