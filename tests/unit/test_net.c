/*
 * devices/virtio/net_pair.c and net_stream.c: frames both ways over a stream socket, in all
 * lengths and framings, good and bad (virtio 1.2, 5.1.6).
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/net_world.h"

static const u32 lengths[] = {14, 15, 60, 1514, 4096, 9014, 65534, 65535};

/* Header of zeros and a frame of a pattern, for the device to send. */
static u8 *put_frame(struct net_world *world, u32 bytes, u32 seed)
{
	u8 *at = rig_at(&world->rig, TX_AT, HEADER + bytes);

	memset(at, 0, HEADER);
	fill_pattern(at + HEADER, bytes, seed);
	return at + HEADER;
}

static void test_frames_go_out(void **state)
{
	struct net_world *world = *state;
	u64 bytes = 0;

	for (u32 i = 0; i < ARRAY_LEN(lengths); i++) {
		const u32 piece = lengths[i] < 2000 ? 40 : 2000;
		const u8 *frame = put_frame(world, lengths[i], i + 1);

		assert_int_equal(send_to_device(world, HEADER + lengths[i], piece), 0);
		peer_expects(world, frame, lengths[i]);
		bytes += lengths[i];
	}
	assert_int_equal(sent(world).frames, ARRAY_LEN(lengths));
	assert_int_equal(sent(world).bytes, bytes);
	assert_int_equal(sent(world).drops, 0);
}

static void test_bad_frames_go_nowhere(void **state)
{
	static const u32 bad[] = {0, 1, 11, 12, 13, 25, HEADER + 65536, 200000};
	struct net_world *world = *state;
	const u8 *frame;

	for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
		put_frame(world, 200000, 3);
		assert_int_equal(send_to_device(world, bad[i], 5000), 0);
	}
	/* Nobody offered to finish a checksum, or to cut segments. */
	put_frame(world, 100, 3);
	*rig_at(&world->rig, TX_AT, 1) = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	send_to_device(world, HEADER + 100, 200);
	put_frame(world, 100, 3);
	*rig_at(&world->rig, TX_AT + 1, 1) = VIRTIO_NET_HDR_GSO_TCPV4;
	send_to_device(world, HEADER + 100, 200);
	assert_int_equal(sent(world).drops, ARRAY_LEN(bad) + 2);
	frame = put_frame(world, 100, 4);
	send_to_device(world, HEADER + 100, 200);
	peer_expects(world, frame, 100);
}

static void test_frames_come_in(void **state)
{
	struct net_world *world = *state;

	for (u32 i = 0; i < ARRAY_LEN(lengths); i++) {
		give_buffer(world, 0, 70000);
		peer_sends(world, lengths[i], i + 1);
		expect_frame(world, 0, lengths[i], i + 1);
	}
	assert_int_equal(received(world).frames, ARRAY_LEN(lengths));
	assert_int_equal(received(world).drops, 0);
}

/* Many at once, and in crumbs: lengths and frames cut anywhere. */
static void test_any_cut_of_the_stream(void **state)
{
	struct net_world *world = *state;
	u8 stream[4 * (4 + 100)];

	for (u32 i = 0; i < 4; i++) {
		const u32 length = htonl(100);

		memcpy(stream + 104 * i, &length, 4);
		fill_pattern(stream + 104 * i + 4, 100, i + 1);
	}
	for (u32 crumb = 1; crumb <= sizeof(stream); crumb += crumb < 10 ? 1 : 37) {
		for (u32 i = 0; i < 4; i++)
			give_buffer(world, 2000 * i, 2000);
		for (u32 at = 0; at < sizeof(stream); at += crumb) {
			const u32 left = (u32)sizeof(stream) - at;

			write_all(world->peer, stream + at, left < crumb ? left : crumb);
		}
		for (u32 i = 0; i < 4; i++)
			expect_frame(world, 2000 * i, 100, i + 1);
	}
}

/* A frame over several buffers: the first says how many. */
static void test_merged_buffers(void **state)
{
	struct net_world *world = *state;
	u8 frame[5000], is[5000 + HEADER];
	u32 at = 0;

	for (u32 i = 0; i < 8; i++)
		give_buffer(world, 2000 * i, i == 0 ? 20 : 1000);
	peer_sends(world, sizeof(frame), 9);
	fill_pattern(frame, sizeof(frame), 9);
	for (u32 i = 0; at < sizeof(is); i++) {
		const u32 expected = i == 0                   ? 20
				     : at + 1000 < sizeof(is) ? 1000
							      : (u32)sizeof(is) - at;

		assert_int_equal(rig_wait(&world->rig, RX).written, expected);
		memcpy(is + at, rig_at(&world->rig, RX_AT + 2000 * i, expected), expected);
		at += expected;
	}
	assert_int_equal(is[10], 6);
	assert_memory_equal(is + HEADER, frame, sizeof(frame));
	/* The other two are for the next ones. */
	peer_sends(world, 60, 10);
	expect_frame(world, 12000, 60, 10);
	peer_sends(world, 60, 11);
	expect_frame(world, 14000, 60, 11);
}

/* The peer has sent more than there are buffers: the rest follows when there are. */
static void test_buffers_that_come_late(void **state)
{
	struct net_world *world = *state;

	for (u32 i = 0; i < 30; i++)
		peer_sends(world, 1000, i + 1);
	for (u32 i = 0; i < 30; i++) {
		give_buffer(world, 0, 1500);
		expect_frame(world, 0, 1000, i + 1);
	}
	/* And a frame that begins in one buffer, and waits for others. */
	give_buffer(world, 0, 512);
	peer_sends(world, 1300, 77);
	(void)poll(NULL, 0, 50);
	assert_int_equal(received(world).frames, 30);
	give_buffer(world, 512, 512);
	give_buffer(world, 1024, 512);
	for (u32 i = 0; i < 3; i++)
		rig_wait(&world->rig, RX);
	assert_int_equal(*rig_at(&world->rig, RX_AT + 10, 1), 3);
	assert_int_equal(received(world).frames, 31);
}

/* Without mergeable buffers a frame has one, or goes nowhere. */
static void test_single_buffers(void **state)
{
	struct net_world *world = *state;

	rig_reset(&world->rig);
	rig_start(&world->rig, NET_FEATURES, 2);
	for (u32 i = 0; i < 4; i++)
		give_buffer(world, 2000 * i, 1526);
	peer_sends(world, 1515, 1);
	peer_sends(world, 1514, 2);
	peer_sends(world, 65535, 3);
	peer_sends(world, 14, 4);
	expect_frame(world, 0, 1514, 2);
	expect_frame(world, 2000, 14, 4);
	assert_int_equal(received(world).drops, 2);
}

/* Chains that break the rules go back in their turn, and the next ones are used. */
static void test_bad_buffers(void **state)
{
	struct net_world *world = *state;
	struct driver_queue *driver = &world->rig.driver[RX];
	u16 before;

	for (u32 i = 0; i < 20; i++) {
		before = driver->next_available;
		driver_describe(driver, 63, i % 2 ? RX_AT : ~(u64)0xfff, i % 2 ? 11 : 4096,
				DRIVER_WRITE, 0);
		driver->busy[63] = true;
		driver_offer_head(driver, 63);
		rig_kick(&world->rig, RX, before);
		assert_int_equal(rig_wait(&world->rig, RX).written, 0);
	}
	assert_int_equal(received(world).drops, 20);
	/* Behind good ones. */
	give_buffer(world, 0, 100);
	before = driver->next_available;
	driver->busy[63] = true;
	driver_offer_head(driver, 63);
	rig_kick(&world->rig, RX, before);
	give_buffer(world, 2000, 2000);
	peer_sends(world, 1000, 1); /* it has no room in one, and can't have the next */
	peer_sends(world, 80, 2);
	expect_frame(world, 0, 80, 2);
	assert_int_equal(rig_wait(&world->rig, RX).written, 0);
	peer_sends(world, 1000, 3);
	expect_frame(world, 2000, 1000, 3);
	assert_int_equal(received(world).drops, 22);
}

/* All that a driver can give isn't enough for the frame. */
static void test_tiny_buffers_given_in_numbers(void **state)
{
	struct net_world *world = *state;

	for (u32 i = 0; i < RIG_QUEUE_SIZE; i++)
		give_buffer(world, 16 * i, 12);
	peer_sends(world, 1000, 1);
	wait_drops(world, received, 1);
	peer_sends(world, 60, 2);
	for (u32 i = 0; i < 6; i++)
		assert_int_equal(rig_wait(&world->rig, RX).written, 12);
	assert_int_equal(received(world).frames, 1);
}

static void test_no_buffers_stall_nothing(void **state)
{
	struct net_world *world = *state;

	for (u32 i = 0; i < 50; i++)
		peer_sends(world, 1000, i + 1);
	for (u32 i = 0; i < 50; i++) {
		const u8 *frame = put_frame(world, 200, i + 1);

		send_to_device(world, HEADER + 200, 300);
		peer_expects(world, frame, 200);
	}
}

static void test_broken_rings(void **state)
{
	struct net_world *world = *state;

	for (unsigned queue = RX; queue <= TX; queue++) {
		driver_publish(&world->rig.driver[queue], 1000);
		virtio_notify(&world->net.device, queue);
		rig_wait_broken(&world->rig);
		rig_reset(&world->rig);
		rig_start(&world->rig, NET_FEATURES | NET_BIT(MRG_RXBUF), 2);
	}
	give_buffer(world, 0, 2000);
	peer_sends(world, 60, 1);
	expect_frame(world, 0, 60, 1);
}

#define NET_TEST(test) cmocka_unit_test_setup_teardown(test, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_frames_go_out),
		NET_TEST(test_bad_frames_go_nowhere),
		NET_TEST(test_frames_come_in),
		NET_TEST(test_any_cut_of_the_stream),
		NET_TEST(test_merged_buffers),
		NET_TEST(test_buffers_that_come_late),
		NET_TEST(test_single_buffers),
		NET_TEST(test_bad_buffers),
		NET_TEST(test_tiny_buffers_given_in_numbers),
		NET_TEST(test_no_buffers_stall_nothing),
		NET_TEST(test_broken_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
