/*
 * devices/virtio/block.c under load: many requests at once, several queues, resets and pauses in
 * the middle of it (nothing may be written to guest memory for requests from before a reset), and
 * what the trace says.
 */
#include "tests/unit/test.h"

#include <unistd.h>

#include "tests/unit/block_world.h"

/* Slots of requests in flight: each has a header, a status, and some sectors of data. */
enum { SLOTS = 20, SLOT_SECTORS = 4, SLOT_DATA = SLOT_SECTORS * SECTOR };

static u64 slot_data(unsigned queue, unsigned slot)
{
	return RIG_DATA + ((u64)queue * SLOTS + slot) * SLOT_DATA;
}

static u64 slot_header(unsigned queue, unsigned slot)
{
	return 0x30000 + ((u64)queue * SLOTS + slot) * 32;
}

static u64 slot_status(unsigned queue, unsigned slot)
{
	return slot_header(queue, slot) + 16;
}

struct flight {
	u16 head[SLOTS];
	u64 sector[SLOTS];
	unsigned count;
};

/* Offers reads in so many slots, without a notification. */
static void offer_reads(struct block_world *world, unsigned queue, struct flight *flight,
			unsigned slots, u32 *random)
{
	flight->count = slots;
	for (unsigned i = 0; i < slots; i++) {
		const u64 sector = next_random(random) % (SECTORS - SLOT_SECTORS);
		const struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_IN, .sector = sector};
		const struct driver_buffer buffers[] = {{slot_header(queue, i), 16, false},
							{slot_data(queue, i), SLOT_DATA, true},
							{slot_status(queue, i), 1, true}};

		memcpy(rig_at(&world->rig, slot_header(queue, i), 16), &header, 16);
		*rig_at(&world->rig, slot_status(queue, i), 1) = UNTOUCHED;
		memset(rig_at(&world->rig, slot_data(queue, i), SLOT_DATA), 0, SLOT_DATA);
		flight->sector[i] = sector;
		flight->head[i] = driver_add(&world->rig.driver[queue], buffers, 3);
	}
}

static void expect_read(struct block_world *world, unsigned queue, const struct flight *flight,
			const struct driver_used *used)
{
	unsigned slot = 0;

	while (slot < flight->count && flight->head[slot] != used->head)
		slot++;
	assert_true(slot < flight->count);
	assert_int_equal(used->written, SLOT_DATA + 1);
	assert_int_equal(*rig_at(&world->rig, slot_status(queue, slot), 1), VIRTIO_BLK_S_OK);
	for (u64 i = 0; i < SLOT_SECTORS; i++) {
		u8 expected[SECTOR];

		sector_pattern(flight->sector[slot] + i, expected);
		assert_memory_equal(
			rig_at(&world->rig, slot_data(queue, slot) + i * SECTOR, SECTOR), expected,
			SECTOR);
	}
	/* Each comes back once. */
	*rig_at(&world->rig, slot_status(queue, slot), 1) = UNTOUCHED;
}

static void expect_reads(struct block_world *world, unsigned queue, const struct flight *flight)
{
	for (unsigned i = 0; i < flight->count; i++) {
		const struct driver_used used = rig_wait(&world->rig, queue);

		expect_read(world, queue, flight, &used);
	}
}

static void test_many_at_once(void **state)
{
	static const u64 features[] = {VIRTIO_VERSION_1, BLOCK_FEATURES};
	struct block_world *world = *state;
	struct flight flight;
	u32 random = 17;

	for (size_t f = 0; f < ARRAY_LEN(features); f++) {
		rig_reset(&world->rig);
		rig_start(&world->rig, features[f], 1);
		for (unsigned round = 0; round < 200; round++) {
			const u16 before = world->rig.driver[0].next_available;

			offer_reads(world, 0, &flight, 1 + round % SLOTS, &random);
			rig_kick(&world->rig, 0, before);
			expect_reads(world, 0, &flight);
		}
	}
}

/* More requests than one burst holds, without a pause: as one comes back, another goes. */
static void test_a_full_pipe(void **state)
{
	struct block_world *world = *state;
	struct driver_queue *driver = &world->rig.driver[0];
	unsigned sent = 0, received = 0;

	put_header(world, VIRTIO_BLK_T_FLUSH, 0);
	while (received < 5000) {
		const u16 before = driver->next_available;

		for (; sent < 5000 && sent - received < RIG_QUEUE_SIZE / 2; sent++) {
			const struct driver_buffer buffers[] = {{HEADER_AT, 16, false},
								{STATUS_AT, 1, true}};

			driver_add(driver, buffers, 2);
		}
		rig_kick(&world->rig, 0, before);
		assert_int_equal(rig_wait(&world->rig, 0).written, 1);
		received++;
	}
}

/* Writes and reads of the same sector, each after the other is done: the last word counts. */
static void test_order(void **state)
{
	struct block_world *world = *state;

	for (u32 i = 0; i < 200; i++) {
		u8 expected[SECTOR];

		fill_pattern(expected, SECTOR, 7000 + i);
		memcpy(rig_at(&world->rig, RIG_DATA, SECTOR), expected, SECTOR);
		assert_int_equal(request(world, VIRTIO_BLK_T_OUT, i % 3, SECTOR), VIRTIO_BLK_S_OK);
		memset(rig_at(&world->rig, RIG_DATA, SECTOR), 0, SECTOR);
		assert_int_equal(request(world, VIRTIO_BLK_T_IN, i % 3, SECTOR), VIRTIO_BLK_S_OK);
		assert_memory_equal(rig_at(&world->rig, RIG_DATA, SECTOR), expected, SECTOR);
	}
}

/* Requests are longer than size_max says: they are served all the same. */
static void test_a_long_piece(void **state)
{
	struct block_world *world = *state;
	u8 expected[SECTOR];

	/* Once around the whole disk. */
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 0, SECTORS * SECTOR), VIRTIO_BLK_S_OK);
	for (u64 i = 0; i < SECTORS; i++) {
		sector_pattern(i, expected);
		assert_memory_equal(rig_at(&world->rig, RIG_DATA + i * SECTOR, SECTOR), expected,
				    SECTOR);
	}
}

/*
 * A reset in the middle: the status reads 0 only when nothing is under way any more, and from then
 * on guest memory belongs to the guest alone.
 */
static void test_resets_under_load(void **state)
{
	struct block_world *world = *state;
	struct flight flight;
	u32 random = 23;
	u8 *memory = rig_at(&world->rig, RIG_DATA, SLOTS * SLOT_DATA);
	const u8 *bytes = memory;

	for (unsigned round = 0; round < 300; round++) {
		const u16 before = world->rig.driver[0].next_available;

		offer_reads(world, 0, &flight, SLOTS, &random);
		rig_kick(&world->rig, 0, before);
		for (unsigned i = 0; i < round % 5; i++)
			(void)rig_wait(&world->rig, 0);
		rig_reset(&world->rig);
		memset(memory, 0x77, SLOTS * SLOT_DATA);
		rig_start(&world->rig, BLOCK_FEATURES, 1);
		/* The new life has empty rings, and one request of its own. */
		assert_int_equal(driver_used_index(&world->rig.driver[0]), 0);
		assert_int_equal(request(world, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
		for (unsigned i = 0; i < SLOTS * SLOT_DATA; i++) {
			if (bytes[i] != 0x77)
				fail_msg("round %u: byte %u was written", round, i);
		}
	}
}

/* The machine is held and goes on, at any time: each request is answered once. */
static void test_pauses_under_load(void **state)
{
	struct block_world *world = *state;
	struct flight flight;
	u32 random = 29;

	for (unsigned round = 0; round < 200; round++) {
		const u16 before = world->rig.driver[0].next_available;
		const u16 used = world->rig.driver[0].last_used;
		u16 index;

		offer_reads(world, 0, &flight, SLOTS, &random);
		if (round % 3)
			rig_kick(&world->rig, 0, before);
		assert_true(virtio_quiesce(&world->block.device, 3600 * 1000));
		/* While it is held, nothing happens. */
		index = driver_used_index(&world->rig.driver[0]);
		assert_int_equal(world->block.device.queue[0].position.next_used, index);
		assert_true((u16)(index - used) <= SLOTS);
		virtio_resume(&world->block.device);
		expect_reads(world, 0, &flight);
	}
}

/* Power-on of a machine that starts anew, with requests that were under way. */
static void test_power_on(void **state)
{
	struct block_world *world = *state;
	struct flight flight;
	u32 random = 31;

	for (unsigned round = 0; round < 20; round++) {
		const u16 before = world->rig.driver[0].next_available;

		offer_reads(world, 0, &flight, SLOTS, &random);
		rig_kick(&world->rig, 0, before);
		assert_true(virtio_quiesce(&world->block.device, 3600 * 1000));
		virtio_power_on(&world->block.device);
		assert_int_equal(rig_status(&world->rig), 0);
		rig_start(&world->rig, BLOCK_FEATURES, 1);
		assert_int_equal(request(world, VIRTIO_BLK_T_IN, 9, SECTOR), VIRTIO_BLK_S_OK);
	}
}

/* ---- several queues ---- */

static int set_up_queues(void **state)
{
	static struct block_world world;

	block_world_init(&world, &(struct disk_config){.queues = RIG_QUEUES});
	*state = &world;
	return 0;
}

static void test_several_queues(void **state)
{
	struct block_world *world = *state;
	const u64 features = BLOCK_FEATURES | (u64)1 << VIRTIO_BLK_F_MQ;
	struct flight flight[RIG_QUEUES];
	u32 random = 37;

	assert_true(world->block.device.features & 1 << VIRTIO_BLK_F_MQ);
	assert_int_equal(world->block.config.num_queues, RIG_QUEUES);
	for (unsigned queues = RIG_QUEUES; queues > 0; queues--) {
		rig_start(&world->rig, features, queues);
		for (unsigned round = 0; round < 50; round++) {
			for (unsigned q = 0; q < queues; q++) {
				const u16 before = world->rig.driver[q].next_available;

				offer_reads(world, q, &flight[q], 1 + (round + q) % SLOTS, &random);
				rig_kick(&world->rig, q, before);
			}
			for (unsigned q = 0; q < queues; q++)
				expect_reads(world, q, &flight[q]);
		}
		rig_reset(&world->rig);
	}
}

/* One queue breaks; the device wants a reset, and all of them stop for it. */
static void test_a_queue_breaks_under_load(void **state)
{
	struct block_world *world = *state;
	struct flight flight;
	u32 random = 41;

	for (unsigned round = 0; round < 50; round++) {
		u16 before;

		rig_start(&world->rig, BLOCK_FEATURES, RIG_QUEUES);
		before = world->rig.driver[0].next_available;
		offer_reads(world, 0, &flight, SLOTS, &random);
		rig_kick(&world->rig, 0, before);
		before = world->rig.driver[1].next_available;
		driver_publish(&world->rig.driver[1], 0x8000);
		rig_kick(&world->rig, 1, before);
		expect_reads(world, 0, &flight);
		rig_wait_broken(&world->rig);
		rig_reset(&world->rig);
	}
}

/* A device with queues whose driver enabled none stops as soon as it is asked. */
/* 2.4.1: once the status reads 0, no interrupt comes any more, also none that was on its way. */
static void test_no_interrupt_behind_a_reset(void **state)
{
	const struct driver_buffer read_all[] = {
		{HEADER_AT, 16, false}, {RIG_DATA, SECTORS * SECTOR, true}, {STATUS_AT, 1, true}};
	struct block_world *world = *state;
	u64 count;

	put_header(world, VIRTIO_BLK_T_IN, 0);
	for (unsigned round = 0; round < 200; round++) {
		const u16 before = world->rig.driver[0].next_available;

		for (unsigned i = 0; i < 8; i++)
			driver_add(&world->rig.driver[0], read_all, 3);
		rig_kick(&world->rig, 0, before);
		usleep(round); /* some resets come early, some late */
		rig_reset(&world->rig);
		(void)!read(world->rig.interrupt_fd[0], &count, sizeof(count));
		usleep(1000); /* room for one that would be late */
		assert_true(read(world->rig.interrupt_fd[0], &count, sizeof(count)) < 0);
		rig_start(&world->rig, BLOCK_FEATURES, 1);
	}
}

static void test_no_queue_at_all(void **state)
{
	struct block_world *world = *state;

	for (unsigned round = 0; round < 5; round++) {
		rig_start(&world->rig, BLOCK_FEATURES, 0);
		for (u32 q = 0; q < RIG_QUEUES; q++)
			virtio_notify(&world->block.device, q);
		rig_reset(&world->rig);
	}
	rig_start(&world->rig, BLOCK_FEATURES, 1);
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 9, SECTOR), VIRTIO_BLK_S_OK);
}

/* ---- the trace ---- */

static void send_odd_requests(struct block_world *world)
{
	struct driver_buffer pieces[10] = {{HEADER_AT, 16, false}};
	u32 written;

	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 7, SECTOR), VIRTIO_BLK_S_OK);
	assert_int_equal(request(world, VIRTIO_BLK_T_OUT, SECTORS, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(world, 99, 0, 0), VIRTIO_BLK_S_UNSUPP);
	(void)send_chain(world, pieces, 1, &written);
	/* Many pieces, no two alike, have more words than there is room for. */
	for (u32 i = 1; i < ARRAY_LEN(pieces); i++)
		pieces[i] = (struct driver_buffer){RIG_DATA + 65536 * i, 10000 + i, true};
	put_header(world, VIRTIO_BLK_T_GET_ID, 0);
	(void)send_chain(world, pieces, ARRAY_LEN(pieces), &written);
}

static void test_words_for_the_trace(void **state)
{
	static struct block_world world;
	static char text[4096];
	struct loop loop = {.sources = 0};
	struct temp_file file;
	struct error err;

	(void)state;
	world = (struct block_world){.trace = {.events = 0}};
	temp_file_make(&file, "", 0);
	assert_int_equal(trace_open(&world.trace, TRACE_VIRTIO, file.path, 0, &loop, &err), 0);
	block_world_init(&world, &(struct disk_config){.read_only = false});
	world.block.device.trace = &world.trace;
	rig_start(&world.rig, BLOCK_FEATURES, 1);
	send_odd_requests(&world);
	block_world_destroy(&world);
	trace_close(&world.trace);
	memset(text, 0, sizeof(text));
	assert_true(pread(file.fd, text, sizeof(text) - 1, 0) > 0);
	assert_says(text,
		    "virtio1/q0 chain 0: out 16 (read sector 7), in 512, in 1 → ok, used 513");
	assert_says(text, "(write sector 2048), out 512, in 1 → ioerr");
	assert_says(text, "(unknown sector 0), in 1 → unsupp, used 1");
	assert_says(text, "chain 0: no room for a status → used 0, ");
	assert_says(text, "(get id sector 0), in 10001, in 10002");
	temp_file_free(&file);
}

#define BLOCK_TEST(test) cmocka_unit_test_setup_teardown(test, block_set_up, block_tear_down)
#define QUEUE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_queues, block_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLOCK_TEST(test_many_at_once),
		BLOCK_TEST(test_a_full_pipe),
		BLOCK_TEST(test_order),
		BLOCK_TEST(test_a_long_piece),
		BLOCK_TEST(test_resets_under_load),
		BLOCK_TEST(test_pauses_under_load),
		BLOCK_TEST(test_power_on),
		BLOCK_TEST(test_no_interrupt_behind_a_reset),
		QUEUE_TEST(test_several_queues),
		QUEUE_TEST(test_a_queue_breaks_under_load),
		QUEUE_TEST(test_no_queue_at_all),
		cmocka_unit_test(test_words_for_the_trace),
	};

	return block_run_twice(tests, ARRAY_LEN(tests));
}
