/*
 * devices/virtio/queue.c: chains in indirect tables (virtio 1.2, 2.7.5.3), and the copies to and
 * from a chain's pieces.
 */
#include "tests/unit/test.h"

#include "tests/unit/driver.h"

enum { SIZE = 8, BIG = 256 };
enum { RINGS = 0x1000, TABLE = 0x20000, DATA = 0x40000 };
#define LOW     (1 * MIB)
#define HIGH    (64 * KIB)
#define HIGH_AT (4 * GIB)

struct world {
	struct arena arena;
	struct driver_queue driver;
	struct virtq queue;
	struct virtq_chain chain;
};

static void start(struct world *world, u16 size, bool indirect)
{
	struct virtq_regs regs;

	driver_make(&world->driver, &world->arena.memory, RINGS, size);
	world->queue.position = (struct virtq_position){0};
	regs = driver_regs(&world->driver);
	assert_int_equal(virtq_start(&world->queue, &regs, &world->arena.memory, false, indirect),
			 0);
}

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){0};
	arena_make(&world.arena, LOW, HIGH);
	start(&world, BIG, true);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	arena_free(&world->arena);
	return 0;
}

static void expect_result(struct world *world, const char *what, enum virtq_result expected)
{
	static const char *const names[] = {"EMPTY", "CHAIN", "BAD", "BROKEN"};
	const enum virtq_result result = virtq_pop(&world->queue, &world->chain);

	if (result != expected)
		fail_msg("%s: %s, not %s", what, names[result], names[expected]);
}

static void expect_piece(struct world *world, unsigned i, u64 gpa, u64 bytes)
{
	assert_true(i < (unsigned)world->chain.out + world->chain.in);
	assert_ptr_equal(world->chain.piece[i].iov_base,
			 driver_at(&world->arena.memory, gpa, bytes));
	assert_int_equal(world->chain.piece[i].iov_len, bytes);
}

static void expect_pieces(struct world *world, u16 out, u32 out_bytes, u16 in, u32 in_bytes)
{
	assert_int_equal(world->chain.out, out);
	assert_int_equal(world->chain.out_bytes, out_bytes);
	assert_int_equal(world->chain.in, in);
	assert_int_equal(world->chain.in_bytes, in_bytes);
}

static const struct driver_buffer three[] = {
	{DATA, 16, false}, {HIGH_AT, 4096, true}, {DATA + 16, 1, true}};

static void expect_three(struct world *world, const char *what)
{
	expect_result(world, what, VIRTQ_CHAIN);
	expect_pieces(world, 1, 16, 2, 4097);
	for (unsigned i = 0; i < ARRAY_LEN(three); i++)
		expect_piece(world, i, three[i].gpa, three[i].bytes);
}

static void test_indirect_chains(void **state)
{
	/* A table has no alignment; it may end where RAM does, and lie in any of it. */
	static const u64 tables[] = {
		TABLE, TABLE + 1, TABLE + 15, LOW - 3 * 16, 0, HIGH_AT, HIGH_AT + HIGH - 3 * 16};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		/* Two of the tables lie where the data does, which makes no difference. */
		const u16 head = driver_add_indirect(&world->driver, three, 3, tables[i]);

		expect_three(world, "three");
		assert_int_equal(world->chain.head, head);
	}
	driver_add_indirect(&world->driver, three, 1, TABLE);
	expect_result(world, "one", VIRTQ_CHAIN);
	expect_pieces(world, 1, 16, 0, 0);
}

/* 2.7.5.3.2: the write flag of the descriptor of a table means nothing, and neither does `next`. */
static void test_the_write_flag_of_a_table(void **state)
{
	struct world *world = *state;
	const u16 head = driver_add_indirect(&world->driver, three, 3, TABLE);

	expect_three(world, "plain");
	driver_describe(&world->driver, head, TABLE, 3 * 16, DRIVER_INDIRECT | DRIVER_WRITE,
			0xffff);
	driver_offer_head(&world->driver, head);
	expect_three(world, "with the write flag");
}

/* 2.7.5.3.2: a table may follow direct descriptors. */
static void test_a_table_at_the_end_of_a_chain(void **state)
{
	struct world *world = *state;

	for (u16 i = 0; i < 3; i++)
		driver_describe_at(&world->driver, TABLE, i, three[i].gpa, three[i].bytes,
				   (u16)((i < 2 ? DRIVER_NEXT : 0) | (i ? DRIVER_WRITE : 0)),
				   (u16)(i + 1));
	driver_describe(&world->driver, 5, DATA + 64, 32, DRIVER_NEXT, 4);
	driver_describe(&world->driver, 4, DATA + 96, 0, DRIVER_NEXT, 3);
	driver_describe(&world->driver, 3, TABLE, 3 * 16, DRIVER_INDIRECT, 0);
	driver_offer_head(&world->driver, 5);
	expect_result(world, "direct, then a table", VIRTQ_CHAIN);
	assert_int_equal(world->chain.head, 5);
	expect_pieces(world, 2, 48, 2, 4097);
	expect_piece(world, 0, DATA + 64, 32);
	expect_piece(world, 1, DATA, 16);
	/* What the table has to read would come behind what is written. */
	driver_describe(&world->driver, 5, DATA + 64, 32, DRIVER_WRITE | DRIVER_NEXT, 3);
	driver_offer_head(&world->driver, 5);
	expect_result(world, "writable, then a table with something to read", VIRTQ_BAD);
}

/* The links of a table lead through it in any order, and not all of it has to be used. */
static void test_links_within_a_table(void **state)
{
	struct world *world = *state;

	driver_describe_at(&world->driver, TABLE, 0, DATA, 1, DRIVER_NEXT, 3);
	driver_describe_at(&world->driver, TABLE, 1, DATA + 2, 3, DRIVER_WRITE, 0xffff);
	driver_describe_at(&world->driver, TABLE, 2, LOW, 1, 0, 0);
	driver_describe_at(&world->driver, TABLE, 3, DATA + 1, 2, DRIVER_NEXT, 1);
	driver_describe(&world->driver, 0, TABLE, 4 * 16, DRIVER_INDIRECT, 0);
	driver_offer_head(&world->driver, 0);
	expect_result(world, "0, 3, 1", VIRTQ_CHAIN);
	expect_pieces(world, 2, 3, 1, 3);
	expect_piece(world, 1, DATA + 1, 2);
	expect_piece(world, 2, DATA + 2, 3);
}

/* A table on descriptor 0, whose own entries are all good. */
static void test_bad_tables(void **state)
{
	static const struct {
		const char *what;
		u64 gpa;
		u32 bytes;
		u16 flags, next;
	} table[] = {
		{"empty", TABLE, 0, DRIVER_INDIRECT, 0},
		{"less than one entry", TABLE, 15, DRIVER_INDIRECT, 0},
		{"a byte too long", TABLE, 33, DRIVER_INDIRECT, 0},
		{"a byte too short", TABLE, 31, DRIVER_INDIRECT, 0},
		{"eight bytes too long", TABLE, 40, DRIVER_INDIRECT, 0},
		{"a table that goes on", TABLE, 32, DRIVER_INDIRECT | DRIVER_NEXT, 1},
		{"a table that goes on with itself", TABLE, 32, DRIVER_INDIRECT | DRIVER_NEXT, 0},
		{"more entries than a queue can have", TABLE, 1025 * 16, DRIVER_INDIRECT, 0},
		{"as long as can be", TABLE, 0xfffffff0, DRIVER_INDIRECT, 0},
		{"65536 entries and one", TABLE, 0x100010, DRIVER_INDIRECT, 0},
		{"behind RAM", LOW, 32, DRIVER_INDIRECT, 0},
		{"over the end of RAM", LOW - 16, 32, DRIVER_INDIRECT, 0},
		{"before the second region", HIGH_AT - 16, 32, DRIVER_INDIRECT, 0},
		{"over the end of the second region", HIGH_AT + HIGH - 16, 32, DRIVER_INDIRECT, 0},
		{"wraps to 0", ~(u64)0xf, 32, DRIVER_INDIRECT, 0},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		driver_describe_at(&world->driver, TABLE, 0, DATA, 1, DRIVER_NEXT, 1);
		driver_describe_at(&world->driver, TABLE, 1, DATA, 1, 0, 0);
		driver_describe(&world->driver, 0, table[i].gpa, table[i].bytes, table[i].flags,
				table[i].next);
		driver_describe(&world->driver, 1, DATA, 1, 0, 0);
		driver_offer_head(&world->driver, 0);
		expect_result(world, table[i].what, VIRTQ_BAD);
		driver_add_indirect(&world->driver, three, 3, TABLE);
		expect_three(world, "a good one after it");
	}
}

/* A good table of four entries on descriptor 0, whose entries break a rule. */
static void test_bad_entries(void **state)
{
	static const struct {
		const char *what;
		struct {
			u64 gpa;
			u32 bytes;
			u16 flags, next;
		} entry[4];
	} table[] = {
		{"another table", {{TABLE + 64, 32, DRIVER_INDIRECT, 0}}},
		{"the same table", {{TABLE, 64, DRIVER_INDIRECT, 0}}},
		{"another table at the end",
		 {{DATA, 1, DRIVER_NEXT, 1}, {TABLE + 64, 32, DRIVER_INDIRECT, 0}}},
		{"next is the size", {{DATA, 1, DRIVER_NEXT, 4}}},
		{"next is in the queue's table only", {{DATA, 1, DRIVER_NEXT, 5}}},
		{"next is 0xffff", {{DATA, 1, DRIVER_NEXT, 0xffff}}},
		{"its own successor", {{DATA, 1, DRIVER_NEXT, 0}}},
		{"its own successor, without length", {{DATA, 0, DRIVER_NEXT, 0}}},
		{"a circle",
		 {{DATA, 0, DRIVER_NEXT, 1},
		  {DATA, 0, DRIVER_NEXT, 2},
		  {DATA, 0, DRIVER_NEXT, 3},
		  {DATA, 0, DRIVER_NEXT, 1}}},
		{"outside RAM", {{DATA, 1, DRIVER_NEXT, 1}, {LOW, 1, 0, 0}}},
		{"across the hole", {{LOW - 1, 2, 0, 0}}},
		{"wraps", {{~(u64)0, 2, DRIVER_WRITE, 0}}},
		{"readable behind writable",
		 {{DATA, 1, DRIVER_WRITE | DRIVER_NEXT, 1}, {DATA, 1, 0, 0}}},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		for (u16 j = 0; j < 4; j++)
			driver_describe_at(&world->driver, TABLE, j, table[i].entry[j].gpa,
					   table[i].entry[j].bytes, table[i].entry[j].flags,
					   table[i].entry[j].next);
		for (u16 j = 4; j < 8; j++)
			driver_describe_at(&world->driver, TABLE, j, DATA, 1, 0, 0);
		driver_describe(&world->driver, 0, TABLE, 64, DRIVER_INDIRECT, 0);
		driver_offer_head(&world->driver, 0);
		expect_result(world, table[i].what, VIRTQ_BAD);
		driver_add_indirect(&world->driver, three, 3, TABLE);
		expect_three(world, "a good one after it");
	}
}

static void test_tables_that_were_not_negotiated(void **state)
{
	struct world *world = *state;

	start(world, SIZE, false);
	driver_add_indirect(&world->driver, three, 3, TABLE);
	expect_result(world, "a table", VIRTQ_BAD);
	driver_describe(&world->driver, 1, DATA, 1, DRIVER_NEXT, 0);
	driver_offer_head(&world->driver, 1);
	expect_result(world, "a table at the end", VIRTQ_BAD);
	driver_add(&world->driver, three, 3);
	expect_three(world, "direct");
}

static void describe_many(struct world *world, u16 count)
{
	for (u16 i = 0; i < count; i++)
		driver_describe_at(&world->driver, TABLE, i, DATA, 1,
				   i + 1 < count ? DRIVER_NEXT : 0, (u16)(i + 1));
	driver_describe(&world->driver, 0, TABLE, 16U * count, DRIVER_INDIRECT, 0);
	driver_offer_head(&world->driver, 0);
}

static void test_too_many_entries(void **state)
{
	struct world *world = *state;

	describe_many(world, VIRTQ_PIECES_MAX);
	expect_result(world, "the most pieces", VIRTQ_CHAIN);
	expect_pieces(world, VIRTQ_PIECES_MAX, VIRTQ_PIECES_MAX, 0, 0);
	describe_many(world, VIRTQ_PIECES_MAX + 1);
	expect_result(world, "one more", VIRTQ_BAD);
	describe_many(world, 1024);
	expect_result(world, "a table of the largest size", VIRTQ_BAD);
	/* Direct ones before the table count, too. */
	describe_many(world, VIRTQ_PIECES_MAX);
	expect_result(world, "the most pieces", VIRTQ_CHAIN);
	driver_describe(&world->driver, 1, DATA, 1, DRIVER_NEXT, 0);
	driver_offer_head(&world->driver, 1);
	expect_result(world, "one more before the table", VIRTQ_BAD);
	driver_describe(&world->driver, 1, DATA, 0, DRIVER_NEXT, 0);
	driver_offer_head(&world->driver, 1);
	expect_result(world, "an empty one before the table", VIRTQ_CHAIN);
	/* A table may be larger than the queue, as Linux makes them. */
	start(world, 1, true);
	driver_add_indirect(&world->driver, three, 3, TABLE);
	expect_three(world, "three pieces in a queue of one");
}

static void test_changes_behind_its_back(void **state)
{
	struct world *world = *state;
	struct virtq_chain before;

	driver_add_indirect(&world->driver, three, 3, TABLE);
	expect_three(world, "a table");
	before = world->chain;
	memset(driver_at(&world->arena.memory, TABLE, 48), 0xff, 48);
	assert_memory_equal(&before, &world->chain, sizeof(before));
}

/*
 * Copies at every offset and of every length, against a flat copy of the same bytes: four pieces to
 * read (with lengths 3, 1, 7, 5), five to write.
 */
enum { OUT_BYTES = 16, IN_BYTES = 20, ROOM = 32 };

static const struct driver_buffer scattered[] = {
	{DATA, 3, false},         {DATA + 100, 1, false},        {HIGH_AT, 7, false},
	{LOW - 5, 5, false},      {DATA + 3, 4, true},           {DATA + 200, 0, true},
	{HIGH_AT + 100, 1, true}, {HIGH_AT + HIGH - 9, 9, true}, {0, 6, true}};

/* The chain's readable or writable bytes in one row. */
static void gather(struct world *world, bool write, u8 *flat)
{
	for (size_t i = 0; i < ARRAY_LEN(scattered); i++) {
		if (scattered[i].write != write || !scattered[i].bytes)
			continue;
		memcpy(flat, driver_at(&world->arena.memory, scattered[i].gpa, scattered[i].bytes),
		       scattered[i].bytes);
		flat += scattered[i].bytes;
	}
}

static void scatter(struct world *world, bool write, const u8 *flat)
{
	for (size_t i = 0; i < ARRAY_LEN(scattered); i++) {
		if (scattered[i].write != write || !scattered[i].bytes)
			continue;
		memcpy(driver_at(&world->arena.memory, scattered[i].gpa, scattered[i].bytes), flat,
		       scattered[i].bytes);
		flat += scattered[i].bytes;
	}
}

static void pop_scattered(struct world *world)
{
	driver_add(&world->driver, scattered, ARRAY_LEN(scattered));
	expect_result(world, "scattered", VIRTQ_CHAIN);
	expect_pieces(world, 4, OUT_BYTES, 4, IN_BYTES);
}

static u32 least(u32 a, u32 b)
{
	return a < b ? a : b;
}

static void test_reading(void **state)
{
	struct world *world = *state;
	u8 flat[OUT_BYTES], got[ROOM + 1], expected[ROOM + 1];

	fill_pattern(flat, sizeof(flat), 3);
	scatter(world, false, flat);
	pop_scattered(world);
	for (u32 offset = 0; offset <= OUT_BYTES + 2; offset++) {
		for (u32 bytes = 0; bytes <= ROOM; bytes++) {
			const u32 there = offset < OUT_BYTES ? least(bytes, OUT_BYTES - offset) : 0;

			memset(got, 0, sizeof(got));
			memset(expected, 0, sizeof(expected));
			memcpy(expected, flat + least(offset, OUT_BYTES), there);
			assert_int_equal(virtq_read(&world->chain, offset, got, bytes), there);
			assert_memory_equal(got, expected, sizeof(got));
		}
	}
	assert_int_equal(virtq_read(&world->chain, 0xffffffff, got, ROOM), 0);
	assert_int_equal(virtq_read(&world->chain, 0, got, OUT_BYTES), OUT_BYTES);
}

static void test_writing(void **state)
{
	struct world *world = *state;
	u8 readable[OUT_BYTES], flat[OUT_BYTES], from[ROOM], got[IN_BYTES], expected[IN_BYTES];

	fill_pattern(readable, sizeof(readable), 4);
	fill_pattern(from, sizeof(from), 5);
	scatter(world, false, readable);
	pop_scattered(world);
	for (u32 offset = 0; offset <= IN_BYTES + 2; offset++) {
		for (u32 bytes = 0; bytes <= ROOM; bytes++) {
			const u32 room = offset < IN_BYTES ? least(bytes, IN_BYTES - offset) : 0;

			memset(expected, 0, sizeof(expected));
			scatter(world, true, expected);
			memcpy(expected + least(offset, IN_BYTES), from, room);
			assert_int_equal(virtq_write(&world->chain, offset, from, bytes), room);
			gather(world, true, got);
			assert_memory_equal(got, expected, sizeof(got));
		}
	}
	assert_int_equal(virtq_write(&world->chain, 0xffffffff, from, ROOM), 0);
	gather(world, false, flat);
	assert_memory_equal(flat, readable, sizeof(flat));
	assert_int_equal(*(u8 *)driver_at(&world->arena.memory, DATA + 7, 1), 0);
	assert_int_equal(*(u8 *)driver_at(&world->arena.memory, DATA + 200, 1), 0);
}

static void test_copies_where_there_is_nothing(void **state)
{
	const struct driver_buffer read = {DATA, 8, false}, write = {DATA, 8, true},
				   none = {DATA, 0, false};
	struct world *world = *state;
	u8 buffer[16] = {0};

	driver_add(&world->driver, &read, 1);
	expect_result(world, "nothing to write", VIRTQ_CHAIN);
	assert_int_equal(virtq_write(&world->chain, 0, buffer, 16), 0);
	assert_int_equal(virtq_read(&world->chain, 0, buffer, 16), 8);
	driver_add(&world->driver, &write, 1);
	expect_result(world, "nothing to read", VIRTQ_CHAIN);
	assert_int_equal(virtq_read(&world->chain, 0, buffer, 16), 0);
	assert_int_equal(virtq_write(&world->chain, 0, buffer, 16), 8);
	driver_add(&world->driver, &none, 1);
	expect_result(world, "nothing at all", VIRTQ_CHAIN);
	assert_int_equal(virtq_read(&world->chain, 0, buffer, 16), 0);
	assert_int_equal(virtq_write(&world->chain, 0, buffer, 16), 0);
}

/* Every part of some pieces, in place and elsewhere, is the same bytes. */
static void test_parts(void **state)
{
	static u8 data[12];
	const struct iovec whole[] = {{data, 3}, {data + 3, 0}, {data + 3, 1}, {data + 4, 8}};

	(void)state;
	for (size_t offset = 0; offset < 14; offset++) {
		for (size_t bytes = 0; bytes < 14; bytes++) {
			struct iovec part[4], same[4];
			const unsigned parts = virtq_cut(part, whole, 4, offset, bytes);
			size_t at = offset;

			for (unsigned i = 0; i < parts; i++) {
				assert_ptr_equal(part[i].iov_base, data + at);
				assert_true(part[i].iov_len > 0);
				at += part[i].iov_len;
			}
			assert_int_equal(at - offset, offset >= 12          ? 0
						      : bytes < 12 - offset ? bytes
									    : 12 - offset);
			memcpy(same, whole, sizeof(same));
			assert_int_equal(virtq_cut(same, same, 4, offset, bytes), parts);
			assert_memory_equal(same, part, parts * sizeof(*part));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_indirect_chains, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_write_flag_of_a_table, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_table_at_the_end_of_a_chain, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_links_within_a_table, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_tables, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_entries, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tables_that_were_not_negotiated, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_entries, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes_behind_its_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reading, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_writing, set_up, tear_down),
		cmocka_unit_test(test_parts),
		cmocka_unit_test_setup_teardown(test_copies_where_there_is_nothing, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
