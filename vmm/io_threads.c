/*
 * Asynchronous I/O by a few threads: see io.h.
 *
 * The worker puts operations into the list of those to do; helpers take one each, make the system
 * call that does it, and put it into the list of those that are done. Whoever puts the first one
 * there rings the worker, which waits in poll(2) for this and for its bells, and takes the whole list.
 *
 * At the end a helper may hang in a system call. It can't be taken back from there, so io_close()
 * waits for as long as it may, and leaves helpers and memory behind when that wasn't enough.
 *
 * Locks: `lock` guards the two lists, `stop` and `busy`.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/bell.h"
#include "vmm/io_engine.h"
#include "vmm/loop.h"
#include "vmm/thread.h"

SANDBOX_CALLS(io_threads, CALL(preadv2, SANDBOX_HELPER, "reads from a disk"),
	      CALL(pwritev2, SANDBOX_HELPER, "writes to it"),
	      CALL(fdatasync, SANDBOX_HELPER, "a flush"),
	      CALL(fallocate, SANDBOX_HELPER, "discards, zeroes"),
	      CALL(poll, SANDBOX_WORKER, "waits for what is done, and for bells"),
	      CALL(preadv2, SANDBOX_WORKER, "bells"));

enum { HELPERS = 4 };

/* First in, first out; empty when there is no first. */
struct list {
	struct io_op *first, *last;
};

struct pool {
	struct io io;
	int file[IO_FILES_MAX];
	unsigned files;
	struct pollfd source[1 + IO_BELLS_MAX]; /* what is done, then the bells */
	unsigned sources;

	pthread_mutex_t lock;
	pthread_cond_t work, idle; /* something to do, or stop; no helper is busy any more */
	struct list to_do, finished;
	bool stop;
	unsigned busy;
	struct thread helper[HELPERS];
};

static struct pool *pool_of(struct io *io)
{
	return (struct pool *)io;
}

static void list_add(struct list *list, struct io_op *op)
{
	op->next = NULL;
	if (list->first)
		list->last->next = op;
	else
		list->first = op;
	list->last = op;
}

static struct io_op *list_take(struct list *list)
{
	struct io_op *op = list->first;

	if (op)
		list->first = op->next;
	return op;
}

static bool is_known(const struct pool *pool, int fd)
{
	for (unsigned i = 0; i < pool->files; i++) {
		if (pool->file[i] == fd)
			return true;
	}
	return false;
}

static int64_t perform(const struct pool *pool, const struct io_op *op)
{
	long result;

	if (!is_known(pool, op->fd))
		return -EBADF;
	if (op->kind == IO_READ)
		result = io_readv(op->fd, op->piece, op->pieces, (long)op->offset);
	else if (op->kind == IO_WRITE)
		result = io_writev(op->fd, op->piece, op->pieces, (long)op->offset,
				   op->durable ? RWF_DSYNC : 0);
	else if (op->kind == IO_SYNC)
		result = fdatasync(op->fd);
	else
		result = fallocate(op->fd,
				   FALLOC_FL_KEEP_SIZE |
					   (op->kind == IO_PUNCH ? FALLOC_FL_PUNCH_HOLE
								 : FALLOC_FL_ZERO_RANGE),
				   (off_t)op->offset, (off_t)op->bytes);
	return result < 0 ? -errno : result;
}

static void finish(struct pool *pool, struct io_op *op)
{
	bool first;

	pthread_mutex_lock(&pool->lock);
	first = !pool->finished.first;
	list_add(&pool->finished, op);
	if (--pool->busy == 0 && pool->stop)
		pthread_cond_signal(&pool->idle);
	pthread_mutex_unlock(&pool->lock);
	if (first)
		bell_ring(pool->source[0].fd);
}

/* Waits for an operation; NULL at the end. What nobody has begun by then is not begun any more. */
static struct io_op *next_op(struct pool *pool)
{
	struct io_op *op = NULL;

	pthread_mutex_lock(&pool->lock);
	while (!pool->stop && !pool->to_do.first)
		pthread_cond_wait(&pool->work, &pool->lock);
	if (!pool->stop) {
		op = list_take(&pool->to_do);
		pool->busy++;
	}
	pthread_mutex_unlock(&pool->lock);
	return op;
}

static void helper_run(void *owner)
{
	struct pool *pool = owner;
	struct io_op *op;

	while ((op = next_op(pool)) != NULL) {
		op->result = perform(pool, op);
		finish(pool, op);
	}
}

static void pool_start(struct io *io, struct io_op *op)
{
	struct pool *pool = pool_of(io);

	pthread_mutex_lock(&pool->lock);
	list_add(&pool->to_do, op);
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
}

static void pool_ring(struct io *io, int fd)
{
	(void)io;
	bell_ring(fd);
}

/* Waits once. Returns the bells that rang. */
static u32 hear(struct pool *pool)
{
	u32 rang = 0;

	if (poll(pool->source, pool->sources, -1) <= 0)
		return 0;
	for (unsigned i = 0; i < pool->sources; i++) {
		if (!pool->source[i].revents)
			continue;
		/* Silent before its reason is looked at: what is rung later is heard later. */
		(void)bell_silence(pool->source[i].fd);
		rang |= i ? 1U << (i - 1) : 0;
	}
	return rang;
}

/* Takes the whole list. */
static struct list take_finished(struct pool *pool)
{
	struct list finished;

	pthread_mutex_lock(&pool->lock);
	finished = pool->finished;
	pool->finished.first = NULL;
	pthread_mutex_unlock(&pool->lock);
	return finished;
}

static u32 pool_wait(struct io *io)
{
	struct pool *pool = pool_of(io);
	struct list finished;
	struct io_op *op;
	u32 rang;

	do {
		rang = hear(pool);
		finished = take_finished(pool);
	} while (!rang && !finished.first);
	/* Each is out of the list before done(), which may start it again. */
	while ((op = list_take(&finished)) != NULL)
		op->done(op, op->result);
	return rang;
}

/* Says stop, and waits for those who are in a system call. */
static bool stop_helpers(struct pool *pool, unsigned timeout_ms)
{
	const u64 deadline_ns = clock_now_ns() + (u64)timeout_ms * 1000000;
	bool in_time = true;
	bool all_idle;

	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	while (pool->busy && in_time)
		in_time = condition_wait(&pool->idle, &pool->lock, deadline_ns);
	all_idle = pool->busy == 0;
	pthread_mutex_unlock(&pool->lock);
	return all_idle;
}

static bool pool_close(struct io *io, unsigned timeout_ms)
{
	struct pool *pool = pool_of(io);

	if (!stop_helpers(pool, timeout_ms))
		return false;
	for (unsigned i = 0; i < HELPERS; i++)
		thread_join(&pool->helper[i]);
	close(pool->source[0].fd);
	pthread_cond_destroy(&pool->idle);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
	return true;
}

static const struct io_engine pool_engine = {
	.kind = IO_THREADS,
	.start = pool_start,
	.ring = pool_ring,
	.wait = pool_wait,
	.close = pool_close,
};

static void init_locks(struct pool *pool)
{
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	condition_init(&pool->idle);
}

static int start_helpers(struct pool *pool, const struct io_setup *setup, struct error *err)
{
	for (unsigned i = 0; i < HELPERS; i++) {
		struct thread *helper = &pool->helper[i];

		*helper = (struct thread){
			/* Where one can't be locked in, the worker can't either, and says so. */
			.setup.sandbox = setup->sandbox,
			.kind = SANDBOX_WORKER | SANDBOX_HELPER,
			.run = helper_run,
			.owner = pool,
		};
		snprintf(helper->name, sizeof(helper->name), "%s", setup->name);
		if (thread_start(helper, err))
			return -1;
	}
	return 0;
}

int io_threads_open(struct io **io, const struct io_setup *setup, struct error *err)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (!pool || fd < 0) {
		error_errno(err, "cannot prepare I/O");
		if (fd >= 0)
			close(fd);
		free(pool);
		return -1;
	}
	pool->io.engine = &pool_engine;
	memcpy(pool->file, setup->file, sizeof(pool->file));
	pool->files = setup->files;
	pool->source[pool->sources++] = (struct pollfd){.fd = fd, .events = POLLIN};
	for (unsigned i = 0; i < setup->bells; i++)
		pool->source[pool->sources++] =
			(struct pollfd){.fd = setup->bell[i], .events = POLLIN};
	init_locks(pool);
	if (start_helpers(pool, setup, err)) {
		pool_close(&pool->io, 0); /* those that run have nothing to do */
		return -1;
	}
	*io = &pool->io;
	return 0;
}
