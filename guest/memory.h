/* Page tables that grow on demand, and pages for queues and buffers. */
#pragma once

#include "machine.h"

#define PAGE_SIZE 4096

/* Makes a range of physical addresses usable at the same virtual addresses. */
void map_physical(uint64_t address, uint64_t length);

/* A cleared page that belongs to the device under examination. Never null: it is a fault to run out of them. */
void *take_page(void);

/* Gives back all pages that take_page has handed out. */
void release_pages(void);
