/*
 * virtio-net under nonsense: random chains on all queues, random bytes as a peer's stream, random
 * datagrams and headers as a tap's. Whatever comes, a reset ends, and a good driver and a good peer
 * get along with the device afterwards. The numbers are the same in every run.
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/net_world.h"

enum { ROUNDS = 300, CHAINS = 24 };

#define TAP_FEATURES                                                                               \
	(NET_FEATURES | NET_BIT(MRG_RXBUF) | NET_BIT(CTRL_VQ) | NET_BIT(MQ) |                      \
	 NET_BIT(CTRL_GUEST_OFFLOADS))

static u32 state_of_chance;

static u32 chance(u32 of)
{
	return next_random(&state_of_chance) % of;
}

/* Descriptors of all kinds, heads in order: most are good enough to be looked at. */
static void offer_nonsense(struct net_world *world, unsigned queue)
{
	static const u32 lengths[] = {0, 1, 11, 12, 13, 26, 100, 1526, 4096, 65550, 1 << 20, ~0U};
	struct driver_queue *driver = &world->rig.driver[queue];
	const u16 before = driver->next_available;

	for (u16 i = 0; i < RIG_QUEUE_SIZE; i++)
		driver_describe(driver, i, chance(20) ? TX_AT + chance(MIB) : ~(u64)chance(4096),
				lengths[chance(ARRAY_LEN(lengths))], (u16)chance(8),
				(u16)chance(RIG_QUEUE_SIZE + 2));
	for (unsigned i = 0; i < CHAINS; i++)
		driver_offer_head(driver, (u16)chance(RIG_QUEUE_SIZE + (chance(50) == 0)));
	rig_kick(&world->rig, queue, before);
}

static void fill_memory(struct net_world *world)
{
	u8 *bytes = rig_at(&world->rig, TX_AT, 2 * MIB);

	for (u32 i = 0; i < 2 * MIB; i += 4096) {
		for (u32 j = 0; j < 16; j++)
			bytes[i + j] = (u8)(chance(3) ? 0 : chance(256));
	}
}

/* A stream of frames in which something is wrong now and then; what has no room is left out. */
static void send_nonsense(struct net_world *world)
{
	u8 bytes[4096];

	for (unsigned i = 0; i < 8; i++) {
		u32 length = chance(10) ? NET_FRAME_MIN + chance(2000)
					: next_random(&state_of_chance);
		const u32 prefix = htonl(length);
		u32 count = chance(10) && length < sizeof(bytes) - 4 ? length + 4
								     : chance(sizeof(bytes));

		fill_pattern(bytes, sizeof(bytes), i + 1);
		memcpy(bytes, &prefix, sizeof(prefix));
		(void)!send(world->peer, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

static void drain(int fd)
{
	u8 bytes[65536];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

/* A new connection in the place of one that has ended by nonsense. */
static void reconnect(struct net_world *world)
{
	int ends[2];

	close(world->peer);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	world->peer = ends[0];
	net_adopt(&world->net, ends[1]);
}

static void test_streams(void **state)
{
	static struct net_world world;

	(void)state;
	state_of_chance = 1;
	net_world_stream(&world);
	for (unsigned round = 0; round < ROUNDS; round++) {
		rig_start(&world.rig, NET_FEATURES | (chance(2) ? NET_BIT(MRG_RXBUF) : 0), 2);
		fill_memory(&world);
		for (unsigned i = 0; i < 3; i++) {
			offer_nonsense(&world, chance(2));
			send_nonsense(&world);
			drain(world.peer);
		}
		rig_reset(&world.rig);
		reconnect(&world);
		rig_start(&world.rig, NET_FEATURES | NET_BIT(MRG_RXBUF), 2);
		give_buffer(&world, 0, 2000);
		peer_sends(&world, 500, 1);
		expect_frame(&world, 0, 500, 1);
		memset(rig_at(&world.rig, TX_AT, 1000), 0, 1000);
		send_to_device(&world, HEADER + 60, 20);
		peer_expects(&world, rig_at(&world.rig, TX_AT + HEADER, 60), 60);
		rig_reset(&world.rig);
	}
	net_world_destroy(&world);
}

static void test_taps(void **state)
{
	static struct net_world world;
	u8 frame[HEADER + 60] = {0};

	(void)state;
	state_of_chance = 2;
	net_world_tap(&world, 2);
	for (unsigned round = 0; round < ROUNDS; round++) {
		const unsigned queues = chance(6);

		rig_start(&world.rig, chance(4) ? TAP_FEATURES : NET_FEATURES, queues);
		fill_memory(&world);
		for (unsigned i = 0; i < 4; i++) {
			u8 bytes[3000];
			const unsigned pair = chance(2);

			fill_pattern(bytes, sizeof(bytes), i + 1);
			(void)!send(world.tap_peer[pair], bytes, 1 + chance(sizeof(bytes)),
				    MSG_DONTWAIT);
			for (unsigned queue = 0; queue < queues; queue++) {
				if (chance(2))
					offer_nonsense(&world, queue);
			}
			drain(world.tap_peer[pair]);
		}
		rig_reset(&world.rig);
		assert_int_equal(atomic_load(&world.attached), 1);
		assert_int_equal(atomic_load(&world.offloads), 0);
		/* What waits in the pair is a tap's queue, and older. */
		rig_start(&world.rig, TAP_FEATURES, 5);
		write_all(world.tap_peer[0], frame, sizeof(frame));
		do
			give_buffer(&world, 0, 4096);
		while (rig_wait(&world.rig, RX).written != sizeof(frame));
		rig_reset(&world.rig);
	}
	net_world_destroy(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_taps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
