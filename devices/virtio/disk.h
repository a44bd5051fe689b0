/*
 * The host's end of a disk: a raw image or a block device, and what is laid over it.
 *
 * disk_open() does all that needs a path: opens, checks, locks. Afterwards a disk is a few
 * descriptors and its geometry, and I/O to it is a struct disk_op that a worker hands to its struct
 * io. An operation may take several steps (a short read, a range that lies partly in the overlay, a
 * host that can't zero a range by itself); disk_op takes them one after the other and calls done()
 * once.
 *
 * Modes:
 *   direct     O_DIRECT, past the host's page cache. Pieces that aren't aligned as the host wants
 *              it take the way through the page cache, which the kernel keeps coherent.
 *   ephemeral  the image is only read. Writes go to an unlinked sparse file (in $TMPDIR, or memory
 *              where that can't be had), a bitmap knows which sectors lie there. All workers of the
 *              disk share the bitmap; its words are atomic.
 *
 * Locks: an OFD lock on the whole image, exclusive for a disk that is written to, shared for one
 * that isn't, so that two machines never write to one image.
 *
 * Limits: raw images only; other formats are recognised by their magic and refused. A size is read
 * once: an image that shrinks gives errors, one that grows keeps its size.
 */
#ifndef BANTAM_DEVICES_VIRTIO_DISK_H
#define BANTAM_DEVICES_VIRTIO_DISK_H

#include <stdatomic.h>

#include "devices/virtio/limit.h"
#include "vmm/error.h"
#include "vmm/io.h"
#include "vmm/types.h"

enum { DISK_SECTOR_BYTES = 512, DISK_SERIAL_BYTES = 20 };

/* What the user asked for. */
struct disk_config {
	const char *path;
	bool read_only, ephemeral, direct;
	char serial[DISK_SERIAL_BYTES + 1]; /* or empty */
	unsigned queues;                    /* 1 to 16 */
	struct limit limit;
};

struct disk {
	const struct disk_config *config;
	int fd;         /* -1 when not open */
	int direct_fd;  /* the same file with O_DIRECT, or -1 */
	int overlay_fd; /* or -1 */
	u64 bytes;
	u32 block_bytes;       /* what the guest must not write less than: 512 or 4096 */
	u32 physical_bytes;    /* what it had better write at once */
	u32 direct_align;      /* of address and length, for direct_fd */
	_Atomic u64 *overlaid; /* a bit a sector: it is in the overlay */
	u64 overlaid_bytes;    /* of the bitmap's mapping */
};

/* Whether the image itself is written to. */
static inline bool disk_is_written(const struct disk_config *config)
{
	return !config->read_only && !config->ephemeral;
}

/* Makes a disk that disk_close() can close. */
void disk_init(struct disk *disk);

/*
 * Opens and checks the image. Returns 0, or -1 with err set to one line that names the file: it is
 * missing, a directory, not a multiple of 512 bytes, empty, in another format, not writable and not
 * ro, or in use by another machine.
 */
int disk_open(struct disk *disk, const struct disk_config *config, struct error *err);
void disk_close(struct disk *disk);

/* Adds the disk's descriptors to what a worker's I/O may touch. */
void disk_files(const struct disk *disk, struct io_setup *setup);

enum disk_kind { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_ZERO };

/* An operation under way. The owner fills in the first part and keeps it until done(). */
struct disk_op {
	enum disk_kind kind;
	u64 offset, bytes;   /* of the disk; checked by the owner, multiples of 512 */
	struct iovec *piece; /* for DISK_READ and DISK_WRITE; changed on the way */
	unsigned pieces;
	bool durable;   /* on the disk before done() */
	bool keep_room; /* DISK_ZERO: don't give the room back to the host */
	void (*done)(struct disk_op *op, int error); /* error: 0 or an errno */

	/* disk_op.c's own. */
	struct disk *disk;
	struct io *io;
	struct io_op io_op;
	u64 progress, step_bytes; /* done before this step, and this step's */
	struct iovec *rest;       /* the pieces that aren't done; the first may be so in part */
	unsigned rest_pieces;
	struct iovec cut; /* the step's last piece as it was, for the step may end within it */
	unsigned cut_at;
	bool by_hand; /* zeroes are written, for the host can't make them otherwise */
	bool syncing; /* this step is the last: to the disk */
};

/* Starts it on a worker's I/O. done() may be called at once, or from io_wait(). */
void disk_start(struct disk *disk, struct io *io, struct disk_op *op);

/* What the disk's files have among themselves. */

/*
 * disk_format.c: refuses an image that isn't raw, by its magic. Returns 0, or -1 with err set.
 * file_bytes: its size.
 */
int disk_check_format(int fd, const char *path, u64 file_bytes, struct error *err);

/* disk_overlay.c. Returns 0, or -1 with err set. */
int disk_overlay_open(struct disk *disk, struct error *err);
void disk_overlay_close(struct disk *disk);
/* The sectors from the one that `from` is in to the one that `to` is in, this one left out, lie in
 * the overlay now. */
void disk_overlay_mark(struct disk *disk, u64 from, u64 to);
/* How many bytes from `at`, `limit` at most, lie where the first one does; and where that is. */
u64 disk_overlay_run(const struct disk *disk, u64 at, u64 limit, bool *overlaid);

#endif
