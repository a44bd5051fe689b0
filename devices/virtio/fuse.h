/*
 * A file server for the FUSE protocol, as virtio-fs carries it: requests in, replies out. It knows
 * nothing of virtio, queues or devices; tests call it with buffers of their own.
 *
 * The guest's kernel asks for names in directories (LOOKUP) and gets node ids, by which it asks
 * for all else; it says how often it has forgotten each (FORGET). fuse_inode.c knows what a node
 * id stands for, fuse_tree.c makes, finds and removes names, fuse_file.c has the open files,
 * fuse_attr.c the rest.
 *
 * Confinement. A name is one component, and is opened below a directory that the guest has looked
 * up, without following anything: no path of the guest's reaches the kernel, symbolic links are
 * the guest's to resolve, and neither "..", a link nor a directory that is moved meanwhile leads
 * out. Only regular files and directories are opened. Device nodes aren't made, nor files that are
 * executed with somebody else's rights; of extended attributes the guest has those of `user.`.
 * File systems that are windows into the kernel (proc, sysfs) and directories that are to be
 * hidden appear empty.
 *
 * Ids. The host's user and the one that COMMAND runs as are each other's image, or all ids are as
 * they are. Run by root, what is made belongs to who asked for it; otherwise to the host's user.
 *
 * Limits: locks are the guest's own, not the host's; the guest isn't told of changes on the host,
 * but asks again after a second (cache=auto). All numbers of things are bounded: inodes, open
 * files, descriptors.
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
	/* How many it may have: half for open files, a quarter for paths, an eighth for unlinked files. */
	u32 descriptors;
	/* Directories (host paths) that appear empty; NULL ends the list; or NULL. */
	const char *const *hidden;
};

struct fuse_server;
struct trace;

/* Opens the directory; everything afterwards goes by descriptors. Returns 0, or -1 with err set. */
int fuse_open(struct fuse_server **server, const struct fuse_export *export, struct error *err);

/* The directory's descriptor, and whether the guest may change what is below it. */
int fuse_root(const struct fuse_server *server, bool *writable);

/*
 * Serves one request; for any number of threads at once. in: the request's pieces, out: room for the
 * reply, VIRTQ_PIECES_MAX of each at most; both are guest memory and may change under us: everything
 * is copied once before it is looked at, data of reads and writes aside. Returns the bytes of the
 * reply, from the first on; 0: there is none (FORGET, or no room for a header).
 */
size_t fuse_serve(struct fuse_server *server, const struct iovec *in, unsigned ins,
		  const struct iovec *out, unsigned outs);

/* Its requests are shown in the trace, where that wants them. Before there are any. */
void fuse_trace(struct fuse_server *server, struct trace *trace);

/* Forgets what a driver has looked up and opened; what is being used goes when that is done. */
void fuse_reset(struct fuse_server *server);

void fuse_close(struct fuse_server *server);

#endif
