/*
 * A pair of virtio-net's queues: frames between the guest's buffers and a port.
 *
 * Sending: a chain is a header and a frame, and goes to the port as it is. When the peer has no
 * room, the chain goes back to where it came from and the worker waits; a peer that takes nothing
 * for PATIENCE_NS loses frames from then on, until it takes them again. So nothing of the guest's
 * is ever held for a peer.
 *
 * Receiving: nobody says how long the next frame is, and with mergeable buffers one may need
 * dozens of chains. So chains are popped ahead until a frame fits that is as large as the last ones
 * were, and stay held, in order, until frames fill them; a read gets all their pieces at once, and
 * behind them a buffer of our own, the spill. What came of a frame beyond the guest's buffers moves
 * from there to further ones, for which it may have to wait: rare, and the only copy. Asked to stop,
 * the worker puts held chains back.
 *
 * Source: virtio 1.2, 5.1.6 "Device Operation".
 */
#include "devices/virtio/net_pair.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/loop.h"

/* So many frames a direction before the other one has its turn. */
enum { BUDGET = 128 };

/* How many frames it takes to forget a large one, or so. */
enum { FORGETS = 256 };

#define PATIENCE_NS ((u64)1000000000)

static void count(atomic_ullong *counter, u64 more)
{
	/* There is one writer. */
	const u64 now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + more, memory_order_relaxed);
}

static void count_frame(struct net_pair *pair, struct net_counts *counts, struct limit *limit,
			u32 bytes)
{
	pair->moved++;
	limit_take(limit, 1, bytes - NET_HEADER_BYTES);
	count(&counts->frames, 1);
	count(&counts->bytes, bytes - NET_HEADER_BYTES);
}

static struct virtq *receive_ring(const struct net_pair *pair)
{
	return &pair->net->device.queue[2 * pair->index];
}

static struct virtq *send_ring(const struct net_pair *pair)
{
	return &pair->net->device.queue[2 * pair->index + 1];
}

static bool connected(const struct net_pair *pair)
{
	return atomic_load(&pair->port->fd) >= 0 && pair->index < atomic_load(&pair->net->active);
}

static void wake_within(struct net_pair *pair, int ms)
{
	if (pair->timeout_ms < 0 || ms < pair->timeout_ms)
		pair->timeout_ms = ms;
}

/* Whether a direction's limit lets nothing through now; the worker wakes when it does. */
static bool held_back(struct net_pair *pair, const struct limit *limit)
{
	const u64 wait_ms = (limit_wait_ns(limit) + 999999) / 1000000;

	if (wait_ms)
		wake_within(pair, wait_ms < INT_MAX ? (int)wait_ms : INT_MAX);
	return wait_ms;
}

/* What begins, or waits for room, is lost; a port that is in the middle of a frame stays so. */
static void forget_frame(struct net_pair *pair)
{
	if (pair->frame || (pair->port->got && !pair->discard))
		count(&pair->received.drops, 1);
	pair->discard = pair->port->got > 0;
	pair->frame = 0;
}

static void hang_up(struct net_pair *pair)
{
	forget_frame(pair);
	net_port_hang_up(pair->port);
	pair->discard = false;
	pair->stuck_ns = 0;
}

static void lose_peer(struct net_pair *pair)
{
	/* It may only be that another worker has just detached this pair. */
	if (!connected(pair))
		return;
	if (pair->net->backend.header && pair->net->backend.pairs == 1)
		atomic_store(&pair->net->retired, atomic_exchange(&pair->port->fd, -1));
	hang_up(pair);
	net_set_link(pair->net, false);
}

static void welcome_newcomer(struct net_pair *pair)
{
	const int fd = atomic_exchange(&pair->net->newcomer, -1);

	if (fd < 0)
		return;
	hang_up(pair);
	atomic_store(&pair->port->fd, fd);
	if (pair->port->ops->set_offloads)
		pair->port->ops->set_offloads(pair->port, atomic_load(&pair->port->offloads));
	net_set_link(pair->net, true);
}

/* Sending. */

/* Gives the chain in hand back, after an attempt to send it. */
static void sent(struct net_pair *pair, int error)
{
	const struct virtq_chain *chain = &pair->chain;
	const unsigned queue = 2 * pair->index + 1;

	if (error)
		count(&pair->sent.drops, 1);
	else
		count_frame(pair, &pair->sent, &pair->net->send_limit, chain->out_bytes);
	virtq_place(send_ring(pair), chain->head, 0);
	if (error == -EPROTO)
		virtio_trace_chain(&pair->net->device, queue, chain->head,
				   "a chain that breaks the rules → used 0");
	else
		virtio_trace_chain(&pair->net->device, queue, chain->head, "out %u+%u → %s, used 0",
				   NET_HEADER_BYTES, chain->out_bytes - NET_HEADER_BYTES,
				   error ? "dropped" : "sent");
}

/* Returns whether the chain in hand was given back; if not, there is no room for it now. */
static bool send_chain(struct net_pair *pair, enum virtq_result result)
{
	const struct virtq_chain *chain = &pair->chain;
	int error = -ENOLINK;

	if (result == VIRTQ_BAD || chain->out_bytes < NET_HEADER_BYTES) {
		sent(pair, -EPROTO);
		return true;
	}
	if (connected(pair))
		error = pair->port->ops->send(pair->port, chain->piece, chain->out,
					      chain->out_bytes);
	if (error == 0)
		pair->stuck_ns = 0;
	if (error == -ENOLINK)
		lose_peer(pair);
	if (error == -EAGAIN || pair->port->kept) {
		if (!pair->stuck_ns)
			pair->stuck_ns = clock_now_ns();
		if (error == -EAGAIN && clock_now_ns() - pair->stuck_ns < PATIENCE_NS) {
			virtq_unpop(send_ring(pair), 1);
			return false;
		}
	}
	sent(pair, error);
	return true;
}

/* Finishes what is kept of a frame. */
static void finish_frame(struct net_pair *pair)
{
	const int error = pair->port->kept ? pair->port->ops->flush(pair->port) : 0;

	if (error == -ENOLINK)
		lose_peer(pair);
	else if (!error && pair->writable)
		pair->stuck_ns = 0;
}

/* Sends BUDGET frames at most; returns whether there may be more to send at once. */
static bool send_batch(struct net_pair *pair, struct virtq *ring)
{
	for (unsigned i = 0; i < BUDGET; i++) {
		enum virtq_result result;

		if (held_back(pair, &pair->net->send_limit))
			return false;
		result = virtio_pop(&pair->net->device, 2 * pair->index + 1, &pair->chain);
		if (result == VIRTQ_EMPTY) {
			if (!virtq_ask_notify(ring, true))
				return false;
			virtq_ask_notify(ring, false);
		} else if (!send_chain(pair, result)) {
			return false;
		}
	}
	return true;
}

static bool send_frames(struct net_pair *pair)
{
	struct virtq *ring = send_ring(pair);
	bool more;

	if (!virtq_started(ring))
		return false;
	if (pair->stuck_ns)
		finish_frame(pair);
	virtq_ask_notify(ring, false);
	more = send_batch(pair, ring);
	virtq_publish(ring);
	return more;
}

/* Receiving. */

static bool holds_all_it_can(const struct net_pair *pair)
{
	/* One piece is the spill's; and a driver has no more chains than its ring has entries. */
	return pair->helds == (pair->net->mergeable ? NET_HELD_MAX : 1) ||
	       pair->helds == receive_ring(pair)->size ||
	       pair->pieces + VIRTQ_PIECES_MAX >= NET_PIECES_MAX;
}

/* Pops chains until `want` bytes are held; returns whether they are. */
static bool hold_chains(struct net_pair *pair, u32 want)
{
	struct virtq *ring = receive_ring(pair);
	struct virtq_chain *chain = &pair->chain;

	pair->blocked = false;
	for (unsigned i = 0; i < BUDGET + NET_HELD_MAX && pair->room < want; i++) {
		enum virtq_result result;

		if (holds_all_it_can(pair))
			return false;
		result = virtio_pop(&pair->net->device, 2 * pair->index, chain);
		if (result == VIRTQ_EMPTY)
			return false;
		if (result == VIRTQ_BAD || chain->in_bytes < NET_HEADER_BYTES) {
			/* In its turn only, or those that are held couldn't be put back. */
			pair->blocked = pair->helds;
			if (pair->blocked) {
				virtq_unpop(ring, 1);
				return false;
			}
			virtq_push(ring, chain->head, 0);
			count(&pair->received.drops, 1);
			continue;
		}
		memcpy(&pair->piece[pair->pieces], &chain->piece[chain->out],
		       chain->in * sizeof(chain->piece[0]));
		pair->held[pair->helds++] = (struct net_held){
			.head = chain->head, .pieces = chain->in, .bytes = chain->in_bytes};
		pair->pieces += chain->in;
		pair->room += chain->in_bytes;
	}
	return pair->room >= want;
}

/* The next frames will be as large as this one, or as some before it. */
static void expect_alike(struct net_pair *pair)
{
	if (pair->frame > pair->want)
		pair->want = pair->frame;
	else
		pair->want -= (pair->want - pair->frame) / FORGETS;
}

/* The frame lies in held chains: gives as many back as it takes. */
static void deliver(struct net_pair *pair)
{
	const bool kernels = pair->net->backend.header && pair->net->checksums;
	/* What the kernel wrote stays, where the guest knows what to do with it. */
	const u32 kept = kernels ? offsetof(struct virtio_net_hdr_v1, num_buffers) : 0;
	struct virtio_net_hdr_v1 header = {.flags = 0};
	struct virtq *ring = receive_ring(pair);
	u32 left = pair->frame, room = 0;
	unsigned chains = 0, pieces = 0;

	while (room < pair->frame) {
		room += pair->held[chains].bytes;
		pieces += pair->held[chains++].pieces;
	}
	header.num_buffers = (u16)chains;
	virtq_copy(pair->piece, pieces, kept, (u8 *)&header + kept, sizeof(header) - kept, true);
	for (unsigned i = 0; i < chains; i++) {
		const struct net_held *held = &pair->held[i];
		const u32 filled = left < held->bytes ? left : held->bytes;

		virtq_place(ring, held->head, filled);
		left -= filled;
		virtio_trace_chain(&pair->net->device, 2 * pair->index, held->head,
				   "in %u ← frame of %u, used %u", held->bytes,
				   pair->frame - NET_HEADER_BYTES, filled);
	}
	count_frame(pair, &pair->received, &pair->net->receive_limit, pair->frame);
	expect_alike(pair);
	pair->helds -= chains;
	pair->pieces -= pieces;
	pair->room -= room;
	memmove(pair->held, pair->held + chains, pair->helds * sizeof(pair->held[0]));
	memmove(pair->piece, pair->piece + pieces, pair->pieces * sizeof(pair->piece[0]));
	pair->frame = 0;
}

/* Reads a frame into the held chains and the spill; the port's answer. */
static int read_frame(struct net_pair *pair)
{
	struct iovec *spill = &pair->piece[pair->pieces];

	*spill = (struct iovec){.iov_base = pair->spill, .iov_len = NET_SPILL_BYTES};
	if (pair->discard)
		return pair->port->ops->receive(pair->port, spill, 1);
	pair->begun_room = pair->room;
	return pair->port->ops->receive(pair->port, pair->piece, pair->pieces + 1);
}

/*
 * Moves the end of a frame out of the spill. Returns false when that has to wait for the driver's
 * next buffers.
 */
static bool make_room(struct net_pair *pair)
{
	if (pair->frame <= pair->begun_room)
		return true;
	if (!hold_chains(pair, pair->frame)) {
		if (pair->net->mergeable && !holds_all_it_can(pair) && !pair->blocked)
			return false;
		forget_frame(pair);
		return true;
	}
	virtq_copy(pair->piece, pair->pieces, pair->begun_room, pair->spill,
		   pair->frame - pair->begun_room, true);
	return true;
}

enum progress { FRAME, NO_FRAME, NO_BUFFERS };

static enum progress receive_frame(struct net_pair *pair)
{
	if (!pair->frame) {
		int got;

		if (!connected(pair))
			return NO_FRAME;
		/* While a frame is under way, everything stays where it is. */
		if (!pair->port->got)
			hold_chains(pair, pair->want);
		if (pair->helds == 0 && !pair->discard)
			return NO_BUFFERS;
		got = read_frame(pair);
		if (got == -ENOLINK)
			lose_peer(pair);
		if (got == -EAGAIN || got == -ENOLINK)
			return NO_FRAME;
		if (got < 0)
			count(&pair->received.drops, 1);
		if (got < 0 || pair->discard) {
			pair->discard = false;
			return FRAME;
		}
		pair->frame = (u32)got;
	}
	if (!make_room(pair))
		return NO_BUFFERS;
	if (pair->frame)
		deliver(pair);
	return FRAME;
}

/* Receives BUDGET frames at most; returns whether there may be more to receive at once. */
static bool receive_batch(struct net_pair *pair, struct virtq *ring)
{
	for (unsigned i = 0; i < BUDGET; i++) {
		enum progress progress;

		if (held_back(pair, &pair->net->receive_limit))
			return false;
		progress = receive_frame(pair);
		if (progress == NO_FRAME) {
			pair->events = connected(pair) ? POLLIN : 0;
			return false;
		}
		if (progress == NO_BUFFERS) {
			if (!virtq_ask_notify(ring, true))
				return false;
			virtq_ask_notify(ring, false);
		}
	}
	return true;
}

static bool receive_frames(struct net_pair *pair)
{
	struct virtq *ring = receive_ring(pair);
	bool more;

	if (!pair->receives || !virtq_started(ring))
		return false;
	virtq_ask_notify(ring, false);
	more = receive_batch(pair, ring);
	/* 5.1.6.4: the driver finds all buffers of a frame or none. */
	virtq_publish(ring);
	return more;
}

/* The worker. */

static unsigned serve(void *owner)
{
	struct net_pair *pair = owner;
	struct net *net = pair->net;
	bool more = false;

	pair->moved = 0;
	pair->events = 0;
	pair->timeout_ms = -1;
	if (pair->index == 0) {
		welcome_newcomer(pair);
		more = net_serve_control(net, &pair->chain);
	}
	more = send_frames(pair) || more;
	more = receive_frames(pair) || more;
	if (pair->stuck_ns) {
		const u64 end_ns = pair->stuck_ns + PATIENCE_NS;

		pair->events |= POLLOUT;
		if (end_ns > clock_now_ns())
			wake_within(pair, loop_wait_ms(end_ns));
	}
	if (more)
		pair->timeout_ms = 0;
	return pair->moved;
}

static void wait_for_work(void *owner)
{
	struct net_pair *pair = owner;
	/* The port's, and the queues'. */
	struct pollfd fds[1 + VIRTIO_QUEUES_MAX] = {
		{.fd = pair->events ? atomic_load(&pair->port->fd) : -1, .events = pair->events}};

	pair->writable = virtio_worker_poll(&pair->worker, fds, 1, pair->timeout_ms) &&
			 fds[0].revents & POLLOUT;
}

/* The driver finds the chains that are held here where it put them. */
static void halt(void *owner)
{
	struct net_pair *pair = owner;

	if (pair->receives)
		virtq_unpop(receive_ring(pair), (u16)pair->helds);
	forget_frame(pair);
	pair->helds = pair->pieces = 0;
	pair->room = 0;
	pair->events = 0;
	pair->timeout_ms = -1;
}

void net_pair_start(struct net_pair *pair)
{
	const bool large = pair->net->guest_features & ~((u64)1 << VIRTIO_NET_F_GUEST_CSUM);
	const u16 mtu = pair->net->backend.mtu;

	/* The second pair's first queue may be the control queue. */
	pair->receives = virtio_worker_queues(&pair->worker) >> (2 * pair->index) & 1;

	/* Without segments an Ethernet header and a VLAN tag more than the MTU. */
	pair->want = NET_SPILL_BYTES;
	if (!large && mtu)
		pair->want = NET_HEADER_BYTES + 18 + (u32)mtu;
}

int net_pair_init(struct net_pair *pair, struct net *net, unsigned index)
{
	pair->net = net;
	pair->index = index;
	pair->port = &net->backend.port[index];
	pair->timeout_ms = -1;
	pair->spill = malloc(NET_SPILL_BYTES);
	pair->worker.device = &net->device;
	/* The first pair's second queue is its own whatever is negotiated: see net.c. */
	pair->worker.queue = 2 * index + 1;
	pair->worker.sandbox = SANDBOX_NET;
	pair->worker.serve = serve;
	pair->worker.wait = wait_for_work;
	pair->worker.halt = halt;
	pair->worker.owner = pair;
	return pair->spill ? 0 : -1;
}
