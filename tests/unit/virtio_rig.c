/* A guest around a real device: see virtio_rig.h. */
#include "tests/unit/test.h"

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/virtio_rig.h"

static void doorbells(void *transport, bool lay)
{
	struct rig *rig = transport;

	rig->doorbells = lay;
}

static void ring(int fd)
{
	const u64 one = 1;

	(void)!write(fd, &one, sizeof(one));
}

static void interrupt(void *transport, int queue)
{
	struct rig *rig = transport;

	if (queue == VIRTIO_CONFIGURATION)
		atomic_fetch_add(&rig->config_interrupts, 1);
	ring(queue == VIRTIO_CONFIGURATION ? rig->config_fd : rig->interrupt_fd[queue]);
}

static void describe_interrupt(void *transport, unsigned queue, char *text, size_t bytes)
{
	(void)transport;
	snprintf(text, bytes, "bell %u", queue);
}

static const struct virtio_transport rig_transport = {
	.doorbells = doorbells,
	.interrupt = interrupt,
	.describe_interrupt = describe_interrupt,
};

void rig_init(struct rig *rig, u64 memory_bytes)
{
	*rig = (struct rig){.device = NULL};
	arena_make(&rig->arena, memory_bytes, 0);
	for (unsigned i = 0; i < RIG_QUEUES; i++) {
		rig->interrupt_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(rig->interrupt_fd[i] >= 0);
	}
	rig->config_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(rig->config_fd >= 0);
}

void rig_attach(struct rig *rig, struct virtio_device *device)
{
	rig->device = device;
	device->memory = &rig->arena.memory;
	device->transport = &rig_transport;
	device->transport_owner = rig;
	device->told = true; /* that it is broken: tests stay silent */
	for (unsigned i = 0; i < device->queues && i < RIG_QUEUES; i++)
		atomic_store(&device->queue[i].interrupt_fd, rig->interrupt_fd[i]);
}

void rig_destroy(struct rig *rig)
{
	for (unsigned i = 0; i < RIG_QUEUES; i++)
		close(rig->interrupt_fd[i]);
	close(rig->config_fd);
	arena_free(&rig->arena);
}

static void set_status(struct rig *rig, u8 value)
{
	pthread_mutex_lock(&rig->device->lock);
	virtio_set_status(rig->device, value);
	pthread_mutex_unlock(&rig->device->lock);
}

u8 rig_status(struct rig *rig)
{
	u8 value;

	pthread_mutex_lock(&rig->device->lock);
	value = rig->device->regs.status;
	pthread_mutex_unlock(&rig->device->lock);
	return value;
}

static void lay_queue(struct rig *rig, unsigned i, u64 features)
{
	struct driver_queue *driver = &rig->driver[i];
	struct virtq_regs *regs;

	driver_make(driver, &rig->arena.memory, 0x1000 + 0x2000 * (u64)i, RIG_QUEUE_SIZE);
	assert_true(driver->end <= RIG_DATA);
	driver->event_index = features & VIRTIO_EVENT_IDX;
	rig->device->regs.queue_select = (u16)i;
	virtio_write_register(rig->device, VIRTIO_REG_QUEUE_SIZE, driver->size, ~(u64)0);
	regs = virtio_selected_queue(rig->device);
	assert_non_null(regs);
	assert_int_equal(regs->size, driver->size);
	regs->descriptors = driver->descriptors;
	regs->available = driver->available;
	regs->used = driver->used;
	virtio_write_register(rig->device, VIRTIO_REG_QUEUE_ENABLE, true, ~(u64)0);
}

void rig_start(struct rig *rig, u64 features, unsigned queues)
{
	const u8 negotiated = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK;
	u64 rings;

	assert_true(queues <= RIG_QUEUES);
	set_status(rig, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	pthread_mutex_lock(&rig->device->lock);
	for (u32 half = 0; half < 2; half++) {
		rig->device->regs.driver_features_select = half;
		virtio_write_register(rig->device, VIRTIO_REG_DRIVER_FEATURES,
				      (u32)(features >> (32 * half)), ~(u64)0);
	}
	for (unsigned i = 0; i < queues; i++) {
		lay_queue(rig, i, features);
		(void)!read(rig->interrupt_fd[i], &rings, sizeof(rings));
	}
	pthread_mutex_unlock(&rig->device->lock);
	set_status(rig, negotiated);
	assert_int_equal(rig_status(rig), negotiated);
	set_status(rig, negotiated | VIRTIO_DRIVER_OK);
	assert_int_equal(rig_status(rig), negotiated | VIRTIO_DRIVER_OK);
}

void rig_ask_reset(struct rig *rig)
{
	set_status(rig, 0);
}

void rig_reset(struct rig *rig)
{
	pthread_mutex_lock(&rig->device->lock);
	virtio_set_status(rig->device, 0);
	while (!virtio_wait_stopped(rig->device, 3600 * 1000))
		;
	assert_int_equal(rig->device->regs.status, 0);
	pthread_mutex_unlock(&rig->device->lock);
}

bool rig_is_broken(struct rig *rig)
{
	return rig_status(rig) & VIRTIO_NEEDS_RESET;
}

/* Waits until a descriptor is rung, and silences it. */
static void wait_for(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	u64 rings;

	assert_int_equal(poll(&poll_fd, 1, -1), 1);
	assert_int_equal(read(fd, &rings, sizeof(rings)), sizeof(rings));
}

void rig_wait_broken(struct rig *rig)
{
	while (!rig_is_broken(rig))
		wait_for(rig->config_fd);
}

void rig_kick(struct rig *rig, unsigned queue, u16 before)
{
	assert_true(rig->doorbells);
	driver_kick(&rig->driver[queue], before, rig->device->queue[queue].notify_fd);
}

struct driver_used rig_wait(struct rig *rig, unsigned queue)
{
	struct driver_queue *driver = &rig->driver[queue];
	struct driver_used used = {0};

	while (!driver_collect(driver, &used)) {
		/* Ask to be told, look once more, sleep. */
		driver_set_used_event(driver, driver->last_used);
		atomic_thread_fence(memory_order_seq_cst);
		if (driver_used_index(driver) != driver->last_used)
			continue;
		wait_for(rig->interrupt_fd[queue]);
	}
	return used;
}

u8 *rig_at(struct rig *rig, u64 gpa, u64 bytes)
{
	return driver_at(&rig->arena.memory, gpa, bytes);
}
