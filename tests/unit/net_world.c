/* A network device and its peer: see net_world.h. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/net_world.h"

static const u8 mac[] = {2, 0, 0, 0, 0, 1};

static void worker_failed(void *owner, const char *why)
{
	(void)owner;
	(void)why;
	abort();
}

static void lost(void *owner)
{
	struct net_world *world = owner;

	atomic_fetch_add(&world->lost, 1);
}

static void open_device(struct net_world *world)
{
	const struct thread_setup setup = {
		.sandbox = SANDBOX_OFF, .failed = worker_failed, .owner = world};
	struct error err = {.text = ""};

	world->net.lost = lost;
	world->net.owner = world;
	rig_init(&world->rig, 16 * MIB);
	if (net_open(&world->net, mac, &err))
		fail_msg("%s", err.text);
	rig_attach(&world->rig, &world->net.device);
	if (net_start_workers(&world->net, &setup, &err))
		fail_msg("%s", err.text);
}

void net_world_stream(struct net_world *world)
{
	struct error err = {.text = ""};
	int ends[2];

	*world = (struct net_world){.lost = 0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	world->peer = ends[0];
	net_init(&world->net);
	if (net_stream_adopt(&world->net.backend, ends[1], &err))
		fail_msg("%s", err.text);
	open_device(world);
}

static int result(ssize_t count)
{
	return count < 0 ? -errno : (int)count;
}

static int fake_receive(struct net_port *port, const struct iovec *piece, unsigned pieces)
{
	const int count = result(readv(port->fd, piece, (int)pieces));

	return count == 0 ? -ENOLINK : count;
}

static int fake_send(struct net_port *port, const struct iovec *piece, unsigned pieces, u32 bytes)
{
	const int count = result(writev(port->fd, piece, (int)pieces));

	(void)bytes;
	return count > 0 ? 0 : count;
}

static struct net_world *world_of(struct net_port *port, unsigned *index)
{
	/* A port has no room for its owner; there is one world with taps at a time. */
	extern struct net_world *net_world_with_taps;

	*index = (unsigned)(port - net_world_with_taps->net.backend.port);
	return net_world_with_taps;
}

struct net_world *net_world_with_taps;

static void fake_offloads(struct net_port *port, u32 offloads)
{
	unsigned index;

	atomic_store(&world_of(port, &index)->offloads, offloads);
}

static void fake_attach(struct net_port *port, bool attach)
{
	unsigned index;
	struct net_world *world = world_of(port, &index);

	if (attach)
		atomic_fetch_or(&world->attached, 1U << index);
	else
		atomic_fetch_and(&world->attached, ~(1U << index));
}

static const struct net_port_ops fake_ops = {.receive = fake_receive,
					     .send = fake_send,
					     .set_offloads = fake_offloads,
					     .attach = fake_attach};

void net_world_tap(struct net_world *world, unsigned pairs)
{
	*world = (struct net_world){.peer = -1};
	net_world_with_taps = world;
	net_init(&world->net);
	world->net.backend.pairs = pairs;
	world->net.backend.header = true;
	world->net.backend.offloads = 0x6f;
	world->net.backend.mtu = 1500;
	atomic_store(&world->attached, (1U << pairs) - 1);
	for (unsigned i = 0; i < pairs; i++) {
		int ends[2];

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			0);
		world->tap_peer[i] = ends[0];
		world->net.backend.port[i].ops = &fake_ops;
		world->net.backend.port[i].fd = ends[1];
	}
	open_device(world);
}

void net_world_destroy(struct net_world *world)
{
	const unsigned pairs = world->net.backend.pairs;

	rig_reset(&world->rig);
	assert_true(net_close(&world->net, 3600 * 1000));
	if (world->peer >= 0)
		close(world->peer);
	for (unsigned i = 0; world->peer < 0 && i < pairs; i++)
		close(world->tap_peer[i]);
	rig_destroy(&world->rig);
}

int net_set_up(void **state)
{
	static struct net_world world;

	net_world_stream(&world);
	rig_start(&world.rig, NET_FEATURES | NET_BIT(MRG_RXBUF), 2);
	*state = &world;
	return 0;
}

int net_tear_down(void **state)
{
	net_world_destroy(*state);
	return 0;
}

void give_buffer(struct net_world *world, u64 offset, u32 bytes)
{
	const struct driver_buffer buffer = {RX_AT + offset, bytes, true};
	const u16 before = world->rig.driver[RX].next_available;

	memset(rig_at(&world->rig, RX_AT + offset, bytes), 0, bytes);
	driver_add(&world->rig.driver[RX], &buffer, 1);
	rig_kick(&world->rig, RX, before);
}

u32 send_to_device(struct net_world *world, u32 bytes, u32 piece)
{
	struct driver_queue *driver = &world->rig.driver[TX];
	const u16 before = driver->next_available;
	struct driver_buffer buffer[RIG_QUEUE_SIZE];
	unsigned buffers = 0;
	struct driver_used used;
	u16 head;

	for (u32 at = 0; at < bytes || at == 0; at += piece) {
		assert_true(buffers < RIG_QUEUE_SIZE);
		buffer[buffers++] = (struct driver_buffer){
			TX_AT + at, bytes - at < piece ? bytes - at : piece, false};
	}
	head = driver_add(driver, buffer, buffers);
	rig_kick(&world->rig, TX, before);
	used = rig_wait(&world->rig, TX);
	assert_int_equal(used.head, head);
	return used.written;
}

void read_all(int fd, void *bytes, size_t count)
{
	for (size_t got = 0; got < count;) {
		const ssize_t more = read(fd, (u8 *)bytes + got, count - got);

		assert_true(more > 0);
		got += (size_t)more;
	}
}

void write_all(int fd, const void *bytes, size_t count)
{
	for (size_t put = 0; put < count;) {
		const ssize_t more = write(fd, (const u8 *)bytes + put, count - put);

		assert_true(more > 0);
		put += (size_t)more;
	}
}

void peer_sends(struct net_world *world, u32 bytes, u32 seed)
{
	const u32 length = htonl(bytes);
	u8 *frame = malloc(bytes + sizeof(length));

	assert_non_null(frame);
	memcpy(frame, &length, sizeof(length));
	fill_pattern(frame + sizeof(length), bytes, seed);
	write_all(world->peer, frame, bytes + sizeof(length));
	free(frame);
}

void peer_drained(int peer)
{
	int left = 1;

	while (left) {
		assert_int_equal(ioctl(peer, SIOCOUTQ, &left), 0);
		(void)poll(NULL, 0, 1);
	}
}

void peer_expects(struct net_world *world, const u8 *frame, u32 bytes)
{
	u8 *is = malloc(bytes);
	u32 length;

	assert_non_null(is);
	read_all(world->peer, &length, sizeof(length));
	assert_int_equal(ntohl(length), bytes);
	read_all(world->peer, is, bytes);
	assert_memory_equal(is, frame, bytes);
	free(is);
}

void expect_frame(struct net_world *world, u64 offset, u32 bytes, u32 seed)
{
	static const u8 header[HEADER] = {[10] = 1};
	u8 *frame = malloc(bytes);

	assert_non_null(frame);
	assert_int_equal(rig_wait(&world->rig, RX).written, HEADER + bytes);
	fill_pattern(frame, bytes, seed);
	assert_memory_equal(rig_at(&world->rig, RX_AT + offset, HEADER), header, HEADER);
	assert_memory_equal(rig_at(&world->rig, RX_AT + offset + HEADER, bytes), frame, bytes);
	free(frame);
}

struct net_totals received(struct net_world *world)
{
	struct net_totals in = {0}, out = {0};

	net_count(&world->net, &in, &out);
	return in;
}

struct net_totals sent(struct net_world *world)
{
	struct net_totals in = {0}, out = {0};

	net_count(&world->net, &in, &out);
	return out;
}

void wait_drops(struct net_world *world, struct net_totals (*which)(struct net_world *), u64 drops)
{
	while (which(world).drops < drops)
		(void)poll(NULL, 0, 1);
	assert_int_equal(which(world).drops, drops);
}

void wait_link(struct net_world *world, bool up)
{
	struct virtio_device *device = &world->net.device;

	for (;;) {
		struct pollfd told = {.fd = world->rig.config_fd, .events = POLLIN};
		u64 rings, status;

		pthread_mutex_lock(&device->lock);
		status = virtio_read_config(device, 6, 2);
		pthread_mutex_unlock(&device->lock);
		assert_int_equal(poll(&told, 1, -1), 1);
		if (status == up) {
			assert_int_equal(read(told.fd, &rings, sizeof(rings)), sizeof(rings));
			return;
		}
	}
}
