/* What the command line asks for. */
#pragma once

#include "machine.h"

struct options {
  char mode[24];
  uint64_t count;
  uint64_t code;
  uint64_t port;
  uint64_t width;
  uint64_t address;
  uint64_t ecam;     /* base of ECAM where ACPI does not tell */
  uint64_t processors; /* how many there are where ACPI does not tell */
  uint64_t function; /* device << 3 | function that alone is examined */
  bool has_function;
  bool write;  /* disks may be written */
  bool strict; /* also check what this project promises beyond the specifications */
  bool smp;    /* start the other processors as well */
};

extern struct options options;

/* Reads the command line; false (and a note) when a word of it is not understood. */
bool read_options(const char *line);

bool text_equal(const char *left, const char *right);
