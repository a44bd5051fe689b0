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
#include <sys/syscall.h>
#include <unistd.h>

#include "devices/virtio/fuse_server.h"
#include "devices/virtio/queue.h"
#include "vmm/sandbox.h"
#include "vmm/trace.h"

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

const char *fuse_text(struct fuse_request *request, size_t most)
{
	const char *text = (const char *)request->body + request->taken;
	/* There is a NUL behind the body. */
	const size_t length = request->taken < request->bytes ? strlen(text) : 0;

	if (length == 0 || length > most || request->taken + length >= request->bytes)
		return NULL;
	request->taken += (u32)length + 1;
	return text;
}

const char *fuse_name(struct fuse_request *request)
{
	const char *name = fuse_text(request, NAME_MAX);

	return name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0
		       ? name
		       : NULL;
}

int fuse_get(struct fuse_request *request, u64 nodeid, bool directory, struct fuse_inode **inode)
{
	struct fuse_inodes *inodes = &request->server->inodes;
	struct fuse_inode *found = fuse_inode_get(inodes, nodeid);
	int result = found ? fuse_inode_path(inodes, found) : -ENOENT;

	if (result >= 0 && directory && found->type != S_IFDIR)
		result = -ENOTDIR;
	else if (result >= 0 && directory && found->empty)
		result = -EACCES;
	if (result < 0)
		fuse_inode_put(inodes, found);
	*inode = result < 0 ? NULL : found;
	return result < 0 ? result : 0;
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
	const struct fuse_init_in *in = request->body;
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = FUSE_WRITE_BYTES,
		.time_gran = 1,
		.max_pages = FUSE_WRITE_BYTES / PAGE_BYTES,
	};

	if (in->major != FUSE_KERNEL_VERSION || in->minor < 31)
		return -EPROTO;
	out.max_readahead = in->max_readahead;
	out.flags = in->flags & wanted;
	if (export->cache == FUSE_CACHE_ALWAYS)
		out.flags |= in->flags &
			     (FUSE_CACHE_SYMLINKS | (export->read_only ? 0 : FUSE_WRITEBACK_CACHE));
	return fuse_reply(request, 0, &out, sizeof(out));
}

static long call_forget(struct fuse_request *request)
{
	const struct fuse_forget_in *in = request->body;

	fuse_inode_forget(&request->server->inodes, request->head.nodeid, in->nlookup);
	return 0;
}

static long call_batch_forget(struct fuse_request *request)
{
	const struct fuse_batch_forget_in *in = request->body;
	const struct fuse_forget_one *one = (const void *)(in + 1);
	const u32 whole = (request->bytes - (u32)sizeof(*in)) / (u32)sizeof(*one);

	for (u32 i = 0; i < in->count && i < whole; i++)
		fuse_inode_forget(&request->server->inodes, one[i].nodeid, one[i].nlookup);
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
	WRITES = 1,      /* refused where the directory is read-only */
	NO_REPLY = 2,    /* whatever happens */
	NAME = 4,        /* follows the struct */
	XATTR = 8,       /* the same: an attribute's, of those that are the guest's */
	HANDLE = 16,     /* begins the struct */
	OFFSET = 32,     /* stands behind it and isn't negative */
	INODE = 64,      /* is that of the header's node id */
	DIRECTORY = 128, /* the same, and names in it can be changed */
};

/* By opcode: what serves it, how many bytes of a struct the body begins with, and what it needs. */
static const struct {
	fuse_call *call;
	u16 bytes, flags;
} calls[] = {
	[FUSE_LOOKUP] = {fuse_call_lookup, 0, NAME | INODE},
	[FUSE_FORGET] = {call_forget, sizeof(struct fuse_forget_in), NO_REPLY},
	[FUSE_GETATTR] = {fuse_call_getattr, 0, INODE},
	[FUSE_SETATTR] = {fuse_call_setattr, sizeof(struct fuse_setattr_in), WRITES | INODE},
	[FUSE_READLINK] = {fuse_call_readlink, 0, INODE},
	[FUSE_SYMLINK] = {fuse_call_symlink, 0, WRITES | NAME | DIRECTORY},
	[FUSE_MKNOD] = {fuse_call_mknod, sizeof(struct fuse_mknod_in), WRITES | NAME | DIRECTORY},
	[FUSE_MKDIR] = {fuse_call_mkdir, sizeof(struct fuse_mkdir_in), WRITES | NAME | DIRECTORY},
	[FUSE_UNLINK] = {fuse_call_remove, 0, WRITES | NAME | DIRECTORY},
	[FUSE_RMDIR] = {fuse_call_remove, 0, WRITES | NAME | DIRECTORY},
	[FUSE_RENAME] = {fuse_call_rename, sizeof(struct fuse_rename_in),
			 WRITES | NAME | DIRECTORY},
	[FUSE_LINK] = {fuse_call_link, sizeof(struct fuse_link_in), WRITES | NAME | DIRECTORY},
	[FUSE_OPEN] = {fuse_call_open, sizeof(struct fuse_open_in), INODE},
	[FUSE_READ] = {fuse_call_read, sizeof(struct fuse_read_in), HANDLE | OFFSET},
	[FUSE_WRITE] = {fuse_call_write, sizeof(struct fuse_write_in), WRITES | HANDLE | OFFSET},
	[FUSE_STATFS] = {fuse_call_statfs, 0, INODE},
	[FUSE_RELEASE] = {fuse_call_release, sizeof(struct fuse_release_in), HANDLE},
	[FUSE_FSYNC] = {fuse_call_fsync, sizeof(struct fuse_fsync_in), HANDLE},
	/* Without FUSE_SETXATTR_EXT it ends in front of setxattr_flags. */
	[FUSE_SETXATTR] = {fuse_call_setxattr, offsetof(struct fuse_setxattr_in, setxattr_flags),
			   WRITES | XATTR | INODE},
	[FUSE_GETXATTR] = {fuse_call_getxattr, sizeof(struct fuse_getxattr_in), XATTR | INODE},
	[FUSE_LISTXATTR] = {fuse_call_getxattr, sizeof(struct fuse_getxattr_in), INODE},
	[FUSE_REMOVEXATTR] = {fuse_call_removexattr, 0, WRITES | XATTR | INODE},
	/* Older drivers send less of it, and take less. */
	[FUSE_INIT] = {call_init, offsetof(struct fuse_init_in, flags2), 0},
	[FUSE_OPENDIR] = {fuse_call_opendir, 0, INODE},
	[FUSE_READDIR] = {fuse_call_readdir, sizeof(struct fuse_read_in), HANDLE | OFFSET | INODE},
	[FUSE_RELEASEDIR] = {fuse_call_release, sizeof(struct fuse_release_in), HANDLE},
	[FUSE_FSYNCDIR] = {fuse_call_fsync, sizeof(struct fuse_fsync_in), HANDLE},
	[FUSE_CREATE] = {fuse_call_create, sizeof(struct fuse_create_in),
			 WRITES | NAME | DIRECTORY},
	/* What is under way is short, or can't be interrupted. */
	[FUSE_INTERRUPT] = {call_nothing, 0, NO_REPLY},
	[FUSE_DESTROY] = {call_destroy, 0, 0},
	[FUSE_BATCH_FORGET] = {call_batch_forget, sizeof(struct fuse_batch_forget_in), NO_REPLY},
	[FUSE_FALLOCATE] = {fuse_call_fallocate, sizeof(struct fuse_fallocate_in),
			    WRITES | HANDLE | OFFSET},
	[FUSE_READDIRPLUS] = {fuse_call_readdir, sizeof(struct fuse_read_in),
			      HANDLE | OFFSET | INODE},
	[FUSE_RENAME2] = {fuse_call_rename, sizeof(struct fuse_rename2_in),
			  WRITES | NAME | DIRECTORY},
	[FUSE_LSEEK] = {fuse_call_lseek, sizeof(struct fuse_lseek_in), HANDLE | OFFSET},
	[FUSE_COPY_FILE_RANGE] = {fuse_call_copy, sizeof(struct fuse_copy_file_range_in),
				  WRITES | HANDLE | OFFSET},
	[FUSE_SYNCFS] = {call_syncfs, 0, 0},
	[FUSE_TMPFILE] = {fuse_call_tmpfile, sizeof(struct fuse_create_in), WRITES | DIRECTORY},
};

#define OP(name) [FUSE_##name] = #name

static const char *const op_names[ARRAY_LEN(calls)] = {
	OP(LOOKUP),          OP(FORGET),      OP(GETATTR),     OP(SETATTR),   OP(READLINK),
	OP(SYMLINK),         OP(MKNOD),       OP(MKDIR),       OP(UNLINK),    OP(RMDIR),
	OP(RENAME),          OP(LINK),        OP(OPEN),        OP(READ),      OP(WRITE),
	OP(STATFS),          OP(RELEASE),     OP(FSYNC),       OP(SETXATTR),  OP(GETXATTR),
	OP(LISTXATTR),       OP(REMOVEXATTR), OP(INIT),        OP(OPENDIR),   OP(READDIR),
	OP(RELEASEDIR),      OP(FSYNCDIR),    OP(CREATE),      OP(INTERRUPT), OP(DESTROY),
	OP(BATCH_FORGET),    OP(FALLOCATE),   OP(READDIRPLUS), OP(RENAME2),   OP(LSEEK),
	OP(COPY_FILE_RANGE), OP(SYNCFS),      OP(TMPFILE)};

static void trace_request(const struct fuse_request *request, long result, u64 start_ns)
{
	const u32 opcode = request->head.opcode;
	const char *name = opcode < ARRAY_LEN(calls) ? op_names[opcode] : NULL;
	char how[64];

	if (result < 0)
		snprintf(how, sizeof(how), "%s", strerror((int)-result));
	else
		snprintf(how, sizeof(how), "ok, %ld bytes", result);
	trace_span(request->server->trace, TRACE_FS, start_ns, "%s inode %llu%s%s%s → %s",
		   name ? name : "unknown", (u64)request->head.nodeid,
		   request->shown[0] ? " '" : "", request->shown, request->shown[0] ? "'" : "",
		   how);
}

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

/* Finds what the call needs. Returns 0 or -errno. */
static long prepare(struct fuse_request *request, u32 bytes, unsigned flags)
{
	struct fuse_server *server = request->server;
	const u64 *number = request->body; /* a handle and an offset */
	int wrong;

	if (flags & WRITES && server->export.read_only)
		return -EROFS;
	if (request->bytes < bytes)
		return -EINVAL;
	request->taken = bytes;
	if (flags & NAME && !(request->name = fuse_name(request)))
		return strlen((const char *)request->body + bytes) > NAME_MAX ? -ENAMETOOLONG
									      : -EINVAL;
	if (flags & XATTR && (wrong = fuse_xattr_name(request)))
		return wrong;
	if (flags & OFFSET && number[1] > INT64_MAX)
		return -EINVAL;
	if (flags & HANDLE &&
	    !(request->handle = fuse_handle_get(server, request->head.nodeid, number[0])))
		return -EBADF;
	if (flags & (INODE | DIRECTORY))
		return fuse_get(request, request->head.nodeid, flags & DIRECTORY, &request->inode);
	return 0;
}

static bool traced(const struct fuse_server *server)
{
	return server->trace && trace_on(server->trace, TRACE_FS);
}

/* Copies the body and makes the call. */
static long serve_body(struct fuse_request *request)
{
	struct fuse_store *store = &request->server->inodes.store;
	_Alignas(u64) u8 small[1024];
	u8 *copy = request->bytes < sizeof(small) ? small
						  : fuse_store_take(store, request->bytes + 1);
	const u32 opcode = request->head.opcode;
	long result;

	if (!copy)
		return -ENOMEM;
	virtq_copy(request->in, request->ins, sizeof(request->head), copy, request->bytes, false);
	copy[request->bytes] = '\0';
	request->body = copy;
	result = prepare(request, calls[opcode].bytes, calls[opcode].flags);
	if (request->name && traced(request->server))
		snprintf(request->shown, sizeof(request->shown), "%s", request->name);
	if (!result)
		result = calls[opcode].call(request);
	fuse_inode_put(&request->server->inodes, request->inode);
	fuse_handle_put(request->server, request->handle);
	request->body = request->name = NULL;
	if (copy != small)
		fuse_store_give(store, copy);
	return result;
}

size_t fuse_serve(struct fuse_server *server, const struct iovec *in, unsigned ins,
		  const struct iovec *out, unsigned outs)
{
	struct fuse_request request = {
		.server = server, .in = in, .ins = ins, .out = out, .outs = outs};
	const size_t given = bytes_of(in, ins), room = bytes_of(out, outs);
	struct fuse_out_header head = {.len = sizeof(head)};
	const u64 start_ns = traced(server) ? clock_now_ns() : 0;
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
	if (start_ns)
		trace_request(&request, result, start_ns);
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
	    fuse_inodes_init(&own->inodes, root, export->descriptors / 4) ||
	    !(own->handle = calloc(export->descriptors / 2, sizeof(struct fuse_handle *)))) {
		error_set(err, "'%s' can't be shared: %s",
			  own->paths_fd < 0 ? "/proc/self/fd" : export->directory, strerror(errno));
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
	own->handles_max = export->descriptors / 2;
	own->dev = status.st_dev;
	own->as_root = geteuid() == 0 && export->host_uid == 0;
	own->gid = getegid();
	own->valid_s = export->cache == FUSE_CACHE_NONE     ? 0
		       : export->cache == FUSE_CACHE_ALWAYS ? VALID_ALWAYS_S
							    : VALID_AUTO_S;
	pthread_mutex_init(&own->lock, NULL);
	hide(own);
	*server = own;
	return 0;
}

void fuse_trace(struct fuse_server *server, struct trace *trace)
{
	server->trace = trace;
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
		fuse_store_give(&server->inodes.store, server->handle[i]);
	free(server->handle);
	fuse_inodes_destroy(&server->inodes);
	close(server->paths_fd);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
