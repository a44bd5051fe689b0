/*
 * devices/virtio/console.c: what the guest sends to ports and gets from them, at once, in parts and
 * late; odd chains; and ports that don't wait for one another.
 */
#include "tests/unit/test.h"

#include "tests/unit/vconsole_world.h"

enum { OUT = 1, IN = 0 };

/* Nowhere in memory. */
#define FAR ((u64)0x7fff0000)

/* Makes buffers of growing odd lengths; returns how many of them have so many bytes together. */
static unsigned cut_up(struct driver_buffer *buffer, u64 gpa, u32 bytes, bool write)
{
	unsigned buffers = 0;

	for (u32 part = 1; bytes; part += 37) {
		const u32 length = part < bytes ? part : bytes;

		assert_true(buffers < RIG_QUEUE_SIZE);
		buffer[buffers++] = (struct driver_buffer){gpa, length, write};
		gpa += length;
		bytes -= length;
	}
	return buffers;
}

/* ---- output ---- */

static void test_output(void **state)
{
	static const u32 lengths[] = {1, 2, 16, 4096, 4097, 10000};
	struct vconsole_world *world = *state;
	struct driver_buffer buffer[RIG_QUEUE_SIZE];
	size_t taken = 0;

	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		const unsigned buffers = cut_up(buffer, OUT_AT, lengths[i], false);
		u16 before, head;

		put_pattern(world, lengths[i], i + 1);
		expect_used(world, OUT, offer_one(world, OUT, OUT_AT, lengths[i]), 0);
		expect_taken(world, 0, taken, lengths[i], i + 1);
		taken += lengths[i];
		expect_used(world, OUT, offer(world, OUT, buffer, buffers), 0);
		expect_taken(world, 0, taken, lengths[i], i + 1);
		taken += lengths[i];
		before = world->rig.driver[OUT].next_available;
		head = driver_add_indirect(&world->rig.driver[OUT], buffer, buffers, TABLE_AT);
		rig_kick(&world->rig, OUT, before);
		expect_used(world, OUT, head, 0);
		expect_taken(world, 0, taken, lengths[i], i + 1);
		taken += lengths[i];
	}
}

/* Whatever the port takes at once, each byte is taken once. */
static void test_output_in_parts(void **state)
{
	static const size_t limits[] = {1, 2, 3, 36, 37, 38, 100, 1999, 2000, 2001};
	struct vconsole_world *world = *state;
	struct driver_buffer buffer[RIG_QUEUE_SIZE];
	const unsigned buffers = cut_up(buffer, OUT_AT, 2000, false);

	for (unsigned i = 0; i < ARRAY_LEN(limits); i++) {
		limit_port(world, 0, limits[i], SIZE_MAX);
		put_pattern(world, 2000, i + 1);
		expect_used(world, OUT, offer(world, OUT, buffer, buffers), 0);
		expect_taken(world, 0, 2000 * (size_t)i, 2000, i + 1);
	}
}

/* So many chains that nothing of the queue is left, then another one. */
static void send_many(struct vconsole_world *world, u64 gpa)
{
	struct driver_queue *driver = &world->rig.driver[OUT];
	const u16 before = driver->next_available;

	for (unsigned i = 0; i < RIG_QUEUE_SIZE; i++)
		driver_add(driver, &(struct driver_buffer){gpa, 10, false}, 1);
	rig_kick(&world->rig, OUT, before);
	for (unsigned i = 0; i < RIG_QUEUE_SIZE; i++)
		rig_wait(&world->rig, OUT);
	expect_used(world, OUT, offer_one(world, OUT, OUT_AT, 10), 0);
}

/* More than is served in one go, of a device with other ports that this driver doesn't know. */
static void test_many_chains(void **state)
{
	static struct vconsole_world world;

	(void)state;
	for (unsigned ports = 1; ports <= PORTS; ports += PORTS - 1) {
		vconsole_world_init(&world, ports, true);
		rig_start(&world.rig, VCONSOLE_FEATURES, 2);
		for (unsigned i = 0; i < 20; i++) {
			send_many(&world, OUT_AT);
			send_many(&world, FAR);
		}
		wait_port_taken(&world, 0, (size_t)20 * 10 * (RIG_QUEUE_SIZE + 2));
		vconsole_world_destroy(&world);
	}
}

/* 100 of 300 bytes are taken; then nothing, until there is room. */
static void refuse_and_wait(struct vconsole_world *world)
{
	for (unsigned i = 0; i < 20; i++) {
		const size_t before = 300 * (size_t)i;
		unsigned takes;
		u16 head, next;

		give_room(world, 0, 100);
		put_pattern(world, 300, i + 1);
		head = offer_one(world, OUT, OUT_AT, 150);
		next = offer_one(world, OUT, OUT_AT + 150, 150);
		wait_port_taken(world, 0, before + 100);
		settle(world);
		assert_int_equal(used_of(world, OUT), 0);
		takes = PORT_READ(world, 0, takes);
		give_room(world, 0, 1);
		wait_port_taken(world, 0, before + 101);
		assert_true(PORT_READ(world, 0, takes) > takes);
		assert_int_equal(used_of(world, OUT), 0);
		give_room(world, 0, 50);
		expect_used(world, OUT, head, 0);
		wait_port_taken(world, 0, before + 151);
		assert_int_equal(used_of(world, OUT), 0);
		give_room(world, 0, SIZE_MAX);
		expect_used(world, OUT, next, 0);
		expect_taken(world, 0, before, 300, i + 1);
	}
}

static void test_output_waits_for_a_descriptor(void **state)
{
	refuse_and_wait(*state);
}

static void test_output_waits_to_be_woken(void **state)
{
	static struct vconsole_world world;

	(void)state;
	vconsole_world_init(&world, 1, false);
	rig_start(&world.rig, VCONSOLE_FEATURES, 2);
	refuse_and_wait(&world);
	vconsole_world_destroy(&world);
}

/* ---- a guest that changes a chain of which a part was taken ---- */

/* Leaves a chain of 300 bytes in the ring, of which 100 are taken. Returns its head. */
static u16 leave_half(struct vconsole_world *world)
{
	u16 head;

	give_room(world, 0, 0);
	put_pattern(world, 1000, 9);
	give_room(world, 0, 100);
	head = offer_one(world, OUT, OUT_AT, 300);
	wait_port_taken(world, 0, 100);
	settle(world);
	return head;
}

/* Goes on; the chain is to come back after so many bytes in all, and the next one whole. */
static void expect_end(struct vconsole_world *world, u16 head, size_t taken)
{
	const unsigned takes = PORT_READ(world, 0, takes);

	settle(world);
	give_room(world, 0, SIZE_MAX);
	expect_used(world, OUT, head, 0);
	wait_port_taken(world, 0, taken);
	assert_true(taken > 100 || PORT_READ(world, 0, takes) == takes);
	assert_false(rig_is_broken(&world->rig));
	expect_used(world, OUT, offer_one(world, OUT, OUT_AT, 500), 0);
	expect_taken(world, 0, taken, 500, 9);
	expect_stream(world, 0);
}

static void test_a_chain_that_grows(void **state)
{
	struct vconsole_world *world = *state;
	const u16 head = leave_half(world);

	driver_spoil(&world->rig.driver[OUT], head, OUT_AT, 700, 0, 0);
	expect_end(world, head, 700);
	expect_taken(world, 0, 700 + 500, 200, 77);
}

static void test_a_chain_that_shrinks(void **state)
{
	static const u32 lengths[] = {0, 1, 99, 100};

	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		struct vconsole_world *world = *state;
		const u16 head = leave_half(world);

		driver_spoil(&world->rig.driver[OUT], head, OUT_AT, lengths[i], 0, 0);
		expect_end(world, head, 100);
		vconsole_tear_down(state);
		vconsole_set_up_one(state);
	}
}

/* A chain that breaks a rule now, or is for the device to write to. */
static void test_a_chain_that_turns_bad(void **state)
{
	static const struct {
		u64 gpa;
		u16 flags;
	} turns[] = {{FAR, 0},
		     {OUT_AT, DRIVER_NEXT}, /* a loop */
		     {OUT_AT, DRIVER_INDIRECT},
		     {OUT_AT, DRIVER_WRITE}};

	for (unsigned i = 0; i < ARRAY_LEN(turns); i++) {
		struct vconsole_world *world = *state;
		const u16 head = leave_half(world);

		driver_spoil(&world->rig.driver[OUT], head, turns[i].gpa, 300, turns[i].flags,
			     head);
		expect_end(world, head, 100);
		vconsole_tear_down(state);
		vconsole_set_up_one(state);
	}
}

/* ---- input ---- */

static void expect_input(struct vconsole_world *world, u64 gpa, u32 bytes, u32 seed)
{
	u8 line[4096];

	assert_true(bytes <= sizeof(line));
	fill_pattern(line, bytes, seed);
	assert_memory_equal(rig_at(&world->rig, gpa, bytes), line, bytes);
}

/* Buffers before bytes and bytes before buffers; give() isn't called in vain. */
static void test_input_waits_for_a_descriptor(void **state)
{
	struct vconsole_world *world = *state;

	for (u32 i = 0; i < 50; i++) {
		const unsigned gives = PORT_READ(world, 0, gives);
		u16 head = offer_one(world, IN, IN_AT, 4096);

		settle(world);
		assert_int_equal(PORT_READ(world, 0, gives), gives);
		assert_int_equal(used_of(world, IN), 0);
		bring(world, 0, 30 + i, i + 1);
		expect_used(world, IN, head, 30 + i);
		expect_input(world, IN_AT, 30 + i, i + 1);
		bring(world, 0, 100, i + 1);
		settle(world);
		head = offer_one(world, IN, IN_AT, 4096);
		expect_used(world, IN, head, 100);
		expect_input(world, IN_AT, 100, i + 1);
	}
}

/* Without a descriptor give() is asked whenever somebody calls. */
static void test_input_waits_to_be_woken(void **state)
{
	static struct vconsole_world world;

	(void)state;
	vconsole_world_init(&world, 1, false);
	rig_start(&world.rig, VCONSOLE_FEATURES, 2);
	for (u32 i = 0; i < 50; i++) {
		const u16 head = offer_one(&world, IN, IN_AT, 4096);

		settle(&world);
		assert_int_equal(used_of(&world, IN), 0);
		bring(&world, 0, 30 + i, i + 1);
		expect_used(&world, IN, head, 30 + i);
		expect_input(&world, IN_AT, 30 + i, i + 1);
	}
	vconsole_world_destroy(&world);
}

/* What is there goes into as many chains as it needs; the rest of a chain stays as it is. */
static void test_input_in_parts(void **state)
{
	struct vconsole_world *world = *state;
	struct driver_buffer buffer[RIG_QUEUE_SIZE];
	u16 head[4];

	for (unsigned i = 0; i < 4; i++) {
		const unsigned buffers = cut_up(buffer, IN_AT + 0x1000 * (u64)i, 200, true);

		memset(rig_at(&world->rig, IN_AT + 0x1000 * (u64)i, 200), 0, 200);
		head[i] = offer(world, IN, buffer, buffers);
	}
	bring(world, 0, 450, 4);
	expect_used(world, IN, head[0], 200);
	expect_used(world, IN, head[1], 200);
	expect_used(world, IN, head[2], 50);
	/* One more waits. */
	settle(world);
	assert_int_equal(used_of(world, IN), 0);
	assert_int_equal(*rig_at(&world->rig, IN_AT + 0x2000 + 50, 1), 0);
	memmove(rig_at(&world->rig, IN_AT + 200, 200), rig_at(&world->rig, IN_AT + 0x1000, 200),
		200);
	memmove(rig_at(&world->rig, IN_AT + 400, 50), rig_at(&world->rig, IN_AT + 0x2000, 50), 50);
	expect_input(world, IN_AT, 450, 4);
	/* And as little as the host wants to give. */
	limit_port(world, 0, SIZE_MAX, 7);
	bring(world, 0, 21, 5);
	expect_used(world, IN, head[3], 7);
	expect_input(world, IN_AT + 0x3000, 7, 5);
	memcpy(rig_at(&world->rig, IN_AT, 7), rig_at(&world->rig, IN_AT + 0x3000, 7), 7);
	for (unsigned i = 1; i < 3; i++)
		expect_used(world, IN, offer_one(world, IN, IN_AT + 7 * i, 4096), 7);
	expect_input(world, IN_AT, 21, 5);
}

/* ---- chains that make no sense: each comes back, and costs nothing ---- */

static void odd_chains(struct vconsole_world *world)
{
	static const struct driver_buffer odd[][2] = {
		{{FAR, 10, false}},
		{{OUT_AT, 0, false}},
		{{OUT_AT, 0, false}, {OUT_AT, 0, false}},
		{{FAR, 0, true}},
		{{FAR, 10, true}},
		{{OUT_AT, 10, true}, {OUT_AT, 10, false}},
		{{OUT_AT, UINT32_MAX, false}},
		{{UINT64_MAX - 5, 10, false}},
		{{OUT_AT, 10, true}, {FAR, 10, true}},
	};

	for (unsigned queue = 0; queue < 2; queue++) {
		for (unsigned i = 0; i < ARRAY_LEN(odd); i++) {
			const unsigned buffers = odd[i][1].gpa ? 2 : 1;

			expect_used(world, queue, offer(world, queue, odd[i], buffers), 0);
		}
	}
	/* Of the wrong direction. */
	bring(world, 0, 20, 6);
	for (unsigned i = 0; i < 100; i++) {
		expect_used(world, IN,
			    offer(world, IN, &(struct driver_buffer){OUT_AT, 9, false}, 1), 0);
		expect_used(world, OUT,
			    offer(world, OUT, &(struct driver_buffer){OUT_AT, 9, true}, 1), 0);
	}
	assert_int_equal(PORT_READ(world, 0, takes), 0);
	assert_int_equal(PORT_READ(world, 0, gives), 0);
	expect_used(world, IN, offer_one(world, IN, IN_AT, 20), 20);
	expect_stream(world, 0);
	assert_false(rig_is_broken(&world->rig));
}

static void test_odd_chains(void **state)
{
	static struct vconsole_world world;

	(void)state;
	for (unsigned descriptors = 0; descriptors < 2; descriptors++) {
		vconsole_world_init(&world, 1, descriptors);
		rig_start(&world.rig, VCONSOLE_FEATURES, 2);
		odd_chains(&world);
		vconsole_world_destroy(&world);
	}
}

/* What can be written in a chain of output is left alone, and what can be read in one for input. */
static void test_chains_of_both_directions(void **state)
{
	struct vconsole_world *world = *state;
	const struct driver_buffer out[] = {{OUT_AT, 50, false}, {IN_AT, 50, true}};
	const struct driver_buffer in[] = {{OUT_AT, 50, false}, {IN_AT, 50, true}};

	memset(rig_at(&world->rig, IN_AT, 50), 0, 50);
	put_pattern(world, 50, 2);
	expect_used(world, OUT, offer(world, OUT, out, 2), 0);
	expect_taken(world, 0, 0, 50, 2);
	assert_int_equal(*rig_at(&world->rig, IN_AT, 1), 0);
	bring(world, 0, 50, 3);
	expect_used(world, IN, offer(world, IN, in, 2), 50);
	expect_input(world, IN_AT, 50, 3);
	expect_input(world, OUT_AT, 50, 2);
}

/* ---- several ports ---- */

static void test_a_stuck_port_delays_no_other(void **state)
{
	struct vconsole_world *world = *state;
	u16 head[10];

	give_room(world, 1, 0);
	put_pattern(world, 1000, 1);
	for (unsigned i = 0; i < 10; i++)
		head[i] = offer_one(world, out_queue(1), OUT_AT + 100 * (u64)i, 100);
	for (unsigned i = 0; i < 50; i++) {
		expect_stream(world, 0);
		expect_stream(world, 3);
	}
	/* Its own input as well. */
	bring(world, 1, 10, 4);
	expect_used(world, in_queue(1), offer_one(world, in_queue(1), IN_AT, 64), 10);
	say_message(world, VIRTIO_CONSOLE_DEVICE_READY, 0, 1);
	assert_int_equal(used_of(world, out_queue(1)), 0);
	put_pattern(world, 1000, 1);
	give_room(world, 1, SIZE_MAX);
	for (unsigned i = 0; i < 10; i++)
		expect_used(world, out_queue(1), head[i], 0);
	expect_taken(world, 1, 0, 1000, 1);
}

enum { PIECES = 100, PIECE = 11 * MIB };
#define GIGABYTE ((size_t)PIECES * PIECE) /* and a bit */

/* The same memory again and again, for port 1. Returns the head. */
static u16 offer_gigabyte(struct vconsole_world *world)
{
	struct driver_queue *driver = &world->rig.driver[out_queue(1)];
	struct driver_buffer buffer[PIECES];
	const u16 before = driver->next_available;
	u16 head;

	for (unsigned i = 0; i < PIECES; i++)
		buffer[i] = (struct driver_buffer){4 * MIB, PIECE, false};
	head = driver_add_indirect(driver, buffer, PIECES, TABLE_AT);
	rig_kick(&world->rig, out_queue(1), before);
	return head;
}

/* A port that takes a byte at a time: nobody waits for its end. */
static void test_a_slow_port_delays_no_other(void **state)
{
	struct vconsole_world *world = *state;

	limit_port(world, 1, 1, SIZE_MAX);
	offer_gigabyte(world);
	for (unsigned i = 0; i < 20; i++) {
		expect_stream(world, 0);
		expect_stream(world, 3);
	}
	assert_int_equal(used_of(world, out_queue(1)), 0);
	/* Neither does a reset. */
	rig_reset(&world->rig);
	start_multiport(world);
	expect_stream(world, 3);
}

/* And a port that takes all it can get is given what is for one turn. */
static void test_a_greedy_port_delays_no_other(void **state)
{
	struct vconsole_world *world = *state;
	const u16 head = offer_gigabyte(world);

	for (unsigned i = 0; i < 5; i++)
		expect_stream(world, 3);
	expect_used(world, out_queue(1), head, 0);
	wait_port_taken(world, 1, GIGABYTE);
	assert_int_equal(world->port[1].most, 64 << 10);
}

/* All ports at once, in both directions, with all sizes of parts. */
static void test_all_ports_at_once(void **state)
{
	static const unsigned ports[] = {0, 1, 3};
	struct vconsole_world *world = *state;
	u16 out[ARRAY_LEN(ports)][20], in[ARRAY_LEN(ports)][20];

	put_pattern(world, 20 * 333, 8);
	for (unsigned p = 0; p < ARRAY_LEN(ports); p++) {
		limit_port(world, ports[p], 5 + 100 * p, SIZE_MAX);
		for (unsigned i = 0; i < 20; i++) {
			const u64 at = IN_AT + 0x20000 * (u64)p + 100 * (u64)i;

			out[p][i] =
				offer_one(world, out_queue(ports[p]), OUT_AT + 333 * (u64)i, 333);
			in[p][i] = offer_one(world, in_queue(ports[p]), at, 100);
		}
		bring(world, ports[p], 2000, p + 1);
	}
	for (unsigned p = 0; p < ARRAY_LEN(ports); p++) {
		for (unsigned i = 0; i < 20; i++) {
			expect_used(world, in_queue(ports[p]), in[p][i], 100);
			expect_used(world, out_queue(ports[p]), out[p][i], 0);
		}
		expect_taken(world, ports[p], 0, 20 * 333, 8);
		expect_input(world, IN_AT + 0x20000 * (u64)p, 2000, p + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONE_PORT(test_output),
		ONE_PORT(test_output_in_parts),
		cmocka_unit_test(test_many_chains),
		ONE_PORT(test_output_waits_for_a_descriptor),
		cmocka_unit_test(test_output_waits_to_be_woken),
		ONE_PORT(test_a_chain_that_grows),
		ONE_PORT(test_a_chain_that_shrinks),
		ONE_PORT(test_a_chain_that_turns_bad),
		ONE_PORT(test_input_waits_for_a_descriptor),
		cmocka_unit_test(test_input_waits_to_be_woken),
		ONE_PORT(test_input_in_parts),
		cmocka_unit_test(test_odd_chains),
		ONE_PORT(test_chains_of_both_directions),
		ALL_PORTS(test_a_stuck_port_delays_no_other),
		ALL_PORTS(test_a_slow_port_delays_no_other),
		ALL_PORTS(test_a_greedy_port_delays_no_other),
		ALL_PORTS(test_all_ports_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
