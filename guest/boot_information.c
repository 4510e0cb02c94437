#include "boot_information.h"

#include "memory.h"
#include "options.h"
#include "report.h"

/* ACPI specification 6.5, section 5.2. */
#define ROOT_POINTER_LENGTH 20
#define ROOT_POINTER_REVISION 15
#define ROOT_POINTER_RSDT 16
#define ROOT_POINTER_EXTENDED_LENGTH 36
#define ROOT_POINTER_XSDT 24
#define TABLE_HEADER_LENGTH 36
#define TABLE_LENGTH_OFFSET 4
#define TABLE_LENGTH_LIMIT 0x100000
#define MCFG_FIRST_ALLOCATION 44
#define MCFG_ALLOCATION_LENGTH 16
#define MCFG_SEGMENT 8
#define MADT_FIRST_ENTRY 44
#define MADT_LOCAL_APIC 0
#define MADT_LOCAL_X2APIC 9
#define MADT_ENABLED 1

extern uint64_t start_information_address;

struct acpi_findings acpi;

const struct start_information *boot_information(void) {
  map_physical(start_information_address, sizeof(struct start_information));
  return (const struct start_information *)start_information_address;
}

const char *boot_command_line(void) {
  uint64_t address = boot_information()->command_line;
  if (!address) return "";
  map_physical(address, PAGE_SIZE);
  return (const char *)address;
}

/* Structures of ACPI lie at any alignment and hold numbers at any offset. */
static uint32_t table32(uint64_t table, uint32_t offset) { return read32(table + offset); }
static uint64_t table64(uint64_t table, uint32_t offset) {
  return table32(table, offset) | (uint64_t)table32(table, offset + 4) << 32;
}

static bool sums_to_zero(uint64_t address, uint32_t length) {
  const uint8_t *bytes = (const uint8_t *)address;
  uint8_t sum = 0;
  for (uint32_t i = 0; i < length; i++) sum += bytes[i];
  return sum == 0;
}

static void examine_mcfg(uint64_t table, uint32_t length) {
  for (uint32_t at = MCFG_FIRST_ALLOCATION; at + MCFG_ALLOCATION_LENGTH <= length; at += MCFG_ALLOCATION_LENGTH) {
    uint64_t base = table64(table, at);
    uint32_t segment = read16(table + at + MCFG_SEGMENT);
    uint8_t first = read8(table + at + MCFG_SEGMENT + 2);
    uint8_t last = read8(table + at + MCFG_SEGMENT + 3);
    report("ecam\t0x%x\t%d\t%d\t%d", base, (uint64_t)segment, (uint64_t)first, (uint64_t)last);
    /* The base is that of bus 0 even where the first bus is another. */
    if (segment == 0 && first == 0) acpi.ecam = base;
  }
}

static void examine_madt(uint64_t table, uint32_t length) {
  for (uint32_t at = MADT_FIRST_ENTRY; at + 2 <= length;) {
    uint8_t type = read8(table + at);
    uint8_t size = read8(table + at + 1);
    if (size < 2 || at + size > length) break;
    if (type == MADT_LOCAL_APIC && table32(table, at + 4) & MADT_ENABLED) acpi.processors++;
    if (type == MADT_LOCAL_X2APIC && table32(table, at + 8) & MADT_ENABLED) acpi.processors++;
    at += size;
  }
}

static void examine_table(uint64_t table) {
  if (!table) return;
  map_physical(table, TABLE_HEADER_LENGTH);
  uint32_t length = table32(table, TABLE_LENGTH_OFFSET);
  char signature[5] = {0};
  copy_bytes(signature, (const void *)table, 4);
  if (length < TABLE_HEADER_LENGTH || length > TABLE_LENGTH_LIMIT) {
    report("note\tACPI table %s at 0x%x has the impossible length 0x%x", signature, table, (uint64_t)length);
    return;
  }
  map_physical(table, length);
  report("table\t%s\t0x%x\t%d", signature, table, (uint64_t)length);
  bool wanted_mcfg = text_equal(signature, "MCFG");
  bool wanted_madt = text_equal(signature, "APIC");
  /* A sum over the code of a DSDT would cost more instructions than everything else here. */
  if (!wanted_mcfg && !wanted_madt) return;
  check(NULL, "-", wanted_mcfg ? "ACPI: MCFG sums to zero" : "ACPI: MADT sums to zero", sums_to_zero(table, length));
  if (wanted_mcfg) examine_mcfg(table, length);
  if (wanted_madt) examine_madt(table, length);
}

static void examine_acpi(uint64_t root) {
  if (!root) {
    report("note\tthe loader gave no ACPI root pointer");
    return;
  }
  map_physical(root, ROOT_POINTER_EXTENDED_LENGTH);
  if (!check(NULL, "-", "ACPI: root pointer has its signature and sums to zero",
             table32(root, 0) == 0x20445352 && table32(root, 4) == 0x20525450 &&
                 sums_to_zero(root, ROOT_POINTER_LENGTH)))
    return;
  bool extended = read8(root + ROOT_POINTER_REVISION) >= 2 && table64(root, ROOT_POINTER_XSDT);
  uint64_t directory = extended ? table64(root, ROOT_POINTER_XSDT) : table32(root, ROOT_POINTER_RSDT);
  uint32_t entry_size = extended ? 8 : 4;
  map_physical(directory, TABLE_HEADER_LENGTH);
  uint32_t length = table32(directory, TABLE_LENGTH_OFFSET);
  if (!check(NULL, "-", extended ? "ACPI: XSDT sums to zero" : "ACPI: RSDT sums to zero",
             length >= TABLE_HEADER_LENGTH && length <= PAGE_SIZE && sums_to_zero(directory, length)))
    return;
  for (uint32_t at = TABLE_HEADER_LENGTH; at + entry_size <= length; at += entry_size)
    examine_table(extended ? table64(directory, at) : table32(directory, at));
}

void examine_boot_information(void) {
  const struct start_information *information = boot_information();
  if (information->version >= 1) {
    map_physical(information->memory_map, information->memory_map_entries * sizeof(struct memory_map_entry));
    const struct memory_map_entry *map = (const struct memory_map_entry *)information->memory_map;
    for (uint32_t i = 0; i < information->memory_map_entries; i++)
      report("memory\t0x%x\t0x%x\t%d", map[i].address, map[i].length, (uint64_t)map[i].type);
  }
  examine_acpi(information->root_pointer);
  if (options.ecam) acpi.ecam = options.ecam;
  if (options.processors) acpi.processors = (uint32_t)options.processors;
}

bool overlaps_memory(uint64_t address, uint64_t length) {
  const struct start_information *information = boot_information();
  if (information->version < 1) return false;
  const struct memory_map_entry *map = (const struct memory_map_entry *)information->memory_map;
  for (uint32_t i = 0; i < information->memory_map_entries; i++) {
    if (map[i].type != MEMORY_TYPE_RAM) continue;
    if (address < map[i].address + map[i].length && map[i].address < address + length) return true;
  }
  return false;
}
