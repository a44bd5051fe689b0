/*
 * devices/virtio/queue.c: what a queue accepts. Where its areas may lie, which chains are whole
 * and which break a rule of virtio 1.2, 2.7, what is left of a chain that was taken, and that one
 * bad chain costs no other.
 */
#include "tests/unit/test.h"

#include "tests/unit/driver.h"

enum { SIZE = 8 };
enum { RINGS = 0x1000, TABLE = 0x20000, DATA = 0x40000 };
#define LOW       (64 * MIB)
#define HIGH      (64 * KIB)
#define HIGH_AT   (4 * GIB)
#define LAST_PAGE (~(u64)0xfff)

struct world {
	struct arena arena;
	struct driver_queue driver;
	struct virtq queue;
	struct virtq_chain chain;
};

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){0};
	arena_make(&world.arena, LOW, HIGH);
	driver_make(&world.driver, &world.arena.memory, RINGS, SIZE);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	arena_free(&world->arena);
	return 0;
}

static int start_regs(struct world *world, const struct virtq_regs *regs)
{
	return virtq_start(&world->queue, regs, &world->arena.memory, false, true);
}

/* The driver's rings are laid out for `size` and taken into use. */
static void start_size(struct world *world, u16 size)
{
	struct virtq_regs regs;

	driver_make(&world->driver, &world->arena.memory, RINGS, size);
	assert_true(world->driver.end <= TABLE);
	regs = driver_regs(&world->driver);
	assert_int_equal(start_regs(world, &regs), 0);
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

/* A good chain after whatever was before: the queue goes on. */
static void expect_going_on(struct world *world, const char *what)
{
	const struct driver_buffer good = {DATA, 64, false};
	u16 head;

	memset(world->driver.busy, 0, sizeof(world->driver.busy));
	head = driver_add(&world->driver, &good, 1);
	expect_result(world, what, VIRTQ_CHAIN);
	assert_int_equal(world->chain.head, head);
	expect_pieces(world, 1, 64, 0, 0);
	expect_piece(world, 0, DATA, 64);
	expect_result(world, what, VIRTQ_EMPTY);
}

static void test_sizes(void **state)
{
	static const struct {
		u16 size;
		int result;
	} table[] = {
		{0, -1},    {1, 0},     {2, 0},    {3, -1},     {4, 0},       {5, -1},
		{512, 0},   {1023, -1}, {1024, 0}, {1025, -1},  {1536, -1},   {2048, -1},
		{4096, -1}, {6, -1},    {12, -1},  {32768, -1}, {0xffff, -1},
	};
	struct world *world = *state;
	struct virtq_regs regs;

	driver_make(&world->driver, &world->arena.memory, RINGS, 1024);
	regs = driver_regs(&world->driver);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		regs.size = table[i].size;
		assert_int_equal(start_regs(world, &regs), table[i].result);
		assert_int_equal(virtq_started(&world->queue), table[i].result == 0);
		virtq_stop(&world->queue);
	}
}

static void test_alignments(void **state)
{
	struct world *world = *state;
	const struct virtq_regs good = driver_regs(&world->driver);

	for (u64 off = 1; off <= 16; off++) {
		struct virtq_regs regs = good;

		regs.descriptors += off;
		assert_int_equal(start_regs(world, &regs), off == 16 ? 0 : -1);
		virtq_stop(&world->queue);
		regs = good;
		regs.available += off;
		assert_int_equal(start_regs(world, &regs), off % 2 ? -1 : 0);
		virtq_stop(&world->queue);
		regs = good;
		regs.used += off;
		assert_int_equal(start_regs(world, &regs), off % 4 ? -1 : 0);
		virtq_stop(&world->queue);
	}
}

/*
 * Each area of a queue of 8 (128, 22 and 70 bytes) at the edges of RAM: as far up as it fits, one
 * step of its alignment further, and at places where there is none.
 */
static void test_areas_are_whole_in_ram(void **state)
{
	static const struct {
		unsigned area; /* 0: descriptors, 1: available, 2: used */
		u64 gpa;
		int result;
	} table[] = {
		{0, LOW - 128, 0},
		{0, LOW - 112, -1},
		{0, LOW - 16, -1},
		{0, LOW, -1},
		{0, HIGH_AT - 16, -1},
		{0, HIGH_AT, 0},
		{0, HIGH_AT + HIGH - 128, 0},
		{0, HIGH_AT + HIGH - 112, -1},
		{0, HIGH_AT + HIGH, -1},
		{0, LAST_PAGE, -1},
		{0, LAST_PAGE + 0xff0, -1}, /* wraps to 0 */
		{0, 0, 0},
		{1, LOW - 22, 0},
		{1, LOW - 20, -1},
		{1, LOW - 2, -1},
		{1, LOW, -1},
		{1, HIGH_AT - 2, -1},
		{1, HIGH_AT, 0},
		{1, HIGH_AT + HIGH - 22, 0},
		{1, HIGH_AT + HIGH - 20, -1},
		{1, LAST_PAGE + 0xffe, -1},
		{2, LOW - 72, 0},
		{2, LOW - 68, -1},
		{2, LOW - 4, -1},
		{2, LOW, -1},
		{2, HIGH_AT - 4, -1},
		{2, HIGH_AT, 0},
		{2, HIGH_AT + HIGH - 72, 0},
		{2, HIGH_AT + HIGH - 68, -1},
		{2, LAST_PAGE + 0xffc, -1},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct virtq_regs regs = driver_regs(&world->driver);

		*(table[i].area == 0   ? &regs.descriptors
		  : table[i].area == 1 ? &regs.available
				       : &regs.used) = table[i].gpa;
		if (start_regs(world, &regs) != table[i].result)
			fail_msg("row %zu", i);
		assert_int_equal(virtq_started(&world->queue), table[i].result == 0);
		virtq_stop(&world->queue);
	}
}

static void expect_deaf(struct world *world)
{
	const u16 used = driver_used_index(&world->driver);
	const u16 flags = driver_used_flags(&world->driver);
	const struct virtq_position position = world->queue.position;

	expect_result(world, "a queue that isn't served", VIRTQ_BROKEN);
	virtq_push(&world->queue, 0, 1);
	assert_false(virtq_wants_interrupt(&world->queue));
	assert_false(virtq_ask_notify(&world->queue, true));
	assert_false(virtq_ask_notify(&world->queue, false));
	assert_int_equal(driver_used_index(&world->driver), used);
	assert_int_equal(driver_used_flags(&world->driver), flags);
	assert_int_equal(world->queue.position.next_available, position.next_available);
	assert_int_equal(world->queue.position.next_used, position.next_used);
}

static void test_a_queue_that_is_not_started(void **state)
{
	struct world *world = *state;
	struct virtq_regs regs = driver_regs(&world->driver);

	virtq_stop(&world->queue);
	expect_deaf(world);
	start_size(world, SIZE);
	expect_going_on(world, "started");
	virtq_stop(&world->queue);
	virtq_stop(&world->queue);
	assert_false(virtq_started(&world->queue));
	driver_offer_head(&world->driver, 0);
	expect_deaf(world);
	/* Neither does one whose start failed. */
	regs.used = LOW;
	assert_int_equal(start_regs(world, &regs), -1);
	expect_deaf(world);
}

static void test_an_empty_queue(void **state)
{
	struct world *world = *state;

	start_size(world, SIZE);
	for (unsigned i = 0; i < 3; i++)
		expect_result(world, "nothing was offered", VIRTQ_EMPTY);
	expect_going_on(world, "the first chain");
}

static void test_direct_chains(void **state)
{
	const struct driver_buffer both[] = {{DATA, 16, false},
					     {HIGH_AT + HIGH - 1, 1, false},
					     {LOW - 512, 512, true},
					     {0, 7, true},
					     {HIGH_AT, 0x1000, true}};
	struct world *world = *state;
	u16 head;

	start_size(world, SIZE);
	head = driver_add(&world->driver, both, 1);
	expect_result(world, "one to read", VIRTQ_CHAIN);
	assert_int_equal(world->chain.head, head);
	expect_pieces(world, 1, 16, 0, 0);
	expect_piece(world, 0, DATA, 16);

	head = driver_add(&world->driver, both + 2, 1);
	expect_result(world, "one to write", VIRTQ_CHAIN);
	assert_int_equal(world->chain.head, head);
	expect_pieces(world, 0, 0, 1, 512);
	expect_piece(world, 0, LOW - 512, 512);

	head = driver_add(&world->driver, both, ARRAY_LEN(both));
	expect_result(world, "both", VIRTQ_CHAIN);
	assert_int_equal(world->chain.head, head);
	expect_pieces(world, 2, 17, 3, 512 + 7 + 0x1000);
	for (unsigned i = 0; i < ARRAY_LEN(both); i++)
		expect_piece(world, i, both[i].gpa, both[i].bytes);
	expect_result(world, "no more", VIRTQ_EMPTY);
}

/* The order of a chain is the order of its links, not of the table. */
static void test_links_lead_anywhere(void **state)
{
	struct world *world = *state;

	start_size(world, SIZE);
	driver_describe(&world->driver, 7, DATA, 1, DRIVER_NEXT, 0);
	driver_describe(&world->driver, 0, DATA + 1, 2, DRIVER_NEXT, 5);
	/* `next` means nothing without its flag. */
	driver_describe(&world->driver, 5, DATA + 3, 4, DRIVER_WRITE, 0xffff);
	driver_offer_head(&world->driver, 7);
	expect_result(world, "7, 0, 5", VIRTQ_CHAIN);
	assert_int_equal(world->chain.head, 7);
	expect_pieces(world, 2, 3, 1, 4);
	expect_piece(world, 0, DATA, 1);
	expect_piece(world, 1, DATA + 1, 2);
	expect_piece(world, 2, DATA + 3, 4);
}

/* They are no pieces, wherever they point. */
static void test_pieces_without_length(void **state)
{
	const struct driver_buffer empty[] = {{0, 0, false},        {DATA, 16, false},
					      {LOW, 0, false},      {~(u64)0, 0, true},
					      {DATA + 16, 8, true}, {HIGH_AT - 1, 0, true}};
	const struct driver_buffer nothing[] = {{DATA, 0, false}, {DATA, 0, true}};
	struct world *world = *state;

	start_size(world, SIZE);
	driver_add(&world->driver, empty, ARRAY_LEN(empty));
	expect_result(world, "some are empty", VIRTQ_CHAIN);
	expect_pieces(world, 1, 16, 1, 8);
	expect_piece(world, 0, DATA, 16);
	expect_piece(world, 1, DATA + 16, 8);
	driver_add(&world->driver, nothing, ARRAY_LEN(nothing));
	expect_result(world, "all are empty", VIRTQ_CHAIN);
	expect_pieces(world, 0, 0, 0, 0);
}

struct row {
	u64 gpa;
	u32 bytes;
	u16 flags, next;
};

/* Chains that break a rule. Each begins at descriptor 0. */
static void test_bad_chains(void **state)
{
	static const struct {
		const char *what;
		struct row row[4];
	} table[] = {
		{"behind RAM", {{LOW, 1, 0, 0}}},
		{"over the end of RAM", {{LOW - 15, 16, 0, 0}}},
		{"across the hole", {{LOW - 8, 0xfc000010, 0, 0}}},
		{"before the second region", {{HIGH_AT - 1, 2, 0, 0}}},
		{"over the end of the second region", {{HIGH_AT + HIGH - 1, 2, 0, 0}}},
		{"longer than RAM", {{0, 0xffffffff, 0, 0}}},
		{"at the end of the address space", {{~(u64)0, 1, 0, 0}}},
		{"wraps to 0", {{~(u64)0, 2, 0, 0}}},
		{"wraps to the end of RAM", {{~(u64)0 - 0xffe, 0x2000, DRIVER_WRITE, 0}}},
		{"to be written outside RAM", {{LOW, 1, DRIVER_WRITE, 0}}},
		{"the second piece is outside RAM", {{DATA, 1, DRIVER_NEXT, 1}, {LOW, 1, 0, 0}}},
		{"next is the size", {{DATA, 1, DRIVER_NEXT, SIZE}}},
		{"next is 0xffff", {{DATA, 1, DRIVER_NEXT, 0xffff}}},
		{"next of the second is the size",
		 {{DATA, 1, DRIVER_NEXT, 1}, {DATA, 1, DRIVER_NEXT, SIZE}}},
		{"its own successor", {{DATA, 1, DRIVER_NEXT, 0}}},
		{"its own successor, without length", {{DATA, 0, DRIVER_NEXT, 0}}},
		{"a circle of two", {{DATA, 1, DRIVER_NEXT, 1}, {DATA, 1, DRIVER_NEXT, 0}}},
		{"a circle of two, without length",
		 {{DATA, 0, DRIVER_NEXT, 1}, {DATA, 0, DRIVER_NEXT, 0}}},
		{"a tail into a circle",
		 {{DATA, 1, DRIVER_NEXT, 1}, {DATA, 0, DRIVER_NEXT, 2}, {DATA, 0, DRIVER_NEXT, 1}}},
		{"readable behind writable",
		 {{DATA, 1, DRIVER_WRITE | DRIVER_NEXT, 1}, {DATA, 1, 0, 0}}},
		{"readable between writable ones",
		 {{DATA, 1, DRIVER_WRITE | DRIVER_NEXT, 1},
		  {DATA, 1, DRIVER_NEXT, 2},
		  {DATA, 1, DRIVER_WRITE, 0}}},
		{"readable behind readable and writable",
		 {{DATA, 1, DRIVER_NEXT, 1},
		  {DATA, 1, DRIVER_WRITE | DRIVER_NEXT, 2},
		  {DATA, 1, 0, 0}}},
		{"empty and readable behind writable",
		 {{DATA, 1, DRIVER_WRITE | DRIVER_NEXT, 1}, {DATA, 0, 0, 0}}},
	};
	struct world *world = *state;

	start_size(world, SIZE);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		for (u16 j = 0; j < ARRAY_LEN(table[i].row); j++) {
			const struct row *row = &table[i].row[j];

			driver_describe(&world->driver, j, row->gpa, row->bytes, row->flags,
					row->next);
		}
		driver_offer_head(&world->driver, 0);
		expect_result(world, table[i].what, VIRTQ_BAD);
		assert_int_equal(world->chain.head, 0);
		virtq_push(&world->queue, world->chain.head, 0);
		driver_expect(&world->driver, 0, 0);
		expect_going_on(world, table[i].what);
	}
}

/* As many descriptors as the queue has are a chain; the same with a link more are a circle. */
static void test_the_longest_chain(void **state)
{
	struct world *world = *state;

	start_size(world, SIZE);
	for (u16 i = 0; i < SIZE; i++)
		driver_describe(&world->driver, i, DATA + i, 1, i < SIZE - 1 ? DRIVER_NEXT : 0,
				(u16)(i + 1));
	driver_offer_head(&world->driver, 0);
	expect_result(world, "all descriptors", VIRTQ_CHAIN);
	expect_pieces(world, SIZE, SIZE, 0, 0);
	for (u16 i = 0; i < SIZE; i++) {
		driver_describe(&world->driver, SIZE - 1, DATA, 0, DRIVER_NEXT, i);
		driver_offer_head(&world->driver, 0);
		expect_result(world, "all descriptors in a circle", VIRTQ_BAD);
	}
	expect_going_on(world, "circles");
}

static void describe_many(struct world *world, u16 count, u32 bytes)
{
	for (u16 i = 0; i < count; i++)
		driver_describe(&world->driver, i, DATA + i, bytes, i + 1 < count ? DRIVER_NEXT : 0,
				(u16)(i + 1));
}

static void test_too_many_pieces(void **state)
{
	struct world *world = *state;

	start_size(world, 256);
	describe_many(world, VIRTQ_PIECES_MAX, 1);
	driver_offer_head(&world->driver, 0);
	expect_result(world, "the most pieces", VIRTQ_CHAIN);
	expect_pieces(world, VIRTQ_PIECES_MAX, VIRTQ_PIECES_MAX, 0, 0);
	describe_many(world, VIRTQ_PIECES_MAX + 1, 1);
	driver_offer_head(&world->driver, 0);
	expect_result(world, "one more", VIRTQ_BAD);
	/* One of them that has no length is none. */
	driver_describe(&world->driver, 3, DATA, 0, DRIVER_NEXT, 4);
	driver_offer_head(&world->driver, 0);
	expect_result(world, "one more, which is empty", VIRTQ_CHAIN);
	expect_pieces(world, VIRTQ_PIECES_MAX, VIRTQ_PIECES_MAX, 0, 0);
	/* The same with writable ones among them. */
	driver_describe(&world->driver, 3, DATA, 1, DRIVER_NEXT, 4);
	driver_describe(&world->driver, VIRTQ_PIECES_MAX, DATA, 1, DRIVER_WRITE, 0);
	driver_offer_head(&world->driver, 0);
	expect_result(world, "one more, which is writable", VIRTQ_BAD);
	describe_many(world, 256, 1);
	driver_offer_head(&world->driver, 0);
	expect_result(world, "twice as many", VIRTQ_BAD);
	expect_going_on(world, "too many");
}

/* Lengths add up to 2^32 - 1 and no further, readable and writable ones together. */
static void test_sums_past_32_bits(void **state)
{
	const u32 whole = LOW;
	const u16 last = (u16)(4 * GIB / LOW - 1);
	struct world *world = *state;

	start_size(world, 128);
	for (unsigned writable = 0; writable <= last; writable += last / 3) {
		const u32 in = writable ? writable * whole : 0;

		for (u16 i = 0; i <= last; i++)
			driver_describe(
				&world->driver, i, 0, whole,
				(u16)(DRIVER_NEXT | (i + writable >= last + 1U ? DRIVER_WRITE : 0)),
				(u16)(i + 1));
		for (unsigned less = 0; less <= 2; less++) {
			const u16 flags = writable ? DRIVER_WRITE : 0;

			driver_describe(&world->driver, last, 0, whole - less, flags, 0);
			driver_offer_head(&world->driver, 0);
			expect_result(world, "around 2^32", less ? VIRTQ_CHAIN : VIRTQ_BAD);
			if (less)
				expect_pieces(world, (u16)(last + 1 - writable),
					      (u32)(4 * GIB - in - (writable ? 0 : less)),
					      (u16)writable, in ? in - less : 0);
		}
	}
	expect_going_on(world, "large sums");
}

static void test_a_head_that_is_none(void **state)
{
	static const u16 heads[] = {SIZE, SIZE + 1, 0x100, 0x7fff, 0x8000, 0xffff};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		world->queue.position = (struct virtq_position){0};
		start_size(world, SIZE);
		expect_going_on(world, "before");
		driver_offer_head(&world->driver, heads[i]);
		expect_deaf(world);
		driver_publish(&world->driver, (u16)(world->driver.next_available - 1));
		driver_offer_head(&world->driver, 0);
		expect_deaf(world);
		virtq_stop(&world->queue);
	}
	world->queue.position = (struct virtq_position){0};
	start_size(world, SIZE);
	expect_going_on(world, "started anew");
}

static void test_an_index_that_ran_away(void **state)
{
	static const u16 ahead[] = {SIZE + 1, SIZE + 2, 32767, 32768, 32769, 65534, 65535};
	static const u16 places[] = {0, 1, 0x7fff, 65535 - SIZE, 65535};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(ahead) * ARRAY_LEN(places); i++) {
		const u16 at = places[i / ARRAY_LEN(ahead)];

		world->queue.position = (struct virtq_position){at, at, at};
		start_size(world, SIZE);
		driver_begin_at(&world->driver, at);
		driver_describe(&world->driver, 0, DATA, 1, 0, 0);
		driver_publish(&world->driver, (u16)(at + ahead[i % ARRAY_LEN(ahead)]));
		expect_deaf(world);
		/* That it is right afterwards doesn't help. */
		driver_publish(&world->driver, (u16)(at + 1));
		expect_deaf(world);
		virtq_stop(&world->queue);
	}
	world->queue.position = (struct virtq_position){0};
	start_size(world, SIZE);
	driver_publish(&world->driver, SIZE);
	driver_describe(&world->driver, 0, DATA, 1, 0, 0);
	for (unsigned i = 0; i < SIZE; i++)
		expect_result(world, "as far ahead as can be", VIRTQ_CHAIN);
	expect_result(world, "all taken", VIRTQ_EMPTY);
}

/* What a chain is, is settled when it is taken. */
static void test_changes_behind_its_back(void **state)
{
	const struct driver_buffer direct[] = {{DATA, 16, false}, {DATA + 16, 16, true}};
	struct world *world = *state;
	struct virtq_chain before;
	u16 head;

	start_size(world, SIZE);
	head = driver_add(&world->driver, direct, 2);
	expect_result(world, "a chain", VIRTQ_CHAIN);
	before = world->chain;
	for (u16 i = 0; i < SIZE; i++)
		driver_describe(&world->driver, i, ~(u64)0, 0xffffffff, 0xffff, 0xffff);
	assert_memory_equal(&before, &world->chain, sizeof(before));
	assert_int_equal(world->chain.head, head);
	expect_piece(world, 0, DATA, 16);
	expect_piece(world, 1, DATA + 16, 16);
	virtq_push(&world->queue, world->chain.head, 16);
	driver_expect(&world->driver, head, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_alignments, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_areas_are_whole_in_ram, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_queue_that_is_not_started, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_an_empty_queue, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_direct_chains, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links_lead_anywhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pieces_without_length, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_chains, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_longest_chain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_many_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sums_past_32_bits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_head_that_is_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_index_that_ran_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_changes_behind_its_back, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
