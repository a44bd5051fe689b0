/*
 * Asynchronous I/O: see io.h. Here an engine is chosen; io_uring.c and io_threads.c are the engines.
 */
#include "vmm/io_engine.h"

SANDBOX_CALLS(io, CALL(pwritev2, SANDBOX_WORKER, "bells and interrupts"));

enum { DEPTH_MAX = 4096 };

int io_open(struct io **io, const struct io_setup *setup, struct error *err)
{
	*io = NULL;
	if (setup->files > IO_FILES_MAX || setup->bells > IO_BELLS_MAX ||
	    setup->rings > IO_RINGS_MAX)
		return error_set(err, "too many descriptors for one worker");
	if (setup->depth == 0 || setup->depth > DEPTH_MAX)
		return error_set(err, "%u operations at once are none or too many", setup->depth);
	if (setup->engine != IO_THREADS && io_uring_open(io, setup, err) == 0)
		return 0;
	return setup->engine == IO_URING ? -1 : io_threads_open(io, setup, err);
}

enum io_engine_kind io_engine(const struct io *io)
{
	return io->engine->kind;
}

void io_enter(struct io *io)
{
	if (io->engine->enter)
		io->engine->enter(io);
}

void io_start(struct io *io, struct io_op *op)
{
	io->engine->start(io, op);
}

void io_ring(struct io *io, int fd)
{
	io->engine->ring(io, fd);
}

u32 io_wait(struct io *io)
{
	return io->engine->wait(io);
}

void io_end(struct io *io)
{
	if (io->engine->end)
		io->engine->end(io);
}

bool io_close(struct io *io, unsigned timeout_ms)
{
	return io->engine->close(io, timeout_ms);
}
