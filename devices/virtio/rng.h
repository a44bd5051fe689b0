/*
 * virtio-rng: entropy for the guest, from /dev/urandom.
 *
 * A quiet device: the main loop serves it. A request gets RNG_REQUEST_BYTES at most, however large
 * its buffers are, and after a queue's worth of them the main loop has its turn.
 *
 * Locks: `serving` is held while the queue is served, so that stop() on another thread finds
 * nothing under way. It comes behind the device's lock.
 *
 * Source: virtio 1.2, 5.4 "Entropy Device".
 */
#ifndef BANTAM_DEVICES_VIRTIO_RNG_H
#define BANTAM_DEVICES_VIRTIO_RNG_H

#include "devices/virtio/device.h"
#include "vmm/loop.h"

enum { RNG_QUEUE_SIZE = 64, RNG_REQUEST_BYTES = 1024 };

struct rng {
	struct virtio_device device;
	struct loop_source notified;
	pthread_mutex_t serving; /* guards running, and the queue while it is served */
	bool running;
	int source_fd;
};

/* Returns 0, or -1 with err set; rng_close() is due in both cases. */
int rng_open(struct rng *rng, struct loop *loop, struct error *err);
void rng_close(struct rng *rng);

#endif
