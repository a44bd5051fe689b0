/*
 * Asynchronous I/O for a worker: many requests under way, one wait for everything.
 *
 * A worker starts operations, and sleeps in io_wait() until one is done or somebody rings one of
 * its bells (eventfds: a doorbell of the guest, a word from another thread). What it started since
 * the last wait goes out with the wait, in one system call.
 *
 * There are two engines. io_uring: operations, bells and the ringing of interrupts all go through
 * one ring, so that a request costs two system calls. Because a ring goes around seccomp, it is
 * restricted before it is enabled: only the operations below, only on registered descriptors. Where
 * io_uring is missing or forbidden (containers, old kernels), a few threads with preadv(2) and
 * pwritev(2) do the same.
 *
 * All functions but io_open() and io_close() are for the worker's own thread. Nothing is allocated
 * after io_open().
 *
 * Limits: descriptors are known when it is opened. An operation can't be taken back.
 *
 * Source: io_uring(7), io_uring_register(2) "IORING_REGISTER_RESTRICTIONS".
 */
#ifndef BANTAM_VMM_IO_H
#define BANTAM_VMM_IO_H

#include "vmm/error.h"
#include "vmm/readwrite.h"
#include "vmm/sandbox.h"
#include "vmm/types.h"

enum io_engine_kind {
	IO_AUTO, /* io_uring where it can be had, else threads */
	IO_URING,
	IO_THREADS,
};

enum io_kind {
	IO_READ,  /* into the pieces, from offset */
	IO_WRITE, /* from the pieces */
	IO_SYNC,  /* fdatasync(2): what was written before and is done, is on the disk */
	IO_PUNCH, /* fallocate(2): [offset, offset + bytes) reads as zero and takes no room */
	IO_ZERO,  /* the same, with its room kept */
};

struct io_op {
	enum io_kind kind;
	int fd; /* one of io_setup's files */
	u64 offset, bytes;
	const struct iovec *piece; /* stays as it is until done() */
	unsigned pieces;           /* IOV_MAX (1024) at most */
	bool durable;              /* IO_WRITE: done when it is on the disk (RWF_DSYNC) */

	/* Called from io_wait() with the number of bytes (0 for what has none) or a negative errno. */
	void (*done)(struct io_op *op, int64_t result);
	void *owner;

	/* The engine's. */
	struct io_op *next;
	int64_t result;
};

enum { IO_FILES_MAX = 4, IO_BELLS_MAX = 4, IO_RINGS_MAX = 24 };

struct io_setup {
	enum io_engine_kind engine;
	unsigned depth;         /* operations under way at once, at most */
	int file[IO_FILES_MAX]; /* what operations go to */
	unsigned files;
	int bell[IO_BELLS_MAX]; /* eventfds that end the wait */
	unsigned bells;
	int ring[IO_RINGS_MAX]; /* eventfds that io_ring() may ring */
	unsigned rings;
	/* For the threads of IO_THREADS. */
	enum sandbox_mode sandbox;
	const char *name;
};

struct io;

/* Returns 0 and *io, or -1 with err set. */
int io_open(struct io **io, const struct io_setup *setup, struct error *err);

/* Which engine it is: IO_URING or IO_THREADS. */
enum io_engine_kind io_engine(const struct io *io);

/* On the worker's thread, before it is locked in: the ring is enabled for it. */
void io_enter(struct io *io);

/* Starts an operation. The caller keeps to depth. */
void io_start(struct io *io, struct io_op *op);

/* Rings an eventfd, now or with the next io_wait(). */
void io_ring(struct io *io, int fd);

/*
 * Hands in what was started, waits until something happens, and calls done() for all that is.
 * Returns the bells that rang, as bits. A bell that rang is silent again, whether its eventfd was
 * read for that or not; several rings may be heard as one. done() may start operations and ring.
 */
u32 io_wait(struct io *io);

/*
 * Begins its end, which takes the kernel some time that several can share; io_close() waits for it.
 * The worker has ended.
 */
void io_end(struct io *io);

/*
 * Ends it; the worker has ended (thread_join_within(): a thread can't end while the kernel hangs in
 * something for its io_uring). Operations under way are taken back or waited for, timeout_ms at
 * most, and done() isn't called any more. Returns whether nothing touches their memory now: if
 * not, io and the memory of the operations must stay, and it may be tried again.
 */
bool io_close(struct io *io, unsigned timeout_ms);

#endif
