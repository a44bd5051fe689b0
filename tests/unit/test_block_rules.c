/*
 * devices/virtio/block.c: discards and zeroes (virtio 1.2, 5.2.6.1), disks that are only read, what
 * the configuration says (5.2.4), and when a write has to be on the disk (5.2.5.2).
 */
#include "tests/unit/test.h"

#include <sys/stat.h>

#include "tests/unit/block_world.h"

enum { RANGES_MAX = BLOCK_RANGES + 1, LARGEST = 1 << 22 };

struct range {
	u64 sector;
	u32 sectors, flags;
};

/* A request with these ranges, and `more` bytes behind them. */
static u8 send_ranges(struct block_world *world, u32 type, const struct range *range,
		      unsigned ranges, u32 more)
{
	const u32 bytes = ranges * (u32)sizeof(*range) + more;

	memcpy(rig_at(&world->rig, RIG_DATA, bytes), range, bytes);
	return request(world, type, 0, bytes);
}

static bool is_zero(struct block_world *world, u64 sector, u64 sectors)
{
	static const u8 zeroes[SECTOR];
	u8 is[SECTOR];

	for (u64 i = sector; i < sector + sectors; i++) {
		image_read(world, i, is);
		if (memcmp(is, zeroes, SECTOR))
			return false;
	}
	return true;
}

static void test_zeroes(void **state)
{
	struct block_world *world = *state;
	const struct range one = {10, 5, 0}, unmap = {64, 64, 1}, last = {SECTORS - 1, 1, 1};
	const struct range three[] = {{200, 8, 0}, {300, 16, 1}, {400, 1, 0}};

	assert_int_equal(send_ranges(world, VIRTIO_BLK_T_WRITE_ZEROES, &one, 1, 0),
			 VIRTIO_BLK_S_OK);
	assert_true(is_zero(world, 10, 5));
	assert_int_equal(send_ranges(world, VIRTIO_BLK_T_WRITE_ZEROES, &unmap, 1, 0),
			 VIRTIO_BLK_S_OK);
	assert_true(is_zero(world, 64, 64));
	assert_int_equal(send_ranges(world, VIRTIO_BLK_T_WRITE_ZEROES, &last, 1, 0),
			 VIRTIO_BLK_S_OK);
	assert_true(is_zero(world, SECTORS - 1, 1));
	assert_int_equal(send_ranges(world, VIRTIO_BLK_T_WRITE_ZEROES, three, 3, 0),
			 VIRTIO_BLK_S_OK);
	assert_true(is_zero(world, 200, 8));
	assert_true(is_zero(world, 300, 16));
	assert_true(is_zero(world, 400, 1));
	/* And nothing beside. */
	assert_true(image_is_untouched(world, 0, 10));
	assert_true(image_is_untouched(world, 15, 49));
	assert_true(image_is_untouched(world, 128, 72));
	assert_true(image_is_untouched(world, 208, 92));
	assert_true(image_is_untouched(world, 316, 84));
	assert_true(image_is_untouched(world, 401, SECTORS - 402));
}

/* A discard is a hint: what the sectors hold afterwards is open; the others are as before. */
static void test_discards(void **state)
{
	struct block_world *world = *state;
	const struct range two[] = {{16, 8, 0}, {1024, 128, 0}};
	const struct range all = {0, SECTORS, 0};
	struct stat before, after;

	assert_int_equal(send_ranges(world, VIRTIO_BLK_T_DISCARD, two, 2, 0), VIRTIO_BLK_S_OK);
	assert_true(image_is_untouched(world, 0, 16));
	assert_true(image_is_untouched(world, 24, 1000));
	assert_true(image_is_untouched(world, 1152, SECTORS - 1152));
	assert_int_equal(fstat(world->image.fd, &before), 0);
	assert_int_equal(send_ranges(world, VIRTIO_BLK_T_DISCARD, &all, 1, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(fstat(world->image.fd, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(after.st_size, before.st_size);
}

static void test_as_many_ranges_as_allowed(void **state)
{
	struct block_world *world = *state;
	struct range ranges[RANGES_MAX];

	assert_int_equal(world->block.config.max_discard_seg, BLOCK_RANGES);
	assert_int_equal(world->block.config.max_write_zeroes_seg, BLOCK_RANGES);
	for (u64 i = 0; i < RANGES_MAX; i++)
		ranges[i] = (struct range){2 * i, 1, 0};
	/* One too many: none of them is done. */
	assert_int_equal(send_ranges(world, VIRTIO_BLK_T_WRITE_ZEROES, ranges, BLOCK_RANGES + 1, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_true(image_is_untouched(world, 0, SECTORS));
	assert_int_equal(send_ranges(world, VIRTIO_BLK_T_WRITE_ZEROES, ranges, BLOCK_RANGES, 0),
			 VIRTIO_BLK_S_OK);
	for (u64 i = 0; i < BLOCK_RANGES; i++) {
		assert_true(is_zero(world, 2 * i, 1));
		assert_true(image_is_untouched(world, 2 * i + 1, 1));
	}
}

/* 5.2.6.2: what is refused, and how. Alone, and behind a good range, which isn't done either. */
static void test_ranges_that_are_refused(void **state)
{
	static const struct {
		u32 type;
		struct range range;
		u8 status;
	} table[] = {
		{VIRTIO_BLK_T_DISCARD, {8, 8, 1}, VIRTIO_BLK_S_UNSUPP}, /* "unmap" */
		{VIRTIO_BLK_T_DISCARD, {8, 8, 2}, VIRTIO_BLK_S_UNSUPP},
		{VIRTIO_BLK_T_DISCARD, {8, 8, 0x80000000}, VIRTIO_BLK_S_UNSUPP},
		{VIRTIO_BLK_T_WRITE_ZEROES, {8, 8, 2}, VIRTIO_BLK_S_UNSUPP},
		{VIRTIO_BLK_T_WRITE_ZEROES, {8, 8, 3}, VIRTIO_BLK_S_UNSUPP},
		{VIRTIO_BLK_T_WRITE_ZEROES, {8, 8, 0xfffffffe}, VIRTIO_BLK_S_UNSUPP},
		{VIRTIO_BLK_T_DISCARD, {SECTORS, 1, 0}, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, {SECTORS - 1, 2, 0}, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, {~(u64)0, 1, 0}, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, {~(u64)0, 2, 0}, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, {(u64)1 << 55, 1, 0}, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, {0, 0xffffffff, 0}, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_DISCARD, {1, 0x800000, 0}, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_WRITE_ZEROES, {SECTORS, 1, 0}, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_WRITE_ZEROES, {SECTORS - 1, 2, 1}, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_WRITE_ZEROES, {1, 0xffffffff, 0}, VIRTIO_BLK_S_IOERR},
		{VIRTIO_BLK_T_WRITE_ZEROES, {(u64)1 << 63, 8, 0}, VIRTIO_BLK_S_IOERR},
	};
	struct block_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct range two[] = {{100, 8, 0}, table[i].range};

		assert_int_equal(send_ranges(world, table[i].type, &table[i].range, 1, 0),
				 table[i].status);
		assert_int_equal(send_ranges(world, table[i].type, two, 2, 0), table[i].status);
	}
	assert_true(image_is_untouched(world, 0, SECTORS));
}

/* A disk of 8 GiB: what is longer than the configuration allows is refused, though it is there. */
static int set_up_large(void **state)
{
	static struct block_world world;

	world.image_bytes = 8 * GIB;
	block_world_init(&world, &(struct disk_config){.read_only = false});
	rig_start(&world.rig, BLOCK_FEATURES, 1);
	*state = &world;
	return 0;
}

static void test_the_longest_range(void **state)
{
	static const u32 types[] = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};
	struct block_world *world = *state;
	const u32 most[] = {world->block.config.max_discard_sectors,
			    world->block.config.max_write_zeroes_sectors};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		/* Zeroes with their "unmap", or the file would fill up. */
		const struct range ranges[] = {{SECTORS, most[i], (u32)i},
					       {SECTORS, most[i] + 1, (u32)i}};

		assert_in_range(most[i], 8, LARGEST);
		assert_int_equal(send_ranges(world, types[i], ranges + 1, 1, 0),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(send_ranges(world, types[i], ranges, 1, 0), VIRTIO_BLK_S_OK);
	}
	assert_true(image_is_untouched(world, 0, SECTORS));
}

static void test_odd_range_requests(void **state)
{
	static const u32 types[] = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};
	struct block_world *world = *state;
	const struct range ranges[] = {{8, 8, 0}, {16, 8, 0}, {24, 0, 0}};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		/* No range at all, and pieces of one. */
		assert_int_equal(request(world, types[i], 0, 0), VIRTIO_BLK_S_IOERR);
		for (u32 more = 1; more < sizeof(ranges[0]); more++) {
			assert_int_equal(send_ranges(world, types[i], ranges, 0, more),
					 VIRTIO_BLK_S_IOERR);
			assert_int_equal(send_ranges(world, types[i], ranges, 1, more),
					 VIRTIO_BLK_S_IOERR);
		}
		/* An empty range is nothing to do. */
		assert_int_equal(send_ranges(world, types[i], ranges + 2, 1, 0), VIRTIO_BLK_S_OK);
	}
	assert_true(image_is_untouched(world, 0, SECTORS));
}

/* ---- disks that are only read ---- */

static int set_up_read_only(void **state)
{
	static struct block_world world;

	block_world_init(&world, &(struct disk_config){.read_only = true});
	rig_start(&world.rig, BLOCK_FEATURES, 1);
	*state = &world;
	return 0;
}

static void test_read_only(void **state)
{
	struct block_world *world = *state;
	const struct range range = {8, 8, 0};

	assert_true(world->block.device.features & 1 << VIRTIO_BLK_F_RO);
	assert_false(world->block.device.features & 1 << VIRTIO_BLK_F_DISCARD);
	assert_false(world->block.device.features & 1 << VIRTIO_BLK_F_WRITE_ZEROES);
	assert_int_equal(request(world, VIRTIO_BLK_T_OUT, 0, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(send_ranges(world, VIRTIO_BLK_T_DISCARD, &range, 1, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(send_ranges(world, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(world, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 8, SECTOR), VIRTIO_BLK_S_OK);
	assert_true(image_is_untouched(world, 0, SECTORS));
	/* No serial number was given: none is made up. */
	memset(rig_at(&world->rig, RIG_DATA, 20), 0x11, 20);
	assert_int_equal(request(world, VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
	for (u64 i = 0; i < 20; i++)
		assert_int_equal(*rig_at(&world->rig, RIG_DATA + i, 1), 0);
}

/* ---- the configuration ---- */

static u64 config(struct block_world *world, u64 offset, unsigned width)
{
	return virtio_read_config(&world->block.device, offset, width);
}

#define CONFIG(world, field)                                                                       \
	config(world, offsetof(struct virtio_blk_config, field),                                   \
	       sizeof(((struct virtio_blk_config *)0)->field))

static void test_the_configuration(void **state)
{
	struct block_world *world = *state;
	const u64 features = world->block.device.features;

	assert_true(features & VIRTIO_VERSION_1);
	assert_true(features & 1 << VIRTIO_BLK_F_FLUSH);
	assert_true(features & 1 << VIRTIO_BLK_F_DISCARD);
	assert_true(features & 1 << VIRTIO_BLK_F_WRITE_ZEROES);
	assert_false(features & 1 << VIRTIO_BLK_F_RO);
	assert_false(features & 1 << VIRTIO_BLK_F_MQ);
	assert_false(features & 1 << VIRTIO_BLK_F_GEOMETRY);
	assert_int_equal(CONFIG(world, capacity), SECTORS);
	assert_int_equal(CONFIG(world, seg_max), BLOCK_SEGMENTS);
	assert_true(CONFIG(world, size_max) >= 4096);
	assert_in_range(CONFIG(world, blk_size), 512, 4096);
	assert_int_equal(CONFIG(world, wce), 1);
	assert_int_equal(CONFIG(world, num_queues), 1);
	assert_int_equal(CONFIG(world, max_discard_seg), BLOCK_RANGES);
	assert_int_equal(CONFIG(world, max_write_zeroes_seg), BLOCK_RANGES);
	assert_in_range(CONFIG(world, max_discard_sectors), 1, LARGEST);
	assert_in_range(CONFIG(world, max_write_zeroes_sectors), 1, LARGEST);
	/* 5.2.4: a power of two of logical blocks. */
	assert_true(CONFIG(world, discard_sector_alignment) * 512 >= CONFIG(world, blk_size));
}

/* One byte of it can be written, and of that byte one bit. */
static void test_writes_to_the_configuration(void **state)
{
	struct block_world *world = *state;
	const struct virtio_blk_config before = world->block.config;
	const u64 wce = offsetof(struct virtio_blk_config, wce);

	for (u64 offset = 0; offset < sizeof(before) + 8; offset++) {
		for (unsigned width = 1; width <= 8; width *= 2) {
			if (offset == wce && width == 1)
				continue;
			virtio_write_config(&world->block.device, offset, width, 0);
			virtio_write_config(&world->block.device, offset, width, ~(u64)0);
			virtio_write_config(&world->block.device, offset, width, 0);
			assert_memory_equal(&before, &world->block.config, sizeof(before));
		}
	}
	virtio_write_config(&world->block.device, wce, 1, 0);
	assert_int_equal(CONFIG(world, wce), 0);
	virtio_write_config(&world->block.device, wce, 1, 0xff);
	assert_int_equal(CONFIG(world, wce), 1);
	virtio_write_config(&world->block.device, wce, 1, 0xfe);
	assert_int_equal(CONFIG(world, wce), 0);
	/* A reset puts it right. */
	rig_reset(&world->rig);
	assert_int_equal(CONFIG(world, wce), 1);
}

/*
 * 5.2.5.2: a driver that can't flush gets a disk that needs no flush; one that can has a write
 * cache, and may switch it off if that was negotiated. The configuration says which it is.
 */
static void test_write_cache(void **state)
{
	enum { LEFT_ALONE = -1 };
	static const struct {
		bool flush, choice;
		int wce; /* as the driver writes it */
		bool writeback;
	} table[] = {
		{false, false, LEFT_ALONE, false},
		{true, false, LEFT_ALONE, true},
		{true, true, LEFT_ALONE, true},
		{true, true, 1, true},
		{true, true, 0, false},
		{false, true, LEFT_ALONE, false},
		{false, true, 0, false},
		{false, false, 1, false},
		{true, false, 0, true},
	};
	struct block_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const u64 features = VIRTIO_VERSION_1 |
				     (table[i].flush ? (u64)1 << VIRTIO_BLK_F_FLUSH : 0) |
				     (table[i].choice ? (u64)1 << VIRTIO_BLK_F_CONFIG_WCE : 0);

		rig_reset(&world->rig);
		rig_start(&world->rig, features, 1);
		if (table[i].wce != LEFT_ALONE)
			virtio_write_config(&world->block.device,
					    offsetof(struct virtio_blk_config, wce), 1,
					    (u64)table[i].wce);
		if (atomic_load(&world->block.writeback) != table[i].writeback)
			fail_msg("row %zu", i);
		if (table[i].choice && CONFIG(world, wce) != table[i].writeback)
			fail_msg("row %zu: the configuration says %u", i,
				 (unsigned)CONFIG(world, wce));
		assert_int_equal(request(world, VIRTIO_BLK_T_OUT, i, SECTOR), VIRTIO_BLK_S_OK);
		assert_int_equal(request(world, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	}
}

/* Switched off before DRIVER_OK, as firmware may do it, it is off from the first request on. */
static void test_write_cache_off_from_the_start(void **state)
{
	struct block_world *world = *state;

	rig_reset(&world->rig);
	world->block.config.wce = 0;
	rig_start(&world->rig, BLOCK_FEATURES, 1);
	assert_false(atomic_load(&world->block.writeback));
	/* Held and going on, it is as before. */
	assert_true(virtio_quiesce(&world->block.device, 3600 * 1000));
	virtio_resume(&world->block.device);
	assert_false(atomic_load(&world->block.writeback));
	assert_int_equal(request(world, VIRTIO_BLK_T_OUT, 0, SECTOR), VIRTIO_BLK_S_OK);
}

#define BLOCK_TEST(test) cmocka_unit_test_setup_teardown(test, block_set_up, block_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLOCK_TEST(test_zeroes),
		BLOCK_TEST(test_discards),
		BLOCK_TEST(test_as_many_ranges_as_allowed),
		BLOCK_TEST(test_ranges_that_are_refused),
		cmocka_unit_test_setup_teardown(test_the_longest_range, set_up_large,
						block_tear_down),
		BLOCK_TEST(test_odd_range_requests),
		cmocka_unit_test_setup_teardown(test_read_only, set_up_read_only, block_tear_down),
		BLOCK_TEST(test_the_configuration),
		BLOCK_TEST(test_writes_to_the_configuration),
		BLOCK_TEST(test_write_cache),
		BLOCK_TEST(test_write_cache_off_from_the_start),
	};

	return block_run_twice(tests, ARRAY_LEN(tests));
}
