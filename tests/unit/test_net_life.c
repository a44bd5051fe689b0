/*
 * devices/virtio/net_pair.c and net.c: peers that stop, go and come back, and resets in the middle
 * of a frame. The peer is a stream socket.
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/net_world.h"

#define FEATURES (NET_FEATURES | NET_BIT(MRG_RXBUF))

static void put_frame(struct net_world *world, u32 bytes, u32 seed)
{
	u8 *at = rig_at(&world->rig, TX_AT, HEADER + bytes);

	memset(at, 0, HEADER);
	fill_pattern(at + HEADER, bytes, seed);
}

static void check_traffic(struct net_world *world)
{
	const u64 drops = received(world).drops + sent(world).drops;

	put_frame(world, 300, 5);
	send_to_device(world, HEADER + 300, 400);
	peer_expects(world, rig_at(&world->rig, TX_AT + HEADER, 300), 300);
	give_buffer(world, 0, 2000);
	peer_sends(world, 700, 6);
	expect_frame(world, 0, 700, 6);
	assert_int_equal(received(world).drops + sent(world).drops, drops);
}

static void test_a_peer_that_goes_and_another(void **state)
{
	struct net_world *world = *state;

	give_buffer(world, 0, 2000);
	for (unsigned round = 0; round < 5; round++) {
		const u64 drops = sent(world).drops;
		int ends[2];

		close(world->peer);
		wait_link(world, false);
		assert_int_equal(atomic_load(&world->lost), round + 1);
		put_frame(world, 100, 1);
		send_to_device(world, HEADER + 100, 200);
		assert_int_equal(sent(world).drops, drops + 1);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
		world->peer = ends[0];
		net_adopt(&world->net, ends[1]);
		wait_link(world, true);
		peer_sends(world, 60, round + 1);
		expect_frame(world, 0, 60, round + 1);
		give_buffer(world, 0, 2000);
	}
}

/* A length that no frame has: there is no way to find the next one. */
static void test_bad_framing(void **state)
{
	static const u32 bad[] = {0, 1, 13, 65536, 0x7fffffff, 0xffffffff};
	struct net_world *world = *state;

	give_buffer(world, 0, 2000);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const u32 length = htonl(bad[i]);
		u8 byte;
		int ends[2];

		peer_sends(world, 60, 1);
		expect_frame(world, 0, 60, 1);
		give_buffer(world, 0, 2000);
		write_all(world->peer, &length, sizeof(length));
		wait_link(world, false);
		/* It is told by the connection's end. */
		assert_int_equal(read(world->peer, &byte, 1), 0);
		close(world->peer);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
		world->peer = ends[0];
		net_adopt(&world->net, ends[1]);
		wait_link(world, true);
	}
	assert_int_equal(received(world).frames, ARRAY_LEN(bad));
}

/* Half a frame, then the end; the next peer's first frame is whole. */
static void test_half_a_frame(void **state)
{
	struct net_world *world = *state;
	const u32 length = htonl(1000);
	int ends[2];

	give_buffer(world, 0, 2000);
	write_all(world->peer, &length, sizeof(length));
	write_all(world->peer, "half of it", 10);
	close(world->peer);
	wait_link(world, false);
	assert_int_equal(received(world).drops, 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	world->peer = ends[0];
	net_adopt(&world->net, ends[1]);
	wait_link(world, true);
	peer_sends(world, 60, 1);
	expect_frame(world, 0, 60, 1);
}

/* The guest sends on; after a second without a reader frames are lost, and only whole ones. */
static void test_a_peer_that_stops_reading(void **state)
{
	struct net_world *world = *state;
	u32 seed = 0, next = 0;
	u64 whole;

	while (sent(world).drops < 10) {
		put_frame(world, 5000, ++seed);
		send_to_device(world, HEADER + 5000, 6000);
		assert_true(seed < 10000);
	}
	/* Receiving goes on all the time. */
	give_buffer(world, 0, 2000);
	peer_sends(world, 500, 1);
	expect_frame(world, 0, 500, 1);
	whole = sent(world).frames;
	assert_int_equal(whole + sent(world).drops, seed);
	for (u64 i = 0; i < whole; i++) {
		u8 frame[5000];

		fill_pattern(frame, sizeof(frame), ++next);
		peer_expects(world, frame, sizeof(frame));
	}
	check_traffic(world);
}

/* What the device holds for frames to come is the driver's again after a stop. */
static void test_quiesce_and_resume(void **state)
{
	struct net_world *world = *state;

	for (u32 i = 0; i < 10; i++)
		give_buffer(world, 2000 * i, 2000);
	for (u32 i = 0; i < 10; i++) {
		assert_true(virtio_quiesce(&world->net.device, 3600 * 1000));
		assert_int_equal(world->net.device.queue[RX].position.next_available, i);
		peer_sends(world, 100 + i, i + 1);
		virtio_resume(&world->net.device);
		expect_frame(world, 2000 * i, 100 + i, i + 1);
	}
	check_traffic(world);
}

/* The rest of a frame that had begun before the reset goes nowhere; the next one comes whole. */
static void test_a_reset_in_a_frame(void **state)
{
	struct net_world *world = *state;
	const u32 length = htonl(1000);
	u8 frame[1000];

	fill_pattern(frame, sizeof(frame), 1);
	for (u32 cut = 0; cut < 1000; cut += 333) {
		const u64 before = received(world).drops;

		give_buffer(world, 0, 2000);
		write_all(world->peer, &length, sizeof(length));
		write_all(world->peer, frame, cut);
		peer_drained(world->peer);
		rig_reset(&world->rig);
		write_all(world->peer, frame + cut, sizeof(frame) - cut);
		peer_sends(world, 77, 2);
		rig_start(&world->rig, FEATURES, 2);
		give_buffer(world, 0, 2000);
		if (cut == 0) {
			expect_frame(world, 0, 1000, 1);
			give_buffer(world, 0, 2000);
		}
		expect_frame(world, 0, 77, 2);
		assert_int_equal(received(world).drops, before + (cut > 0));
	}
}

static void test_resets_under_load(void **state)
{
	struct net_world *world = *state;

	for (u32 round = 0; round < 60; round++) {
		const u16 before = world->rig.driver[TX].next_available;
		u8 drain[65536];

		for (u32 i = 0; i < 8; i++)
			give_buffer(world, 2000 * i, i % 3 ? 2000 : 100);
		put_frame(world, 900, 1);
		for (u32 i = 0; i < 20; i++) {
			const struct driver_buffer buffer = {TX_AT, HEADER + 900, false};

			driver_add(&world->rig.driver[TX], &buffer, 1);
		}
		rig_kick(&world->rig, TX, before);
		for (u32 i = 0; i < round % 7; i++)
			peer_sends(world, 40 * i + 14, i + 1);
		rig_reset(&world->rig);
		memset(rig_at(&world->rig, RX_AT, 16000), 0, 16000);
		while (recv(world->peer, drain, sizeof(drain), MSG_DONTWAIT) > 0)
			;
		for (u32 i = 0; i < 16000; i++)
			assert_int_equal(*rig_at(&world->rig, RX_AT + i, 1), 0);
		rig_start(&world->rig, round % 2 ? FEATURES : NET_FEATURES, 2);
	}
}

/* A peer that listens, one that is gone, and a path that no socket can have. */
static void test_connecting(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[] = "/tmp/bantam-test-XXXXXX", *const path = address.sun_path;
	char too_long[sizeof(address.sun_path) + 1] = "";
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(address.sun_path), "%s/peer", directory);
	assert_int_equal(net_stream_connect(path), -ENOENT);
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	fd = net_stream_connect(path);
	assert_true(fd >= 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	close(fd);
	close(listener);
	assert_int_equal(net_stream_connect(path), -ECONNREFUSED);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	memset(too_long, 'x', sizeof(too_long) - 1);
	assert_int_equal(net_stream_connect(too_long), -ENAMETOOLONG);
}

#define NET_TEST(test) cmocka_unit_test_setup_teardown(test, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_a_peer_that_goes_and_another),
		NET_TEST(test_bad_framing),
		NET_TEST(test_half_a_frame),
		NET_TEST(test_a_peer_that_stops_reading),
		NET_TEST(test_quiesce_and_resume),
		NET_TEST(test_a_reset_in_a_frame),
		NET_TEST(test_resets_under_load),
		cmocka_unit_test(test_connecting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
