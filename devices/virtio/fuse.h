/*
 * A file server for the FUSE protocol, as virtio-fs carries it: requests in, replies out. It knows
 * nothing of virtio, queues or threads' ends; tests call it with buffers of their own.
 *
 * (theory of operation: to be written here: inodes, confinement, ids, cache)
 */
#ifndef BANTAM_DEVICES_VIRTIO_FUSE_H
#define BANTAM_DEVICES_VIRTIO_FUSE_H

#include <sys/uio.h>

#include "vmm/error.h"
#include "vmm/types.h"

enum fuse_cache { FUSE_CACHE_AUTO, FUSE_CACHE_NONE, FUSE_CACHE_ALWAYS };

/* What is shared, and how. */
struct fuse_export {
	const char *directory; /* host path */
	bool read_only;
	enum fuse_cache cache;
	/* uids and gids that are each other's image: the host's user and COMMAND's; equal: no change */
	u32 host_uid, guest_uid, host_gid, guest_gid;
	unsigned
		shares; /* servers in this process, among which its descriptors are divided; 0: 1 */
	/* Directories (host paths) that appear empty; NULL ends the list; or NULL. */
	const char *const *hidden;
};

struct fuse_server;

/* Opens the directory; everything afterwards goes by descriptors. Returns 0, or -1 with err set. */
int fuse_open(struct fuse_server **server, const struct fuse_export *export, struct error *err);

/*
 * Serves one request; for any number of threads at once. in: the request's pieces, out: room for the
 * reply; both are guest memory and may change under us: everything is copied once before it is looked
 * at, data of reads and writes aside. Returns the bytes of the reply, from the first on; 0: there is
 * none (FORGET, or no room for a header).
 */
size_t fuse_serve(struct fuse_server *server, const struct iovec *in, unsigned ins,
		  const struct iovec *out, unsigned outs);

/* Forgets what a driver has looked up and opened; what is being used goes when that is done. */
void fuse_reset(struct fuse_server *server);

void fuse_close(struct fuse_server *server);

#endif
