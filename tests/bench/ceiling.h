/*
 * The guest's side of a device that is driven without a virtual machine: the driver.
 *
 * The device, its worker and its queues are the program's own. The driver keeps chains under way in
 * memory that both share, with event indexes, as Linux does, and rings a queue's eventfd as a
 * guest's doorbell would. Its interrupt handler looks at each chain that is used, and may offer it
 * anew. As an interrupt takes a processor from whatever runs there, the handler is called by the
 * worker's thread: what is measured is the device's and the driver's work, and no wake-up. Threaded,
 * the driver is a thread of its own that sleeps in read(2) on an eventfd until the worker rings it.
 * What is left out is KVM: exits, injected interrupts, and the guest's own layers.
 *
 * Limits: one queue runs at a time; an error ends the program with a line on standard error and
 * status 1.
 */
#ifndef BANTAM_TESTS_BENCH_CEILING_H
#define BANTAM_TESTS_BENCH_CEILING_H

#include "devices/virtio/device.h"
#include "devices/virtio/worker.h"

enum { CEILING_QUEUES = 2, CEILING_QUEUE_SIZE = 256 };

/* Guest memory: the rings lie below CEILING_DATA, the rest is the caller's. */
enum { CEILING_DATA = 0x100000, CEILING_MEMORY_BYTES = 16 << 20 };

/* Descriptors and their flags, virtio 1.2, 2.7.5. */
enum { CEILING_DESCRIPTOR_BYTES = 16 };
enum { CEILING_NEXT = 1, CEILING_WRITE = 2, CEILING_INDIRECT = 4 };

struct ceiling_queue {
	/* A chain is used; the handler may offer it anew. */
	void (*used)(struct ceiling_queue *queue, u16 head, u32 written);
	void *owner;
	unsigned quarters; /* of the chains under way, that are used before the next interrupt */

	struct ceiling *guest;
	unsigned index;
	u16 offered, published, collected;
	u64 doorbells, interrupts;
};

struct ceiling {
	struct memory memory;
	struct virtio_device *device;
	struct ceiling_queue queue[CEILING_QUEUES];
	bool threaded;
	int bell_fd; /* interrupts the driver's thread; or tells that all is done */
};

_Noreturn void ceiling_die(const char *what);

/* Makes the guest's memory and gives it to a device, which is opened after that. */
void ceiling_init(struct ceiling *guest, struct virtio_device *device);

/* What to start the device's workers with. */
const struct thread_setup *ceiling_setup(void);

/* Negotiates, lays out so many queues, and starts the device, whose workers run. */
void ceiling_start(struct ceiling *guest, u64 features, unsigned queues);

/* Bytes of guest memory. */
void *ceiling_at(const struct ceiling *guest, u64 gpa, u64 bytes);

/*
 * Writes a descriptor of a queue's table, or of an indirect table at `table`; what comes next is
 * the one behind it.
 */
void ceiling_describe(const struct ceiling_queue *queue, u16 index, u64 gpa, u32 bytes, u16 flags);
void ceiling_describe_at(const struct ceiling *guest, u64 table, u16 index, u64 gpa, u32 bytes,
			 u16 flags);

/* Puts a chain into the available ring. */
void ceiling_offer(struct ceiling_queue *queue, u16 head);

/* Shows the device what was offered, and returns when nothing is under way any more. */
void ceiling_run(struct ceiling_queue *queue);

#endif
