/*
 * vmm/io.c, io_uring.c, io_threads.c: every test of operations and bells runs with both engines. The
 * test is the worker itself where one thread is enough. Files are real ones: what the kernel answers
 * is what counts here. An alarm ends the program should a wait never end.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/support.h"
#include "vmm/loop.h"
#include "vmm/thread.h"

/* For the tests of its restrictions, which need its insides. The linker then leaves out the other. */
#include "vmm/io_uring.c" // NOLINT

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

enum { DEPTH = 64, BLOCK = 4096, BLOCKS = 64, FILE_BYTES = BLOCK * BLOCKS };

enum { NO_FILE = 1000000 }; /* a number that no open file has */

struct world {
	struct io *io;
	struct io_setup setup;
	struct error err;
	struct temp_file file;
	int bell[2], ring;
	u8 content[FILE_BYTES];
};

static struct world world;

static int eventfd_make(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int set_up(void **state, enum io_engine_kind engine)
{
	alarm(60);
	memset(&world, 0, sizeof(world));
	fill_pattern(world.content, FILE_BYTES, 7);
	temp_file_make(&world.file, world.content, FILE_BYTES);
	world.bell[0] = eventfd_make();
	world.bell[1] = eventfd_make();
	world.ring = eventfd_make();
	world.setup = (struct io_setup){
		.engine = engine,
		.depth = DEPTH,
		.file = {world.file.fd},
		.files = 1,
		.bell = {world.bell[0], world.bell[1]},
		.bells = 2,
		.ring = {world.ring},
		.rings = 1,
		.sandbox = SANDBOX_OFF,
		.name = "test",
	};
	*state = &world;
	return 0;
}

static int set_up_uring(void **state)
{
	return set_up(state, IO_URING);
}

static int set_up_threads(void **state)
{
	return set_up(state, IO_THREADS);
}

static int tear_down(void **state)
{
	(void)state;
	if (world.io && !io_close(world.io, 5000))
		return -1;
	close(world.bell[0]);
	close(world.bell[1]);
	close(world.ring);
	temp_file_free(&world.file);
	alarm(0);
	return 0;
}

/* Whether this kernel has the engine; otherwise the test is skipped. */
static bool can_open(void)
{
	if (io_open(&world.io, &world.setup, &world.err) == 0)
		return true;
	if (world.setup.engine == IO_THREADS)
		fail_msg("%s", world.err.text);
	return false;
}

#define OPEN()                                                                                     \
	do {                                                                                       \
		if (!can_open())                                                                   \
			SKIP(world.err.text);                                                      \
		assert_int_equal(io_engine(world.io), world.setup.engine);                         \
		io_enter(world.io);                                                                \
	} while (0)

/* An operation of a test, and what became of it. */
struct trial {
	struct io_op op;
	struct iovec piece[4];
	int64_t result;
	unsigned times;
};

static void trial_done(struct io_op *op, int64_t result)
{
	struct trial *trial = op->owner;

	trial->result = result;
	trial->times++;
}

static void trial_start(struct trial *trial)
{
	trial->op.piece = trial->piece;
	trial->op.done = trial_done;
	trial->op.owner = trial;
	trial->times = 0;
	io_start(world.io, &trial->op);
}

/* Returns the bells that rang meanwhile. */
static u32 trial_wait(struct trial *trial)
{
	u32 rang = 0;

	while (trial->times == 0)
		rang |= io_wait(world.io);
	assert_int_equal(trial->times, 1);
	return rang;
}

static int64_t perform_trial(struct trial *trial)
{
	trial_start(trial);
	trial_wait(trial);
	return trial->result;
}

static int64_t transfer(enum io_kind kind, int fd, u64 offset, void *bytes, size_t count)
{
	struct trial trial = {
		.op = {.kind = kind, .fd = fd, .offset = offset, .bytes = count, .pieces = 1},
		.piece = {{bytes, count}},
	};

	return perform_trial(&trial);
}

static u64 count_of(int fd)
{
	u64 rings = 0;

	return read(fd, &rings, sizeof(rings)) == sizeof(rings) ? rings : 0;
}

static void ring_bell(int fd)
{
	const u64 one = 1;

	assert_int_equal(io_write(fd, &one, sizeof(one)), sizeof(one));
}

/* ---- operations ---- */

static void test_reads_into_pieces(void **state)
{
	static u8 a[100], b[1], c[5000];
	struct trial trial = {
		.op = {.kind = IO_READ, .offset = 333, .bytes = 5101, .pieces = 3},
		.piece = {{a, sizeof(a)}, {b, sizeof(b)}, {c, sizeof(c)}},
	};

	(void)state;
	OPEN();
	trial.op.fd = world.file.fd;
	assert_int_equal(perform_trial(&trial), 5101);
	assert_memory_equal(a, world.content + 333, sizeof(a));
	assert_memory_equal(b, world.content + 433, sizeof(b));
	assert_memory_equal(c, world.content + 434, sizeof(c));
}

static void write_and_read_back(bool durable)
{
	static u8 a[700], b[1300], back[2000];
	struct trial trial = {
		.op = {.kind = IO_WRITE, .offset = 9999, .bytes = 2000, .pieces = 2},
		.piece = {{a, sizeof(a)}, {b, sizeof(b)}},
	};

	fill_pattern(a, sizeof(a), 100 + durable);
	fill_pattern(b, sizeof(b), 102 + durable);
	trial.op.fd = world.file.fd;
	trial.op.durable = durable;
	assert_int_equal(perform_trial(&trial), 2000);
	assert_int_equal(pread(world.file.fd, back, sizeof(back), 9999), sizeof(back));
	assert_memory_equal(back, a, sizeof(a));
	assert_memory_equal(back + sizeof(a), b, sizeof(b));
}

static void test_writes_from_pieces(void **state)
{
	(void)state;
	OPEN();
	write_and_read_back(false);
	write_and_read_back(true);
}

static void test_syncs(void **state)
{
	struct trial trial = {.op = {.kind = IO_SYNC}};

	(void)state;
	OPEN();
	trial.op.fd = world.file.fd;
	assert_int_equal(perform_trial(&trial), 0);
}

static void test_punches(void **state)
{
	static const u8 zeroes[BLOCK];
	u8 back[BLOCK];

	(void)state;
	OPEN();
	assert_int_equal(transfer(IO_PUNCH, world.file.fd, 2 * BLOCK, NULL, 3 * BLOCK), 0);
	for (int i = 2; i < 5; i++) {
		assert_int_equal(pread(world.file.fd, back, BLOCK, i * BLOCK), BLOCK);
		assert_memory_equal(back, zeroes, BLOCK);
	}
	for (int i = 1; i < 6; i += 4) {
		assert_int_equal(pread(world.file.fd, back, BLOCK, i * BLOCK), BLOCK);
		assert_memory_equal(back, world.content + i * BLOCK, BLOCK);
	}
	assert_int_equal(lseek(world.file.fd, 0, SEEK_END), FILE_BYTES);
}

/* The room stays, on a file system that can zero a range. */
static void test_zeroes(void **state)
{
	static const u8 zeroes[BLOCK];
	const int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct stat before, after;
	u8 back[BLOCK];
	int64_t result;

	(void)state;
	if (fd < 0)
		SKIP("no temporary files in /var/tmp");
	assert_int_equal(pwrite(fd, world.content, FILE_BYTES, 0), FILE_BYTES);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(fstat(fd, &before), 0);
	world.setup.file[world.setup.files++] = fd;
	OPEN();
	result = transfer(IO_ZERO, fd, BLOCK, NULL, BLOCK);
	if (result == -EOPNOTSUPP) {
		close(fd);
		SKIP("the file system of /var/tmp can't zero a range");
	}
	assert_int_equal(result, 0);
	assert_int_equal(pread(fd, back, BLOCK, BLOCK), BLOCK);
	assert_memory_equal(back, zeroes, BLOCK);
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(after.st_blocks, before.st_blocks);
	close(fd);
}

static void test_short_reads_are_reported(void **state)
{
	u8 back[BLOCK];

	(void)state;
	OPEN();
	assert_int_equal(transfer(IO_READ, world.file.fd, FILE_BYTES - 100, back, BLOCK), 100);
	assert_memory_equal(back, world.content + FILE_BYTES - 100, 100);
	assert_int_equal(transfer(IO_READ, world.file.fd, FILE_BYTES, back, BLOCK), 0);
}

static void test_errors_are_reported(void **state)
{
	const int full = open("/dev/full", O_RDWR | O_CLOEXEC);
	const int readable = open(world.file.path, O_RDONLY | O_CLOEXEC);
	/* Nothing is mapped at 0: a page that can't be read, as a bad sector can't. */
	const int bad = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	u8 bytes[512] = {0};

	(void)state;
	world.setup.file[world.setup.files++] = full;
	world.setup.file[world.setup.files++] = readable;
	world.setup.file[world.setup.files++] = bad;
	OPEN();
	assert_int_equal(transfer(IO_WRITE, full, 0, bytes, sizeof(bytes)), -ENOSPC);
	assert_int_equal(transfer(IO_WRITE, readable, 0, bytes, sizeof(bytes)), -EBADF);
	assert_int_equal(transfer(IO_READ, bad, 0, bytes, sizeof(bytes)), -EIO);
	assert_int_equal(transfer(IO_READ, world.file.fd, 0, (void *)1, sizeof(bytes)), -EFAULT);
	close(full);
	close(readable);
	close(bad);
}

/* Open it is, and nobody's business here. */
static void test_other_files_are_refused(void **state)
{
	const int other = open(world.file.path, O_RDWR | O_CLOEXEC);
	u8 bytes[512] = {0};

	(void)state;
	OPEN();
	assert_int_equal(transfer(IO_READ, other, 0, bytes, sizeof(bytes)), -EBADF);
	assert_int_equal(transfer(IO_WRITE, other, 0, bytes, sizeof(bytes)), -EBADF);
	assert_int_equal(transfer(IO_PUNCH, other, 0, NULL, sizeof(bytes)), -EBADF);
	assert_int_equal(transfer(IO_WRITE, world.bell[0], 0, bytes, 8), -EBADF);
	assert_int_equal(transfer(IO_READ, NO_FILE, 0, bytes, sizeof(bytes)), -EBADF);
	assert_int_equal(transfer(IO_READ, -1, 0, bytes, sizeof(bytes)), -EBADF);
	close(other);
}

/* Reads of single blocks, started anew by done() itself, until there have been enough. */
struct crowd {
	struct io_op op[DEPTH];
	struct iovec piece[DEPTH];
	u8 back[DEPTH][BLOCK];
	u32 random;
	unsigned left, wrong, finished, in_start;
};

static void crowd_start(struct crowd *crowd, struct io_op *op)
{
	op->offset = next_random(&crowd->random) % BLOCKS * BLOCK;
	crowd->left--;
	crowd->in_start++;
	io_start(world.io, op);
	crowd->in_start--;
}

static void crowd_done(struct io_op *op, int64_t result)
{
	struct crowd *crowd = op->owner;

	crowd->finished++;
	if (crowd->in_start)
		crowd->wrong++;
	if (result != BLOCK || memcmp(op->piece->iov_base, world.content + op->offset, BLOCK) != 0)
		crowd->wrong++;
	memset(op->piece->iov_base, 0, BLOCK);
	/* As a worker interrupts for each. */
	io_ring(world.io, world.ring);
	if (crowd->left)
		crowd_start(crowd, op);
}

static void run_crowd(unsigned count)
{
	static struct crowd crowd;

	memset(&crowd, 0, sizeof(crowd));
	crowd.random = 1;
	crowd.left = count;
	for (unsigned i = 0; i < DEPTH && i < count; i++) {
		crowd.piece[i] = (struct iovec){crowd.back[i], BLOCK};
		crowd.op[i] = (struct io_op){
			.kind = IO_READ,
			.fd = world.file.fd,
			.bytes = BLOCK,
			.piece = &crowd.piece[i],
			.pieces = 1,
			.done = crowd_done,
			.owner = &crowd,
		};
		crowd_start(&crowd, &crowd.op[i]);
	}
	while (crowd.finished < count)
		io_wait(world.io);
	assert_int_equal(crowd.wrong, 0);
	assert_int_equal(crowd.finished, count);
}

static void test_many_at_once(void **state)
{
	(void)state;
	OPEN();
	run_crowd(DEPTH);
	run_crowd(20000);
	assert_true(count_of(world.ring) > 0);
}

/* Mixed kinds, all of them handed in with one wait. */
static void test_different_kinds_at_once(void **state)
{
	static u8 back[2][BLOCK];
	struct trial trial[5] = {
		{.op = {.kind = IO_READ, .bytes = BLOCK, .pieces = 1}, .piece = {{back[0], BLOCK}}},
		{.op = {.kind = IO_SYNC}},
		{.op = {.kind = IO_WRITE, .offset = BLOCK, .bytes = BLOCK, .pieces = 1},
		 .piece = {{world.content, BLOCK}}},
		{.op = {.kind = IO_PUNCH, .offset = (u64)8 * BLOCK, .bytes = BLOCK}},
		{.op = {.kind = IO_READ, .bytes = BLOCK, .pieces = 1}, .piece = {{back[1], BLOCK}}},
	};

	(void)state;
	OPEN();
	for (size_t i = 0; i < ARRAY_LEN(trial); i++) {
		trial[i].op.fd = world.file.fd;
		trial_start(&trial[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(trial); i++) {
		trial_wait(&trial[i]);
		assert_int_equal(trial[i].result, trial[i].op.pieces ? BLOCK : 0);
	}
	assert_memory_equal(back[0], world.content, BLOCK);
	assert_memory_equal(back[1], world.content, BLOCK);
}

/* ---- bells ---- */

static void test_bells_are_told_apart(void **state)
{
	(void)state;
	OPEN();
	ring_bell(world.bell[1]);
	assert_int_equal(io_wait(world.io), 2);
	ring_bell(world.bell[0]);
	assert_int_equal(io_wait(world.io), 1);
	ring_bell(world.bell[0]);
	ring_bell(world.bell[1]);
	for (u32 rang = 0; rang != 3;)
		rang |= io_wait(world.io);
}

/* What was rung before anybody listened is heard. */
static void test_an_early_bell_is_heard(void **state)
{
	(void)state;
	ring_bell(world.bell[0]);
	OPEN();
	assert_int_equal(io_wait(world.io), 1);
}

static void test_a_bell_does_not_disturb_operations(void **state)
{
	u8 back[BLOCK];
	struct trial trial = {
		.op = {.kind = IO_READ, .fd = world.file.fd, .bytes = BLOCK, .pieces = 1},
		.piece = {{back, BLOCK}},
	};
	u32 rang = 0;

	(void)state;
	OPEN();
	ring_bell(world.bell[0]);
	trial_start(&trial);
	while (!(rang & 1) || !trial.times)
		rang |= io_wait(world.io);
	assert_int_equal(trial.result, BLOCK);
	assert_int_equal(rang, 1);
}

/* The other thread rings and waits to be heard, over and over: a ring that is lost ends in alarm(). */
struct echo {
	atomic_uint heard;
	unsigned rings;
};

static void *ring_and_wait(void *argument)
{
	struct echo *echo = argument;

	for (unsigned i = 0; i < echo->rings; i++) {
		ring_bell(world.bell[0]);
		while (atomic_load(&echo->heard) <= i)
			sched_yield();
	}
	return NULL;
}

static void echo_rings(void)
{
	struct echo echo = {.rings = 20000};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ring_and_wait, &echo), 0);
	while (atomic_load(&echo.heard) < echo.rings) {
		if (io_wait(world.io) & 1)
			atomic_fetch_add(&echo.heard, 1);
	}
	pthread_join(thread, NULL);
}

static void test_no_ring_is_missed(void **state)
{
	(void)state;
	OPEN();
	echo_rings();
}

/* The last ring comes after the operations, whose waits would hear it otherwise. */
static void *ring_like_mad(void *argument)
{
	atomic_bool *operations_done = argument;

	for (int i = 0; i < 300000 || !atomic_load(operations_done); i++)
		ring_bell(world.bell[0]);
	ring_bell(world.bell[0]);
	return NULL;
}

/* More rings than a completion ring has room for: operations go on, and the last ring is heard. */
static void test_a_flood_of_rings(void **state)
{
	atomic_bool operations_done = false;
	pthread_t thread;

	(void)state;
	OPEN();
	io_ring(world.io, world.bell[1]);
	io_wait(world.io);
	assert_int_equal(pthread_create(&thread, NULL, ring_like_mad, &operations_done), 0);
	run_crowd(5000);
	atomic_store(&operations_done, true);
	pthread_join(thread, NULL);
	while (!(io_wait(world.io) & 1))
		;
}

static void *ring_late(void *argument)
{
	const struct timespec pause = {.tv_nsec = 100000000};

	(void)argument;
	nanosleep(&pause, NULL);
	ring_bell(world.bell[1]);
	return NULL;
}

static u64 processor_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (u64)used.tv_sec * 1000000000 + (u64)used.tv_nsec;
}

/* A bell that rang, and that nobody rings again, lets the worker sleep. */
static void expect_sleep(void)
{
	pthread_t thread;
	u64 before_ns;

	for (int i = 0; i < 3; i++) {
		ring_bell(world.bell[0]);
		assert_int_equal(io_wait(world.io), 1);
	}
	assert_int_equal(pthread_create(&thread, NULL, ring_late, NULL), 0);
	before_ns = processor_ns();
	assert_int_equal(io_wait(world.io), 2);
	assert_true(processor_ns() - before_ns < 50000000);
	pthread_join(thread, NULL);
}

static void test_a_bell_falls_silent(void **state)
{
	(void)state;
	OPEN();
	expect_sleep();
}

/* Polls that end with each report, and no rings that are only told of when they fail. */
static void test_bells_of_older_kernels(void **state)
{
	u8 back[BLOCK];

	(void)state;
	OPEN();
	ring_of(world.io)->features &= ~(u32)(IORING_FEAT_RSRC_TAGS | IORING_FEAT_CQE_SKIP);
	echo_rings();
	expect_sleep();
	io_ring(world.io, world.ring);
	assert_int_equal(count_of(world.ring), 1);
	assert_int_equal(transfer(IO_READ, world.file.fd, 0, back, BLOCK), BLOCK);
}

static void test_rings_go_out(void **state)
{
	const int other = eventfd_make();
	u8 back[BLOCK];

	(void)state;
	OPEN();
	for (int i = 0; i < 5; i++) {
		io_ring(world.io, world.ring);
		io_ring(world.io, world.ring);
		io_ring(world.io, other);
		assert_int_equal(count_of(other), 1); /* nobody knows it: at once */
		assert_int_equal(transfer(IO_READ, world.file.fd, 0, back, BLOCK), BLOCK);
		assert_true(count_of(world.ring) > 0);
		assert_int_equal(count_of(world.ring), 0);
	}
	close(other);
}

/* Nobody may be kept waiting by a counter that is full. */
static void test_a_full_counter_is_no_trouble(void **state)
{
	const u64 full = UINT64_MAX - 1;
	u8 back[BLOCK];

	(void)state;
	OPEN();
	assert_int_equal(write(world.ring, &full, sizeof(full)), sizeof(full));
	io_ring(world.io, world.ring);
	assert_int_equal(transfer(IO_READ, world.file.fd, 0, back, BLOCK), BLOCK);
	io_ring(world.io, world.ring);
	assert_int_equal(transfer(IO_READ, world.file.fd, 0, back, BLOCK), BLOCK);
}

/* ---- on a thread of its own ---- */

struct worker {
	struct thread thread;
	struct trial trial;
	const char *why;
};

static void worker_prepare(void *owner)
{
	(void)owner;
	io_enter(world.io);
}

static void worker_failed(void *owner, const char *why)
{
	struct worker *worker = owner;

	worker->why = why;
}

static void worker_start(struct worker *worker, enum sandbox_mode sandbox, void (*run)(void *owner))
{
	struct thread *thread = &worker->thread;

	thread->setup = (struct thread_setup){sandbox, worker_failed, worker};
	thread->kind = SANDBOX_WORKER | (io_engine(world.io) == IO_URING ? SANDBOX_RING : 0);
	thread->prepare = worker_prepare;
	thread->run = run;
	thread->owner = worker;
	snprintf(thread->name, sizeof(thread->name), "worker");
	assert_int_equal(thread_start(thread, &world.err), 0);
}

/* One operation that may hang; the worker leaves it behind when bell 0 rings. */
static void worker_leaves(void *owner)
{
	struct worker *worker = owner;

	trial_start(&worker->trial);
	while (!(io_wait(world.io) & 1))
		;
}

/* A read from a pipe that nobody writes to. */
static void test_closes_with_a_hung_operation(void **state)
{
	static struct worker worker;
	static u8 back[16];
	int ends[2];
	bool done;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	world.setup.file[world.setup.files++] = ends[0];
	OPEN();
	if (io_engine(world.io) == IO_URING) {
		/* OPEN() made this thread its worker. */
		assert_true(io_close(world.io, 1000));
		assert_int_equal(io_open(&world.io, &world.setup, &world.err), 0);
	}
	worker = (struct worker){
		.trial = {.op = {.kind = IO_READ, .fd = ends[0], .offset = UINT64_MAX, .pieces = 1},
			  .piece = {{back, sizeof(back)}}},
	};
	worker_start(&worker, SANDBOX_OFF, worker_leaves);
	usleep(20000);
	ring_bell(world.bell[0]);
	thread_join(&worker.thread);
	assert_int_equal(worker.trial.times, 0);
	/* An io_uring can take it back, a thread can't. */
	done = io_close(world.io, 200);
	assert_int_equal(done, world.setup.engine == IO_URING);
	if (!done) {
		assert_int_equal(write(ends[1], "x", 1), 1);
		assert_true(io_close(world.io, 5000));
	}
	world.io = NULL;
	close(ends[0]);
	close(ends[1]);
}

static void worker_waits_for_bell(void *owner)
{
	(void)owner;
	while (!(io_wait(world.io) & 1))
		;
}

static void test_a_thread_is_not_waited_for_in_vain(void **state)
{
	static struct worker worker;

	(void)state;
	if (!can_open())
		SKIP(world.err.text);
	worker_start(&worker, SANDBOX_OFF, worker_waits_for_bell);
	assert_false(thread_join_within(&worker.thread, 20));
	ring_bell(world.bell[0]);
	assert_true(thread_join_within(&worker.thread, 20000));
	assert_true(thread_join_within(&worker.thread, 0));
}

static void test_closes_what_was_never_used(void **state)
{
	(void)state;
	if (!can_open())
		SKIP(world.err.text);
	assert_true(io_close(world.io, 0));
	world.io = NULL;
}

/* What was started and never handed in isn't done, and needs no waiting for. */
static void test_closes_before_the_first_wait(void **state)
{
	static u8 back[BLOCK];
	static struct trial trial;

	(void)state;
	OPEN();
	trial = (struct trial){
		.op = {.kind = IO_READ, .fd = world.file.fd, .bytes = BLOCK, .pieces = 1},
		.piece = {{back, BLOCK}},
	};
	trial_start(&trial);
	assert_true(io_close(world.io, 5000));
	assert_int_equal(trial.times, 0);
	world.io = NULL;
}

/* ---- in the sandbox ---- */

enum { GOOD = 7, BAD = 8, NO_FILTERS = 9 };

/* All that a worker does, under its filter; in a process of its own, for a mistake kills it. */
static void worker_does_all(void *owner)
{
	struct worker *worker = owner;
	u8 bytes[BLOCK];
	bool fine;

	ring_bell(world.bell[0]);
	fine = transfer(IO_READ, world.file.fd, 0, bytes, BLOCK) == BLOCK &&
	       transfer(IO_WRITE, world.file.fd, 0, bytes, BLOCK) == BLOCK &&
	       transfer(IO_SYNC, world.file.fd, 0, NULL, 0) == 0 &&
	       transfer(IO_PUNCH, world.file.fd, 0, NULL, BLOCK) == 0;
	transfer(IO_ZERO, world.file.fd, 0, NULL, BLOCK); /* may be refused */
	io_ring(world.io, world.ring);
	io_ring(world.io, world.file.fd); /* no eventfd: by pwritev2(2) */
	ring_bell(world.bell[1]);
	io_wait(world.io);
	/* A poll that the kernel ended. */
	if (io_engine(world.io) == IO_URING)
		bell_reported(ring_of(world.io), 0, 0);
	ring_bell(world.bell[0]);
	io_wait(world.io);
	if (!fine)
		worker->why = "an operation failed";
}

static int work_in_sandbox(void)
{
	enum sandbox_mode mode = SANDBOX_ON;
	struct worker worker = {.why = NULL};

	if (sandbox_prepare(&mode, &world.err))
		return BAD;
	if (mode == SANDBOX_OFF)
		return NO_FILTERS;
	world.setup.sandbox = mode;
	if (io_open(&world.io, &world.setup, &world.err))
		return BAD;
	worker_start(&worker, mode, worker_does_all);
	thread_join(&worker.thread);
	return !worker.why && io_close(world.io, 1000) ? GOOD : BAD;
}

/* The exit status of a function that runs in a child. */
static int in_child(int (*function)(void))
{
	const pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0)
		_exit(function());
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status))
		fail_msg("killed by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void test_works_in_the_sandbox(void **state)
{
	int status;

	(void)state;
	if (SANITIZED)
		SKIP("the sanitizer makes calls of its own, which aren't listed");
	if (!can_open())
		SKIP(world.err.text);
	assert_true(io_close(world.io, 1000));
	world.io = NULL;
	status = in_child(work_in_sandbox);
	if (status == NO_FILTERS)
		SKIP("this kernel has no seccomp filters");
	assert_int_equal(status, GOOD);
}

/* ---- which engine ---- */

/* As container runtimes do. */
static bool forbid_io_uring(void)
{
	struct sock_filter step[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_LEN(step), step};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int open_without_io_uring(void)
{
	u8 back[BLOCK];

	if (!forbid_io_uring())
		return NO_FILTERS;
	world.setup.engine = IO_URING;
	if (io_open(&world.io, &world.setup, &world.err) == 0 || world.io ||
	    !strstr(world.err.text, "Operation not permitted"))
		return BAD;
	world.setup.engine = IO_AUTO;
	if (io_open(&world.io, &world.setup, &world.err) || io_engine(world.io) != IO_THREADS)
		return BAD;
	io_enter(world.io);
	if (transfer(IO_READ, world.file.fd, 0, back, BLOCK) != BLOCK)
		return BAD;
	return io_close(world.io, 1000) ? GOOD : BAD;
}

static void test_threads_where_io_uring_is_forbidden(void **state)
{
	int status;

	(void)state;
	status = in_child(open_without_io_uring);
	if (status == NO_FILTERS)
		SKIP("this kernel has no seccomp filters");
	assert_int_equal(status, GOOD);
}

static void test_io_uring_where_it_can_be_had(void **state)
{
	(void)state;
	if (!can_open())
		SKIP(world.err.text);
	assert_true(io_close(world.io, 1000));
	world.setup.engine = IO_AUTO;
	assert_true(can_open());
	assert_int_equal(io_engine(world.io), IO_URING);
}

static void test_limits(void **state)
{
	struct io_setup setup = world.setup;

	(void)state;
	setup.files = IO_FILES_MAX + 1;
	assert_int_equal(io_open(&world.io, &setup, &world.err), -1);
	assert_says(world.err.text, "too many descriptors");
	setup = world.setup;
	setup.bells = IO_BELLS_MAX + 1;
	assert_int_equal(io_open(&world.io, &setup, &world.err), -1);
	setup = world.setup;
	setup.rings = IO_RINGS_MAX + 1;
	assert_int_equal(io_open(&world.io, &setup, &world.err), -1);
	setup = world.setup;
	setup.depth = 0;
	assert_int_equal(io_open(&world.io, &setup, &world.err), -1);
	assert_says(world.err.text, "0 operations at once");
	assert_null(world.io);
}

/* ---- io_uring's restrictions ---- */

/* What becomes of an entry that the code itself never makes. */
static int64_t raw_result(u8 opcode, u8 flags, int file, void *bytes, u32 count)
{
	struct ring *ring = ring_of(world.io);
	struct trial trial = {.op = {.done = trial_done, .owner = &trial}};
	struct io_uring_sqe *sqe = add_sqe(ring, opcode, 0, (u64)(uintptr_t)&trial.op);

	ring->under_way++;
	sqe->fd = file;
	sqe->flags = flags;
	sqe->addr = (u64)(uintptr_t)bytes;
	sqe->len = count;
	trial_wait(&trial);
	return trial.result;
}

static void test_other_operations_are_refused(void **state)
{
	static const u8 allowed[] = {IORING_OP_READV,     IORING_OP_WRITEV,   IORING_OP_FSYNC,
				     IORING_OP_FALLOCATE, IORING_OP_POLL_ADD, IORING_OP_WRITE};
	u8 bytes[64] = {0};

	(void)state;
	OPEN();
	for (u8 opcode = 0; opcode < IORING_OP_LAST; opcode++) {
		bool listed = false;

		for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
			listed = listed || allowed[i] == opcode;
		if (!listed)
			assert_int_equal(raw_result(opcode, IOSQE_FIXED_FILE, 0, bytes, 1),
					 -EACCES);
	}
}

static void test_other_ways_are_refused(void **state)
{
	struct iovec piece = {NULL, 0};

	(void)state;
	OPEN();
	assert_int_equal(raw_result(IORING_OP_READV, IOSQE_FIXED_FILE, 0, &piece, 1), 0);
	/* A descriptor that isn't registered. */
	assert_int_equal(raw_result(IORING_OP_READV, 0, world.file.fd, &piece, 1), -EACCES);
	assert_int_equal(raw_result(IORING_OP_READV, IOSQE_FIXED_FILE, FILES_MAX, &piece, 1),
			 -EBADF);
	assert_int_equal(raw_result(IORING_OP_READV, IOSQE_FIXED_FILE | IOSQE_ASYNC, 0, &piece, 1),
			 -EACCES);
	assert_int_equal(
		raw_result(IORING_OP_READV, IOSQE_FIXED_FILE | IOSQE_IO_LINK, 0, &piece, 1),
		-EACCES);
}

static void test_nothing_more_can_be_registered(void **state)
{
	const int other = open(world.file.path, O_RDONLY | O_CLOEXEC);

	(void)state;
	OPEN();
	for (unsigned opcode = 0; opcode < 40; opcode++) {
		errno = 0;
		assert_int_equal(
			syscall(SYS_io_uring_register, ring_of(world.io)->fd, opcode, &other, 1),
			-1);
		/* EINVAL: this kernel doesn't know it, or not for a ring that runs. */
		assert_true(errno == EACCES || errno == EINVAL || errno == EBADFD);
	}
	assert_int_equal(syscall(SYS_io_uring_register, ring_of(world.io)->fd,
				 IORING_UNREGISTER_FILES, NULL, 0),
			 -1);
	assert_int_equal(errno, EACCES);
	close(other);
}

#define WITH(test, engine)                                                                         \
	{                                                                                          \
#test "_" #engine, test, set_up_##engine, tear_down, NULL                          \
	}
#define WITH_BOTH(test) WITH(test, uring), WITH(test, threads)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_BOTH(test_reads_into_pieces),
		WITH_BOTH(test_writes_from_pieces),
		WITH_BOTH(test_syncs),
		WITH_BOTH(test_punches),
		WITH_BOTH(test_zeroes),
		WITH_BOTH(test_short_reads_are_reported),
		WITH_BOTH(test_errors_are_reported),
		WITH_BOTH(test_other_files_are_refused),
		WITH_BOTH(test_many_at_once),
		WITH_BOTH(test_different_kinds_at_once),
		WITH_BOTH(test_bells_are_told_apart),
		WITH_BOTH(test_an_early_bell_is_heard),
		WITH_BOTH(test_a_bell_does_not_disturb_operations),
		WITH_BOTH(test_no_ring_is_missed),
		WITH_BOTH(test_a_flood_of_rings),
		WITH_BOTH(test_a_bell_falls_silent),
		WITH(test_bells_of_older_kernels, uring),
		WITH_BOTH(test_rings_go_out),
		WITH_BOTH(test_a_full_counter_is_no_trouble),
		WITH_BOTH(test_closes_with_a_hung_operation),
		WITH_BOTH(test_a_thread_is_not_waited_for_in_vain),
		WITH_BOTH(test_closes_what_was_never_used),
		WITH_BOTH(test_closes_before_the_first_wait),
		WITH_BOTH(test_works_in_the_sandbox),
		WITH(test_threads_where_io_uring_is_forbidden, threads),
		WITH(test_io_uring_where_it_can_be_had, uring),
		WITH(test_limits, threads),
		WITH(test_other_operations_are_refused, uring),
		WITH(test_other_ways_are_refused, uring),
		WITH(test_nothing_more_can_be_registered, uring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
