import assert from "node:assert/strict";
import { dirname, join, normalize } from "node:path";

const root = join(import.meta.dirname!, "..");

/** Folders under `src/` from the lowest layer up; those in one line know nothing of each other. */
const layers = [
  ["memory"],
  ["pci"],
  ["virtio"],
  ["boot"],
  ["plugin"],
  ["devices", "legacy"],
  ["machine"],
  ["serve", "probe"],
  ["cli"],
];

const importPattern = /(?:\bfrom|\bimport)\s*\(?\s*"(\.[^"]+)"|new URL\("(\.[^"]+)", import\.meta\.url\)/g;
const pointerPattern = /\bDeno\.(?:dlopen|Unsafe\w+)/;

interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** Files of the project that it imports. */
  readonly imports: readonly string[];
}

/** What lies in a checkout but not in the repository. */
const foreignFolders = ["node_modules", ".git", ".cache", "tmp"];

/** Paths of all files below a folder, both relative to the root. */
async function namesUnder(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(join(root, folder))) {
    const path = join(folder, entry.name);
    if (entry.isFile) names.push(path);
    else if (entry.isDirectory && !foreignFolders.includes(entry.name)) names.push(...await namesUnder(path));
  }
  return names;
}

async function sources(folder: string): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const path of (await namesUnder(folder)).filter((name) => name.endsWith(".ts"))) {
    const text = await Deno.readTextFile(join(root, path));
    const imports = [...text.matchAll(importPattern)].map(([, plain, url]) =>
      normalize(join(dirname(path), plain ?? url))
    );
    files.push({ path, text, imports });
  }
  return files;
}

/** Height of the layer that a file belongs to: ffi and the embedded guest are below all, mod.ts above. */
function height(path: string): number {
  const [top, folder] = path.split("/");
  if (top === "ffi" || top === "guest") return -1;
  if (top !== "src") return layers.length;
  const found = layers.findIndex((names) => names.includes(folder));
  assert.notEqual(found, -1, `${path} is in no known layer: add its folder to the list in this test`);
  return found;
}

/** What is allowed although the rule speaks against it: the command line is made from the public interface. */
function isExempt(file: string, imported: string): boolean {
  return file.startsWith("src/cli/") && imported === "mod.ts";
}

const product = [...await sources("ffi"), ...await sources("src")];

Deno.test("no layer imports from a higher one, nor from another of its own height", () => {
  const wrong: string[] = [];
  for (const { path, imports } of product) {
    for (const imported of imports) {
      const difference = height(imported) - height(path);
      const isStranger = difference === 0 && path.split("/")[1] !== imported.split("/")[1] && height(path) >= 0;
      if ((difference > 0 || isStranger) && !isExempt(path, imported)) wrong.push(`${path} imports ${imported}`);
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("only ffi/ loads libraries and forms pointers", () => {
  const wrong = product.filter(({ path, text }) => !path.startsWith("ffi/") && pointerPattern.test(text));
  assert.deepEqual(wrong.map(({ path }) => path), []);
  assert.ok(product.some(({ path, text }) => path.startsWith("ffi/") && pointerPattern.test(text)));
});

Deno.test("devices know the plugin interface and nothing else of the project", () => {
  const wrong: string[] = [];
  for (const { path, imports } of product.filter(({ path }) => path.startsWith("src/devices/"))) {
    for (const imported of imports) {
      if (imported !== "src/plugin/api.ts" && !imported.startsWith("src/devices/")) {
        wrong.push(`${path} imports ${imported}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

/** Folders that every machine has; a path below them says nothing about this one. */
const commonFolders = ["/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/var"];

Deno.test("no file names a path of the machine that it was written on", async () => {
  const checkout = root.replace(/\/$/, "");
  const paths = [checkout, dirname(checkout)].filter((path) => path.length > 1 && !commonFolders.includes(path));
  const escaped = paths.map((path) => path.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`(?<![\\w.@/-])(?:${escaped.join("|")})(?=/|["'\`\\s)]|$)`, "m");
  const wrong: string[] = [];
  for (const name of await namesUnder(".")) {
    const text = await Deno.readTextFile(join(root, name));
    const found = pattern.exec(text);
    if (found !== null) wrong.push(`${name}: ${text.slice(found.index, found.index + 60).split("\n")[0]}`);
  }
  assert.deepEqual(wrong, []);
});

Deno.test("every example type-checks", async () => {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args: ["check", "examples/"], cwd: root })
    .output();
  assert.ok(success, new TextDecoder().decode(stderr));
});
