/*
 * block_ceiling - how fast the disk device is without a virtual machine.
 *
 *	block_ceiling FILE SECONDS DEPTH [thread]
 *
 * The disk, its worker and its queue are the program's own; this file plays the driver. It keeps
 * DEPTH random reads of 4 KiB under way in memory that both share, with event indexes and indirect
 * descriptors, as Linux does, and rings the queue's eventfd as a guest's doorbell would. Its
 * interrupt handler gives a new request for each that is done. As an interrupt takes a processor
 * from whatever runs there, the handler is called by the worker's thread: what is measured is the
 * device's and the driver's work, and no wake-up. With `thread` the driver is a thread of its own
 * that sleeps in read(2) on an eventfd until the worker rings it, and both wake each other for every
 * batch. At the end it prints
 *
 *	requests=N ns=N doorbells=N interrupts=N
 *
 * What is left out is KVM: exits, injected interrupts, and the guest's own layers.
 *
 * Limits: one queue; an error ends with a line on standard error and status 1.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/block.h"
#include "vmm/bell.h"
#include "vmm/loop.h"

enum { DEPTH_MAX = 128, REQUEST_BYTES = 4096, MEMORY_BYTES = 16 << 20 };

/* Where things are in the guest's memory. */
enum {
	DESCRIPTORS = 0x10000,
	AVAILABLE = 0x20000,
	USED = 0x30000,
	TABLES = 0x40000,  /* of request i: three descriptors, 64 bytes apart */
	HEADERS = 0x50000, /* of request i: header, and its status 16 bytes behind; 64 apart */
	DATA = 0x100000,
};

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

struct descriptor {
	u64 gpa;
	u32 bytes;
	u16 flags, next;
};

struct used_entry {
	u32 head, written;
};

struct guest {
	struct block block;
	struct memory memory;
	u64 sectors;
	u16 offered, collected;
	u64 doorbells, interrupts, requests, end_ns;
	unsigned under_way;
	bool threaded; /* the driver has a thread of its own, which bell_fd interrupts */
	int bell_fd;   /* without: all is done */
};

static u64 random_number(void)
{
	static u64 state = 88172645463325252U;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void die(const char *what)
{
	fprintf(stderr, "block_ceiling: %s\n", what);
	exit(1);
}

static void *at(struct guest *guest, u64 gpa, u64 bytes)
{
	void *host = memory_at(&guest->memory, gpa, bytes);

	if (!host)
		die("no such memory");
	return host;
}

static u16 *word(struct guest *guest, u64 gpa)
{
	return at(guest, gpa, sizeof(u16));
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

static void nothing(void *transport)
{
	(void)transport;
}

static void describe_interrupt(void *transport, unsigned queue, char *text, size_t bytes)
{
	(void)transport, (void)queue;
	snprintf(text, bytes, "bell");
}

static void interrupt(void *owner, unsigned queue);

static const struct virtio_transport transport = {.doorbells = doorbells,
						  .config_changed = nothing,
						  .was_reset = nothing,
						  .interrupt = interrupt,
						  .describe_interrupt = describe_interrupt};

static void worker_failed(void *owner, const char *why)
{
	(void)owner;
	die(why);
}

static void start(struct guest *guest, const char *path)
{
	static struct disk_config config = {.queues = 1, .read_only = true};
	const struct worker_setup setup = {
		.sandbox = SANDBOX_OFF, .failed = worker_failed, .owner = guest};
	struct virtio_device *device = &guest->block.device;
	struct virtq_regs *regs = &device->regs.queue[0];
	struct error err;

	config.path = path;
	guest->bell_fd = eventfd(0, EFD_CLOEXEC);
	if (guest->bell_fd < 0 ||
	    memory_create(&guest->memory, MEMORY_BYTES, 4 * GIB, 4 * GIB, &err))
		die("no memory");
	block_init(&guest->block);
	device->memory = &guest->memory;
	device->transport = &transport;
	device->transport_owner = guest;
	if (block_open(&guest->block, &config, "virtio1", &err) ||
	    block_start_workers(&guest->block, &setup, &guest->bell_fd, 1, &err))
		die(err.text);
	guest->sectors = guest->block.disk.bytes / DISK_SECTOR_BYTES;

	set_status(device, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	pthread_mutex_lock(&device->lock);
	device->regs.driver_features_select = 0;
	virtio_set_driver_features(
		device, (u32)(VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX | 1U << VIRTIO_BLK_F_FLUSH));
	device->regs.driver_features_select = 1;
	virtio_set_driver_features(device, VIRTIO_VERSION_1 >> 32);
	pthread_mutex_unlock(&device->lock);
	set_status(device, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
	pthread_mutex_lock(&device->lock);
	regs->size = BLOCK_QUEUE_SIZE;
	regs->descriptors = DESCRIPTORS;
	regs->available = AVAILABLE;
	regs->used = USED;
	device->regs.queue_select = 0;
	virtio_enable_queue(device, true);
	virtio_set_interrupt(device, 0, guest->threaded ? guest->bell_fd : VIRTIO_BY_TRANSPORT);
	pthread_mutex_unlock(&device->lock);
	set_status(device,
		   VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

/* Request i's descriptors never change. */
static void describe(struct guest *guest, unsigned i)
{
	const u64 table = TABLES + 64 * (u64)i, header = HEADERS + 64 * (u64)i;
	struct descriptor *head = at(guest, DESCRIPTORS + sizeof(*head) * (u64)i, sizeof(*head));
	struct descriptor *entry = at(guest, table, 3 * sizeof(*entry));

	*head = (struct descriptor){table, 3 * sizeof(*entry), DESC_INDIRECT, 0};
	entry[0] = (struct descriptor){header, sizeof(struct virtio_blk_outhdr), DESC_NEXT, 1};
	entry[1] = (struct descriptor){DATA + (u64)REQUEST_BYTES * i, REQUEST_BYTES,
				       DESC_NEXT | DESC_WRITE, 2};
	entry[2] = (struct descriptor){header + 16, 1, DESC_WRITE, 0};
}

/* Puts request i into the available ring, without publishing it. */
static void offer(struct guest *guest, unsigned i)
{
	struct virtio_blk_outhdr *header =
		at(guest, HEADERS + 64 * (u64)i, sizeof(*header) + sizeof(u8));
	const u64 blocks = guest->sectors / (REQUEST_BYTES / DISK_SECTOR_BYTES);

	header->type = VIRTIO_BLK_T_IN;
	header->sector = random_number() % blocks * (REQUEST_BYTES / DISK_SECTOR_BYTES);
	*(u8 *)(header + 1) = 0xff;
	*word(guest, AVAILABLE + 4 + 2 * (u64)(guest->offered++ % BLOCK_QUEUE_SIZE)) = (u16)i;
}

/* Publishes what was offered, and rings if the device wants to know. */
static void publish(struct guest *guest, u16 before)
{
	const u64 one = 1;
	u16 event;

	__atomic_store_n(word(guest, AVAILABLE + 2), guest->offered, __ATOMIC_RELEASE);
	atomic_thread_fence(memory_order_seq_cst);
	event = __atomic_load_n(word(guest, USED + 4 + 8 * BLOCK_QUEUE_SIZE), __ATOMIC_ACQUIRE);
	if ((u16)(guest->offered - event - 1) >= (u16)(guest->offered - before))
		return;
	guest->doorbells++;
	if (write(guest->block.device.queue[0].notify_fd, &one, sizeof(one)) != sizeof(one))
		die("the doorbell doesn't ring");
}

static bool collect(struct guest *guest, unsigned *request)
{
	const struct used_entry *entry;

	if (guest->collected == __atomic_load_n(word(guest, USED + 2), __ATOMIC_ACQUIRE))
		return false;
	entry = at(guest, USED + 4 + 8 * (u64)(guest->collected++ % BLOCK_QUEUE_SIZE),
		   sizeof(*entry));
	*request = entry->head;
	if (*(volatile u8 *)at(guest, HEADERS + 64 * (u64)*request + 16, 1) ||
	    entry->written != REQUEST_BYTES + 1)
		die("a request failed");
	return true;
}

/* Gives new requests for those that are done, until it may wait for the next interrupt. */
static void handle_interrupt(struct guest *guest)
{
	unsigned i;

	guest->interrupts++;
	do {
		const u16 before = guest->offered;
		const bool on = clock_now_ns() < guest->end_ns;

		while (collect(guest, &i)) {
			guest->requests++;
			if (on)
				offer(guest, i);
			else
				guest->under_way--;
		}
		if (guest->offered != before)
			publish(guest, before);
		/* "Interrupt me for the next." */
		__atomic_store_n(word(guest, AVAILABLE + 4 + 2 * BLOCK_QUEUE_SIZE),
				 guest->collected, __ATOMIC_RELEASE);
		atomic_thread_fence(memory_order_seq_cst);
	} while (guest->collected != __atomic_load_n(word(guest, USED + 2), __ATOMIC_ACQUIRE));
}

/* On the worker's thread. */
static void interrupt(void *owner, unsigned queue)
{
	struct guest *guest = owner;

	(void)queue;
	handle_interrupt(guest);
	if (guest->under_way == 0)
		bell_ring(guest->bell_fd);
}

static void wait_for_bell(const struct guest *guest)
{
	u64 rings;

	if (read(guest->bell_fd, &rings, sizeof(rings)) != sizeof(rings))
		die("no interrupt");
}

static void work(struct guest *guest, unsigned depth, u64 seconds)
{
	const u64 begin = clock_now_ns();

	guest->end_ns = begin + seconds * 1000000000;
	guest->under_way = depth;
	for (unsigned i = 0; i < depth; i++) {
		describe(guest, i);
		offer(guest, i);
	}
	publish(guest, 0);
	do {
		wait_for_bell(guest);
		if (guest->threaded)
			handle_interrupt(guest);
	} while (guest->under_way);
	printf("requests=%llu ns=%llu doorbells=%llu interrupts=%llu\n",
	       (unsigned long long)guest->requests, (unsigned long long)(clock_now_ns() - begin),
	       (unsigned long long)guest->doorbells, (unsigned long long)guest->interrupts);
}

int main(int argc, char **argv)
{
	static struct guest guest;
	const bool right = argc == 4 || (argc == 5 && strcmp(argv[4], "thread") == 0);
	const u64 seconds = right ? strtoull(argv[2], NULL, 10) : 0;
	const unsigned depth = right ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

	if (seconds == 0 || depth == 0 || depth > DEPTH_MAX) {
		fprintf(stderr, "usage: block_ceiling FILE SECONDS DEPTH [thread]\n");
		return 2;
	}
	guest.threaded = argc == 5;
	start(&guest, argv[1]);
	work(&guest, depth, seconds);
	fflush(stdout);
	_exit(0);
}
