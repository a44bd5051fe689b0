/*
 * What the files of the file server share: see fuse.h.
 */
#ifndef BANTAM_DEVICES_VIRTIO_FUSE_SERVER_H
#define BANTAM_DEVICES_VIRTIO_FUSE_SERVER_H

#include <limits.h>
#include <linux/fuse.h>
#include <linux/limits.h>

#include "devices/virtio/fuse.h"
#include "devices/virtio/fuse_inode.h"

enum {
	/* A request without its data: the largest is FUSE_SETXATTR with a value of 64 KiB. */
	FUSE_BODY_BYTES = 4096 + XATTR_SIZE_MAX,
	FUSE_WRITE_BYTES = 1 << 20, /* the most that is read or written at once */
	FUSE_LIST_BYTES = 2048,     /* of a directory's entries are read at once */
	FUSE_HIDDEN_MAX = 16,
};

/* An open file or directory. */
struct fuse_handle {
	int fd; /* -1: free */
	u64 nodeid;
	u32 place, users;
	bool closing;            /* nobody gets it any more */
	pthread_mutex_t lock;    /* guards what follows, and the descriptor's position */
	u64 at;                  /* a directory: behind the last entry that the guest got */
	char *list;              /* what was read of it, or NULL … */
	u32 list_at, list_bytes; /* … and the part that the guest has yet to get */
	bool ended;              /* nothing comes behind that */
};

struct fuse_server {
	struct trace *trace; /* or NULL */
	struct fuse_export export;
	struct fuse_inodes inodes;
	dev_t dev;    /* of the root */
	int paths_fd; /* /proc/self/fd: descriptors as paths */
	bool as_root; /* files can be given away */
	gid_t gid;    /* what is made has it */
	u64 valid_s;  /* how long the guest may keep names and attributes */
	struct {
		dev_t dev;
		ino_t ino;
	} hidden[FUSE_HIDDEN_MAX];
	unsigned hiddens;

	pthread_mutex_t lock; /* guards the handles' table */
	struct fuse_handle **handle;
	u32 handles, handles_max;
	u32 first_free; /* none below it is free */
};

/* A request that is being served. */
struct fuse_request {
	struct fuse_server *server;
	struct fuse_in_header head;
	const void *body; /* a copy of what follows the header, a NUL behind it; no data */
	u32 bytes, taken; /* of the body, and how many of them are behind us */
	const struct iovec *in, *out; /* in guest memory */
	unsigned ins, outs;
	u32 room; /* for the reply's body */
	/* What the table of calls has said it needs: */
	const char *name;           /* what follows the struct that the body begins with */
	struct fuse_handle *handle; /* by the body's first number */
	struct fuse_inode *inode;   /* of the header's node id; its descriptor is open */
	char shown[64];             /* the name, for the trace */
};

/*
 * What serves a request; the body is as long as the table of calls says. Returns how many bytes of a
 * body it put into the reply, or -errno.
 */
typedef long fuse_call(struct fuse_request *request);

/* Puts bytes into the reply's body; returns how many there are now, or -errno. */
long fuse_reply(struct fuse_request *request, u32 offset, const void *from, u32 bytes);

/* Takes a text of 1 to `most` bytes and its NUL off the body; NULL: there is none. */
const char *fuse_text(struct fuse_request *request, size_t most);

/* The same with a name of one component: ".", ".." and those with a slash are none. */
const char *fuse_name(struct fuse_request *request);

/*
 * An inode whose descriptor is open, to be put; or -errno and NULL. directory: only one in which names
 * can be changed.
 */
int fuse_get(struct fuse_request *request, u64 nodeid, bool directory, struct fuse_inode **inode);

/* "N" under paths_fd: a descriptor as a path that is followed. text: 12 bytes. */
const char *fuse_path_name(char *text, int fd);

/* fuse_file.c: open files. */
/* The handle, if it is one of this inode's; or NULL. */
struct fuse_handle *fuse_handle_get(struct fuse_server *server, u64 nodeid, u64 fh);
void fuse_handle_put(struct fuse_server *server, struct fuse_handle *handle);
void fuse_handles_close(struct fuse_server *server);
/*
 * Replies an entry that was just made and the handle of its open file. fd becomes the handle's, or is
 * closed; result: what entering it gave.
 */
long fuse_reply_created(struct fuse_request *request, int fd, int result,
			const struct fuse_entry_out *entry);
fuse_call fuse_call_open, fuse_call_opendir, fuse_call_release, fuse_call_read, fuse_call_write,
	fuse_call_fsync, fuse_call_lseek, fuse_call_fallocate, fuse_call_copy, fuse_call_tmpfile;
/* Opens what a descriptor of O_PATH stands for. Returns a descriptor, or -errno. */
int fuse_open_path(const struct fuse_server *server, int path, int flags);
/* The flags of open(2) that the guest may choose, or -EROFS. */
int fuse_open_flags(const struct fuse_server *server, u32 flags);

/* fuse_tree.c: names. */
/* The number by which the guest knows an inode. */
u64 fuse_number(const struct fuse_server *server, dev_t dev, u64 ino);
void fuse_fill_attr(const struct fuse_server *server, const struct statx *status, bool empty,
		    struct fuse_attr *attr);
/*
 * What was made in the request's directory belongs to who asked for it, where we can give it away; its
 * group may be the directory's. It is known by its name there, or with "" by its own descriptor.
 */
void fuse_give(const struct fuse_request *request, int directory, const char *name);
fuse_call fuse_call_lookup, fuse_call_mknod, fuse_call_mkdir, fuse_call_symlink, fuse_call_link,
	fuse_call_remove, fuse_call_rename, fuse_call_create, fuse_call_readdir;

/* fuse_attr.c: attributes. */
u32 fuse_uid(const struct fuse_server *server, u32 uid); /* either way */
u32 fuse_gid(const struct fuse_server *server, u32 gid);
/* Takes the name of an attribute that the guest may have off the body. 0, or -errno. */
int fuse_xattr_name(struct fuse_request *request);
fuse_call fuse_call_getattr, fuse_call_setattr, fuse_call_readlink, fuse_call_statfs,
	fuse_call_setxattr, fuse_call_getxattr, fuse_call_removexattr;

#endif
