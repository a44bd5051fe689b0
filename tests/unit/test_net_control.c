/*
 * devices/virtio/net.c: features, configuration, the control queue with commands of all lengths
 * (virtio 1.2, 5.1.4 and 5.1.6.5), several pairs of queues; and frames with headers, as a tap has
 * them. Datagrams stand for the tap.
 */
#include "tests/unit/test.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/net_world.h"

enum { PAIRS = 2, CONTROL = 2 * PAIRS, LARGE = 65000 };

#define CTRL_FEATURES (NET_FEATURES | NET_BIT(MRG_RXBUF) | NET_BIT(CTRL_VQ))
#define ALL_OFFLOADS                                                                               \
	(NET_BIT(CSUM) | NET_BIT(GUEST_CSUM) | NET_BIT(GUEST_TSO4) | NET_BIT(GUEST_TSO6) |         \
	 NET_BIT(GUEST_ECN) | NET_BIT(HOST_TSO4) | NET_BIT(HOST_TSO6) | NET_BIT(HOST_ECN) |        \
	 (u64)7 << 54)

static int set_up(void **state)
{
	static struct net_world world;

	net_world_tap(&world, PAIRS);
	*state = &world;
	return 0;
}

static void test_features(void **state)
{
	struct net_world *world = *state, stream;
	const u64 both = NET_FEATURES | NET_BIT(MRG_RXBUF);

	assert_true(world->net.device.features ==
		    (both | ALL_OFFLOADS | NET_BIT(CTRL_VQ) | NET_BIT(MQ) | NET_BIT(MTU) |
		     NET_BIT(CTRL_GUEST_OFFLOADS)));
	assert_int_equal(world->net.device.queues, 5);
	assert_int_equal(virtio_read_config(&world->net.device, 0, 4), 2);
	assert_int_equal(virtio_read_config(&world->net.device, 4, 2), 0x100);
	assert_int_equal(virtio_read_config(&world->net.device, 6, 2), 1);
	assert_int_equal(virtio_read_config(&world->net.device, 8, 2), PAIRS);
	assert_int_equal(virtio_read_config(&world->net.device, 10, 2), 1500);
	assert_int_equal(virtio_read_config(&world->net.device, 12, 4), 0xffffffff);
	/* Nobody behind a socket takes work off the guest. */
	net_world_stream(&stream);
	assert_true(stream.net.device.features == both);
	assert_int_equal(stream.net.device.queues, 2);
	net_world_destroy(&stream);
}

/* The switches of the tap follow the driver's features, and a reset. */
static void test_offloads(void **state)
{
	static const struct {
		u64 features;
		u32 switches;
	} table[] = {
		{0, 0},
		{NET_BIT(CSUM) | NET_BIT(HOST_TSO4), 0},
		{NET_BIT(GUEST_CSUM), 1},
		{NET_BIT(GUEST_CSUM) | NET_BIT(GUEST_TSO4) | NET_BIT(GUEST_ECN), 1 | 2 | 8},
		{ALL_OFFLOADS, 0x6f},
	};
	struct net_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		rig_start(&world->rig, CTRL_FEATURES | table[i].features, 3);
		assert_int_equal(atomic_load(&world->offloads), table[i].switches);
		rig_reset(&world->rig);
		assert_int_equal(atomic_load(&world->offloads), 0);
	}
}

/* A command of `bytes`, with room for `room` bytes of answer; returns the answer, or 0xee. */
static u8 command(struct net_world *world, unsigned queue, const void *data, u32 bytes, u32 room)
{
	const struct driver_buffer buffer[] = {{TX_AT, bytes, false}, {RX_AT, room, true}};
	const u16 before = world->rig.driver[queue].next_available;
	const unsigned first = bytes == 0, last = room > 0 ? 2 : 1;

	memcpy(rig_at(&world->rig, TX_AT, bytes + 1), data, bytes);
	*rig_at(&world->rig, RX_AT, 1) = 0xee;
	driver_add(&world->rig.driver[queue], buffer + first, last - first);
	rig_kick(&world->rig, queue, before);
	assert_int_equal(rig_wait(&world->rig, queue).written, room > 0);
	return *rig_at(&world->rig, RX_AT, 1);
}

static u8 set_pairs(struct net_world *world, u16 pairs)
{
	const u8 bytes[] = {4, 0, (u8)pairs, (u8)(pairs >> 8)};

	return command(world, CONTROL, bytes, sizeof(bytes), 1);
}

static void test_pairs(void **state)
{
	struct net_world *world = *state;
	static const u8 frame[HEADER + 60] = {[HEADER] = 7};

	/* A tap deals frames out to all queues that are open: first to one alone. */
	assert_int_equal(atomic_load(&world->attached), 1);
	rig_start(&world->rig, CTRL_FEATURES | NET_BIT(MQ), 5);
	assert_int_equal(set_pairs(world, 2), 0);
	assert_int_equal(atomic_load(&world->attached), 3);
	assert_int_equal(set_pairs(world, 0), 1);
	assert_int_equal(set_pairs(world, 3), 1);
	assert_int_equal(set_pairs(world, 0xffff), 1);
	assert_int_equal(atomic_load(&world->attached), 3);
	for (unsigned pair = 0; pair < PAIRS; pair++) {
		const struct driver_buffer buffer = {RX_AT, 2000, true};
		const struct driver_buffer out = {TX_AT, sizeof(frame), false};
		u8 is[100];
		u16 before = world->rig.driver[2 * pair].next_available;

		driver_add(&world->rig.driver[2 * pair], &buffer, 1);
		rig_kick(&world->rig, 2 * pair, before);
		write_all(world->tap_peer[pair], frame, sizeof(frame));
		assert_int_equal(rig_wait(&world->rig, 2 * pair).written, sizeof(frame));
		memcpy(rig_at(&world->rig, TX_AT, sizeof(frame)), frame, sizeof(frame));
		before = world->rig.driver[2 * pair + 1].next_available;
		driver_add(&world->rig.driver[2 * pair + 1], &out, 1);
		rig_kick(&world->rig, 2 * pair + 1, before);
		rig_wait(&world->rig, 2 * pair + 1);
		assert_int_equal(recv(world->tap_peer[pair], is, sizeof(is), 0), sizeof(frame));
	}
	assert_int_equal(set_pairs(world, 1), 0);
	assert_int_equal(atomic_load(&world->attached), 1);
	assert_int_equal(set_pairs(world, 2), 0);
	rig_reset(&world->rig);
	assert_int_equal(atomic_load(&world->attached), 1);
}

/* Without MQ the control queue is the third, and knows of no pairs. */
static void test_where_the_control_queue_is(void **state)
{
	struct net_world *world = *state;
	const u8 pairs[] = {4, 0, 1, 0};

	rig_start(&world->rig, CTRL_FEATURES, 3);
	assert_int_equal(command(world, 2, pairs, sizeof(pairs), 1), 1);
	rig_reset(&world->rig);
	/* Queues that nobody needs are stopped like the others. */
	for (unsigned queues = 0; queues <= 5; queues++) {
		rig_start(&world->rig, CTRL_FEATURES, queues);
		rig_reset(&world->rig);
		rig_start(&world->rig, CTRL_FEATURES | NET_BIT(MQ), queues);
		rig_reset(&world->rig);
		rig_start(&world->rig, NET_FEATURES, queues);
		rig_reset(&world->rig);
	}
}

static void test_bad_commands(void **state)
{
	struct net_world *world = *state;
	u8 bytes[64] = {4, 0, 2, 0};

	rig_start(&world->rig, CTRL_FEATURES | NET_BIT(MQ) | NET_BIT(CTRL_GUEST_OFFLOADS), 5);
	for (u32 length = 0; length < sizeof(bytes); length++) {
		if (length == 4)
			continue;
		bytes[0] = 4;
		assert_int_equal(command(world, CONTROL, bytes, length, 1), 1);
		bytes[0] = 5;
		if (length != 10)
			assert_int_equal(command(world, CONTROL, bytes, length, 1), 1);
	}
	for (unsigned class = 0; class < 256; class ++) {
		bytes[0] = (u8) class;
		bytes[1] = 0x55;
		assert_int_equal(command(world, CONTROL, bytes, 4, 1), 1);
	}
	/* With no room for an answer, nothing is done. */
	memcpy(bytes, (u8[]){4, 0, 2, 0}, 4);
	assert_int_equal(command(world, CONTROL, bytes, 4, 0), 0xee);
	assert_int_equal(atomic_load(&world->attached), 1);
	/* And with a lot, one byte is written. */
	assert_int_equal(command(world, CONTROL, bytes, 4, 100), 0);
	assert_int_equal(*rig_at(&world->rig, RX_AT + 1, 1), 0);
	assert_int_equal(atomic_load(&world->attached), 3);
}

static void test_switching_offloads(void **state)
{
	struct net_world *world = *state;
	u8 bytes[10] = {5, 0};
	u64 bits;

	rig_start(&world->rig,
		  CTRL_FEATURES | NET_BIT(CTRL_GUEST_OFFLOADS) | NET_BIT(GUEST_CSUM) |
			  NET_BIT(GUEST_TSO4),
		  3);
	assert_int_equal(atomic_load(&world->offloads), 3);
	bits = NET_BIT(GUEST_CSUM);
	memcpy(bytes + 2, &bits, sizeof(bits));
	assert_int_equal(command(world, 2, bytes, sizeof(bytes), 1), 0);
	assert_int_equal(atomic_load(&world->offloads), 1);
	bits |= NET_BIT(GUEST_TSO6); /* not negotiated */
	memcpy(bytes + 2, &bits, sizeof(bits));
	assert_int_equal(command(world, 2, bytes, sizeof(bytes), 1), 1);
	assert_int_equal(atomic_load(&world->offloads), 1);
	bits = 0;
	memcpy(bytes + 2, &bits, sizeof(bits));
	assert_int_equal(command(world, 2, bytes, sizeof(bytes), 1), 0);
	assert_int_equal(atomic_load(&world->offloads), 0);
}

/* The kernel's header reaches the guest where it has negotiated to finish checksums. */
static void test_headers(void **state)
{
	static const u8 nothing[10];
	struct net_world *world = *state;
	u8 frame[HEADER + 100];

	fill_pattern(frame, sizeof(frame), 1);
	for (unsigned round = 0; round < 2; round++) {
		u8 *header;

		rig_start(&world->rig, CTRL_FEATURES | (round ? NET_BIT(GUEST_CSUM) : 0), 3);
		give_buffer(world, 0, 2000);
		write_all(world->tap_peer[0], frame, sizeof(frame));
		assert_int_equal(rig_wait(&world->rig, RX).written, sizeof(frame));
		header = rig_at(&world->rig, RX_AT, sizeof(frame));
		assert_memory_equal(header, round ? frame : nothing, sizeof(nothing));
		assert_int_equal(header[10], 1);
		assert_int_equal(header[11], 0);
		assert_memory_equal(header + HEADER, frame + HEADER, 100);
		/* And what the guest says of its own reaches the kernel. */
		memcpy(rig_at(&world->rig, TX_AT, sizeof(frame)), frame, sizeof(frame));
		send_to_device(world, sizeof(frame), 7);
		memset(frame, 0, sizeof(frame));
		assert_int_equal(recv(world->tap_peer[0], frame, sizeof(frame), 0), sizeof(frame));
		assert_memory_equal(rig_at(&world->rig, TX_AT, sizeof(frame)), frame,
				    sizeof(frame));
		rig_reset(&world->rig);
	}
}

/* A frame comes in buffers of 1500 bytes, the last one smaller. */
static void expect_large_frame(struct net_world *world, const u8 *frame)
{
	static u8 is[LARGE];

	for (u32 at = 0; at < LARGE;) {
		const u32 filled = rig_wait(&world->rig, RX).written;

		memcpy(is + at, rig_at(&world->rig, RX_AT + at, filled), filled);
		at += filled;
		assert_int_equal(filled, at < LARGE ? 1500 : LARGE % 1500);
	}
	assert_int_equal(is[10], LARGE / 1500 + 1);
	assert_memory_equal(is + HEADER, frame + HEADER, LARGE - HEADER);
	assert_int_equal(received(world).drops, 0);
}

/* A large frame that was read before there was room for it: the rest comes with the buffers. */
static void test_the_spill(void **state)
{
	struct net_world *world = *state;
	static u8 frame[LARGE];

	rig_start(&world->rig, CTRL_FEATURES, 3);
	fill_pattern(frame, sizeof(frame), 1);
	give_buffer(world, 0, 1500);
	write_all(world->tap_peer[0], frame, sizeof(frame));
	peer_drained(world->tap_peer[0]);
	assert_int_equal(received(world).frames, 0);
	for (u32 at = 1500; at < LARGE; at += 1500)
		give_buffer(world, at, 1500);
	expect_large_frame(world, frame);
	/* A reset forgets what waits. */
	give_buffer(world, 0, 100);
	write_all(world->tap_peer[0], frame, 1000);
	peer_drained(world->tap_peer[0]);
	rig_reset(&world->rig);
	assert_int_equal(received(world).drops, 1);
}

/* When small frames came for long, there are more buffers than are held for the next. */
static void test_a_large_frame_after_small_ones(void **state)
{
	struct net_world *world = *state;
	static u8 frame[LARGE];

	rig_start(&world->rig, CTRL_FEATURES, 3);
	for (unsigned i = 0; i < 3000; i++) {
		give_buffer(world, 0, 100);
		write_all(world->tap_peer[0], frame, 80);
		assert_int_equal(rig_wait(&world->rig, RX).written, 80);
	}
	for (u32 at = 0; at < LARGE; at += 1500)
		give_buffer(world, at, 1500);
	fill_pattern(frame, sizeof(frame), 1);
	write_all(world->tap_peer[0], frame, sizeof(frame));
	expect_large_frame(world, frame);
}

#define NET_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_features),
		NET_TEST(test_offloads),
		NET_TEST(test_pairs),
		NET_TEST(test_where_the_control_queue_is),
		NET_TEST(test_bad_commands),
		NET_TEST(test_switching_offloads),
		NET_TEST(test_headers),
		NET_TEST(test_the_spill),
		NET_TEST(test_a_large_frame_after_small_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
