/*
 * The file server, names: see fuse.h.
 *
 * A name is one component, looked for in a directory that the guest has looked up, and nothing is
 * followed: neither a symbolic link, which is the guest's to resolve, nor "..". A mount of the host's
 * below the directory is entered, unless it is one of the kernel's own file systems (proc, sysfs and
 * their like), through which the guest could reach this process or the host's kernel: those appear
 * empty, and so do the directories that are to be hidden.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
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

static bool is_hidden(const struct fuse_server *server, const struct stat *status)
{
	for (unsigned i = 0; i < server->hiddens; i++) {
		if (server->hidden[i].dev == status->st_dev &&
		    server->hidden[i].ino == status->st_ino)
			return true;
	}
	return false;
}

/* A descriptor for a name and what it is. 0, or -errno. */
static int look(const struct fuse_server *server, const struct fuse_inode *parent, const char *name,
		struct stat *status, int *fd, bool *empty)
{
	*fd = fuse_open_beneath(parent->fd, name, O_PATH, 0);
	if (*fd < 0)
		return *fd;
	if (fstatat(*fd, "", status, FUSE_AT_ITSELF)) {
		const int error = -errno;

		close(*fd);
		return error;
	}
	*empty = is_hidden(server, status) || (status->st_dev != parent->dev && is_kernels(*fd));
	if (!*empty || S_ISDIR(status->st_mode))
		return 0;
	close(*fd);
	return -ENOENT;
}

static int known(struct fuse_request *request, struct fuse_inode *parent, const char *name,
		 const struct stat *status, int fd, bool empty, struct fuse_entry_out *entry)
{
	struct fuse_server *server = request->server;
	struct fuse_inode *inode =
		fuse_inode_found(&server->inodes, parent, name, status, fd, empty);

	if (!inode)
		return -ENOMEM;
	*entry = (struct fuse_entry_out){.nodeid = inode->nodeid,
					 .entry_valid = server->valid_s,
					 .attr_valid = server->valid_s};
	fuse_fill_attr(server, status, empty, &entry->attr);
	fuse_inode_put(&server->inodes, inode);
	return 0;
}

int fuse_enter(struct fuse_request *request, struct fuse_inode *parent, const char *name,
	       struct fuse_entry_out *entry)
{
	struct stat status;
	bool empty = false;
	int fd, result;

	result = parent->empty ? -ENOENT
			       : look(request->server, parent, name, &status, &fd, &empty);
	return result ? result : known(request, parent, name, &status, fd, empty, entry);
}

/* Gets the directory that a request is about; not for a change in one that appears empty. */
static int get_directory(struct fuse_request *request, u64 nodeid, struct fuse_inode **inode)
{
	const int fd = fuse_get(request, nodeid, inode);
	int error = 0;

	if (fd < 0)
		return fd;
	if ((*inode)->type != S_IFDIR)
		error = -ENOTDIR;
	else if ((*inode)->empty)
		error = -EACCES;
	if (error)
		fuse_inode_put(&request->server->inodes, *inode);
	return error ? error : fd;
}

static long reply_entry(struct fuse_request *request, struct fuse_inode *parent, const char *name)
{
	struct fuse_entry_out entry = {.nodeid = 0};
	const int result = fuse_enter(request, parent, name, &entry);

	if (result)
		return result;
	return fuse_reply(request, 0, &entry, sizeof(entry));
}

long fuse_call_lookup(struct fuse_request *request)
{
	/* That there is no such name may be kept, too. */
	const struct fuse_entry_out none = {.entry_valid = request->server->valid_s};
	struct fuse_inode *parent;
	const char *name;
	long result;
	u32 end;
	int fd;

	name = fuse_name(request, 0, &end);
	if (!name)
		return strnlen((const char *)request->body, FUSE_NAME_BYTES) == FUSE_NAME_BYTES
			       ? -ENAMETOOLONG
			       : -EINVAL;
	fd = fuse_get(request, request->head.nodeid, &parent);
	if (fd < 0)
		return fd;
	result = reply_entry(request, parent, name);
	fuse_inode_put(&request->server->inodes, parent);
	if (result == -ENOENT && request->server->export.cache == FUSE_CACHE_ALWAYS)
		return fuse_reply(request, 0, &none, sizeof(none));
	return result;
}

void fuse_give(const struct fuse_request *request, int parent, int directory, const char *name)
{
	gid_t gid = fuse_gid(request->server, request->head.gid);
	struct stat status;

	if (!request->server->as_root)
		return;
	if (fstatat(parent, "", &status, FUSE_AT_ITSELF) == 0 && status.st_mode & S_ISGID)
		gid = (gid_t)-1;
	(void)!fchownat(directory, name, fuse_uid(request->server, request->head.uid), gid,
			AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

/* Something new has this name in the directory, if result is 0: replies what it is. */
static long reply_made(struct fuse_request *request, struct fuse_inode *parent, const char *name,
		       int result)
{
	if (result)
		return -errno;
	fuse_give(request, parent->fd, parent->fd, name);
	return reply_entry(request, parent, name);
}

long fuse_call_mknod(struct fuse_request *request)
{
	struct fuse_mknod_in in;
	struct fuse_inode *parent;
	const char *name;
	long result;
	u32 end;
	int fd;

	if (!fuse_args(request, &in, sizeof(in)) || !(name = fuse_name(request, sizeof(in), &end)))
		return -EINVAL;
	/* A device is one on the host, too; rights that come with execution as well. */
	if (S_ISCHR(in.mode) || S_ISBLK(in.mode) || in.mode & (S_ISUID | S_ISGID))
		return -EPERM;
	fd = get_directory(request, request->head.nodeid, &parent);
	if (fd < 0)
		return fd;
	result = reply_made(request, parent, name, mknodat(fd, name, in.mode, 0));
	fuse_inode_put(&request->server->inodes, parent);
	return result;
}

long fuse_call_mkdir(struct fuse_request *request)
{
	struct fuse_mkdir_in in;
	struct fuse_inode *parent;
	const char *name;
	long result;
	u32 end;
	int fd;

	if (!fuse_args(request, &in, sizeof(in)) || !(name = fuse_name(request, sizeof(in), &end)))
		return -EINVAL;
	fd = get_directory(request, request->head.nodeid, &parent);
	if (fd < 0)
		return fd;
	result = reply_made(request, parent, name, mkdirat(fd, name, in.mode & 01777));
	fuse_inode_put(&request->server->inodes, parent);
	return result;
}

long fuse_call_symlink(struct fuse_request *request)
{
	struct fuse_inode *parent;
	const char *name, *target;
	long result;
	u32 end;
	int fd;

	if (!(name = fuse_name(request, 0, &end)) || end >= request->bytes)
		return -EINVAL;
	target = (const char *)request->body + end; /* any text: it is the guest that follows it */
	fd = get_directory(request, request->head.nodeid, &parent);
	if (fd < 0)
		return fd;
	result = reply_made(request, parent, name, symlinkat(target, fd, name));
	fuse_inode_put(&request->server->inodes, parent);
	return result;
}

long fuse_call_link(struct fuse_request *request)
{
	struct fuse_server *server = request->server;
	struct fuse_inode *parent, *inode;
	struct fuse_link_in in;
	const char *name;
	long result;
	u32 end;
	int fd, from;

	if (!fuse_args(request, &in, sizeof(in)) || !(name = fuse_name(request, sizeof(in), &end)))
		return -EINVAL;
	fd = get_directory(request, request->head.nodeid, &parent);
	if (fd < 0)
		return fd;
	from = fuse_get(request, in.oldnodeid, &inode);
	if (from < 0) {
		result = from;
	} else {
		char number[12];

		result = linkat(server->paths_fd, fuse_path_name(number, from), fd, name,
				AT_SYMLINK_FOLLOW)
				 ? -errno
				 : reply_entry(request, parent, name);
		fuse_inode_put(&server->inodes, inode);
	}
	fuse_inode_put(&server->inodes, parent);
	return result;
}

static long remove_name(struct fuse_request *request, int flags)
{
	struct fuse_inodes *inodes = &request->server->inodes;
	struct fuse_inode *parent, *inode;
	const char *name;
	long result;
	u32 end;
	int fd;

	if (!(name = fuse_name(request, 0, &end)))
		return -EINVAL;
	fd = get_directory(request, request->head.nodeid, &parent);
	if (fd < 0)
		return fd;
	inode = fuse_inode_at(inodes, parent, name);
	result = unlinkat(fd, name, flags) ? -errno : 0;
	if (!result)
		fuse_inode_unlinked(inodes, inode, parent, name);
	fuse_inode_put(inodes, inode);
	fuse_inode_put(inodes, parent);
	return result;
}

long fuse_call_unlink(struct fuse_request *request)
{
	return remove_name(request, 0);
}

long fuse_call_rmdir(struct fuse_request *request)
{
	return remove_name(request, AT_REMOVEDIR);
}

static long rename_names(struct fuse_request *request, u64 new_parent, u32 flags, u32 offset)
{
	struct fuse_inodes *inodes = &request->server->inodes;
	struct fuse_inode *from, *to, *moved, *met;
	const char *old, *new;
	long result;
	u32 end;
	int from_fd, to_fd;

	if (!(old = fuse_name(request, offset, &end)) || !(new = fuse_name(request, end, &end)) ||
	    flags & ~(u32)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	from_fd = get_directory(request, request->head.nodeid, &from);
	if (from_fd < 0)
		return from_fd;
	to_fd = get_directory(request, new_parent, &to);
	if (to_fd < 0) {
		fuse_inode_put(inodes, from);
		return to_fd;
	}
	/* With a descriptor in use, what lies below is found while the name changes, too. */
	moved = fuse_inode_at(inodes, from, old);
	met = fuse_inode_at(inodes, to, new);
	result = syscall(SYS_renameat2, from_fd, old, to_fd, new, flags) ? -errno : 0;
	if (!result && flags & RENAME_EXCHANGE)
		fuse_inode_moved(inodes, met, from, old);
	else if (!result && met != moved)
		fuse_inode_unlinked(inodes, met, to, new);
	if (!result)
		fuse_inode_moved(inodes, moved, to, new);
	fuse_inode_put(inodes, moved);
	fuse_inode_put(inodes, met);
	fuse_inode_put(inodes, from);
	fuse_inode_put(inodes, to);
	return result;
}

long fuse_call_rename(struct fuse_request *request)
{
	struct fuse_rename_in in;

	if (!fuse_args(request, &in, sizeof(in)))
		return -EINVAL;
	return rename_names(request, in.newdir, 0, sizeof(in));
}

long fuse_call_rename2(struct fuse_request *request)
{
	struct fuse_rename2_in in;

	if (!fuse_args(request, &in, sizeof(in)))
		return -EINVAL;
	return rename_names(request, in.newdir, in.flags, sizeof(in));
}

/* Opens what has the name already, if it is a regular file. */
static int open_existing(const struct fuse_server *server, const struct fuse_inode *parent,
			 const char *name, int flags)
{
	struct stat status;
	bool empty;
	int path, fd;
	const int result = look(server, parent, name, &status, &path, &empty);

	if (result)
		return result;
	fd = S_ISREG(status.st_mode) ? fuse_open_path(server, path, flags) : -EINVAL;
	close(path);
	return fd;
}

static int create(struct fuse_request *request, struct fuse_inode *parent, const char *name,
		  const struct fuse_create_in *in)
{
	const int flags = fuse_open_flags(request->server, in->flags);
	int fd;

	if (in->mode & (S_ISUID | S_ISGID))
		return -EPERM;
	fd = fuse_open_beneath(parent->fd, name, flags | O_CREAT | O_EXCL | O_NOCTTY,
			       in->mode & 01777);
	if (fd == -EEXIST && !(in->flags & O_EXCL))
		return open_existing(request->server, parent, name, flags);
	if (fd >= 0)
		fuse_give(request, parent->fd, fd, "");
	return fd;
}

long fuse_call_create(struct fuse_request *request)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {.entry = {.nodeid = 0}};
	struct fuse_inode *parent;
	struct fuse_create_in in;
	const char *name;
	long result;
	u32 end;
	int fd;

	if (!fuse_args(request, &in, sizeof(in)) || !(name = fuse_name(request, sizeof(in), &end)))
		return -EINVAL;
	fd = get_directory(request, request->head.nodeid, &parent);
	if (fd < 0)
		return fd;
	fd = create(request, parent, name, &in);
	result = fd < 0 ? fd : fuse_enter(request, parent, name, &out.entry);
	fuse_inode_put(&request->server->inodes, parent);
	if (result && fd >= 0)
		close(fd);
	if (!result)
		result = fuse_open_entry(request->server, fd, &out.entry, &out.open);
	return result ? result : fuse_reply(request, 0, &out, sizeof(out));
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
static u32 add_entry(struct fuse_request *request, struct fuse_inode *directory,
		     const struct raw_entry *found, u32 at, bool plus)
{
	struct fuse_direntplus entry = {
		.dirent = {.ino = fuse_number(request->server, directory->dev, found->ino),
			   .off = (u64)found->off,
			   .namelen = (u32)strlen(found->name),
			   .type = found->type}};
	const u32 head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	const u32 bytes = (u32)FUSE_REC_ALIGN(head + entry.dirent.namelen);
	const u64 zero = 0;
	struct stat status;

	if (bytes > request->room - at)
		return 0;
	if (plus && !is_dot(found->name) &&
	    fstatat(directory->fd, found->name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) ==
		    0 &&
	    status.st_dev == directory->dev && !is_hidden(request->server, &status))
		(void)known(request, directory, found->name, &status, -1, false, &entry.entry_out);
	fuse_reply(request, at + bytes - (u32)sizeof(zero), &zero, sizeof(zero));
	fuse_reply(request, at, plus ? (void *)&entry : (void *)&entry.dirent, head);
	fuse_reply(request, at + head, found->name, entry.dirent.namelen);
	return at + bytes;
}

/* Reads from the place that the guest names on, as much as fits. */
static long read_entries(struct fuse_request *request, struct fuse_inode *directory, int fd,
			 const struct fuse_read_in *in, bool plus)
{
	_Alignas(struct raw_entry) char buffer[16384];
	u32 used = 0;

	if (in->size < request->room)
		request->room = in->size;
	if (lseek(fd, (off_t)in->offset, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		const long count = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));

		if (count < 0)
			return used ? (long)used : -errno;
		if (count == 0)
			return (long)used;
		for (long at = 0; at < count;) {
			const struct raw_entry *found = (const void *)(buffer + at);
			const u32 next = add_entry(request, directory, found, used, plus);

			if (next == 0)
				return (long)used;
			used = next;
			at += found->bytes;
		}
	}
}

static long read_directory(struct fuse_request *request, bool plus)
{
	struct fuse_read_in in;
	struct fuse_handle *handle;
	struct fuse_inode *directory;
	long result;

	if (!fuse_args(request, &in, sizeof(in)) || in.offset > INT64_MAX)
		return -EINVAL;
	handle = fuse_handle_get(request->server, request->head.nodeid, in.fh);
	if (!handle)
		return -EBADF;
	result = fuse_get(request, request->head.nodeid, &directory);
	if (result >= 0) {
		if (directory->empty) {
			result = 0;
		} else {
			pthread_mutex_lock(&handle->lock);
			result = read_entries(request, directory, handle->fd, &in, plus);
			pthread_mutex_unlock(&handle->lock);
		}
		fuse_inode_put(&request->server->inodes, directory);
	}
	fuse_handle_put(request->server, handle);
	return result;
}

long fuse_call_readdir(struct fuse_request *request)
{
	return read_directory(request, false);
}

long fuse_call_readdirplus(struct fuse_request *request)
{
	return read_directory(request, true);
}
