/**
 * The shell scripts that are process 1 in our initramfs images.
 *
 * @module
 */
import { READY_LINE } from "./command_ports.ts";

/** How long the guest waits for a device to appear, in tenths of a second. */
const DEVICE_PATIENCE = 200;

/** Quotes one word so that a shell passes it on exactly. */
export function shellWord(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Quotes words and joins them by spaces. */
export function shellWords(words: readonly string[]): string {
  return words.map(shellWord).join(" ");
}

/** What the script that runs a command depends on. */
export interface CommandInit {
  /** Names of the modules in `/modules`, in the order of loading. */
  readonly modules: readonly string[];
  /** Whether the command's input and output are a person's terminal. */
  readonly terminal: boolean;
}

/** Nothing is changed, but lines end at the EOF character, and LNEXT makes any character an ordinary one; see command_ports.ts. */
const PIPE_MODE = "raw -echo icanon iexten eof ^D lnext ^V intr undef quit undef susp undef erase undef kill undef "
  + "werase undef rprnt undef eol undef eol2 undef";

/**
 * `/init` of the initramfs that runs a command: `/command` is a script that executes it.
 */
export function commandInit({ modules, terminal }: CommandInit): string {
  // With a controlling terminal, the guest's own line discipline makes signals of control characters.
  const shell = terminal ? "setsid -c sh" : "sh";
  return `${prologue(modules)}
for port in hvc0 hvc1 hvc2; do
  await -c "/dev/$port" || fail "no console port /dev/$port: the machine must have three"
done
# Ports forget their mode when nobody has them open.
exec 3<>/dev/hvc0 4<>/dev/hvc1 5<>/dev/hvc2
stty ${terminal ? "sane" : PIPE_MODE} <&3
stty raw -echo <&4
stty raw -echo <&5

export HOME=/root TERM=\${TERM:-linux}
cd /root
echo ${READY_LINE} >&5
${shell} /command </dev/hvc0 >/dev/hvc0 2>/dev/hvc1 3<&- 4<&- 5<&-
status=$?

echo "$status" >&5
poweroff -f
`;
}

/** What the script that switches to a root disk depends on. */
export interface RootInit {
  /** Names of the modules in `/modules`, in the order of loading. */
  readonly modules: readonly string[];
  /** The block device. */
  readonly root: string;
  /** Its file system's type, where known. */
  readonly fileSystem: string | undefined;
  /** Whether it is mounted read-only. */
  readonly readOnly: boolean;
  /** Process 1 of the root disk. */
  readonly init: string;
}

/** `/init` of the initramfs that switches to a root disk. */
export function rootInit({ modules, root, fileSystem, readOnly, init }: RootInit): string {
  const type = fileSystem === undefined ? "" : `-t ${shellWord(fileSystem)} `;
  const device = shellWord(root);
  return `${prologue(modules)}
await -b ${device} || fail "no block device "${device}
mkdir -p /newroot
mount -o ${readOnly ? "ro" : "rw"} ${type}${device} /newroot || fail "cannot mount "${device}
[ -x /newroot${shellWord(init)} ] || [ -L /newroot${shellWord(init)} ] || fail "no program "${
    shellWord(init)
  }" on "${device}
for directory in dev proc sys; do
  mkdir -p "/newroot/$directory"
  mount --move "/$directory" "/newroot/$directory"
done
exec switch_root /newroot ${shellWord(init)}
`;
}

/** What both do first: mount, install busybox's commands, load modules. */
function prologue(modules: readonly string[]): string {
  return `#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin

fail() {
  echo "init: $*; powering off" >/dev/console
  poweroff -f
  sleep 60
}

# Waits until a test of one file holds.
await() {
  patience=${DEVICE_PATIENCE}
  while ! [ "$@" ]; do
    patience=$((patience - 1))
    [ $patience -gt 0 ] || return 1
    sleep 0.1
  done
}

/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s
for module in ${modules.join(" ")}; do
  insmod "/modules/$module.ko" || echo "init: cannot load $module" >/dev/console
done
`;
}
