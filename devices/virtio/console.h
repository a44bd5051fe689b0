/*
 * virtio-console: byte streams between the guest and the host, called ports.
 *
 * A port has a queue in each direction. Port 0 is a terminal, which Linux takes as the console hvc0;
 * the others are found by their names, and are character devices to programs. The device knows
 * nothing of what lies behind a port on the host: it hands over pieces of guest memory, and is told
 * how many bytes were taken, or filled. Where that is fewer, the chain stays in the ring with the
 * place it got to, and the device waits for the descriptor that the port names; so a slow reader is
 * felt by whoever writes in the guest, and nothing is held here.
 *
 * With only port 0 there is no control queue: a driver finds one port, and no more. With others the
 * driver and the device agree on them by messages (VIRTIO_CONSOLE_F_MULTIPORT); what the device has
 * to say about a port is a set of bits, sent when the driver has buffers for it.
 *
 * All ports are served by one worker, which calls the ports' functions.
 *
 * What a driver gets wrong costs it that chain, or that message.
 *
 * Limits: ports are there, and open on the host's side, from the start to the end. The window size
 * of port 0 isn't told.
 *
 * Source: virtio 1.2, 5.3 "Console Device".
 */
#ifndef BANTAM_DEVICES_VIRTIO_CONSOLE_H
#define BANTAM_DEVICES_VIRTIO_CONSOLE_H

#include <linux/virtio_console.h>

#include "devices/virtio/device.h"
#include "devices/virtio/worker.h"

enum { VCONSOLE_PORTS_MAX = 4, VCONSOLE_QUEUE_SIZE = 64 };

/* What lies behind a port. */
struct vconsole_port {
	const char *name; /* NULL: port 0's; the others have one */

	/*
	 * On the worker. take() is given bytes of the guest's, and returns how many it took; give()
	 * is given room in the guest, and returns how many bytes it filled. 0: nothing can be done
	 * until the descriptor is ready, or somebody calls vconsole_wake(). give() is only called when
	 * its descriptor is ready, or below 0. Both functions may change the descriptors.
	 */
	size_t (*take)(void *owner, const struct iovec *piece, unsigned pieces);
	size_t (*give)(void *owner, const struct iovec *piece, unsigned pieces);
	int take_fd, give_fd; /* for POLLOUT and POLLIN */
	void *owner;

	/* The worker's. */
	bool opened;                 /* by a program in the guest */
	bool take_waits, give_waits; /* for the descriptor */
	bool give_ready;             /* it was ready when last looked at */
	u32 messages;                /* to send: their events, as bits */
};

struct vconsole {
	struct virtio_device device;
	struct virtio_console_config config;
	struct virtio_worker worker;
	struct vconsole_port port[VCONSOLE_PORTS_MAX];
	unsigned ports;                /* highest used and one */
	bool multiport;                /* as negotiated; set while the worker is stopped */
	bool more;                     /* there may be work left: no sleep */
	u32 offset[VIRTIO_QUEUES_MAX]; /* bytes of each queue's first chain that were taken */
	struct virtq_chain chain;
};

/*
 * Makes the device. Ports are set by the caller before; ports: how many of them may be used, 1 to
 * VCONSOLE_PORTS_MAX. Returns 0, or -1 with err set. virtio_device_close() ends it.
 */
int vconsole_open(struct vconsole *console, unsigned ports, struct error *err);

/* Has the worker call the ports again; for any thread. */
void vconsole_wake(struct vconsole *console);

#endif
