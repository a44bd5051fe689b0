/*
 * The file server, requests: see fuse.h.
 *
 * A request is a header, a body that depends on its kind, and data. Header and body are copied before
 * they are looked at; data goes between guest memory and the file as it is. A reply is a header and a
 * body; an error is a header alone.
 *
 * Source: Linux include/uapi/linux/fuse.h, protocol 7.38; Documentation/filesystems/fuse.rst.
 */
#include "devices/virtio/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "devices/virtio/fuse_server.h"
#include "devices/virtio/queue.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(fuse,
	      CALL(syncfs, SANDBOX_FILES, "a file system of the guest's is to be on the disk"));

/* How long names and attributes are good for; images change only by us. */
enum { VALID_AUTO_S = 1, VALID_ALWAYS_S = 86400 };

long fuse_reply(struct fuse_request *request, u32 offset, const void *from, u32 bytes)
{
	if (offset > request->room || bytes > request->room - offset)
		return -ERANGE;
	/* The buffer is only read from. */
	virtq_copy(request->out, request->outs, (u32)sizeof(struct fuse_out_header) + offset,
		   (void *)(uintptr_t)from, bytes, true);
	return (long)offset + (long)bytes;
}

bool fuse_args(const struct fuse_request *request, void *args, u32 bytes)
{
	if (request->bytes < bytes)
		return false;
	memcpy(args, request->body, bytes);
	return true;
}

const char *fuse_name(const struct fuse_request *request, u32 offset, u32 *end)
{
	const char *name = (const char *)request->body + offset;
	size_t length;

	if (offset >= request->bytes)
		return NULL;
	length = strlen(name); /* there is a NUL behind the body */
	if (length == 0 || length >= FUSE_NAME_BYTES || offset + length >= request->bytes ||
	    strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return NULL;
	*end = offset + (u32)length + 1;
	return name;
}

int fuse_get(struct fuse_request *request, u64 nodeid, struct fuse_inode **inode)
{
	struct fuse_inodes *inodes = &request->server->inodes;
	int fd;

	*inode = fuse_inode_get(inodes, nodeid);
	if (!*inode)
		return -ENOENT;
	fd = fuse_inode_path(inodes, *inode);
	if (fd < 0) {
		fuse_inode_put(inodes, *inode);
		*inode = NULL;
	}
	return fd;
}

const char *fuse_path_name(char *text, int fd)
{
	snprintf(text, 12, "%d", fd);
	return text;
}

static long call_init(struct fuse_request *request)
{
	static const u32 wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ATOMIC_O_TRUNC |
				  FUSE_PARALLEL_DIROPS | FUSE_DO_READDIRPLUS |
				  FUSE_READDIRPLUS_AUTO | FUSE_MAX_PAGES | FUSE_ASYNC_DIO |
				  FUSE_AUTO_INVAL_DATA | FUSE_HANDLE_KILLPRIV_V2;
	const struct fuse_export *export = &request->server->export;
	struct fuse_init_in in = {.major = 0};
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = FUSE_WRITE_BYTES,
		.time_gran = 1,
		.max_pages = FUSE_WRITE_BYTES / PAGE_BYTES,
	};

	/* Older drivers send less of it, and take less. */
	if (!fuse_args(request, &in, offsetof(struct fuse_init_in, flags2)))
		return -EINVAL;
	if (in.major != FUSE_KERNEL_VERSION || in.minor < 31)
		return -EPROTO;
	out.max_readahead = in.max_readahead;
	out.flags = in.flags & wanted;
	if (export->cache == FUSE_CACHE_ALWAYS)
		out.flags |= in.flags &
			     (FUSE_CACHE_SYMLINKS | (export->read_only ? 0 : FUSE_WRITEBACK_CACHE));
	return fuse_reply(request, 0, &out, sizeof(out));
}

static long call_forget(struct fuse_request *request)
{
	struct fuse_forget_in in;

	if (fuse_args(request, &in, sizeof(in)))
		fuse_inode_forget(&request->server->inodes, request->head.nodeid, in.nlookup);
	return 0;
}

static long call_batch_forget(struct fuse_request *request)
{
	struct fuse_batch_forget_in in;
	struct fuse_forget_one one;

	if (!fuse_args(request, &in, sizeof(in)))
		return 0;
	for (u32 i = 0; i < in.count; i++) {
		const u64 at = sizeof(in) + i * (u64)sizeof(one);

		if (at + sizeof(one) > request->bytes)
			break;
		memcpy(&one, request->body + at, sizeof(one));
		fuse_inode_forget(&request->server->inodes, one.nodeid, one.nlookup);
	}
	return 0;
}

static long call_syncfs(struct fuse_request *request)
{
	return syncfs(request->server->inodes.root->fd) ? -errno : 0;
}

/* The guest has unmounted it; it may mount it again. */
static long call_destroy(struct fuse_request *request)
{
	fuse_reset(request->server);
	return 0;
}

static long call_nothing(struct fuse_request *request)
{
	(void)request;
	return 0;
}

enum {
	WRITES = 1,   /* refused where the directory is read-only */
	NO_REPLY = 2, /* whatever happens */
};

static const struct {
	fuse_call *call;
	unsigned flags;
} calls[] = {
	[FUSE_LOOKUP] = {fuse_call_lookup, 0},
	[FUSE_FORGET] = {call_forget, NO_REPLY},
	[FUSE_GETATTR] = {fuse_call_getattr, 0},
	[FUSE_SETATTR] = {fuse_call_setattr, WRITES},
	[FUSE_READLINK] = {fuse_call_readlink, 0},
	[FUSE_SYMLINK] = {fuse_call_symlink, WRITES},
	[FUSE_MKNOD] = {fuse_call_mknod, WRITES},
	[FUSE_MKDIR] = {fuse_call_mkdir, WRITES},
	[FUSE_UNLINK] = {fuse_call_unlink, WRITES},
	[FUSE_RMDIR] = {fuse_call_rmdir, WRITES},
	[FUSE_RENAME] = {fuse_call_rename, WRITES},
	[FUSE_LINK] = {fuse_call_link, WRITES},
	[FUSE_OPEN] = {fuse_call_open, 0},
	[FUSE_READ] = {fuse_call_read, 0},
	[FUSE_WRITE] = {fuse_call_write, WRITES},
	[FUSE_STATFS] = {fuse_call_statfs, 0},
	[FUSE_RELEASE] = {fuse_call_release, 0},
	[FUSE_FSYNC] = {fuse_call_fsync, 0},
	[FUSE_SETXATTR] = {fuse_call_setxattr, WRITES},
	[FUSE_GETXATTR] = {fuse_call_getxattr, 0},
	[FUSE_LISTXATTR] = {fuse_call_listxattr, 0},
	[FUSE_REMOVEXATTR] = {fuse_call_removexattr, WRITES},
	[FUSE_INIT] = {call_init, 0},
	[FUSE_OPENDIR] = {fuse_call_opendir, 0},
	[FUSE_READDIR] = {fuse_call_readdir, 0},
	[FUSE_RELEASEDIR] = {fuse_call_release, 0},
	[FUSE_FSYNCDIR] = {fuse_call_fsync, 0},
	[FUSE_CREATE] = {fuse_call_create, WRITES},
	/* What is under way is short, or can't be interrupted. */
	[FUSE_INTERRUPT] = {call_nothing, NO_REPLY},
	[FUSE_DESTROY] = {call_destroy, 0},
	[FUSE_BATCH_FORGET] = {call_batch_forget, NO_REPLY},
	[FUSE_FALLOCATE] = {fuse_call_fallocate, WRITES},
	[FUSE_READDIRPLUS] = {fuse_call_readdirplus, 0},
	[FUSE_RENAME2] = {fuse_call_rename2, WRITES},
	[FUSE_LSEEK] = {fuse_call_lseek, 0},
	[FUSE_COPY_FILE_RANGE] = {fuse_call_copy, WRITES},
	[FUSE_SYNCFS] = {call_syncfs, 0},
	[FUSE_TMPFILE] = {fuse_call_tmpfile, WRITES},
};

static size_t bytes_of(const struct iovec *piece, unsigned pieces)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < pieces; i++)
		bytes += piece[i].iov_len;
	return bytes;
}

/* How much of the request is body: a write's data isn't. */
static u32 body_bytes(const struct fuse_in_header *head)
{
	const u32 bytes = head->len - (u32)sizeof(*head);

	if (head->opcode == FUSE_WRITE && bytes > sizeof(struct fuse_write_in))
		return sizeof(struct fuse_write_in);
	return bytes;
}

/* Copies the body and makes the call. */
static long serve_body(struct fuse_request *request)
{
	u8 small[1024];
	u8 *copy = request->bytes < sizeof(small) ? small : malloc(request->bytes + 1);
	const u32 opcode = request->head.opcode;
	long result;

	if (!copy)
		return -ENOMEM;
	virtq_copy(request->in, request->ins, sizeof(request->head), copy, request->bytes, false);
	copy[request->bytes] = '\0';
	request->body = copy;
	if ((calls[opcode].flags & WRITES) && request->server->export.read_only)
		result = -EROFS;
	else
		result = calls[opcode].call(request);
	request->body = NULL;
	if (copy != small)
		free(copy);
	return result;
}

size_t fuse_serve(struct fuse_server *server, const struct iovec *in, unsigned ins,
		  const struct iovec *out, unsigned outs)
{
	struct fuse_request request = {
		.server = server, .in = in, .ins = ins, .out = out, .outs = outs};
	const size_t given = bytes_of(in, ins), room = bytes_of(out, outs);
	struct fuse_out_header head = {.len = sizeof(head)};
	long result;

	if (virtq_copy(in, ins, 0, &request.head, sizeof(request.head), false) <
	    sizeof(request.head))
		return 0;
	__asm__ volatile("" ::: "memory");
	if (room >= sizeof(head))
		request.room = (u32)(room - sizeof(head) < UINT32_MAX / 2 ? room - sizeof(head)
									  : UINT32_MAX / 2);
	if (request.head.len < sizeof(request.head) || request.head.len > given)
		result = -EINVAL;
	else if (request.head.opcode >= ARRAY_LEN(calls) || !calls[request.head.opcode].call)
		result = -ENOSYS;
	else if ((request.bytes = body_bytes(&request.head)) > FUSE_BODY_BYTES)
		result = -E2BIG;
	else
		result = serve_body(&request);
	if (room < sizeof(head) ||
	    (request.head.opcode < ARRAY_LEN(calls) && calls[request.head.opcode].flags & NO_REPLY))
		return 0;
	head.unique = request.head.unique;
	if (result < 0)
		head.error = (int)result;
	else
		head.len += (u32)result;
	virtq_copy(out, outs, 0, &head, sizeof(head), true);
	return head.len;
}

static void hide(struct fuse_server *server)
{
	const char *const *path = server->export.hidden;
	struct stat status;

	for (; path && *path && server->hiddens < FUSE_HIDDEN_MAX; path++) {
		if (stat(*path, &status))
			continue;
		server->hidden[server->hiddens].dev = status.st_dev;
		server->hidden[server->hiddens++].ino = status.st_ino;
	}
}

/*
 * How many descriptors this server may have: half of them for open files, a quarter for paths and an
 * eighth for unlinked files, so that some are left for everything else.
 */
static u32 descriptors(const struct fuse_export *export)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > 2 * FUSE_HANDLES_MAX)
		limit.rlim_cur = 2 * FUSE_HANDLES_MAX;
	return (u32)limit.rlim_cur / (export->shares ? export->shares : 1);
}

int fuse_open(struct fuse_server **server, const struct fuse_export *export, struct error *err)
{
	struct fuse_server *own = calloc(1, sizeof(*own));
	struct stat status;
	int root;

	if (!own)
		return error_set(err, "no memory for the file server");
	/* Not by O_PATH: what nobody may read here is refused at once. */
	root = open(export->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	own->paths_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || own->paths_fd < 0 || fstat(root, &status) ||
	    fuse_inodes_init(&own->inodes, root, descriptors(export) / 4)) {
		error_set(err, "'%s' can't be shared: %s",
			  root < 0 ? export->directory : "/proc/self/fd", strerror(errno));
		if (own->inodes.place)
			fuse_inodes_destroy(&own->inodes);
		else if (root >= 0)
			close(root);
		if (own->paths_fd >= 0)
			close(own->paths_fd);
		free(own);
		return -1;
	}
	own->export = *export;
	own->handles_max = descriptors(export) / 2;
	own->dev = status.st_dev;
	own->as_root = geteuid() == 0 && export->host_uid == 0;
	own->valid_s = export->cache == FUSE_CACHE_NONE     ? 0
		       : export->cache == FUSE_CACHE_ALWAYS ? VALID_ALWAYS_S
							    : VALID_AUTO_S;
	pthread_mutex_init(&own->lock, NULL);
	hide(own);
	*server = own;
	return 0;
}

int fuse_root(const struct fuse_server *server, bool *writable)
{
	*writable = !server->export.read_only;
	return server->inodes.root->fd;
}

void fuse_reset(struct fuse_server *server)
{
	fuse_handles_close(server);
	fuse_inodes_clear(&server->inodes);
}

void fuse_close(struct fuse_server *server)
{
	if (!server)
		return;
	fuse_handles_close(server);
	for (u32 i = 0; i < server->handles; i++)
		free(server->handle[i]);
	free(server->handle);
	fuse_inodes_destroy(&server->inodes);
	close(server->paths_fd);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
