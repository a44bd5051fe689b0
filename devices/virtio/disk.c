/*
 * A disk's image is opened, measured, checked and locked: see disk.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "devices/virtio/disk.h"

/*
 * When a bantam is killed, the kernel ends its io_uring in the background, and only then lets go of
 * the files. Who starts the next one at once shouldn't be told that the disk is in use.
 */
enum { LOCK_TRIES = 30, LOCK_PAUSE_NS = 10000000 };

static const char *kind_of(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a FIFO";
	return "a character device";
}

static int refuse_open(const struct disk_config *config, int error, struct error *err)
{
	const bool forbidden = error == EACCES || error == EPERM || error == EROFS;

	if (error == EISDIR)
		return error_set(err, "it is a directory, not a disk image");
	if (error == EBUSY)
		return error_set(err,
				 "the host uses this block device, is it mounted? Unmount it, or "
				 "add ,ro or ,ephemeral");
	if (forbidden && disk_is_written(config) && access(config->path, R_OK) == 0)
		return error_set(err,
				 "%s; add ,ro if the guest shall only read it, or ,ephemeral if "
				 "what it writes may be lost",
				 strerror(error));
	return error_set(err, "%s", strerror(error));
}

static int open_image(struct disk *disk, struct error *err)
{
	const struct disk_config *config = disk->config;
	/*
	 * O_EXCL: a block device that the host has mounted is refused; it means nothing for a file.
	 * O_NONBLOCK: opening a FIFO must not wait for its writer.
	 */
	const int access_mode = disk_is_written(config) ? O_RDWR | O_EXCL : O_RDONLY;

	for (unsigned tries = 0; tries < LOCK_TRIES; tries++) {
		const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};

		disk->fd = open(config->path, access_mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		if (disk->fd >= 0 || errno != EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	return disk->fd < 0 ? refuse_open(config, errno, err) : 0;
}

/* The two sizes of blocks that guests know. */
enum { BLOCK_MIN = 512, BLOCK_MAX = 4096 };

/* A size that the host told, as a power of two between two bounds. */
static u32 bounded(u64 bytes, u32 least, u32 most)
{
	u32 size = least;

	while (size < most && size < bytes)
		size *= 2;
	return size;
}

/* By its number: C libraries differ in the type of ioctl(2)'s request. */
static bool ask(int fd, unsigned long request, void *answer)
{
	return syscall(SYS_ioctl, fd, request, answer) == 0;
}

/* Sizes of a block device, which has no file's size. Returns 0, or -1 with errno. */
static int measure_device(struct disk *disk)
{
	unsigned physical = 0;
	int logical = 0;

	if (!ask(disk->fd, BLKGETSIZE64, &disk->bytes))
		return -1;
	if (!ask(disk->fd, BLKSSZGET, &logical) || logical < 0)
		logical = BLOCK_MIN;
	if (!ask(disk->fd, BLKPBSZGET, &physical))
		physical = BLOCK_MAX;
	disk->block_bytes = bounded((u64)logical, BLOCK_MIN, BLOCK_MAX);
	disk->physical_bytes = bounded(physical, disk->block_bytes, BLOCK_MAX);
	return 0;
}

/* The same of a file whose file system likes blocks of preferred_bytes. */
static void measure_file(struct disk *disk, u64 file_bytes, u64 preferred_bytes)
{
	disk->bytes = file_bytes;
	disk->block_bytes = BLOCK_MIN;
	/* More than a page is what a network likes in one piece, and no unit of writing. */
	disk->physical_bytes = bounded(preferred_bytes, BLOCK_MIN, BLOCK_MAX);
}

/*
 * Whether a direct read at this place works that is aligned so, and no better: it is tried, for statx(2)
 * tells it since Linux 6.1 only, and not on every file system.
 */
static bool reads_at(int fd, off_t at, u32 align)
{
	u8 *buffer = aligned_alloc(2 * BLOCK_MAX, 2 * BLOCK_MAX);
	ssize_t got;

	if (!buffer)
		return false;
	got = pread(fd, buffer + align, align, at);
	free(buffer);
	return got > 0;
}

/*
 * What direct I/O wants addresses and lengths to be multiples of; 0 when there is no such I/O. A hole
 * can be read however it is aligned, but what is written there later can't: data are looked for.
 */
static u32 direct_align(int fd)
{
	const off_t data = lseek(fd, 0, SEEK_DATA);
	const off_t at = data > 0 ? data / BLOCK_MAX * BLOCK_MAX : 0;
	const bool is_hole = data < 0 && errno == ENXIO;

	return !is_hole && reads_at(fd, at, BLOCK_MIN) ? BLOCK_MIN
	       : reads_at(fd, at, BLOCK_MAX)           ? BLOCK_MAX
						       : 0;
}

static int check_size(const struct disk *disk, struct error *err)
{
	const char *path = disk->config->path;

	if (disk->bytes == 0)
		return error_set(err, "it is empty; give it a size: truncate -s 1G '%s'", path);
	if (disk->bytes % DISK_SECTOR_BYTES)
		return error_set(err,
				 "its size, %llu bytes, is no multiple of 512; round it up: "
				 "truncate -s %%512 '%s'",
				 disk->bytes, path);
	return 0;
}

/* Looks at what was opened. */
static int inspect(struct disk *disk, struct error *err)
{
	struct stat status;

	if (fstat(disk->fd, &status))
		return error_set(err, "%s", strerror(errno));
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return error_set(err, "it is %s, not a file or a block device",
				 kind_of(status.st_mode));
	if (S_ISREG(status.st_mode))
		measure_file(disk, (u64)status.st_size, (u64)status.st_blksize);
	else if (measure_device(disk))
		return error_set(err, "the block device doesn't tell its size: %s",
				 strerror(errno));
	/* io_uring would answer EAGAIN where a file system has no other way than to wait. */
	if (fcntl(disk->fd, F_SETFL, 0) < 0)
		return error_set(err, "%s", strerror(errno));
	if (disk_check_format(disk->fd, disk->config->path, disk->bytes, err))
		return -1;
	return check_size(disk, err);
}

static bool set_lock(int fd, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static int lock_image(const struct disk *disk, struct error *err)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};

	for (int i = 0; i < LOCK_TRIES; i++) {
		/* A file system that has no locks (ENOLCK, EOPNOTSUPP, …) is used without. */
		if (set_lock(disk->fd, disk_is_written(disk->config) ? F_WRLCK : F_RDLCK) ||
		    (errno != EAGAIN && errno != EACCES))
			return 0;
		nanosleep(&pause, NULL);
	}
	return error_set(err, "it is in use by another bantam; several can share a disk that all "
			      "of them have with ,ro or ,ephemeral");
}

/* Opens the image a second time; somebody may have put another file in its place. */
static int open_direct(struct disk *disk, struct error *err)
{
	const int access_mode = disk_is_written(disk->config) ? O_RDWR : O_RDONLY;
	struct stat one, two;

	disk->direct_fd = open(disk->config->path, access_mode | O_DIRECT | O_NOCTTY | O_CLOEXEC);
	if (disk->direct_fd >= 0)
		disk->direct_align = direct_align(disk->direct_fd);
	if (disk->direct_fd < 0 && errno != EINVAL)
		return error_set(err, "%s", strerror(errno));
	if (disk->direct_align == 0)
		return error_set(err, "its file system doesn't take direct I/O: leave out ,direct");
	if (fstat(disk->fd, &one) || fstat(disk->direct_fd, &two) || one.st_dev != two.st_dev ||
	    one.st_ino != two.st_ino)
		return error_set(err, "the file was replaced while it was opened");
	return 0;
}

void disk_init(struct disk *disk)
{
	*disk = (struct disk){.fd = -1, .direct_fd = -1, .overlay_fd = -1};
}

int disk_open(struct disk *disk, const struct disk_config *config, struct error *err)
{
	disk->config = config;
	if (open_image(disk, err) || inspect(disk, err) || lock_image(disk, err) ||
	    (config->direct && open_direct(disk, err)) ||
	    (config->ephemeral && disk_overlay_open(disk, err))) {
		disk_close(disk);
		return error_prefix(err, "cannot use the disk '%s'", config->path);
	}
	return 0;
}

void disk_close(struct disk *disk)
{
	disk_overlay_close(disk);
	if (disk->direct_fd >= 0)
		close(disk->direct_fd);
	if (disk->fd >= 0)
		close(disk->fd);
	disk->fd = disk->direct_fd = -1;
}

void disk_files(const struct disk *disk, struct io_setup *setup)
{
	const int fds[] = {disk->fd, disk->direct_fd, disk->overlay_fd};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		if (fds[i] >= 0)
			setup->file[setup->files++] = fds[i];
	}
}
