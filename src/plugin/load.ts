/**
 * Finds and loads the module of a plugin.
 *
 * @module
 */
import { describeValue, faultOf } from "./define.ts";
import { type Plugin, PLUGIN_TAG, PLUGIN_VERSION } from "./definition.ts";
import { messageOf, PluginError } from "./error.ts";
import { nearest } from "./nearest.ts";
import { filePath, fileUrl } from "./paths.ts";

/** The devices that can be loaded by name: how each module is imported, so that only what is used is loaded. */
export type BuiltInPlugins = Readonly<Record<string, () => Promise<object>>>;

/** A scheme and a colon. A single letter before the colon is no scheme that modules are loaded from. */
const URL_PATTERN = /^[a-z][a-z0-9+.-]+:/i;
/** What tells a path from a name: a separator, or the ending of a module. */
const PATH_PATTERN = /[/\\]|\.[cm]?[jt]sx?$/;

/**
 * Loads a plugin.
 *
 * @param specifier Name of a built-in device, path of a module relative to `base`, or its URL (file:, https:, data:, npm:).
 * @param base The directory that paths are relative to: the caller's working directory, as a path or file: URL.
 * @param builtIns What is loaded by name.
 * @throws {PluginError} There is no such name or module, the module fails to load, or its default export is not a plugin.
 *   The message says which, and what to do.
 */
export async function loadPlugin(
  specifier: string,
  base: string | URL,
  builtIns: BuiltInPlugins = {},
): Promise<Plugin> {
  if (Object.hasOwn(builtIns, specifier)) return pluginOf(await builtIns[specifier](), specifier);
  const url = resolveSpecifier(specifier, base, Object.keys(builtIns));
  let module: object;
  try {
    module = await import(url);
  } catch (cause) {
    throw new PluginError(describeFailure(specifier, url, cause), { cause });
  }
  return pluginOf(module, specifier);
}

/**
 * The plugin that a module exports as default.
 *
 * @param specifier What the module was asked for by, for messages.
 * @throws {PluginError} It has no default export or one that is not a plugin.
 */
export function pluginOf(module: object, specifier: string): Plugin {
  const exported = (module as { default?: unknown }).default;
  const fault = faultOfExport(module, exported);
  if (fault === undefined) return exported as Plugin;
  throw new PluginError(`Cannot use device module "${shorten(specifier)}": ${fault}`);
}

function resolveSpecifier(specifier: string, base: string | URL, names: readonly string[]): string {
  if (URL_PATTERN.test(specifier)) return specifier;
  if (PATH_PATTERN.test(specifier)) {
    const directory = base instanceof URL || base.startsWith("file:") ? filePath(new URL(base)) : base;
    return fileUrl(specifier, directory).href;
  }
  const meant = nearest(specifier, names);
  throw new PluginError(
    `There is no device called "${specifier}"` + (meant === undefined ? "" : ` (did you mean "${meant}"?)`)
      + `. Built-in devices are ${names.join(", ") || "none"}; a module of your own is given by its path `
      + `(./${specifier || "device"}.ts) or URL.`,
  );
}

function describeFailure(specifier: string, url: string, cause: unknown): string {
  const message = messageOf(cause);
  const subject = `Cannot load device module "${shorten(specifier)}"`;
  const isMissing = message.startsWith("Module not found") && message.includes(`"${url}"`);
  if (isMissing) return `${subject}: there is no file ${url.startsWith("file:") ? filePath(new URL(url)) : url}`;
  const kind = cause instanceof Error ? cause.name : describeValue(cause);
  return `${subject}: it fails while loading: ${message.includes(kind) ? message : `${kind}: ${message}`}`;
}

function faultOfExport(module: object, exported: unknown): string | undefined {
  if (exported === undefined) {
    const others = Object.keys(module).filter((name) => name !== "default");
    return `it has no default export (it exports ${others.join(", ") || "nothing"}); `
      + `write "export default defineVirtioDevice({ … })"`;
  }
  const isObject = typeof exported === "object" && exported !== null;
  const members = isObject ? exported as Readonly<Record<string | symbol, unknown>> : {};
  const version = members[PLUGIN_TAG];
  if (version === undefined) {
    return `its default export is ${describeValue(exported)}, not a device; `
      + `wrap it: "export default defineVirtioDevice({ … })" or definePciDevice`;
  }
  if (version !== PLUGIN_VERSION) {
    return `it was made for version ${
      describeValue(version)
    } of the plugin interface; this is version ${PLUGIN_VERSION}`;
  }
  if (members.kind !== "virtio" && members.kind !== "pci") {
    return `its kind is ${describeValue(members.kind)}; expected "virtio" or "pci"`;
  }
  return faultOf(members.kind, members);
}

/** A data: URL can be as long as a program. */
function shorten(specifier: string): string {
  return specifier.length <= MAXIMUM_SPECIFIER ? specifier : `${specifier.slice(0, MAXIMUM_SPECIFIER)}…`;
}

const MAXIMUM_SPECIFIER = 120;
