/*
 * A pair of virtio-net's queues and the worker that moves frames through it: see net_pair.c.
 */
#ifndef BANTAM_DEVICES_VIRTIO_NET_PAIR_H
#define BANTAM_DEVICES_VIRTIO_NET_PAIR_H

#include "devices/virtio/net.h"

enum {
	NET_HELD_MAX = 128,
	NET_SPILL_BYTES = NET_HEADER_BYTES + NET_TAP_MAX,
};

/* A receive chain that was popped and waits for its frame. */
struct net_held {
	u16 head;
	u16 pieces;
	u32 bytes;
};

/* Belongs to the worker's thread. */
struct net_pair {
	struct virtio_worker worker;
	struct net *net;
	struct net_port *port;
	unsigned index;
	struct virtq_chain chain; /* the one in hand */
	bool receives;            /* its first queue is its own */

	/* Chains for what comes next, and their pieces in a row, with room for one of our own. */
	struct net_held held[NET_HELD_MAX];
	struct iovec piece[NET_PIECES_MAX];
	unsigned helds, pieces;
	u32 room;     /* bytes of them */
	u32 want;     /* so much room the next frame may take, by those before it */
	bool blocked; /* the next chain breaks the rules, and waits for its turn */

	u32 begun_room; /* room when the frame began; what has no room there is in spill */
	u32 frame;      /* a whole frame that waits for room: its bytes with the header; or 0 */
	bool discard;   /* the rest of the frame that has begun goes nowhere */
	u8 *spill;      /* NET_SPILL_BYTES */

	u64 stuck_ns; /* since when the peer hasn't taken a frame; 0: it does */

	/* What wait() waits for besides notifications, and whether the peer took frames again. */
	short events;
	int timeout_ms;
	bool writable;

	unsigned moved; /* frames since the worker woke */
	struct net_counts received, sent;
};

/* Returns 0, or -1 when there is no memory. */
int net_pair_init(struct net_pair *pair, struct net *net, unsigned index);

/* Before its worker runs: as negotiated. */
void net_pair_start(struct net_pair *pair);

#endif
