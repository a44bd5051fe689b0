/*
 * A file that is read into guest memory: see file.h.
 */
#include "boot/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/sandbox.h"

#ifdef __GLIBC__
SANDBOX_CALLS(file_glibc, CALL(newfstatat, SANDBOX_RESTART, "the kernel's size"));
#else
SANDBOX_CALLS(file_musl, CALL(fstat, SANDBOX_RESTART, "the kernel's size"));
#endif
SANDBOX_CALLS(file, CALL(pread64, SANDBOX_RESTART, "the kernel is loaded again"));

/* The most that one pread(2) is asked for; the kernel itself stops a little below 2 GiB. */
#define READ_MAX_BYTES ((u64)1 << 30)

static const char *kind_of(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a FIFO";
	if (S_ISSOCK(mode))
		return "a socket";
	return "a device";
}

static int refuse_open(const char *path, int error, struct error *err)
{
	if (error == EACCES)
		return error_set(err,
				 "permission denied; some systems keep kernels readable by root "
				 "alone: copy it with 'sudo install -m 644 %s .' and use the copy",
				 path);
	return error_set(err, "%s", strerror(error));
}

/* Looks at what was opened; closes it when it is of no use. */
static int inspect(struct boot_file *file, struct error *err)
{
	struct stat status;

	if (fstat(file->fd, &status))
		error_set(err, "%s", strerror(errno));
	else if (!S_ISREG(status.st_mode))
		error_set(err, "it is %s, not a regular file", kind_of(status.st_mode));
	else if (status.st_size == 0)
		error_set(err, "the file is empty");
	else {
		file->bytes = (u64)status.st_size;
		return 0;
	}
	file_close(file);
	return -1;
}

int file_open(struct boot_file *file, const char *path, int fd, struct error *err)
{
	*file = (struct boot_file){.fd = fd, .adopted = fd};
	/* O_NONBLOCK: opening a FIFO must not wait for its writer. */
	if (!fd)
		file->fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (file->fd < 0)
		return refuse_open(path, errno, err);
	return inspect(file, err);
}

int file_read(const struct boot_file *file, u64 offset, void *to, u64 bytes, struct error *err)
{
	u8 *at = to;
	u64 end;

	if (add_overflows(offset, bytes, &end) || end > file->bytes)
		return error_set(err,
				 "the file is truncated: it has %llu bytes, and bytes %llu to %llu "
				 "are needed",
				 file->bytes, offset, offset + bytes - 1);
	while (bytes > 0) {
		const u64 piece = bytes < READ_MAX_BYTES ? bytes : READ_MAX_BYTES;
		const ssize_t got = pread(file->fd, at, piece, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set(err, "reading it failed: %s", strerror(errno));
		if (got == 0)
			return error_set(err, "the file shrank while it was read");
		at += got;
		offset += (u64)got;
		bytes -= (u64)got;
	}
	return 0;
}

int file_copy(int to, int from, u64 at, u64 bytes)
{
	off_t offset = (off_t)at;

	while (bytes > 0) {
		const ssize_t sent = sendfile(to, from, &offset, bytes);

		if (sent <= 0) {
			errno = sent < 0 ? errno : EIO; /* the file is shorter */
			return -1;
		}
		bytes -= (u64)sent;
	}
	return 0;
}

void file_close(struct boot_file *file)
{
	if (file->fd >= 0 && !file->adopted)
		close(file->fd);
	file->fd = -1;
}
