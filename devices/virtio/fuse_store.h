/*
 * Memory for what the guest knows of a file server's files, reserved when it is opened.
 *
 * Afterwards nothing is asked of the kernel, whose filter (sandbox.h) then lets no call through that
 * maps memory; malloc(3) would. Places are of a few sizes, each with a range of its own, so that what
 * was freed is used again for the like; the kernel gives pages to those ranges as they are touched.
 *
 * Limits: what the guest forgot is kept for what it learns next, until the server is closed.
 */
#ifndef BANTAM_DEVICES_VIRTIO_FUSE_STORE_H
#define BANTAM_DEVICES_VIRTIO_FUSE_STORE_H

#include <pthread.h>
#include <stddef.h>

#include "vmm/types.h"

enum { FUSE_STORE_SIZES = 5 };

struct fuse_store {
	pthread_mutex_t lock;
	u8 *memory;
	struct {
		u8 *start;
		u32 used; /* places that were taken ever */
		void *free;
	} range[FUSE_STORE_SIZES];
};

/* Returns 0, or -1 with errno set. */
int fuse_store_open(struct fuse_store *store);
void fuse_store_close(struct fuse_store *store);

/* As malloc(3) and free(3); NULL: there is no room for more of that size. */
void *fuse_store_take(struct fuse_store *store, size_t bytes);
void fuse_store_give(struct fuse_store *store, void *place);

#endif
