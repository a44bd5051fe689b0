/*
 * devices/virtio/console.c: pauses and resets in the middle of what goes on, rings that can't be
 * read, others that wake the worker, and what the trace says.
 */
#include "tests/unit/test.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "tests/unit/vconsole_world.h"

enum { OUT = 1, IN = 0 };

static void pause_it(struct vconsole_world *world)
{
	assert_true(virtio_quiesce(&world->console.device, 3600 * 1000));
}

/* ---- pauses ---- */

/* No byte is lost or doubled, wherever in a chain the pause falls. */
static void test_a_pause_within_a_chain(void **state)
{
	struct vconsole_world *world = *state;
	const struct driver_buffer buffer[] = {
		{OUT_AT, 7, false}, {OUT_AT + 7, 50, false}, {OUT_AT + 57, 43, false}};

	for (u32 part = 1; part < 100; part += 9) {
		const size_t before = 100 * (size_t)(part / 9);
		u16 head;

		give_room(world, 0, part);
		put_pattern(world, 100, part);
		head = offer(world, OUT, buffer, ARRAY_LEN(buffer));
		wait_port_taken(world, 0, before + part);
		for (unsigned i = 0; i < 3; i++) {
			pause_it(world);
			virtio_resume(&world->console.device);
			settle(world);
		}
		assert_int_equal(used_of(world, OUT), 0);
		pause_it(world);
		give_room(world, 0, SIZE_MAX);
		virtio_resume(&world->console.device);
		expect_used(world, OUT, head, 0);
		expect_taken(world, 0, before, 100, part);
	}
}

/* A port that takes little at a time, and pauses that fall anywhere. */
static void test_pauses_under_load(void **state)
{
	struct vconsole_world *world = *state;
	u16 head[10];

	limit_port(world, 0, 1, 1);
	put_pattern(world, 5000, 3);
	for (unsigned i = 0; i < 10; i++)
		head[i] = offer_one(world, OUT, OUT_AT + 500 * (u64)i, 500);
	for (unsigned i = 0; i < 100; i++) {
		pause_it(world);
		virtio_resume(&world->console.device);
	}
	for (unsigned i = 0; i < 10; i++)
		expect_used(world, OUT, head[i], 0);
	expect_taken(world, 0, 0, 5000, 3);
}

/* What ports and messages had come to is as it was. */
static void test_a_pause_among_messages(void **state)
{
	struct vconsole_world *world = *state;
	u16 head;

	say_message(world, VIRTIO_CONSOLE_PORT_OPEN, 3, 0);
	say_message(world, VIRTIO_CONSOLE_PORT_READY, 1, 1);
	offer_messages(world, 1, 64);
	expect_message(world, VIRTIO_CONSOLE_PORT_NAME, 1, "bantam.stdio");
	pause_it(world);
	virtio_resume(&world->console.device);
	head = offer_one(world, in_queue(3), IN_AT, 64);
	bring(world, 3, 9, 1);
	offer_messages(world, 2, 64);
	expect_message(world, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	settle(world);
	assert_int_equal(used_of(world, MESSAGES_IN), 0);
	assert_int_equal(used_of(world, in_queue(3)), 0);
	say_message(world, VIRTIO_CONSOLE_PORT_OPEN, 3, 1);
	expect_used(world, in_queue(3), head, 9);
	expect_stream(world, 1);
}

/*
 * Descriptors that are ready don't keep a worker awake that has nothing to do with them. A few times
 * it may still go round for what was before.
 */
static void expect_sleep(struct vconsole_world *world)
{
	const unsigned before = read_count(world, &world->waits);

	bring(world, 0, 10, 1);
	give_room(world, 0, SIZE_MAX);
	(void)poll(NULL, 0, 50);
	assert_in_range(read_count(world, &world->waits) - before, 0, 10);
}

static void wait_for_both(struct vconsole_world *world)
{
	give_room(world, 0, 0);
	offer_one(world, IN, IN_AT, 64);
	offer_one(world, OUT, OUT_AT, 64);
	settle(world);
}

static void test_it_sleeps_when_all_is_done(void **state)
{
	struct vconsole_world *world = *state;

	wait_for_both(world);
	bring(world, 0, 10, 1);
	give_room(world, 0, SIZE_MAX);
	rig_wait(&world->rig, IN);
	rig_wait(&world->rig, OUT);
	expect_sleep(world);
	expect_used(world, IN, offer_one(world, IN, IN_AT, 64), 10);
}

static void test_it_sleeps_in_a_pause(void **state)
{
	struct vconsole_world *world = *state;

	wait_for_both(world);
	pause_it(world);
	expect_sleep(world);
	virtio_resume(&world->console.device);
	rig_wait(&world->rig, IN);
	rig_wait(&world->rig, OUT);
	expect_stream(world, 0);
}

static void test_it_sleeps_when_reset(void **state)
{
	struct vconsole_world *world = *state;

	wait_for_both(world);
	rig_reset(&world->rig);
	expect_sleep(world);
	rig_start(&world->rig, VCONSOLE_FEATURES, 2);
	/* What came meanwhile is for the next driver. */
	expect_used(world, IN, offer_one(world, IN, IN_AT, 64), 10);
	expect_stream(world, 0);
}

/* ---- resets ---- */

/* The next driver's first chain is sent from its beginning. */
static void test_a_reset_within_a_chain(void **state)
{
	struct vconsole_world *world = *state;

	for (u32 part = 1; part < 100; part += 9) {
		const size_t before = (size_t)world->port[0].taken;

		give_room(world, 0, part);
		put_pattern(world, 100, 1);
		offer_one(world, OUT, OUT_AT, 100);
		wait_port_taken(world, 0, before + part);
		if (part % 2) {
			rig_reset(&world->rig);
		} else {
			pause_it(world);
			virtio_power_on(&world->console.device);
		}
		give_room(world, 0, SIZE_MAX);
		rig_start(&world->rig, VCONSOLE_FEATURES, 2);
		put_pattern(world, 100, 2);
		expect_used(world, OUT, offer_one(world, OUT, OUT_AT, 100), 0);
		expect_taken(world, 0, before + part, 100, 2);
	}
}

/* What was to be said to the old driver isn't said to the new one, and its ports are closed. */
static void test_a_reset_among_messages(void **state)
{
	struct vconsole_world *world = *state;
	u16 head;

	say_message(world, VIRTIO_CONSOLE_DEVICE_READY, 0, 1);
	for (unsigned i = 0; i < PORTS; i++)
		say_message(world, VIRTIO_CONSOLE_PORT_READY, i, 1);
	rig_reset(&world->rig);
	rig_start(&world->rig, VCONSOLE_FEATURES | VCONSOLE_MULTIPORT, 2 * PORTS + 2);
	offer_messages(world, 8, 64);
	head = offer_one(world, in_queue(1), IN_AT, 64);
	bring(world, 1, 9, 1);
	settle(world);
	assert_int_equal(used_of(world, MESSAGES_IN), 0);
	assert_int_equal(used_of(world, in_queue(1)), 0);
	say_message(world, VIRTIO_CONSOLE_PORT_OPEN, 1, 1);
	expect_used(world, in_queue(1), head, 9);
}

/* Nothing of a chain from before a reset is written or taken after it. */
static void test_resets_under_load(void **state)
{
	struct vconsole_world *world = *state;

	limit_port(world, 1, 10, 10);
	for (unsigned round = 0; round < 60; round++) {
		unsigned takes, gives;

		for (unsigned i = 0; i < 30; i++) {
			offer_one(world, out_queue(1), OUT_AT, 100);
			offer_one(world, in_queue(1), IN_AT, 100);
			offer_one(world, MESSAGES_OUT, SAY_AT, 8);
		}
		bring(world, 1, 1000, 1);
		rig_reset(&world->rig);
		memset(rig_at(&world->rig, IN_AT, 100), 0, 100);
		takes = PORT_READ(world, 1, takes);
		gives = PORT_READ(world, 1, gives);
		vconsole_wake(&world->console);
		start_multiport(world);
		settle(world);
		assert_int_equal(PORT_READ(world, 1, takes), takes);
		assert_int_equal(PORT_READ(world, 1, gives), gives);
		assert_int_equal(*rig_at(&world->rig, IN_AT, 1), 0);
	}
}

/* Anybody may wake the worker at any time. */
static void *wake_often(void *owner)
{
	struct vconsole_world *world = owner;

	for (unsigned i = 0; i < 20000; i++)
		vconsole_wake(&world->console);
	return NULL;
}

static void test_others_wake_it(void **state)
{
	struct vconsole_world *world = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wake_often, world), 0);
	for (unsigned i = 0; i < 20; i++) {
		expect_stream(world, 1);
		expect_stream(world, 3);
		rig_reset(&world->rig);
		start_multiport(world);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- rings that can't be read ---- */

static void test_a_broken_ring(void **state)
{
	struct vconsole_world *world = *state;

	for (unsigned queue = 0; queue < 2 * PORTS + 2; queue++) {
		struct driver_queue *driver = &world->rig.driver[queue];
		const u16 before = driver->next_available;

		/* Nobody looks at these: there is no port, or no message. */
		if (queue == in_queue(MISSING) || queue == out_queue(MISSING))
			continue;
		if (queue == MESSAGES_IN)
			say_message(world, VIRTIO_CONSOLE_PORT_READY, 0, 1);
		driver_publish(driver, (u16)(before + RIG_QUEUE_SIZE + 1));
		vconsole_wake(&world->console);
		rig_wait_broken(&world->rig);
		settle(world);
		assert_true(rig_is_broken(&world->rig));
		assert_int_equal(used_of(world, queue), 0);
		rig_reset(&world->rig);
		start_multiport(world);
		for (unsigned port = 0; port < PORTS; port++) {
			if (port != MISSING)
				expect_stream(world, port);
		}
		say_message(world, VIRTIO_CONSOLE_PORT_READY, 0, 1);
		offer_messages(world, 2, 64);
		expect_message(world, VIRTIO_CONSOLE_CONSOLE_PORT, 0, NULL);
		expect_message(world, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
		assert_false(rig_is_broken(&world->rig));
	}
}

/* A chain that was to be taken up again is behind a head that is none. */
static void test_a_ring_that_breaks_within_a_chain(void **state)
{
	struct vconsole_world *world = *state;
	const struct driver_queue *driver = &world->rig.driver[OUT];

	give_room(world, 0, 50);
	put_pattern(world, 100, 1);
	offer_one(world, OUT, OUT_AT, 100);
	wait_port_taken(world, 0, 50);
	settle(world);
	/* A worker that somebody woke may just look. */
	__atomic_store_n((u16 *)driver_at(driver->memory, driver->available + 4, 2), RIG_QUEUE_SIZE,
			 __ATOMIC_RELAXED);
	vconsole_wake(&world->console);
	rig_wait_broken(&world->rig);
	give_room(world, 0, SIZE_MAX);
	settle(world);
	wait_port_taken(world, 0, 50);
	rig_reset(&world->rig);
	rig_start(&world->rig, VCONSOLE_FEATURES, 2);
	expect_stream(world, 0);
}

/* ---- the start and the end ---- */

static void test_some_queues(void **state)
{
	static struct vconsole_world world;
	u16 head;

	(void)state;
	vconsole_world_init(&world, PORTS, true);
	/* Input alone. */
	rig_start(&world.rig, VCONSOLE_FEATURES, 1);
	bring(&world, 0, 10, 1);
	head = offer_one(&world, IN, IN_AT, 64);
	expect_used(&world, IN, head, 10);
	rig_reset(&world.rig);
	/* The queues for messages aren't there, or there is only one. */
	for (unsigned queues = 0; queues <= 2 * PORTS + 2; queues++) {
		rig_start(&world.rig, VCONSOLE_FEATURES | VCONSOLE_MULTIPORT, queues);
		if (queues)
			settle(&world);
		if (queues > OUT) {
			head = offer_one(&world, OUT, OUT_AT, 10);
			expect_used(&world, OUT, head, 0);
		}
		assert_false(rig_is_broken(&world.rig));
		rig_reset(&world.rig);
	}
	vconsole_world_destroy(&world);
}

static void test_the_end(void **state)
{
	static struct vconsole_world world;
	struct vconsole none = {.ports = 1};

	(void)state;
	assert_true(virtio_device_close(&none.device, 0));
	/* Never started by a driver; and in the middle of everything. */
	vconsole_world_init(&world, 1, true);
	vconsole_world_destroy(&world);
	vconsole_world_init(&world, 1, true);
	rig_start(&world.rig, VCONSOLE_FEATURES, 2);
	wait_for_both(&world);
	vconsole_world_close(&world);
	assert_true(virtio_device_close(&world.console.device, 0));
}

/* ---- the trace ---- */

static void test_words_for_the_trace(void **state)
{
	static const char *const lines[] = {
		"virtio3/q3 chain 0: message: out 8, in 0 → used 0, ",
		"virtio3/q2 chain 0: message: out 0, in 64 → used 20, ",
		"virtio3/q5 chain 0: from the guest: out 100, in 0 → used 0, ",
		"virtio3/q4 chain 0: to the guest: out 0, in 64 → used 30, ",
		"virtio3/q5 chain 0: a chain that breaks the rules: out 0, in 0 → used 0, ",
	};
	static struct vconsole_world world;
	struct temp_file file;
	struct loop loop = {.sources = 0};
	struct error err = {.text = ""};
	char text[4096] = "";

	(void)state;
	temp_file_make(&file, "", 0);
	assert_int_equal(trace_open(&world.trace, TRACE_VIRTIO, file.path, 0, &loop, &err), 0);
	vconsole_world_init(&world, PORTS, true);
	start_multiport(&world);
	offer_messages(&world, 1, 64);
	say_message(&world, VIRTIO_CONSOLE_PORT_READY, 1, 1);
	expect_message(&world, VIRTIO_CONSOLE_PORT_NAME, 1, "bantam.stdio");
	limit_port(&world, 1, 30, SIZE_MAX);
	expect_used(&world, out_queue(1), offer_one(&world, out_queue(1), OUT_AT, 100), 0);
	bring(&world, 1, 30, 1);
	expect_used(&world, in_queue(1), offer_one(&world, in_queue(1), IN_AT, 64), 30);
	expect_used(&world, out_queue(1), offer_one(&world, out_queue(1), 0x7fff0000, 100), 0);
	vconsole_world_destroy(&world);
	trace_close(&world.trace);
	world.trace = (struct trace){.events = 0};
	assert_true(pread(file.fd, text, sizeof(text) - 1, 0) > 0);
	for (unsigned i = 0; i < ARRAY_LEN(lines); i++)
		assert_says(text, lines[i]);
	/* A chain has one line, however many parts it was taken in. */
	assert_null(strstr(strstr(text, "out 100") + 1, "out 100"));
	temp_file_free(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONE_PORT(test_a_pause_within_a_chain),
		ONE_PORT(test_pauses_under_load),
		ALL_PORTS(test_a_pause_among_messages),
		ONE_PORT(test_it_sleeps_when_all_is_done),
		ONE_PORT(test_it_sleeps_in_a_pause),
		ONE_PORT(test_it_sleeps_when_reset),
		ONE_PORT(test_a_reset_within_a_chain),
		ALL_PORTS(test_a_reset_among_messages),
		ALL_PORTS(test_resets_under_load),
		ALL_PORTS(test_others_wake_it),
		ALL_PORTS(test_a_broken_ring),
		ONE_PORT(test_a_ring_that_breaks_within_a_chain),
		cmocka_unit_test(test_some_queues),
		cmocka_unit_test(test_the_end),
		cmocka_unit_test(test_words_for_the_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
