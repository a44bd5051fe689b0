/*
 * The host's end of a network: what frames go to and come from.
 *
 * A port carries whole Ethernet frames, each behind the twelve bytes of virtio's header, between
 * pieces of memory (the guest's own) and a descriptor that doesn't block. A tap (net_tap.c) has one
 * port for each pair of queues, and the kernel reads and writes the header: what it says of
 * checksums and segments is the kernel's to do. A stream socket (net_stream.c) has one port, and
 * frames without offloads.
 *
 * Ownership: a port belongs to the worker of its pair of queues, but for set_offloads() and attach().
 */
#ifndef BANTAM_DEVICES_VIRTIO_NET_PORT_H
#define BANTAM_DEVICES_VIRTIO_NET_PORT_H

#include <linux/if_tun.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "vmm/error.h"
#include "vmm/types.h"

enum {
	NET_HEADER_BYTES = 12, /* struct virtio_net_hdr_v1 */
	NET_FRAME_MIN = 14,    /* two addresses and a type */
	NET_FRAME_MAX = 65535, /* of a stream's frames */
	NET_TAP_MAX =
		65535 + 18, /* of a tap's: the largest IP packet, an Ethernet header, a VLAN tag */
	NET_PIECES_MAX = 768, /* that a caller hands to a port at once */
	NET_PAIRS_MAX = 7,    /* two queues each and one for control: VIRTIO_QUEUES_MAX */
};

/* Segmentation of UDP by a tap: the C library's headers may be older than it (Linux 6.2). */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* All that a tap may be able to do: bits in TUNSETOFFLOAD. */
#define NET_TAP_USO      ((u32)(TUN_F_USO4 | TUN_F_USO6))
#define NET_TAP_OFFLOADS (NET_TAP_USO | (u32)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN))

struct net_port;

struct net_port_ops {
	/*
	 * Receives a frame into the pieces, which have room for the largest. Returns how many bytes
	 * came, with the header; -EAGAIN when there is none, or not all of it (port->got tells, and
	 * the next call is for the same pieces); -ENOLINK when the peer is gone; another negative
	 * errno for a frame that is lost.
	 */
	int (*receive)(struct net_port *port, const struct iovec *piece, unsigned pieces);
	/*
	 * Sends a header and a frame. Returns 0; -EAGAIN when there is no room, -ENOLINK when the
	 * peer is gone, another negative errno for a frame that nobody takes.
	 */
	int (*send)(struct net_port *port, const struct iovec *piece, unsigned pieces, u32 bytes);
	/* Sends what is kept of a frame (port->kept): 0, -EAGAIN, -ENOLINK. NULL: nothing is kept. */
	int (*flush)(struct net_port *port);
	/* Which work the guest takes over on what it receives (TUN_F_…); or NULL. */
	void (*set_offloads)(struct net_port *port, u32 offloads);
	/* Whether frames are dealt out to this port too; or NULL. */
	void (*attach)(struct net_port *port, bool attach);
};

struct net_port {
	const struct net_port_ops *ops;
	atomic_int fd;        /* -1: nobody is there */
	atomic_uint offloads; /* TUN_F_…, as they were set last */

	/* A stream's: the length of the next frame as far as it is known, and what came of it. */
	u8 prefix[4];
	u32 prefix_got, got;
	/* The end of a frame that was sent in part. */
	u8 *rest; /* NET_FRAME_MAX + 4 */
	u32 kept, rest_at;
};

/* All ports of a network, and what is known of the host's end. */
struct net_backend {
	struct net_port port[NET_PAIRS_MAX];
	unsigned pairs;
	bool header;  /* ports take and give virtio's header */
	u32 offloads; /* TUN_F_… that set_offloads() knows */
	u16 mtu;      /* 0: unknown */
};

/* Makes a backend without a host's end, that net_backend_close() can close. */
void net_backend_init(struct net_backend *backend);
void net_backend_close(struct net_backend *backend);

/* Closes a port's descriptor, and forgets what was under way. */
void net_port_hang_up(struct net_port *port);

/*
 * Opens a tap by its name, which is created where that is allowed, or takes one over by a descriptor;
 * the backend owns that then, also after an error. Return 0, or -1 with err set.
 */
int net_tap_open(struct net_backend *backend, const char *name, unsigned queues, struct error *err);
int net_tap_adopt(struct net_backend *backend, int fd, struct error *err);

/*
 * A tap that was deleted is there again: joins its old descriptor to it. asking: any socket of its
 * network namespace. Returns whether it is; it is not made anew.
 */
bool net_tap_again(int asking, int fd, const char *name);

/* Whether a descriptor is a tun device's. */
bool net_tap_is(int fd);

/* The same for a connected stream socket. */
int net_stream_adopt(struct net_backend *backend, int fd, struct error *err);

/* Connects to a stream socket in the file system. Returns a descriptor, or a negative errno. */
int net_stream_connect(const char *path);

#endif
