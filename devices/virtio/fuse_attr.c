/*
 * The file server, attributes: see fuse.h.
 *
 * An O_PATH descriptor can be asked what it is, and given other owners and times; for its mode, size
 * and extended attributes it is named as a path, /proc/self/fd/N, which the kernel follows to exactly
 * that file.
 *
 * Of extended attributes the guest has those of `user.`. The others mean something to the host: they
 * could give a file capabilities there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "devices/virtio/fuse_server.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(fuse_attr, CALL(fchownat, SANDBOX_CHANGE, "owners"),
	      CALL(fchmodat, SANDBOX_CHANGE, "modes"), CALL(utimensat, SANDBOX_CHANGE, "times"),
	      CALL(ftruncate, SANDBOX_CHANGE, "sizes"), CALL(fstatfs, SANDBOX_FILES, "df"),
	      CALL(readlinkat, SANDBOX_FILES, "symbolic links"),
	      CALL(fsetxattr, SANDBOX_CHANGE, "extended attributes"),
	      CALL(fgetxattr, SANDBOX_FILES, "extended attributes"),
	      CALL(flistxattr, SANDBOX_FILES, "extended attributes"),
	      CALL(fremovexattr, SANDBOX_CHANGE, "extended attributes"));

static u32 swap(u32 id, u32 host, u32 guest)
{
	return id == host ? guest : id == guest ? host : id;
}

u32 fuse_uid(const struct fuse_server *server, u32 uid)
{
	return swap(uid, server->export.host_uid, server->export.guest_uid);
}

u32 fuse_gid(const struct fuse_server *server, u32 gid)
{
	return swap(gid, server->export.host_gid, server->export.guest_gid);
}

/* Inode numbers of other file systems below the directory are told apart by their high bits. */
u64 fuse_number(const struct fuse_server *server, dev_t dev, u64 ino)
{
	return dev == server->dev ? ino : ino ^ (u64)dev * 0x9e3779b97f4a7c15U << 40;
}

void fuse_fill_attr(const struct fuse_server *server, const struct statx *status, bool empty,
		    struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){
		.ino = fuse_number(server, fuse_device(status), status->stx_ino),
		.size = status->stx_size,
		.blocks = status->stx_blocks,
		.atime = (u64)status->stx_atime.tv_sec,
		.mtime = (u64)status->stx_mtime.tv_sec,
		.ctime = (u64)status->stx_ctime.tv_sec,
		.atimensec = (u32)status->stx_atime.tv_nsec,
		.mtimensec = (u32)status->stx_mtime.tv_nsec,
		.ctimensec = (u32)status->stx_ctime.tv_nsec,
		.mode = empty ? S_IFDIR | 0555 : status->stx_mode,
		.nlink = status->stx_nlink,
		.uid = fuse_uid(server, status->stx_uid),
		.gid = fuse_gid(server, status->stx_gid),
		.rdev = (u32)makedev(status->stx_rdev_major, status->stx_rdev_minor),
		.blksize = status->stx_blksize,
	};
}

long fuse_call_getattr(struct fuse_request *request)
{
	struct fuse_attr_out out = {.attr_valid = request->server->valid_s};
	struct statx status;

	if (fuse_status(request->inode->fd, "", &status))
		return -errno;
	fuse_fill_attr(request->server, &status, request->inode->empty, &out.attr);
	return fuse_reply(request, 0, &out, sizeof(out));
}

/* A descriptor that can do more than an O_PATH one, for regular files and directories. */
static int open_again(const struct fuse_request *request, int flags)
{
	const struct fuse_inode *inode = request->inode;

	if ((inode->type != S_IFREG && inode->type != S_IFDIR) || inode->empty)
		return -EOPNOTSUPP;
	return fuse_open_path(request->server, inode->fd, flags | O_NONBLOCK);
}

static int set_size(struct fuse_request *request, const struct fuse_setattr_in *in)
{
	struct fuse_handle *handle =
		(in->valid & FATTR_FH)
			? fuse_handle_get(request->server, request->head.nodeid, in->fh)
			: NULL;
	const int fd = handle ? handle->fd : open_again(request, O_WRONLY);
	int result = fd;

	if (fd >= 0)
		result = ftruncate(fd, (off_t)in->size) ? -errno : 0;
	if (!handle && fd >= 0)
		close(fd);
	fuse_handle_put(request->server, handle);
	return result;
}

static struct timespec time_of(u32 valid, u32 set, u32 now, u64 seconds, u32 nanoseconds)
{
	const long special = !(valid & set) ? UTIME_OMIT : (valid & now) ? UTIME_NOW : -1;

	return (struct timespec){.tv_sec = (time_t)seconds,
				 .tv_nsec = special >= 0 ? special : (long)nanoseconds};
}

/*
 * A file that is executed with its owner's rights would have them on the host: it is refused, where
 * directories may have the bit that hands their group on.
 */
static bool gives_rights(u32 type, u32 mode)
{
	return type != S_IFDIR && mode & (S_ISUID | S_ISGID);
}

static int set_owner(const struct fuse_server *server, int fd, const struct fuse_setattr_in *in)
{
	return fchownat(fd, "", (in->valid & FATTR_UID) ? fuse_uid(server, in->uid) : (uid_t)-1,
			(in->valid & FATTR_GID) ? fuse_gid(server, in->gid) : (gid_t)-1,
			AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)
		       ? -errno
		       : 0;
}

long fuse_call_setattr(struct fuse_request *request)
{
	const struct fuse_setattr_in *in = request->body;
	const struct timespec times[] = {
		time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec)};
	const int fd = request->inode->fd;
	char name[12];
	int result = 0;

	if (request->inode->empty ||
	    (in->valid & FATTR_MODE && gives_rights(request->inode->type, in->mode)))
		return -EPERM;
	if (in->valid & (FATTR_UID | FATTR_GID))
		result = set_owner(request->server, fd, in);
	if (!result && in->valid & FATTR_MODE &&
	    fchmodat(request->server->paths_fd, fuse_path_name(name, fd), in->mode & 07777, 0))
		result = -errno;
	if (!result && in->valid & FATTR_SIZE)
		result = set_size(request, in);
	if (!result && in->valid & (FATTR_ATIME | FATTR_MTIME) &&
	    utimensat(fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		result = -errno;
	return result ? result : fuse_call_getattr(request);
}

long fuse_call_readlink(struct fuse_request *request)
{
	char target[PATH_MAX];
	const ssize_t bytes = readlinkat(request->inode->fd, "", target, sizeof(target));

	return bytes < 0 ? -errno : fuse_reply(request, 0, target, (u32)bytes);
}

long fuse_call_statfs(struct fuse_request *request)
{
	struct fuse_statfs_out out = {.st = {.blocks = 0}};
	struct statfs status;

	if (fstatfs(request->inode->fd, &status))
		return -errno;
	out.st.blocks = status.f_blocks;
	out.st.bfree = status.f_bfree;
	out.st.bavail = status.f_bavail;
	out.st.files = status.f_files;
	out.st.ffree = status.f_ffree;
	out.st.bsize = (u32)status.f_bsize;
	out.st.frsize = (u32)status.f_frsize;
	out.st.namelen = (u32)status.f_namelen;
	return fuse_reply(request, 0, &out, sizeof(out));
}

/* Extended attributes. */

static bool is_users(const char *name)
{
	return strncmp(name, "user.", 5) == 0;
}

int fuse_xattr_name(struct fuse_request *request)
{
	request->name = fuse_text(request, XATTR_NAME_MAX);
	return !request->name ? -EINVAL : is_users(request->name) ? 0 : -EOPNOTSUPP;
}

long fuse_call_setxattr(struct fuse_request *request)
{
	const struct fuse_setxattr_in *in = request->body;
	const u8 *value = (const u8 *)request->body + request->taken;
	long result;
	int fd;

	if (in->size > XATTR_SIZE_MAX || in->size > request->bytes - request->taken)
		return -EINVAL;
	fd = open_again(request, O_RDONLY);
	if (fd < 0)
		return fd;
	result = fsetxattr(fd, request->name, value, in->size, (int)in->flags) ? -errno : 0;
	close(fd);
	return result;
}

/* Leaves only the guest's own names in a list; returns how many bytes there are then. */
static ssize_t keep_users(char *names, ssize_t bytes)
{
	char *to = names;

	for (char *name = names; name < names + bytes;) {
		const size_t length = strnlen(name, (size_t)(names + bytes - name)) + 1;

		if (is_users(name)) {
			memmove(to, name, length);
			to += length;
		}
		name += length;
	}
	return to - names;
}

/* Answers how long a value (or, without a name, the list of names) is, or what it is. */
long fuse_call_getxattr(struct fuse_request *request)
{
	const struct fuse_getxattr_in *in = request->body;
	const char *name = request->name;
	struct fuse_getxattr_out out;
	const int fd = open_again(request, O_RDONLY);
	char *value;
	ssize_t bytes;
	long result;

	if (fd < 0 && (name || fd != -EOPNOTSUPP))
		return fd == -EOPNOTSUPP ? -ENODATA : fd;
	value = fuse_store_take(&request->server->inodes.store, XATTR_SIZE_MAX);
	bytes = fd < 0 || !value ? 0
		: name           ? fgetxattr(fd, name, value, XATTR_SIZE_MAX)
				 : flistxattr(fd, value, XATTR_SIZE_MAX);
	result = !value ? -ENOMEM : bytes < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (!result && !name)
		bytes = keep_users(value, bytes);
	out = (struct fuse_getxattr_out){.size = (u32)bytes};
	if (!result && in->size == 0)
		result = fuse_reply(request, 0, &out, sizeof(out));
	else if (!result)
		result = (u32)bytes > in->size ? -ERANGE
					       : fuse_reply(request, 0, value, (u32)bytes);
	fuse_store_give(&request->server->inodes.store, value);
	return result;
}

long fuse_call_removexattr(struct fuse_request *request)
{
	const int fd = open_again(request, O_RDONLY);
	long result;

	if (fd < 0)
		return fd;
	result = fremovexattr(fd, request->name) ? -errno : 0;
	close(fd);
	return result;
}
