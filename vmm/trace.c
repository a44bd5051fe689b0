/*
 * The trace: see trace.h.
 */
#include "vmm/trace.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A line of an event is never longer; trace_line() cuts it. */
enum { LINE_BYTES = 256 };

#define FLUSH_PERIOD_NS ((u64)200000000)

/* How long a thread with a full buffer waits for the trace's reader before the trace is given up. */
#define PATIENCE_NS ((u64)1000000000)

static const struct {
	const char *name;
	u32 bits;
} kinds[] = {
	{"boot", TRACE_BOOT},     {"exits", TRACE_EXITS}, {"pio", TRACE_PIO},
	{"mmio", TRACE_MMIO},     {"msr", TRACE_MSR},     {"irq", TRACE_IRQ},
	{"virtio", TRACE_VIRTIO}, {"all", TRACE_ALL},
};

/*
 * The calling thread's name. It is the thread's own, not the program's: an event may come from
 * deep inside a device, which doesn't know on which thread it runs.
 */
static _Thread_local const char *mine;

int trace_parse(const char *list, u32 *events, struct error *err)
{
	*events = 0;
	for (const char *at = list;; at++) {
		const size_t length = strcspn(at, ",=");
		size_t i = 0;

		while (i < ARRAY_LEN(kinds) &&
		       (strncmp(kinds[i].name, at, length) != 0 || kinds[i].name[length] != '\0'))
			i++;
		if (i == ARRAY_LEN(kinds))
			return error_set(err, "--trace '%.*s': there are " TRACE_NAMES " and all",
					 (int)length, at);
		*events |= kinds[i].bits;
		at += length;
		if (*at != ',')
			return 0;
	}
}

static const char *kind_name(u32 event)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i].bits == event)
			return kinds[i].name;
	}
	return "?";
}

static void give_up(struct trace *trace, const char *why)
{
	if (!atomic_exchange(&trace->broken, true))
		say("the trace ends here: %s; the guest runs on", why);
}

/*
 * As many whole lines as a pipe takes in one piece: so lines are never torn, whoever else writes
 * there. A line is always shorter than that.
 */
static size_t whole_lines(const char *text, size_t bytes)
{
	if (bytes > PIPE_BUF) {
		bytes = PIPE_BUF;
		while (text[bytes - 1] != '\n')
			bytes--;
	}
	return bytes;
}

/*
 * Writes the buffer out; the lock is held. What the sink doesn't take stays for later, or, when
 * patient, is waited for: a sink that takes nothing for a second is given up.
 */
static void write_out(struct trace *trace, bool patient)
{
	size_t done = 0;

	while (done < trace->used && !atomic_load(&trace->broken)) {
		const ssize_t count =
			sink_write(&trace->sink, trace->text + done,
				   whole_lines(trace->text + done, trace->used - done));

		if (count > 0)
			done += (size_t)count;
		else if (errno != EAGAIN)
			give_up(trace, strerror(errno));
		else if (!patient)
			break;
		else if (!loop_wait_for(trace->sink.fd, POLLOUT, clock_now_ns() + PATIENCE_NS))
			give_up(trace, "nobody reads it");
	}
	if (atomic_load(&trace->broken))
		done = trace->used;
	memmove(trace->text, trace->text + done, trace->used - done);
	trace->used -= done;
}

static void flush_fired(void *owner)
{
	struct trace *trace = owner;

	/* A thread that is writing it out right now is not waited for. */
	if (pthread_mutex_trylock(&trace->lock) == 0) {
		write_out(trace, false);
		pthread_mutex_unlock(&trace->lock);
	}
	loop_timer_set(&trace->flush, FLUSH_PERIOD_NS);
}

void trace_adopt(const char *who)
{
	mine = who;
}

int trace_open(struct trace *trace, u32 events, const char *path, u64 start_ns, struct loop *loop,
	       struct error *err)
{
	*trace = (struct trace){.sink.fd = -1, .start_ns = start_ns};
	if (!events)
		return 0;
	trace->text = malloc(TRACE_BUFFER_BYTES);
	if (!trace->text)
		return error_set(err, "no memory for the trace");
	pthread_mutex_init(&trace->lock, NULL);
	trace->events = events;
	if (!path)
		sink_borrow(&trace->sink, STDERR_FILENO);
	else if (sink_open(&trace->sink, path))
		return error_errno(err, "cannot write the trace to '%s'", path);
	trace_adopt("main");
	loop_add_timer(loop, &trace->flush, flush_fired, trace);
	loop_timer_set(&trace->flush, FLUSH_PERIOD_NS);
	return 0;
}

void trace_flush(struct trace *trace)
{
	if (!trace->events)
		return;
	pthread_mutex_lock(&trace->lock);
	write_out(trace, true);
	pthread_mutex_unlock(&trace->lock);
}

void trace_close(struct trace *trace)
{
	trace_flush(trace);
	if (trace->events) {
		pthread_mutex_destroy(&trace->lock);
		sink_close(&trace->sink);
		free(trace->text);
	}
	mine = NULL;
	*trace = (struct trace){.sink.fd = -1};
}

void trace_line(struct trace *trace, u32 event, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;
	size_t used;
	u64 now_us;

	if (!mine || !trace->events)
		return;
	pthread_mutex_lock(&trace->lock);
	now_us = (clock_now_ns() - trace->start_ns) / 1000;
	used = (size_t)snprintf(line, sizeof(line), "%s +%llu.%03llums %s ", mine, now_us / 1000,
				now_us % 1000, kind_name(event));
	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	text_clean(line);
	used = strlen(line);
	line[used++] = '\n';
	if (trace->used + used > TRACE_BUFFER_BYTES)
		write_out(trace, true);
	/* There is room: a full buffer is written out whole, or the trace is given up. */
	memcpy(trace->text + trace->used, line, used);
	trace->used += used;
	pthread_mutex_unlock(&trace->lock);
}
