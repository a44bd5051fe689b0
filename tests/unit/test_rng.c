/*
 * devices/virtio/rng.c: what a request gets (virtio 1.2, 5.4), however odd it is, how much in one
 * go, and resets while the main loop serves it on another thread.
 */
#include "tests/unit/test.h"

#include <poll.h>
#include <pthread.h>

#include "devices/virtio/rng.h"
#include "tests/unit/virtio_rig.h"

struct world {
	struct rig rig;
	struct rng rng;
	struct loop loop;
};

static int set_up(void **state)
{
	static struct world world;
	struct error err;

	world.loop = (struct loop){.sources = 0};
	world.rng = (struct rng){.running = false};
	rig_init(&world.rig, MIB);
	assert_int_equal(rng_open(&world.rng, &world.loop, &err), 0);
	rig_attach(&world.rig, &world.rng.device);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	rng_close(&world->rng);
	rig_destroy(&world->rig);
	return 0;
}

/* The loop's turn, when the device's bell rang. Returns whether it did. */
static bool turn(struct world *world)
{
	struct pollfd bell = {.fd = world->rng.notified.fd, .events = POLLIN};

	if (poll(&bell, 1, 0) != 1)
		return false;
	world->rng.notified.ready(world->rng.notified.owner);
	return true;
}

static void start(struct world *world, u64 features)
{
	rig_start(&world->rig, features, 1);
	while (turn(world))
		;
}

/* Offers a chain, notifies if that is wanted, and lets the loop go round. */
static u16 ask(struct world *world, const struct driver_buffer *buffer, unsigned buffers)
{
	const u16 before = world->rig.driver[0].next_available;
	const u16 head = driver_add(&world->rig.driver[0], buffer, buffers);

	rig_kick(&world->rig, 0, before);
	while (turn(world))
		;
	return head;
}

static bool is_zero(struct world *world, u64 gpa, u64 bytes)
{
	const u8 *at = rig_at(&world->rig, gpa, bytes);

	for (u64 i = 0; i < bytes; i++) {
		if (at[i])
			return false;
	}
	return true;
}

static void test_what_it_is(void **state)
{
	struct world *world = *state;

	assert_int_equal(world->rng.device.class->id, 4);
	assert_int_equal(world->rng.device.queues, 1);
	assert_int_equal(world->rng.device.config_bytes, 0);
	assert_true(world->rng.device.features & VIRTIO_VERSION_1);
}

/* As many bytes as there is room for, RNG_REQUEST_BYTES at most, and none behind them. */
static void test_requests(void **state)
{
	static const u32 sizes[] = {1, 2, 16, 64, 1023, 1024, 1025, 4096, 0x10000};
	struct world *world = *state;

	start(world, VIRTIO_VERSION_1 | VIRTIO_EVENT_IDX);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		const u32 expected = sizes[i] < RNG_REQUEST_BYTES ? sizes[i] : RNG_REQUEST_BYTES;
		const struct driver_buffer buffer = {RIG_DATA, sizes[i], true};

		memset(rig_at(&world->rig, RIG_DATA, 0x20000), 0, 0x20000);
		driver_expect(&world->rig.driver[0], ask(world, &buffer, 1), expected);
		assert_true(is_zero(world, RIG_DATA + expected, 0x20000 - expected));
		/* That 16 random bytes are zero is not going to happen. */
		if (expected >= 16) {
			assert_false(is_zero(world, RIG_DATA, 16));
			assert_false(is_zero(world, RIG_DATA + expected - 16, 16));
		}
	}
}

static void test_requests_differ(void **state)
{
	struct world *world = *state;
	const struct driver_buffer buffers[] = {{RIG_DATA, 32, true}, {RIG_DATA + 32, 32, true}};

	start(world, VIRTIO_VERSION_1);
	driver_expect(&world->rig.driver[0], ask(world, buffers, 1), 32);
	driver_expect(&world->rig.driver[0], ask(world, buffers + 1, 1), 32);
	assert_memory_not_equal(rig_at(&world->rig, RIG_DATA, 32),
				rig_at(&world->rig, RIG_DATA + 32, 32), 32);
}

static void test_pieces(void **state)
{
	struct world *world = *state;
	const struct driver_buffer buffers[] = {{RIG_DATA, 16, false},
						{RIG_DATA + 0x100, 24, true},
						{RIG_DATA + 0x200, 0, true},
						{RIG_DATA + 0x300, 2000, true},
						{RIG_DATA + 0x2000, 16, true}};

	start(world, VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC);
	driver_expect(&world->rig.driver[0], ask(world, buffers, 5), RNG_REQUEST_BYTES);
	assert_true(is_zero(world, RIG_DATA, 0x100));
	assert_false(is_zero(world, RIG_DATA + 0x100, 24));
	assert_false(is_zero(world, RIG_DATA + 0x300 + 984, 16));
	assert_true(is_zero(world, RIG_DATA + 0x300 + 1000, 0x2000));
	driver_add_indirect(&world->rig.driver[0], buffers + 1, 1, RIG_DATA + 0x8000);
	virtio_notify(&world->rng.device, 0);
	assert_true(turn(world));
	driver_expect(&world->rig.driver[0], 0, 24);
}

/* Requests that can't be filled come back empty, and the next is served. */
static void test_odd_requests(void **state)
{
	struct world *world = *state;
	const struct driver_buffer odd[] = {{RIG_DATA, 16, false},
					    {RIG_DATA, 0, true},
					    {MIB - 1, 2, true},
					    {~(u64)0, 16, true}};
	const struct driver_buffer half[] = {{RIG_DATA, 16, true}, {MIB, 16, true}};
	const struct driver_buffer good = {RIG_DATA, 16, true};

	start(world, VIRTIO_VERSION_1);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		driver_expect(&world->rig.driver[0], ask(world, &odd[i], 1), 0);
		driver_expect(&world->rig.driver[0], ask(world, &good, 1), 16);
	}
	/* Of a chain that breaks a rule nothing is filled, though its first piece is good. */
	memset(rig_at(&world->rig, RIG_DATA, 16), 0, 16);
	driver_expect(&world->rig.driver[0], ask(world, half, 2), 0);
	assert_true(is_zero(world, RIG_DATA, 16));
	assert_false(rig_is_broken(&world->rig));
}

/* A full queue, over and over; each chain comes back once. */
static void test_many_requests(void **state)
{
	struct world *world = *state;
	struct driver_queue *driver = &world->rig.driver[0];
	struct driver_used used;

	start(world, VIRTIO_VERSION_1 | VIRTIO_EVENT_IDX);
	for (unsigned round = 0; round < 50; round++) {
		const u16 before = driver->next_available;

		for (unsigned i = 0; i < RIG_QUEUE_SIZE; i++) {
			const struct driver_buffer buffer = {RIG_DATA + 16 * (u64)i, i % 16, true};

			driver_add(driver, &buffer, 1);
		}
		rig_kick(&world->rig, 0, before);
		while (turn(world))
			;
		for (unsigned i = 0; i < RIG_QUEUE_SIZE; i++)
			driver_expect(driver, (u16)i, i % 16);
		assert_false(driver_collect(driver, &used));
	}
}

/* Chains without end: the loop has its turn after a queue's worth, and comes back for the rest. */
static void test_the_loop_has_its_turn(void **state)
{
	struct world *world = *state;
	struct pollfd bell = {.fd = world->rng.notified.fd, .events = POLLIN};
	const struct driver_buffer buffer = {RIG_DATA, 1, true};

	start(world, VIRTIO_VERSION_1);
	for (unsigned i = 0; i < RNG_QUEUE_SIZE; i++)
		driver_add(&world->rig.driver[0], &buffer, 1);
	virtio_notify(&world->rng.device, 0);
	assert_true(turn(world));
	assert_int_equal(driver_used_index(&world->rig.driver[0]), RNG_QUEUE_SIZE);
	/* It can't know that there is nothing more. */
	assert_int_equal(poll(&bell, 1, 0), 1);
	assert_true(turn(world));
	assert_int_equal(poll(&bell, 1, 0), 0);
}

static void test_interrupts(void **state)
{
	struct world *world = *state;
	struct pollfd interrupt = {.fd = world->rig.interrupt_fd[0], .events = POLLIN};
	const struct driver_buffer buffer = {RIG_DATA, 16, true};

	start(world, VIRTIO_VERSION_1);
	driver_set_flags(&world->rig.driver[0], 1);
	ask(world, &buffer, 1);
	assert_int_equal(poll(&interrupt, 1, 0), 0);
	driver_set_flags(&world->rig.driver[0], 0);
	ask(world, &buffer, 1);
	assert_int_equal(poll(&interrupt, 1, 0), 1);
}

static void test_a_ring_that_breaks(void **state)
{
	struct world *world = *state;
	const struct driver_buffer good = {RIG_DATA, 16, true};

	start(world, VIRTIO_VERSION_1);
	driver_publish(&world->rig.driver[0], 1000);
	virtio_notify(&world->rng.device, 0);
	assert_true(turn(world));
	assert_true(rig_is_broken(&world->rig));
	assert_int_equal(atomic_load(&world->rig.config_interrupts), 1);
	virtio_notify(&world->rng.device, 0);
	assert_true(turn(world));
	assert_int_equal(atomic_load(&world->rig.config_interrupts), 1);
	rig_reset(&world->rig);
	start(world, VIRTIO_VERSION_1);
	driver_expect(&world->rig.driver[0], ask(world, &good, 1), 16);
}

/* After a reset nothing of guest memory is touched, whoever rings. */
static void test_after_a_reset(void **state)
{
	struct world *world = *state;
	const struct driver_buffer buffer = {RIG_DATA, 16, true};

	start(world, VIRTIO_VERSION_1);
	driver_add(&world->rig.driver[0], &buffer, 1);
	rig_reset(&world->rig);
	virtio_notify(&world->rng.device, 0);
	while (turn(world))
		;
	assert_int_equal(driver_used_index(&world->rig.driver[0]), 0);
	assert_true(is_zero(world, RIG_DATA, 16));
}

/* A device whose driver enabled no queue is as quiet. */
static void test_without_a_queue(void **state)
{
	struct world *world = *state;

	rig_start(&world->rig, VIRTIO_VERSION_1, 0);
	virtio_notify(&world->rng.device, 0);
	while (turn(world))
		;
	assert_false(rig_is_broken(&world->rig));
	rig_reset(&world->rig);
}

/* The main loop on its own thread, while a driver starts and resets the device. */
static void *run_loop(void *argument)
{
	struct world *world = argument;
	struct error err;

	assert_int_equal(loop_run(&world->loop, &err), 0);
	return NULL;
}

static void stop_loop(void *owner)
{
	struct world *world = owner;

	world->loop.stop = true;
}

static void test_resets_while_it_serves(void **state)
{
	struct world *world = *state;
	struct loop_wake wake;
	pthread_t thread;
	struct error err;

	assert_int_equal(loop_wake_init(&wake, &world->loop, stop_loop, world, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, world), 0);
	for (unsigned round = 0; round < 300; round++) {
		struct driver_queue *driver = &world->rig.driver[0];
		u16 before;

		rig_start(&world->rig, VIRTIO_VERSION_1 | (round % 2 ? VIRTIO_EVENT_IDX : 0), 1);
		before = driver->next_available;
		for (unsigned i = 0; i < 32; i++) {
			const struct driver_buffer buffer = {RIG_DATA + 64 * (u64)i, 64, true};

			driver_add(driver, &buffer, 1);
		}
		rig_kick(&world->rig, 0, before);
		/* Some rounds are seen through, others are cut off. */
		for (unsigned i = 0; i < round % 40 && i < 32; i++)
			assert_int_equal(rig_wait(&world->rig, 0).written, 64);
		rig_reset(&world->rig);
		memset(rig_at(&world->rig, RIG_DATA, 0x1000), 0, 0x1000);
	}
	loop_wake_signal(&wake);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* Nothing was written for requests from before the last reset. */
	assert_true(is_zero(world, RIG_DATA, 0x1000));
	loop_wake_close(&wake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_requests_differ, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_odd_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_requests, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_loop_has_its_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_interrupts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_ring_that_breaks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_after_a_reset, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_a_queue, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resets_while_it_serves, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
