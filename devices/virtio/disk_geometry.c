/*
 * Sizes and alignments of a disk's file: see disk.h. What direct I/O wants is tried: statx(2) tells
 * it since Linux 6.1 only, and not on every file system.
 */
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "devices/virtio/disk.h"

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

int disk_measure_device(struct disk *disk)
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

void disk_measure_file(struct disk *disk, u64 file_bytes, u64 preferred_bytes)
{
	disk->bytes = file_bytes;
	disk->block_bytes = BLOCK_MIN;
	/* More than a page is what a network likes in one piece, and no unit of writing. */
	disk->physical_bytes = bounded(preferred_bytes, BLOCK_MIN, BLOCK_MAX);
}

/* Whether a read works that is aligned so, and no better. */
static bool reads_at(int fd, u32 align)
{
	u8 *buffer = aligned_alloc(2 * BLOCK_MAX, 2 * BLOCK_MAX);
	ssize_t got;

	if (!buffer)
		return false;
	got = pread(fd, buffer + align, align, 0);
	free(buffer);
	return got > 0;
}

u32 disk_direct_align(int fd)
{
	return reads_at(fd, BLOCK_MIN) ? BLOCK_MIN : reads_at(fd, BLOCK_MAX) ? BLOCK_MAX : 0;
}
