/*
 * What an ephemeral disk's guest has written: see disk.h.
 *
 * The overlay is a sparse file as large as the disk, and a sector lies in it where it lies in the
 * image. Its bit is set when the writing is done, with release, and looked at with acquire: whoever
 * sees the bit reads what was written, whichever worker did that. Bits are never cleared.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/disk.h"

enum { WORD_BITS = 64 };

/* A file without a name, as large as the disk, or -1. */
static int open_in(const char *directory, u64 bytes)
{
	const int fd = directory ? open(directory, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600)
				 : memfd_create("overlay", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)bytes)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int open_somewhere(u64 bytes)
{
	const char *const directories[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};

	for (size_t i = 0; i < ARRAY_LEN(directories); i++) {
		const int fd = directories[i] ? open_in(directories[i], bytes) : -1;

		if (fd >= 0)
			return fd;
	}
	say("no directory takes a file without a name: what the guest writes is kept in memory");
	return open_in(NULL, bytes);
}

int disk_overlay_open(struct disk *disk, struct error *err)
{
	const u64 sectors = disk->bytes / DISK_SECTOR_BYTES;
	void *bits;

	disk->overlay_fd = open_somewhere(disk->bytes);
	if (disk->overlay_fd < 0)
		return error_set(err,
				 "there is no room for what the guest writes: %s; set TMPDIR to a "
				 "directory that takes files of this size",
				 strerror(errno));
	disk->overlaid_bytes = align_up(sectors, WORD_BITS) / 8;
	bits = mmap(NULL, disk->overlaid_bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bits == MAP_FAILED)
		return error_set(err, "no memory for its table of written sectors: %s",
				 strerror(errno));
	disk->overlaid = bits;
	return 0;
}

void disk_overlay_close(struct disk *disk)
{
	if (disk->overlaid)
		munmap(disk->overlaid, disk->overlaid_bytes);
	if (disk->overlay_fd >= 0)
		close(disk->overlay_fd);
	disk->overlaid = NULL;
	disk->overlay_fd = -1;
}

void disk_overlay_mark(struct disk *disk, u64 from, u64 to)
{
	u64 sector = from / DISK_SECTOR_BYTES;
	const u64 end = to / DISK_SECTOR_BYTES;

	while (sector < end) {
		const unsigned bit = sector % WORD_BITS;
		const u64 room = WORD_BITS - bit;
		const u64 count = end - sector < room ? end - sector : room;
		const u64 bits = ~(u64)0 >> (WORD_BITS - count) << bit;

		atomic_fetch_or_explicit(&disk->overlaid[sector / WORD_BITS], bits,
					 memory_order_release);
		sector += count;
	}
}

u64 disk_overlay_run(const struct disk *disk, u64 at, u64 limit, bool *overlaid)
{
	u64 sector = at / DISK_SECTOR_BYTES;
	const u64 end = (at + limit + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES;
	/* The first word is looked at once: another worker may set bits of it meanwhile. */
	u64 word = atomic_load_explicit(&disk->overlaid[sector / WORD_BITS], memory_order_acquire);
	u64 run;

	*overlaid = word >> (sector % WORD_BITS) & 1;
	for (;;) {
		/* Bits of the other kind that lie ahead in this word. */
		const u64 others = (*overlaid ? ~word : word) >> (sector % WORD_BITS);

		if (others) {
			sector += (unsigned)__builtin_ctzll(others);
			break;
		}
		sector = align_down(sector, WORD_BITS) + WORD_BITS;
		if (sector >= end)
			break;
		word = atomic_load_explicit(&disk->overlaid[sector / WORD_BITS],
					    memory_order_acquire);
	}
	run = sector * DISK_SECTOR_BYTES - at;
	return run < limit ? run : limit;
}
