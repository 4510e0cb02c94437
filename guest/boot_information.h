/* What the loader tells: hvm_start_info of the "x86/HVM direct boot ABI", and the ACPI tables that it points to. */
#pragma once

#include "machine.h"

#define BOOT_MAGIC 0x336ec578

struct start_information {
  uint32_t magic;
  uint32_t version;
  uint32_t flags;
  uint32_t module_count;
  uint64_t modules;
  uint64_t command_line;
  uint64_t root_pointer; /* RSDP of ACPI */
  /* From version 1 on. */
  uint64_t memory_map;
  uint32_t memory_map_entries;
  uint32_t reserved;
};

struct memory_map_entry {
  uint64_t address;
  uint64_t length;
  uint32_t type; /* as in E820: 1 is RAM */
  uint32_t reserved;
};

#define MEMORY_TYPE_RAM 1

/* What was found in the tables; 0 where there is none. */
struct acpi_findings {
  uint64_t ecam; /* configuration space of bus 0 */
  uint32_t processors;
};

extern struct acpi_findings acpi;

const struct start_information *boot_information(void);

/* The command line; "" where there is none. */
const char *boot_command_line(void);

/* Reports the memory map and the ACPI tables and fills `acpi`. */
void examine_boot_information(void);

/* Whether any byte of a range is RAM according to the memory map. */
bool overlaps_memory(uint64_t address, uint64_t length);
