/*
 * A virtqueue alone (devices/virtio/queue.c), on guest memory that is all input: rings,
 * descriptors, indirect tables.
 *
 * Input: a header (what the driver's registers say, and where in the rings the queue is), a number
 * of actions, the actions, and guest memory from address 0 on. The actions are the device's calls,
 * and the guest's stores in between.
 *
 * Checked, besides what guest.h does: a pop gives what a second reading of the specification gives,
 * which is written here as plainly as can be; the queue never gets ahead of the available index, so
 * that no more than its size comes out of it before the driver offers more; what is broken stays so
 * until the queue is started anew; copies to and from a chain are whole.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/guest.h"

enum { ACTIONS_MAX = 96, CHAINS = 16, COPY_BYTES = 512 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

struct world {
	const struct memory *memory;
	struct virtq_regs regs;
	struct virtq queue;
	bool event_index, indirect;
	/* Some of the chains under way; the others are given back at once. */
	struct virtq_chain chain[CHAINS];
	bool held[CHAINS];
	bool bad[CHAINS];
};

static struct world world;

/* ---- what the specification says ---- */

/* What a pop has to give. */
struct expected {
	enum virtq_result result;
	u16 head;
	unsigned out, in;
	u64 out_bytes, in_bytes;
};

/* Adds one buffer; false when it may not be there. */
static bool expect_buffer(struct expected *expected, u64 gpa, u32 bytes, bool write)
{
	if (!write && expected->in > 0)
		return false;
	if (bytes == 0)
		return true;
	if (!memory_at(world.memory, gpa, bytes))
		return false;
	expected->in += write;
	expected->out += !write;
	*(write ? &expected->in_bytes : &expected->out_bytes) += bytes;
	return expected->in + expected->out <= VIRTQ_PIECES_MAX &&
	       expected->in_bytes + expected->out_bytes <= UINT32_MAX;
}

static bool expect_chain(struct expected *expected, u64 table, u32 entries, u32 at, bool nested)
{
	for (u32 steps = 0; steps < entries && at < entries; steps++) {
		const u64 gpa = guest_load(table + 16 * (u64)at, 8);
		const u32 bytes = (u32)guest_load(table + 16 * (u64)at + 8, 4);
		const unsigned flags = (unsigned)guest_load(table + 16 * (u64)at + 12, 2);

		if (flags & INDIRECT)
			return !nested && world.indirect && !(flags & NEXT) && bytes % 16 == 0 &&
			       bytes > 0 && bytes / 16 <= VIRTQ_SIZE_MAX &&
			       memory_at(world.memory, gpa, bytes) &&
			       expect_chain(expected, gpa, bytes / 16, 0, true);
		if (!expect_buffer(expected, gpa, bytes, flags & WRITE))
			return false;
		if (!(flags & NEXT))
			return true;
		at = (u32)guest_load(table + 16 * (u64)at + 14, 2);
	}
	return false;
}

static struct expected expect_pop(void)
{
	const u16 next = world.queue.position.next_available;
	struct expected expected = {.result = VIRTQ_BROKEN};
	u16 index, head;

	if (!virtq_started(&world.queue) || world.queue.broken)
		return expected;
	/* The index is looked at again when what it announced is used up. */
	index = world.queue.seen;
	if (index == next)
		index = (u16)guest_load(world.regs.available + 2, 2);
	head = (u16)guest_load(world.regs.available + 4 + 2 * (u64)(next % world.regs.size), 2);
	expected.head = head;
	if (index == next)
		expected.result = VIRTQ_EMPTY;
	else if ((u16)(index - next) <= world.regs.size && head < world.regs.size)
		expected.result = expect_chain(&expected, world.regs.descriptors, world.regs.size,
					       head, false)
					  ? VIRTQ_CHAIN
					  : VIRTQ_BAD;
	return expected;
}

/* ---- the device's calls ---- */

static void start(bool anew)
{
	const u64 size = world.regs.size;
	const bool good = size && size <= VIRTQ_SIZE_MAX && (size & (size - 1)) == 0 &&
			  world.regs.descriptors % 16 == 0 && world.regs.available % 2 == 0 &&
			  world.regs.used % 4 == 0 &&
			  memory_at(world.memory, world.regs.descriptors, 16 * size) &&
			  memory_at(world.memory, world.regs.available, 6 + 2 * size) &&
			  memory_at(world.memory, world.regs.used, 6 + 8 * size);

	guest_forget(&world.queue);
	memset(world.held, 0, sizeof(world.held));
	virtq_stop(&world.queue);
	if (anew)
		world.queue.position = (struct virtq_position){.next_used = 0};
	FUZZ_CHECK((virtq_start(&world.queue, &world.regs, world.memory, world.event_index,
				world.indirect) == 0) == good);
	FUZZ_CHECK(virtq_started(&world.queue) == good);
}

static void pop(unsigned slot)
{
	struct virtq *queue = &world.queue;
	struct virtq_chain *chain = &world.chain[slot];
	const struct expected expected = expect_pop();
	const u16 next = queue->position.next_available;
	enum virtq_result result;
	u16 ahead;

	if (world.held[slot])
		return;
	result = virtq_pop(queue, chain);
	FUZZ_CHECK(result == expected.result);
	if (result == VIRTQ_BROKEN) {
		FUZZ_CHECK(virtq_pop(queue, chain) == VIRTQ_BROKEN);
		FUZZ_CHECK(!virtq_wants_interrupt(queue) && !virtq_ask_notify(queue, true));
	}
	if (result != VIRTQ_CHAIN && result != VIRTQ_BAD) {
		FUZZ_CHECK(queue->position.next_available == next);
		return;
	}
	world.held[slot] = true;
	world.bad[slot] = result == VIRTQ_BAD;
	FUZZ_CHECK(queue->position.next_available == (u16)(next + 1));
	ahead = (u16)(queue->seen - next - 1);
	FUZZ_CHECK(ahead < queue->size);
	FUZZ_CHECK(chain->head == expected.head);
	if (result == VIRTQ_CHAIN)
		FUZZ_CHECK(chain->out == expected.out && chain->in == expected.in &&
			   chain->out_bytes == expected.out_bytes &&
			   chain->in_bytes == expected.in_bytes);
}

/* The bytes are the guest's to read at the addresses of the pieces. */
static u8 byte_at(const struct iovec *piece, u32 offset)
{
	while (offset >= piece->iov_len)
		offset -= (u32)piece++->iov_len;
	return ((const u8 *)piece->iov_base)[offset];
}

static void copy(unsigned slot, u32 offset, u32 bytes, bool write)
{
	const struct virtq_chain *chain = &world.chain[slot];
	const u32 total = write ? chain->in_bytes : chain->out_bytes;
	const struct iovec *piece = chain->piece + (write ? chain->out : 0);
	u8 buffer[COPY_BYTES];
	u32 copied, last;

	if (!world.held[slot] || world.bad[slot])
		return;
	if (total && offset % 4)
		offset %= total;
	bytes %= COPY_BYTES + 1;
	memset(buffer, 0xa5, sizeof(buffer));
	copied = write ? virtq_write(chain, offset, buffer, bytes)
		       : virtq_read(chain, offset, buffer, bytes);
	FUZZ_CHECK(copied == (offset >= total          ? 0
			      : total - offset < bytes ? total - offset
						       : bytes));
	if (copied == 0)
		return;
	last = copied - 1;
	FUZZ_CHECK(buffer[0] == byte_at(piece, offset));
	FUZZ_CHECK(buffer[last] == byte_at(piece, offset + last));
	for (u32 i = copied; i < COPY_BYTES; i++)
		FUZZ_CHECK(buffer[i] == 0xa5);
}

static void push(unsigned slot, u32 written)
{
	if (!world.held[slot])
		return;
	virtq_push(&world.queue, world.chain[slot].head, world.bad[slot] ? 0 : written);
	world.held[slot] = false;
}

static void interrupt(void)
{
	struct virtq *queue = &world.queue;
	const u16 before = queue->position.signalled, now = queue->position.next_used;
	bool wanted = before != now && !queue->broken && virtq_started(queue);

	if (wanted && !queue->event_index)
		wanted = !(guest_load(world.regs.available, 2) & 1);
	if (wanted && queue->event_index) {
		const u16 event =
			(u16)guest_load(world.regs.available + 4 + 2 * (u64)queue->size, 2);

		/* Whether it was passed, one by one. */
		wanted = false;
		for (u16 i = before; i != now; i++)
			wanted = wanted || i == event;
	}
	FUZZ_CHECK(virtq_wants_interrupt(queue) == wanted);
	FUZZ_CHECK(!virtq_wants_interrupt(queue));
}

static void ask(bool wanted)
{
	struct virtq *queue = &world.queue;
	const bool works = virtq_started(queue) && !queue->broken;
	const bool more = virtq_ask_notify(queue, wanted);

	if (works && wanted)
		FUZZ_CHECK(more == (guest_load(world.regs.available + 2, 2) !=
				    queue->position.next_available));
	else
		FUZZ_CHECK(!more);
}

static void act(const struct action *action)
{
	const unsigned slot = action->how % CHAINS;

	switch (action->what % 12) {
	case 0:
	case 1:
		pop(slot);
		break;
	case 2:
		push(slot, action->value);
		break;
	case 3:
		interrupt();
		break;
	case 4:
		ask(action->how & 1);
		break;
	case 5:
		copy(slot, action->value, action->where, false);
		break;
	case 6:
		copy(slot, action->value, action->where, true);
		break;
	case 7:
		guest_store(action->where, action->value, 1U << action->how % 3);
		break;
	case 8: /* the driver offers more */
		guest_store(world.regs.available + 2,
			    guest_load(world.regs.available + 2, 2) + action->value, 2);
		break;
	case 9: /* an entry of the available ring */
		guest_store(world.regs.available + 4 + 2 * (u64)action->where, action->value, 2);
		break;
	case 10: /* a descriptor's end: length, flags, next */
		guest_store(world.regs.descriptors + 16 * (u64)action->how + 8,
			    (u64)action->where << 32 | action->value, 6);
		break;
	default:
		start(action->how & 1);
	}
	guest_check();
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	struct input input = {bytes, count};
	unsigned actions;
	struct input memory;
	u8 flags;

	memset(&world, 0, sizeof(world));
	flags = (u8)input_take(&input, 1);
	actions = (unsigned)input_take(&input, 1) % (ACTIONS_MAX + 1);
	world.event_index = flags & 1;
	world.indirect = flags & 2;
	world.regs.size = (u16)input_take(&input, 2);
	world.regs.descriptors = guest_address((u32)input_take(&input, 4));
	world.regs.available = guest_address((u32)input_take(&input, 4));
	world.regs.used = guest_address((u32)input_take(&input, 4));
	world.queue.position.next_available = (u16)input_take(&input, 2);
	world.queue.position.next_used = (u16)input_take(&input, 2);
	world.queue.position.signalled = world.queue.position.next_used;
	memory = input;
	for (unsigned i = 0; i < actions; i++)
		(void)input_action(&memory);
	world.memory = guest_begin(memory.bytes, memory.left);
	start(false);
	for (unsigned i = 0; i < actions; i++) {
		const struct action action = input_action(&input);

		act(&action);
	}
	guest_forget(&world.queue);
	virtq_stop(&world.queue);
	return 0;
}
