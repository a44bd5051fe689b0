/* A network on a board: see network.h. */
#include "tests/fuzz/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/net_pair.h"
#include "tests/fuzz/actions.h"
#include "tests/fuzz/driver.h"
#include "tests/fuzz/guest.h"
#include "tests/fuzz/worker.h"

enum { PREFIX_BYTES = 4, STREAM_BUFFER = 8192, SENT_MAX = NET_HEADER_BYTES + NET_TAP_MAX };

static struct {
	const struct net_backend *backend;
	bool stream;
	int peer[NET_PAIRS_MAX];
	u32 offloads, attached;
	/* Where the stream's peer is. */
	u8 prefix[PREFIX_BYTES];
	u32 prefix_got, left;
} end;

/* ---- the tap that isn't one ---- */

static unsigned index_of(const struct net_port *port)
{
	return (unsigned)(port - end.backend->port);
}

/* Returns 0, or what a tap would say to a read or write that fails. */
static int tap_answer(void)
{
	const int answer = workers_answer();

	/* EINTR is a signal; and one of the errors stands for a tap that was deleted. */
	return answer == -EINTR ? -EAGAIN : answer == -ENOSPC ? -ENOLINK : answer < 0 ? answer : 0;
}

static int tap_receive(struct net_port *port, const struct iovec *piece, unsigned pieces)
{
	const int answer = tap_answer();
	u64 room = 0;
	ssize_t count;

	for (unsigned i = 0; i < pieces; i++)
		room += piece[i].iov_len;
	FUZZ_CHECK(pieces <= 1024 && room >= SENT_MAX); /* readv(2) takes no more */
	if (answer < 0)
		return answer;
	count = readv(port->fd, piece, (int)pieces);
	return count < 0 ? -errno : (int)count;
}

static int tap_send(struct net_port *port, const struct iovec *piece, unsigned pieces, u32 bytes)
{
	const int answer = tap_answer();
	u64 sum = 0;

	for (unsigned i = 0; i < pieces; i++)
		sum += piece[i].iov_len;
	FUZZ_CHECK(sum == bytes && bytes >= NET_HEADER_BYTES && pieces <= 1024);
	if (answer < 0)
		return answer;
	return writev(port->fd, piece, (int)pieces) < 0 ? -errno : 0;
}

static void tap_set_offloads(struct net_port *port, u32 offloads)
{
	(void)port;
	FUZZ_CHECK(!(offloads & ~end.backend->offloads));
	end.offloads = offloads;
}

static void tap_attach(struct net_port *port, bool attach)
{
	const u32 bit = (u32)1 << index_of(port);

	FUZZ_CHECK(!(end.attached & bit) == attach);
	end.attached ^= bit;
}

static const struct net_port_ops tap_ops = {.receive = tap_receive,
					    .send = tap_send,
					    .set_offloads = tap_set_offloads,
					    .attach = tap_attach};

/* ---- making it ---- */

/* Makes a peer for a pair, and returns the other end of the connection. */
static int connect_peer(unsigned pair)
{
	const int kind = end.stream ? SOCK_STREAM : SOCK_DGRAM, bytes = STREAM_BUFFER;
	int ends[2];

	FUZZ_CHECK(socketpair(AF_UNIX, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	for (unsigned i = 0; end.stream && i < 2; i++)
		FUZZ_CHECK(!setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)));
	end.peer[pair] = ends[0];
	end.prefix_got = end.left = 0;
	return ends[1];
}

static void tap_adopt(struct net_backend *backend, unsigned pairs)
{
	backend->pairs = pairs;
	backend->header = true;
	backend->offloads = NET_TAP_OFFLOADS;
	backend->mtu = 1500;
	for (unsigned i = 0; i < pairs; i++) {
		backend->port[i].ops = &tap_ops;
		backend->port[i].fd = connect_peer(i);
		end.attached |= (u32)1 << i;
	}
}

int network_open(struct board *board, struct error *err)
{
	static const u8 mac[] = {2, 0, 0, 0, 0, 1};
	struct net_backend *backend = &board->net.backend;

	signal(SIGPIPE, SIG_IGN); /* as the program does */
	net_init(&board->net);
	memset(&end, 0, sizeof(end));
	end.backend = backend;
	end.stream = board->setup.stream;
	memset(end.peer, 0xff, sizeof(end.peer));
	if (!end.stream)
		tap_adopt(backend, board->setup.pairs);
	else if (net_stream_adopt(backend, connect_peer(0), err))
		return -1;
	return net_open(&board->net, mac, err);
}

static void hang_up(unsigned pair)
{
	if (end.peer[pair] >= 0)
		close(end.peer[pair]);
	end.peer[pair] = -1;
}

void network_close(struct board *board)
{
	FUZZ_CHECK(net_close(&board->net, 1));
	for (unsigned i = 0; i < NET_PAIRS_MAX; i++)
		hang_up(i);
}

/* ---- what the peer does ---- */

/* What was sent is whole frames, as far as it goes. */
static void follow(const u8 *bytes, size_t count)
{
	while (count) {
		size_t part = count < end.left ? count : end.left;

		if (end.left) {
			end.left -= (u32)part;
		} else {
			u32 length;

			part = 1;
			end.prefix[end.prefix_got++] = bytes[0];
			if (end.prefix_got == PREFIX_BYTES) {
				memcpy(&length, end.prefix, sizeof(length));
				end.left = ntohl(length);
				end.prefix_got = 0;
				FUZZ_CHECK(end.left >= NET_FRAME_MIN && end.left <= NET_FRAME_MAX);
			}
		}
		bytes += part, count -= part;
	}
}

static void take(unsigned pair)
{
	static u8 bytes[SENT_MAX];
	const struct net_port *port = &end.backend->port[pair];
	ssize_t count;

	do {
		count = recv(end.peer[pair], bytes, sizeof(bytes), 0);
		if (count > 0 && end.stream)
			follow(bytes, (size_t)count);
	} while (count > 0);
	/* Nothing was held back, and nobody hung up: then all frames are whole. */
	if (end.peer[pair] >= 0 && port->fd >= 0 && !port->kept)
		FUZZ_CHECK(end.left == 0 && end.prefix_got == 0);
}

/* `bytes` of guest memory, and zeroes where there is none. */
static void copy(u8 *to, u64 gpa, u32 bytes)
{
	for (u32 i = 0; i < bytes; i++)
		to[i] = (u8)guest_load(gpa + i, 1);
}

/* What doesn't fit is lost, in the middle of a frame too: this peer is no good one. */
static void send_bytes(unsigned pair, const u8 *bytes, size_t count)
{
	(void)!send(end.peer[pair], bytes, count, MSG_NOSIGNAL);
}

static void send_frame(unsigned pair, u64 gpa, u32 bytes, bool any)
{
	static u8 buffer[SENT_MAX];
	const u32 prefix = htonl(bytes);

	/* A tap's frames have a header and an Ethernet header, whatever is in them. */
	if (!end.stream && bytes < NET_FRAME_MIN)
		bytes = NET_FRAME_MIN;
	bytes %= NET_FRAME_MAX + 1;
	if (end.stream && any) {
		copy(buffer, gpa, bytes);
		send_bytes(pair, buffer, bytes);
	} else if (end.stream) {
		memcpy(buffer, &prefix, sizeof(prefix));
		copy(buffer + sizeof(prefix), gpa, bytes);
		send_bytes(pair, buffer, bytes + sizeof(prefix));
	} else {
		memset(buffer, 0, NET_HEADER_BYTES);
		if (any)
			copy(buffer, gpa, NET_HEADER_BYTES);
		copy(buffer + NET_HEADER_BYTES, gpa, bytes);
		send_bytes(pair, buffer, NET_HEADER_BYTES + bytes);
	}
}

static void fill(const struct board *board, unsigned pair)
{
	static const u8 zeroes[STREAM_BUFFER];
	const u8 frame[PREFIX_BYTES + NET_FRAME_MIN] = {0, 0, 0, NET_FRAME_MIN};
	const int fd = board->net.backend.port[pair].fd;

	/* A stream's has to be whole, or the peer would lose its place by us. */
	if (fd < 0 || board->net.backend.port[pair].kept)
		return;
	if (!end.stream) {
		while (send(fd, zeroes, sizeof(zeroes), MSG_NOSIGNAL) > 0)
			;
		return;
	}
	while (send(fd, frame, sizeof(frame), MSG_NOSIGNAL) == sizeof(frame))
		;
}

static void renew(struct board *board, unsigned pair)
{
	/* Only the first pair can be given another. */
	if (pair)
		return;
	hang_up(0);
	net_adopt(&board->net, connect_peer(0));
}

void network_renew(struct board *board)
{
	renew(board, 0);
}

void network_act(struct board *board, const struct action *action)
{
	const unsigned pair = (action->how >> 4) % board->net.backend.pairs;

	switch (action->how >> 1 & 7) {
	case 0:
		workers_plan(action->value);
		break;
	case 1:
	case 2:
		send_frame(pair, action->where, action->value, action->how >> 1 & 2);
		break;
	case 3:
		take(pair);
		break;
	case 4:
		hang_up(pair);
		break;
	case 5:
		renew(board, pair);
		break;
	case 6:
		workers_sleep();
		break;
	default:
		fill(board, pair);
	}
}

void network_send(u64 gpa, u32 bytes)
{
	send_frame(0, gpa, bytes, false);
}

void network_expect(u64 gpa, u32 bytes)
{
	u8 is[256], want[256];
	const size_t before = end.stream ? PREFIX_BYTES : NET_HEADER_BYTES;

	FUZZ_CHECK(before + bytes <= sizeof(is));
	copy(want, gpa, bytes);
	FUZZ_CHECK(recv(end.peer[0], is, sizeof(is), 0) == (ssize_t)(before + bytes));
	FUZZ_CHECK(memcmp(is + before, want, bytes) == 0);
	if (end.stream)
		FUZZ_CHECK(is[3] == bytes);
}

void network_check(const struct board *board)
{
	const struct net *net = &board->net;

	FUZZ_CHECK(end.stream || end.attached == ((u32)1 << atomic_load(&net->active)) - 1);
	if (net->device.state == VIRTIO_IDLE)
		FUZZ_CHECK(end.offloads == 0 && (end.stream || end.attached == 1));
	for (unsigned i = 0; i < net->backend.pairs; i++)
		FUZZ_CHECK(guest_under_way(&net->device.queue[2 * i]) == net->pair[i].helds);
}

/* ---- the course ---- */

enum { PCI = 1, MSIX = 2, ANEW = 4, PATIENT = 8, TRACE = 16, PAIRS_SHIFT = 5 };

void network_fuzz(const u8 *bytes, size_t count, bool stream)
{
	struct input input = {bytes, count};
	const u8 flags = (u8)input_take(&input, 1);
	struct virtq_regs regs[VIRTIO_QUEUES_MAX] = {{.size = 0}};
	struct board_setup setup = {.pci = flags & PCI, .trace = flags & TRACE, .stream = stream};
	struct board *board;
	unsigned actions;
	u64 features;

	setup.pairs = stream ? 1 : 1 + (flags >> PAIRS_SHIFT) % 4;
	features = input_take(&input, 4) | VIRTIO_VERSION_1;
	for (unsigned i = 0; i < (stream ? 2 : 3); i++) {
		const bool multi = setup.pairs > 1 && features & (u64)1 << VIRTIO_NET_F_MQ;
		struct virtq_regs *queue = &regs[i == 2 && multi ? 2 * setup.pairs : i];

		queue->enabled = true;
		queue->size = (u16)input_take(&input, 2);
		queue->descriptors = guest_address((u32)input_take(&input, 4));
		queue->available = guest_address((u32)input_take(&input, 4));
		queue->used = guest_address((u32)input_take(&input, 4));
	}
	setup.memory = actions_begin(&input, &actions);
	board = board_open(&setup);
	board->patient = flags & PATIENT;
	if (setup.pci)
		driver_place(board, flags & MSIX);
	driver_begin(board, BOARD_NET, features, regs, 2 * setup.pairs + 1);
	board_check(board);
	actions_run(board, &input, actions, flags & ANEW, flags & MSIX);
}
