/*
 * virtio-rng: see rng.h.
 */
#include "devices/virtio/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include "vmm/bell.h"
#include "vmm/readwrite.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(rng, CALL(preadv2, SANDBOX_MAIN, "entropy for the guest"));

/* Fills a chain; returns how many bytes it got. */
static u32 fill(const struct rng *rng, const struct virtq_chain *chain)
{
	u8 bytes[RNG_REQUEST_BYTES];
	const u32 wanted = chain->in_bytes < sizeof(bytes) ? chain->in_bytes : (u32)sizeof(bytes);
	ssize_t got;

	if (wanted == 0)
		return 0;
	do
		got = io_read(rng->source_fd, bytes, wanted);
	while (got < 0 && errno == EINTR);
	return got > 0 ? virtq_write(chain, 0, bytes, (u32)got) : 0;
}

/* Serves up to a queue's worth; returns false when the ring can't be read. */
static bool serve(struct rng *rng)
{
	struct virtq *queue = &rng->device.queue[0];
	struct virtq_chain chain;

	for (unsigned count = 0; count < RNG_QUEUE_SIZE; count++) {
		const enum virtq_result result = virtq_pop(queue, &chain);
		u32 written;

		if (result == VIRTQ_BROKEN)
			return false;
		if (result == VIRTQ_EMPTY && !virtq_ask_notify(queue, true))
			return true;
		if (result == VIRTQ_EMPTY)
			continue;
		written = result == VIRTQ_CHAIN ? fill(rng, &chain) : 0;
		virtq_push(queue, chain.head, written);
		virtio_trace_chain(&rng->device, 0, chain.head, "in %u → used %u", chain.in_bytes,
				   written);
	}
	/* There may be more: come back after the others. */
	virtio_notify(&rng->device, 0);
	return true;
}

static void notified(void *owner)
{
	struct rng *rng = owner;
	bool readable = true;

	(void)bell_silence(rng->notified.fd);
	pthread_mutex_lock(&rng->serving);
	if (rng->running) {
		readable = serve(rng);
		virtio_signal(&rng->device, 0, NULL);
	}
	pthread_mutex_unlock(&rng->serving);
	if (!readable)
		virtio_device_broken(&rng->device, "its ring can't be read");
}

static void set_running(struct virtio_device *device, bool running)
{
	struct rng *rng = CONTAINER_OF(device, struct rng, device);

	pthread_mutex_lock(&rng->serving);
	rng->running = running;
	pthread_mutex_unlock(&rng->serving);
}

static void rng_start(struct virtio_device *device)
{
	set_running(device, device->regs.queue[0].enabled);
}

static bool rng_stop(struct virtio_device *device)
{
	set_running(device, false);
	return true;
}

static const struct virtio_class rng_class = {
	.name = "entropy",
	.id = 4,
	.pci_class = 0xff0000, /* none of PCI's classes fits */
	.start = rng_start,
	.stop = rng_stop,
};

int rng_open(struct rng *rng, struct loop *loop, struct error *err)
{
	struct virtio_device *device = &rng->device;

	u8 first;

	pthread_mutex_init(&rng->serving, NULL);
	/* This file doesn't wait for the host's entropy; once there is some, it need not. */
	rng->source_fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	if (rng->source_fd < 0 || getrandom(&first, sizeof(first), 0) < 0)
		return error_errno(err, "no random numbers from /dev/urandom");
	device->features = VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX;
	device->queues = 1;
	device->queue_size_max = RNG_QUEUE_SIZE;
	if (virtio_device_init(device, &rng_class, err))
		return -1;
	rng->notified = (struct loop_source){.fd = device->queue[0].notify_fd,
					     .events = POLLIN,
					     .ready = notified,
					     .owner = rng};
	return loop_add(loop, &rng->notified, err);
}

void rng_close(struct rng *rng)
{
	if (!rng->device.class)
		return;
	virtio_device_destroy(&rng->device);
	close(rng->source_fd);
	pthread_mutex_destroy(&rng->serving);
}
