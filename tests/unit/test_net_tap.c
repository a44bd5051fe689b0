/*
 * devices/virtio/net_tap.c: real taps, in a network namespace of the test's own, which takes root.
 * The other end is a packet socket on the tap.
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>

#include "tests/unit/net_world.h"

/* A type of frame that no protocol listens to. */
enum { TYPE = 0x88b5, FRAME = 200 };

static bool have_namespace;

static int enter_namespace(void **state)
{
	int fd;

	(void)state;
	have_namespace = unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0;
	/* The only frames there are ours. */
	fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);
	if (have_namespace && fd >= 0)
		(void)!write(fd, "1", 1);
	if (fd >= 0)
		close(fd);
	return 0;
}

#define NEED_NAMESPACE()                                                                           \
	do {                                                                                       \
		if (!have_namespace)                                                               \
			SKIP("no network namespace, or no /dev/net/tun");                          \
	} while (0)

static void shell(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

static int packet_socket(const char *name)
{
	const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(TYPE));
	struct ifreq request = {.ifr_name = ""};
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(TYPE)};

	assert_true(fd >= 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, SIOCGIFINDEX, &request), 0);
	address.sll_ifindex = request.ifr_ifindex;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void make_frame(u8 *frame, u32 bytes, u32 seed)
{
	const u16 type = htons(TYPE);

	fill_pattern(frame, bytes, seed);
	frame[0] &= 0xfe;
	frame[6] &= 0xfe;
	memcpy(frame + 12, &type, sizeof(type));
}

static const u8 mac[] = {2, 0, 0, 0, 0, 1};

static void failed(void *owner, const char *why)
{
	(void)owner;
	(void)why;
	abort();
}

static void open_world(struct net_world *world, unsigned queues)
{
	const struct thread_setup setup = {
		.sandbox = SANDBOX_OFF, .failed = failed, .owner = world};
	struct error err = {.text = ""};

	*world = (struct net_world){.peer = -1};
	rig_init(&world->rig, 16 * MIB);
	net_init(&world->net);
	if (net_tap_open(&world->net.backend, "bantamtest0", queues, &err) ||
	    net_open(&world->net, mac, &err))
		fail_msg("%s", err.text);
	rig_attach(&world->rig, &world->net.device);
	if (net_start_workers(&world->net, &setup, &err))
		fail_msg("%s", err.text);
	world->peer = packet_socket("bantamtest0");
}

static void close_world(struct net_world *world)
{
	rig_reset(&world->rig);
	assert_true(net_close(&world->net, 3600 * 1000));
	close(world->peer);
	rig_destroy(&world->rig);
}

/* One frame each way. */
static void exchange(struct net_world *world, u32 bytes)
{
	u8 frame[9100], is[9100];
	u8 *at = rig_at(&world->rig, TX_AT, HEADER + bytes);

	make_frame(frame, bytes, bytes);
	memset(at, 0, HEADER);
	memcpy(at + HEADER, frame, bytes);
	assert_int_equal(send_to_device(world, HEADER + bytes, 500), 0);
	assert_int_equal(recv(world->peer, is, sizeof(is), 0), bytes);
	assert_memory_equal(is, frame, bytes);
	give_buffer(world, 0, HEADER + bytes);
	assert_int_equal(send(world->peer, frame, bytes, 0), bytes);
	assert_int_equal(rig_wait(&world->rig, RX).written, HEADER + bytes);
	assert_memory_equal(rig_at(&world->rig, RX_AT + HEADER, bytes), frame, bytes);
}

static void test_frames(void **state)
{
	struct net_world world;

	(void)state;
	NEED_NAMESPACE();
	open_world(&world, 1);
	assert_int_equal(world.net.config.mtu, 1500);
	assert_true(world.net.device.features & NET_BIT(HOST_TSO4));
	rig_start(&world.rig, NET_FEATURES | NET_BIT(MRG_RXBUF), 2);
	exchange(&world, 60);
	exchange(&world, 1514);
	close_world(&world);
	shell("ip tuntap add dev bantamtest0 mode tap && ip link set bantamtest0 mtu 9000 up");
	open_world(&world, 1);
	assert_int_equal(world.net.config.mtu, 9000);
	rig_start(&world.rig, NET_FEATURES, 2);
	exchange(&world, 9014);
	close_world(&world);
	shell("ip link del bantamtest0");
}

/* What the kernel refuses is dropped, and the queue goes on. */
static void test_bad_frames(void **state)
{
	static const u8 lies[][HEADER] = {
		{1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, /* a checksum far behind */
		{1, 1, 0xff, 0xff, 0, 1, 0, 0, 0, 0},       /* headers of 64 KiB */
		{0, 0x7f, 0, 0, 0, 1},                      /* no such segments */
		{1, 1, 0, 0, 0, 0, 34, 0, 16, 0},           /* segments of no bytes */
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	};
	static const u32 lengths[] = {0,      5, HEADER, HEADER + 1, HEADER + 13, HEADER + 65600,
				      1 << 20};
	struct net_world world;
	u64 drops;

	(void)state;
	NEED_NAMESPACE();
	open_world(&world, 1);
	rig_start(&world.rig,
		  NET_FEATURES | NET_BIT(MRG_RXBUF) | NET_BIT(CSUM) | NET_BIT(HOST_TSO4), 2);
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		u8 *at = rig_at(&world.rig, TX_AT, HEADER + FRAME);

		memcpy(at, lies[i], HEADER);
		make_frame(at + HEADER, FRAME, 1);
		send_to_device(&world, HEADER + FRAME, 1000);
	}
	drops = sent(&world).drops;
	assert_true(drops >= ARRAY_LEN(lies) - 2);
	memset(rig_at(&world.rig, TX_AT, HEADER), 0, HEADER);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		send_to_device(&world, lengths[i], 1 << 19);
	assert_int_equal(sent(&world).drops, drops + ARRAY_LEN(lengths));
	while (recv(world.peer, (u8[2048]){0}, 2048, MSG_DONTWAIT) > 0)
		;
	exchange(&world, 100);
	close_world(&world);
}

static void test_a_tap_that_is_deleted(void **state)
{
	struct net_world world;

	(void)state;
	NEED_NAMESPACE();
	shell("ip tuntap add dev bantamtest0 mode tap && ip link set bantamtest0 up");
	open_world(&world, 1);
	rig_start(&world.rig, NET_FEATURES, 2);
	exchange(&world, 100);
	/* Switched off it takes nothing, which is no reason to give up. */
	shell("ip link set bantamtest0 down");
	send_to_device(&world, HEADER + 100, 1000);
	assert_int_equal(sent(&world).drops, 1);
	shell("ip link set bantamtest0 up");
	close(world.peer);
	world.peer = packet_socket("bantamtest0");
	exchange(&world, 100);
	give_buffer(&world, 0, 2000);
	shell("ip link del bantamtest0");
	wait_link(&world, false);
	send_to_device(&world, HEADER + 100, 1000);
	assert_int_equal(sent(&world).drops, 2);
	close_world(&world);
}

static void test_queues(void **state)
{
	struct net_world world;

	(void)state;
	NEED_NAMESPACE();
	open_world(&world, 2);
	assert_int_equal(world.net.device.queues, 5);
	rig_start(&world.rig, NET_FEATURES | NET_BIT(MRG_RXBUF), 2);
	/* All flows come to the one pair that the driver knows of. */
	for (unsigned i = 0; i < 20; i++)
		exchange(&world, 100 + i);
	close_world(&world);
}

static void test_what_cannot_be_opened(void **state)
{
	struct net_backend backend, other;
	struct error err;

	(void)state;
	NEED_NAMESPACE();
	net_backend_init(&backend);
	net_backend_init(&other);
	assert_int_equal(net_tap_open(&backend, "a-name-that-is-too-long", 1, &err), -1);
	assert_says(err.text, "at most");
	net_backend_close(&backend);
	assert_int_equal(net_tap_open(&backend, "lo", 1, &err), -1);
	assert_says(err.text, "'lo' is no tap");
	net_backend_close(&backend);
	assert_int_equal(net_tap_open(&backend, "bantamtest0", 1, &err), 0);
	assert_int_equal(net_tap_open(&other, "bantamtest0", 1, &err), -1);
	assert_says(err.text, "busy");
	net_backend_close(&other);
	net_backend_close(&backend);
	shell("ip tuntap add dev bantamtest0 mode tap");
	assert_int_equal(net_tap_open(&backend, "bantamtest0", 2, &err), -1);
	assert_says(err.text, "mode tap multi_queue user");
	net_backend_close(&backend);
	shell("ip link del bantamtest0");
}

static void test_a_descriptor(void **state)
{
	struct ifreq request = {.ifr_name = "bantamtest0", .ifr_flags = IFF_TAP};
	struct net_backend backend;
	struct error err;
	int fd;

	(void)state;
	NEED_NAMESPACE();
	for (unsigned good = 0; good < 2; good++) {
		net_backend_init(&backend);
		if (good)
			request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
		fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
		assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
		assert_true(net_tap_is(fd));
		assert_int_equal(net_tap_adopt(&backend, fd, &err), good ? 0 : -1);
		if (!good)
			assert_says(err.text, "IFF_VNET_HDR");
		net_backend_close(&backend);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
	}
	assert_false(net_tap_is(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_bad_frames),
		cmocka_unit_test(test_a_tap_that_is_deleted),
		cmocka_unit_test(test_queues),
		cmocka_unit_test(test_what_cannot_be_opened),
		cmocka_unit_test(test_a_descriptor),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
