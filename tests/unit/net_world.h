/*
 * A network device with workers of its own, a guest (virtio_rig.h), and the test as the peer at the
 * other end of a socket pair.
 *
 * The pair is a stream in passt's framing; or, in the place of a tap, datagrams of a header and a
 * frame, with switches that only count how they are set.
 */
#ifndef BANTAM_TESTS_UNIT_NET_WORLD_H
#define BANTAM_TESTS_UNIT_NET_WORLD_H

#include "devices/virtio/net.h"
#include "tests/unit/virtio_rig.h"

enum { HEADER = NET_HEADER_BYTES, RX = 0, TX = 1 };

#define NET_BIT(name) ((u64)1 << VIRTIO_NET_F_##name)

#define NET_FEATURES                                                                               \
	(VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX | NET_BIT(MAC) |               \
	 NET_BIT(STATUS))

/* Where the guest's buffers for sending and receiving lie: the last of the memory is unused. */
#define TX_AT ((u64)0x100000)
#define RX_AT ((u64)0x200000)

struct net_world {
	struct rig rig;
	struct net net;
	int peer;
	atomic_uint lost; /* calls of net.lost */

	/* The tap that isn't one. */
	atomic_uint offloads; /* as they were set last */
	atomic_uint attached; /* ports, as bits */
	int tap_peer[NET_PAIRS_MAX];
};

/* Opens the device with a stream, or with a tap's stand-in of so many pairs. Not started. */
void net_world_stream(struct net_world *world);
void net_world_tap(struct net_world *world, unsigned pairs);
void net_world_destroy(struct net_world *world);

/* As cmocka's set-up and tear-down: a stream; started with mergeable buffers. */
int net_set_up(void **state);
int net_tear_down(void **state);

/* Gives the device a buffer to fill, at RX_AT + offset. */
void give_buffer(struct net_world *world, u64 offset, u32 bytes);

/* Sends header and frame, at TX_AT, in pieces of at most `piece` bytes, and waits: the used length. */
u32 send_to_device(struct net_world *world, u32 bytes, u32 piece);

/* As the stream's peer: sends a frame whose bytes come from seed; takes one, and checks it. */
void peer_sends(struct net_world *world, u32 bytes, u32 seed);
void peer_expects(struct net_world *world, const u8 *frame, u32 bytes);

/* Waits until the device has read all that was written to the peer's end. */
void peer_drained(int peer);

/* The peer reads or writes exactly so many bytes. */
void read_all(int fd, void *bytes, size_t count);
void write_all(int fd, const void *bytes, size_t count);

/* Waits for a frame in one buffer at RX_AT + offset: what peer_sends() sent. */
void expect_frame(struct net_world *world, u64 offset, u32 bytes, u32 seed);

struct net_totals received(struct net_world *world);
struct net_totals sent(struct net_world *world);

/* Waits until so many frames were dropped. */
void wait_drops(struct net_world *world, struct net_totals (*which)(struct net_world *), u64 drops);

/* Waits until the link is as said, and the driver was told. */
void wait_link(struct net_world *world, bool up);

#endif
