/* What every PCI function owes, whatever it does. */
#include "boot_information.h"
#include "memory.h"
#include "options.h"
#include "pci.h"
#include "report.h"

#define ALL_ONES 0xffffffffu
#define ALL_BUT_FLAGS 0xfffffff0u

#define BAR_IO 1
#define BAR_WIDE 4
#define BAR_PREFETCHABLE 8
#define BAR_MEMORY_FLAGS 0xfull
#define BAR_IO_FLAGS 3ull

#define EXTENDED_CAPABILITIES 0x100
#define EXTENDED_LIMIT 32

/* The interrupt controllers' own addresses: Intel SDM volume 3A, 11.4.1, and the I/O APIC below it. */
#define CONTROLLERS_START 0xfec00000ull
#define CONTROLLERS_END 0xfef00000ull

static void report_header(const struct pci_function *function) {
  report("function\t%f\t%4x:%4x\tclass=%6x revision=%2x subsystem=%4x:%4x header=%2x command=%4x status=%4x", function,
         (uint64_t)function->vendor, (uint64_t)function->identity,
         (uint64_t)(config_read32(function, PCI_REVISION) >> 8), (uint64_t)config_read8(function, PCI_REVISION),
         (uint64_t)config_read16(function, PCI_SUBSYSTEM_VENDOR), (uint64_t)config_read16(function, PCI_SUBSYSTEM),
         (uint64_t)function->header_type, (uint64_t)config_read16(function, PCI_COMMAND),
         (uint64_t)config_read16(function, PCI_STATUS));
}

/* The same registers through both mechanisms and in every width. */
static void check_access(const struct pci_function *function) {
  static const uint8_t narrow[] = {PCI_VENDOR, PCI_REVISION, PCI_SUBSYSTEM_VENDOR};
  if (acpi.ecam) {
    bool same = true;
    for (uint32_t offset = 0; offset < PCI_HEADER_LENGTH; offset += 4)
      same &= config_read32(function, offset) == read32(config_address(function, offset));
    check(function, "BUS-1", "the header reads the same through CF8/CFC and ECAM", same);
  }
  bool agree = true;
  for (size_t i = 0; i < sizeof narrow; i++) {
    uint32_t offset = narrow[i];
    uint32_t whole = config_read32(function, offset);
    for (uint32_t byte = 0; byte < 4; byte++)
      agree &= config_read8(function, offset + byte) == (uint8_t)(whole >> byte * 8);
    for (uint32_t byte = 0; byte < 4; byte += 2)
      agree &= config_read16(function, offset + byte) == (uint16_t)(whole >> byte * 8);
    if (!acpi.ecam) continue;
    uint64_t address = config_address(function, offset);
    for (uint32_t byte = 0; byte < 4; byte++) agree &= read8(address + byte) == (uint8_t)(whole >> byte * 8);
    for (uint32_t byte = 0; byte < 4; byte += 2) agree &= read16(address + byte) == (uint16_t)(whole >> byte * 8);
  }
  check(function, "BUS-1", "1-, 2- and 4-byte accesses agree", agree);
}

static void check_command(const struct pci_function *function) {
  uint16_t command = config_read16(function, PCI_COMMAND);
  config_write16(function, PCI_COMMAND, command | PCI_COMMAND_INTERRUPT_DISABLE);
  bool set = config_read16(function, PCI_COMMAND) & PCI_COMMAND_INTERRUPT_DISABLE;
  config_write16(function, PCI_COMMAND, command & (uint16_t)~PCI_COMMAND_INTERRUPT_DISABLE);
  bool cleared = !(config_read16(function, PCI_COMMAND) & PCI_COMMAND_INTERRUPT_DISABLE);
  config_write16(function, PCI_COMMAND, command);
  check(function, "BUS-3", "Interrupt Disable can be set and cleared", set && cleared);
}

/* Identity and status are the function's, not the driver's. */
static void check_read_only(const struct pci_function *function) {
  uint32_t identity = config_read32(function, PCI_VENDOR);
  uint32_t class_code = config_read32(function, PCI_REVISION);
  config_write32(function, PCI_VENDOR, ~identity);
  config_write32(function, PCI_REVISION, ~class_code);
  check(function, "ID-3", "vendor, device, class and revision are read-only",
        config_read32(function, PCI_VENDOR) == identity && config_read32(function, PCI_REVISION) == class_code);
}

static void describe_msix(const struct pci_function *function, uint8_t at) {
  uint32_t table = config_read32(function, at + MSIX_TABLE);
  uint32_t pending = config_read32(function, at + MSIX_PENDING);
  uint16_t control = config_read16(function, at + MSIX_CONTROL);
  report("capability\t%f\t%2x\t11\tmsi-x\tvectors=%d table=%d:0x%x pending=%d:0x%x", function, (uint64_t)at,
         (uint64_t)((control & MSIX_CONTROL_SIZE) + 1), (uint64_t)(table & 7), (uint64_t)(table & ~7u),
         (uint64_t)(pending & 7), (uint64_t)(pending & ~7u));
}

/* Virtio 1.2, section 4.1.4. */
static void describe_virtio(const struct pci_function *function, uint8_t at) {
  static const char *const names[] = {"vendor",        "virtio-common",  "virtio-notify", "virtio-isr",
                                      "virtio-device", "virtio-pci-cfg", "vendor",        "vendor",
                                      "virtio-shared", "virtio-vendor"};
  uint32_t head = config_read32(function, at);
  uint32_t where = config_read32(function, at + 4);
  uint8_t type = (uint8_t)(head >> 24);
  report("capability\t%f\t%2x\t09\t%s\tlength=%d bar=%d id=%d offset=0x%x size=0x%x", function, (uint64_t)at,
         type < sizeof names / sizeof names[0] ? names[type] : "vendor", (uint64_t)(head >> 16 & 0xff),
         (uint64_t)(where & 0xff), (uint64_t)(where >> 8 & 0xff), (uint64_t)config_read32(function, at + 8),
         (uint64_t)config_read32(function, at + 12));
}

static const char *capability_name(uint8_t id) {
  static const struct {
    uint8_t id;
    const char *name;
  } known[] = {{0x01, "power-management"}, {0x05, "msi"},  {0x09, "vendor"}, {0x0d, "subsystem"},
               {0x10, "pci-express"},      {0x12, "sata"}, {0x13, "advanced-features"}};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
    if (known[i].id == id) return known[i].name;
  return "unknown";
}

/* The list may be anything: it is followed for as many steps as can be distinct, never twice over the same offset. */
static void walk_capabilities(struct pci_function *function) {
  if (!(config_read16(function, PCI_STATUS) & PCI_STATUS_CAPABILITIES)) {
    if (function->vendor == VENDOR_VIRTIO) check(function, "ID-3", "Status announces a capability list", false);
    return;
  }
  uint64_t seen = 0;
  bool aligned = true, inside = true, looped = false;
  uint8_t at = config_read8(function, PCI_CAPABILITIES);
  while (at && function->capability_count < CAPABILITY_LIMIT) {
    aligned &= !(at & 3);
    at &= 0xfc;
    inside &= at >= PCI_HEADER_LENGTH;
    if (!inside) break;
    looped = seen >> (at / 4) & 1;
    if (looped) break;
    seen |= 1ull << (at / 4);
    function->capabilities[function->capability_count++] = at;
    uint16_t head = config_read16(function, at);
    uint8_t id = (uint8_t)head;
    if (id == PCI_CAPABILITY_MSIX) {
      describe_msix(function, at);
    } else if (id == PCI_CAPABILITY_VENDOR && function->vendor == VENDOR_VIRTIO) {
      describe_virtio(function, at);
    } else {
      report("capability\t%f\t%2x\t%2x\t%s\t-", function, (uint64_t)at, (uint64_t)id, capability_name(id));
    }
    at = (uint8_t)(head >> 8);
  }
  check(function, "CAP-1", "capabilities are dword-aligned behind the header; the list ends with 0 and has no loop",
        aligned && inside && !looped);
}

static void walk_extended(const struct pci_function *function) {
  if (!acpi.ecam) return;
  uint32_t at = EXTENDED_CAPABILITIES;
  for (uint32_t i = 0; at >= EXTENDED_CAPABILITIES && i < EXTENDED_LIMIT; i++) {
    uint32_t head = read32(config_address(function, at));
    if (!head || head == ALL_ONES) return;
    report("capability\t%f\t%3x\t%4x\textended\t-", function, (uint64_t)at, (uint64_t)(head & 0xffff));
    at = head >> 20 & 0xffc;
  }
}

static uint64_t read_bar(const struct pci_function *function, uint32_t offset, bool wide) {
  uint64_t low = config_read32(function, offset);
  return wide ? low | (uint64_t)config_read32(function, offset + 4) << 32 : low;
}

/* Writes a value for sizing to both halves and tells the size that the function answers with; 0 when there is none. */
static uint64_t size_bar(const struct pci_function *function, uint32_t offset, bool wide, bool io, uint32_t low) {
  config_write32(function, offset, low);
  if (wide) config_write32(function, offset + 4, ALL_ONES);
  uint64_t mask = read_bar(function, offset, wide) & ~(io ? BAR_IO_FLAGS : BAR_MEMORY_FLAGS);
  if (!mask) return 0;
  /* The upper half of an I/O BAR may be hardwired to 0. */
  if (io) mask |= 0xffff0000;
  if (!wide) mask |= 0xffffffff00000000ull;
  return ~mask + 1;
}

static bool power_of_two(uint64_t value) { return value && !(value & (value - 1)); }

static uint32_t examine_bar(struct pci_function *function, uint32_t index) {
  uint32_t offset = PCI_BAR + index * 4;
  uint32_t original = config_read32(function, offset);
  struct bar bar = {.io = original & BAR_IO};
  bar.wide = !bar.io && (original & 6) == BAR_WIDE && index + 1 < BAR_COUNT;
  bar.prefetchable = !bar.io && original & BAR_PREFETCHABLE;
  uint64_t before = read_bar(function, offset, bar.wide);

  bar.size = size_bar(function, offset, bar.wide, bar.io, ALL_ONES);
  uint64_t second = size_bar(function, offset, bar.wide, bar.io, ALL_BUT_FLAGS);
  config_write32(function, offset, (uint32_t)before);
  if (bar.wide) config_write32(function, offset + 4, (uint32_t)(before >> 32));
  uint64_t after = read_bar(function, offset, bar.wide);

  if (!bar.size && !before) return 1;
  bar.present = true;
  bar.address = before & ~(bar.io ? BAR_IO_FLAGS : BAR_MEMORY_FLAGS);
  report("bar\t%f\t%d\t%s\t0x%x\t0x%x\t%s", function, (uint64_t)index,
         bar.io     ? "io"
         : bar.wide ? "memory64"
                    : "memory32",
         bar.address, bar.size, bar.prefetchable ? "prefetchable" : "-");
  check(function, "BAR-1", "size is a power of two, by all ones and by the address mask alone",
        power_of_two(bar.size) && bar.size == second);
  check_equal(function, "BAR-1", "the address is restored after sizing", after, before);
  if (bar.address)
    check(function, "BAR-2", "the address is naturally aligned",
          power_of_two(bar.size) && !(bar.address & (bar.size - 1)));
  function->bars[index] = bar;
  return bar.wide ? 2 : 1;
}

static void examine_bars(struct pci_function *function) {
  uint32_t count = (function->header_type & 0x7f) == 0 ? BAR_COUNT : (function->header_type & 0x7f) == 1 ? 2 : 0;
  uint16_t command = config_read16(function, PCI_COMMAND);
  /* While a BAR holds a mask instead of an address nothing may decode it. */
  config_write16(function, PCI_COMMAND, command & (uint16_t) ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
  for (uint32_t index = 0; index < count;) index += examine_bar(function, index);
  config_write16(function, PCI_COMMAND, command);
}

void examine_function(struct pci_function *function) {
  report_header(function);
  check_access(function);
  walk_capabilities(function);
  walk_extended(function);
  examine_bars(function);
  if (function->vendor != VENDOR_VIRTIO) return;
  check_read_only(function);
  check_command(function);
}

void check_overlaps(void) {
  bool apart = true, beside_memory = true, beside_controllers = true, found = false;
  for (uint32_t i = 0; i < function_count * BAR_COUNT; i++) {
    const struct bar *left = &functions[i / BAR_COUNT].bars[i % BAR_COUNT];
    if (!left->present || !left->address) continue;
    found = true;
    for (uint32_t j = i + 1; j < function_count * BAR_COUNT; j++) {
      const struct bar *right = &functions[j / BAR_COUNT].bars[j % BAR_COUNT];
      if (!right->present || !right->address || left->io != right->io) continue;
      apart &= left->address + left->size <= right->address || right->address + right->size <= left->address;
    }
    if (left->io) continue;
    beside_memory &= !overlaps_memory(left->address, left->size);
    beside_controllers &= left->address >= CONTROLLERS_END || left->address + left->size <= CONTROLLERS_START;
  }
  if (!found) return;
  check(NULL, "BAR-5", "no two BARs overlap", apart);
  check(NULL, "BAR-5", "no BAR overlaps RAM or the interrupt controllers", beside_memory && beside_controllers);
}
