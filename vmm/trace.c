/*
 * The trace: see trace.h.
 */
#include "vmm/trace.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/format.h"
#include "vmm/json.h"

/*
 * What is said of an event, and a line of text, is cut there; escaped it may be longer, and is cut again.
 */
enum { WORDS_BYTES = 256, ESCAPED_BYTES = 640, LINE_BYTES = 2048 };

#define FLUSH_PERIOD_NS ((u64)200000000)

/* How long a thread with a full buffer waits for the trace's reader before the trace is given up. */
#define PATIENCE_NS ((u64)1000000000)

static const struct {
	const char *name;
	u32 bits;
} kinds[] = {
	{"boot", TRACE_BOOT},     {"exits", TRACE_EXITS}, {"pio", TRACE_PIO},
	{"mmio", TRACE_MMIO},     {"msr", TRACE_MSR},     {"irq", TRACE_IRQ},
	{"virtio", TRACE_VIRTIO}, {"fs", TRACE_FS},       {"all", TRACE_ALL},
};

/*
 * The calling thread's name. It is the thread's own, not the program's: an event may come from
 * deep inside a device, which doesn't know on which thread it runs.
 */
static _Thread_local const char *mine;

/* Its number in Chrome's format; 0: it has said nothing yet. */
static _Thread_local unsigned my_number;

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

/* Adds whole lines to the buffer; the lock is held. */
static void add_lines(struct trace *trace, const char *lines)
{
	const size_t bytes = strlen(lines);

	if (trace->used + bytes > TRACE_BUFFER_BYTES)
		write_out(trace, true);
	/* There is room: a full buffer is written out whole, or the trace is given up. */
	memcpy(trace->text + trace->used, lines, bytes);
	trace->used += bytes;
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
	my_number = 0;
}

static enum trace_format format_of(const char *path)
{
	const char *end = path ? strrchr(path, '.') : NULL;

	return !end                         ? TRACE_TEXT
	       : strcmp(end, ".json") == 0  ? TRACE_CHROME
	       : strcmp(end, ".jsonl") == 0 ? TRACE_JSON_LINES
					    : TRACE_TEXT;
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
	trace->format = format_of(path);
	if (trace->format == TRACE_CHROME)
		add_lines(trace, "[{\"ph\": \"M\", \"name\": \"process_name\", \"pid\": 1, "
				 "\"args\": {\"name\": \"bantam\"}}\n");
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
	if (trace->events && trace->format == TRACE_CHROME)
		add_lines(trace, "]\n");
	trace_flush(trace);
	if (trace->events) {
		pthread_mutex_destroy(&trace->lock);
		sink_close(&trace->sink);
		free(trace->text);
	}
	mine = NULL;
	*trace = (struct trace){.sink.fd = -1};
}

/* What is said of an event. */
struct said {
	u32 event;
	u64 start_ns, end_ns; /* since the trace's start; a moment: they are equal */
	char words[WORDS_BYTES];
};

/* Microseconds, for "%llu.%03llu". */
#define US(ns) (ns) / 1000, (ns) % 1000

/* "cpu0 +12.482ms pio out serial0.IER = 0x05 (rx,line)" */
static void add_text(struct trace *trace, const struct said *said)
{
	const u64 took_ns = said->end_ns - said->start_ns, now_us = said->end_ns / 1000;
	char line[LINE_BYTES], took[32] = "";
	size_t used;

	if (took_ns)
		format_text(took, sizeof(took), ", %llu.%llu us", took_ns / 1000,
			    took_ns / 100 % 10);
	used = format_text(line, WORDS_BYTES - strlen(took), "%s +%llu.%03llums %s %s", mine,
			   now_us / 1000, now_us % 1000, kind_name(said->event), said->words);
	memcpy(line + used, took, strlen(took) + 1);
	text_clean(line);
	/* In the place of the longest line's NUL. */
	used = strlen(line) < WORDS_BYTES - 1 ? strlen(line) : WORDS_BYTES - 2;
	memcpy(line + used, "\n", 2);
	add_lines(trace, line);
}

static void add_object(struct trace *trace, const struct said *said)
{
	char line[LINE_BYTES], words[ESCAPED_BYTES];

	json_escape(words, sizeof(words), said->words);
	format_text(
		line, sizeof(line),
		"{\"us\": %llu.%03llu, \"took_us\": %llu.%03llu, \"thread\": \"%s\", \"kind\": \"%s\", "
		"\"text\": \"%s\"}\n",
		US(said->start_ns), US(said->end_ns - said->start_ns), mine, kind_name(said->event),
		words);
	add_lines(trace, line);
}

/* The calling thread's name, in front of the first of its events. */
static void introduce(struct trace *trace)
{
	char line[LINE_BYTES];

	my_number = ++trace->threads;
	format_text(line, sizeof(line),
		    ",{\"ph\": \"M\", \"name\": \"thread_name\", \"pid\": 1, \"tid\": %u, "
		    "\"args\": {\"name\": \"%s\"}}\n",
		    my_number, mine);
	add_lines(trace, line);
}

/*
 * Google's "Trace Event Format": a moment is an instant of its thread (i), what has a length a slice
 * (X). A queue's chains overlap: each is an asynchronous pair (b, e) that is named after the queue.
 */
static void add_chrome(struct trace *trace, const struct said *said)
{
	const bool moment = said->start_ns == said->end_ns;
	const bool chain = said->event == TRACE_VIRTIO && !moment;
	char line[LINE_BYTES], words[ESCAPED_BYTES], common[128];

	if (!my_number)
		introduce(trace);
	json_escape(words, sizeof(words), said->words);
	format_text(common, sizeof(common), "\"cat\": \"%s\", \"pid\": 1, \"tid\": %u",
		    kind_name(said->event), my_number);
	if (chain) {
		const int name = (int)strcspn(words, " ");

		format_text(
			line, sizeof(line),
			",{\"ph\": \"b\", %s, \"ts\": %llu.%03llu, \"id\": %u, \"name\": \"%.*s\", "
			"\"args\": {\"text\": \"%s\"}}\n",
			common, US(said->start_ns), ++trace->spans, name, words, words);
		add_lines(trace, line);
		format_text(
			line, sizeof(line),
			",{\"ph\": \"e\", %s, \"ts\": %llu.%03llu, \"id\": %u, \"name\": \"%.*s\"}\n",
			common, US(said->end_ns), trace->spans, name, words);
	} else if (moment) {
		format_text(
			line, sizeof(line),
			",{\"ph\": \"i\", \"s\": \"t\", %s, \"ts\": %llu.%03llu, \"name\": \"%s\"}\n",
			common, US(said->end_ns), words);
	} else {
		format_text(
			line, sizeof(line),
			",{\"ph\": \"X\", %s, \"ts\": %llu.%03llu, \"dur\": %llu.%03llu, \"name\": \"%s\"}\n",
			common, US(said->start_ns), US(said->end_ns - said->start_ns), words);
	}
	add_lines(trace, line);
}

static void add(struct trace *trace, u32 event, u64 start_ns, const char *format, va_list args)
{
	struct said said = {.event = event};

	if (!mine || !trace->events)
		return;
	format_args(said.words, sizeof(said.words), format, args);
	pthread_mutex_lock(&trace->lock);
	said.end_ns = clock_now_ns() - trace->start_ns;
	said.start_ns = start_ns ? start_ns - trace->start_ns : said.end_ns;
	if (trace->format == TRACE_TEXT)
		add_text(trace, &said);
	else if (trace->format == TRACE_JSON_LINES)
		add_object(trace, &said);
	else
		add_chrome(trace, &said);
	pthread_mutex_unlock(&trace->lock);
}

void trace_line(struct trace *trace, u32 event, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(trace, event, 0, format, args);
	va_end(args);
}

void trace_span(struct trace *trace, u32 event, u64 start_ns, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(trace, event, start_ns, format, args);
	va_end(args);
}
