/* A virtio device of no kind: see virtio_world.h. */
#include "tests/unit/test.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/virtio_world.h"

static struct virtio_world *of(struct virtio_device *device)
{
	return (struct virtio_world *)(void *)device;
}

static void class_start(struct virtio_device *device)
{
	of(device)->starts++;
}

static bool class_stop(struct virtio_device *device)
{
	of(device)->stops++;
	return of(device)->stops_at_once;
}

static void class_write_config(struct virtio_device *device, u64 offset, unsigned width, u64 value)
{
	struct virtio_world *world = of(device);

	world->config_writes++;
	world->config_offset = offset;
	world->config_width = width;
	world->config_value = value;
}

static void class_was_reset(struct virtio_device *device)
{
	of(device)->class_resets++;
}

static const struct virtio_class world_class = {
	.name = "test",
	.id = 42,
	.pci_class = 0x123456,
	.start = class_start,
	.stop = class_stop,
	.write_config = class_write_config,
	.was_reset = class_was_reset,
};

static void doorbells(void *transport, bool lay)
{
	struct virtio_world *world = transport;

	world->doorbells = lay;
	world->lays += lay;
}

static void was_reset(void *transport)
{
	struct virtio_world *world = transport;

	world->transport_resets++;
}

static void interrupt(void *transport, int queue)
{
	struct virtio_world *world = transport;

	if (queue == VIRTIO_CONFIGURATION) {
		world->config_interrupts++;
		return;
	}
	world->interrupts++;
	world->interrupted = (unsigned)queue;
}

static void describe_interrupt(void *transport, unsigned queue, char *text, size_t bytes)
{
	(void)transport;
	snprintf(text, bytes, "bell %u", queue);
}

static const struct virtio_transport counting_transport = {
	.doorbells = doorbells,
	.was_reset = was_reset,
	.interrupt = interrupt,
	.describe_interrupt = describe_interrupt,
};

void world_init(struct virtio_world *world)
{
	struct error err;

	*world = (struct virtio_world){.device = {.name = "virtio7",
						  .features = WORLD_FEATURES,
						  .queue_size_max = WORLD_QUEUE_SIZE,
						  .queues = WORLD_QUEUES,
						  .config_bytes = WORLD_CONFIG_BYTES,
						  .line_interrupts = true}};
	world->device.config = world->config;
	fill_pattern(world->config, sizeof(world->config), 9);
	arena_make(&world->arena, MIB, 0);
	world->device.memory = &world->arena.memory;
	/* Said once already: tests that break the device stay silent. */
	world->device.told = true;
	assert_int_equal(virtio_device_init(&world->device, &world_class, &err), 0);
}

void world_destroy(struct virtio_world *world)
{
	virtio_device_destroy(&world->device);
	arena_free(&world->arena);
}

int world_set_up(void **state)
{
	static struct virtio_world world;

	world_init(&world);
	world.device.transport = &counting_transport;
	world.device.transport_owner = &world;
	world.class_resets = 0;
	*state = &world;
	return 0;
}

int world_tear_down(void **state)
{
	world_destroy(*state);
	return 0;
}

void set_status(struct virtio_world *world, unsigned value)
{
	pthread_mutex_lock(&world->device.lock);
	virtio_set_status(&world->device, (u8)value);
	pthread_mutex_unlock(&world->device.lock);
}

u8 status(struct virtio_world *world)
{
	u8 value;

	pthread_mutex_lock(&world->device.lock);
	value = world->device.regs.status;
	pthread_mutex_unlock(&world->device.lock);
	return value;
}

void choose_features(struct virtio_world *world, u64 features)
{
	for (u32 half = 0; half < 2; half++) {
		world->device.regs.driver_features_select = half;
		virtio_write_register(&world->device, VIRTIO_REG_DRIVER_FEATURES,
				      (u32)(features >> (32 * half)), ~(u64)0);
	}
}

void select_queue(struct virtio_world *world, u16 queue)
{
	world->device.regs.queue_select = queue;
}

bool wait_reset(struct virtio_world *world, unsigned timeout_ms)
{
	bool done;

	pthread_mutex_lock(&world->device.lock);
	done = virtio_wait_stopped(&world->device, timeout_ms);
	pthread_mutex_unlock(&world->device.lock);
	return done;
}

void place_queue(struct virtio_world *world, unsigned queue)
{
	struct driver_queue *driver = &world->driver[queue];
	struct virtq_regs *regs;

	driver_make(driver, &world->arena.memory, 0x1000 + 0x8000 * (u64)queue, (u16)(8 << queue));
	select_queue(world, (u16)queue);
	assert_non_null(virtio_writable_queue(&world->device));
	virtio_write_register(&world->device, VIRTIO_REG_QUEUE_SIZE, driver->size, ~(u64)0);
	regs = virtio_selected_queue(&world->device);
	regs->descriptors = driver->descriptors;
	regs->available = driver->available;
	regs->used = driver->used;
	virtio_write_register(&world->device, VIRTIO_REG_QUEUE_ENABLE, true, ~(u64)0);
	assert_true(regs->enabled);
}

void begin_world(struct virtio_world *world, u64 features)
{
	set_status(world, VIRTIO_ACKNOWLEDGE);
	set_status(world, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	choose_features(world, features);
	set_status(world, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	assert_true(status(world) & VIRTIO_FEATURES_OK);
	set_status(world, WORLD_STARTED);
}

void start_world(struct virtio_world *world, u64 features)
{
	for (unsigned i = 0; i < WORLD_QUEUES; i++) {
		place_queue(world, i);
		world->driver[i].event_index = features & VIRTIO_EVENT_IDX;
	}
	begin_world(world, features);
	assert_int_equal(status(world), WORLD_STARTED);
}

void stop_queues(struct virtio_world *world)
{
	for (unsigned i = 0; i < WORLD_QUEUES; i++) {
		if (virtq_started(&world->device.queue[i]))
			virtio_queue_stopped(&world->device, i);
	}
}

void expect_power_on(struct virtio_world *world)
{
	const struct virtio_regs *regs = &world->device.regs;

	assert_int_equal(status(world), 0);
	assert_int_equal(regs->device_features_select, 0);
	assert_int_equal(regs->driver_features_select, 0);
	assert_true(regs->driver_features == 0);
	assert_int_equal(regs->queue_select, 0);
	assert_int_equal(regs->config_vector, VIRTIO_NO_VECTOR);
	assert_int_equal(atomic_load(&world->device.isr), 0);
	for (unsigned i = 0; i < WORLD_QUEUES; i++) {
		assert_int_equal(regs->queue[i].size, WORLD_QUEUE_SIZE);
		assert_int_equal(regs->queue[i].vector, VIRTIO_NO_VECTOR);
		assert_false(regs->queue[i].enabled);
		assert_true(regs->queue[i].descriptors == 0);
		assert_true(regs->queue[i].available == 0);
		assert_true(regs->queue[i].used == 0);
		assert_false(virtq_started(&world->device.queue[i]));
		assert_int_equal(world->device.queue[i].position.next_available, 0);
		assert_int_equal(world->device.queue[i].position.next_used, 0);
		assert_int_equal(world->device.queue[i].position.signalled, 0);
	}
}

bool bell_rang(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	u64 rings;

	if (poll(&poll_fd, 1, 0) != 1)
		return false;
	return read(fd, &rings, sizeof(rings)) == sizeof(rings);
}
