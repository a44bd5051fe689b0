/*
 * virtio-blk: a disk.
 *
 * A request is one chain: a header to read (type and sector), the data, and a status byte to write.
 * block.c checks it against the disk and makes of it one disk_op, whose pieces are the guest's own
 * memory; what the disk answers becomes the status byte. Each queue has a worker of its own.
 *
 * What a driver gets wrong is answered with IOERR or UNSUPP in the status byte; a chain without
 * room for one goes back with length 0.
 *
 * Where the user limits the disk's rate, a queue's chains stay in its ring while there are no tokens,
 * and a timer wakes the worker when there are. Every chain counts as a request; bytes are those of
 * reads, writes and zeroes.
 *
 * Limits: no lifetime, secure-erase or zoned requests. At most BLOCK_SEGMENTS pieces of data a
 * request and BLOCK_RANGES ranges a discard, as the configuration tells the driver.
 *
 * Source: virtio 1.2, 5.2 "Block Device".
 */
#ifndef BANTAM_DEVICES_VIRTIO_BLOCK_H
#define BANTAM_DEVICES_VIRTIO_BLOCK_H

#include <linux/virtio_blk.h>

#include "devices/virtio/device.h"
#include "devices/virtio/disk.h"
#include "devices/virtio/limit.h"
#include "devices/virtio/worker.h"

enum {
	BLOCK_QUEUE_SIZE = 128,
	BLOCK_SEGMENTS = VIRTQ_PIECES_MAX - 2, /* header and status take two */
	BLOCK_RANGES = 16,
};

struct block_queue;

struct block {
	struct virtio_device device;
	struct disk disk;
	struct limit limit;
	struct virtio_blk_config config; /* as the driver reads it; guarded by device.lock */
	atomic_bool writeback;           /* the guest flushes; else each write is made durable */
	struct block_queue *queue;       /* one for each of the device's queues */
};

/* Makes a device that block_close() can close. */
void block_init(struct block *block);

/*
 * Opens the disk and describes the device. Returns 0, or -1 with err set to a line that names the
 * image.
 */
int block_open(struct block *block, const struct disk_config *config, struct error *err);

/*
 * Starts the workers. rings: the descriptors that interrupt the driver. Returns 0, or -1 with err
 * set.
 */
int block_start_workers(struct block *block, const struct thread_setup *setup, const int *rings,
			unsigned count, struct error *err);

/* What the workers' I/O is done by. */
enum io_engine_kind block_engine(const struct block *block);

/*
 * Ends the workers, and then the disk. Returns false when requests hang: then block and guest memory
 * have to stay.
 */
bool block_close(struct block *block, unsigned timeout_ms);

#endif
