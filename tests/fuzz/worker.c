/* Workers without threads: see worker.h. */
#include "tests/fuzz/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "devices/virtio/worker.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/bell.h"
#include "vmm/io_engine.h"
#include "vmm/loop.h"

enum { WORKERS_MAX = 16, PLAN_BYTES = 64 };
enum { WISH_NOTHING, WISH_RUN, WISH_STOP };

/* Longer than any device has patience. */
#define SLEEP_NS ((u64)2000000000)

struct io_by_hand {
	struct io io;
	struct io_setup setup;
	struct io_op *first, *last; /* started and not done */
	unsigned under_way;
	unsigned limit; /* as many are done by the next io_wait() */
};

static struct {
	const struct disk *disk;
	struct virtio_worker *worker[WORKERS_MAX];
	unsigned workers;
	u8 plan[PLAN_BYTES];
	unsigned planned, used;
	bool last_first;
	bool wrote;
	u64 now_ns;
	bool slept; /* who waits for a time has waited long enough */
	bool woke;  /* the last poll() had a reason to return */
} host;

ssize_t __wrap_getrandom(void *bytes, size_t count, unsigned flags);
u64 __wrap_clock_now_ns(void);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);

void workers_begin(const struct disk *disk)
{
	memset(&host, 0, sizeof(host));
	host.disk = disk;
	host.now_ns = 1;
}

void workers_plan(u32 bytes)
{
	for (unsigned i = 0; i < 4 && host.planned < PLAN_BYTES; i++)
		host.plan[host.planned++] = (u8)(bytes >> (8 * i));
}

void workers_forget_plan(void)
{
	host.planned = host.used = 0;
}

void workers_last_first(bool yes)
{
	host.last_first = yes;
}

bool workers_wrote(void)
{
	return host.wrote;
}

/* ---- the host's answers ---- */

int workers_answer(void)
{
	static const int errors[] = {EINTR, EAGAIN, EIO, EOPNOTSUPP, ENOSPC, EINVAL, EFAULT, EIO};
	const u8 answer = host.used < host.planned ? host.plan[host.used++] : 0;

	return answer & 1 ? -errors[answer >> 1 & 7] : answer;
}

ssize_t __wrap_getrandom(void *bytes, size_t count, unsigned flags)
{
	const int answer = workers_answer();

	(void)flags;
	if (answer < 0) {
		errno = -answer;
		return -1;
	}
	if (answer)
		count = count * (size_t)answer / 256;
	memset(bytes, 0x5a, count);
	return (ssize_t)count;
}

/* It moves a little with every look, so that nobody waits for a time in vain. */
u64 __wrap_clock_now_ns(void)
{
	host.now_ns += 1000;
	return host.now_ns;
}

/* Doesn't wait either. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	const int ready = __real_poll(fds, count, 0);

	host.woke = ready > 0 || timeout_ms == 0 || (timeout_ms > 0 && host.slept);
	return ready;
}

static u64 op_bytes(const struct io_op *op)
{
	u64 bytes = 0;

	for (unsigned i = 0; i < op->pieces; i++)
		bytes += op->piece[i].iov_len;
	return bytes;
}

static void check_op(const struct io_by_hand *by_hand, const struct io_op *op)
{
	const struct disk *disk = host.disk;
	const bool moves = op->kind == IO_READ || op->kind == IO_WRITE;
	const bool writes = op->kind != IO_READ && op->kind != IO_SYNC;
	const u64 bytes = moves ? op_bytes(op) : op->bytes;
	bool announced = false;
	u64 bits = op->offset;

	for (unsigned i = 0; i < by_hand->setup.files; i++)
		announced = announced || by_hand->setup.file[i] == op->fd;
	FUZZ_CHECK(announced);
	FUZZ_CHECK(by_hand->under_way < by_hand->setup.depth);
	if (op->kind == IO_SYNC)
		return;
	FUZZ_CHECK(bytes > 0 && op->offset < disk->bytes && bytes <= disk->bytes - op->offset);
	FUZZ_CHECK(!moves || (op->pieces > 0 && op->pieces <= 1024));
	FUZZ_CHECK(!writes || !disk->config->read_only);
	FUZZ_CHECK(!writes || !disk->config->ephemeral || op->fd == disk->overlay_fd);
	host.wrote = host.wrote || writes;
	for (unsigned i = 0; moves && i < op->pieces; i++) {
		FUZZ_CHECK(op->piece[i].iov_len > 0);
		bits |= (u64)(uintptr_t)op->piece[i].iov_base | op->piece[i].iov_len;
	}
	if (op->fd == disk->direct_fd)
		FUZZ_CHECK(moves && bits % disk->direct_align == 0);
}

/* Reads or writes the first `bytes` of the pieces, one after the other. */
static int64_t move(const struct io_op *op, u64 bytes)
{
	u64 done = 0;

	for (unsigned i = 0; i < op->pieces && done < bytes; i++) {
		const struct iovec *piece = &op->piece[i];
		const size_t count = piece->iov_len < bytes - done ? piece->iov_len
								   : (size_t)(bytes - done);
		const off_t at = (off_t)(op->offset + done);
		const ssize_t moved = op->kind == IO_READ
					      ? pread(op->fd, piece->iov_base, count, at)
					      : pwrite(op->fd, piece->iov_base, count, at);

		FUZZ_CHECK(moved == (ssize_t)count);
		done += count;
	}
	return (int64_t)done;
}

static int64_t do_op(const struct io_op *op)
{
	const int answer = workers_answer();
	const int mode = FALLOC_FL_KEEP_SIZE |
			 (op->kind == IO_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
	u64 bytes;

	if (answer < 0)
		return answer;
	switch (op->kind) {
	case IO_READ:
	case IO_WRITE:
		bytes = op_bytes(op);
		return move(op, answer ? bytes * (u64)answer / 256 : bytes);
	case IO_SYNC:
		return 0;
	default:
		return fallocate(op->fd, mode, (off_t)op->offset, (off_t)op->bytes) ? -errno : 0;
	}
}

/* ---- the engine ---- */

static struct io_by_hand *of(struct io *io)
{
	return (struct io_by_hand *)(void *)io;
}

static void enter(struct io *io)
{
	(void)io;
}

static void start(struct io *io, struct io_op *op)
{
	struct io_by_hand *by_hand = of(io);

	check_op(by_hand, op);
	by_hand->under_way++;
	if (!by_hand->first)
		by_hand->last = op;
	if (host.last_first || !by_hand->first) {
		op->next = by_hand->first;
		by_hand->first = op;
	} else {
		op->next = NULL;
		by_hand->last = by_hand->last->next = op;
	}
}

static void ring(struct io *io, int fd)
{
	const struct io_setup *setup = &of(io)->setup;
	bool announced = false;

	for (unsigned i = 0; i < setup->rings; i++)
		announced = announced || setup->ring[i] == fd;
	FUZZ_CHECK(announced);
	bell_ring(fd);
}

/* Doesn't wait: whoever calls has a reason. */
static u32 do_some(struct io *io)
{
	struct io_by_hand *by_hand = of(io);
	u64 rings;

	for (; by_hand->limit && by_hand->first; by_hand->limit--) {
		struct io_op *op = by_hand->first;

		by_hand->first = op->next;
		by_hand->under_way--;
		op->done(op, do_op(op));
	}
	return read(by_hand->setup.bell[0], &rings, sizeof(rings)) == sizeof(rings);
}

static bool end(struct io *io, unsigned timeout_ms)
{
	(void)timeout_ms;
	FUZZ_CHECK(of(io)->under_way == 0);
	free(io);
	return true;
}

static const struct io_engine engine = {.kind = IO_THREADS,
					.enter = enter,
					.start = start,
					.ring = ring,
					.wait = do_some,
					.close = end};

/* ---- the worker, as in devices/virtio/worker.c ---- */

int virtio_worker_open(struct virtio_worker *worker, const struct thread_setup *setup,
		       struct io_setup *io_setup, struct error *err)
{
	struct io_by_hand *by_hand;

	(void)setup;
	FUZZ_CHECK(host.workers < WORKERS_MAX);
	host.worker[host.workers++] = worker;
	worker->device->worker[worker->device->workers++] = worker;
	if (!io_setup)
		return 0;
	by_hand = calloc(1, sizeof(*by_hand));
	if (!by_hand)
		return error_set(err, "no memory");
	io_setup->bell[0] = worker->device->queue[worker->queue].notify_fd;
	io_setup->bells = 1;
	by_hand->io.engine = &engine;
	by_hand->setup = *io_setup;
	worker->io = &by_hand->io;
	return 0;
}

static void set_wish(struct virtio_worker *worker, unsigned wish)
{
	atomic_store(&worker->wish, wish);
	virtio_notify(worker->device, worker->queue);
}

void virtio_worker_run(struct virtio_worker *worker)
{
	set_wish(worker, WISH_RUN);
}

void virtio_worker_stop(struct virtio_worker *worker)
{
	set_wish(worker, WISH_STOP);
}

bool virtio_worker_end(struct virtio_worker *worker, unsigned timeout_ms)
{
	(void)worker, (void)timeout_ms;
	return true;
}

bool virtio_worker_close(struct virtio_worker *worker, unsigned timeout_ms)
{
	return !worker->io || io_close(worker->io, timeout_ms);
}

/* Waits as the worker does; returns whether it had a reason to wake. */
static bool wait(struct virtio_worker *worker, unsigned limit)
{
	struct io_by_hand *by_hand;
	unsigned before;

	if (worker->wait) {
		worker->wait(worker->owner);
		return host.woke;
	}
	by_hand = of(worker->io);
	before = by_hand->under_way;
	by_hand->limit = limit;
	return io_wait(worker->io) || by_hand->under_way != before || (before && limit);
}

/* One turn of the loop. Returns whether there was a reason for it. */
static bool turn(struct virtio_worker *worker, unsigned limit)
{
	unsigned wish;
	u32 queues;

	if (!wait(worker, limit))
		return false;
	wish = atomic_load(&worker->wish);
	if (wish == WISH_NOTHING)
		return true;
	queues = virtio_worker_started(worker);
	if (wish == WISH_RUN)
		worker->serve(worker->owner);
	else if (worker->halt)
		worker->halt(worker->owner);
	for (unsigned i = 0; queues >> i; i++) {
		if (queues >> i & 1)
			virtio_signal(worker->device, i, wish == WISH_STOP ? NULL : worker->io);
	}
	if (wish != WISH_STOP || worker->under_way)
		return true;
	atomic_store(&worker->wish, WISH_NOTHING);
	for (unsigned i = 0; queues >> i; i++) {
		if (queues >> i & 1)
			virtio_queue_stopped(worker->device, i);
	}
	return true;
}

void workers_sleep(void)
{
	host.now_ns += SLEEP_NS;
	host.slept = true;
	workers_round(UINT32_MAX);
	host.slept = false;
}

bool workers_round(unsigned limit)
{
	bool any = false;

	for (unsigned i = 0; i < host.workers; i++)
		any = turn(host.worker[i], limit) || any;
	return any;
}
