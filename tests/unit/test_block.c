/*
 * devices/virtio/block.c, each request type with good and with bad headers and framings (virtio
 * 1.2, 5.2.6), on an image in a file. All of it runs twice: with io_uring, and with the threads that
 * take its place.
 */
#include "tests/unit/test.h"

#include <unistd.h>

#include "tests/unit/block_world.h"

static void put_data(struct block_world *world, u32 bytes, u32 seed)
{
	fill_pattern(rig_at(&world->rig, RIG_DATA, bytes), bytes, seed);
}

static void expect_data(struct block_world *world, u64 gpa, u64 sector, u64 sectors)
{
	for (u64 i = 0; i < sectors; i++) {
		u8 expected[SECTOR];

		sector_pattern(sector + i, expected);
		assert_memory_equal(rig_at(&world->rig, gpa + i * SECTOR, SECTOR), expected,
				    SECTOR);
	}
}

static void test_reads(void **state)
{
	static const struct {
		u64 sector, sectors;
	} table[] = {{0, 1},       {1, 1},           {7, 8},      {SECTORS - 1, 1},
		     {0, SECTORS}, {SECTORS - 9, 9}, {1000, 1048}};
	struct block_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const u32 bytes = (u32)(table[i].sectors * SECTOR);

		put_data(world, bytes + SECTOR, 99);
		assert_int_equal(request(world, VIRTIO_BLK_T_IN, table[i].sector, bytes),
				 VIRTIO_BLK_S_OK);
		expect_data(world, RIG_DATA, table[i].sector, table[i].sectors);
		/* Not a byte more. */
		assert_int_not_equal(*rig_at(&world->rig, RIG_DATA + bytes, 1), 0);
	}
	assert_true(image_is_untouched(world, 0, SECTORS));
}

static void test_writes(void **state)
{
	static const struct {
		u64 sector, sectors;
	} table[] = {{0, 1}, {5, 3}, {SECTORS - 1, 1}, {100, 1000}};
	struct block_world *world = *state;
	u8 is[SECTOR];

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const u32 bytes = (u32)(table[i].sectors * SECTOR);

		put_data(world, bytes, 50000 + (u32)i);
		assert_int_equal(request(world, VIRTIO_BLK_T_OUT, table[i].sector, bytes),
				 VIRTIO_BLK_S_OK);
		for (u64 j = 0; j < table[i].sectors; j++) {
			image_read(world, table[i].sector + j, is);
			assert_memory_equal(is, rig_at(&world->rig, RIG_DATA + j * SECTOR, SECTOR),
					    SECTOR);
		}
	}
	assert_true(image_is_untouched(world, 1, 4));
	assert_true(image_is_untouched(world, 8, 92));
	assert_true(image_is_untouched(world, 1100, SECTORS - 1101));
}

/* Nothing is transferred beyond the disk, and nothing of what is on it. */
static void test_capacity(void **state)
{
	static const struct {
		u64 sector;
		u32 bytes;
	} table[] = {
		{SECTORS, SECTOR},
		{SECTORS - 1, 2 * SECTOR},
		{1, SECTORS * SECTOR},
		{SECTORS + 1, SECTOR},
		{(u64)1 << 32, SECTOR},
		{((u64)1 << 55) - 1, SECTOR},
		{(u64)1 << 55, SECTOR}, /* 2^64 bytes */
		{((u64)1 << 55) + 1, SECTOR},
		{(u64)1 << 63, SECTOR},
		{~(u64)0, SECTOR},
		{~(u64)0, 2 * SECTOR},
		{~(u64)0 - 1, 2 * SECTOR},
	};
	struct block_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		memset(rig_at(&world->rig, RIG_DATA, SECTOR), 0x11, SECTOR);
		assert_int_equal(request(world, VIRTIO_BLK_T_IN, table[i].sector, table[i].bytes),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(*rig_at(&world->rig, RIG_DATA, 1), 0x11);
		assert_int_equal(request(world, VIRTIO_BLK_T_OUT, table[i].sector, table[i].bytes),
				 VIRTIO_BLK_S_IOERR);
	}
	assert_true(image_is_untouched(world, 0, SECTORS));
	assert_int_equal(lseek(world->image.fd, 0, SEEK_END), SECTORS * SECTOR);
}

static void test_lengths(void **state)
{
	static const u32 odd[] = {1, 16, 511, 513, 1023, 4095, 4097};
	struct block_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		assert_int_equal(request(world, VIRTIO_BLK_T_IN, 0, odd[i]), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(world, VIRTIO_BLK_T_OUT, 0, odd[i]), VIRTIO_BLK_S_IOERR);
	}
	/* None at all is no error, on the disk. */
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(request(world, VIRTIO_BLK_T_OUT, SECTORS - 1, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, SECTORS + 1, 0), VIRTIO_BLK_S_IOERR);
	assert_true(image_is_untouched(world, 0, SECTORS));
}

/*
 * 2.7.4: the device makes no assumption about framing. The header, the data and the status in every
 * sort of pieces.
 */
static void test_framing_of_reads(void **state)
{
	struct block_world *world = *state;

	for (u32 first = 1; first < SECTOR; first += 37) {
		for (u32 header = 1; header <= 16; header += 5) {
			const struct driver_buffer buffers[] = {
				{HEADER_AT, header, false},
				{HEADER_AT + header, 16 - header, false},
				{RIG_DATA, first, true},
				{RIG_DATA + first, 0, true},
				{RIG_DATA + first, SECTOR - first, true},
				{STATUS_AT, 1, true}};
			u32 written;

			memset(rig_at(&world->rig, RIG_DATA, SECTOR), 0, SECTOR);
			put_header(world, VIRTIO_BLK_T_IN, first);
			assert_int_equal(send_chain(world, buffers, ARRAY_LEN(buffers), &written),
					 VIRTIO_BLK_S_OK);
			assert_int_equal(written, SECTOR + 1);
			expect_data(world, RIG_DATA, first, 1);
		}
	}
}

/* The status behind the data in one piece, and the data behind the header. */
static void test_framing_without_seams(void **state)
{
	struct block_world *world = *state;
	const u64 at = STATUS_AT - SECTOR;
	const struct driver_buffer read[] = {{HEADER_AT, 16, false}, {at, SECTOR + 1, true}};
	const struct driver_buffer write[] = {{HEADER_AT, 16 + SECTOR, false},
					      {STATUS_AT, 1, true}};
	u8 is[SECTOR];
	u32 written;

	put_header(world, VIRTIO_BLK_T_IN, 77);
	assert_int_equal(send_chain(world, read, 2, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(written, SECTOR + 1);
	expect_data(world, at, 77, 1);
	fill_pattern(rig_at(&world->rig, HEADER_AT + 16, SECTOR), SECTOR, 4711);
	put_header(world, VIRTIO_BLK_T_OUT, 78);
	assert_int_equal(send_chain(world, write, 2, &written), VIRTIO_BLK_S_OK);
	image_read(world, 78, is);
	assert_memory_equal(is, rig_at(&world->rig, HEADER_AT + 16, SECTOR), SECTOR);
	assert_true(image_is_untouched(world, 79, 1));
}

/* As many pieces as the configuration allows, direct and in a table; and one more. */
static void test_the_most_segments(void **state)
{
	struct block_world *world = *state;
	struct driver_buffer buffers[BLOCK_SEGMENTS + 3];
	struct driver_used used;

	assert_int_equal(world->block.config.seg_max, BLOCK_SEGMENTS);
	buffers[0] = (struct driver_buffer){HEADER_AT, 16, false};
	for (u64 i = 1; i <= BLOCK_SEGMENTS + 1; i++)
		buffers[i] = (struct driver_buffer){RIG_DATA + 2 * SECTOR * i, SECTOR, true};
	for (unsigned more = 0; more < 2; more++) {
		const unsigned segments = BLOCK_SEGMENTS + more;
		const u16 before = world->rig.driver[0].next_available;

		buffers[segments + 1] = (struct driver_buffer){STATUS_AT, 1, true};
		put_header(world, VIRTIO_BLK_T_IN, 3);
		driver_add_indirect(&world->rig.driver[0], buffers, segments + 2, TABLE_AT);
		rig_kick(&world->rig, 0, before);
		used = rig_wait(&world->rig, 0);
		if (more) {
			assert_int_equal(used.written, 0);
			assert_int_equal(*rig_at(&world->rig, STATUS_AT, 1), UNTOUCHED);
			continue;
		}
		assert_int_equal(used.written, segments * SECTOR + 1);
		assert_int_equal(*rig_at(&world->rig, STATUS_AT, 1), VIRTIO_BLK_S_OK);
		for (u64 i = 0; i < segments; i++)
			expect_data(world, buffers[i + 1].gpa, 3 + i, 1);
	}
}

/* Headers that are too short are answered, if there is a byte for it. */
static void test_short_headers(void **state)
{
	struct block_world *world = *state;
	const struct driver_buffer status = {STATUS_AT, 1, true};
	u32 written;

	for (u32 bytes = 1; bytes < 16; bytes++) {
		const struct driver_buffer buffers[] = {
			{HEADER_AT, bytes, false}, {RIG_DATA, SECTOR, true}, {STATUS_AT, 1, true}};

		put_header(world, VIRTIO_BLK_T_IN, 0);
		assert_int_equal(send_chain(world, buffers, 3, &written), VIRTIO_BLK_S_IOERR);
	}
	put_header(world, VIRTIO_BLK_T_IN, 0);
	assert_int_equal(send_chain(world, &status, 1, &written), VIRTIO_BLK_S_IOERR);
	assert_int_equal(written, 1);
}

/* Without a byte for the status the chain goes back with length 0, and nothing is done. */
static void test_no_room_for_a_status(void **state)
{
	struct block_world *world = *state;
	const struct driver_buffer write[] = {{HEADER_AT, 16, false}, {RIG_DATA, SECTOR, false}};
	const struct driver_buffer empty[] = {{HEADER_AT, 16, false}, {STATUS_AT, 0, true}};
	const struct driver_buffer nothing = {HEADER_AT, 0, false};
	u32 written;

	put_header(world, VIRTIO_BLK_T_OUT, 0);
	assert_int_equal(send_chain(world, write, 2, &written), UNTOUCHED);
	assert_int_equal(written, 0);
	assert_int_equal(send_chain(world, write, 1, &written), UNTOUCHED);
	assert_int_equal(written, 0);
	assert_int_equal(send_chain(world, empty, 2, &written), UNTOUCHED);
	assert_int_equal(written, 0);
	assert_int_equal(send_chain(world, &nothing, 1, &written), UNTOUCHED);
	assert_int_equal(written, 0);
	assert_true(image_is_untouched(world, 0, 1));
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 0, SECTOR), VIRTIO_BLK_S_OK);
}

static void test_bad_chains(void **state)
{
	struct block_world *world = *state;
	const struct driver_buffer buffers[][3] = {
		{{HEADER_AT, 16, false}, {16 * MIB, SECTOR, true}, {STATUS_AT, 1, true}},
		{{HEADER_AT, 16, false}, {STATUS_AT, 1, true}, {RIG_DATA, SECTOR, false}},
		{{~(u64)0, 16, false}, {RIG_DATA, SECTOR, true}, {STATUS_AT, 1, true}},
	};
	u32 written;

	for (size_t i = 0; i < ARRAY_LEN(buffers); i++) {
		put_header(world, VIRTIO_BLK_T_IN, 0);
		assert_int_equal(send_chain(world, buffers[i], 3, &written), UNTOUCHED);
		assert_int_equal(written, 0);
		assert_int_equal(request(world, VIRTIO_BLK_T_IN, 0, SECTOR), VIRTIO_BLK_S_OK);
	}
	assert_false(rig_is_broken(&world->rig));
}

static void test_unknown_types(void **state)
{
	static const u32 types[] = {2,  3,  5,  6,  7,          9,          10, 12,
				    14, 15, 17, 18, 0x80000000, 0x80000001, 26, 0xffffffff};
	struct block_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		assert_int_equal(request(world, types[i], 0, 0), VIRTIO_BLK_S_UNSUPP);
		assert_int_equal(request(world, types[i], ~(u64)0, SECTOR), VIRTIO_BLK_S_UNSUPP);
	}
	assert_true(image_is_untouched(world, 0, SECTORS));
}

static void test_get_id(void **state)
{
	static const char serial[VIRTIO_BLK_ID_BYTES] = "a serial number";
	struct block_world *world = *state;

	memset(rig_at(&world->rig, RIG_DATA, 64), 0x11, 64);
	assert_int_equal(request(world, VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
	assert_memory_equal(rig_at(&world->rig, RIG_DATA, 20), serial, 20);
	assert_int_equal(*rig_at(&world->rig, RIG_DATA + 20, 1), 0x11);
	/* With less room, as much as fits. */
	memset(rig_at(&world->rig, RIG_DATA, 64), 0x11, 64);
	assert_int_equal(request(world, VIRTIO_BLK_T_GET_ID, ~(u64)0, 5), VIRTIO_BLK_S_OK);
	assert_memory_equal(rig_at(&world->rig, RIG_DATA, 5), serial, 5);
	assert_int_equal(*rig_at(&world->rig, RIG_DATA + 5, 1), 0x11);
	assert_int_equal(request(world, VIRTIO_BLK_T_GET_ID, 0, 0), VIRTIO_BLK_S_OK);
}

/*
 * 2.7.8.2: the length in the used ring counts bytes that were written, from the first on. What the
 * device left alone in front of the status isn't among them.
 */
static void test_lengths_count_what_was_written(void **state)
{
	struct block_world *world = *state;
	const struct driver_buffer write[] = {{HEADER_AT, 16, false},
					      {RIG_DATA, SECTOR, false},
					      {RIG_DATA + SECTOR, 4, true},
					      {STATUS_AT, 1, true}};
	const struct driver_buffer id[] = {
		{HEADER_AT, 16, false}, {RIG_DATA, 30, true}, {STATUS_AT, 1, true}};
	u32 written;

	put_header(world, VIRTIO_BLK_T_OUT, 0);
	assert_int_equal(send_chain(world, write, 4, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(written, 0);
	put_header(world, VIRTIO_BLK_T_GET_ID, 0);
	assert_int_equal(send_chain(world, id, 3, &written), VIRTIO_BLK_S_OK);
	assert_int_equal(written, 20);
	/* Of data that may not be there, none is promised. */
	put_header(world, VIRTIO_BLK_T_IN, SECTORS);
	assert_int_equal(send_chain(world, id, 3, &written), VIRTIO_BLK_S_IOERR);
	assert_int_equal(written, 0);
}

static void test_flush(void **state)
{
	struct block_world *world = *state;

	assert_int_equal(request(world, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	/* 5.2.6.1: the sector means nothing. */
	assert_int_equal(request(world, VIRTIO_BLK_T_FLUSH, ~(u64)0, 0), VIRTIO_BLK_S_OK);
}

/* The image shrinks while the guest runs: an error of the disk, and no more. */
static void test_errors_of_the_host(void **state)
{
	struct block_world *world = *state;

	assert_int_equal(ftruncate(world->image.fd, 100 * SECTOR), 0);
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 100, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 99, 2 * SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 99, SECTOR), VIRTIO_BLK_S_OK);
	expect_data(world, RIG_DATA, 99, 1);
	assert_false(rig_is_broken(&world->rig));
}

static void test_a_ring_that_breaks(void **state)
{
	struct block_world *world = *state;
	const u16 before = world->rig.driver[0].next_available;

	driver_publish(&world->rig.driver[0], (u16)(before + RIG_QUEUE_SIZE + 1));
	rig_kick(&world->rig, 0, before);
	rig_wait_broken(&world->rig);
	rig_reset(&world->rig);
	rig_start(&world->rig, BLOCK_FEATURES, 1);
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 5, SECTOR), VIRTIO_BLK_S_OK);
	expect_data(world, RIG_DATA, 5, 1);
}

static void test_the_engine(void **state)
{
	struct block_world *world = *state;

	assert_int_equal(block_engine(&world->block), has_io_uring() ? IO_URING : IO_THREADS);
}

#define BLOCK_TEST(test) cmocka_unit_test_setup_teardown(test, block_set_up, block_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLOCK_TEST(test_reads),
		BLOCK_TEST(test_writes),
		BLOCK_TEST(test_capacity),
		BLOCK_TEST(test_lengths),
		BLOCK_TEST(test_framing_of_reads),
		BLOCK_TEST(test_framing_without_seams),
		BLOCK_TEST(test_the_most_segments),
		BLOCK_TEST(test_short_headers),
		BLOCK_TEST(test_no_room_for_a_status),
		BLOCK_TEST(test_bad_chains),
		BLOCK_TEST(test_unknown_types),
		BLOCK_TEST(test_get_id),
		BLOCK_TEST(test_lengths_count_what_was_written),
		BLOCK_TEST(test_flush),
		BLOCK_TEST(test_errors_of_the_host),
		BLOCK_TEST(test_a_ring_that_breaks),
		BLOCK_TEST(test_the_engine),
	};

	return block_run_twice(tests, ARRAY_LEN(tests));
}
