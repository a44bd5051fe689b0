/*
 * Asynchronous I/O through io_uring: see io.h.
 *
 * A ring is two arrays that are shared with the kernel. In the submission ring we write entries
 * (SQEs) and move the tail, the kernel reads them and moves the head; in the completion ring it is
 * the other way round. Whoever moves a tail publishes what lies before it: our tail is stored with
 * release, the kernel's is loaded with acquire. Whoever moves a head gives entries back: our head is
 * stored with release, so that the kernel can't overwrite a completion (CQE) that is still being
 * read, and the kernel's is loaded with acquire.
 *
 * io_wait() is one io_uring_enter(2), which hands in all new entries and sleeps until there is a
 * completion. What the kernel can do on the spot (a read of what is in the page cache, the ringing of
 * an eventfd) is complete before it would sleep, so it doesn't, and is reaped in the same turn.
 * Where the kernel has them, three flags save work: only one thread uses the ring (SINGLE_ISSUER),
 * completions are finished while it is in the kernel anyway (DEFER_TASKRUN), and it is not
 * interrupted for them (COOP_TASKRUN).
 *
 * Bells are eventfds under a multishot poll, which reports each ring after it was armed, and at
 * arming whether the counter isn't 0. The counter need not be read, and isn't: a ring that is
 * reported once is not reported again until somebody writes anew. Only when the kernel ends a poll
 * (older ones do after each report) the counter is read before the poll is armed again, or it would
 * report at once, over and over. What is rung between the two is still in the counter.
 *
 * The ring's end: when its descriptor is closed, the kernel cancels or waits for what is under way,
 * in the background. Registered files are let go of last. One of them is the writing end of a pipe,
 * so that a hang-up on the other end says that nothing touches our memory any more.
 *
 * Sizes: the submission ring has room for all operations, polls and rings at once, so it fills up
 * only for a caller who doesn't keep to the depth, and the completion ring for several times as
 * many. A burst of rings that fills it nevertheless is kept back by the kernel (FEAT_NODROP).
 *
 * Source: io_uring(7), io_uring_setup(2), io_uring_enter(2), io_uring_register(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/bell.h"
#include "vmm/io_engine.h"
#include "vmm/loop.h"

SANDBOX_CALLS(io_uring, CALL(io_uring_enter, SANDBOX_RING, "disk operations, bells, interrupts"),
	      CALL(preadv2, SANDBOX_RING, "a bell whose poll ended"),
	      CALL(poll, SANDBOX_RING, "the kernel is short of memory"));

enum {
	FILES_MAX = IO_FILES_MAX + IO_BELLS_MAX + IO_RINGS_MAX + 1,
	/* What user_data is when it is no operation: bells by number, then this. No pointer is. */
	DATA_RING = IO_BELLS_MAX,
	SPARE_CQES = 64,
};

/* What an operation can't do without: both rings in one mapping, and none of its completions lost. */
#define FEATURES_NEEDED ((u32)(IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP))

struct ring {
	struct io io;
	int fd;
	int end_fd; /* hangs up when the ring is gone */
	u32 features;

	_Atomic u32 *sq_head, *sq_tail;
	u32 tail; /* what sq_tail becomes with the next io_uring_enter(2) */
	u32 sq_mask;
	struct io_uring_sqe *sqe;

	_Atomic u32 *cq_head, *cq_tail;
	u32 cq_mask;
	const struct io_uring_cqe *cqe;

	/* The registered files; an SQE names them by their place. */
	int file[FILES_MAX];
	unsigned files, bells, all_files; /* operations' files first, then bells, then the rest */
	u32 bells_to_arm, rang;
	unsigned under_way; /* operations that were started and aren't done */
	u64 ringing;        /* files whose ringing is in the submission ring */

	void *rings, *sqes;
	size_t rings_bytes, sqes_bytes;
};

static struct ring *ring_of(struct io *io)
{
	return (struct ring *)io;
}

static u32 unsubmitted(const struct ring *ring)
{
	return ring->tail - atomic_load_explicit(ring->sq_head, memory_order_acquire);
}

/*
 * Hands in what is new and, if wait, sleeps until there is a completion. The kernel may take less
 * than all; what it didn't take is still in the ring.
 */
static void enter(struct ring *ring, bool wait)
{
	long result;

	atomic_store_explicit(ring->sq_tail, ring->tail, memory_order_release);
	ring->ringing = 0;
	result = syscall(SYS_io_uring_enter, ring->fd, unsubmitted(ring), wait ? 1 : 0,
			 IORING_ENTER_GETEVENTS, NULL, 0);
	/* EAGAIN, EBUSY: it has no memory for more, or no room; what is under way gives some back. */
	if (result < 0 && errno != EINTR)
		(void)poll(NULL, 0, 1);
}

static struct io_uring_sqe *add_sqe(struct ring *ring, u8 opcode, unsigned file, u64 user_data)
{
	struct io_uring_sqe *sqe;

	while (unsubmitted(ring) > ring->sq_mask)
		enter(ring, false);
	sqe = &ring->sqe[ring->tail++ & ring->sq_mask];
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = (int)file;
	sqe->user_data = user_data;
	return sqe;
}

/* The place of a registered file between two others, or `to` when it isn't there. */
static unsigned find_file(const struct ring *ring, unsigned from, unsigned to, int fd)
{
	while (from < to && ring->file[from] != fd)
		from++;
	return from;
}

static void ring_start(struct io *io, struct io_op *op)
{
	struct ring *ring = ring_of(io);
	const unsigned place = find_file(ring, 0, ring->files, op->fd);
	/* A file that isn't known becomes a place behind the last: the kernel says EBADF. */
	const unsigned file = place < ring->files ? place : FILES_MAX;
	struct io_uring_sqe *sqe = add_sqe(ring, IORING_OP_READV, file, (u64)(uintptr_t)op);

	ring->under_way++;
	sqe->off = op->offset;
	switch (op->kind) {
	case IO_WRITE:
		sqe->opcode = IORING_OP_WRITEV;
		sqe->rw_flags = op->durable ? RWF_DSYNC : 0;
		/* fall through */
	case IO_READ:
		sqe->addr = (u64)(uintptr_t)op->piece;
		sqe->len = op->pieces;
		break;
	case IO_SYNC:
		sqe->opcode = IORING_OP_FSYNC;
		sqe->off = 0;
		sqe->fsync_flags = IORING_FSYNC_DATASYNC;
		break;
	case IO_PUNCH:
	case IO_ZERO:
		/* The length is in addr and the mode in len. */
		sqe->opcode = IORING_OP_FALLOCATE;
		sqe->addr = op->bytes;
		sqe->len = FALLOC_FL_KEEP_SIZE |
			   (op->kind == IO_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
		break;
	}
}

static void ring_ring(struct io *io, int fd)
{
	static const u64 one = 1;
	struct ring *ring = ring_of(io);
	const unsigned file = find_file(ring, ring->files, ring->all_files, fd);
	struct io_uring_sqe *sqe;

	if (file == ring->all_files || !(ring->features & IORING_FEAT_CQE_SKIP)) {
		bell_ring(fd);
		return;
	}
	/* Twice before the next wait is heard as once. */
	if (ring->ringing & (u64)1 << file)
		return;
	sqe = add_sqe(ring, IORING_OP_WRITE, file, DATA_RING);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	sqe->addr = (u64)(uintptr_t)&one;
	sqe->len = sizeof(one);
	ring->ringing |= (u64)1 << file;
}

static void arm_bells(struct ring *ring)
{
	for (unsigned bell = 0; bell < ring->bells; bell++) {
		struct io_uring_sqe *sqe;

		if (!(ring->bells_to_arm & 1U << bell))
			continue;
		sqe = add_sqe(ring, IORING_OP_POLL_ADD, ring->files + bell, bell);
		sqe->poll32_events = POLLIN;
		/* Kernels before 5.13 have no multishot polls; they came together with these tags. */
		sqe->len = (ring->features & IORING_FEAT_RSRC_TAGS) ? IORING_POLL_ADD_MULTI : 0;
	}
	ring->bells_to_arm = 0;
}

static void bell_reported(struct ring *ring, unsigned bell, u32 flags)
{
	ring->rang |= 1U << bell;
	if (flags & IORING_CQE_F_MORE)
		return;
	(void)bell_silence(ring->file[ring->files + bell]);
	ring->bells_to_arm |= 1U << bell;
}

/* Takes the completions that are there now. Returns whether there were any. */
static bool reap(struct ring *ring)
{
	u32 head = atomic_load_explicit(ring->cq_head, memory_order_relaxed); /* ours alone */
	const u32 tail = atomic_load_explicit(ring->cq_tail, memory_order_acquire);
	const bool some = head != tail;

	while (head != tail) {
		const struct io_uring_cqe cqe = ring->cqe[head & ring->cq_mask];
		struct io_op *op;

		/* Given back before it is looked at: done() may need the room. */
		atomic_store_explicit(ring->cq_head, ++head, memory_order_release);
		if (cqe.user_data < IO_BELLS_MAX) {
			bell_reported(ring, (unsigned)cqe.user_data, cqe.flags);
		} else if (cqe.user_data > DATA_RING) {
			op = (struct io_op *)(uintptr_t)cqe.user_data;
			ring->under_way--;
			op->done(op, cqe.res);
		}
		/* A ringing that failed met a full counter: whoever listens has been told. */
	}
	return some;
}

static u32 ring_wait(struct io *io)
{
	struct ring *ring = ring_of(io);
	const u32 ready = atomic_load_explicit(ring->cq_tail, memory_order_relaxed) -
			  atomic_load_explicit(ring->cq_head, memory_order_relaxed);

	ring->rang = 0;
	if (ring->bells_to_arm)
		arm_bells(ring);
	if (!ready || unsubmitted(ring))
		enter(ring, true);
	while (!reap(ring))
		enter(ring, true);
	return ring->rang;
}

static void ring_enter(struct io *io)
{
	/* The thread that enables the ring is the one that SINGLE_ISSUER means. */
	(void)syscall(SYS_io_uring_register, ring_of(io)->fd, IORING_REGISTER_ENABLE_RINGS, NULL,
		      0);
}

/* The mappings go first: they hold the ring, too. */
static void ring_end(struct io *io)
{
	struct ring *ring = ring_of(io);

	if (ring->sqes)
		munmap(ring->sqes, ring->sqes_bytes);
	if (ring->rings)
		munmap(ring->rings, ring->rings_bytes);
	ring->sqes = ring->rings = NULL;
	if (ring->fd >= 0)
		close(ring->fd);
	ring->fd = -1;
}

/*
 * Waits even when nothing is under way, some 20 ms: until the kernel has let go of the files, an image
 * is locked, a block device busy for the next who wants it, and a file system can't be unmounted.
 */
static bool ring_close(struct io *io, unsigned timeout_ms)
{
	struct ring *ring = ring_of(io);

	ring_end(io);
	if (!loop_wait_for(ring->end_fd, 0, clock_now_ns() + (u64)timeout_ms * 1000000) &&
	    ring->under_way)
		return false;
	close(ring->end_fd);
	free(ring);
	return true;
}

static const struct io_engine ring_engine = {
	.kind = IO_URING,
	.enter = ring_enter,
	.start = ring_start,
	.ring = ring_ring,
	.wait = ring_wait,
	.end = ring_end,
	.close = ring_close,
};

/* Makes the ring with as many of the flags as this kernel knows. */
static int setup_ring(struct ring *ring, unsigned depth, struct io_uring_params *params)
{
	/* Newest first, and each only goes with those behind it. */
	static const u32 optional[] = {IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_SINGLE_ISSUER,
				       IORING_SETUP_COOP_TASKRUN, IORING_SETUP_SUBMIT_ALL};
	const unsigned entries = depth + IO_BELLS_MAX + IO_RINGS_MAX;
	u32 flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE;

	for (size_t i = 0; i < ARRAY_LEN(optional); i++)
		flags |= optional[i];
	for (size_t i = 0;; i++) {
		*params = (struct io_uring_params){.flags = flags,
						   .cq_entries = 2 * entries + SPARE_CQES};
		ring->fd = (int)syscall(SYS_io_uring_setup, entries, params);
		if (ring->fd >= 0 || errno != EINVAL || i == ARRAY_LEN(optional))
			break;
		flags &= ~optional[i];
	}
	if (ring->fd < 0)
		return -1;
	ring->features = params->features;
	if ((ring->features & FEATURES_NEEDED) == FEATURES_NEEDED)
		return 0;
	errno = ENOSYS;
	return -1;
}

static int map_rings(struct ring *ring, const struct io_uring_params *params)
{
	const size_t sq_bytes = params->sq_off.array + params->sq_entries * sizeof(u32);
	const size_t cq_bytes =
		params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
	void *mapping;

	ring->rings_bytes = sq_bytes > cq_bytes ? sq_bytes : cq_bytes;
	mapping = mmap(NULL, ring->rings_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		       ring->fd, IORING_OFF_SQ_RING);
	if (mapping == MAP_FAILED)
		return -1;
	ring->rings = mapping;
	ring->sqes_bytes = params->sq_entries * sizeof(struct io_uring_sqe);
	mapping = mmap(NULL, ring->sqes_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		       ring->fd, (off_t)IORING_OFF_SQES);
	if (mapping == MAP_FAILED)
		return -1;
	ring->sqes = mapping;
	return 0;
}

static void find_rings(struct ring *ring, const struct io_uring_params *params)
{
	u8 *base = ring->rings;
	u32 *array = (u32 *)(void *)(base + params->sq_off.array);

	ring->sq_head = (_Atomic u32 *)(void *)(base + params->sq_off.head);
	ring->sq_tail = (_Atomic u32 *)(void *)(base + params->sq_off.tail);
	ring->sq_mask = params->sq_entries - 1;
	ring->sqe = ring->sqes;
	ring->cq_head = (_Atomic u32 *)(void *)(base + params->cq_off.head);
	ring->cq_tail = (_Atomic u32 *)(void *)(base + params->cq_off.tail);
	ring->cq_mask = params->cq_entries - 1;
	ring->cqe = (const struct io_uring_cqe *)(void *)(base + params->cq_off.cqes);
	/* The array would let SQEs be handed in in another order; ours never are. */
	for (u32 i = 0; i < params->sq_entries; i++)
		array[i] = i;
}

static void list_files(struct ring *ring, const struct io_setup *setup)
{
	ring->files = setup->files;
	ring->bells = setup->bells;
	for (unsigned i = 0; i < setup->files; i++)
		ring->file[ring->all_files++] = setup->file[i];
	for (unsigned i = 0; i < setup->bells; i++)
		ring->file[ring->all_files++] = setup->bell[i];
	for (unsigned i = 0; i < setup->rings; i++)
		ring->file[ring->all_files++] = setup->ring[i];
	ring->bells_to_arm = (1U << setup->bells) - 1;
}

/* The files, with the pipe's end behind those that an io_op or io_ring() can name. */
static int register_files(struct ring *ring)
{
	int ends[2];
	long result;

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	ring->end_fd = ends[0];
	ring->file[ring->all_files] = ends[1];
	result = syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_FILES, ring->file,
			 ring->all_files + 1);
	close(ends[1]);
	return result < 0 ? -1 : 0;
}

/* What isn't listed here is refused for good once the ring is enabled, all registering included. */
static int restrict_ring(const struct ring *ring)
{
	static const u8 opcode[] = {IORING_OP_READV,     IORING_OP_WRITEV,   IORING_OP_FSYNC,
				    IORING_OP_FALLOCATE, IORING_OP_POLL_ADD, IORING_OP_WRITE};
	struct io_uring_restriction rule[ARRAY_LEN(opcode) + 2] = {
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
		 .sqe_flags = IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS},
	};

	for (size_t i = 0; i < ARRAY_LEN(opcode); i++) {
		rule[i + 2].opcode = IORING_RESTRICTION_SQE_OP;
		rule[i + 2].sqe_op = opcode[i];
	}
	return syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_RESTRICTIONS, rule,
		       ARRAY_LEN(rule)) < 0
		       ? -1
		       : 0;
}

int io_uring_open(struct io **io, const struct io_setup *setup, struct error *err)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	struct io_uring_params params;

	if (!ring)
		return error_set(err, "no memory for I/O");
	ring->io.engine = &ring_engine;
	ring->fd = ring->end_fd = -1;
	list_files(ring, setup);
	if (setup_ring(ring, setup->depth, &params) == 0 && map_rings(ring, &params) == 0 &&
	    restrict_ring(ring) == 0 && register_files(ring) == 0) {
		find_rings(ring, &params);
		*io = &ring->io;
		return 0;
	}
	error_errno(err, "this host gives no io_uring");
	ring_end(&ring->io);
	if (ring->end_fd >= 0)
		close(ring->end_fd);
	free(ring);
	return -1;
}
