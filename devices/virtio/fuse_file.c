/*
 * The file server, open files: see fuse.h.
 *
 * Only regular files and directories are ever opened: a FIFO would wait, a device would act. A file
 * is opened by its O_PATH descriptor, so it is the one that the guest has looked up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/virtio/fuse_server.h"
#include "vmm/io.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(fuse_file, CALL(preadv2, SANDBOX_FILES, "files to the guest"),
	      CALL(pwritev2, SANDBOX_CHANGE, "files from the guest"),
	      CALL(fsync, SANDBOX_FILES, "a file is to be on the disk"),
	      CALL(fdatasync, SANDBOX_FILES, "a file is to be on the disk"),
	      CALL(lseek, SANDBOX_FILES, "data and holes; a directory's place"),
	      CALL(fallocate, SANDBOX_CHANGE, "room and holes"),
	      CALL(copy_file_range, SANDBOX_CHANGE, "copies"));

/* Handles: fh is a place in the table and 1 more. */

struct fuse_handle *fuse_handle_get(struct fuse_server *server, u64 nodeid, u64 fh)
{
	struct fuse_handle *handle = NULL;

	pthread_mutex_lock(&server->lock);
	if (fh && fh <= server->handles && server->handle[fh - 1]->fd >= 0 &&
	    server->handle[fh - 1]->nodeid == nodeid && !server->handle[fh - 1]->closing) {
		handle = server->handle[fh - 1];
		handle->users++;
	}
	pthread_mutex_unlock(&server->lock);
	return handle;
}

/* Closes what is to be closed, if nobody uses it. The lock is held, and free meanwhile. */
static void close_unused(struct fuse_server *server, u32 place)
{
	struct fuse_handle *handle = server->handle[place];
	const int fd = handle->fd;

	if (handle->users || !handle->closing || fd < 0)
		return;
	handle->fd = -1;
	if (place < server->first_free)
		server->first_free = place;
	pthread_mutex_unlock(&server->lock);
	close(fd);
	pthread_mutex_lock(&server->lock);
}

void fuse_handle_put(struct fuse_server *server, struct fuse_handle *handle)
{
	pthread_mutex_lock(&server->lock);
	handle->users--;
	close_unused(server, handle->place);
	pthread_mutex_unlock(&server->lock);
}

/* A free place, or a new one; -1: there is none. */
static long find_place(struct fuse_server *server)
{
	struct fuse_handle **grown;

	for (; server->first_free < server->handles; server->first_free++) {
		if (server->handle[server->first_free]->fd < 0)
			return (long)server->first_free;
	}
	if (server->handles == server->handles_max)
		return -1;
	grown = realloc(server->handle, (server->handles + 1) * sizeof(struct fuse_handle *));
	if (!grown)
		return -1;
	server->handle = grown;
	grown[server->handles] = calloc(1, sizeof(**grown));
	if (!grown[server->handles])
		return -1;
	grown[server->handles]->place = server->handles;
	pthread_mutex_init(&grown[server->handles]->lock, NULL);
	return (long)server->handles++;
}

int fuse_handle_add(struct fuse_server *server, u64 nodeid, int fd, u64 *fh)
{
	long place;

	pthread_mutex_lock(&server->lock);
	place = find_place(server);
	if (place >= 0) {
		server->handle[place]->closing = false;
		server->handle[place]->nodeid = nodeid;
		server->handle[place]->fd = fd;
	}
	pthread_mutex_unlock(&server->lock);
	*fh = (u64)place + 1;
	if (place >= 0)
		return 0;
	close(fd);
	return -ENFILE;
}

void fuse_handles_close(struct fuse_server *server)
{
	pthread_mutex_lock(&server->lock);
	for (u32 i = 0; i < server->handles; i++) {
		server->handle[i]->closing = true;
		close_unused(server, i);
	}
	pthread_mutex_unlock(&server->lock);
}

struct fuse_open_out fuse_opened(const struct fuse_server *server, u64 fh, bool directory)
{
	const enum fuse_cache cache = server->export.cache;

	return (struct fuse_open_out){
		.fh = fh,
		.open_flags = cache == FUSE_CACHE_ALWAYS
				      ? FOPEN_KEEP_CACHE | (directory ? FOPEN_CACHE_DIR : 0)
			      : cache == FUSE_CACHE_NONE && !directory ? FOPEN_DIRECT_IO
								       : 0};
}

int fuse_open_flags(const struct fuse_server *server, u32 flags)
{
	int own = (int)flags & (O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC);

	if (server->export.read_only && (own & (O_ACCMODE | O_TRUNC)) != O_RDONLY)
		return -1;
	/* With its writes held back, the guest reads what it writes parts of, and knows the end. */
	if (server->export.cache == FUSE_CACHE_ALWAYS) {
		own &= ~O_APPEND;
		if ((own & O_ACCMODE) == O_WRONLY)
			own = (own & ~O_ACCMODE) | O_RDWR;
	}
	return own;
}

int fuse_open_path(const struct fuse_server *server, int path, int flags)
{
	struct stat status;
	char name[12];
	const int fd = fuse_open_at(server->paths_fd, fuse_path_name(name, path), flags, 0, 0);

	if (fd < 0)
		return fd;
	/*
	 * What the guest writes isn't to run with its owner's rights. The kernel takes them away by
	 * itself, but not when root writes.
	 */
	if (server->as_root && flags & (O_ACCMODE | O_TRUNC) &&
	    fstatat(fd, "", &status, FUSE_AT_ITSELF) == 0 && status.st_mode & (S_ISUID | S_ISGID))
		(void)!fchmodat(server->paths_fd, name, status.st_mode & 01777, 0);
	return fd;
}

static int open_inode(struct fuse_request *request, int flags, u32 type)
{
	struct fuse_inode *inode;
	int fd = fuse_get(request, request->head.nodeid, &inode);

	if (fd < 0)
		return fd;
	if (inode->type != type)
		fd = type == S_IFDIR ? -ENOTDIR : inode->type == S_IFDIR ? -EISDIR : -ENXIO;
	else
		/* In the place of one that appears empty, any will do: nothing of it is read. */
		fd = fuse_open_path(request->server, inode->empty ? request->server->paths_fd : fd,
				    flags);
	fuse_inode_put(&request->server->inodes, inode);
	return fd;
}

static long reply_opened(struct fuse_request *request, int fd, bool directory)
{
	struct fuse_open_out out;
	u64 fh;
	int result;

	if (fd < 0)
		return fd;
	result = fuse_handle_add(request->server, request->head.nodeid, fd, &fh);
	if (result)
		return result;
	out = fuse_opened(request->server, fh, directory);
	return fuse_reply(request, 0, &out, sizeof(out));
}

long fuse_call_open(struct fuse_request *request)
{
	struct fuse_open_in in;
	int flags;

	if (!fuse_args(request, &in, sizeof(in)))
		return -EINVAL;
	flags = fuse_open_flags(request->server, in.flags);
	return flags < 0 ? -EROFS
			 : reply_opened(request, open_inode(request, flags, S_IFREG), false);
}

long fuse_call_opendir(struct fuse_request *request)
{
	return reply_opened(request, open_inode(request, O_RDONLY | O_DIRECTORY, S_IFDIR), true);
}

long fuse_call_release(struct fuse_request *request)
{
	struct fuse_release_in in;
	struct fuse_handle *handle;

	if (!fuse_args(request, &in, sizeof(in)))
		return -EINVAL;
	handle = fuse_handle_get(request->server, request->head.nodeid, in.fh);
	if (!handle)
		return -EBADF;
	pthread_mutex_lock(&request->server->lock);
	handle->closing = true;
	pthread_mutex_unlock(&request->server->lock);
	fuse_handle_put(request->server, handle);
	return 0;
}

/*
 * The pieces of guest memory from an offset on, `bytes` at most of them, for one system call. Returns
 * how many pieces; what doesn't fit is left out.
 */
static int cut(const struct iovec *piece, unsigned pieces, size_t offset, size_t bytes,
	       struct iovec *to, unsigned most)
{
	unsigned count = 0;

	for (; pieces && bytes && count < most; piece++, pieces--) {
		size_t length;

		if (offset >= piece->iov_len) {
			offset -= piece->iov_len;
			continue;
		}
		length = piece->iov_len - offset < bytes ? piece->iov_len - offset : bytes;
		to[count++] = (struct iovec){(u8 *)piece->iov_base + offset, length};
		bytes -= length;
		offset = 0;
	}
	return (int)count;
}

enum { PIECES = 130 };

long fuse_call_read(struct fuse_request *request)
{
	struct fuse_read_in in;
	struct fuse_handle *handle;
	struct iovec piece[PIECES];
	ssize_t done;
	int pieces;

	if (!fuse_args(request, &in, sizeof(in)) || in.offset > INT64_MAX)
		return -EINVAL;
	handle = fuse_handle_get(request->server, request->head.nodeid, in.fh);
	if (!handle)
		return -EBADF;
	pieces = cut(request->out, request->outs, sizeof(struct fuse_out_header),
		     in.size < request->room ? in.size : request->room, piece, PIECES);
	do
		done = io_readv(handle->fd, piece, (unsigned)pieces, (long)in.offset);
	while (done < 0 && errno == EINTR);
	done = done < 0 ? -errno : done;
	fuse_handle_put(request->server, handle);
	return done;
}

long fuse_call_write(struct fuse_request *request)
{
	const size_t head = sizeof(request->head) + sizeof(struct fuse_write_in);
	struct fuse_write_out out = {.size = 0};
	struct fuse_write_in in;
	struct fuse_handle *handle;
	struct iovec piece[PIECES];
	ssize_t done;
	int pieces;

	if (!fuse_args(request, &in, sizeof(in)) || in.offset > INT64_MAX ||
	    in.size > request->head.len - head)
		return -EINVAL;
	handle = fuse_handle_get(request->server, request->head.nodeid, in.fh);
	if (!handle)
		return -EBADF;
	pieces = cut(request->in, request->ins, head, in.size, piece, PIECES);
	do
		done = io_writev(handle->fd, piece, (unsigned)pieces, (long)in.offset, 0);
	while (done < 0 && errno == EINTR);
	done = done < 0 ? -errno : done;
	fuse_handle_put(request->server, handle);
	if (done < 0)
		return done;
	out.size = (u32)done;
	return fuse_reply(request, 0, &out, sizeof(out));
}

long fuse_call_fsync(struct fuse_request *request)
{
	struct fuse_fsync_in in;
	struct fuse_handle *handle;
	long result;

	if (!fuse_args(request, &in, sizeof(in)))
		return -EINVAL;
	handle = fuse_handle_get(request->server, request->head.nodeid, in.fh);
	if (!handle)
		return -EBADF;
	result = (in.fsync_flags & FUSE_FSYNC_FDATASYNC) ? fdatasync(handle->fd)
							 : fsync(handle->fd);
	result = result ? -errno : 0;
	fuse_handle_put(request->server, handle);
	return result;
}

long fuse_call_lseek(struct fuse_request *request)
{
	struct fuse_lseek_out out = {.offset = 0};
	struct fuse_lseek_in in;
	struct fuse_handle *handle;
	off_t at;

	if (!fuse_args(request, &in, sizeof(in)) || in.offset > INT64_MAX ||
	    (in.whence != SEEK_DATA && in.whence != SEEK_HOLE))
		return -EINVAL;
	handle = fuse_handle_get(request->server, request->head.nodeid, in.fh);
	if (!handle)
		return -EBADF;
	at = lseek(handle->fd, (off_t)in.offset, (int)in.whence);
	at = at < 0 ? -errno : at;
	fuse_handle_put(request->server, handle);
	if (at < 0)
		return at;
	out.offset = (u64)at;
	return fuse_reply(request, 0, &out, sizeof(out));
}

long fuse_call_fallocate(struct fuse_request *request)
{
	struct fuse_fallocate_in in;
	struct fuse_handle *handle;
	long result;

	if (!fuse_args(request, &in, sizeof(in)) || in.offset > INT64_MAX || in.length > INT64_MAX)
		return -EINVAL;
	handle = fuse_handle_get(request->server, request->head.nodeid, in.fh);
	if (!handle)
		return -EBADF;
	result = fallocate(handle->fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) ? -errno
											 : 0;
	fuse_handle_put(request->server, handle);
	return result;
}

long fuse_call_copy(struct fuse_request *request)
{
	struct fuse_copy_file_range_in in;
	struct fuse_write_out out = {.size = 0};
	struct fuse_handle *from, *to;
	ssize_t done = -EBADF;

	if (!fuse_args(request, &in, sizeof(in)) || in.off_in > INT64_MAX ||
	    in.off_out > INT64_MAX || in.flags)
		return -EINVAL;
	from = fuse_handle_get(request->server, request->head.nodeid, in.fh_in);
	to = fuse_handle_get(request->server, in.nodeid_out, in.fh_out);
	if (from && to) {
		off_t off_in = (off_t)in.off_in, off_out = (off_t)in.off_out;

		done = copy_file_range(from->fd, &off_in, to->fd, &off_out,
				       in.len < INT32_MAX ? (size_t)in.len : INT32_MAX, 0);
		done = done < 0 ? -errno : done;
	}
	if (from)
		fuse_handle_put(request->server, from);
	if (to)
		fuse_handle_put(request->server, to);
	if (done < 0)
		return done;
	out.size = (u32)done;
	return fuse_reply(request, 0, &out, sizeof(out));
}

int fuse_open_entry(struct fuse_server *server, int fd, const struct fuse_entry_out *entry,
		    struct fuse_open_out *opened)
{
	u64 fh;
	const int result = fuse_handle_add(server, entry->nodeid, fd, &fh);

	if (result)
		fuse_inode_forget(&server->inodes, entry->nodeid, 1);
	else
		*opened = fuse_opened(server, fh, false);
	return result;
}

/* A file without a name, which fd has open, becomes known: its descriptor is the only way to it. */
static int enter_nameless(struct fuse_server *server, struct fuse_inode *parent, int fd,
			  struct fuse_entry_out *entry)
{
	struct fuse_inode *inode;
	struct stat status;
	const int path = fuse_open_path(server, fd, O_PATH);

	if (path < 0)
		return path;
	/* Of a descriptor that is open, this doesn't fail. */
	(void)fstatat(fd, "", &status, FUSE_AT_ITSELF);
	inode = fuse_inode_found(&server->inodes, parent, ".", &status, path, false);
	if (!inode)
		return -ENOMEM;
	fuse_inode_unlinked(&server->inodes, inode, parent, ".");
	entry->nodeid = inode->nodeid;
	entry->attr_valid = server->valid_s;
	fuse_fill_attr(server, &status, false, &entry->attr);
	fuse_inode_put(&server->inodes, inode);
	return 0;
}

long fuse_call_tmpfile(struct fuse_request *request)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {.entry = {.nodeid = 0}};
	struct fuse_server *server = request->server;
	struct fuse_inode *parent;
	struct fuse_create_in in;
	int fd, flags, result;

	if (!fuse_args(request, &in, sizeof(in)))
		return -EINVAL;
	flags = fuse_open_flags(server, in.flags);
	if (flags < 0 || in.mode & (S_ISUID | S_ISGID))
		return flags < 0 ? -EROFS : -EPERM;
	fd = fuse_get(request, request->head.nodeid, &parent);
	if (fd < 0)
		return fd;
	fd = parent->empty
		     ? -EACCES
		     : fuse_open_beneath(fd, ".", O_TMPFILE | (flags & ~O_TRUNC), in.mode & 01777);
	if (fd >= 0)
		fuse_give(request, parent->fd, fd, "");
	result = fd < 0 ? fd : enter_nameless(server, parent, fd, &out.entry);
	fuse_inode_put(&server->inodes, parent);
	if (result && fd >= 0)
		close(fd);
	if (!result)
		result = fuse_open_entry(server, fd, &out.entry, &out.open);
	return result ? result : fuse_reply(request, 0, &out, sizeof(out));
}
