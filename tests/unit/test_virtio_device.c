/*
 * devices/virtio/device.c between a made-up kind of device and a made-up transport: the status
 * register and what it starts and stops (virtio 1.2, 2.1 and 3.1), feature bits, who may write the
 * queues' registers and when, resets that finish later, devices that break and are revived.
 */
#include "tests/unit/test.h"

#include "tests/unit/virtio_world.h"

static void test_state_at_the_start(void **state)
{
	struct virtio_world *world = *state;

	expect_power_on(world);
	for (unsigned i = 0; i < WORLD_QUEUES; i++)
		assert_true(world->device.queue[i].notify_fd >= 0);
	assert_int_equal(world->starts, 0);
	assert_int_equal(world->stops, 0);
}

static void test_status_bits_come_and_stay(void **state)
{
	struct virtio_world *world = *state;

	set_status(world, VIRTIO_ACKNOWLEDGE);
	assert_int_equal(status(world), VIRTIO_ACKNOWLEDGE);
	set_status(world, VIRTIO_DRIVER);
	assert_int_equal(status(world), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	/* None of them is the driver's to set. */
	set_status(world, 0x10 | 0x20 | VIRTIO_NEEDS_RESET);
	assert_int_equal(status(world), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	set_status(world, VIRTIO_FAILED);
	assert_int_equal(status(world), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FAILED);
	set_status(world, 0);
	expect_power_on(world);
}

static void test_feature_halves(void **state)
{
	static const u32 selects[] = {2, 3, 0x80000000, 0x80000001, 0xffffffff, 32, 33};
	struct virtio_world *world = *state;
	struct virtio_device *device = &world->device;

	device->regs.device_features_select = 0;
	assert_int_equal(virtio_read_register(device, VIRTIO_REG_DEVICE_FEATURES),
			 (u32)WORLD_FEATURES);
	device->regs.device_features_select = 1;
	assert_int_equal(virtio_read_register(device, VIRTIO_REG_DEVICE_FEATURES),
			 (u32)(WORLD_FEATURES >> 32));
	device->regs.driver_features_select = 0;
	virtio_write_register(device, VIRTIO_REG_DRIVER_FEATURES, 0x12345678, ~(u64)0);
	assert_int_equal(virtio_read_register(device, VIRTIO_REG_DRIVER_FEATURES), 0x12345678);
	device->regs.driver_features_select = 1;
	assert_int_equal(virtio_read_register(device, VIRTIO_REG_DRIVER_FEATURES), 0);
	virtio_write_register(device, VIRTIO_REG_DRIVER_FEATURES, 0x9abcdef0, ~(u64)0);
	assert_int_equal(virtio_read_register(device, VIRTIO_REG_DRIVER_FEATURES), 0x9abcdef0);
	for (size_t i = 0; i < ARRAY_LEN(selects); i++) {
		device->regs.device_features_select = selects[i];
		device->regs.driver_features_select = selects[i];
		assert_int_equal(virtio_read_register(device, VIRTIO_REG_DEVICE_FEATURES), 0);
		assert_int_equal(virtio_read_register(device, VIRTIO_REG_DRIVER_FEATURES), 0);
		virtio_write_register(device, VIRTIO_REG_DRIVER_FEATURES, 0xffffffff, ~(u64)0);
		assert_true(device->regs.driver_features == 0x9abcdef012345678);
	}
	device->regs.driver_features_select = 0;
	virtio_write_register(device, VIRTIO_REG_DRIVER_FEATURES, 1, ~(u64)0);
	assert_true(device->regs.driver_features == 0x9abcdef000000001);
}

static void test_features_that_are_refused(void **state)
{
	static const struct {
		u64 features;
		bool good;
	} table[] = {
		{0, false},
		{VIRTIO_INDIRECT_DESC, false},
		{WORLD_FEATURES & ~VIRTIO_VERSION_1, false},
		{VIRTIO_VERSION_1, true},
		{VIRTIO_VERSION_1 | VIRTIO_EVENT_IDX, true},
		{WORLD_FEATURES, true},
		{WORLD_FEATURES | 1, false},
		{VIRTIO_VERSION_1 | (u64)1 << 31, false},
		{VIRTIO_VERSION_1 | (u64)1 << 33, false}, /* not offered: an IOMMU */
		{VIRTIO_VERSION_1 | (u64)1 << 34, false}, /* a packed ring */
		{VIRTIO_VERSION_1 | (u64)1 << 63, false},
		{~(u64)0, false},
	};
	struct virtio_world *world = *state;
	const u8 first = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		set_status(world, 0);
		set_status(world, first);
		choose_features(world, table[i].features);
		set_status(world, first | VIRTIO_FEATURES_OK);
		assert_int_equal(status(world), first | (table[i].good ? VIRTIO_FEATURES_OK : 0));
		/* And it doesn't start without them. */
		set_status(world, first | VIRTIO_DRIVER_OK);
		assert_int_equal(
			status(world),
			first | (table[i].good ? VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK : 0));
		assert_int_equal(world->starts, table[i].good);
		world->starts = 0;
	}
}

/* Together in one write: FEATURES_OK is refused first, and takes DRIVER_OK with it. */
static void test_all_bits_at_once(void **state)
{
	struct virtio_world *world = *state;

	choose_features(world, WORLD_FEATURES | 1);
	set_status(world, WORLD_STARTED);
	assert_int_equal(status(world), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	assert_int_equal(world->starts, 0);
	choose_features(world, WORLD_FEATURES);
	set_status(world, WORLD_STARTED);
	assert_int_equal(status(world), WORLD_STARTED);
	assert_int_equal(world->starts, 1);
}

static void test_features_are_settled_once(void **state)
{
	struct virtio_world *world = *state;

	choose_features(world, VIRTIO_VERSION_1);
	set_status(world, WORLD_STARTED & ~VIRTIO_DRIVER_OK);
	choose_features(world, ~(u64)0);
	assert_true(world->device.regs.driver_features == VIRTIO_VERSION_1);
	set_status(world, WORLD_STARTED);
	choose_features(world, 0);
	assert_true(world->device.regs.driver_features == VIRTIO_VERSION_1);
	set_status(world, 0);
	choose_features(world, WORLD_FEATURES);
	assert_true(world->device.regs.driver_features == WORLD_FEATURES);
}

static void test_it_starts_once(void **state)
{
	struct virtio_world *world = *state;

	start_world(world, WORLD_FEATURES);
	assert_int_equal(world->starts, 1);
	assert_int_equal(world->doorbells, 1);
	for (unsigned i = 0; i < 3; i++)
		set_status(world, WORLD_STARTED);
	set_status(world, VIRTIO_DRIVER_OK);
	set_status(world, VIRTIO_FAILED);
	assert_int_equal(world->starts, 1);
	assert_int_equal(world->stops, 0);
	assert_int_equal(world->doorbells, 1);
	assert_int_equal(world->lays, 1);
}

static void test_enabled_queues_are_started(void **state)
{
	static const u64 features[] = {VIRTIO_VERSION_1, VIRTIO_VERSION_1 | VIRTIO_EVENT_IDX,
				       VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC, WORLD_FEATURES};
	struct virtio_world *world = *state;

	for (unsigned enabled = 0; enabled < 1 << WORLD_QUEUES; enabled++) {
		const u64 chosen = features[enabled % ARRAY_LEN(features)];

		for (unsigned i = 0; i < WORLD_QUEUES; i++) {
			if (enabled & 1U << i)
				place_queue(world, i);
		}
		begin_world(world, chosen);
		world->stops_at_once = true;
		for (unsigned i = 0; i < WORLD_QUEUES; i++) {
			const struct virtq *queue = &world->device.queue[i];
			const bool is_enabled = enabled & 1U << i;

			assert_int_equal(virtq_started(queue), is_enabled);
			if (!is_enabled)
				continue;
			assert_int_equal(queue->size, world->driver[i].size);
			assert_int_equal(queue->event_index, !!(chosen & VIRTIO_EVENT_IDX));
			assert_int_equal(queue->indirect, !!(chosen & VIRTIO_INDIRECT_DESC));
			/* It looks for what was put there before. */
			assert_true(bell_rang(queue->notify_fd));
		}
		set_status(world, 0);
		expect_power_on(world);
	}
}

static void test_queue_sizes(void **state)
{
	static const struct {
		u32 value;
		bool taken;
	} table[] = {
		{0, false},          {1, true},           {2, true},        {3, false},
		{64, true},          {100, false},        {256, true},      {512, false},
		{1024, false},       {0x10000, false},    {0x10001, false}, {0x10100, false},
		{0x80000000, false}, {0xffffffff, false},
	};
	struct virtio_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		select_queue(world, 1);
		virtio_write_register(&world->device, VIRTIO_REG_QUEUE_SIZE, 128, ~(u64)0);
		virtio_write_register(&world->device, VIRTIO_REG_QUEUE_SIZE, table[i].value,
				      ~(u64)0);
		assert_int_equal(world->device.regs.queue[1].size,
				 table[i].taken ? table[i].value : 128);
		assert_int_equal(world->device.regs.queue[0].size, WORLD_QUEUE_SIZE);
		assert_int_equal(world->device.regs.queue[2].size, WORLD_QUEUE_SIZE);
	}
}

static void test_queues_that_are_none(void **state)
{
	static const u16 none[] = {WORLD_QUEUES, WORLD_QUEUES + 1, VIRTIO_QUEUES_MAX, 0x8000,
				   0xffff};
	struct virtio_world *world = *state;
	const struct virtio_regs before = world->device.regs;

	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		select_queue(world, none[i]);
		assert_null(virtio_selected_queue(&world->device));
		assert_null(virtio_writable_queue(&world->device));
		virtio_write_register(&world->device, VIRTIO_REG_QUEUE_SIZE, 2, ~(u64)0);
		virtio_write_register(&world->device, VIRTIO_REG_QUEUE_ENABLE, true, ~(u64)0);
		virtio_notify(&world->device, none[i]);
	}
	virtio_notify(&world->device, 0x10000);
	virtio_notify(&world->device, 0xffffffff);
	for (unsigned i = 0; i < WORLD_QUEUES; i++)
		assert_false(bell_rang(world->device.queue[i].notify_fd));
	select_queue(world, 0);
	assert_memory_equal(&before, &world->device.regs, sizeof(before));
	assert_ptr_equal(virtio_selected_queue(&world->device), &world->device.regs.queue[0]);
}

static void test_who_may_write_to_a_queue(void **state)
{
	struct virtio_world *world = *state;

	select_queue(world, 0);
	assert_non_null(virtio_writable_queue(&world->device));
	place_queue(world, 0);
	assert_null(virtio_writable_queue(&world->device));
	virtio_write_register(&world->device, VIRTIO_REG_QUEUE_SIZE, 2, ~(u64)0);
	assert_int_equal(world->device.regs.queue[0].size, world->driver[0].size);
	/* Let go of again, before anything is started. */
	virtio_write_register(&world->device, VIRTIO_REG_QUEUE_ENABLE, false, ~(u64)0);
	assert_non_null(virtio_writable_queue(&world->device));
	virtio_write_register(&world->device, VIRTIO_REG_QUEUE_ENABLE, true, ~(u64)0);
	begin_world(world, WORLD_FEATURES);
	for (u16 i = 0; i < WORLD_QUEUES; i++) {
		const struct virtq_regs before = world->device.regs.queue[i];

		select_queue(world, i);
		assert_null(virtio_writable_queue(&world->device));
		virtio_write_register(&world->device, VIRTIO_REG_QUEUE_SIZE, 2, ~(u64)0);
		virtio_write_register(&world->device, VIRTIO_REG_QUEUE_ENABLE, !before.enabled,
				      ~(u64)0);
		assert_int_equal(world->device.regs.queue[i].size, before.size);
		assert_int_equal(world->device.regs.queue[i].enabled, before.enabled);
	}
}

/* A queue that isn't in RAM: the device wants a reset, which makes it as good as new. */
static void test_a_queue_outside_memory(void **state)
{
	struct virtio_world *world = *state;

	for (unsigned bad = 0; bad < WORLD_QUEUES; bad++) {
		for (unsigned i = 0; i < WORLD_QUEUES; i++)
			place_queue(world, i);
		world->device.regs.queue[bad].used = 5 * GIB;
		begin_world(world, WORLD_FEATURES);
		assert_int_equal(status(world), WORLD_STARTED | VIRTIO_NEEDS_RESET);
		assert_int_equal(world->config_interrupts, 1);
		assert_true(atomic_load(&world->device.isr) & VIRTIO_ISR_CONFIG);
		assert_int_equal(world->starts, 0);
		for (unsigned i = 0; i < WORLD_QUEUES; i++)
			assert_false(virtq_started(&world->device.queue[i]));
		set_status(world, WORLD_STARTED);
		assert_int_equal(world->starts, 0);
		/* Nothing runs, so there is nothing to wait for. */
		set_status(world, 0);
		expect_power_on(world);
		assert_int_equal(world->stops, 0);
		assert_int_equal(world->doorbells, 0);
		world->config_interrupts = 0;
	}
	start_world(world, WORLD_FEATURES);
	assert_int_equal(world->starts, 1);
}

static void test_a_reset_at_once(void **state)
{
	struct virtio_world *world = *state;

	world->stops_at_once = true;
	for (unsigned i = 1; i <= 3; i++) {
		start_world(world, WORLD_FEATURES);
		assert_int_equal(world->doorbells, 1);
		world->device.queue[0].position = (struct virtq_position){7, 7, 7};
		atomic_store(&world->device.isr, 3);
		set_status(world, 0);
		assert_int_equal(world->stops, i);
		assert_int_equal(world->doorbells, 0);
		assert_int_equal(world->class_resets, world->transport_resets);
		expect_power_on(world);
		assert_int_equal(world->device.queue[0].position.next_available, 0);
		assert_int_equal(world->device.queue[0].position.next_used, 0);
		assert_int_equal(world->device.queue[0].position.signalled, 0);
	}
	/* And one more, of a device that does nothing. */
	set_status(world, 0);
	expect_power_on(world);
	assert_int_equal(world->stops, 3);
}

/* The answer comes with the last queue, in whatever order they stop. */
static void test_a_reset_that_takes_its_time(void **state)
{
	static const u8 orders[][WORLD_QUEUES] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
	struct virtio_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		const unsigned stops = world->stops, resets = world->transport_resets;

		start_world(world, WORLD_FEATURES);
		set_status(world, 0);
		for (unsigned j = 0; j < WORLD_QUEUES; j++) {
			assert_int_equal(status(world), WORLD_STARTED);
			assert_int_equal(world->doorbells, 0);
			assert_int_equal(world->transport_resets, resets);
			assert_false(wait_reset(world, 0));
			/* Neither asking again nor anything else changes it. */
			set_status(world, 0);
			set_status(world, WORLD_STARTED | VIRTIO_FAILED);
			assert_int_equal(world->stops, stops + 1);
			virtio_queue_stopped(&world->device, orders[i][j]);
			assert_false(virtq_started(&world->device.queue[orders[i][j]]));
		}
		assert_true(wait_reset(world, 0));
		assert_int_equal(world->transport_resets, resets + 1);
		expect_power_on(world);
	}
}

static void test_registers_during_a_reset(void **state)
{
	struct virtio_world *world = *state;
	struct virtio_regs before;

	start_world(world, VIRTIO_VERSION_1);
	set_status(world, 0);
	before = world->device.regs;
	for (u16 i = 0; i < WORLD_QUEUES; i++) {
		select_queue(world, i);
		assert_null(virtio_writable_queue(&world->device));
		virtio_write_register(&world->device, VIRTIO_REG_QUEUE_SIZE, 2, ~(u64)0);
		virtio_write_register(&world->device, VIRTIO_REG_QUEUE_ENABLE, false, ~(u64)0);
		virtio_write_register(&world->device, VIRTIO_REG_QUEUE_ENABLE, true, ~(u64)0);
	}
	choose_features(world, WORLD_FEATURES);
	virtio_write_config(&world->device, 0, 4, 1);
	assert_int_equal(world->config_writes, 0);
	select_queue(world, before.queue_select);
	world->device.regs.driver_features_select = before.driver_features_select;
	assert_memory_equal(&before, &world->device.regs, sizeof(before));
	stop_queues(world);
	expect_power_on(world);
}

static void test_a_device_that_breaks(void **state)
{
	struct virtio_world *world = *state;

	start_world(world, WORLD_FEATURES);
	for (unsigned i = 0; i < 3; i++) {
		virtio_device_broken(&world->device, "it is a test");
		assert_int_equal(status(world), WORLD_STARTED | VIRTIO_NEEDS_RESET);
		assert_int_equal(world->config_interrupts, 1);
		assert_int_equal(atomic_load(&world->device.isr), VIRTIO_ISR_CONFIG);
	}
	/* The others go on, and stop as always. */
	assert_true(virtq_started(&world->device.queue[1]));
	set_status(world, 0);
	assert_int_equal(status(world), WORLD_STARTED | VIRTIO_NEEDS_RESET);
	stop_queues(world);
	expect_power_on(world);
	start_world(world, WORLD_FEATURES);
	assert_int_equal(status(world), WORLD_STARTED);
	virtio_device_broken(&world->device, "it is a test");
	assert_int_equal(status(world), WORLD_STARTED | VIRTIO_NEEDS_RESET);
	assert_int_equal(world->config_interrupts, 2);
}

/* A word that comes too late: it was about a life that is over. */
static void test_breaking_without_running(void **state)
{
	struct virtio_world *world = *state;

	virtio_device_broken(&world->device, "it is a test");
	expect_power_on(world);
	start_world(world, WORLD_FEATURES);
	set_status(world, 0);
	virtio_device_broken(&world->device, "it is a test");
	stop_queues(world);
	expect_power_on(world);
	assert_int_equal(world->config_interrupts, 0);
}

static void test_configuration_changes(void **state)
{
	struct virtio_world *world = *state;
	u8 generation;

	generation = world->device.regs.config_generation;
	virtio_config_changed(&world->device);
	assert_int_not_equal(world->device.regs.config_generation, generation);
	/* Nobody listens yet. */
	assert_int_equal(world->config_interrupts, 0);
	assert_int_equal(atomic_load(&world->device.isr), 0);
	start_world(world, WORLD_FEATURES);
	for (unsigned i = 1; i <= 300; i++) {
		generation = world->device.regs.config_generation;
		virtio_config_changed(&world->device);
		assert_int_not_equal(world->device.regs.config_generation, generation);
		assert_int_equal(world->config_interrupts, i);
		assert_int_equal(atomic_load(&world->device.isr), VIRTIO_ISR_CONFIG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_state_at_the_start),
		WORLD_TEST(test_status_bits_come_and_stay),
		WORLD_TEST(test_feature_halves),
		WORLD_TEST(test_features_that_are_refused),
		WORLD_TEST(test_all_bits_at_once),
		WORLD_TEST(test_features_are_settled_once),
		WORLD_TEST(test_it_starts_once),
		WORLD_TEST(test_enabled_queues_are_started),
		WORLD_TEST(test_queue_sizes),
		WORLD_TEST(test_queues_that_are_none),
		WORLD_TEST(test_who_may_write_to_a_queue),
		WORLD_TEST(test_a_queue_outside_memory),
		WORLD_TEST(test_a_reset_at_once),
		WORLD_TEST(test_a_reset_that_takes_its_time),
		WORLD_TEST(test_registers_during_a_reset),
		WORLD_TEST(test_a_device_that_breaks),
		WORLD_TEST(test_breaking_without_running),
		WORLD_TEST(test_configuration_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
