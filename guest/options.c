#include "options.h"

#include "report.h"

#define DEFAULT_COUNT 1000
#define DEFAULT_PORT 0x80 /* the POST code port: harmless everywhere */

struct options options;

bool text_equal(const char *left, const char *right) {
  while (*left && *left == *right) left++, right++;
  return *left == *right;
}

static bool has_prefix(const char *text, const char *prefix, const char **rest) {
  while (*prefix)
    if (*text++ != *prefix++) return false;
  *rest = text;
  return true;
}

static int digit_value(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  if (character >= 'a' && character <= 'f') return character - 'a' + 10;
  if (character >= 'A' && character <= 'F') return character - 'A' + 10;
  return -1;
}

/* Decimal, or hexadecimal after 0x; `end` is set to the first character that does not belong to the number. */
static uint64_t read_number(const char *text, const char **end) {
  int base = 10;
  if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    base = 16;
    text += 2;
  }
  uint64_t value = 0;
  for (; digit_value(*text) >= 0 && digit_value(*text) < base; text++) value = value * base + digit_value(*text);
  *end = text;
  return value;
}

/* "00:1f.7" as device << 3 | function. */
static bool read_function(const char *text, const char **end) {
  for (int at = 0; at < 7; at++) {
    if (at == 2 ? text[at] != ':' : at == 5 ? text[at] != '.' : digit_value(text[at]) < 0) return false;
  }
  options.function = (uint64_t)((digit_value(text[3]) << 4 | digit_value(text[4])) << 3 | (digit_value(text[6]) & 7));
  options.has_function = true;
  *end = text + 7;
  return true;
}

static bool read_word(const char *word, const char **end) {
  static const struct {
    const char *prefix;
    uint64_t *value;
  } numbers[] = {
      {"count=", &options.count},     {"code=", &options.code},       {"port=", &options.port},
      {"width=", &options.width},     {"address=", &options.address}, {"ecam=", &options.ecam},
      {"processors=", &options.processors},
  };
  const char *rest;
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    if (has_prefix(word, numbers[i].prefix, &rest)) {
      *numbers[i].value = read_number(rest, end);
      return *end != rest;
    }
  }
  if (has_prefix(word, "mode=", &rest)) {
    size_t length = 0;
    while (rest[length] && rest[length] != ' ' && length < sizeof options.mode - 1) {
      options.mode[length] = rest[length];
      length++;
    }
    options.mode[length] = 0;
    *end = rest + length;
    return length > 0;
  }
  if (has_prefix(word, "function=", &rest)) return read_function(rest, end);
  if (has_prefix(word, "rules=strict", &rest)) {
    options.strict = true;
  } else if (has_prefix(word, "rules=specification", &rest)) {
    options.strict = false;
  } else if (has_prefix(word, "write=", &rest)) {
    options.write = read_number(rest, &rest) != 0;
  } else if (has_prefix(word, "smp=", &rest)) {
    options.smp = read_number(rest, &rest) != 0;
  } else {
    return false;
  }
  *end = rest;
  return true;
}

bool read_options(const char *line) {
  options.count = DEFAULT_COUNT;
  options.port = DEFAULT_PORT;
  options.width = 1;
  options.strict = true;
  copy_bytes(options.mode, "demo", sizeof "demo");
  for (const char *at = line; *at;) {
    if (*at == ' ') {
      at++;
      continue;
    }
    const char *end = at;
    if (!read_word(at, &end) || (*end && *end != ' ')) {
      report("note\tcannot understand the command line from here on: %s", at);
      return false;
    }
    at = end;
  }
  return true;
}
