/*
 * A virtio network device's frames (virtio 1.2, 5.1.6): each stands behind a header that says which
 * work on it is left to the other side. Queue 0 is for what comes, queue 1 for what goes.
 */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include "virtio.h"

/* Feature bits, 5.1.3. */
#define NET_F_CSUM          (1ull << 0)
#define NET_F_GUEST_CSUM    (1ull << 1)
#define NET_F_CTRL_OFFLOADS (1ull << 2)
#define NET_F_MAC           (1ull << 5)
#define NET_F_GUEST_TSO4    (1ull << 7)
#define NET_F_HOST_TSO4     (1ull << 11)
#define NET_F_HOST_TSO6     (1ull << 12)
#define NET_F_MERGEABLE     (1ull << 15)
#define NET_F_STATUS        (1ull << 16)
#define NET_F_CTRL_VQ       (1ull << 17)
#define NET_F_MQ            (1ull << 22)

/* Device configuration, 5.1.4. */
#define NET_CONFIG_MAC 0

enum { NET_RECEIVE = 0, NET_SEND = 1 };

/* 5.1.6: flags and types of segmentation. */
#define NET_NEEDS_CHECKSUM 1u
#define NET_GSO_TCP4       1u
#define NET_GSO_UDP        3u
#define NET_GSO_TCP6       4u
#define NET_GSO_UDP_L4     5u
#define NET_GSO_ECN        0x80u

struct net_header {
	u8 flags, gso_type;
	u16 header_length, gso_size, checksum_start, checksum_offset;
	u16 buffers; /* that a frame came in, with NET_F_MERGEABLE */
};

#define NET_FRAME_MAX 65535u
#define NET_BUFFER    4096u /* a receive buffer; RING_SIZE of them hold the longest frame */

/* An Ethernet frame's beginning; the type is in network byte order. */
struct net_ethernet {
	u8 to[6], from[6];
	u8 type[2];
};

#define NET_TYPE_HIGH 0x88 /* 0x88b5: for experiments, IEEE 802 */
#define NET_TYPE_LOW  0xb5

/*
 * Finds the first network device and takes it into use, with its receive buffers given to it.
 * `wanted`: the features to use of those that are offered. A device without NET_F_MERGEABLE gets
 * few buffers, which hold the longest frame.
 */
bool net_find(struct virtio *v, enum virtio_bus bus);
bool net_start(struct virtio *v, u64 wanted, enum virtio_irq irq);
void net_read_mac(const struct virtio *v, u8 mac[6]);

/* Gives all receive buffers anew; the queue has to be as it was described. */
void net_give_buffers(struct virtio *v);

/* Sends a frame, and waits until the device has taken it. header: or NULL for one of zeroes. */
void net_send(struct virtio *v, const struct net_header *header, const void *frame, u32 bytes);

/*
 * Takes a frame into `frame`, which has NET_FRAME_MAX bytes, and gives its buffers back to the
 * device. Returns its length, or 0 when there is none yet.
 */
u32 net_take(struct virtio *v, void *frame);

#endif
