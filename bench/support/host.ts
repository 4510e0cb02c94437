/**
 * The machine that is measured on, for people who compare figures.
 *
 * @module
 */

/** The first line that a program prints; undefined where it is not installed. */
function firstLine(program: string, ...args: string[]): string | undefined {
  try {
    const { stdout } = new Deno.Command(program, { args, stderr: "null" }).outputSync();
    return new TextDecoder().decode(stdout).split("\n")[0];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Modules by which KVM runs guests; only the last one does it without hardware. */
const KVM_MODULES = ["kvm_intel", "kvm_amd", "kvm_pvm"] as const;

function kvmVariant(): string {
  try {
    Deno.statSync("/dev/kvm");
  } catch {
    return "no /dev/kvm";
  }
  const loaded = KVM_MODULES.filter((module) => {
    try {
      return Deno.statSync(`/sys/module/${module}`).isDirectory;
    } catch {
      return false;
    }
  });
  const variant = loaded.join(", ") || "kvm of unknown kind";
  return loaded.includes("kvm_pvm") ? `${variant} (software only: a guest's instruction takes about 1 µs)` : variant;
}

/** Name and value of what matters for the figures. */
export function describeHost(): readonly (readonly [name: string, value: string])[] {
  const processor = Deno.readTextFileSync("/proc/cpuinfo").match(/^model name\s*:\s*(.*)$/m)?.[1] ?? "unknown";
  return [
    ["date", new Date().toISOString().slice(0, 10)],
    ["processor", `${processor}, ${navigator.hardwareConcurrency} cores`],
    ["kernel", Deno.osRelease()],
    ["KVM", kvmVariant()],
    ["Deno", `${Deno.version.deno} (V8 ${Deno.version.v8})`],
    ["gcc", firstLine("gcc", "--version") ?? "not installed: no C columns"],
    ["load average at the start", Deno.loadavg().map((load) => load.toFixed(2)).join(" ")],
  ];
}
