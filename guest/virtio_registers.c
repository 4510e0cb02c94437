/* The common configuration before any queue runs. */
#include "memory.h"
#include "options.h"
#include "report.h"
#include "virtio_checks.h"

#define STATUS_SET_UP (STATUS_ACKNOWLEDGE | STATUS_DRIVER)
#define PATTERN_LOW 0x12345000u
#define PATTERN_HIGH 0x6u
#define LAST_RING_SIZE 32768

static void check_power_on(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  check(function, "RST-1", "writing 0 to the status resets", virtio_reset(device));
  check_equal(function, "RST-1", "after reset: no configuration vector", common_read16(device, COMMON_CONFIG_VECTOR),
              NO_VECTOR);
  if (options.strict)
    check_equal(function, "RST-1", "after reset: no driver features", virtio_driver_features(device), 0);
  uint16_t count = common_read16(device, COMMON_QUEUE_COUNT);
  bool idle = true;
  for (uint16_t i = 0; i < count && i < QUEUE_LIMIT; i++) {
    common_write16(device, COMMON_QUEUE_SELECT, i);
    idle &= common_read16(device, COMMON_QUEUE_ENABLE) == 0 && common_read16(device, COMMON_QUEUE_VECTOR) == NO_VECTOR;
  }
  if (count) check(function, "RST-1", "after reset: no queue is enabled or has a vector", idle);
  read8(device->isr.address);
  check_equal(function, "ISR-1", "the ISR reads 0 after it was read", read8(device->isr.address), 0);
}

static void check_widths(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  bool zero = common_read8(device, COMMON_DEVICE_FEATURE) == 0 && common_read16(device, COMMON_DEVICE_FEATURE) == 0 &&
              common_read32(device, COMMON_STATUS) == 0 && common_read8(device, COMMON_QUEUE_COUNT) == 0 &&
              common_read16(device, COMMON_QUEUE_COUNT + 1) == 0;
  check(function, "COM-1", "accesses of another width than the field's read 0", zero);
  common_write32(device, COMMON_STATUS, STATUS_ACKNOWLEDGE);
  common_write16(device, COMMON_STATUS, STATUS_ACKNOWLEDGE);
  check_equal(function, "COM-1", "and write nothing", virtio_status(device), 0);
}

static void check_status(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  if (options.strict) {
    virtio_set_status(device, STATUS_RUNNING);
    check_equal(function, "COM-5", "the status cannot skip steps", virtio_status(device), 0);
  }
  virtio_set_status(device, STATUS_ACKNOWLEDGE);
  check_equal(function, "COM-5", "ACKNOWLEDGE sticks", virtio_status(device), STATUS_ACKNOWLEDGE);
  if (options.strict) {
    virtio_write_driver_features(device, FEATURE_VERSION_1);
    check_equal(function, "COM-3", "driver features before DRIVER are ignored", virtio_driver_features(device), 0);
  }
  virtio_set_status(device, STATUS_SET_UP);
  check_equal(function, "COM-5", "DRIVER sticks", virtio_status(device), STATUS_SET_UP);
  if (!options.strict) return;
  virtio_set_status(device, STATUS_ACKNOWLEDGE);
  check_equal(function, "COM-5", "no bit is cleared but by writing 0", virtio_status(device), STATUS_SET_UP);
}

/* With the status at DRIVER. */
static void check_features(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  uint64_t offered = virtio_offered_features(device);
  check(function, "COM-2", "VERSION_1 is offered", offered & FEATURE_VERSION_1);
  common_write32(device, COMMON_DEVICE_FEATURE_SELECT, 2);
  check_equal(function, "COM-2", "device_feature with select 2 reads 0", common_read32(device, COMMON_DEVICE_FEATURE),
              0);
  virtio_write_driver_features(device, FEATURE_VERSION_1);
  check_equal(function, "COM-2", "driver_feature reads back", virtio_driver_features(device), FEATURE_VERSION_1);
  common_write32(device, COMMON_DRIVER_FEATURE_SELECT, 2);
  common_write32(device, COMMON_DRIVER_FEATURE, 0xffffffff);
  check_equal(function, "COM-2", "driver_feature with select 2 reads 0 and changes nothing",
              common_read32(device, COMMON_DRIVER_FEATURE) | (virtio_driver_features(device) ^ FEATURE_VERSION_1), 0);

  if (!options.strict) return;
  uint64_t stranger = ~offered & -~offered; /* the lowest bit that is not offered */
  virtio_write_driver_features(device, FEATURE_VERSION_1 | stranger);
  uint64_t accepted = virtio_driver_features(device);
  virtio_set_status(device, STATUS_SET_UP | STATUS_FEATURES_OK);
  bool refused = !(virtio_status(device) & STATUS_FEATURES_OK);
  check(function, "COM-3", "a feature that was not offered is not accepted", refused || !(accepted & stranger));
}

static void check_features_ok(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  if (options.strict) {
    virtio_reset(device);
    virtio_set_status(device, STATUS_ACKNOWLEDGE);
    virtio_set_status(device, STATUS_SET_UP);
    virtio_write_driver_features(device, 0);
    virtio_set_status(device, STATUS_SET_UP | STATUS_FEATURES_OK);
    check_equal(function, "COM-4", "FEATURES_OK does not stick without VERSION_1", virtio_status(device),
                STATUS_SET_UP);
    common_write16(device, COMMON_QUEUE_SELECT, 0);
    uint16_t size = common_read16(device, COMMON_QUEUE_SIZE);
    common_write16(device, COMMON_QUEUE_SIZE, size / 2);
    check_equal(function, "COM-6", "queue_size cannot be written before FEATURES_OK",
                common_read16(device, COMMON_QUEUE_SIZE), size);
  }
  check(function, "COM-4", "FEATURES_OK sticks for a valid choice",
        virtio_negotiate(device, FEATURE_INDIRECT | FEATURE_EVENT_INDEX));
  if (!options.strict) return;
  virtio_write_driver_features(device, FEATURE_VERSION_1);
  check_equal(function, "COM-3", "driver features after FEATURES_OK are ignored", virtio_driver_features(device),
              device->accepted);
}

static bool address_reads_back(struct virtio_device *device, uint32_t offset) {
  common_write32(device, offset, PATTERN_LOW);
  common_write32(device, offset + 4, PATTERN_HIGH);
  bool halves = common_read32(device, offset) == PATTERN_LOW && common_read32(device, offset + 4) == PATTERN_HIGH;
  common_write32(device, offset, 0);
  common_write32(device, offset + 4, 0);
  return halves;
}

/* With the status at FEATURES_OK. */
static void check_queue_size(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  uint16_t size = common_read16(device, COMMON_QUEUE_SIZE);
  check(function, "COM-6", "queue_size is a power of two up to 32768",
        size && !(size & (size - 1)) && size <= LAST_RING_SIZE);
  if (size > 1) {
    common_write16(device, COMMON_QUEUE_SIZE, size / 2);
    check_equal(function, "COM-6", "a smaller queue_size is accepted", common_read16(device, COMMON_QUEUE_SIZE),
                size / 2);
    common_write16(device, COMMON_QUEUE_SIZE, size);
  }
  if (!options.strict) return;
  common_write16(device, COMMON_QUEUE_SIZE, 0);
  check_equal(function, "COM-6", "a queue_size of 0 is ignored", common_read16(device, COMMON_QUEUE_SIZE), size);
  common_write16(device, COMMON_QUEUE_SIZE, 3);
  check_equal(function, "COM-6", "a queue_size that is no power of two is ignored",
              common_read16(device, COMMON_QUEUE_SIZE), size);
  if (size == LAST_RING_SIZE) return;
  common_write16(device, COMMON_QUEUE_SIZE, (uint16_t)(size * 2));
  check_equal(function, "COM-6", "a queue_size above the maximum is ignored", common_read16(device, COMMON_QUEUE_SIZE),
              size);
}

static void check_queue_registers(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  common_write16(device, COMMON_QUEUE_SELECT, 0);
  if (!common_read16(device, COMMON_QUEUE_SIZE)) return;
  check_queue_size(device);
  check(function, "COM-6", "queue addresses read back in both halves",
        address_reads_back(device, COMMON_QUEUE_DESCRIPTORS) && address_reads_back(device, COMMON_QUEUE_AVAILABLE) &&
            address_reads_back(device, COMMON_QUEUE_USED));
  if (options.strict) {
    uint64_t address = device->common.address + COMMON_QUEUE_DESCRIPTORS;
    write64(address, (uint64_t)PATTERN_HIGH << 32 | PATTERN_LOW);
    check_equal(function, "COM-1", "an 8-byte write of a queue address is taken as two halves",
                common_read32(device, COMMON_QUEUE_DESCRIPTORS) |
                    (uint64_t)common_read32(device, COMMON_QUEUE_DESCRIPTORS + 4) << 32,
                (uint64_t)PATTERN_HIGH << 32 | PATTERN_LOW);
    check_equal(function, "COM-1", "and can be read so", read64(address), (uint64_t)PATTERN_HIGH << 32 | PATTERN_LOW);
    common_write16(device, COMMON_QUEUE_ENABLE, 0);
    common_write16(device, COMMON_QUEUE_ENABLE, 2);
    check_equal(function, "COM-6", "queue_enable takes only 1", common_read16(device, COMMON_QUEUE_ENABLE), 0);
  }
  uint16_t count = device->queue_count;
  bool offsets = true;
  for (uint16_t i = 0; i < count && i < QUEUE_LIMIT; i++) {
    common_write16(device, COMMON_QUEUE_SELECT, i);
    uint16_t offset = common_read16(device, COMMON_QUEUE_NOTIFY_OFFSET);
    offsets &= (uint64_t)offset * device->notify_multiplier + 2 <= device->notify.length;
    if (options.strict) offsets &= offset == i;
  }
  check(function, "CAP-4", "every queue's doorbell lies inside the notification structure", offsets);
  check(function, "COM-6", "a queue can be enabled", queue_enable(device, 0));
  if (!options.strict) return;
  uint16_t size = common_read16(device, COMMON_QUEUE_SIZE);
  uint32_t low = common_read32(device, COMMON_QUEUE_DESCRIPTORS);
  common_write16(device, COMMON_QUEUE_SIZE, size / 2);
  common_write32(device, COMMON_QUEUE_DESCRIPTORS, PATTERN_LOW);
  common_write16(device, COMMON_QUEUE_ENABLE, 0);
  check(function, "COM-6", "size, addresses and enable of an enabled queue cannot be changed",
        common_read16(device, COMMON_QUEUE_SIZE) == size && common_read32(device, COMMON_QUEUE_DESCRIPTORS) == low &&
            common_read16(device, COMMON_QUEUE_ENABLE) == 1);
}

static void check_select(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  bool empty = true;
  const uint16_t beyond[] = {device->queue_count, 0xffff};
  for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
    common_write16(device, COMMON_QUEUE_SELECT, beyond[i]);
    if (options.strict) {
      common_write16(device, COMMON_QUEUE_SIZE, 1);
      common_write16(device, COMMON_QUEUE_VECTOR, 0);
      common_write16(device, COMMON_QUEUE_ENABLE, 1);
    }
    empty &= common_read16(device, COMMON_QUEUE_SIZE) == 0;
    if (options.strict)
      empty &=
          common_read16(device, COMMON_QUEUE_VECTOR) == NO_VECTOR && common_read16(device, COMMON_QUEUE_ENABLE) == 0;
  }
  check(function, "COM-7", "a queue beyond the last has size 0 and no vector", empty);
  common_write16(device, COMMON_QUEUE_SELECT, 0);
}

static void check_vectors(struct virtio_device *device) {
  const struct pci_function *function = device->function;
  if (!device->msix) return;
  common_write16(device, COMMON_CONFIG_VECTOR, 0);
  bool valid = common_read16(device, COMMON_CONFIG_VECTOR) == 0;
  common_write16(device, COMMON_CONFIG_VECTOR, (uint16_t)device->vectors);
  check(function, "COM-8", "config_msix_vector takes a vector and answers NO_VECTOR to one beyond the table",
        valid && common_read16(device, COMMON_CONFIG_VECTOR) == NO_VECTOR);
  if (!device->queue_count) return;
  common_write16(device, COMMON_QUEUE_SELECT, 0);
  common_write16(device, COMMON_QUEUE_VECTOR, (uint16_t)(device->vectors - 1));
  valid = common_read16(device, COMMON_QUEUE_VECTOR) == device->vectors - 1;
  common_write16(device, COMMON_QUEUE_VECTOR, (uint16_t)device->vectors);
  check(function, "COM-8", "queue_msix_vector takes a vector and answers NO_VECTOR to one beyond the table",
        valid && common_read16(device, COMMON_QUEUE_VECTOR) == NO_VECTOR);
}

static void check_generation(struct virtio_device *device) {
  uint8_t before = common_read8(device, COMMON_GENERATION);
  bool agree = true;
  if (device->configuration.present && device->configuration.length >= 4) {
    uint64_t address = device->configuration.address;
    uint32_t whole = read32(address);
    agree = read16(address) == (uint16_t)whole && read16(address + 2) == whole >> 16 &&
            read8(address) == (uint8_t)whole && read8(address + 3) == whole >> 24;
    check(device->function, "COM-11", "device configuration reads the same in 1, 2 and 4 bytes", agree);
  }
  check_equal(device->function, "COM-9", "config_generation stands still while nothing changes",
              common_read8(device, COMMON_GENERATION), before);
}

void check_registers(struct virtio_device *device) {
  check_power_on(device);
  if (options.strict) check_widths(device);
  check_status(device);
  check_features(device);
  check_features_ok(device);
  check_select(device);
  check_vectors(device);
  check_generation(device);
  check_queue_registers(device);
  if (device->common.length >= COMMON_LENGTH_EXTENDED && device->queue_count)
    check_equal(device->function, "COM-10", "queue_reset reads 0 while no reset is under way",
                common_read16(device, COMMON_QUEUE_RESET), 0);
  if (options.strict) {
    virtio_set_status(device, virtio_status(device) | STATUS_FAILED);
    check(device->function, "COM-5", "FAILED may be set at any time", virtio_status(device) & STATUS_FAILED);
  }
  check(device->function, "RST-1", "a reset undoes it all", virtio_reset(device));
}
