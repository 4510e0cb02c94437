/**
 * What this host can do for virtual machines, by cause and with the remedy.
 *
 * @module
 */
import { SystemError } from "../../ffi/errno.ts";
import { IoUring } from "../../ffi/io_uring.ts";
import { Capability } from "../../ffi/kvm/constants.ts";
import { KvmSystem } from "../../ffi/kvm/system.ts";

/** How a check of the host came out: `limited` works, but not fully. */
export type FindingState = "ok" | "limited" | "missing";

/** One thing looked at. */
export interface Finding {
  /** What was looked at. */
  readonly check: string;
  /** How it came out. */
  readonly state: FindingState;
  /** What was found. */
  readonly detail: string;
  /** What to do about it, where something is to be done. */
  readonly remedy?: string;
}

/** How far virtual machines get here. */
export interface HostReport {
  /** All that was looked at. */
  readonly findings: readonly Finding[];
  /** Whether any guest can run. */
  readonly usable: boolean;
  /** Whether Linux guests can run: false where KVM has no processor support behind it. */
  readonly runsLinux: boolean;
}

const KVM_PATH = "/dev/kvm";

/** What the machine layer needs of KVM, with the reason. */
const REQUIRED_CAPABILITIES: readonly (readonly [keyof typeof Capability, string])[] = [
  ["interruptChip", "interrupt controllers in the kernel"],
  ["userMemory", "guest memory from this process"],
  ["ioeventfd", "doorbells without exits"],
  ["ioeventfdAnyLength", "doorbells of any width"],
  ["irqfd", "interrupts by event descriptor"],
  ["interruptRouting", "message-signalled interrupts"],
  ["immediateExit", "vCPUs that can always be stopped"],
];

/** Whether KVM is the variant that needs no processor support, and emulates guests that do not know of it. */
export function isSoftwareOnly(): boolean {
  return exists("/sys/module/kvm_pvm") && !exists("/sys/module/kvm_intel") && !exists("/sys/module/kvm_amd");
}

/** Looks at everything that virtual machines need of the host. Never throws. */
export function examineHost(): HostReport {
  const findings: Finding[] = [examinePlatform(), ...examineKvm(), examineRing(), examineMemory(), examineTap()];
  const usable = findings.every((finding) => finding.state !== "missing" || OPTIONAL_CHECKS.has(finding.check));
  return { findings, usable, runsLinux: usable && !isSoftwareOnly() };
}

const OPTIONAL_CHECKS: ReadonlySet<string> = new Set(["tap devices"]);

function examinePlatform(): Finding {
  const { os, arch } = Deno.build;
  const fits = os === "linux" && arch === "x86_64";
  return {
    check: "platform",
    state: fits ? "ok" : "missing",
    detail: `${os} on ${arch}, Deno ${Deno.version.deno}`,
    ...(fits ? {} : { remedy: "use a Linux host with an x86-64 processor" }),
  };
}

function examineKvm(): Finding[] {
  let system: KvmSystem;
  try {
    system = KvmSystem.open(KVM_PATH);
  } catch (error) {
    return [explainKvmFailure(error)];
  }
  using kvm = system;
  const findings: Finding[] = [{ check: KVM_PATH, state: "ok", detail: `opens, API version ${kvm.apiVersion()}` }];
  for (const [name, reason] of REQUIRED_CAPABILITIES) {
    if (kvm.checkExtension(Capability[name]) > 0) continue;
    const remedy = "use a newer host kernel, or one built with this part of KVM";
    findings.push({ check: `KVM capability ${name}`, state: "missing", detail: `needed for ${reason}`, remedy });
  }
  findings.push(
    isSoftwareOnly() ? softwareOnlyFinding() : {
      check: "processor support",
      state: "ok",
      detail: exists("/sys/module/kvm_amd") ? "AMD SVM" : exists("/sys/module/kvm_intel") ? "Intel VMX" : "present",
    },
  );
  const cpus = kvm.checkExtension(Capability.maximumVcpus);
  const slots = kvm.checkExtension(Capability.memorySlots);
  const routes = kvm.checkExtension(Capability.interruptRouting);
  findings.push({
    check: "limits",
    state: "ok",
    detail: `${cpus} vCPUs, ${slots} memory slots and ${routes} interrupt routes per machine; `
      + `${navigator.hardwareConcurrency} processors here`,
  });
  return findings;
}

function softwareOnlyFinding(): Finding {
  return {
    check: "processor support",
    state: "limited",
    detail: "kvm_pvm: KVM without processor support; it emulates about a million instructions per second",
    remedy:
      "bare-metal guests run (`deno task demo`), Linux guests do not: for those use a host with AMD SVM or Intel VMX, "
      + "or enable nested virtualization; `deno task linux` emulates such a host",
  };
}

/** Why {@linkcode KVM_PATH} could not be opened, and what to do. */
export function explainKvmFailure(error: unknown): Finding {
  const code = error instanceof SystemError ? error.code : "";
  const known: Readonly<Record<string, readonly [string, string]>> = {
    ENOENT: [
      "does not exist: the kvm module is not loaded, or the processor's virtualization is off",
      "`modprobe kvm_amd` or `modprobe kvm_intel` as root; enable SVM or VT-x in the firmware; "
      + "in a virtual machine, have its host enable nesting; in a container, add `--device /dev/kvm`",
    ],
    EACCES: [
      "may not be opened by this user",
      "`sudo usermod -aG kvm $USER` and log in again, or `sudo setfacl -m u:$USER:rw /dev/kvm`",
    ],
    ENODEV: [
      "has no driver behind it: the processor's virtualization is off or used by another hypervisor",
      "enable SVM or VT-x in the firmware, then `modprobe kvm_amd` or `modprobe kvm_intel`",
    ],
    EBUSY: ["is in use by another hypervisor", "stop VirtualBox or the like and try again"],
  };
  const [detail, remedy] = known[code] ?? [
    `cannot be used: ${error instanceof Error ? error.message : String(error)}`,
    "see `dmesg | grep -i kvm`",
  ];
  return { check: KVM_PATH, state: "missing", detail, remedy };
}

function examineRing(): Finding {
  const check = "io_uring";
  try {
    using _ring = new IoUring(2);
    return { check, state: "ok", detail: "available" };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const remedy = "Linux 5.13 or later, `sysctl kernel.io_uring_disabled=0`, a seccomp profile that allows io_uring";
    return { check, state: "missing", detail, remedy };
  }
}

function examineMemory(): Finding {
  const { available, total } = Deno.systemMemoryInfo();
  const mebibytes = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;
  return { check: "memory", state: "ok", detail: `${mebibytes(available)} of ${mebibytes(total)} available` };
}

function examineTap(): Finding {
  const check = "tap devices";
  if (exists("/dev/net/tun")) return { check, state: "ok", detail: "/dev/net/tun exists" };
  return { check, state: "missing", detail: "/dev/net/tun does not exist", remedy: "`modprobe tun` as root" };
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
