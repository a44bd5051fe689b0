/*
 * virtio-net: a network interface.
 *
 * Frames go straight between the guest's buffers and the host's descriptor (net_port.h). Each pair
 * of queues has a worker (net_pair.c), which sleeps in poll(2) until the guest notifies or the
 * descriptor is ready, moves some dozens of frames, and interrupts once for all of them. The worker
 * of the first pair also answers the control queue (net.c).
 *
 * The link is up as long as there is somebody at the other end. When that one goes, the driver is
 * told, and what it sends is dropped and counted; when somebody else takes the place (net_adopt()),
 * the link is up again.
 *
 * What a driver gets wrong costs it that frame: a chain shorter than the header, a frame that is too
 * long or that the kernel refuses for what its header says.
 *
 * Where the user limits the rate, each direction of all pairs together has its own: while there are no
 * tokens, the guest's frames stay in its rings, and those for the guest in the descriptor.
 *
 * Limits: every frame is let in, so there are no commands for filters or VLANs; no RSS, no
 * announcements.
 *
 * Source: virtio 1.2, 5.1 "Network Device"; segmentation of UDP as in virtio 1.3.
 */
#ifndef BANTAM_DEVICES_VIRTIO_NET_H
#define BANTAM_DEVICES_VIRTIO_NET_H

#include <linux/if_ether.h>
#include <linux/virtio_net.h>

#include "devices/virtio/device.h"
#include "devices/virtio/limit.h"
#include "devices/virtio/net_port.h"
#include "devices/virtio/worker.h"

enum {
	NET_QUEUE_SIZE = 256,
	NET_CONTROL_NONE = VIRTIO_QUEUES_MAX, /* net.control without a control queue */
};

/* Written by the pair's worker alone. */
struct net_counts {
	atomic_ullong frames, bytes, drops;
};

struct net_totals {
	u64 frames, bytes, drops;
};

struct net_pair;

struct net {
	struct virtio_device device;
	struct net_backend backend;
	struct virtio_net_config config;        /* as the driver reads it; guarded by device.lock */
	struct net_pair *pair;                  /* one for each of the backend's */
	struct limit receive_limit, send_limit; /* of the guest; set before the workers start */

	/* As negotiated; set while the workers are stopped. */
	bool mergeable;     /* a frame may lie in several chains */
	bool checksums;     /* the guest takes frames whose checksum is to be finished */
	unsigned multi;     /* how many pairs the driver may use, 0: it knows of one */
	unsigned control;   /* the control queue, or NET_CONTROL_NONE */
	u64 guest_features; /* offloads that the driver may switch */

	atomic_uint active; /* pairs that the driver uses */
	atomic_bool link;   /* somebody is at the other end */
	atomic_int
		retired; /* the descriptor of a tap that was deleted, to be joined again; or -1 */
	atomic_int newcomer; /* a descriptor that takes the place of one that is gone, or -1 */
	void (*lost)(void *owner); /* the other end is gone: called by a worker; or NULL */
	void *owner;
};

/* Makes a device that net_close() can close. Its backend is opened by the caller. */
void net_init(struct net *net);

/* Describes the device. Returns 0, or -1 with err set. */
int net_open(struct net *net, const u8 *mac, struct error *err);

int net_start_workers(struct net *net, const struct thread_setup *setup, struct error *err);

/* Another thread has a new connection for a backend whose link is down. */
void net_adopt(struct net *net, int fd);

/* Adds what all pairs have counted. */
void net_count(const struct net *net, struct net_totals *received, struct net_totals *sent);

/* Ends the workers. Returns false when one doesn't end: then net and guest memory have to stay. */
bool net_close(struct net *net, unsigned timeout_ms);

/* For the pairs' workers: the link goes up or down. */
void net_set_link(struct net *net, bool up);

/* For the first pair's worker: answers the control queue. Returns whether more may wait there. */
bool net_serve_control(struct net *net, struct virtq_chain *chain);

#endif
