#include "report.h"

#include <stdarg.h>

#include "pci.h"

#define DEBUG_PORT 0xe9 /* Bochs and QEMU: whatever is written appears on the host */
#define EXIT_PORT 0xf4  /* QEMU's isa-debug-exit at its usual place */
#define LINE_CAPACITY 512

uint32_t failures;
bool report_muted;

static char line[LINE_CAPACITY];
static size_t line_length;

static void put(char character) {
  if (line_length < LINE_CAPACITY - 1) line[line_length++] = character;
}

static void put_text(const char *text) {
  while (*text) {
    /* A tab or a line feed in foreign text (the command line, a disk's serial) must not break the protocol. */
    put(*text >= ' ' && *text <= '~' ? *text : '?');
    text++;
  }
}

static void put_hexadecimal(uint64_t value, int digits) {
  int shift = 60;
  while (shift > 0 && shift >= digits * 4 && !(value >> shift)) shift -= 4;
  for (; shift >= 0; shift -= 4) put("0123456789abcdef"[value >> shift & 15]);
}

static void put_decimal(uint64_t value) {
  char digits[20];
  int count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  while (count) put(digits[--count]);
}

static void put_function(const struct pci_function *function) {
  if (!function) {
    put('-');
    return;
  }
  put_hexadecimal(function->bus, 2);
  put(':');
  put_hexadecimal(function->device, 2);
  put('.');
  put_hexadecimal(function->function, 1);
}

static void flush_line(void) {
  line[line_length++] = '\n';
  const char *source = line;
  size_t count = line_length;
  __asm__ volatile("rep outsb" : "+S"(source), "+c"(count) : "d"((uint16_t)DEBUG_PORT) : "memory");
  line_length = 0;
}

void report(const char *format, ...) {
  if (report_muted) return;
  va_list arguments;
  va_start(arguments, format);
  for (const char *at = format; *at; at++) {
    if (*at != '%') {
      put(*at);
      continue;
    }
    at++;
    int digits = 1;
    if (*at >= '1' && *at <= '9') digits = *at++ - '0';
    switch (*at) {
      case 's':
        put_text(va_arg(arguments, const char *));
        break;
      case 'd':
        put_decimal(va_arg(arguments, uint64_t));
        break;
      case 'x':
        put_hexadecimal(va_arg(arguments, uint64_t), digits);
        break;
      case 'f':
        put_function(va_arg(arguments, const struct pci_function *));
        break;
    }
  }
  va_end(arguments);
  flush_line();
}

bool check(const struct pci_function *function, const char *id, const char *text, bool passed) {
  if (!passed && !report_muted) failures++;
  report("check\t%s\t%s\t%f\t%s", passed ? "PASS" : "FAIL", id, function, text);
  return passed;
}

bool check_equal(const struct pci_function *function, const char *id, const char *text, uint64_t actual,
                 uint64_t expected) {
  if (actual == expected) return check(function, id, text, true);
  if (!report_muted) failures++;
  report("check\tFAIL\t%s\t%f\t%s\tread 0x%x, expected 0x%x", id, function, text, actual, expected);
  return false;
}

void skip(const struct pci_function *function, const char *id, const char *text, const char *reason) {
  report("check\tSKIP\t%s\t%f\t%s\t%s", id, function, text, reason);
}

_Noreturn void finish(void) {
  report_muted = false;
  report("end\t%d", (uint64_t)failures);
  exit_with(failures ? EXIT_CHECK_FAILED : EXIT_PASSED);
}

_Noreturn void exit_with(uint8_t code) {
  out8(EXIT_PORT, code);
  for (;;) {
    disable_interrupts();
    __asm__ volatile("hlt");
  }
}
