/*
 * An operation on a disk, step by step: see disk.h.
 *
 * A step is one io_op. Before each it is decided how far it goes and to which file; after it,
 * whether it is repeated (EINTR), the operation goes on behind it (a short transfer, another run of
 * the overlay), is done in another way (zeroes by hand), is followed by a sync, or is done.
 */
#include <errno.h>

#include "devices/virtio/disk.h"

/* Zeroes that are written by hand: so much in a step, all of it the same page. */
enum { ZERO_BYTES = 4096, ZERO_PIECES = 64 };

static const u8 zeroes[ZERO_BYTES] __attribute__((aligned(ZERO_BYTES)));

#define ZERO_1                                                                                     \
	{                                                                                          \
		(void *)zeroes, ZERO_BYTES                                                         \
	}
#define ZERO_4  ZERO_1, ZERO_1, ZERO_1, ZERO_1
#define ZERO_16 ZERO_4, ZERO_4, ZERO_4, ZERO_4

static const struct iovec zero_piece[ZERO_PIECES] = {ZERO_16, ZERO_16, ZERO_16, ZERO_16};

static bool moves_data(const struct disk_op *op)
{
	return op->kind == DISK_READ || op->kind == DISK_WRITE;
}

/* The image: directly, where that is wanted and all of the step is aligned for it. */
static int image_fd(const struct disk *disk, const struct io_op *step)
{
	u64 bits = step->offset;

	if (disk->direct_fd < 0)
		return disk->fd;
	for (unsigned i = 0; i < step->pieces; i++)
		bits |= (u64)(uintptr_t)step->piece[i].iov_base | step->piece[i].iov_len;
	return (bits & (disk->direct_align - 1)) ? disk->fd : disk->direct_fd;
}

/* Makes the pieces that are left end where the step does. Returns how many take part. */
static unsigned cut_pieces(struct disk_op *op)
{
	u64 bytes = 0;
	unsigned i = 0;

	while (i < op->rest_pieces && bytes + op->rest[i].iov_len < op->step_bytes)
		bytes += op->rest[i++].iov_len;
	op->cut_at = i;
	if (i == op->rest_pieces)
		return i;
	op->cut = op->rest[i];
	op->rest[i].iov_len = op->step_bytes - bytes;
	return i + 1;
}

/* Puts the cut piece right again, and goes on by so many bytes. */
static void advance_pieces(struct disk_op *op, u64 bytes)
{
	if (op->cut_at < op->rest_pieces)
		op->rest[op->cut_at] = op->cut;
	for (; op->rest_pieces && bytes >= op->rest->iov_len; op->rest_pieces--)
		bytes -= op->rest++->iov_len;
	if (bytes) {
		op->rest->iov_base = (u8 *)op->rest->iov_base + bytes;
		op->rest->iov_len -= bytes;
	}
}

static void transfer_step(struct disk_op *op)
{
	struct disk *disk = op->disk;
	struct io_op *step = &op->io_op;
	bool overlaid = disk->overlaid != NULL;

	if (overlaid && op->kind == DISK_READ)
		op->step_bytes = disk_overlay_run(disk, step->offset, op->step_bytes, &overlaid);
	step->kind = op->kind == DISK_READ ? IO_READ : IO_WRITE;
	step->pieces = cut_pieces(op);
	step->piece = op->rest;
	step->durable = op->durable && !overlaid;
	step->fd = overlaid ? disk->overlay_fd : image_fd(disk, step);
}

static void zero_step(struct disk_op *op)
{
	struct io_op *step = &op->io_op;

	step->kind = IO_WRITE;
	if (op->step_bytes < ZERO_BYTES) {
		op->cut = (struct iovec){(void *)zeroes, op->step_bytes};
		step->piece = &op->cut;
		step->pieces = 1;
	} else {
		step->pieces = op->step_bytes < ZERO_BYTES * ZERO_PIECES
				       ? (unsigned)(op->step_bytes / ZERO_BYTES)
				       : ZERO_PIECES;
		step->piece = zero_piece;
		op->step_bytes = (u64)step->pieces * ZERO_BYTES;
	}
	step->fd = op->disk->overlaid ? op->disk->overlay_fd : image_fd(op->disk, step);
}

static void take_step(struct disk_op *op)
{
	const struct disk *disk = op->disk;
	struct io_op *step = &op->io_op;

	op->step_bytes = op->bytes - op->progress;
	step->offset = op->offset + op->progress;
	if (op->syncing) {
		step->kind = IO_SYNC;
		step->fd = disk->fd;
	} else if (moves_data(op)) {
		transfer_step(op);
	} else if (op->by_hand) {
		zero_step(op);
	} else {
		step->kind = op->kind == DISK_ZERO && op->keep_room ? IO_ZERO : IO_PUNCH;
		step->fd = disk->overlaid ? disk->overlay_fd : disk->fd;
	}
	step->bytes = op->step_bytes;
	io_start(op->io, step);
}

static void go_on(struct disk_op *op)
{
	if (op->progress < op->bytes) {
		take_step(op);
	} else if (op->durable && !moves_data(op) && disk_is_written(op->disk->config)) {
		op->syncing = true;
		take_step(op);
	} else {
		op->done(op, 0);
	}
}

/* The host can't do this here, which is no error of the disk. */
static bool is_unsupported(int error)
{
	return error == EOPNOTSUPP || error == ENODEV || error == ENOSYS || error == EINVAL;
}

static void step_failed(struct disk_op *op, int error)
{
	if (error == EINTR || error == EAGAIN) {
		take_step(op);
	} else if (op->kind == DISK_DISCARD && !op->syncing && is_unsupported(error)) {
		op->done(op, 0); /* it is only a hint */
	} else if (op->kind == DISK_ZERO && !op->syncing && !op->by_hand && is_unsupported(error)) {
		op->by_hand = true;
		take_step(op);
	} else {
		op->done(op, error);
	}
}

static void step_done(struct io_op *step, int64_t result)
{
	struct disk_op *op = step->owner;
	const u64 from = op->offset + op->progress;
	u64 bytes = result > 0 ? (u64)result : 0;

	if (moves_data(op))
		advance_pieces(op, bytes);
	if (result < 0) {
		step_failed(op, (int)-result);
		return;
	}
	if (op->syncing) {
		op->done(op, 0);
		return;
	}
	if (!moves_data(op) && !op->by_hand)
		bytes = op->step_bytes; /* all or nothing */
	/* An image that was truncated: there is nothing to read, and never will be. */
	if (bytes == 0) {
		op->done(op, EIO);
		return;
	}
	op->progress += bytes;
	if (op->disk->overlaid && op->kind != DISK_READ)
		disk_overlay_mark(op->disk, from, from + bytes);
	go_on(op);
}

void disk_start(struct disk *disk, struct io *io, struct disk_op *op)
{
	u64 end;

	op->disk = disk;
	op->io = io;
	op->io_op = (struct io_op){.done = step_done, .owner = op};
	op->progress = 0;
	op->rest = op->piece;
	op->rest_pieces = op->pieces;
	op->by_hand = false;
	op->syncing = op->kind == DISK_FLUSH;
	if (op->kind == DISK_FLUSH && !disk_is_written(disk->config))
		op->done(op, 0);
	else if (op->kind == DISK_FLUSH)
		take_step(op);
	else if (add_overflows(op->offset, op->bytes, &end) || end > disk->bytes)
		op->done(op, EINVAL);
	else if (op->kind != DISK_READ && disk->config->read_only)
		op->done(op, EROFS);
	else
		go_on(op);
}
