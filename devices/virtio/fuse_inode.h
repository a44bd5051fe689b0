/*
 * The inodes that the guest knows: what a node id stands for on the host.
 *
 * An inode is known by where it was last seen (parent and name) and by who it is (device and inode
 * number of the host). Its descriptor, an O_PATH one, is only a cache: when it was closed to make room,
 * the path is walked again from the nearest ancestor that has one, a component at a time, and what is
 * found has to be the same file. A file that is unlinked while the guest knows it keeps its
 * descriptor until it is found again or forgotten, for no path leads there any more.
 *
 * While no descriptor holds a file, the host may delete it and use its number again: the time of birth
 * tells the new one apart. Where statx(2) gives no such time, it is taken for the old one if it is of
 * the same type. With a descriptor the time doesn't count: overlayfs gives a file of its lower layer
 * another one when it is first written to; if its descriptor is closed then, it is lost (ESTALE) until it
 * is looked up again.
 *
 * Counts: an inode lives as long as the guest has lookups of it, somebody uses it, or it is the
 * parent of another. `lock` guards the table; descriptors are opened without it.
 *
 * Limits: FUSE_INODES_MAX inodes, paths_max descriptors and half as many of unlinked files, besides
 * those in use; what is unlinked beyond that may be lost to the guest (ESTALE) while others are used.
 */
#ifndef BANTAM_DEVICES_VIRTIO_FUSE_INODE_H
#define BANTAM_DEVICES_VIRTIO_FUSE_INODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#ifndef STATX_BTIME /* older versions of musl; beside others this can't stand */
#include <linux/stat.h>
#endif

#include "devices/virtio/fuse_store.h"
#include "vmm/types.h"

enum { FUSE_INODES_MAX = 1 << 20, FUSE_NAME_BYTES = 256, FUSE_CLOSINGS = 16 };

struct fuse_inode {
	u64 nodeid; /* place in the table and how often that was used before */
	dev_t dev;
	u64 ino;
	u64 birth; /* in ns, when it was last seen; 0: unknown */
	u32 type;  /* S_IFMT part of the mode */
	/* A directory of which the guest sees nothing; it may become one while others look. */
	atomic_bool empty;
	bool pinned; /* unlinked: the descriptor stays */
	int fd;      /* O_PATH, or -1 */
	u64 lookups;
	u32 users;    /* calls that use it now */
	u32 children; /* known inodes whose parent it is */
	struct fuse_inode *parent;
	char *name;
	struct fuse_inode *next;          /* in its bucket, or in the list of free places */
	struct fuse_inode *older, *newer; /* with a descriptor that may be closed */
};

struct fuse_inodes {
	pthread_mutex_t lock;
	struct fuse_store store;   /* all that the server remembers */
	struct fuse_inode **place; /* by nodeid */
	u32 places;
	struct fuse_inode *free, **bucket;
	u32 buckets, count;
	struct fuse_inode *oldest, *newest;
	u32 paths, paths_max; /* descriptors in that list */
	u32 pins;             /* pinned ones */
	int closing[FUSE_CLOSINGS];
	u32 closings;
	struct fuse_inode *root;
};

/* root_fd becomes the table's. Returns 0, or -1 when there is no memory. */
int fuse_inodes_init(struct fuse_inodes *inodes, int root_fd, u32 paths_max);
/* All but the root are forgotten. */
void fuse_inodes_clear(struct fuse_inodes *inodes);
void fuse_inodes_destroy(struct fuse_inodes *inodes);

/* What a node id stands for, for use until fuse_inode_put(); NULL: nothing. */
struct fuse_inode *fuse_inode_get(struct fuse_inodes *inodes, u64 nodeid);
void fuse_inode_put(struct fuse_inodes *inodes, struct fuse_inode *inode);

/* Its descriptor, which stays open until fuse_inode_put(); or -errno (ESTALE: it isn't there now). */
int fuse_inode_path(struct fuse_inodes *inodes, struct fuse_inode *inode);

/*
 * The inode of a file found as name in a directory, with one lookup more. fd: its O_PATH descriptor,
 * which becomes the table's, or -1. empty: the guest sees nothing of it. For use as fuse_inode_get()'s;
 * NULL: there is no room.
 */
struct fuse_inode *fuse_inode_found(struct fuse_inodes *inodes, struct fuse_inode *parent,
				    const char *name, const struct statx *status, int fd,
				    bool empty);

/* The guest forgets lookups of it. */
void fuse_inode_forget(struct fuse_inodes *inodes, u64 nodeid, u64 lookups);

/* The known inode that a name in a directory leads to, with a descriptor if it can, for use; or NULL. */
struct fuse_inode *fuse_inode_at(struct fuse_inodes *inodes, struct fuse_inode *parent,
				 const char *name);
/*
 * The name of an inode is gone: one that is known by it keeps the descriptor that it has. And: it is
 * known by another name from now on. In use, or NULL.
 */
void fuse_inode_unlinked(struct fuse_inodes *inodes, struct fuse_inode *inode,
			 const struct fuse_inode *parent, const char *name);
void fuse_inode_moved(struct fuse_inodes *inodes, struct fuse_inode *inode,
		      struct fuse_inode *parent, const char *name);

/* What a name in a directory leads to, following nothing, or "": the descriptor itself. As stat(2). */
int fuse_status(int fd, const char *name, struct statx *status);
dev_t fuse_device(const struct statx *status);

/* Opens a component of a path, without following anything, below a directory. -errno on failure. */
int fuse_open_beneath(int directory, const char *name, int flags, u32 mode);

/* The same with openat2(2)'s own RESOLVE_… bits. */
int fuse_open_at(int directory, const char *name, int flags, u32 mode, u32 resolve);

#endif
