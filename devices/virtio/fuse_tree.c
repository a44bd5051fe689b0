/*
 * The file server, names: see fuse.h.
 *
 * A name is one component, looked for in a directory that the guest has looked up, and nothing is
 * followed: neither a symbolic link, which is the guest's to resolve, nor "..". A mount of the host's
 * below the directory is entered, unless it is one of the kernel's own file systems (proc, sysfs and
 * their like), through which the guest could reach this process or the host's kernel: those appear
 * empty, and so do the directories that are to be hidden.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "devices/virtio/fuse_server.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(fuse_tree, CALL(mkdirat, SANDBOX_CHANGE, "directories"),
	      CALL(mknodat, SANDBOX_CHANGE, "FIFOs and sockets"),
	      CALL(symlinkat, SANDBOX_CHANGE, "symbolic links"),
	      CALL(linkat, SANDBOX_CHANGE, "hard links"), CALL(unlinkat, SANDBOX_CHANGE, "removal"),
	      CALL(renameat2, SANDBOX_CHANGE, "new names"),
	      CALL(getdents64, SANDBOX_FILES, "directories"));

/* File systems that are windows into the kernel. */
static bool is_kernels(int fd)
{
	static const u32 kinds[] = {PROC_SUPER_MAGIC,
				    SYSFS_MAGIC,
				    DEVPTS_SUPER_MAGIC,
				    CGROUP_SUPER_MAGIC,
				    CGROUP2_SUPER_MAGIC,
				    DEBUGFS_MAGIC,
				    TRACEFS_MAGIC,
				    SECURITYFS_MAGIC,
				    SELINUX_MAGIC,
				    BPF_FS_MAGIC,
				    EFIVARFS_MAGIC,
				    PSTOREFS_MAGIC,
				    NSFS_MAGIC,
				    BINFMTFS_MAGIC,
				    AUTOFS_SUPER_MAGIC,
				    0x19800202 /* mqueue */,
				    0x65735543 /* fusectl */,
				    0x62656570 /* configfs */};
	struct statfs status;

	if (fstatfs(fd, &status))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if ((u32)status.f_type == kinds[i])
			return true;
	}
	return false;
}

static bool is_hidden(const struct fuse_server *server, const struct statx *status)
{
	for (unsigned i = 0; i < server->hiddens; i++) {
		if (server->hidden[i].dev == fuse_device(status) &&
		    server->hidden[i].ino == status->stx_ino)
			return true;
	}
	return false;
}

/*
 * What a name in the request's directory leads to. *fd: a descriptor for it, or -1 when none is wanted
 * yet: one call then instead of three. Directories have one always, to be found by when the host moves
 * them; what is on another file system, to be asked which. 0, or -errno.
 */
static int look(const struct fuse_request *request, const char *name, bool wanted,
		struct statx *status, int *fd, bool *empty)
{
	const struct fuse_inode *parent = request->inode;

	*fd = -1;
	*empty = false;
	if (!wanted && fuse_status(parent->fd, name, status))
		return -errno;
	if (!wanted && !S_ISDIR(status->stx_mode) && fuse_device(status) == parent->dev &&
	    !is_hidden(request->server, status))
		return 0;
	*fd = fuse_open_beneath(parent->fd, name, O_PATH, 0);
	if (*fd < 0)
		return *fd;
	if (fuse_status(*fd, "", status)) {
		const int error = -errno;

		close(*fd);
		return error;
	}
	*empty = is_hidden(request->server, status) ||
		 (fuse_device(status) != parent->dev && is_kernels(*fd));
	if (!*empty || S_ISDIR(status->stx_mode))
		return 0;
	close(*fd);
	return -ENOENT;
}

/*
 * Looks a name up in the request's directory and fills the entry; with one lookup more. wanted: a
 * descriptor will be needed soon. Returns 0 or -errno.
 */
static int enter(struct fuse_request *request, const char *name, bool wanted,
		 struct fuse_entry_out *entry)
{
	struct fuse_server *server = request->server;
	struct fuse_inode *inode;
	struct statx status;
	bool empty;
	int fd;
	const int result =
		request->inode->empty ? -ENOENT : look(request, name, wanted, &status, &fd, &empty);

	if (result)
		return result;
	inode = fuse_inode_found(&server->inodes, request->inode, name, &status, fd, empty);
	if (!inode)
		return -ENOMEM;
	*entry = (struct fuse_entry_out){.nodeid = inode->nodeid,
					 .entry_valid = server->valid_s,
					 .attr_valid = server->valid_s};
	fuse_fill_attr(server, &status, empty, &entry->attr);
	fuse_inode_put(&server->inodes, inode);
	return 0;
}

static long reply_entry(struct fuse_request *request, bool wanted)
{
	struct fuse_entry_out entry;
	const int result = enter(request, request->name, wanted, &entry);

	return result ? result : fuse_reply(request, 0, &entry, sizeof(entry));
}

long fuse_call_lookup(struct fuse_request *request)
{
	/* That there is no such name may be kept, too. */
	const struct fuse_entry_out none = {.entry_valid = request->server->valid_s};
	const long result = reply_entry(request, false);

	return result == -ENOENT && request->server->export.cache == FUSE_CACHE_ALWAYS
		       ? fuse_reply(request, 0, &none, sizeof(none))
		       : result;
}

void fuse_give(const struct fuse_request *request, int directory, const char *name)
{
	const uid_t uid = fuse_uid(request->server, request->head.uid);
	gid_t gid = fuse_gid(request->server, request->head.gid);
	struct statx status;

	if (!request->server->as_root || (uid == 0 && gid == request->server->gid))
		return;
	if (fuse_status(request->inode->fd, "", &status) == 0 && status.stx_mode & S_ISGID)
		gid = (gid_t)-1;
	(void)!fchownat(directory, name, uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

/* Something new has the request's name, if result is 0: replies what it is. */
static long reply_made(struct fuse_request *request, int result)
{
	if (result)
		return -errno;
	fuse_give(request, request->inode->fd, request->name);
	return reply_entry(request, true);
}

long fuse_call_mknod(struct fuse_request *request)
{
	const struct fuse_mknod_in *in = request->body;

	/* A device is one on the host, too; rights that come with execution as well. */
	if (S_ISCHR(in->mode) || S_ISBLK(in->mode) || in->mode & (S_ISUID | S_ISGID))
		return -EPERM;
	return reply_made(request, mknodat(request->inode->fd, request->name, in->mode, 0));
}

long fuse_call_mkdir(struct fuse_request *request)
{
	const struct fuse_mkdir_in *in = request->body;

	return reply_made(request, mkdirat(request->inode->fd, request->name, in->mode & 01777));
}

long fuse_call_symlink(struct fuse_request *request)
{
	/* Any text: it is the guest that follows it. */
	const char *target = (const char *)request->body + request->taken;

	if (request->taken >= request->bytes)
		return -EINVAL;
	return reply_made(request, symlinkat(target, request->inode->fd, request->name));
}

long fuse_call_link(struct fuse_request *request)
{
	const struct fuse_link_in *in = request->body;
	struct fuse_server *server = request->server;
	struct fuse_inode *inode;
	char number[12];
	long result = fuse_get(request, in->oldnodeid, false, &inode);

	if (result)
		return result;
	result = linkat(server->paths_fd, fuse_path_name(number, inode->fd), request->inode->fd,
			request->name, AT_SYMLINK_FOLLOW)
			 ? -errno
			 : reply_entry(request, true);
	fuse_inode_put(&server->inodes, inode);
	return result;
}

long fuse_call_remove(struct fuse_request *request)
{
	struct fuse_inodes *inodes = &request->server->inodes;
	struct fuse_inode *parent = request->inode;
	struct fuse_inode *inode = fuse_inode_at(inodes, parent, request->name);
	const int flags = request->head.opcode == FUSE_RMDIR ? AT_REMOVEDIR : 0;
	const long result = unlinkat(parent->fd, request->name, flags) ? -errno : 0;

	if (!result)
		fuse_inode_unlinked(inodes, inode, parent, request->name);
	fuse_inode_put(inodes, inode);
	return result;
}

long fuse_call_rename(struct fuse_request *request)
{
	const struct fuse_rename2_in *in = request->body; /* the other ends behind newdir */
	const u32 flags = request->head.opcode == FUSE_RENAME2 ? in->flags : 0;
	const char *old = request->name, *new = fuse_name(request);
	struct fuse_inodes *inodes = &request->server->inodes;
	struct fuse_inode *from = request->inode, *to, *moved, *met;
	long result;

	if (!new || flags & ~(u32)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	result = fuse_get(request, in->newdir, true, &to);
	if (result)
		return result;
	/* With a descriptor in use, what lies below is found while the name changes, too. */
	moved = fuse_inode_at(inodes, from, old);
	met = fuse_inode_at(inodes, to, new);
	result = syscall(SYS_renameat2, from->fd, old, to->fd, new, flags) ? -errno : 0;
	if (!result && flags & RENAME_EXCHANGE)
		fuse_inode_moved(inodes, met, from, old);
	else if (!result && met != moved)
		fuse_inode_unlinked(inodes, met, to, new);
	if (!result)
		fuse_inode_moved(inodes, moved, to, new);
	fuse_inode_put(inodes, moved);
	fuse_inode_put(inodes, met);
	fuse_inode_put(inodes, to);
	return result;
}

/* Opens what has the request's name already, if it is a regular file. */
static int open_existing(const struct fuse_request *request, int flags)
{
	struct statx status;
	bool empty;
	int path, fd;
	const int result = look(request, request->name, true, &status, &path, &empty);

	if (result)
		return result;
	fd = S_ISREG(status.stx_mode) ? fuse_open_path(request->server, path, flags) : -EINVAL;
	close(path);
	return fd;
}

long fuse_call_create(struct fuse_request *request)
{
	const struct fuse_create_in *in = request->body;
	const int flags = fuse_open_flags(request->server, in->flags);
	struct fuse_entry_out entry;
	int fd;

	if (in->mode & (S_ISUID | S_ISGID))
		return -EPERM;
	fd = fuse_open_beneath(request->inode->fd, request->name,
			       flags | O_CREAT | O_EXCL | O_NOCTTY, in->mode & 01777);
	if (fd >= 0)
		fuse_give(request, fd, "");
	else if (fd == -EEXIST && !(in->flags & O_EXCL))
		fd = open_existing(request, flags);
	return fd < 0 ? fd
		      : fuse_reply_created(request, fd, enter(request, request->name, true, &entry),
					   &entry);
}

/* Directories. */

/* One entry in the kernel's form. */
struct raw_entry {
	u64 ino;
	int64_t off;
	u16 bytes;
	u8 type;
	char name[];
};

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/*
 * Appends an entry to the reply at `at`; returns the offset behind it, or 0 when there is no room. With
 * plus, the entry is looked up as well, if it can be: a node id of 0 says that it wasn't.
 */
static u32 add_entry(struct fuse_request *request, const struct raw_entry *found, u32 at)
{
	const bool plus = request->head.opcode == FUSE_READDIRPLUS;
	struct fuse_direntplus entry = {
		.dirent = {.ino = fuse_number(request->server, request->inode->dev, found->ino),
			   .off = (u64)found->off,
			   .namelen = (u32)strlen(found->name),
			   .type = found->type}};
	const u32 head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	const u32 bytes = (u32)FUSE_REC_ALIGN(head + entry.dirent.namelen);
	const u64 zero = 0;

	if (bytes > request->room - at)
		return 0;
	/* Where something is mounted, the two numbers would differ. */
	if (plus && !is_dot(found->name) &&
	    enter(request, found->name, found->type == DT_DIR, &entry.entry_out) == 0)
		entry.dirent.ino = entry.entry_out.attr.ino;
	fuse_reply(request, at + bytes - (u32)sizeof(zero), &zero, sizeof(zero));
	fuse_reply(request, at, plus ? (void *)&entry : (void *)&entry.dirent, head);
	fuse_reply(request, at + head, found->name, entry.dirent.namelen);
	return at + bytes;
}

/*
 * Reads from the place that the guest names on, as much as fits. What doesn't is kept for the next
 * request: going back in a directory costs more than reading it, and where a place is a count of
 * entries (tmpfs), it is another one when some were removed meanwhile.
 */
static long read_entries(struct fuse_request *request)
{
	const struct fuse_read_in *in = request->body;
	struct fuse_handle *handle = request->handle;
	u32 used = 0;

	if (in->size < request->room)
		request->room = in->size;
	if (!handle->list &&
	    !(handle->list = fuse_store_take(&request->server->inodes.store, FUSE_LIST_BYTES)))
		return -ENOMEM;
	if (handle->at != in->offset) {
		if (lseek(handle->fd, (off_t)in->offset, SEEK_SET) < 0)
			return -errno;
		handle->at = in->offset;
		handle->list_at = handle->list_bytes = 0;
		handle->ended = false;
	}
	for (;;) {
		const struct raw_entry *found;
		u32 next;

		if (handle->list_at == handle->list_bytes && !handle->ended) {
			const long count =
				syscall(SYS_getdents64, handle->fd, handle->list, FUSE_LIST_BYTES);

			if (count < 0)
				return used ? (long)used : -errno;
			handle->list_at = 0;
			handle->list_bytes = (u32)count;
			handle->ended = count == 0;
		}
		if (handle->ended)
			break;
		found = (const void *)(handle->list + handle->list_at);
		next = add_entry(request, found, used);
		if (next == 0)
			return (long)used;
		used = next;
		handle->at = (u64)found->off;
		handle->list_at += found->bytes;
	}
	/* The end is told once: who asks again wants to know anew. */
	handle->ended = used != 0;
	return (long)used;
}

long fuse_call_readdir(struct fuse_request *request)
{
	long result;

	if (request->inode->empty)
		return 0;
	pthread_mutex_lock(&request->handle->lock);
	result = read_entries(request);
	pthread_mutex_unlock(&request->handle->lock);
	return result;
}
