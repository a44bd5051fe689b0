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
#include "devices/virtio/queue.h"
#include "vmm/readwrite.h"
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
	fuse_store_give(&server->inodes.store, handle->list);
	handle->list = NULL;
	if (place < server->first_free)
		server->first_free = place;
	pthread_mutex_unlock(&server->lock);
	close(fd);
	pthread_mutex_lock(&server->lock);
}

void fuse_handle_put(struct fuse_server *server, struct fuse_handle *handle)
{
	if (!handle)
		return;
	pthread_mutex_lock(&server->lock);
	handle->users--;
	close_unused(server, handle->place);
	pthread_mutex_unlock(&server->lock);
}

/* A free handle, or a new one; NULL: there is none. The lock is held. */
static struct fuse_handle *find_place(struct fuse_server *server)
{
	struct fuse_handle *handle;

	for (; server->first_free < server->handles; server->first_free++) {
		if (server->handle[server->first_free]->fd < 0)
			return server->handle[server->first_free];
	}
	if (server->handles == server->handles_max)
		return NULL;
	handle = fuse_store_take(&server->inodes.store, sizeof(*handle));
	if (!handle)
		return NULL;
	*handle = (struct fuse_handle){.fd = -1};
	pthread_mutex_init(&handle->lock, NULL);
	handle->place = server->handles++;
	server->handle[handle->place] = handle;
	return handle;
}

/* A handle for fd, or fd is closed; and what the guest gets to know of it. 0, or -errno. */
static int add_handle(struct fuse_server *server, u64 nodeid, int fd, bool directory,
		      struct fuse_open_out *out)
{
	const enum fuse_cache cache = server->export.cache;
	struct fuse_handle *handle;

	pthread_mutex_lock(&server->lock);
	handle = find_place(server);
	if (handle) {
		handle->closing = handle->ended = false;
		handle->nodeid = nodeid;
		handle->fd = fd;
		handle->at = 0;
		handle->list_at = handle->list_bytes = 0;
	}
	pthread_mutex_unlock(&server->lock);
	if (!handle) {
		close(fd);
		return -ENFILE;
	}
	*out = (struct fuse_open_out){.fh = (u64)handle->place + 1};
	if (cache == FUSE_CACHE_ALWAYS)
		out->open_flags = FOPEN_KEEP_CACHE | (directory ? FOPEN_CACHE_DIR : 0);
	else if (cache == FUSE_CACHE_NONE && !directory)
		out->open_flags = FOPEN_DIRECT_IO;
	return 0;
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

int fuse_open_flags(const struct fuse_server *server, u32 flags)
{
	int own = (int)flags & (O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC);

	if (server->export.read_only && (own & (O_ACCMODE | O_TRUNC)) != O_RDONLY)
		return -EROFS;
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
	struct statx status;
	char name[12];
	const int fd = fuse_open_at(server->paths_fd, fuse_path_name(name, path), flags, 0, 0);

	if (fd < 0)
		return fd;
	/*
	 * What the guest writes isn't to run with its owner's rights. The kernel takes them away by
	 * itself, but not when root writes.
	 */
	if (server->as_root && flags & (O_ACCMODE | O_TRUNC) && fuse_status(fd, "", &status) == 0 &&
	    status.stx_mode & (S_ISUID | S_ISGID))
		(void)!fchmodat(server->paths_fd, name, status.stx_mode & 01777, 0);
	return fd;
}

static long open_inode(struct fuse_request *request, int flags, u32 type)
{
	const struct fuse_inode *inode = request->inode;
	struct fuse_open_out out;
	int fd, result;

	if (inode->type != type)
		return type == S_IFDIR ? -ENOTDIR : inode->type == S_IFDIR ? -EISDIR : -ENXIO;
	/* In the place of one that appears empty, any will do: nothing of it is read. */
	fd = fuse_open_path(request->server, inode->empty ? request->server->paths_fd : inode->fd,
			    flags);
	if (fd < 0)
		return fd;
	result = add_handle(request->server, request->head.nodeid, fd, type == S_IFDIR, &out);
	return result ? result : fuse_reply(request, 0, &out, sizeof(out));
}

long fuse_call_open(struct fuse_request *request)
{
	const struct fuse_open_in *in = request->body;
	const int flags = fuse_open_flags(request->server, in->flags);

	return flags < 0 ? flags : open_inode(request, flags, S_IFREG);
}

long fuse_call_opendir(struct fuse_request *request)
{
	return open_inode(request, O_RDONLY | O_DIRECTORY, S_IFDIR);
}

long fuse_call_release(struct fuse_request *request)
{
	pthread_mutex_lock(&request->server->lock);
	request->handle->closing = true;
	pthread_mutex_unlock(&request->server->lock);
	return 0;
}

static long reply_written(struct fuse_request *request, ssize_t done)
{
	const struct fuse_write_out out = {.size = (u32)done};

	return done < 0 ? -errno : fuse_reply(request, 0, &out, sizeof(out));
}

long fuse_call_read(struct fuse_request *request)
{
	const struct fuse_read_in *in = request->body;
	struct iovec piece[VIRTQ_PIECES_MAX];
	const unsigned pieces = virtq_cut(piece, request->out, request->outs,
					  sizeof(struct fuse_out_header),
					  in->size < request->room ? in->size : request->room);
	ssize_t done;

	do
		done = io_readv(request->handle->fd, piece, pieces, (long)in->offset);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -errno : done;
}

/*
 * Writes all that it can of a request's data. Returns how many bytes, or -errno. Of what the guest's
 * cache held back less than all is an error, for its kernel doesn't look at the number.
 */
static long write_data(const struct fuse_request *request, u32 head)
{
	const struct fuse_write_in *in = request->body;
	struct iovec piece[VIRTQ_PIECES_MAX];
	ssize_t done;
	u32 all = 0;

	do {
		const unsigned pieces =
			virtq_cut(piece, request->in, request->ins, head + all, in->size - all);

		done = io_writev(request->handle->fd, piece, pieces, (long)(in->offset + all), 0);
		all += done > 0 ? (u32)done : 0;
	} while (all < in->size && (done > 0 || (done < 0 && errno == EINTR)));
	if (done < 0 && (all == 0 || in->write_flags & FUSE_WRITE_CACHE))
		return -errno;
	return all;
}

long fuse_call_write(struct fuse_request *request)
{
	const struct fuse_write_in *in = request->body;
	const u32 head = sizeof(request->head) + sizeof(*in);

	if (in->size > request->head.len - head)
		return -EINVAL;
	return reply_written(request, write_data(request, head));
}

long fuse_call_fsync(struct fuse_request *request)
{
	const struct fuse_fsync_in *in = request->body;
	const int fd = request->handle->fd;

	return ((in->fsync_flags & FUSE_FSYNC_FDATASYNC) ? fdatasync(fd) : fsync(fd)) ? -errno : 0;
}

long fuse_call_lseek(struct fuse_request *request)
{
	const struct fuse_lseek_in *in = request->body;
	struct fuse_lseek_out out;
	off_t at;

	/* A directory's place is its list's. */
	if ((in->whence != SEEK_DATA && in->whence != SEEK_HOLE) || request->handle->list)
		return -EINVAL;
	at = lseek(request->handle->fd, (off_t)in->offset, (int)in->whence);
	out.offset = (u64)at;
	return at < 0 ? -errno : fuse_reply(request, 0, &out, sizeof(out));
}

long fuse_call_fallocate(struct fuse_request *request)
{
	const struct fuse_fallocate_in *in = request->body;

	if (in->length > INT64_MAX)
		return -EINVAL;
	return fallocate(request->handle->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length)
		       ? -errno
		       : 0;
}

long fuse_call_copy(struct fuse_request *request)
{
	const struct fuse_copy_file_range_in *in = request->body;
	off_t off_in = (off_t)in->off_in, off_out = (off_t)in->off_out;
	struct fuse_handle *to;
	long result;

	if (in->off_out > INT64_MAX || in->flags)
		return -EINVAL;
	to = fuse_handle_get(request->server, in->nodeid_out, in->fh_out);
	if (!to)
		return -EBADF;
	result = reply_written(
		request, copy_file_range(request->handle->fd, &off_in, to->fd, &off_out,
					 in->len < INT32_MAX ? (size_t)in->len : INT32_MAX, 0));
	fuse_handle_put(request->server, to);
	return result;
}

long fuse_reply_created(struct fuse_request *request, int fd, int result,
			const struct fuse_entry_out *entry)
{
	struct fuse_server *server = request->server;
	struct fuse_open_out out;

	if (result) {
		close(fd);
		return result;
	}
	result = add_handle(server, entry->nodeid, fd, false, &out);
	if (result) {
		fuse_inode_forget(&server->inodes, entry->nodeid, 1);
		return result;
	}
	fuse_reply(request, 0, entry, sizeof(*entry));
	return fuse_reply(request, sizeof(*entry), &out, sizeof(out));
}

/* A file without a name, which fd has open, becomes known: its descriptor is the only way to it. */
static int enter_nameless(struct fuse_request *request, int fd, struct fuse_entry_out *entry)
{
	struct fuse_server *server = request->server;
	struct fuse_inode *inode;
	struct statx status;
	const int path = fuse_open_path(server, fd, O_PATH);

	if (path < 0)
		return path;
	/* Of a descriptor that is open, this doesn't fail. */
	(void)fuse_status(fd, "", &status);
	inode = fuse_inode_found(&server->inodes, request->inode, ".", &status, path, false);
	if (!inode)
		return -ENOMEM;
	fuse_inode_unlinked(&server->inodes, inode, request->inode, ".");
	*entry = (struct fuse_entry_out){.nodeid = inode->nodeid, .attr_valid = server->valid_s};
	fuse_fill_attr(server, &status, false, &entry->attr);
	fuse_inode_put(&server->inodes, inode);
	return 0;
}

long fuse_call_tmpfile(struct fuse_request *request)
{
	const struct fuse_create_in *in = request->body;
	const int flags = O_TMPFILE | (fuse_open_flags(request->server, in->flags) & ~O_TRUNC);
	struct fuse_entry_out entry;
	int fd;

	if (in->mode & (S_ISUID | S_ISGID))
		return -EPERM;
	fd = fuse_open_beneath(request->inode->fd, ".", flags, in->mode & 01777);
	if (fd < 0)
		return fd;
	fuse_give(request, fd, "");
	return fuse_reply_created(request, fd, enter_nameless(request, fd, &entry), &entry);
}
