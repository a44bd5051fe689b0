/* The guest's memory, watched: see guest.h. */
#include "tests/fuzz/guest.h"

#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/support.h"

enum { TAKEN_MAX = 4096 };

/* Where the rings have what the device writes; virtio 1.2, 2.7.8. */
enum { RING_INDEX = 2, RING_ENTRIES = 4, USED_ENTRY_BYTES = 8 };

/* A chain that is under way. */
struct taken {
	const struct virtq *queue;
	u16 head, number;
	bool returned; /* but another with the same head is not: which of them, nobody knows */
	unsigned pieces;
	struct iovec piece[VIRTQ_PIECES_MAX]; /* to be written */
};

static struct {
	struct arena arena;
	u8 *bytes;
	u8 shadow[GUEST_BYTES];
	struct taken taken[TAKEN_MAX];
	unsigned under_way;
} guest;

enum virtq_result __real_virtq_pop(struct virtq *queue, struct virtq_chain *chain);
enum virtq_result __wrap_virtq_pop(struct virtq *queue, struct virtq_chain *chain);
void __real_virtq_unpop(struct virtq *queue, u16 count);
void __wrap_virtq_unpop(struct virtq *queue, u16 count);
void __real_virtq_push(struct virtq *queue, u16 head, u32 written);
void __wrap_virtq_push(struct virtq *queue, u16 head, u32 written);
void __real_virtq_place(struct virtq *queue, u16 head, u32 written);
void __wrap_virtq_place(struct virtq *queue, u16 head, u32 written);
void __real_virtq_publish(struct virtq *queue);
void __wrap_virtq_publish(struct virtq *queue);
bool __real_virtq_ask_notify(struct virtq *queue, bool wanted);
bool __wrap_virtq_ask_notify(struct virtq *queue, bool wanted);
void __real_virtq_stop(struct virtq *queue);
void __wrap_virtq_stop(struct virtq *queue);

const struct memory *guest_begin(const u8 *image, size_t bytes)
{
	if (!guest.bytes) {
		arena_make(&guest.arena, GUEST_LOW_BYTES, GUEST_HIGH_BYTES);
		guest.bytes = guest.arena.memory.region[0].host;
	}
	if (bytes > GUEST_BYTES)
		bytes = GUEST_BYTES;
	if (bytes)
		memcpy(guest.shadow, image, bytes);
	memset(guest.shadow + bytes, 0, GUEST_BYTES - bytes);
	memcpy(guest.bytes, guest.shadow, GUEST_BYTES);
	guest.under_way = 0;
	return &guest.arena.memory;
}

u64 guest_address(u32 value)
{
	return (value >> 31) * 4 * GIB + (value & 0x7fffffff);
}

/* Takes what is in memory for right. */
static void accept(const u8 *host, size_t bytes)
{
	memcpy(guest.shadow + (host - guest.bytes), host, bytes);
}

void guest_store(u64 gpa, u64 value, unsigned width)
{
	u8 *host = memory_at(&guest.arena.memory, gpa, width);

	if (!host)
		return;
	memcpy(host, &value, width);
	accept(host, width);
}

u64 guest_load(u64 gpa, unsigned width)
{
	const u8 *host = memory_at(&guest.arena.memory, gpa, width);
	u64 value = 0;

	if (host)
		memcpy(&value, host, width);
	return value;
}

void guest_clear(u64 gpa, u64 bytes)
{
	u8 *host = memory_at(&guest.arena.memory, gpa, bytes);

	if (!host)
		return;
	memset(host, 0, bytes);
	accept(host, bytes);
}

void guest_check(void)
{
	static bool may_change[GUEST_BYTES];

	if (memcmp(guest.shadow, guest.bytes, GUEST_BYTES) == 0)
		return;
	memset(may_change, 0, sizeof(may_change));
	for (unsigned i = 0; i < guest.under_way; i++) {
		const struct taken *taken = &guest.taken[i];

		for (unsigned p = 0; p < taken->pieces; p++)
			memset(may_change + ((u8 *)taken->piece[p].iov_base - guest.bytes), 1,
			       taken->piece[p].iov_len);
	}
	for (unsigned i = 0; i < GUEST_BYTES; i++)
		FUZZ_CHECK(may_change[i] || guest.bytes[i] == guest.shadow[i]);
}

unsigned guest_under_way(const struct virtq *queue)
{
	unsigned count = 0;

	for (unsigned i = 0; i < guest.under_way; i++)
		count += guest.taken[i].queue == queue && !guest.taken[i].returned;
	return count;
}

/* Takes all of a queue's chains, or those with a head, from the account. */
static void drop(const struct virtq *queue, bool all, u16 head)
{
	for (unsigned i = guest.under_way; i-- > 0;) {
		struct taken *taken = &guest.taken[i];

		if (taken->queue != queue || !(all || taken->head == head))
			continue;
		for (unsigned p = 0; p < taken->pieces; p++)
			accept(taken->piece[p].iov_base, taken->piece[p].iov_len);
		*taken = guest.taken[--guest.under_way];
	}
}

void guest_forget(const struct virtq *queue)
{
	drop(queue, true, 0);
}

/* All of a piece lies in one region. */
static bool in_ram(const struct iovec *piece)
{
	const u8 *host = piece->iov_base;
	const u64 length = piece->iov_len;

	for (unsigned i = 0; i < guest.arena.memory.regions; i++) {
		const struct memory_region *region = &guest.arena.memory.region[i];

		if (host >= region->host && host < region->host + region->bytes &&
		    length <= (u64)(region->host + region->bytes - host))
			return true;
	}
	return false;
}

static void check_chain(const struct virtq_chain *chain)
{
	u64 out = 0, in = 0;

	FUZZ_CHECK(chain->out + chain->in <= VIRTQ_PIECES_MAX);
	for (unsigned i = 0; i < chain->out + chain->in; i++) {
		FUZZ_CHECK(chain->piece[i].iov_len > 0);
		FUZZ_CHECK(in_ram(&chain->piece[i]));
		*(i < chain->out ? &out : &in) += chain->piece[i].iov_len;
	}
	FUZZ_CHECK(out == chain->out_bytes && in == chain->in_bytes);
}

enum virtq_result __wrap_virtq_pop(struct virtq *queue, struct virtq_chain *chain)
{
	const enum virtq_result result = __real_virtq_pop(queue, chain);
	struct taken *taken = &guest.taken[guest.under_way];

	if (result == VIRTQ_EMPTY || result == VIRTQ_BROKEN)
		return result;
	FUZZ_CHECK(guest.under_way < TAKEN_MAX);
	FUZZ_CHECK(chain->head < queue->size);
	guest.under_way++;
	taken->queue = queue;
	taken->head = chain->head;
	taken->number = (u16)(queue->position.next_available - 1);
	taken->returned = false;
	taken->pieces = 0;
	if (result == VIRTQ_BAD)
		return result;
	check_chain(chain);
	taken->pieces = chain->in;
	memcpy(taken->piece, chain->piece + chain->out, chain->in * sizeof(taken->piece[0]));
	return result;
}

/* A chain isn't under way any more. Its memory may be another's with the same head. */
static void let_go(struct taken *gone)
{
	const struct virtq *queue = gone->queue;
	const u16 head = gone->head;
	bool others = false;

	gone->returned = true;
	for (unsigned i = 0; i < guest.under_way; i++) {
		const struct taken *taken = &guest.taken[i];

		others = others ||
			 (taken->queue == queue && taken->head == head && !taken->returned);
	}
	if (!others)
		drop(queue, false, head);
}

/* The last chains that were taken, and none of them was given back. */
void __wrap_virtq_unpop(struct virtq *queue, u16 count)
{
	for (unsigned n = 0; n < count; n++) {
		const u16 number = (u16)(queue->position.next_available - n - 1);
		struct taken *found = NULL;

		for (unsigned i = 0; i < guest.under_way; i++) {
			struct taken *taken = &guest.taken[i];

			if (taken->queue == queue && taken->number == number && !taken->returned)
				found = taken;
		}
		FUZZ_CHECK(found);
		let_go(found);
	}
	__real_virtq_unpop(queue, count);
}

/* A chain is given back: it was taken, and not given back yet. The first of several. */
static void give_back(const struct virtq *queue, u16 head)
{
	struct taken *first = NULL;
	u16 age = 0;

	for (unsigned i = 0; i < guest.under_way; i++) {
		struct taken *taken = &guest.taken[i];
		const u16 since = (u16)(queue->position.next_available - taken->number);

		if (taken->queue != queue || taken->head != head || taken->returned || since < age)
			continue;
		first = taken;
		age = since;
	}
	FUZZ_CHECK(first);
	let_go(first);
}

static bool works(const struct virtq *queue)
{
	return !queue->broken && virtq_started(queue);
}

/* What was written to the used ring for `before`. */
static void accept_entry(const struct virtq *queue, u16 before)
{
	FUZZ_CHECK(queue->position.next_used == (u16)(before + works(queue)));
	if (works(queue))
		accept(queue->used + RING_ENTRIES +
			       USED_ENTRY_BYTES * (size_t)(before % queue->size),
		       USED_ENTRY_BYTES);
}

void __wrap_virtq_push(struct virtq *queue, u16 head, u32 written)
{
	const u16 before = queue->position.next_used;

	give_back(queue, head);
	__real_virtq_push(queue, head, written);
	accept_entry(queue, before);
	if (works(queue))
		accept(queue->used + RING_INDEX, 2);
}

void __wrap_virtq_place(struct virtq *queue, u16 head, u32 written)
{
	const u16 before = queue->position.next_used;

	give_back(queue, head);
	__real_virtq_place(queue, head, written);
	accept_entry(queue, before);
}

void __wrap_virtq_publish(struct virtq *queue)
{
	__real_virtq_publish(queue);
	if (works(queue))
		accept(queue->used + RING_INDEX, 2);
}

bool __wrap_virtq_ask_notify(struct virtq *queue, bool wanted)
{
	const bool more = __real_virtq_ask_notify(queue, wanted);

	if (queue->broken || !virtq_started(queue)) {
		FUZZ_CHECK(!more);
		return false;
	}
	accept(queue->event_index
		       ? queue->used + RING_ENTRIES + USED_ENTRY_BYTES * (size_t)queue->size
		       : queue->used,
	       2);
	return more;
}

void __wrap_virtq_stop(struct virtq *queue)
{
	FUZZ_CHECK(guest_under_way(queue) == 0);
	__real_virtq_stop(queue);
}
