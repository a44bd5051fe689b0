/*
 * The trace: see trace.h.
 */
#include "vmm/trace.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/sandbox.h"

SANDBOX_CALLS(trace, CALL(poll, SANDBOX_VCPU | SANDBOX_WORKER, "a trace whose reader is slow"));

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
 * The calling thread's buffer. It is the thread's own, not the program's: an event may come from
 * deep inside a device, which doesn't know on which thread it runs.
 */
static _Thread_local struct trace_buffer *mine;

int trace_parse(const char *list, u32 *events, struct error *err)
{
	*events = 0;
	for (const char *at = list;; at++) {
		const size_t length = strcspn(at, ",");
		size_t i = 0;

		while (i < ARRAY_LEN(kinds) &&
		       (strncmp(kinds[i].name, at, length) != 0 || kinds[i].name[length] != '\0'))
			i++;
		if (i == ARRAY_LEN(kinds))
			return error_set(err, "--trace '%.*s': there are " TRACE_NAMES " and all",
					 (int)length, at);
		*events |= kinds[i].bits;
		at += length;
		if (!*at)
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

/* Waits until the sink takes something, for PATIENCE_MS at most; a signal doesn't end the wait. */
static bool wait_for_sink(const struct trace *trace, bool patient)
{
	const u64 deadline_ns = clock_now_ns() + (patient ? PATIENCE_NS : 0);
	struct pollfd fd = {.fd = trace->sink.fd, .events = POLLOUT};
	int ready;

	do
		ready = poll(&fd, 1, loop_wait_ms(deadline_ns));
	while (ready < 0 && errno == EINTR);
	return ready > 0;
}

/*
 * As many whole lines as a pipe takes in one piece: so lines of several threads are never torn.
 * A line is always shorter than that.
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
 * Writes a buffer out; its lock is held. What the sink doesn't take stays for later, or, when
 * patient, is waited for: a sink that takes nothing for a second is given up.
 */
static void write_out(struct trace *trace, struct trace_buffer *buffer, bool patient)
{
	size_t done = 0;

	while (done < buffer->used && !atomic_load(&trace->broken)) {
		ssize_t count = -1;

		errno = EAGAIN;
		if (!trace->sink.polls || wait_for_sink(trace, false))
			count = sink_write(&trace->sink, buffer->text + done,
					   whole_lines(buffer->text + done, buffer->used - done));
		if (count > 0)
			done += (size_t)count;
		else if (errno == EINTR)
			continue;
		else if (errno != EAGAIN)
			give_up(trace, strerror(errno));
		else if (!patient)
			break;
		else if (!wait_for_sink(trace, true))
			give_up(trace, "nobody reads it");
	}
	if (atomic_load(&trace->broken))
		done = buffer->used;
	memmove(buffer->text, buffer->text + done, buffer->used - done);
	buffer->used -= done;
}

/* A buffer whose thread is writing it out right now is not waited for. */
static void flush_all(struct trace *trace, bool patient)
{
	for (unsigned i = 0; i < trace->buffers; i++) {
		struct trace_buffer *buffer = trace->buffer[i];

		if (patient)
			pthread_mutex_lock(&buffer->lock);
		else if (pthread_mutex_trylock(&buffer->lock))
			continue;
		write_out(trace, buffer, patient);
		pthread_mutex_unlock(&buffer->lock);
	}
}

static void flush_fired(void *owner)
{
	struct trace *trace = owner;

	flush_all(trace, false);
	loop_timer_set(&trace->flush, FLUSH_PERIOD_NS);
}

int trace_add_thread(struct trace *trace, const char *who, struct trace_buffer **buffer,
		     struct error *err)
{
	*buffer = NULL;
	if (!trace->events)
		return 0;
	if (trace->buffers == TRACE_THREADS_MAX)
		return error_set(err, "too many threads to trace");
	*buffer = calloc(1, sizeof(**buffer));
	if (!*buffer)
		return error_set(err, "no memory for the trace");
	pthread_mutex_init(&(*buffer)->lock, NULL);
	snprintf((*buffer)->who, sizeof((*buffer)->who), "%s", who);
	trace->buffer[trace->buffers++] = *buffer;
	return 0;
}

void trace_adopt(struct trace_buffer *buffer)
{
	mine = buffer;
}

int trace_open(struct trace *trace, u32 events, const char *path, u64 start_ns, struct loop *loop,
	       struct error *err)
{
	struct trace_buffer *buffer;

	*trace = (struct trace){.events = events, .sink.fd = -1, .start_ns = start_ns};
	if (!events)
		return 0;
	if (!path)
		sink_borrow(&trace->sink, STDERR_FILENO);
	else if (sink_open(&trace->sink, path))
		return error_set(err, "cannot write the trace to '%s': %s", path, strerror(errno));
	if (trace_add_thread(trace, "main", &buffer, err))
		return -1;
	trace_adopt(buffer);
	trace->flush = (struct loop_timer){.fired = flush_fired, .owner = trace};
	loop_timer_set(&trace->flush, FLUSH_PERIOD_NS);
	return loop_add_timer(loop, &trace->flush, err);
}

void trace_flush(struct trace *trace)
{
	flush_all(trace, true);
}

void trace_close(struct trace *trace)
{
	trace_flush(trace);
	for (unsigned i = 0; i < trace->buffers; i++) {
		pthread_mutex_destroy(&trace->buffer[i]->lock);
		free(trace->buffer[i]);
	}
	if (trace->events)
		sink_close(&trace->sink);
	mine = NULL;
	*trace = (struct trace){.sink.fd = -1};
}

void trace_line(struct trace *trace, u32 event, const char *format, ...)
{
	const u64 now_us = (clock_now_ns() - trace->start_ns) / 1000;
	struct trace_buffer *buffer = mine;
	char line[LINE_BYTES];
	va_list args;
	size_t used;

	if (!buffer)
		return;
	used = (size_t)snprintf(line, sizeof(line), "%s +%llu.%03llums %s ", buffer->who,
				(unsigned long long)(now_us / 1000),
				(unsigned long long)(now_us % 1000), kind_name(event));
	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	text_clean(line);
	used = strlen(line);
	line[used++] = '\n';
	pthread_mutex_lock(&buffer->lock);
	if (buffer->used + used > sizeof(buffer->text))
		write_out(trace, buffer, true);
	/* There is room: a full buffer is written out whole, or the trace is given up. */
	memcpy(buffer->text + buffer->used, line, used);
	buffer->used += used;
	pthread_mutex_unlock(&buffer->lock);
}
