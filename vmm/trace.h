/*
 * The trace: a line an event, for people who can't see why a guest is silent.
 *
 *	cpu0 +12.482ms pio out serial0.IER = 0x05 (rx,line)
 *
 * All threads write their lines into one buffer, in the order of their times. When it is full, the
 * thread that has no room writes it out; the main loop does that a few times a second. When the
 * trace is off, an event costs one test of a bit.
 *
 * A trace that can't be written any more (a full disk, a reader that takes nothing for a second)
 * ends with one line on stderr; the guest runs on.
 */
#ifndef BANTAM_VMM_TRACE_H
#define BANTAM_VMM_TRACE_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmm/error.h"
#include "vmm/loop.h"
#include "vmm/sink.h"
#include "vmm/types.h"

/* The kinds of events; TRACE_NAMES lists them for people, trace.c has them in a table. */
enum {
	TRACE_BOOT = 1 << 0,   /* start-up steps, and what is put where */
	TRACE_EXITS = 1 << 1,  /* each return of KVM_RUN */
	TRACE_PIO = 1 << 2,    /* I/O ports, by device and register */
	TRACE_MMIO = 1 << 3,   /* memory-mapped registers */
	TRACE_MSR = 1 << 4,    /* model-specific registers that KVM doesn't know */
	TRACE_IRQ = 1 << 5,    /* interrupt lines */
	TRACE_VIRTIO = 1 << 6, /* chains of virtqueues */
	TRACE_FS = 1 << 7,     /* requests to shared directories */
	TRACE_ALL = (1 << 8) - 1,
};
#define TRACE_NAMES "boot, exits, pio, mmio, msr, irq, virtio, fs"

/* By the end of the file's name; trace.c says what a line looks like. */
enum trace_format {
	TRACE_TEXT,
	TRACE_JSON_LINES, /* ".jsonl": an object a line */
	TRACE_CHROME,     /* ".json": trace events, as Perfetto and chrome://tracing show them */
};

enum { TRACE_BUFFER_BYTES = 16384 };

struct trace {
	u32 events; /* TRACE_… bits; 0 when off */
	struct sink sink;
	enum trace_format format;
	u64 start_ns;       /* what times count from: the process's start */
	atomic_bool broken; /* writing failed: nothing is written any more */
	struct loop_timer flush;

	pthread_mutex_t lock; /* guards what follows */
	char *text;           /* TRACE_BUFFER_BYTES */
	size_t used;
	unsigned threads, spans; /* numbers that were given out */
};

/* "pio,irq" or "all", up to a '=', to bits. Returns 0, or -1 with err set to a line that lists the names. */
int trace_parse(const char *list, u32 *events, struct error *err);

/*
 * Opens the trace: to path (created or truncated), or to stderr when it is NULL, and gives the
 * calling thread the name "main". Does nothing when events is 0. Returns 0, or -1 with err set.
 */
int trace_open(struct trace *trace, u32 events, const char *path, u64 start_ns, struct loop *loop,
	       struct error *err);

/* Names the calling thread, "cpu0", "virtio1/q0"; who stays. Without a name it traces nothing. */
void trace_adopt(const char *who);

/* Writes everything out that there is by now. */
void trace_flush(struct trace *trace);

/* Writes everything out and closes; the other threads have ended. */
void trace_close(struct trace *trace);

/* Whether events of this kind are wanted. */
static inline bool trace_on(const struct trace *trace, u32 event)
{
	return __builtin_expect((trace->events & event) != 0, 0);
}

/*
 * Adds what began at start_ns (clock_now_ns()) and ends now; 0 is the same as trace_line(). In Chrome's
 * format, what is no chain's is a slice of the calling thread's, and slices have to lie in one another.
 */
void trace_span(struct trace *trace, u32 event, u64 start_ns, const char *format, ...) PRINTF(4, 5);

/* Adds a line, printf-like and without its end, to the trace. */
void trace_line(struct trace *trace, u32 event, const char *format, ...) PRINTF(3, 4);

#endif
