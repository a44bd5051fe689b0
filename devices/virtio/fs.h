/*
 * virtio-fs: a directory of the host's, by the FUSE protocol.
 *
 * The driver puts requests into a queue; any of a few threads takes the next one, does what it asks
 * for, and gives it back. Each of them sleeps in epoll_wait(2) on the queue's bell, in a way that one
 * ring wakes one thread; who takes a request while there are more wakes the next. So a slow file holds
 * one thread and no other request, and requests that come one after the other stay on one thread.
 *
 * The other queue has what must not wait behind requests (FORGET, INTERRUPT). The worker serves it,
 * and starts and stops the threads' work as the device core asks.
 *
 * Who owns what: `lock` guards the request queue's ring; what a request does is fuse.c's.
 *
 * Limits: one request queue; no DAX window, no notifications.
 *
 * Source: virtio 1.2, 5.11 "File System Device".
 */
#ifndef BANTAM_DEVICES_VIRTIO_FS_H
#define BANTAM_DEVICES_VIRTIO_FS_H

#include <linux/virtio_fs.h>

#include "devices/virtio/device.h"
#include "devices/virtio/fuse.h"
#include "devices/virtio/worker.h"

enum { FS_THREADS = 4, FS_QUEUE_SIZE = 128, FS_TAG_BYTES = 36 };

struct fs;

struct fs_thread {
	struct thread thread;
	struct fs *fs;
	int epoll_fd;
	struct virtq_chain chain;
};

struct fs {
	struct virtio_device device;
	struct virtio_fs_config config;
	struct fuse_server *server;
	struct virtio_worker worker;
	struct virtq_chain chain; /* the worker's */
	struct fs_thread thread[FS_THREADS];
	atomic_bool ending;

	pthread_mutex_t lock; /* guards what follows, and the request queue */
	bool running;
	unsigned under_way;
};

/*
 * Shares a directory under a tag of 1 to FS_TAG_BYTES bytes. Returns 0, or -1 with err set. Before: a
 * struct full of zeros.
 */
int fs_open(struct fs *fs, const struct fuse_export *export, const char *tag, struct error *err);

int fs_start_threads(struct fs *fs, const struct thread_setup *setup, struct error *err);

/* Ends the threads. Returns false when one doesn't end: then fs and guest memory have to stay. */
bool fs_close(struct fs *fs, unsigned timeout_ms);

#endif
