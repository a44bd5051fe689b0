/*
 * What an engine of io.h is to io.c.
 */
#ifndef BANTAM_VMM_IO_ENGINE_H
#define BANTAM_VMM_IO_ENGINE_H

#include "vmm/io.h"

struct io_engine {
	enum io_engine_kind kind;
	void (*enter)(struct io *io); /* or NULL */
	void (*start)(struct io *io, struct io_op *op);
	void (*ring)(struct io *io, int fd);
	u32 (*wait)(struct io *io);
	void (*end)(struct io *io); /* or NULL */
	bool (*close)(struct io *io, unsigned timeout_ms);
};

/* The first member of each engine's own struct. */
struct io {
	const struct io_engine *engine;
};

/* Each returns 0 and *io, or -1 with err set. */
int io_uring_open(struct io **io, const struct io_setup *setup, struct error *err);
int io_threads_open(struct io **io, const struct io_setup *setup, struct error *err);

#endif
