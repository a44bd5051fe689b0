/*
 * The inodes that the guest knows: see fuse_inode.h.
 */
#include "devices/virtio/fuse_inode.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/sandbox.h"

SANDBOX_CALLS(fuse_inode, CALL(openat2, SANDBOX_FILES, "one component of a path"),
	      CALL(close, SANDBOX_FILES, "files that the guest is done with"),
	      CALL(statx, SANDBOX_FILES, "what a file or a name is"));

enum { BUCKETS = 1 << 16 };

int fuse_open_beneath(int directory, const char *name, int flags, u32 mode)
{
	return fuse_open_at(directory, name, flags | O_NOFOLLOW, mode,
			    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int fuse_open_at(int directory, const char *name, int flags, u32 mode, u32 resolve)
{
	struct open_how how = {.flags = (u32)(flags | O_CLOEXEC), .mode = mode, .resolve = resolve};
	long fd;

	do
		fd = syscall(SYS_openat2, directory, name, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || (errno == EAGAIN && resolve)));
	return fd < 0 ? -errno : (int)fd;
}

int fuse_status(int fd, const char *name, struct statx *status)
{
	return (int)syscall(SYS_statx, fd, name,
			    AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
			    STATX_BASIC_STATS | STATX_BTIME, status);
}

dev_t fuse_device(const struct statx *status)
{
	return makedev(status->stx_dev_major, status->stx_dev_minor);
}

/* The kernel leaves 0 what a file system doesn't know. */
static u64 birth_of(const struct statx *status)
{
	return (u64)status->stx_btime.tv_sec * 1000000000 + status->stx_btime.tv_nsec;
}

static struct fuse_inode **bucket_of(struct fuse_inodes *inodes, dev_t dev, u64 ino)
{
	const u64 spread = 0x9e3779b97f4a7c15U, hash = (ino ^ (u64)dev * spread) * spread;

	return &inodes->bucket[hash >> 32 & (inodes->buckets - 1)];
}

static bool is_it(const struct fuse_inode *inode, const struct statx *status)
{
	return inode->dev == fuse_device(status) && inode->ino == status->stx_ino &&
	       inode->type == (status->stx_mode & S_IFMT) &&
	       (inode->fd >= 0 || inode->birth == birth_of(status));
}

static struct fuse_inode *find(struct fuse_inodes *inodes, const struct statx *status)
{
	struct fuse_inode *inode = *bucket_of(inodes, fuse_device(status), status->stx_ino);

	while (inode && !is_it(inode, status))
		inode = inode->next;
	return inode;
}

/* The list of descriptors that may be closed; the newest is in front. */

static void unlist(struct fuse_inodes *inodes, struct fuse_inode *inode)
{
	if (!inode->older && !inode->newer && inodes->newest != inode)
		return;
	*(inode->newer ? &inode->newer->older : &inodes->newest) = inode->older;
	*(inode->older ? &inode->older->newer : &inodes->oldest) = inode->newer;
	inode->older = inode->newer = NULL;
	inodes->paths--;
}

static void list(struct fuse_inodes *inodes, struct fuse_inode *inode)
{
	inode->older = inodes->newest;
	*(inodes->newest ? &inodes->newest->newer : &inodes->oldest) = inode;
	inodes->newest = inode;
	inodes->paths++;
}

static void close_later(struct fuse_inodes *inodes, int fd)
{
	if (inodes->closings == FUSE_CLOSINGS)
		close(fd);
	else
		inodes->closing[inodes->closings++] = fd;
}

/* Unlocks and closes what nobody needs: an unlinked file goes with that, which takes its time. */
static void unlock(struct fuse_inodes *inodes)
{
	int closing[FUSE_CLOSINGS];
	const u32 count = inodes->closings;

	memcpy(closing, inodes->closing, sizeof(closing));
	inodes->closings = 0;
	pthread_mutex_unlock(&inodes->lock);
	for (u32 i = 0; i < count; i++)
		close(closing[i]);
}

static void close_path(struct fuse_inodes *inodes, struct fuse_inode *inode)
{
	unlist(inodes, inode);
	if (inode->pinned)
		inodes->pins--;
	inode->pinned = false;
	if (inode->fd >= 0)
		close_later(inodes, inode->fd);
	inode->fd = -1;
}

/* Closes what was used longest ago, but nothing that is in use. */
static void make_room(struct fuse_inodes *inodes)
{
	struct fuse_inode *inode = inodes->oldest;

	while (inode && inodes->paths > inodes->paths_max) {
		struct fuse_inode *newer = inode->newer;

		if (inode->users == 0)
			close_path(inodes, inode);
		inode = newer;
	}
}

/* Gives the inode a descriptor, if it has none yet; else fd is closed. */
static void adopt_path(struct fuse_inodes *inodes, struct fuse_inode *inode, int fd)
{
	if (fd < 0)
		return;
	if (inode->fd >= 0) {
		close_later(inodes, fd);
		return;
	}
	inode->fd = fd;
	list(inodes, inode);
	make_room(inodes);
}

/* Whether nobody needs it: then it is gone, and maybe its ancestors with it. */
static void release(struct fuse_inodes *inodes, struct fuse_inode *inode)
{
	while (inode != inodes->root && inode->lookups == 0 && inode->users == 0 &&
	       inode->children == 0) {
		struct fuse_inode *parent = inode->parent;
		struct fuse_inode **at = bucket_of(inodes, inode->dev, inode->ino);

		while (*at != inode)
			at = &(*at)->next;
		*at = inode->next;
		close_path(inodes, inode);
		fuse_store_give(&inodes->store, inode->name);
		inode->name = NULL;
		inode->parent = NULL;
		inode->next = inodes->free;
		inodes->free = inode;
		inodes->count--;
		parent->children--;
		inode = parent;
	}
}

/* A place in the table; the node id of each use of it is another one. */
static struct fuse_inode *take_place(struct fuse_inodes *inodes)
{
	struct fuse_inode *inode = inodes->free;

	if (inode) {
		inodes->free = inode->next;
		inode->nodeid += (u64)1 << 32;
		return inode;
	}
	inode = inodes->places < FUSE_INODES_MAX ? fuse_store_take(&inodes->store, sizeof(*inode))
						 : NULL;
	if (!inode)
		return NULL;
	inode->nodeid = ++inodes->places;
	inodes->place[inodes->places - 1] = inode;
	return inode;
}

static char *copy_of(struct fuse_inodes *inodes, const char *name)
{
	const size_t bytes = strlen(name) + 1;
	char *copy = fuse_store_take(&inodes->store, bytes);

	return copy ? memcpy(copy, name, bytes) : NULL;
}

static struct fuse_inode *add(struct fuse_inodes *inodes, struct fuse_inode *parent,
			      const char *name, const struct statx *status)
{
	char *copy = copy_of(inodes, name);
	struct fuse_inode *inode = copy ? take_place(inodes) : NULL, **bucket;

	if (!inode) {
		fuse_store_give(&inodes->store, copy);
		return NULL;
	}
	bucket = bucket_of(inodes, fuse_device(status), status->stx_ino);
	*inode = (struct fuse_inode){.nodeid = inode->nodeid,
				     .dev = fuse_device(status),
				     .ino = status->stx_ino,
				     .type = status->stx_mode & S_IFMT,
				     .fd = -1,
				     .parent = parent,
				     .name = copy,
				     .next = *bucket};
	*bucket = inode;
	inodes->count++;
	if (parent)
		parent->children++;
	return inode;
}

int fuse_inodes_init(struct fuse_inodes *inodes, int root_fd, u32 paths_max)
{
	struct statx status;

	*inodes = (struct fuse_inodes){.buckets = BUCKETS, .paths_max = paths_max};
	pthread_mutex_init(&inodes->lock, NULL);
	inodes->place = calloc(FUSE_INODES_MAX, sizeof(struct fuse_inode *));
	inodes->bucket = calloc(BUCKETS, sizeof(struct fuse_inode *));
	if (fuse_store_open(&inodes->store) || !inodes->place || !inodes->bucket ||
	    fuse_status(root_fd, "", &status))
		return -1;
	inodes->root = add(inodes, NULL, "", &status);
	if (!inodes->root)
		return -1;
	inodes->root->fd = root_fd;
	return 0;
}

void fuse_inodes_clear(struct fuse_inodes *inodes)
{
	pthread_mutex_lock(&inodes->lock);
	for (u32 i = 0; i < inodes->places; i++) {
		/* Its ancestors go with it, or when their turn comes. */
		inodes->place[i]->lookups = 0;
		if (inodes->place[i]->name)
			release(inodes, inodes->place[i]);
	}
	unlock(inodes);
}

void fuse_inodes_destroy(struct fuse_inodes *inodes)
{
	for (u32 i = 0; i < inodes->places; i++) {
		if (inodes->place[i]->name && inodes->place[i]->fd >= 0)
			close(inodes->place[i]->fd);
		fuse_store_give(&inodes->store, inodes->place[i]->name);
		fuse_store_give(&inodes->store, inodes->place[i]);
	}
	fuse_store_close(&inodes->store);
	free(inodes->place);
	free(inodes->bucket);
	pthread_mutex_destroy(&inodes->lock);
}

static struct fuse_inode *lookup(struct fuse_inodes *inodes, u64 nodeid)
{
	const u32 place = (u32)nodeid - 1;
	struct fuse_inode *inode = place < inodes->places ? inodes->place[place] : NULL;

	return inode && inode->name && inode->nodeid == nodeid ? inode : NULL;
}

struct fuse_inode *fuse_inode_get(struct fuse_inodes *inodes, u64 nodeid)
{
	struct fuse_inode *inode;

	pthread_mutex_lock(&inodes->lock);
	inode = lookup(inodes, nodeid);
	if (inode)
		inode->users++;
	unlock(inodes);
	return inode;
}

void fuse_inode_put(struct fuse_inodes *inodes, struct fuse_inode *inode)
{
	if (!inode)
		return;
	pthread_mutex_lock(&inodes->lock);
	inode->users--;
	release(inodes, inode);
	unlock(inodes);
}

/* Opens the inode in its parent, whose descriptor is at hand; it has to be the same file. */
static int open_again(struct fuse_inodes *inodes, struct fuse_inode *inode, int parent,
		      const char *name)
{
	const int fd = fuse_open_beneath(parent, name, O_PATH, 0);
	struct statx status;
	bool known;

	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? -ESTALE : fd;
	known = fuse_status(fd, "", &status) == 0;
	pthread_mutex_lock(&inodes->lock);
	known = known && is_it(inode, &status);
	if (known)
		adopt_path(inodes, inode, fd);
	else
		close_later(inodes, fd);
	unlock(inodes);
	return known ? 0 : -ESTALE;
}

/*
 * One step towards a descriptor: opens the highest inode on the way down to this one whose parent has
 * one already. Returns 1 when the inode itself has one, 0 after a step, or -errno.
 */
static int step_down(struct fuse_inodes *inodes, struct fuse_inode *inode)
{
	struct fuse_inode *at = inode;
	char name[FUSE_NAME_BYTES];
	int result;

	pthread_mutex_lock(&inodes->lock);
	if (inode->fd >= 0) {
		if (inode != inodes->root && !inode->pinned) {
			unlist(inodes, inode);
			list(inodes, inode);
		}
		unlock(inodes);
		return 1;
	}
	while (at->parent->fd < 0)
		at = at->parent;
	at->users++;
	at->parent->users++;
	memcpy(name, at->name, strlen(at->name) + 1);
	/* Somebody may move it meanwhile; its parent stays, for it is in use. */
	struct fuse_inode *parent = at->parent;
	unlock(inodes);
	result = open_again(inodes, at, parent->fd, name);
	fuse_inode_put(inodes, at);
	fuse_inode_put(inodes, parent);
	return result;
}

int fuse_inode_path(struct fuse_inodes *inodes, struct fuse_inode *inode)
{
	/* Others may close what was opened on the way; so often they don't. */
	for (unsigned steps = 0; steps < 1 << 16; steps++) {
		const int result = step_down(inodes, inode);

		if (result < 0)
			return result;
		if (result == 1)
			return inode->fd;
	}
	return -ESTALE;
}

static void unpin(struct fuse_inodes *inodes, struct fuse_inode *inode)
{
	if (!inode->pinned)
		return;
	inode->pinned = false;
	inodes->pins--;
	list(inodes, inode);
	make_room(inodes);
}

/* It was found under another name, or a new one. */
static void rename_inode(struct fuse_inodes *inodes, struct fuse_inode *inode,
			 struct fuse_inode *parent, const char *name)
{
	struct fuse_inode *before = inode->parent;
	char *copy;

	if (inode == inodes->root)
		return;
	unpin(inodes, inode);
	if (before == parent && strcmp(inode->name, name) == 0)
		return;
	/* The host may have turned a path round since we saw it: nothing becomes its own ancestor. */
	for (const struct fuse_inode *at = parent; at != inodes->root; at = at->parent) {
		if (at == inode)
			return;
	}
	copy = strlen(name) < FUSE_NAME_BYTES ? copy_of(inodes, name) : NULL;
	if (!copy)
		return;
	fuse_store_give(&inodes->store, inode->name);
	inode->name = copy;
	inode->parent = parent;
	parent->children++;
	before->children--;
	release(inodes, before);
}

struct fuse_inode *fuse_inode_found(struct fuse_inodes *inodes, struct fuse_inode *parent,
				    const char *name, const struct statx *status, int fd,
				    bool empty)
{
	struct fuse_inode *inode;

	pthread_mutex_lock(&inodes->lock);
	inode = find(inodes, status);
	if (inode)
		rename_inode(inodes, inode, parent, name);
	else if (strlen(name) < FUSE_NAME_BYTES)
		inode = add(inodes, parent, name, status);
	if (inode) {
		inode->birth = birth_of(status);
		inode->users++;
		inode->lookups++;
		/* Before anybody else can have it. */
		if (empty)
			inode->empty = true;
		adopt_path(inodes, inode, fd);
	} else if (fd >= 0) {
		close(fd);
	}
	unlock(inodes);
	return inode;
}

void fuse_inode_forget(struct fuse_inodes *inodes, u64 nodeid, u64 lookups)
{
	struct fuse_inode *inode;

	pthread_mutex_lock(&inodes->lock);
	inode = lookup(inodes, nodeid);
	if (inode && inode != inodes->root) {
		inode->lookups -= lookups < inode->lookups ? lookups : inode->lookups;
		release(inodes, inode);
	}
	unlock(inodes);
}

struct fuse_inode *fuse_inode_at(struct fuse_inodes *inodes, struct fuse_inode *parent,
				 const char *name)
{
	struct fuse_inode *inode = NULL;
	struct statx status;

	if (fuse_status(parent->fd, name, &status))
		return NULL;
	pthread_mutex_lock(&inodes->lock);
	inode = find(inodes, &status);
	if (inode)
		inode->users++;
	unlock(inodes);
	/* Without one it is only what the guest may lose. */
	if (inode)
		(void)fuse_inode_path(inodes, inode);
	return inode;
}

void fuse_inode_unlinked(struct fuse_inodes *inodes, struct fuse_inode *inode,
			 const struct fuse_inode *parent, const char *name)
{
	if (!inode)
		return;
	pthread_mutex_lock(&inodes->lock);
	if (inode->parent == parent && strcmp(inode->name, name) == 0 && inode->fd >= 0 &&
	    !inode->pinned && inodes->pins < inodes->paths_max / 2) {
		unlist(inodes, inode);
		inode->pinned = true;
		inodes->pins++;
	}
	unlock(inodes);
}

void fuse_inode_moved(struct fuse_inodes *inodes, struct fuse_inode *inode,
		      struct fuse_inode *parent, const char *name)
{
	if (!inode)
		return;
	pthread_mutex_lock(&inodes->lock);
	rename_inode(inodes, inode, parent, name);
	unlock(inodes);
}
