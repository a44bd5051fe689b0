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

void fuse_fill_attr(const struct fuse_server *server, const struct stat *status, bool empty,
		    struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){
		.ino = fuse_number(server, status->st_dev, status->st_ino),
		.size = (u64)status->st_size,
		.blocks = (u64)status->st_blocks,
		.atime = (u64)status->st_atim.tv_sec,
		.mtime = (u64)status->st_mtim.tv_sec,
		.ctime = (u64)status->st_ctim.tv_sec,
		.atimensec = (u32)status->st_atim.tv_nsec,
		.mtimensec = (u32)status->st_mtim.tv_nsec,
		.ctimensec = (u32)status->st_ctim.tv_nsec,
		.mode = empty ? S_IFDIR | 0555 : status->st_mode,
		.nlink = (u32)status->st_nlink,
		.uid = fuse_uid(server, status->st_uid),
		.gid = fuse_gid(server, status->st_gid),
		.rdev = (u32)status->st_rdev,
		.blksize = (u32)status->st_blksize,
	};
}

static long reply_attr(struct fuse_request *request, int fd, bool empty)
{
	struct fuse_attr_out out = {.attr_valid = request->server->valid_s};
	struct stat status;

	if (fstatat(fd, "", &status, FUSE_AT_ITSELF))
		return -errno;
	fuse_fill_attr(request->server, &status, empty, &out.attr);
	return fuse_reply(request, 0, &out, sizeof(out));
}

long fuse_call_getattr(struct fuse_request *request)
{
	struct fuse_inode *inode;
	const int fd = fuse_get(request, request->head.nodeid, &inode);
	long result;

	if (fd < 0)
		return fd;
	result = reply_attr(request, fd, inode->empty);
	fuse_inode_put(&request->server->inodes, inode);
	return result;
}

/* A descriptor of the file that can do more than an O_PATH one, for regular files and directories. */
static int open_again(const struct fuse_request *request, const struct fuse_inode *inode, int flags)
{
	if (inode->type != S_IFREG && inode->type != S_IFDIR)
		return -EOPNOTSUPP;
	return fuse_open_path(request->server, inode->fd, flags | O_NONBLOCK);
}

static int set_size(struct fuse_request *request, const struct fuse_inode *inode,
		    const struct fuse_setattr_in *in)
{
	struct fuse_handle *handle =
		(in->valid & FATTR_FH)
			? fuse_handle_get(request->server, request->head.nodeid, in->fh)
			: NULL;
	const int fd = handle ? handle->fd : open_again(request, inode, O_WRONLY);
	int result = fd;

	if (fd >= 0)
		result = ftruncate(fd, (off_t)in->size) ? -errno : 0;
	if (handle)
		fuse_handle_put(request->server, handle);
	else if (fd >= 0)
		close(fd);
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

static int set_owner(struct fuse_request *request, int fd, const struct fuse_setattr_in *in)
{
	const struct fuse_server *server = request->server;

	return fchownat(fd, "", (in->valid & FATTR_UID) ? fuse_uid(server, in->uid) : (uid_t)-1,
			(in->valid & FATTR_GID) ? fuse_gid(server, in->gid) : (gid_t)-1,
			AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)
		       ? -errno
		       : 0;
}

static int set_all(struct fuse_request *request, const struct fuse_inode *inode, int fd,
		   const struct fuse_setattr_in *in)
{
	const struct timespec times[] = {
		time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec)};
	char name[12];
	int result = 0;

	if (in->valid & FATTR_MODE && gives_rights(inode->type, in->mode))
		return -EPERM;
	if (in->valid & (FATTR_UID | FATTR_GID))
		result = set_owner(request, fd, in);
	if (!result && in->valid & FATTR_MODE &&
	    fchmodat(request->server->paths_fd, fuse_path_name(name, fd), in->mode & 07777, 0))
		result = -errno;
	if (!result && in->valid & FATTR_SIZE)
		result = set_size(request, inode, in);
	if (!result && in->valid & (FATTR_ATIME | FATTR_MTIME) &&
	    utimensat(fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		result = -errno;
	return result;
}

long fuse_call_setattr(struct fuse_request *request)
{
	struct fuse_setattr_in in;
	struct fuse_inode *inode;
	long result;
	int fd;

	if (!fuse_args(request, &in, sizeof(in)))
		return -EINVAL;
	fd = fuse_get(request, request->head.nodeid, &inode);
	if (fd < 0)
		return fd;
	result = inode->empty ? -EPERM : set_all(request, inode, fd, &in);
	if (!result)
		result = reply_attr(request, fd, false);
	fuse_inode_put(&request->server->inodes, inode);
	return result;
}

long fuse_call_readlink(struct fuse_request *request)
{
	struct fuse_inode *inode;
	const int fd = fuse_get(request, request->head.nodeid, &inode);
	char target[PATH_MAX];
	ssize_t bytes;

	if (fd < 0)
		return fd;
	bytes = readlinkat(fd, "", target, sizeof(target));
	fuse_inode_put(&request->server->inodes, inode);
	return bytes < 0 ? -errno : fuse_reply(request, 0, target, (u32)bytes);
}

long fuse_call_statfs(struct fuse_request *request)
{
	struct fuse_statfs_out out = {.st = {.blocks = 0}};
	struct fuse_inode *inode;
	const int fd = fuse_get(request, request->head.nodeid, &inode);
	struct statfs status;
	int error;

	if (fd < 0)
		return fd;
	error = fstatfs(fd, &status) ? -errno : 0;
	fuse_inode_put(&request->server->inodes, inode);
	if (error)
		return error;
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

/* The name of an attribute, at an offset of the body; NULL: none. *end: behind it. */
static const char *xattr_name(const struct fuse_request *request, u32 offset, u32 *end)
{
	const char *name = (const char *)request->body + offset;
	size_t length;

	if (offset >= request->bytes)
		return NULL;
	length = strlen(name);
	if (length == 0 || length > XATTR_NAME_MAX || offset + length >= request->bytes)
		return NULL;
	*end = offset + (u32)length + 1;
	return name;
}

/* A descriptor for the inode's attributes; to be closed. */
static int xattr_open(struct fuse_request *request)
{
	struct fuse_inode *inode;
	int fd = fuse_get(request, request->head.nodeid, &inode);

	if (fd < 0)
		return fd;
	fd = inode->empty ? -EOPNOTSUPP : open_again(request, inode, O_RDONLY);
	fuse_inode_put(&request->server->inodes, inode);
	return fd;
}

long fuse_call_setxattr(struct fuse_request *request)
{
	/* Without FUSE_SETXATTR_EXT it ends in front of setxattr_flags. */
	const u32 head = offsetof(struct fuse_setxattr_in, setxattr_flags);
	struct fuse_setxattr_in in;
	const char *name;
	long result;
	u32 end;
	int fd;

	if (!fuse_args(request, &in, head) || !(name = xattr_name(request, head, &end)) ||
	    in.size > XATTR_SIZE_MAX || in.size > request->bytes - end)
		return -EINVAL;
	if (!is_users(name))
		return -EOPNOTSUPP;
	fd = xattr_open(request);
	if (fd < 0)
		return fd;
	result = fsetxattr(fd, name, request->body + end, in.size, (int)in.flags) ? -errno : 0;
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

/* Answers how long a value (or, without a name, the list of names) is, and what it is. */
static long read_xattr(struct fuse_request *request, u32 size, const char *name)
{
	struct fuse_getxattr_out out = {.size = 0};
	const int fd = xattr_open(request);
	char *value;
	ssize_t bytes;
	long result;

	if (fd < 0 && (name || fd != -EOPNOTSUPP))
		return fd == -EOPNOTSUPP ? -ENODATA : fd;
	value = malloc(XATTR_SIZE_MAX);
	bytes = fd < 0 || !value ? 0
		: name           ? fgetxattr(fd, name, value, XATTR_SIZE_MAX)
				 : flistxattr(fd, value, XATTR_SIZE_MAX);
	result = !value ? -ENOMEM : bytes < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (!result && !name)
		bytes = keep_users(value, bytes);
	out.size = (u32)bytes;
	if (!result && size == 0)
		result = fuse_reply(request, 0, &out, sizeof(out));
	else if (!result)
		result = (u32)bytes > size ? -ERANGE : fuse_reply(request, 0, value, (u32)bytes);
	free(value);
	return result;
}

long fuse_call_getxattr(struct fuse_request *request)
{
	struct fuse_getxattr_in in;
	const char *name;
	u32 end;

	if (!fuse_args(request, &in, sizeof(in)) || !(name = xattr_name(request, sizeof(in), &end)))
		return -EINVAL;
	return is_users(name) ? read_xattr(request, in.size, name) : -EOPNOTSUPP;
}

long fuse_call_listxattr(struct fuse_request *request)
{
	struct fuse_getxattr_in in;

	return fuse_args(request, &in, sizeof(in)) ? read_xattr(request, in.size, NULL) : -EINVAL;
}

long fuse_call_removexattr(struct fuse_request *request)
{
	const char *name;
	long result;
	u32 end;
	int fd;

	if (!(name = xattr_name(request, 0, &end)))
		return -EINVAL;
	if (!is_users(name))
		return -EOPNOTSUPP;
	fd = xattr_open(request);
	if (fd < 0)
		return fd;
	result = fremovexattr(fd, name) ? -errno : 0;
	close(fd);
	return result;
}
