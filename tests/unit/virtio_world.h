/*
 * A virtio device of no kind, with a transport that only counts, for tests of the device core and
 * of the transports: three queues in ordinary memory, 20 bytes of configuration, and a class whose
 * stop() either is done at once or waits for stop_queues().
 */
#ifndef BANTAM_TESTS_UNIT_VIRTIO_WORLD_H
#define BANTAM_TESTS_UNIT_VIRTIO_WORLD_H

#include "devices/virtio/device.h"
#include "tests/unit/driver.h"

enum { WORLD_QUEUES = 3, WORLD_QUEUE_SIZE = 256, WORLD_CONFIG_BYTES = 20 };

#define WORLD_FEATURES                                                                             \
	(VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX | (u64)1 << 5 | (u64)1 << 40)

enum { WORLD_STARTED = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK };

struct virtio_world {
	struct virtio_device device; /* first: the class finds the world by it */
	struct arena arena;
	struct driver_queue driver[WORLD_QUEUES];
	u8 config[WORLD_CONFIG_BYTES];

	/* The class. */
	bool stops_at_once;
	unsigned starts, stops, class_resets;
	unsigned config_writes; /* and the last of them: */
	u64 config_offset, config_value;
	unsigned config_width;

	/* The transport. */
	int doorbells; /* laid, and not taken away */
	unsigned lays, config_interrupts, transport_resets, interrupts;
	unsigned interrupted; /* the queue of the last one */
};

/* A device at power-on, with the counting transport; as cmocka's set-up and tear-down. */
int world_set_up(void **state);
int world_tear_down(void **state);

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)

/* The same without the transport: that is the test's. */
void world_init(struct virtio_world *world);
void world_destroy(struct virtio_world *world);

/* What transports do, under the lock. */
void set_status(struct virtio_world *world, unsigned value);
u8 status(struct virtio_world *world);
void choose_features(struct virtio_world *world, u64 features);
void select_queue(struct virtio_world *world, u16 queue);
bool wait_reset(struct virtio_world *world, unsigned timeout_ms);

/* Lays a queue out in memory (queue i has 8 << i descriptors) and enables it. */
void place_queue(struct virtio_world *world, unsigned queue);

/* Negotiates and sets DRIVER_OK, with the queues that are enabled; and with all of them. */
void begin_world(struct virtio_world *world, u64 features);
void start_world(struct virtio_world *world, u64 features);

/* Each queue that is started says that it has stopped. */
void stop_queues(struct virtio_world *world);

/* Every register is as it was before a driver came. */
void expect_power_on(struct virtio_world *world);

/* Whether somebody has rung an eventfd; it is silent afterwards. */
bool bell_rang(int fd);

#endif
