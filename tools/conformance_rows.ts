/**
 * What the virtio-PCI transport has to do, row by row. A test proves a row by naming its id at the beginning of its title.
 *
 * @module
 */

/** Rows that belong together. */
export interface ConformanceGroup {
  /** Heading. */
  readonly title: string;
  /** Its rows. The section tells where a behaviour comes from; "design" is our own decision. */
  readonly rows: readonly (readonly [id: string, behaviour: string, section: string])[];
}

/** All rows. */
export const conformanceGroups: readonly ConformanceGroup[] = [
  {
    title: "Identity",
    rows: [
      ["ID-1", "vendor 0x1af4, device 0x1040 + type, revision 1, subsystem ids the same", "VIRTIO 4.1.2"],
      ["ID-2", "class by device type (net 02/00, block 01/80, else ff/ff) unless the plugin sets it", "design"],
      ["ID-3", "header type 0, capability list announced, extended configuration space of 4096 bytes", "PCI 6.1"],
    ],
  },
  {
    title: "Capabilities",
    rows: [
      [
        "CAP-1",
        "chain: common, ISR, device, notify, PCI-cfg, MSI-X, shared memory; dword-aligned; ends with 0",
        "VIRTIO 4.1.4",
      ],
      ["CAP-2", "cap_len covers the whole structure: 16, notify and PCI-cfg 20, shared memory 24", "VIRTIO 4.1.4"],
      ["CAP-3", "one BAR of 512 KiB holds all structures at fixed offsets", "VIRTIO 4.1.4"],
      ["CAP-4", "notify multiplier 4, notify_off of queue i is i, 1024 queues fit", "VIRTIO 4.1.4.4"],
      ["CAP-5", "shared memory in BAR 2 (64-bit, prefetchable), one capability per region", "VIRTIO 4.1.4.7"],
      ["CAP-6", "no device capability where there is no configuration space", "VIRTIO 4.1.4.6"],
      [
        "CAP-7",
        "MSI-X capability: queues + 1 vectors; only enable and function mask are writable; off at power-on",
        "PCI 6.8.2",
      ],
    ],
  },
  {
    title: "Access through the PCI configuration capability",
    rows: [
      ["CFG-1", "bar, offset and length of the window are writable, the rest is not", "VIRTIO 4.1.4.9"],
      [
        "CFG-2",
        "the data register accesses BAR and offset with the window's length, whatever the access's width",
        "VIRTIO 4.1.4.9",
      ],
      ["CFG-3", "another BAR, a wrong length, a misaligned or outlying offset: ignored, reads 0", "VIRTIO 4.1.4.9"],
      ["CFG-4", "a doorbell rung through the window notifies", "VIRTIO 4.1.4.9"],
      ["CFG-5", "the capability's place survives snapshot and restore", "design"],
    ],
  },
  {
    title: "Common configuration",
    rows: [
      ["COM-1", "fields answer to their own width (8 bytes as two halves); everything else reads 0", "VIRTIO 4.1.3.1"],
      ["COM-2", "feature selects from 2 on read 0; VERSION_1 is offered; driver features read back", "VIRTIO 4.1.4.3"],
      ["COM-3", "driver features are taken between DRIVER and FEATURES_OK, and only offered ones", "VIRTIO 3.1.1"],
      ["COM-4", "FEATURES_OK sticks only for a valid set", "VIRTIO 2.2.2"],
      ["COM-5", "status goes forward one step at a time; only writing 0 clears; FAILED at any time", "VIRTIO 2.1"],
      [
        "COM-6",
        "queue registers are writable only between FEATURES_OK and DRIVER_OK, before enabling, and read back",
        "VIRTIO 4.1.4.3",
      ],
      ["COM-7", "a queue_select beyond the last queue: size 0, writes ignored, NO_VECTOR", "VIRTIO 4.1.4.3"],
      ["COM-8", "a vector that does not exist reads back NO_VECTOR", "VIRTIO 4.1.5.1.2"],
      ["COM-9", "config_generation changes with the configuration, once per reading, and wraps", "VIRTIO 4.1.4.3.1"],
      ["COM-10", "the 64-byte layout: queue_reset, notification data, empty admin fields", "VIRTIO 4.1.4.3"],
      ["COM-11", "64-bit device fields are read as halves; the generation tells a change in between", "VIRTIO 2.5.1"],
    ],
  },
  {
    title: "ISR status",
    rows: [
      ["ISR-1", "reading returns and clears; writing clears what is written", "VIRTIO 4.1.4.5"],
      ["ISR-2", "the configuration bit is set with MSI-X too; the queue bit only without", "VIRTIO 4.1.4.5"],
    ],
  },
  {
    title: "Activation",
    rows: [
      ["ACT-1", "ready is exactly ACKNOWLEDGE, DRIVER, FEATURES_OK and DRIVER_OK", "VIRTIO 3.1.1"],
      ["ACT-2", "the write that makes it ready activates once, before it completes", "VIRTIO 3.1.1"],
      ["ACT-3", "only enabled and valid queues are handed to the device", "VIRTIO 4.1.5.1.3"],
      ["ACT-4", "no queue at DRIVER_OK: no activation, and no harm", "design"],
      ["ACT-5", "a failing activation sets DEVICE_NEEDS_RESET and raises a configuration interrupt", "VIRTIO 2.1.2"],
      ["ACT-6", "notifications before DRIVER_OK are not lost", "VIRTIO 2.9"],
    ],
  },
  {
    title: "Reset",
    rows: [
      [
        "RST-1",
        "status 0 resets everything; in-flight requests end first; the device can be activated again",
        "VIRTIO 2.4",
      ],
      ["RST-2", "a device that cannot reset is FAILED and stays so", "design"],
      ["RST-3", "no memory is written once reset has completed", "VIRTIO 2.4.1"],
    ],
  },
  {
    title: "MSI-X",
    rows: [
      ["MSI-1", "entries masked at power-on; 4- and 8-byte accesses; others and outlying ones read 0", "PCI 6.8.2"],
      [
        "MSI-2",
        "a trigger respects NO_VECTOR, enable, function mask and entry mask; masked ones become pending",
        "PCI 6.8.3",
      ],
      ["MSI-3", "unmasking delivers what is pending, once", "PCI 6.8.3"],
      ["MSI-4", "the pending bits are read-only", "PCI 6.8.2"],
      ["MSI-5", "one route and irqfd per vector, attached only while enabled and unmasked", "design"],
      ["MSI-6", "rewriting an unmasked entry re-routes it, unless nothing changed", "PCI 6.8.3"],
      ["MSI-7", "a plugin can have a vector's event descriptor", "design"],
    ],
  },
  {
    title: "Memory regions",
    rows: [
      ["BAR-1", "sizes are probed by all ones and by the address mask alone", "PCI 6.2.5.1"],
      ["BAR-2", "32- and 64-bit; 64-bit ones 8 MiB apart above 4 GiB; below where firmware needs it", "design"],
      ["BAR-3", "a new address holds from when Memory Space is enabled; several may wait", "PCI 6.2.5"],
      ["BAR-4", "a move takes range, bus, doorbells and device along, or is undone wholly", "design"],
      ["BAR-5", "an overlap with RAM, another BAR, ECAM or an APIC is refused", "design"],
      ["BAR-6", "unplugging gives back ranges, doorbells and descriptors", "design"],
      ["BAR-7", "restore pins addresses and adds nothing twice", "design"],
      ["BAR-8", "a shared-memory BAR is a memory slot of KVM", "VIRTIO 2.10"],
    ],
  },
  {
    title: "Configuration access and topology",
    rows: [
      ["BUS-1", "ports CF8/CFC and ECAM agree; absent functions read all ones", "PCI 3.2.2.3"],
      ["BUS-2", "host bridge at 00:00.0 and 31 slots, fixed on request", "design"],
      ["BUS-3", "Memory Space gates BARs, Bus Master gates DMA; status errors clear by writing 1", "PCI 6.2.2"],
    ],
  },
  {
    title: "Notifications",
    rows: [
      ["NTF-1", "one ioeventfd per queue at BAR 0 + 0x6000 + 4 i, moved and removed with it", "VIRTIO 4.1.4.4"],
      ["NTF-2", "a doorbell write that reaches user space notifies too", "VIRTIO 4.1.5.2"],
      ["NTF-3", "kicks for queues that are not there or not ready are ignored", "VIRTIO 4.1.5.2"],
      ["NTF-4", "EVENT_IDX and flags: no needless kick or interrupt, none lost", "VIRTIO 2.7.7"],
    ],
  },
  {
    title: "Snapshot and restore",
    rows: [
      ["SNP-1", "all state is saved in a versioned format; a damaged or unknown one is refused", "design"],
      ["SNP-2", "queues resume from used.idx: nothing lost, nothing wrongly done twice", "design"],
      ["SNP-3", "active devices are active again, and routes set once, before a vCPU runs", "design"],
      ["SNP-4", "state that contradicts itself is refused", "design"],
    ],
  },
  {
    title: "Queues of a hostile guest",
    rows: [
      ["QUE-1", "malformed chains of every kind are refused; the rest of the machine goes on", "VIRTIO 2.7.5"],
      ["QUE-2", "avail.idx too far ahead or backwards is refused with bounded work", "VIRTIO 2.7.6"],
      ["QUE-3", "a descriptor is read once, then checked and used", "design"],
      ["QUE-4", "64-bit addresses are never cut; from 2^53 on they are refused", "design"],
      ["QUE-5", "readable before writable; a chain's total length is bounded", "VIRTIO 2.7.4"],
      ["QUE-6", "acquire on avail.idx, release on used.idx, fence before the notification check", "VIRTIO 2.7.13"],
      ["QUE-7", "work per wake-up is bounded", "design"],
      ["QUE-8", "packed queues with the same hostile cases", "VIRTIO 2.8"],
    ],
  },
  {
    title: "Misbehaving plugins and guests",
    rows: [
      ["ROB-1", "no guest ends or hangs the process, leaks a descriptor or reaches memory outside its RAM", "design"],
      ["ROB-2", "a plugin that throws costs its device, not the machine; the error names it", "design"],
      ["ROB-3", "a plugin that loops is found and reported; the machine stays controllable", "design"],
      ["ROB-4", "published failures of other monitors are replayed", "design"],
    ],
  },
];
