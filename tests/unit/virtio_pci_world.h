/*
 * A virtio device of no kind (virtio_world.h) behind virtio-pci, in slot 1 of a PCI host, with wires
 * that only remember. The function's BARs are where the host placed them, and decoded.
 */
#ifndef BANTAM_TESTS_UNIT_VIRTIO_PCI_WORLD_H
#define BANTAM_TESTS_UNIT_VIRTIO_PCI_WORLD_H

#include "devices/virtio/pci.h"
#include "tests/unit/fake_wiring.h"
#include "tests/unit/pci_world.h"
#include "tests/unit/virtio_world.h"

enum { VP_SLOT = 1, VP_FIRST_GSI = 24, VP_VECTORS = WORLD_QUEUES + 1 };

struct virtio_pci_world {
	struct virtio_world virtio; /* first: the class finds it by the device */
	struct pci_world pci;
	struct fake_wiring fake;
	struct virtio_pci transport;
	u64 memory, io; /* where the BARs are */
};

int vp_set_up(void **state);
int vp_tear_down(void **state);

#define VP_TEST(test) cmocka_unit_test_setup_teardown(test, vp_set_up, vp_tear_down)

/* Registers of BAR 0. */
u64 vp_read(struct virtio_pci_world *world, u64 offset, unsigned width);
void vp_write(struct virtio_pci_world *world, u64 offset, unsigned width, u64 value);

/* Common configuration, virtio 1.2, 4.1.4.3. */
enum {
	VP_DEVICE_FEATURE_SELECT = 0x00,
	VP_DEVICE_FEATURE = 0x04,
	VP_DRIVER_FEATURE_SELECT = 0x08,
	VP_DRIVER_FEATURE = 0x0c,
	VP_CONFIG_VECTOR = 0x10,
	VP_NUM_QUEUES = 0x12,
	VP_STATUS = 0x14,
	VP_GENERATION = 0x15,
	VP_QUEUE_SELECT = 0x16,
	VP_QUEUE_SIZE = 0x18,
	VP_QUEUE_VECTOR = 0x1a,
	VP_QUEUE_ENABLE = 0x1c,
	VP_QUEUE_NOTIFY_OFFSET = 0x1e,
	VP_QUEUE_DESC = 0x20,
	VP_QUEUE_DRIVER = 0x28,
	VP_QUEUE_DEVICE = 0x30,
	VP_COMMON_BYTES = 0x38,
};

/* A driver's whole start through the registers, with all queues. */
void vp_start(struct virtio_pci_world *world, u64 features);

#endif
