/*
 * A split virtqueue, from the device's side.
 *
 * The driver shares three areas of its memory: the descriptor table (buffers), the available ring
 * (chains of descriptors that it offers) and the used ring (chains that the device gives back).
 * virtq_pop() takes the next chain: every descriptor is copied once, checked, and turned into
 * pieces of host memory by memory_at(). virtq_push() gives a chain back, virtio_signal() interrupts
 * the driver once for all that was pushed, unless the driver asked for none.
 *
 * What a driver gets wrong costs it as little as possible. A chain that breaks a rule comes out as
 * VIRTQ_BAD and is to be given back with length 0; the next one is served. A ring that can't be
 * read at all (outside of RAM, an available index more than a queue's size ahead, a head that is
 * no descriptor) is VIRTQ_BROKEN, and stays so until the queue is started anew.
 *
 * Ownership: between virtq_start() and virtq_stop() the ring belongs to one thread, the queue's
 * worker. The registers (struct virtq_regs) belong to the device and don't change meanwhile.
 * notify_fd and interrupt_fd are plain descriptors; interrupt_fd alone may change while the queue
 * runs, and is atomic.
 *
 * Limits: no packed rings; a chain has at most VIRTQ_PIECES_MAX pieces, indirect ones included.
 *
 * Source: virtio 1.2, 2.7 "Split Virtqueues".
 */
#ifndef BANTAM_DEVICES_VIRTIO_QUEUE_H
#define BANTAM_DEVICES_VIRTIO_QUEUE_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "vmm/memory.h"
#include "vmm/types.h"

enum { VIRTQ_SIZE_MAX = 1024, VIRTQ_PIECES_MAX = 130 };

/* What the guest sets and sees; plain. */
struct virtq_regs {
	u16 size; /* a power of two, VIRTQ_SIZE_MAX at most */
	bool enabled;
	u16 vector;                       /* MSI-X vector, or VIRTIO_NO_VECTOR */
	u64 descriptors, available, used; /* gpa */
};

/* Where in the rings the device is; plain. Kept over quiesce and resume. */
struct virtq_position {
	u16 next_available; /* the entry of the available ring that is looked at next */
	u16 next_used;      /* the entry of the used ring that is written next */
	u16 signalled;      /* next_used when the driver was last told */
};

enum { VIRTQ_LATENCIES = 40 };

/* What a queue was used for, where somebody wants to know; written by the queue's worker. */
struct virtq_meter {
	u64 chains, out_bytes, in_bytes; /* given back; read from them and written to them */
	u64 interrupts;
	u64 first_ns, last_ns;        /* when the first was taken; the last one's latency */
	u64 latency[VIRTQ_LATENCIES]; /* chains from taken to given back: [n] from 2^n ns on */
	struct {
		u64 at_ns;
		u32 out_bytes;
	} taken[VIRTQ_SIZE_MAX]; /* by their heads */
};

struct virtq {
	const struct memory *memory;
	struct virtq_position position;
	u16 size;
	u16 seen;         /* the available index when it was last looked at */
	bool event_index; /* VIRTIO_F_RING_EVENT_IDX was negotiated … */
	bool indirect;    /* … and VIRTIO_F_RING_INDIRECT_DESC */
	bool broken;
	/* The three areas; each was found by memory_at() for its whole length. */
	u8 *descriptors, *available, *used;

	struct virtq_meter *meter; /* or NULL */

	int notify_fd;           /* rung by the driver's notification, and by the device core */
	atomic_int interrupt_fd; /* written to interrupt the driver; below 0: see device.h */
};

/* A chain, as it was when it was popped. First come the pieces to read, then those to write. */
struct virtq_chain {
	u16 head;
	u16 out, in; /* pieces that the device reads, and that it writes */
	u32 out_bytes, in_bytes;
	struct iovec piece[VIRTQ_PIECES_MAX];
};

enum virtq_result {
	VIRTQ_EMPTY,
	VIRTQ_CHAIN,
	VIRTQ_BAD,    /* only chain->head is of use: give it back with length 0 */
	VIRTQ_BROKEN, /* nothing can be taken or given back any more */
};

/*
 * Takes the rings into use where regs has them, from `position` on. Returns 0, or -1 when an area
 * is not RAM or not aligned, or the size is none.
 */
int virtq_start(struct virtq *queue, const struct virtq_regs *regs, const struct memory *memory,
		bool event_index, bool indirect);

/* Lets go of the rings; does nothing on a queue that isn't started. */
void virtq_stop(struct virtq *queue);

static inline bool virtq_started(const struct virtq *queue)
{
	return queue->descriptors != NULL;
}

/* Takes the next chain. */
enum virtq_result virtq_pop(struct virtq *queue, struct virtq_chain *chain);

/* Puts back the last `count` chains that were popped: they will be popped again. */
void virtq_unpop(struct virtq *queue, u16 count);

/* Gives a chain back; written: how many bytes from the start of its writable part were written. */
void virtq_push(struct virtq *queue, u16 head, u32 written);

/* The same in two steps, for chains that the driver has to see all at once. */
void virtq_place(struct virtq *queue, u16 head, u32 written);
void virtq_publish(struct virtq *queue);

/*
 * Whether the driver wants an interrupt for what was pushed since the last call. The caller sends
 * it.
 */
bool virtq_wants_interrupt(struct virtq *queue);

/*
 * Tells the driver that it need not (false) or has to (true) notify. Returns, after true, whether
 * chains came in meanwhile: the caller goes on popping then, for no notification may come.
 */
bool virtq_ask_notify(struct virtq *queue, bool wanted);

/*
 * Copy from the chain's readable, or to its writable part, at an offset in bytes. Return how many
 * bytes there were to copy, `bytes` at most.
 */
u32 virtq_read(const struct virtq_chain *chain, u32 offset, void *to, u32 bytes);
u32 virtq_write(const struct virtq_chain *chain, u32 offset, const void *from, u32 bytes);

/* The same between a buffer and any pieces; to_guest: into the pieces. */
u32 virtq_copy(const struct iovec *piece, unsigned pieces, u32 offset, void *buffer, u32 bytes,
	       bool to_guest);

/*
 * The part of some pieces from an offset on, `bytes` at most, for one system call. to: room for as many
 * pieces, or the pieces themselves. Returns how many there are.
 */
unsigned virtq_cut(struct iovec *to, const struct iovec *piece, unsigned pieces, size_t offset,
		   size_t bytes);

#endif
