/*
 * devices/virtio/mmio.c: its registers against a table made from virtio 1.2, 4.2.2, at every offset
 * and width, its doorbells and its interrupt.
 */
#include "tests/unit/test.h"

#include "devices/virtio/mmio.h"
#include "tests/unit/fake_wiring.h"
#include "tests/unit/virtio_world.h"

#define BASE ((u64)0xd0000000)

enum { GSI = 7, CONFIG = 0x100 };

/* 4.2.2. */
enum {
	MAGIC = 0x000,
	VERSION = 0x004,
	DEVICE_ID = 0x008,
	VENDOR_ID = 0x00c,
	DEVICE_FEATURES = 0x010,
	DEVICE_FEATURES_SELECT = 0x014,
	DRIVER_FEATURES = 0x020,
	DRIVER_FEATURES_SELECT = 0x024,
	QUEUE_SELECT = 0x030,
	QUEUE_SIZE_MAX = 0x034,
	QUEUE_SIZE = 0x038,
	QUEUE_READY = 0x044,
	QUEUE_NOTIFY = 0x050,
	INTERRUPT_STATUS = 0x060,
	INTERRUPT_ACK = 0x064,
	STATUS = 0x070,
	QUEUE_DESC = 0x080,
	QUEUE_DRIVER = 0x090,
	QUEUE_DEVICE = 0x0a0,
	SHM_SELECT = 0x0ac,
	SHM_LENGTH = 0x0b0,
	SHM_BASE = 0x0b8,
	GENERATION = 0x0fc,
};

struct world {
	struct virtio_world virtio; /* first: the class finds it by the device */
	struct virtio_mmio mmio;
	struct fake_wiring fake;
	struct bus bus;
};

static int set_up(void **state)
{
	static struct world world;
	struct error err;

	world.bus = (struct bus){.ranges = 0};
	world_init(&world.virtio);
	fake_wiring_init(&world.fake, 0);
	if (virtio_mmio_init(&world.mmio, &world.virtio.device, &world.bus, &world.fake.wiring,
			     BASE, GSI, &err))
		fail_msg("%s", err.text);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	virtio_mmio_destroy(&world->mmio);
	world_destroy(&world->virtio);
	return 0;
}

static u32 get(struct world *world, u64 offset)
{
	return (u32)bus_read(&world->bus, BASE + offset, 4);
}

static void set(struct world *world, u64 offset, u32 value)
{
	bus_write(&world->bus, BASE + offset, 4, value);
}

static void set_wide(struct world *world, u64 offset, u64 value)
{
	set(world, offset, (u32)value);
	set(world, offset + 4, (u32)(value >> 32));
}

static void negotiate(struct world *world, u64 features)
{
	set(world, STATUS, VIRTIO_ACKNOWLEDGE);
	set(world, STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	for (u32 half = 0; half < 2; half++) {
		set(world, DRIVER_FEATURES_SELECT, half);
		set(world, DRIVER_FEATURES, (u32)(features >> (32 * half)));
	}
	set(world, STATUS, WORLD_STARTED & ~VIRTIO_DRIVER_OK);
	assert_int_equal(get(world, STATUS), WORLD_STARTED & ~VIRTIO_DRIVER_OK);
}

static void start(struct world *world, u64 features)
{
	negotiate(world, features);
	for (u16 i = 0; i < WORLD_QUEUES; i++) {
		struct driver_queue *driver = &world->virtio.driver[i];

		driver_make(driver, &world->virtio.arena.memory, 0x1000 + 0x8000 * (u64)i,
			    (u16)(8 << i));
		set(world, QUEUE_SELECT, i);
		assert_int_equal(get(world, QUEUE_READY), 0);
		set(world, QUEUE_SIZE, driver->size);
		set_wide(world, QUEUE_DESC, driver->descriptors);
		set_wide(world, QUEUE_DRIVER, driver->available);
		set_wide(world, QUEUE_DEVICE, driver->used);
		set(world, QUEUE_READY, 1);
		assert_int_equal(get(world, QUEUE_READY), 1);
	}
	set(world, STATUS, WORLD_STARTED);
	assert_int_equal(get(world, STATUS), WORLD_STARTED);
}

static void test_what_it_is(void **state)
{
	struct world *world = *state;

	assert_int_equal(get(world, MAGIC), 0x74726976);
	assert_int_equal(get(world, VERSION), 2);
	assert_int_equal(get(world, DEVICE_ID), 42);
	assert_int_equal(get(world, STATUS), 0);
	assert_int_equal(get(world, INTERRUPT_STATUS), 0);
	assert_int_equal(get(world, QUEUE_READY), 0);
	assert_int_equal(get(world, QUEUE_SIZE_MAX), WORLD_QUEUE_SIZE);
	/* No shared memory: each region has the length -1. */
	for (u32 i = 0; i < 3; i++) {
		set(world, SHM_SELECT, i);
		assert_int_equal(get(world, SHM_LENGTH), 0xffffffff);
		assert_int_equal(get(world, SHM_LENGTH + 4), 0xffffffff);
	}
}

static void test_features(void **state)
{
	struct world *world = *state;

	for (u32 i = 0; i < 4; i++) {
		set(world, DEVICE_FEATURES_SELECT, i);
		assert_int_equal(get(world, DEVICE_FEATURES),
				 i < 2 ? (u32)(WORLD_FEATURES >> (32 * i)) : 0);
	}
	negotiate(world, VIRTIO_VERSION_1 | 1 << 5);
	assert_true(world->virtio.device.regs.driver_features == (VIRTIO_VERSION_1 | 1 << 5));
}

static bool is_queue_register(unsigned offset)
{
	return offset == QUEUE_SIZE || offset == QUEUE_READY || offset == QUEUE_DESC ||
	       offset == QUEUE_DESC + 4 || offset == QUEUE_DRIVER || offset == QUEUE_DRIVER + 4 ||
	       offset == QUEUE_DEVICE || offset == QUEUE_DEVICE + 4;
}

/* Which registers a 32-bit write changes: those that 4.2.2 has as W or RW. */
static bool is_written(unsigned offset)
{
	return is_queue_register(offset) || offset == DEVICE_FEATURES_SELECT ||
	       offset == DRIVER_FEATURES_SELECT || offset == DRIVER_FEATURES ||
	       offset == QUEUE_SELECT || offset == STATUS;
}

/* Every access that isn't 32 bits wide and aligned: it reads all-ones, and changes nothing. */
static void test_other_widths(void **state)
{
	struct world *world = *state;

	for (unsigned offset = 0; offset < CONFIG; offset++) {
		for (unsigned width = 1; width <= 8; width *= 2) {
			const struct virtio_regs before = world->virtio.device.regs;

			if (width == 4 && offset % 4 == 0)
				continue;
			if (offset + width <= CONFIG)
				assert_true(bus_read(&world->bus, BASE + offset, width) ==
					    ~(u64)0 >> (64 - 8 * width));
			for (unsigned ones = 0; ones < 2; ones++) {
				bus_write(&world->bus, BASE + offset, width, ones ? ~(u64)0 : 0);
				bus_write(&world->bus, BASE + offset, width, ones);
				assert_memory_equal(&before, &world->virtio.device.regs,
						    sizeof(before));
			}
		}
	}
	assert_int_equal(world->virtio.config_writes, 0);
	for (unsigned i = 0; i < WORLD_QUEUES; i++)
		assert_false(bell_rang(world->virtio.device.queue[i].notify_fd));
}

/* Garbage into every register that isn't to be written, and into what lies between. */
static void test_garbage(void **state)
{
	struct world *world = *state;
	u32 random = 5;

	for (unsigned offset = 0; offset < CONFIG; offset += 4) {
		const struct virtio_regs before = world->virtio.device.regs;

		if (is_written(offset))
			continue;
		for (unsigned i = 0; i < 10; i++) {
			/* Not a number of a queue: that would be a notification. */
			set(world, offset, next_random(&random) | 0x100);
			assert_memory_equal(&before, &world->virtio.device.regs, sizeof(before));
		}
	}
	for (unsigned i = 0; i < WORLD_QUEUES; i++)
		assert_false(bell_rang(world->virtio.device.queue[i].notify_fd));
}

/* Each register changes its own field and no other, in the selected queue and in no other. */
static void test_queue_registers(void **state)
{
	struct world *world = *state;
	struct virtq_regs expected[WORLD_QUEUES];

	memcpy(expected, world->virtio.device.regs.queue, sizeof(expected));
	for (u32 i = 0; i < WORLD_QUEUES; i++) {
		static const unsigned places[] = {QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE};
		u64 *fields[] = {&expected[i].descriptors, &expected[i].available,
				 &expected[i].used};

		set(world, QUEUE_SELECT, i);
		set(world, QUEUE_SIZE, 4U << i);
		expected[i].size = (u16)(4 << i);
		for (unsigned j = 0; j < ARRAY_LEN(places); j++) {
			set(world, places[j], 0x89abcdef + i);
			*fields[j] = 0x89abcdef + i;
			assert_memory_equal(world->virtio.device.regs.queue, expected,
					    sizeof(expected));
			set(world, places[j] + 4, 0x01234567 + j);
			*fields[j] |= (u64)(0x01234567 + j) << 32;
			assert_memory_equal(world->virtio.device.regs.queue, expected,
					    sizeof(expected));
		}
		/* Sizes that are none. */
		for (u32 size = 0; size < 1024; size++) {
			if (size == 0 || size > WORLD_QUEUE_SIZE || (size & (size - 1)))
				set(world, QUEUE_SIZE, size);
		}
		set(world, QUEUE_SIZE, 0x10002);
		assert_memory_equal(world->virtio.device.regs.queue, expected, sizeof(expected));
	}
}

static void test_queues_that_are_none(void **state)
{
	static const u32 none[] = {WORLD_QUEUES, 16,         0xffff,    0x10000,
				   0x10001,      0x80000000, 0xffffffff};
	struct world *world = *state;
	const struct virtio_regs before = world->virtio.device.regs;

	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		set(world, QUEUE_SELECT, none[i]);
		assert_int_equal(get(world, QUEUE_SIZE_MAX), 0);
		assert_int_equal(get(world, QUEUE_READY), 0);
		for (unsigned offset = 0; offset < CONFIG; offset += 4) {
			if (is_queue_register(offset))
				set(world, offset, 1);
		}
		assert_memory_equal(before.queue, world->virtio.device.regs.queue,
				    sizeof(before.queue));
		set(world, QUEUE_NOTIFY, none[i]);
	}
	for (unsigned i = 0; i < WORLD_QUEUES; i++)
		assert_false(bell_rang(world->virtio.device.queue[i].notify_fd));
}

/* 4.2.2.2: a ready queue's registers are locked; before the start it may be let go of again. */
static void test_ready(void **state)
{
	struct world *world = *state;

	set(world, QUEUE_READY, 1);
	set(world, QUEUE_SIZE, 2);
	set(world, QUEUE_DESC, 0x1000);
	assert_int_equal(world->virtio.device.regs.queue[0].size, WORLD_QUEUE_SIZE);
	assert_true(world->virtio.device.regs.queue[0].descriptors == 0);
	set(world, QUEUE_READY, 0);
	assert_int_equal(get(world, QUEUE_READY), 0);
	set(world, QUEUE_SIZE, 2);
	assert_int_equal(world->virtio.device.regs.queue[0].size, 2);
}

/* 4.2.2: zero resets; no other value does, whatever its lowest byte is. */
static void test_only_zero_resets(void **state)
{
	struct world *world = *state;

	world->virtio.stops_at_once = true;
	start(world, WORLD_FEATURES);
	set(world, STATUS, 0x100);
	set(world, STATUS, 0xffffff00);
	assert_int_equal(get(world, STATUS), WORLD_STARTED);
	assert_int_equal(world->virtio.stops, 0);
	set(world, STATUS, 0);
	expect_power_on(&world->virtio);
}

static void test_life(void **state)
{
	struct world *world = *state;

	world->virtio.stops_at_once = true;
	for (unsigned i = 1; i <= 3; i++) {
		start(world, i % 2 ? WORLD_FEATURES : VIRTIO_VERSION_1);
		assert_int_equal(world->virtio.starts, i);
		set(world, STATUS, 0);
		assert_int_equal(get(world, STATUS), 0);
		assert_int_equal(world->virtio.stops, i);
		expect_power_on(&world->virtio);
	}
}

/*
 * Requests that take their time: the status doesn't read 0, and what the driver does regardless
 * comes to nothing.
 */
static void test_a_reset_that_takes_its_time(void **state)
{
	struct world *world = *state;

	start(world, WORLD_FEATURES);
	set(world, STATUS, 0);
	assert_int_equal(get(world, STATUS), WORLD_STARTED);
	set(world, QUEUE_SELECT, 0);
	set(world, QUEUE_READY, 0);
	assert_int_equal(get(world, QUEUE_READY), 1);
	set(world, STATUS, VIRTIO_ACKNOWLEDGE);
	assert_int_equal(get(world, STATUS), WORLD_STARTED);
	assert_int_equal(world->virtio.stops, 1);
	stop_queues(&world->virtio);
	assert_int_equal(get(world, STATUS), 0);
	start(world, WORLD_FEATURES);
	assert_int_equal(world->virtio.starts, 2);
}

static void test_the_device_configuration(void **state)
{
	struct world *world = *state;
	unsigned writes = 0;

	for (unsigned offset = 0; offset < 0x100; offset++) {
		for (unsigned width = 1; width <= 8 && offset + width <= 0x100; width *= 2) {
			u8 expected[8];
			u64 value = 0;

			for (unsigned i = 0; i < 8; i++)
				expected[i] = offset + i < WORLD_CONFIG_BYTES
						      ? world->virtio.config[offset + i]
						      : 0xff;
			memcpy(&value, expected, width);
			assert_true(bus_read(&world->bus, BASE + CONFIG + offset, width) == value);
			bus_write(&world->bus, BASE + CONFIG + offset, width, 0x55);
			writes += offset + width <= WORLD_CONFIG_BYTES;
			assert_int_equal(world->virtio.config_writes, writes);
		}
	}
	assert_int_equal(get(world, GENERATION), 0);
	virtio_config_changed(&world->virtio.device);
	assert_int_equal(get(world, GENERATION), 1);
}

/* One register for all queues, told apart by the value. */
static void test_doorbells(void **state)
{
	struct world *world = *state;

	assert_int_equal(world->fake.bells, 0);
	world->virtio.stops_at_once = true;
	for (unsigned round = 0; round < 3; round++) {
		start(world, WORLD_FEATURES);
		for (unsigned i = 0; i < WORLD_QUEUES; i++)
			(void)bell_rang(world->virtio.device.queue[i].notify_fd);
		for (u32 i = 0; i < WORLD_QUEUES; i++) {
			assert_true(fake_ring(&world->fake, false, BASE + QUEUE_NOTIFY, 4, i));
			for (u32 j = 0; j < WORLD_QUEUES; j++)
				assert_int_equal(bell_rang(world->virtio.device.queue[j].notify_fd),
						 i == j);
			/* And by the bus, where it wasn't wired. */
			set(world, QUEUE_NOTIFY, i);
			assert_true(bell_rang(world->virtio.device.queue[i].notify_fd));
		}
		assert_false(fake_ring(&world->fake, false, BASE + QUEUE_NOTIFY, 4, WORLD_QUEUES));
		set(world, STATUS, 0);
		assert_int_equal(world->fake.bells, 0);
	}
}

/* A device that breaks at its start has laid none, and takes none away. */
static void test_doorbells_of_a_device_that_breaks(void **state)
{
	struct world *world = *state;

	negotiate(world, WORLD_FEATURES);
	set_wide(world, QUEUE_DESC, 5 * GIB);
	set(world, QUEUE_READY, 1);
	set(world, STATUS, WORLD_STARTED);
	assert_int_equal(get(world, STATUS), WORLD_STARTED | VIRTIO_NEEDS_RESET);
	assert_int_equal(world->fake.bells, 0);
	set(world, STATUS, 0);
	assert_int_equal(get(world, STATUS), 0);
	start(world, WORLD_FEATURES);
	assert_int_equal(world->fake.bells, WORLD_QUEUES);
}

static unsigned delivered(struct world *world)
{
	fake_deliver(&world->fake);
	return world->fake.interrupt[GSI].delivered;
}

static void test_interrupts(void **state)
{
	struct world *world = *state;

	start(world, VIRTIO_VERSION_1);
	assert_true(world->fake.interrupt[GSI].joined);
	virtq_push(&world->virtio.device.queue[1], 0, 0);
	virtio_signal(&world->virtio.device, 1, NULL);
	assert_int_equal(delivered(world), 1);
	assert_int_equal(get(world, INTERRUPT_STATUS), VIRTIO_ISR_QUEUE);
	/* Reading leaves it, and so does an acknowledgement of something else. */
	set(world, INTERRUPT_ACK, VIRTIO_ISR_CONFIG);
	assert_int_equal(get(world, INTERRUPT_STATUS), VIRTIO_ISR_QUEUE);
	virtio_config_changed(&world->virtio.device);
	assert_int_equal(delivered(world), 2);
	assert_int_equal(get(world, INTERRUPT_STATUS), VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	set(world, INTERRUPT_ACK, VIRTIO_ISR_QUEUE);
	assert_int_equal(get(world, INTERRUPT_STATUS), VIRTIO_ISR_CONFIG);
	set(world, INTERRUPT_ACK, 0xffffffff);
	assert_int_equal(get(world, INTERRUPT_STATUS), 0);
	/* Each is an edge: the next comes while the last isn't acknowledged. */
	for (unsigned i = 0; i < 3; i++) {
		virtq_push(&world->virtio.device.queue[i], 0, 0);
		virtio_signal(&world->virtio.device, i, NULL);
		assert_int_equal(delivered(world), 3 + i);
	}
	set(world, INTERRUPT_STATUS, 0);
	assert_int_equal(get(world, INTERRUPT_STATUS), VIRTIO_ISR_QUEUE);
	/* The status doesn't outlive a reset; the wire does. */
	set(world, STATUS, 0);
	stop_queues(&world->virtio);
	assert_int_equal(get(world, INTERRUPT_STATUS), 0);
	start(world, VIRTIO_VERSION_1);
	assert_int_equal(world->fake.interrupt[GSI].joins, 1);
	virtq_push(&world->virtio.device.queue[0], 0, 0);
	virtio_signal(&world->virtio.device, 0, NULL);
	assert_int_equal(delivered(world), 6);
}

static void test_power_on(void **state)
{
	struct world *world = *state;

	world->virtio.stops_at_once = true;
	start(world, VIRTIO_VERSION_1);
	virtio_config_changed(&world->virtio.device);
	assert_true(virtio_quiesce(&world->virtio.device, 0));
	virtio_power_on(&world->virtio.device);
	virtio_mmio_power_on(&world->mmio);
	fake_wiring_init(&world->fake, 0);
	expect_power_on(&world->virtio);
	start(world, VIRTIO_VERSION_1);
	assert_int_equal(world->fake.bells, WORLD_QUEUES);
	assert_int_equal(world->fake.interrupt[GSI].joins, 1);
	/* What the last guest was owed isn't for this one. */
	assert_int_equal(delivered(world), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_features, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_widths, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_garbage, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_queue_registers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_queues_that_are_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ready, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_only_zero_resets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_reset_that_takes_its_time, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_the_device_configuration, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_doorbells, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_doorbells_of_a_device_that_breaks, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_interrupts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_power_on, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
