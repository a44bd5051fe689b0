/*
 * A guest's driver of one split virtqueue, in ordinary memory: it lays out the rings, offers chains
 * of buffers, notifies, and collects what the device gives back.
 *
 * It keeps to virtio 1.2, 2.7 as long as a test asks for nothing else: driver_describe(),
 * driver_offer_head() and driver_publish() write whatever they are told. What both sides share is
 * read with acquire and written with release order, so that a device may serve the queue on a
 * thread of its own.
 */
#ifndef BANTAM_TESTS_UNIT_DRIVER_H
#define BANTAM_TESTS_UNIT_DRIVER_H

#include "devices/virtio/queue.h"
#include "tests/unit/support.h"

/* Descriptor flags, virtio 1.2, 2.7.5. */
enum { DRIVER_NEXT = 1, DRIVER_WRITE = 2, DRIVER_INDIRECT = 4 };

enum { DRIVER_DESCRIPTOR_BYTES = 16 };

struct driver_buffer {
	u64 gpa;
	u32 bytes;
	bool write; /* by the device */
};

/* What the device gave back. */
struct driver_used {
	u32 head;
	u32 written;
};

struct driver_queue {
	const struct memory *memory;
	u16 size;
	u64 descriptors, available, used; /* gpa of the three areas */
	u64 end;                          /* gpa behind them */
	bool event_index;                 /* negotiated; set by the test */
	u16 next_available;               /* the available index as it was last published */
	u16 last_used;                    /* the entry of the used ring that is collected next */
	bool busy[VIRTQ_SIZE_MAX];        /* descriptors in chains that are with the device */
};

/*
 * Lays an empty queue of `size` descriptors out from gpa (a multiple of 16) on, and clears it. Each
 * ring lies on a multiple of its alignment that isn't one of twice as much.
 */
void driver_make(struct driver_queue *queue, const struct memory *memory, u64 gpa, u16 size);

/* Both ring indexes begin at `position`, as if so many chains had gone round. */
void driver_begin_at(struct driver_queue *queue, u16 position);

/* What a device's registers are for this queue. */
struct virtq_regs driver_regs(const struct driver_queue *queue);

/* Writes one descriptor of the queue's table, or of an indirect table at `table`. */
void driver_describe(const struct driver_queue *queue, u16 index, u64 gpa, u32 bytes, u16 flags,
		     u16 next);
void driver_describe_at(const struct driver_queue *queue, u64 table, u16 index, u64 gpa, u32 bytes,
			u16 flags, u16 next);

/* Puts a head into the next entry of the available ring and publishes it. */
void driver_offer_head(struct driver_queue *queue, u16 head);

/* Changes a descriptor that the device may just be reading, as no good driver does: a race, and meant. */
void driver_spoil(const struct driver_queue *queue, u16 index, u64 gpa, u32 bytes, u16 flags,
		  u16 next);

/* Writes the available index, whatever it is. */
void driver_publish(struct driver_queue *queue, u16 index);

/*
 * Chains buffers with free descriptors, and offers them; the test ends when there aren't enough.
 * Returns the head.
 */
u16 driver_add(struct driver_queue *queue, const struct driver_buffer *buffer, unsigned buffers);

/* The same with one descriptor, and a table at gpa `table` for the buffers. */
u16 driver_add_indirect(struct driver_queue *queue, const struct driver_buffer *buffer,
			unsigned buffers, u64 table);

/*
 * Whether a driver that published its chains from the available index `before` on has to notify;
 * kick also writes to the device's eventfd then.
 */
bool driver_must_kick(const struct driver_queue *queue, u16 before);
bool driver_kick(const struct driver_queue *queue, u16 before, int notify_fd);

/* Takes the next entry of the used ring and frees its chain; false when there is none. */
bool driver_collect(struct driver_queue *queue, struct driver_used *used);

/* The same, and the test ends unless it is this one. */
void driver_expect(struct driver_queue *queue, u16 head, u32 written);

/* The used ring's index. */
u16 driver_used_index(const struct driver_queue *queue);

/* "Interrupt me when the used index passes this", and the device's "notify me when …". */
void driver_set_used_event(const struct driver_queue *queue, u16 index);
u16 driver_available_event(const struct driver_queue *queue);
void driver_set_available_event(const struct driver_queue *queue, u16 index);

/* The same without event indexes: one flag each. */
void driver_set_flags(const struct driver_queue *queue, u16 flags);
u16 driver_used_flags(const struct driver_queue *queue);

/* Guest memory that has to be there: the test ends when it isn't. */
void *driver_at(const struct memory *memory, u64 gpa, u64 bytes);

#endif
