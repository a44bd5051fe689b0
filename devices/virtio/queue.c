/*
 * A split virtqueue: see queue.h.
 *
 * The rings are shared with running vCPUs. Indexes are read with acquire and written with release
 * order, so that an entry is read after the index that announces it, and is complete before the
 * index that gives it back. Where each side writes one variable and then reads the other's (the
 * notification and interrupt suppression), a full fence stands between: without it both could miss
 * each other, and the queue would sleep for ever.
 */
#include "devices/virtio/queue.h"

#include <string.h>

#include "vmm/loop.h"

/* Descriptor flags, virtio 1.2, 2.7.5. */
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

/* The rings' flags: "I don't need to be told", 2.7.6 and 2.7.8. */
enum { AVAILABLE_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

enum { DESC_BYTES = 16, USED_ENTRY_BYTES = 8 };

/* Offsets in the available and the used ring; both begin with flags and index. */
enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4 };

struct descriptor {
	u64 gpa;
	u32 bytes;
	u16 flags, next;
};

_Static_assert(sizeof(struct descriptor) == DESC_BYTES, "virtio 1.2, 2.7.5");

static u16 load(const u8 *at)
{
	return __atomic_load_n((const u16 *)(const void *)at, __ATOMIC_ACQUIRE);
}

static void store(u8 *at, u16 value)
{
	__atomic_store_n((u16 *)(void *)at, value, __ATOMIC_RELEASE);
}

/* "Tell me when you get to this entry": each side's word to the other stands behind its ring. */
static const u8 *used_event(const struct virtq *queue)
{
	return queue->available + RING_ENTRIES + 2 * (size_t)queue->size;
}

static u8 *available_event(const struct virtq *queue)
{
	return queue->used + RING_ENTRIES + USED_ENTRY_BYTES * (size_t)queue->size;
}

int virtq_start(struct virtq *queue, const struct virtq_regs *regs, const struct memory *memory,
		bool event_index, bool indirect)
{
	const u64 size = regs->size;

	if (size == 0 || size > VIRTQ_SIZE_MAX || (size & (size - 1)))
		return -1;
	if (regs->descriptors % DESC_BYTES || regs->available % 2 || regs->used % 4)
		return -1;
	queue->available = memory_at(memory, regs->available, 6 + 2 * size);
	queue->used = memory_at(memory, regs->used, 6 + USED_ENTRY_BYTES * size);
	queue->descriptors = memory_at(memory, regs->descriptors, DESC_BYTES * size);
	if (!queue->available || !queue->used || !queue->descriptors) {
		queue->descriptors = NULL;
		return -1;
	}
	queue->memory = memory;
	queue->size = regs->size;
	queue->seen = queue->position.next_available;
	queue->event_index = event_index;
	queue->indirect = indirect;
	queue->broken = false;
	return 0;
}

void virtq_stop(struct virtq *queue)
{
	queue->descriptors = queue->available = queue->used = NULL;
}

/* Copies descriptor `index` of a table, once: the guest may change it at any time. */
static struct descriptor copy_descriptor(const u8 *table, u32 index)
{
	struct descriptor copy;

	memcpy(&copy, table + (size_t)index * DESC_BYTES, sizeof(copy));
	/* The compiler must not go back to the original for what it needs later. */
	__asm__ volatile("" ::: "memory");
	return copy;
}

/* Adds a buffer to the chain; false when it breaks a rule. */
static bool add_piece(const struct virtq *queue, struct virtq_chain *chain,
		      const struct descriptor *descriptor)
{
	const bool in = descriptor->flags & DESC_WRITE;
	u32 *total = in ? &chain->in_bytes : &chain->out_bytes;
	void *host;

	/* 2.7.4.2: what the device writes comes behind all that it reads. */
	if (!in && chain->in)
		return false;
	if (descriptor->bytes == 0)
		return true;
	host = memory_at(queue->memory, descriptor->gpa, descriptor->bytes);
	if (!host || chain->out + chain->in == VIRTQ_PIECES_MAX ||
	    chain->in_bytes + (u64)chain->out_bytes + descriptor->bytes > UINT32_MAX)
		return false;
	chain->piece[chain->out + chain->in] =
		(struct iovec){.iov_base = host, .iov_len = descriptor->bytes};
	*total += descriptor->bytes;
	if (in)
		chain->in++;
	else
		chain->out++;
	return true;
}

/*
 * Follows a chain through a table of `entries`. indirect: the table is an indirect one already, in
 * which no other may begin. More steps than entries are a loop.
 */
static bool walk(const struct virtq *queue, struct virtq_chain *chain, const u8 *table, u32 entries,
		 u32 at, bool indirect)
{
	for (u32 steps = 0; steps < entries; steps++) {
		struct descriptor descriptor;

		if (at >= entries)
			return false;
		descriptor = copy_descriptor(table, at);
		if (descriptor.flags & DESC_INDIRECT) {
			const u32 count = descriptor.bytes / DESC_BYTES;

			/* 2.7.5.3.1: neither nested nor followed by another, and whole. */
			if (indirect || !queue->indirect || (descriptor.flags & DESC_NEXT) ||
			    count == 0 || count > VIRTQ_SIZE_MAX || descriptor.bytes % DESC_BYTES)
				return false;
			table = memory_at(queue->memory, descriptor.gpa, descriptor.bytes);
			return table && walk(queue, chain, table, count, 0, true);
		}
		if (!add_piece(queue, chain, &descriptor))
			return false;
		if (!(descriptor.flags & DESC_NEXT))
			return true;
		at = descriptor.next;
	}
	return false;
}

static void note_taken(struct virtq_meter *meter, const struct virtq_chain *chain)
{
	const u64 now = clock_now_ns();

	meter->taken[chain->head].at_ns = now;
	meter->taken[chain->head].out_bytes = chain->out_bytes;
	if (!meter->first_ns)
		count_up(&meter->first_ns, now);
}

static void note_given_back(struct virtq_meter *meter, u16 head, u32 written)
{
	unsigned power;

	meter->last_ns = clock_now_ns() - meter->taken[head].at_ns;
	power = 63U - (unsigned)__builtin_clzll(meter->last_ns | 1);
	count_up(&meter->latency[power < VIRTQ_LATENCIES ? power : VIRTQ_LATENCIES - 1], 1);
	count_up(&meter->out_bytes, meter->taken[head].out_bytes);
	count_up(&meter->in_bytes, written);
	count_up(&meter->chains, 1);
}

enum virtq_result virtq_pop(struct virtq *queue, struct virtq_chain *chain)
{
	enum virtq_result result = VIRTQ_CHAIN;
	u16 waiting;

	if (queue->broken || !virtq_started(queue))
		return VIRTQ_BROKEN;
	/* The driver's processor has the index: it is looked at when what was there is used up. */
	if (queue->seen == queue->position.next_available)
		queue->seen = load(queue->available + RING_INDEX);
	waiting = (u16)(queue->seen - queue->position.next_available);
	if (waiting == 0)
		return VIRTQ_EMPTY;
	chain->head = load(queue->available + RING_ENTRIES +
			   2 * (size_t)(queue->position.next_available % queue->size));
	if (waiting > queue->size || chain->head >= queue->size) {
		queue->broken = true;
		return VIRTQ_BROKEN;
	}
	queue->position.next_available++;
	chain->out = chain->in = 0;
	chain->out_bytes = chain->in_bytes = 0;
	if (!walk(queue, chain, queue->descriptors, queue->size, chain->head, false))
		result = VIRTQ_BAD;
	if (queue->meter)
		note_taken(queue->meter, chain);
	return result;
}

void virtq_unpop(struct virtq *queue, u16 count)
{
	queue->position.next_available = (u16)(queue->position.next_available - count);
}

void virtq_place(struct virtq *queue, u16 head, u32 written)
{
	const u32 entry[] = {head, written};

	if (queue->broken || !virtq_started(queue))
		return;
	memcpy(queue->used + RING_ENTRIES +
		       USED_ENTRY_BYTES * (size_t)(queue->position.next_used % queue->size),
	       entry, sizeof(entry));
	queue->position.next_used++;
	if (queue->meter)
		note_given_back(queue->meter, head, written);
}

void virtq_publish(struct virtq *queue)
{
	if (!queue->broken && virtq_started(queue))
		store(queue->used + RING_INDEX, queue->position.next_used);
}

void virtq_push(struct virtq *queue, u16 head, u32 written)
{
	virtq_place(queue, head, written);
	virtq_publish(queue);
}

bool virtq_wants_interrupt(struct virtq *queue)
{
	const u16 before = queue->position.signalled, now = queue->position.next_used;

	if (before == now || queue->broken || !virtq_started(queue))
		return false;
	queue->position.signalled = now;
	atomic_thread_fence(memory_order_seq_cst);
	if (!queue->event_index)
		return !(load(queue->available + RING_FLAGS) & AVAILABLE_NO_INTERRUPT);
	/* 2.7.10: whether the entry that the driver named lies between before and now. */
	return (u16)(now - load(used_event(queue)) - 1) < (u16)(now - before);
}

bool virtq_ask_notify(struct virtq *queue, bool wanted)
{
	if (queue->broken || !virtq_started(queue))
		return false;
	if (queue->event_index && wanted)
		store(available_event(queue), queue->position.next_available);
	else if (!queue->event_index)
		store(queue->used + RING_FLAGS, wanted ? 0 : USED_NO_NOTIFY);
	if (!wanted)
		return false;
	atomic_thread_fence(memory_order_seq_cst);
	return load(queue->available + RING_INDEX) != queue->position.next_available;
}

u32 virtq_copy(const struct iovec *piece, unsigned pieces, u32 offset, void *buffer, u32 bytes,
	       bool to_guest)
{
	u8 *at = buffer;
	u32 copied = 0;

	for (unsigned i = 0; i < pieces && copied < bytes; i++) {
		u8 *host = piece[i].iov_base;
		u32 count = (u32)piece[i].iov_len;

		if (offset >= count) {
			offset -= count;
			continue;
		}
		host += offset;
		count -= offset;
		offset = 0;
		if (count > bytes - copied)
			count = bytes - copied;
		if (to_guest)
			memcpy(host, at + copied, count);
		else
			memcpy(at + copied, host, count);
		copied += count;
	}
	return copied;
}

unsigned virtq_cut(struct iovec *to, const struct iovec *piece, unsigned pieces, size_t offset,
		   size_t bytes)
{
	unsigned count = 0;

	for (unsigned i = 0; i < pieces && bytes; i++) {
		const struct iovec whole = piece[i];
		const size_t skipped = offset < whole.iov_len ? offset : whole.iov_len;
		const size_t left = whole.iov_len - skipped, length = left < bytes ? left : bytes;

		offset -= skipped;
		bytes -= length;
		if (length)
			to[count++] = (struct iovec){(u8 *)whole.iov_base + skipped, length};
	}
	return count;
}

u32 virtq_read(const struct virtq_chain *chain, u32 offset, void *to, u32 bytes)
{
	const u32 copied = virtq_copy(chain->piece, chain->out, offset, to, bytes, false);

	__asm__ volatile("" ::: "memory");
	return copied;
}

u32 virtq_write(const struct virtq_chain *chain, u32 offset, const void *from, u32 bytes)
{
	/* The buffer is only read from: to_guest is true. */
	return virtq_copy(chain->piece + chain->out, chain->in, offset, (void *)(uintptr_t)from,
			  bytes, true);
}
