/*
 * devices/virtio/limit.c on a clock of the test's own: rates, bursts and debts of token buckets. And
 * the devices that keep to them, on the host's clock, of which only is asked that enough time has
 * passed: requests stay in their rings, go on by themselves, and hold nobody who wants to stop.
 */
#include "tests/unit/test.h"

#include <time.h>
#include <unistd.h>

#include "devices/virtio/limit.h"
#include "tests/unit/block_world.h"
#include "tests/unit/net_world.h"
#include "vmm/loop.h"

#define SECOND ((u64)1000000000)

/* A machine has been up for a while. */
#define START (1000 * SECOND)

static void test_no_limit(void **state)
{
	struct bucket bucket = {.rate = 0};

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		bucket_take(&bucket, UINT32_MAX, START);
		assert_int_equal(bucket_wait_ns(&bucket, START), 0);
	}
}

/* A second's worth at once, and then one at a time, as they come. */
static void test_a_burst_and_the_rate(void **state)
{
	static const u64 rates[] = {1, 3, 1000, 999983};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct bucket bucket = {.rate = rates[i]};
		u64 now = START, burst = 0;

		for (; bucket_wait_ns(&bucket, now) == 0; burst++)
			bucket_take(&bucket, 1, now);
		/* A token's time is rounded up to a nanosecond. */
		assert_in_range(burst, rates[i] - rates[i] / 900 - (i == 1), rates[i]);
		for (unsigned n = 0; n < 100; n++) {
			const u64 wait = bucket_wait_ns(&bucket, now);

			assert_in_range(wait, 1, SECOND / rates[i] + 1);
			/* Neither later nor earlier than it says. */
			assert_int_equal(bucket_wait_ns(&bucket, now + wait - 1), 1);
			now += wait;
			assert_int_equal(bucket_wait_ns(&bucket, now), 0);
			bucket_take(&bucket, 1, now);
		}
	}
}

/* Sizes and pauses at random; in every window, the last one aside, a bucket and the rate's share. */
static void test_every_window(void **state)
{
	enum { TAKES = 600, RATE = 50000, MOST = 90000 };
	static u64 at[TAKES], size[TAKES];
	u32 random = 5;

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct bucket bucket = {.rate = RATE};
		u64 now = START;

		for (unsigned i = 0; i < TAKES; i++) {
			if (next_random(&random) % 8 == 0)
				now += next_random(&random) % (2 * SECOND);
			now += bucket_wait_ns(&bucket, now);
			at[i] = now;
			size[i] = 1 + next_random(&random) % (i % 3 ? 2000 : MOST);
			bucket_take(&bucket, size[i], now);
		}
		for (unsigned first = 0; first < TAKES; first++) {
			u64 sum = 0;

			for (unsigned last = first; last < TAKES; last++) {
				assert_true(sum <= RATE + (at[last] - at[first]) * RATE / SECOND);
				sum += size[last];
			}
		}
	}
}

/* In the long run the rate is used up, whatever the sizes are: nobody waits for nothing. */
static void test_the_rate_is_reached(void **state)
{
	struct bucket bucket = {.rate = 1000000};
	u64 now = START, sum = 0;
	u32 random = 9;

	(void)state;
	while (now < START + 1000 * SECOND) {
		const u64 size = 512 * (1 + next_random(&random) % 4000);

		now += bucket_wait_ns(&bucket, now);
		bucket_take(&bucket, size, now);
		sum += size;
	}
	assert_in_range(sum, 999 * 1000000ULL, 1004 * 1000000ULL);
}

/* More than the bucket holds passes at once; who comes next waits for it, however small. */
static void test_a_debt(void **state)
{
	struct bucket bucket = {.rate = LIMIT_BYTES_MIN};
	u64 wait;

	(void)state;
	bucket_take(&bucket, 10 * LIMIT_BYTES_MIN, START);
	wait = bucket_wait_ns(&bucket, START);
	assert_in_range(wait, 9 * SECOND, 9 * SECOND + SECOND / LIMIT_BYTES_MIN + 1);
	assert_int_equal(bucket_wait_ns(&bucket, START + wait), 0);
	/* The largest debt that requests can leave wraps around nothing. */
	for (unsigned i = 0; i < 2000; i++)
		bucket_take(&bucket, (u64)1 << 32, START);
	assert_true(bucket_wait_ns(&bucket, START) > (u64)2000 * 4 * 1000 * 1000 * SECOND);
}

/* A queue with large requests and one with small ones: both have their turns. */
static void test_two_queues(void **state)
{
	static const u64 size[] = {1000, 200000};
	struct bucket bucket = {.rate = 100000};
	u64 now = START;
	unsigned turns[2] = {0};

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		now += bucket_wait_ns(&bucket, now);
		for (unsigned queue = 0; queue < 2; queue++) {
			if (bucket_wait_ns(&bucket, now))
				continue;
			bucket_take(&bucket, size[(queue + i) % 2], now);
			turns[(queue + i) % 2]++;
		}
	}
	assert_true(turns[0] > 400 && turns[1] > 400);
}

/* The clock leaps (a host that slept): the bucket is full, and no fuller. */
static void test_the_clock_leaps(void **state)
{
	struct bucket bucket = {.rate = 1000};
	u64 now = START;

	(void)state;
	bucket_take(&bucket, 5000, now);
	for (unsigned i = 0; i < 10; i++) {
		unsigned passed = 0;

		now += (u64)86400 * 365 * SECOND;
		for (; bucket_wait_ns(&bucket, now) == 0; passed++)
			bucket_take(&bucket, 1, now);
		assert_int_equal(passed, 1000);
	}
}

/* The stricter of the two counts. */
static void test_requests_and_bytes(void **state)
{
	struct limit limit = {.requests = {.rate = 2}, .bytes = {.rate = 0}};

	(void)state;
	limit_take(&limit, 2, (u64)1 << 30);
	assert_in_range(limit_wait_ns(&limit), 1, SECOND / 2);
	limit = (struct limit){.bytes = {.rate = LIMIT_BYTES_MIN}};
	limit_take(&limit, 1000, 0);
	assert_int_equal(limit_wait_ns(&limit), 0);
	limit_take(&limit, 0, 3600 * LIMIT_BYTES_MIN);
	assert_true(limit_wait_ns(&limit) > 3000 * SECOND);
	limit.requests.rate = 1;
	assert_true(limit_wait_ns(&limit) > 3000 * SECOND);
	limit = (struct limit){.requests = {.rate = 0}};
	limit_take(&limit, 1, UINT32_MAX);
	assert_int_equal(limit_wait_ns(&limit), 0);
}

/* Processor time of all threads. */
static u64 worked_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (u64)now.tv_sec * SECOND + (u64)now.tv_nsec;
}

/* All of the one request whose header was put. */
static void offer_reads(struct block_world *world, unsigned count)
{
	const struct driver_buffer read[] = {
		{HEADER_AT, 16, false}, {RIG_DATA, SECTOR, true}, {STATUS_AT, 1, true}};
	const u16 before = world->rig.driver[0].next_available;

	for (unsigned i = 0; i < count; i++)
		driver_add(&world->rig.driver[0], read, 3);
	rig_kick(&world->rig, 0, before);
}

/* All are offered at once; what the burst doesn't cover comes by the timer alone. */
static void read_at_a_rate(const struct disk_config *config, unsigned burst)
{
	enum { MORE = 20 };
	static struct block_world world;
	const u64 start = clock_now_ns();
	unsigned sent = 0, answered = 0;

	block_world_init(&world, config);
	rig_start(&world.rig, BLOCK_FEATURES, 1);
	put_header(&world, VIRTIO_BLK_T_IN, 3);
	while (answered < burst + MORE) {
		if (sent < burst + MORE && sent - answered < MORE) {
			offer_reads(&world, 1);
			sent++;
		} else {
			assert_int_equal(rig_wait(&world.rig, 0).written, SECTOR + 1);
			answered++;
		}
	}
	assert_true(clock_now_ns() - start >= (MORE - 1) * SECOND / burst);
	block_world_destroy(&world);
}

static void test_a_disk_by_requests(void **state)
{
	(void)state;
	read_at_a_rate(&(struct disk_config){.limit.requests.rate = 100}, 100);
}

static void test_a_disk_by_bytes(void **state)
{
	(void)state;
	read_at_a_rate(&(struct disk_config){.limit.bytes.rate = 100 * SECTOR}, 100);
}

/* Held for a quarter of an hour: it costs nothing, and a pause or a reset doesn't wait for it. */
static void test_a_disk_that_is_held(void **state)
{
	static struct block_world world;
	u64 worked;

	(void)state;
	block_world_init(&world, &(struct disk_config){.limit.bytes.rate = LIMIT_BYTES_MIN});
	for (unsigned round = 0; round < 20; round++) {
		rig_start(&world.rig, BLOCK_FEATURES, 1);
		/* The first one empties the bucket, and a reset doesn't fill it. */
		if (round == 0)
			assert_int_equal(request(&world, VIRTIO_BLK_T_IN, 0, SECTORS * SECTOR),
					 VIRTIO_BLK_S_OK);
		offer_reads(&world, 3);
		worked = worked_ns();
		usleep(round ? 1000 : 300000);
		assert_true(worked_ns() - worked < 100000000);
		assert_true(virtio_quiesce(&world.block.device, 3600 * 1000));
		virtio_resume(&world.block.device);
		rig_reset(&world.rig);
		assert_int_equal(driver_used_index(&world.rig.driver[0]), round == 0);
	}
	block_world_destroy(&world);
}

/* Zeroes are written for little: their length is in the request's data. */
static void test_a_disk_counts_zeroes(void **state)
{
	const struct virtio_blk_discard_write_zeroes range = {.sector = 0, .num_sectors = SECTORS};
	static struct block_world world;

	(void)state;
	block_world_init(&world, &(struct disk_config){.limit.bytes.rate = LIMIT_BYTES_MIN});
	rig_start(&world.rig, BLOCK_FEATURES, 1);
	memcpy(rig_at(&world.rig, RIG_DATA, sizeof(range)), &range, sizeof(range));
	assert_int_equal(request(&world, VIRTIO_BLK_T_DISCARD, 0, sizeof(range)), VIRTIO_BLK_S_OK);
	assert_int_equal(limit_wait_ns(&world.block.limit), 0);
	assert_int_equal(request(&world, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(range)),
			 VIRTIO_BLK_S_OK);
	assert_true(limit_wait_ns(&world.block.limit) > 900 * SECOND);
	block_world_destroy(&world);
}

enum { FRAME = 500, FRAMES = 100 };

static void start_net(struct net_world *world, const struct limit *receive,
		      const struct limit *send)
{
	net_world_stream(world);
	world->net.receive_limit = *receive;
	world->net.send_limit = *send;
	rig_start(&world->rig, NET_FEATURES | NET_BIT(MRG_RXBUF), 2);
}

static void send_one(struct net_world *world, u32 seed)
{
	u8 *at = rig_at(&world->rig, TX_AT, HEADER + FRAME);

	memset(at, 0, HEADER);
	fill_pattern(at + HEADER, FRAME, seed);
	send_to_device(world, HEADER + FRAME, FRAME);
	peer_expects(world, at + HEADER, FRAME);
}

static void receive_one(struct net_world *world, u32 seed)
{
	give_buffer(world, 0, 2000);
	peer_sends(world, FRAME, seed);
	expect_frame(world, 0, FRAME, seed);
}

/* Either direction has a limit of its own. */
static void pass_at_a_rate(const struct limit *receive, const struct limit *send,
			   void (*pass)(struct net_world *, u32),
			   void (*other)(struct net_world *, u32))
{
	static struct net_world world;
	const u64 start = clock_now_ns();

	start_net(&world, receive, send);
	for (u32 i = 0; i < FRAMES + 20; i++)
		pass(&world, i);
	assert_true(clock_now_ns() - start >= 19 * SECOND / FRAMES);
	other(&world, 1);
	net_world_destroy(&world);
}

static void test_a_network(void **state)
{
	const struct limit none = {.bytes = {.rate = 0}};
	const struct limit bytes = {.bytes = {.rate = FRAME * FRAMES}};
	const struct limit frames = {.requests = {.rate = FRAMES}};

	(void)state;
	pass_at_a_rate(&none, &bytes, send_one, receive_one);
	pass_at_a_rate(&none, &frames, send_one, receive_one);
	pass_at_a_rate(&bytes, &none, receive_one, send_one);
	pass_at_a_rate(&frames, &none, receive_one, send_one);
}

/* Held for a minute in both directions: nothing is lost, nothing works, and a reset is at once. */
static void test_a_network_that_is_held(void **state)
{
	const struct limit limit = {.bytes = {.rate = LIMIT_BYTES_MIN}};
	const struct driver_buffer frame = {TX_AT, HEADER + FRAME, false};
	static struct net_world world;
	u64 worked;
	u16 before;

	(void)state;
	start_net(&world, &limit, &limit);
	limit_take(&world.net.receive_limit, 0, 60 * LIMIT_BYTES_MIN);
	limit_take(&world.net.send_limit, 0, 60 * LIMIT_BYTES_MIN);
	for (unsigned round = 0; round < 10; round++) {
		give_buffer(&world, 0, 2000);
		if (round == 0)
			peer_sends(&world, FRAME, 1);
		before = world.rig.driver[TX].next_available;
		driver_add(&world.rig.driver[TX], &frame, 1);
		rig_kick(&world.rig, TX, before);
		worked = worked_ns();
		usleep(round ? 1000 : 300000);
		assert_true(worked_ns() - worked < 100000000);
		rig_reset(&world.rig);
		assert_int_equal(driver_used_index(&world.rig.driver[TX]), 0);
		assert_int_equal(driver_used_index(&world.rig.driver[RX]), 0);
		rig_start(&world.rig, NET_FEATURES | NET_BIT(MRG_RXBUF), 2);
	}
	assert_int_equal(received(&world).drops + sent(&world).drops, 0);
	net_world_destroy(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_a_burst_and_the_rate),
		cmocka_unit_test(test_every_window),
		cmocka_unit_test(test_the_rate_is_reached),
		cmocka_unit_test(test_a_debt),
		cmocka_unit_test(test_two_queues),
		cmocka_unit_test(test_the_clock_leaps),
		cmocka_unit_test(test_requests_and_bytes),
		cmocka_unit_test(test_a_network),
		cmocka_unit_test(test_a_network_that_is_held),
	};
	const struct CMUnitTest disks[] = {
		cmocka_unit_test(test_a_disk_by_requests),
		cmocka_unit_test(test_a_disk_by_bytes),
		cmocka_unit_test(test_a_disk_that_is_held),
		cmocka_unit_test(test_a_disk_counts_zeroes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) + block_run_twice(disks, ARRAY_LEN(disks));
}
