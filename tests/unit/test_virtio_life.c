/*
 * devices/virtio/device.c: what a device does while it runs and how the machine holds it. Where
 * interrupts go, reads and writes of the configuration, quiesce and resume, power-on, and the words
 * in the trace.
 */
#include "tests/unit/test.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/virtio_world.h"

/* The device's side: takes a chain from queue i and gives it back. */
static void serve_one(struct virtio_world *world, unsigned i)
{
	struct virtq_chain chain;

	assert_int_equal(virtq_pop(&world->device.queue[i], &chain), VIRTQ_CHAIN);
	virtq_push(&world->device.queue[i], chain.head, 4);
}

static void offer(struct virtio_world *world, unsigned i)
{
	const struct driver_buffer buffer = {0x80000, 16, true};

	driver_add(&world->driver[i], &buffer, 1);
}

static unsigned isr(struct virtio_world *world)
{
	return atomic_exchange(&world->device.isr, 0);
}

static void test_interrupts_by_descriptor(void **state)
{
	struct virtio_world *world = *state;
	const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	for (unsigned lines = 0; lines < 2; lines++) {
		world->device.line_interrupts = lines;
		start_world(world, VIRTIO_VERSION_1);
		atomic_store(&world->device.queue[1].interrupt_fd, fd);
		virtio_signal(&world->device, 1, NULL);
		assert_false(bell_rang(fd)); /* nothing was pushed */
		offer(world, 1);
		offer(world, 1);
		serve_one(world, 1);
		serve_one(world, 1);
		virtio_signal(&world->device, 1, NULL);
		assert_true(bell_rang(fd));
		assert_int_equal(isr(world), lines ? VIRTIO_ISR_QUEUE : 0);
		virtio_signal(&world->device, 1, NULL);
		assert_false(bell_rang(fd));
		assert_int_equal(isr(world), 0);
		/* The driver asks for none. */
		driver_set_flags(&world->driver[1], 1);
		offer(world, 1);
		serve_one(world, 1);
		virtio_signal(&world->device, 1, NULL);
		assert_false(bell_rang(fd));
		assert_int_equal(isr(world), 0);
		assert_int_equal(world->interrupts, 0);
		set_status(world, 0);
		stop_queues(world);
	}
	close(fd);
}

static void test_interrupts_by_the_transport(void **state)
{
	struct virtio_world *world = *state;

	start_world(world, VIRTIO_VERSION_1);
	for (unsigned i = 0; i < WORLD_QUEUES; i++) {
		atomic_store(&world->device.queue[i].interrupt_fd, VIRTIO_BY_TRANSPORT);
		offer(world, i);
		serve_one(world, i);
		virtio_signal(&world->device, i, NULL);
		assert_int_equal(world->interrupts, i + 1);
		assert_int_equal(world->interrupted, i);
		assert_int_equal(isr(world), VIRTIO_ISR_QUEUE);
	}
}

/* A vector that is none: what was pushed then isn't told later, for the driver is to look itself. */
static void test_no_interrupts(void **state)
{
	struct virtio_world *world = *state;

	start_world(world, VIRTIO_VERSION_1);
	atomic_store(&world->device.queue[0].interrupt_fd, VIRTIO_NO_INTERRUPT);
	offer(world, 0);
	serve_one(world, 0);
	virtio_signal(&world->device, 0, NULL);
	assert_int_equal(world->interrupts, 0);
	atomic_store(&world->device.queue[0].interrupt_fd, VIRTIO_BY_TRANSPORT);
	virtio_signal(&world->device, 0, NULL);
	assert_int_equal(world->interrupts, 0);
}

static void test_reading_the_configuration(void **state)
{
	struct virtio_world *world = *state;

	for (u64 offset = 0; offset < WORLD_CONFIG_BYTES + 16; offset++) {
		for (unsigned width = 1; width <= 8; width++) {
			u64 expected = 0;

			for (unsigned i = 0; i < width; i++)
				expected |= (u64)(offset + i < WORLD_CONFIG_BYTES
							  ? world->config[offset + i]
							  : 0xff)
					    << (8 * i);
			assert_true(virtio_read_config(&world->device, offset, width) == expected);
		}
	}
	assert_int_equal(virtio_read_config(&world->device, 4 * GIB, 4), 0xffffffff);
	assert_int_equal(virtio_read_config(&world->device, (u64)1 << 63, 1), 0xff);
}

static void test_writing_the_configuration(void **state)
{
	struct virtio_world *world = *state;
	unsigned writes = 0;

	for (u64 offset = 0; offset < WORLD_CONFIG_BYTES + 16; offset++) {
		for (unsigned width = 1; width <= 8; width *= 2) {
			virtio_write_config(&world->device, offset, width, 0x8877665544332211);
			if (offset + width <= WORLD_CONFIG_BYTES) {
				writes++;
				assert_int_equal(world->config_offset, offset);
				assert_int_equal(world->config_width, width);
				assert_true(world->config_value == 0x8877665544332211);
			}
			assert_int_equal(world->config_writes, writes);
		}
	}
	virtio_write_config(&world->device, ~(u64)0, 1, 1);
	virtio_write_config(&world->device, ~(u64)0 - 3, 8, 1);
	virtio_write_config(&world->device, 4 * GIB, 4, 1);
	assert_int_equal(world->config_writes, writes);
}

static void test_quiesce_and_resume(void **state)
{
	struct virtio_world *world = *state;
	struct virtio_regs before;

	world->stops_at_once = true;
	start_world(world, WORLD_FEATURES);
	offer(world, 0);
	offer(world, 0);
	serve_one(world, 0);
	for (unsigned i = 1; i <= 3; i++) {
		const struct virtq_position position = world->device.queue[0].position;

		before = world->device.regs;
		assert_true(virtio_quiesce(&world->device, 0));
		assert_int_equal(world->stops, i);
		assert_int_equal(world->doorbells, 0);
		assert_false(virtq_started(&world->device.queue[0]));
		/* A second time is no different. */
		assert_true(virtio_quiesce(&world->device, 0));
		assert_int_equal(world->stops, i);
		for (unsigned j = 0; j < WORLD_QUEUES; j++)
			(void)bell_rang(world->device.queue[j].notify_fd);
		virtio_resume(&world->device);
		assert_int_equal(world->starts, i + 1);
		assert_int_equal(world->doorbells, 1);
		assert_memory_equal(&before, &world->device.regs, sizeof(before));
		assert_memory_equal(&position, &world->device.queue[0].position, sizeof(position));
		/* What the driver offered meanwhile is looked for. */
		for (unsigned j = 0; j < WORLD_QUEUES; j++)
			assert_true(bell_rang(world->device.queue[j].notify_fd));
		virtio_resume(&world->device);
		assert_int_equal(world->starts, i + 1);
	}
	assert_int_equal(world->transport_resets, 0);
	serve_one(world, 0);
	driver_expect(&world->driver[0], 0, 4);
	driver_expect(&world->driver[0], 1, 4);
}

static void test_quiesce_of_a_device_that_does_nothing(void **state)
{
	struct virtio_world *world = *state;

	assert_true(virtio_quiesce(&world->device, 0));
	virtio_resume(&world->device);
	expect_power_on(world);
	assert_int_equal(world->starts, 0);
	assert_int_equal(world->stops, 0);
	/* One whose driver is halfway stays so. */
	set_status(world, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	assert_true(virtio_quiesce(&world->device, 0));
	virtio_resume(&world->device);
	assert_int_equal(status(world), VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	start_world(world, WORLD_FEATURES);
	assert_int_equal(world->starts, 1);
}

/* Requests that hang: the machine is told, and may ask again. */
static void test_quiesce_that_takes_its_time(void **state)
{
	struct virtio_world *world = *state;

	start_world(world, WORLD_FEATURES);
	assert_false(virtio_quiesce(&world->device, 0));
	assert_false(virtio_quiesce(&world->device, 1));
	assert_int_equal(world->stops, 1);
	assert_int_equal(status(world), WORLD_STARTED);
	virtio_queue_stopped(&world->device, 1);
	assert_false(virtio_quiesce(&world->device, 0));
	stop_queues(world);
	assert_true(virtio_quiesce(&world->device, 0));
	assert_int_equal(world->stops, 1);
	virtio_resume(&world->device);
	assert_int_equal(world->starts, 2);
	for (unsigned i = 0; i < WORLD_QUEUES; i++)
		assert_true(virtq_started(&world->device.queue[i]));
	/* The queues that run now are counted anew. */
	set_status(world, 0);
	assert_int_equal(status(world), WORLD_STARTED);
	stop_queues(world);
	expect_power_on(world);
}

/* The driver resets the device just before the machine stops its vCPUs, or the other way round. */
static void test_quiesce_and_a_reset(void **state)
{
	struct virtio_world *world = *state;

	start_world(world, WORLD_FEATURES);
	set_status(world, 0);
	assert_false(virtio_quiesce(&world->device, 0));
	stop_queues(world);
	assert_true(virtio_quiesce(&world->device, 0));
	expect_power_on(world);
	virtio_resume(&world->device);
	assert_int_equal(world->starts, 1);

	start_world(world, WORLD_FEATURES);
	assert_false(virtio_quiesce(&world->device, 0));
	set_status(world, 0);
	stop_queues(world);
	expect_power_on(world);
	virtio_resume(&world->device);
	assert_int_equal(world->starts, 2);

	world->stops_at_once = true;
	start_world(world, WORLD_FEATURES);
	assert_true(virtio_quiesce(&world->device, 0));
	set_status(world, 0);
	expect_power_on(world);
	virtio_resume(&world->device);
	expect_power_on(world);
	assert_int_equal(world->starts, 3);
}

/* What breaks is not mended by holding the machine: only a reset does that. */
static void test_quiesce_of_a_broken_device(void **state)
{
	struct virtio_world *world = *state;
	struct virtq_chain chain;

	world->stops_at_once = true;
	start_world(world, WORLD_FEATURES);
	driver_publish(&world->driver[0], 1000);
	assert_int_equal(virtq_pop(&world->device.queue[0], &chain), VIRTQ_BROKEN);
	virtio_device_broken(&world->device, "it is a test");
	assert_true(virtio_quiesce(&world->device, 0));
	virtio_resume(&world->device);
	assert_int_equal(status(world), WORLD_STARTED | VIRTIO_NEEDS_RESET);
	driver_publish(&world->driver[0], 1);
	assert_int_equal(virtq_pop(&world->device.queue[0], &chain), VIRTQ_BROKEN);
	set_status(world, 0);
	expect_power_on(world);
	start_world(world, WORLD_FEATURES);
	assert_int_equal(status(world), WORLD_STARTED);
	offer(world, 0);
	serve_one(world, 0);
}

static void test_power_on(void **state)
{
	struct virtio_world *world = *state;

	world->stops_at_once = true;
	start_world(world, WORLD_FEATURES);
	world->device.regs.config_vector = 3;
	offer(world, 0);
	serve_one(world, 0);
	atomic_store(&world->device.isr, 3);
	assert_true(virtio_quiesce(&world->device, 0));
	virtio_power_on(&world->device);
	expect_power_on(world);
	assert_int_equal(world->transport_resets, 1);
	virtio_resume(&world->device);
	assert_int_equal(world->starts, 1);
	start_world(world, WORLD_FEATURES);
	offer(world, 0);
	serve_one(world, 0);
	driver_expect(&world->driver[0], 0, 4);
}

/* A notification by the bus is one by the doorbell. */
static void test_notifications(void **state)
{
	struct virtio_world *world = *state;

	for (u32 i = 0; i < WORLD_QUEUES; i++) {
		virtio_notify(&world->device, i);
		for (u32 j = 0; j < WORLD_QUEUES; j++)
			assert_int_equal(bell_rang(world->device.queue[j].notify_fd), i == j);
	}
}

/* Several threads: a driver that waits for its reset, and workers that answer. */
static void *answer_late(void *argument)
{
	struct virtio_world *world = argument;

	/* The last that says so ends the reset, whoever it is. */
	for (unsigned i = 0; i < WORLD_QUEUES; i++)
		virtio_queue_stopped(&world->device, i);
	return NULL;
}

static void test_waiting_for_a_reset(void **state)
{
	struct virtio_world *world = *state;

	for (unsigned i = 0; i < 50; i++) {
		pthread_t thread;

		start_world(world, WORLD_FEATURES);
		set_status(world, 0);
		assert_int_equal(pthread_create(&thread, NULL, answer_late, world), 0);
		/* As long as it takes: the test's own time-out ends it. */
		assert_true(wait_reset(world, 3600 * 1000));
		assert_int_equal(status(world), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		expect_power_on(world);
	}
}

static void test_waiting_for_a_quiesce(void **state)
{
	struct virtio_world *world = *state;

	start_world(world, WORLD_FEATURES);
	for (unsigned i = 0; i < 50; i++) {
		pthread_t thread;

		assert_false(virtio_quiesce(&world->device, 0));
		assert_int_equal(pthread_create(&thread, NULL, answer_late, world), 0);
		assert_true(virtio_quiesce(&world->device, 3600 * 1000));
		assert_int_equal(pthread_join(thread, NULL), 0);
		virtio_resume(&world->device);
		assert_int_equal(status(world), WORLD_STARTED);
	}
}

static void test_words_for_the_trace(void **state)
{
	struct virtio_world *world = *state;
	struct trace trace = {.events = 0};
	struct temp_file file;
	struct loop loop = {.sources = 0};
	struct error err;
	char text[1024] = "";

	temp_file_make(&file, "", 0);
	assert_int_equal(trace_open(&trace, TRACE_VIRTIO, file.path, 0, &loop, &err), 0);
	world->device.trace = &trace;
	start_world(world, VIRTIO_VERSION_1);
	atomic_store(&world->device.queue[2].interrupt_fd, VIRTIO_BY_TRANSPORT);
	for (u16 i = 0; i < 3; i++) {
		offer(world, 2);
		serve_one(world, 2);
		virtio_trace_chain(&world->device, 2, i, "%s %u", "thing", 10U + i);
	}
	virtio_signal(&world->device, 2, NULL);
	virtio_signal(&world->device, 2, NULL);
	trace_close(&trace);
	assert_true(pread(file.fd, text, sizeof(text) - 1, 0) > 0);
	assert_says(text, "virtio7/q2 chain 0: thing 10, no irq\n");
	assert_says(text, "virtio7/q2 chain 1: thing 11, no irq\n");
	assert_says(text, "virtio7/q2 chain 2: thing 12, bell 2\n");
	assert_null(strstr(strstr(text, "bell 2") + 1, "virtio7"));
	world->device.trace = NULL;
	temp_file_free(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_interrupts_by_descriptor),
		WORLD_TEST(test_interrupts_by_the_transport),
		WORLD_TEST(test_no_interrupts),
		WORLD_TEST(test_reading_the_configuration),
		WORLD_TEST(test_writing_the_configuration),
		WORLD_TEST(test_quiesce_and_resume),
		WORLD_TEST(test_quiesce_of_a_device_that_does_nothing),
		WORLD_TEST(test_quiesce_that_takes_its_time),
		WORLD_TEST(test_quiesce_and_a_reset),
		WORLD_TEST(test_quiesce_of_a_broken_device),
		WORLD_TEST(test_power_on),
		WORLD_TEST(test_notifications),
		WORLD_TEST(test_waiting_for_a_reset),
		WORLD_TEST(test_waiting_for_a_quiesce),
		WORLD_TEST(test_words_for_the_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
