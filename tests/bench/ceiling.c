/* The driver of a device without a virtual machine: see ceiling.h. */
#include "tests/bench/ceiling.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/bell.h"

/* Where a queue's rings are, from QUEUE_BYTES times its number on. */
enum { QUEUE_BYTES = 0x10000, DESCRIPTORS = 0, AVAILABLE = 0x4000, USED = 0x8000 };

/* So many chains are looked at before those offered meanwhile are published. */
enum { BURST = 32 };

struct descriptor {
	u64 gpa;
	u32 bytes;
	u16 flags, next;
};

struct used_entry {
	u32 head, written;
};

void ceiling_die(const char *what)
{
	fprintf(stderr, "ceiling: %s\n", what);
	exit(1);
}

void *ceiling_at(const struct ceiling *guest, u64 gpa, u64 bytes)
{
	void *host = memory_at(&guest->memory, gpa, bytes);

	if (!host)
		ceiling_die("no such memory");
	return host;
}

static u64 part(const struct ceiling_queue *queue, u64 offset)
{
	return QUEUE_BYTES * (u64)(queue->index + 1) + offset;
}

static u16 *word(const struct ceiling_queue *queue, u64 offset)
{
	return ceiling_at(queue->guest, part(queue, offset), sizeof(u16));
}

static void set_status(struct virtio_device *device, u8 value)
{
	pthread_mutex_lock(&device->lock);
	virtio_set_status(device, value);
	pthread_mutex_unlock(&device->lock);
}

static void doorbells(void *transport, bool lay)
{
	(void)transport, (void)lay;
}

static void describe_interrupt(void *transport, unsigned queue, char *text, size_t bytes)
{
	(void)transport, (void)queue;
	snprintf(text, bytes, "bell");
}

static void interrupt(void *owner, int index);

static const struct virtio_transport transport = {
	.doorbells = doorbells, .interrupt = interrupt, .describe_interrupt = describe_interrupt};

static void worker_failed(void *owner, const char *why)
{
	(void)owner;
	ceiling_die(why);
}

const struct thread_setup *ceiling_setup(void)
{
	static const struct thread_setup setup = {.sandbox = SANDBOX_OFF, .failed = worker_failed};

	return &setup;
}

void ceiling_init(struct ceiling *guest, struct virtio_device *device)
{
	struct error err;

	guest->device = device;
	if (memory_create(&guest->memory, CEILING_MEMORY_BYTES, 4 * GIB, 4 * GIB, &err))
		ceiling_die(err.text);
	guest->bell_fd = eventfd(0, EFD_CLOEXEC);
	if (guest->bell_fd < 0)
		ceiling_die("no interrupt");
	device->memory = &guest->memory;
	device->transport = &transport;
	device->transport_owner = guest;
}

static void lay_queue(struct ceiling *guest, unsigned index)
{
	struct ceiling_queue *queue = &guest->queue[index];
	struct virtio_device *device = guest->device;
	struct virtq_regs *regs = &device->regs.queue[index];

	queue->guest = guest;
	queue->index = index;
	regs->size = CEILING_QUEUE_SIZE;
	regs->descriptors = part(queue, DESCRIPTORS);
	regs->available = part(queue, AVAILABLE);
	regs->used = part(queue, USED);
	device->regs.queue_select = (u16)index;
	virtio_write_register(device, VIRTIO_REG_QUEUE_ENABLE, true, ~(u64)0);
	atomic_store(&device->queue[index].interrupt_fd,
		     guest->threaded ? guest->bell_fd : VIRTIO_BY_TRANSPORT);
}

void ceiling_start(struct ceiling *guest, u64 features, unsigned queues)
{
	const u8 negotiated = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK;
	struct virtio_device *device = guest->device;

	set_status(device, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	pthread_mutex_lock(&device->lock);
	for (u32 half = 0; half < 2; half++) {
		device->regs.driver_features_select = half;
		virtio_write_register(device, VIRTIO_REG_DRIVER_FEATURES,
				      (u32)(features >> (32 * half)), ~(u64)0);
	}
	pthread_mutex_unlock(&device->lock);
	set_status(device, negotiated);
	pthread_mutex_lock(&device->lock);
	for (unsigned i = 0; i < queues; i++)
		lay_queue(guest, i);
	pthread_mutex_unlock(&device->lock);
	set_status(device, negotiated | VIRTIO_DRIVER_OK);
}

void ceiling_describe_at(const struct ceiling *guest, u64 table, u16 index, u64 gpa, u32 bytes,
			 u16 flags)
{
	struct descriptor *descriptor =
		ceiling_at(guest, table + sizeof(*descriptor) * index, sizeof(*descriptor));

	*descriptor = (struct descriptor){gpa, bytes, flags, (u16)(index + 1)};
}

void ceiling_describe(const struct ceiling_queue *queue, u16 index, u64 gpa, u32 bytes, u16 flags)
{
	ceiling_describe_at(queue->guest, part(queue, DESCRIPTORS), index, gpa, bytes, flags);
}

void ceiling_offer(struct ceiling_queue *queue, u16 head)
{
	*word(queue, AVAILABLE + 4 + 2 * (u64)(queue->offered++ % CEILING_QUEUE_SIZE)) = head;
}

/* Rings if the device wants to know. */
static void publish(struct ceiling_queue *queue)
{
	const u16 before = queue->published, now = queue->offered;
	const u64 one = 1;
	u16 event;

	if (before == now)
		return;
	queue->published = now;
	__atomic_store_n(word(queue, AVAILABLE + 2), now, __ATOMIC_RELEASE);
	atomic_thread_fence(memory_order_seq_cst);
	event = __atomic_load_n(word(queue, USED + 4 + 8 * CEILING_QUEUE_SIZE), __ATOMIC_ACQUIRE);
	if ((u16)(now - event - 1) >= (u16)(now - before))
		return;
	queue->doorbells++;
	if (write(queue->guest->device->queue[queue->index].notify_fd, &one, sizeof(one)) !=
	    sizeof(one))
		ceiling_die("the doorbell doesn't ring");
}

static u16 used_index(const struct ceiling_queue *queue)
{
	return __atomic_load_n(word(queue, USED + 2), __ATOMIC_ACQUIRE);
}

static void look_at(struct ceiling_queue *queue)
{
	const u64 at = USED + 4 + 8 * (u64)(queue->collected++ % CEILING_QUEUE_SIZE);
	const struct used_entry *entry = ceiling_at(queue->guest, part(queue, at), sizeof(*entry));

	queue->used(queue, (u16)entry->head, entry->written);
}

/* Looks at what is used, until it may wait for the next interrupt. */
static void handle_interrupt(struct ceiling_queue *queue)
{
	u16 event;

	queue->interrupts++;
	do {
		for (u16 i = 1; queue->collected != used_index(queue); i++) {
			look_at(queue);
			if (i % BURST == 0)
				publish(queue);
		}
		publish(queue);
		event = (u16)((u16)(queue->offered - queue->collected) * queue->quarters / 4);
		__atomic_store_n(word(queue, AVAILABLE + 4 + 2 * CEILING_QUEUE_SIZE),
				 (u16)(queue->collected + event), __ATOMIC_RELEASE);
		atomic_thread_fence(memory_order_seq_cst);
	} while ((u16)(used_index(queue) - queue->collected) > event);
}

/* On the worker's thread. */
static void interrupt(void *owner, int index)
{
	struct ceiling *guest = owner;
	struct ceiling_queue *queue;

	if (index == VIRTIO_CONFIGURATION)
		return;
	queue = &guest->queue[index];
	handle_interrupt(queue);
	if (queue->offered == queue->collected)
		bell_ring(guest->bell_fd);
}

void ceiling_run(struct ceiling_queue *queue)
{
	const struct ceiling *guest = queue->guest;
	u64 rings;

	publish(queue);
	do {
		if (read(guest->bell_fd, &rings, sizeof(rings)) != sizeof(rings))
			ceiling_die("no interrupt");
		if (guest->threaded)
			handle_interrupt(queue);
	} while (queue->offered != queue->collected);
}
