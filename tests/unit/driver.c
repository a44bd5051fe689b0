/* A fake guest driver: see driver.h. */
#include "tests/unit/test.h"

#include <unistd.h>

#include "tests/unit/driver.h"

enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4 };

struct table_entry {
	u64 gpa;
	u32 bytes;
	u16 flags, next;
};

_Static_assert(sizeof(struct table_entry) == DRIVER_DESCRIPTOR_BYTES, "virtio 1.2, 2.7.5");

void *driver_at(const struct memory *memory, u64 gpa, u64 bytes)
{
	void *host = memory_at(memory, gpa, bytes);

	assert_non_null(host);
	return host;
}

static u16 load(const struct driver_queue *queue, u64 gpa)
{
	return __atomic_load_n((const u16 *)driver_at(queue->memory, gpa, 2), __ATOMIC_ACQUIRE);
}

static void store(const struct driver_queue *queue, u64 gpa, u16 value)
{
	__atomic_store_n((u16 *)driver_at(queue->memory, gpa, 2), value, __ATOMIC_RELEASE);
}

static u64 available_bytes(u16 size)
{
	return 6 + 2 * (u64)size;
}

static u64 used_bytes(u16 size)
{
	return 6 + 8 * (u64)size;
}

/* The next multiple of `to` that isn't one of 2 * to. */
static u64 align_only(u64 gpa, u64 to)
{
	return align_up(gpa + to, 2 * to) + to;
}

void driver_make(struct driver_queue *queue, const struct memory *memory, u64 gpa, u16 size)
{
	*queue = (struct driver_queue){.memory = memory, .size = size};
	queue->descriptors = gpa;
	queue->available = align_only(gpa + DRIVER_DESCRIPTOR_BYTES * (u64)size, 2);
	queue->used = align_only(queue->available + available_bytes(size), 4);
	queue->end = queue->used + used_bytes(size);
	memset(driver_at(memory, gpa, queue->end - gpa), 0, queue->end - gpa);
}

void driver_begin_at(struct driver_queue *queue, u16 position)
{
	queue->next_available = queue->last_used = position;
	store(queue, queue->available + RING_INDEX, position);
	store(queue, queue->used + RING_INDEX, position);
}

struct virtq_regs driver_regs(const struct driver_queue *queue)
{
	return (struct virtq_regs){.size = queue->size,
				   .enabled = true,
				   .vector = 0xffff,
				   .descriptors = queue->descriptors,
				   .available = queue->available,
				   .used = queue->used};
}

void driver_describe_at(const struct driver_queue *queue, u64 table, u16 index, u64 gpa, u32 bytes,
			u16 flags, u16 next)
{
	const struct table_entry entry = {gpa, bytes, flags, next};

	memcpy(driver_at(queue->memory, table + DRIVER_DESCRIPTOR_BYTES * (u64)index,
			 sizeof(entry)),
	       &entry, sizeof(entry));
}

void driver_describe(const struct driver_queue *queue, u16 index, u64 gpa, u32 bytes, u16 flags,
		     u16 next)
{
	assert_true(index < queue->size);
	driver_describe_at(queue, queue->descriptors, index, gpa, bytes, flags, next);
}

__attribute__((no_sanitize("thread"))) void driver_spoil(const struct driver_queue *queue,
							 u16 index, u64 gpa, u32 bytes, u16 flags,
							 u16 next)
{
	volatile u64 *entry = driver_at(queue->memory,
					queue->descriptors + DRIVER_DESCRIPTOR_BYTES * (u64)index,
					DRIVER_DESCRIPTOR_BYTES);

	entry[0] = gpa;
	entry[1] = bytes | (u64)flags << 32 | (u64)next << 48;
}

void driver_publish(struct driver_queue *queue, u16 index)
{
	queue->next_available = index;
	store(queue, queue->available + RING_INDEX, index);
}

void driver_offer_head(struct driver_queue *queue, u16 head)
{
	store(queue,
	      queue->available + RING_ENTRIES + 2 * (u64)(queue->next_available % queue->size),
	      head);
	driver_publish(queue, (u16)(queue->next_available + 1));
}

static u16 take_free(struct driver_queue *queue)
{
	for (u16 i = 0; i < queue->size; i++) {
		if (!queue->busy[i]) {
			queue->busy[i] = true;
			return i;
		}
	}
	fail_msg("the driver has no free descriptor");
	return 0;
}

u16 driver_add(struct driver_queue *queue, const struct driver_buffer *buffer, unsigned buffers)
{
	const u16 head = take_free(queue);
	u16 at = head;

	for (unsigned i = 0; i < buffers; i++) {
		const u16 flags = buffer[i].write ? DRIVER_WRITE : 0;
		u16 next = 0;

		if (i + 1 < buffers)
			next = take_free(queue);
		driver_describe(queue, at, buffer[i].gpa, buffer[i].bytes,
				(u16)(flags | (i + 1 < buffers ? DRIVER_NEXT : 0)), next);
		at = next;
	}
	driver_offer_head(queue, head);
	return head;
}

u16 driver_add_indirect(struct driver_queue *queue, const struct driver_buffer *buffer,
			unsigned buffers, u64 table)
{
	const u16 head = take_free(queue);

	for (u16 i = 0; i < buffers; i++) {
		const u16 flags = buffer[i].write ? DRIVER_WRITE : 0;

		driver_describe_at(queue, table, i, buffer[i].gpa, buffer[i].bytes,
				   (u16)(flags | (i + 1U < buffers ? DRIVER_NEXT : 0)),
				   (u16)(i + 1));
	}
	driver_describe(queue, head, table, DRIVER_DESCRIPTOR_BYTES * buffers, DRIVER_INDIRECT, 0);
	driver_offer_head(queue, head);
	return head;
}

bool driver_must_kick(const struct driver_queue *queue, u16 before)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (!queue->event_index)
		return !(driver_used_flags(queue) & 1);
	/* 2.7.10: the index was passed. */
	for (u16 index = before; index != queue->next_available; index++) {
		if (index == driver_available_event(queue))
			return true;
	}
	return false;
}

bool driver_kick(const struct driver_queue *queue, u16 before, int notify_fd)
{
	const u64 one = 1;

	if (!driver_must_kick(queue, before))
		return false;
	assert_int_equal(write(notify_fd, &one, sizeof(one)), sizeof(one));
	return true;
}

/* Follows a chain in the queue's own table and gives its descriptors free. */
static void free_chain(struct driver_queue *queue, u32 head)
{
	struct table_entry entry = {.flags = DRIVER_NEXT, .next = (u16)head};

	for (unsigned steps = 0; (entry.flags & DRIVER_NEXT) && entry.next < queue->size; steps++) {
		if (steps == queue->size)
			return;
		queue->busy[entry.next] = false;
		memcpy(&entry,
		       driver_at(queue->memory,
				 queue->descriptors + DRIVER_DESCRIPTOR_BYTES * (u64)entry.next,
				 sizeof(entry)),
		       sizeof(entry));
	}
}

bool driver_collect(struct driver_queue *queue, struct driver_used *used)
{
	if (driver_used_index(queue) == queue->last_used)
		return false;
	memcpy(used,
	       driver_at(queue->memory,
			 queue->used + RING_ENTRIES + 8 * (u64)(queue->last_used % queue->size),
			 sizeof(*used)),
	       sizeof(*used));
	queue->last_used++;
	free_chain(queue, used->head);
	return true;
}

void driver_expect(struct driver_queue *queue, u16 head, u32 written)
{
	struct driver_used used = {0};

	assert_true(driver_collect(queue, &used));
	assert_int_equal(used.head, head);
	assert_int_equal(used.written, written);
}

u16 driver_used_index(const struct driver_queue *queue)
{
	return load(queue, queue->used + RING_INDEX);
}

void driver_set_used_event(const struct driver_queue *queue, u16 index)
{
	store(queue, queue->available + available_bytes(queue->size) - 2, index);
}

u16 driver_available_event(const struct driver_queue *queue)
{
	return load(queue, queue->used + used_bytes(queue->size) - 2);
}

void driver_set_available_event(const struct driver_queue *queue, u16 index)
{
	store(queue, queue->used + used_bytes(queue->size) - 2, index);
}

void driver_set_flags(const struct driver_queue *queue, u16 flags)
{
	store(queue, queue->available + RING_FLAGS, flags);
}

u16 driver_used_flags(const struct driver_queue *queue)
{
	return load(queue, queue->used + RING_FLAGS);
}
