#include "memory.h"

#include "report.h"

#define PAGE_PRESENT_WRITABLE 0x3
#define PAGE_LARGE 0x80
#define PAGE_ADDRESS 0x000ffffffffff000ull
#define LARGE_PAGE_SIZE (1ull << 21)
#define GIGABYTE (1ull << 30)
#define ENTRIES_PER_TABLE 512
#define TABLE_COUNT 24
#define PAGE_COUNT 64

extern uint64_t page_table_root[ENTRIES_PER_TABLE];
extern uint8_t gigabyte_pages;

__attribute__((section(".bss.unzeroed"), aligned(PAGE_SIZE))) static uint8_t tables[TABLE_COUNT][PAGE_SIZE];
__attribute__((section(".bss.unzeroed"), aligned(PAGE_SIZE))) static uint8_t pages[PAGE_COUNT][PAGE_SIZE];
static uint32_t tables_taken;
static uint32_t pages_taken;

/* The table that an entry points to, made when there is none. */
static uint64_t *next_table(uint64_t *entry) {
  if (!(*entry & 1)) {
    if (tables_taken == TABLE_COUNT) {
      report("note\tout of page tables: too many distant addresses are mapped");
      exit_with(EXIT_FAULT);
    }
    uint8_t *table = tables[tables_taken++];
    clear_quadwords(table, PAGE_SIZE);
    *entry = (uint64_t)table | PAGE_PRESENT_WRITABLE;
  }
  return (uint64_t *)(*entry & PAGE_ADDRESS);
}

void map_physical(uint64_t address, uint64_t length) {
  uint64_t step = gigabyte_pages ? GIGABYTE : LARGE_PAGE_SIZE;
  uint64_t last = address + (length ? length - 1 : 0);
  for (uint64_t at = address & ~(step - 1); at <= last; at += step) {
    uint64_t *upper = next_table(&page_table_root[at >> 39 & 511]);
    uint64_t *entry = &upper[at >> 30 & 511];
    /* Not present to present needs no invalidation: such entries are never cached. */
    if (gigabyte_pages) {
      if (!(*entry & 1)) *entry = at | PAGE_LARGE | PAGE_PRESENT_WRITABLE;
    } else {
      uint64_t *directory = next_table(entry);
      uint64_t *page = &directory[at >> 21 & 511];
      if (!(*page & 1)) *page = at | PAGE_LARGE | PAGE_PRESENT_WRITABLE;
    }
  }
}

void *take_page(void) {
  if (pages_taken == PAGE_COUNT) {
    report("note\tout of pages for queues and buffers");
    exit_with(EXIT_FAULT);
  }
  uint8_t *page = pages[pages_taken++];
  clear_quadwords(page, PAGE_SIZE);
  return page;
}

void release_pages(void) { pages_taken = 0; }
