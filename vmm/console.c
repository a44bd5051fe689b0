/*
 * The host's end of the guest's console: see console.h.
 */
#include "vmm/console.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/readwrite.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(console, CALL(preadv2, SANDBOX_MAIN, "stdin; bells; signals"));

enum { KEY_ESCAPE = 0x01 };

/* So often is written before others of the main thread have their turn. */
enum { FLUSH_TURNS = 16 };

/*
 * How long the first byte waits for company before it is written, and how long those wait that
 * come right behind: short enough for a person who types, long enough for a guest that floods.
 */
#define FLUSH_DELAY_NS  ((u64)1000000)
#define FLUSH_PERIOD_NS ((u64)8000000)

/* How long a full buffer of keys waits for the guest before keys are dropped. */
#define PATIENCE_NS ((u64)500000000)

/* Gives up the sink after an error that will not pass. */
static void sink_lost(struct console *console)
{
	sink_close(&console->sink);
	console->out.fd = -1;
	console->out.events = 0;
	pthread_mutex_lock(&console->lock);
	console->gone = true;
	console->dropped += console->used;
	console->used = 0;
	pthread_mutex_unlock(&console->lock);
}

/* Removes written bytes from the ring; true when the device waits to hear that there is room. */
static bool ring_advance(struct console *console, size_t count)
{
	bool tell = false;

	pthread_mutex_lock(&console->lock);
	console->head = (console->head + count) % CONSOLE_RING_BYTES;
	console->used -= count;
	if (console->used == 0)
		console->head = 0; /* a quiet console touches only the ring's first pages */
	if (console->wants_drained && console->used <= CONSOLE_RING_BYTES / 4) {
		console->wants_drained = false;
		tell = true;
	}
	pthread_mutex_unlock(&console->lock);
	return tell;
}

/*
 * Writes once what lies in one piece in the ring. Returns false when nothing more can be done now:
 * the ring is empty, the sink is full (out then waits for POLLOUT) or it is gone.
 */
static bool flush_once(struct console *console)
{
	size_t head, piece;
	ssize_t done;

	pthread_mutex_lock(&console->lock);
	head = console->head;
	piece = console->used;
	pthread_mutex_unlock(&console->lock);
	if (piece > CONSOLE_RING_BYTES - head)
		piece = CONSOLE_RING_BYTES - head;
	console->out.events = 0;
	if (piece == 0 || console->out.fd < 0)
		return false;
	/* Only this thread takes bytes out, so the piece stays as it is without the lock. */
	done = sink_write(&console->sink, console->ring + head, piece);
	if (done < 0 && errno != EAGAIN) {
		say("the console's output can't be written (%s); the guest runs on without it",
		    strerror(errno));
		sink_lost(console);
		console->device.output_drained(console->device.device);
		return false;
	}
	if (done > 0 && ring_advance(console, (size_t)done))
		console->device.output_drained(console->device.device);
	if (done <= 0)
		console->out.events = POLLOUT;
	return done > 0;
}

/*
 * Writes what there is; then either the sink is waited for, or the timer looks again. A guest that
 * writes as fast as the sink takes it doesn't keep the main thread from its other work.
 */
static void flush_all(void *owner)
{
	struct console *console = owner;

	for (unsigned turn = 0; turn < FLUSH_TURNS && flush_once(console); turn++)
		;
	if (!console->out.events)
		loop_timer_set(&console->flush, FLUSH_PERIOD_NS);
}

static void flush_fired(void *owner)
{
	struct console *console = owner;
	bool more;

	pthread_mutex_lock(&console->lock);
	more = console->used > 0;
	console->attended = more;
	pthread_mutex_unlock(&console->lock);
	if (more)
		flush_all(console);
}

static void output_woken(void *owner)
{
	struct console *console = owner;

	if (console->out.events || console->out.fd < 0)
		return; /* the sink is full and is waited for, or it is gone */
	if (console->flush.deadline_ns)
		flush_fired(console); /* the second ring: the buffer fills faster than usual */
	else
		loop_timer_set(&console->flush, FLUSH_DELAY_NS);
}

void console_put(void *owner, u8 byte)
{
	struct console *console = owner;
	bool ring_bell = false;

	pthread_mutex_lock(&console->lock);
	console->total++;
	if (console->gone || console->used == CONSOLE_RING_BYTES ||
	    (console->end && console->total > console->end)) {
		console->dropped++;
	} else {
		console->ring[(console->head + console->used) % CONSOLE_RING_BYTES] = byte;
		console->used++;
		ring_bell = !console->attended || console->used == CONSOLE_RING_BYTES / 2;
		console->attended = true;
	}
	if (console->watch)
		console->watch(console->owner, byte);
	pthread_mutex_unlock(&console->lock);
	if (ring_bell)
		loop_wake_signal(&console->output_wake);
}

bool console_has_room(void *owner)
{
	struct console *console = owner;
	bool room;

	pthread_mutex_lock(&console->lock);
	room = console->gone || console->used <= CONSOLE_RING_BYTES / 2;
	if (!room)
		console->wants_drained = true;
	pthread_mutex_unlock(&console->lock);
	return room;
}

void console_want_input(void *owner)
{
	struct console *console = owner;

	/* Whether there is any input is for the main thread to know. */
	loop_wake_signal(&console->input_wake);
}

/* Offers the held bytes to the device. */
static void push_held(struct console *console)
{
	const size_t taken =
		console->device.input(console->device.device, console->held, console->held_used);

	console->held_used -= taken;
	memmove(console->held, console->held + taken, console->held_used);
}

/* Whether more may be read: only a terminal is read ahead of what the guest takes. */
static bool can_hold(const struct console *console)
{
	return console->held_used == 0 ||
	       (console->in_raw && console->held_used < sizeof(console->held));
}

static void input_woken(void *owner)
{
	struct console *console = owner;

	push_held(console);
	if (!can_hold(console))
		return;
	console->overflowing = false;
	console->patience.deadline_ns = 0;
	if (console->in.fd >= 0 && !console->in_paused)
		console->in.events = POLLIN;
}

/* The buffer is full and the guest took nothing: keys are read for Ctrl-A x, and dropped. */
static void patience_fired(void *owner)
{
	struct console *console = owner;

	console->overflowing = true;
	if (console->in.fd >= 0 && !console->in_paused)
		console->in.events = POLLIN;
}

/* Keeps a byte for the guest. Only type-ahead of more than the buffer holds is ever refused. */
static void hold(struct console *console, u8 byte)
{
	if (console->held_used < sizeof(console->held))
		console->held[console->held_used++] = byte;
}

static void take_key(struct console *console, u8 key)
{
	if (!console->in_raw || (!console->escape && key != KEY_ESCAPE)) {
		hold(console, key);
	} else if (!console->escape) {
		console->escape = true;
	} else {
		console->escape = false;
		if (key == 'x' || key == 'X')
			console->quit(console->owner);
		else if (key == 'a' || key == KEY_ESCAPE)
			hold(console, KEY_ESCAPE);
	}
}

static void in_ready(void *owner)
{
	struct console *console = owner;
	u8 keys[CONSOLE_HELD_BYTES];
	size_t room;
	ssize_t count;

	push_held(console);
	if (!can_hold(console) && !console->overflowing) {
		console->in.events = 0;
		if (console->in_raw)
			loop_timer_set(&console->patience, PATIENCE_NS);
		return;
	}
	room = sizeof(console->held) - console->held_used;
	count = io_read(console->in.fd, keys, room ? room : sizeof(keys));
	if (count < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (count < 0)
		say("the console's input can't be read: %s", strerror(errno));
	if (count <= 0) {
		console->in.events = 0;
		console->in.fd = -1;
		return;
	}
	for (ssize_t i = 0; i < count; i++)
		take_key(console, keys[i]);
	push_held(console);
}

static int open_output(struct console *console, enum console_target target, const char *path,
		       struct error *err)
{
	switch (target) {
	case CONSOLE_STDIO:
		sink_borrow(&console->sink, STDOUT_FILENO);
		break;
	case CONSOLE_STDERR:
		sink_borrow(&console->sink, STDERR_FILENO);
		break;
	case CONSOLE_OFF:
		return 0;
	case CONSOLE_FILE:
		if (sink_open(&console->sink, path))
			return error_set(err, "cannot open '%s' for the console: %s%s", path,
					 strerror(errno),
					 errno == ENXIO ? " (a FIFO needs its reader first)" : "");
		break;
	}
	console->out.fd = console->sink.fd;
	return 0;
}

void console_init(struct console *console)
{
	*console = (struct console){.gone = true};
	console->output_wake.source.fd = console->input_wake.source.fd = -1;
	pthread_mutex_init(&console->lock, NULL);
	console->sink.fd = -1;
	console->out = (struct loop_source){.fd = -1, .ready = flush_all, .owner = console};
	console->in = (struct loop_source){.fd = -1, .ready = in_ready, .owner = console};
}

int console_open(struct console *console, struct loop *loop, enum console_target target,
		 const char *path, struct error *err)
{
	void *ring;

	if (open_output(console, target, path, err))
		return -1;
	if (target == CONSOLE_STDIO)
		console->in.fd = STDIN_FILENO;
	ring = mmap(NULL, CONSOLE_RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (ring == MAP_FAILED)
		return error_errno(err, "no memory for the console");
	console->ring = ring;
	console->gone = console->out.fd < 0;
	loop_add_timer(loop, &console->flush, flush_fired, console);
	loop_add_timer(loop, &console->patience, patience_fired, console);
	if (loop_add(loop, &console->out, err) || loop_add(loop, &console->in, err) ||
	    loop_wake_init(&console->output_wake, loop, output_woken, console, err) ||
	    loop_wake_init(&console->input_wake, loop, input_woken, console, err))
		return -1;
	return 0;
}

void console_take_terminal(struct console *console, bool raw)
{
	console->in_raw = raw;
	console->in_paused = !raw;
	console->in.events = raw && console->in.fd >= 0 ? POLLIN : 0;
}

/* Waits until the sink takes something: true then. *interrupted: interrupt_fd became readable. */
static bool wait_for_sink(const struct console *console, int interrupt_fd, u64 deadline_ns,
			  bool *interrupted)
{
	struct pollfd fds[2] = {{.fd = console->out.fd, .events = POLLOUT},
				{.fd = interrupt_fd, .events = POLLIN}};

	for (;;) {
		const int wait_ms = interrupt_fd < 0 ? 0 : loop_wait_ms(deadline_ns);
		const int ready = poll(fds, 2, wait_ms);

		if (ready > 0) {
			*interrupted = fds[1].revents;
			return fds[0].revents;
		}
		/* A wait of more than an hour ends early; only the deadline itself counts. */
		if (ready == 0 && wait_ms == 0)
			return false;
	}
}

bool console_drain(struct console *console, int interrupt_fd, u64 deadline_ns)
{
	bool interrupted = false;

	pthread_mutex_lock(&console->lock);
	if (!console->end)
		console->end = console->total + MIB;
	pthread_mutex_unlock(&console->lock);
	do {
		while (flush_once(console))
			;
	} while (console->out.events && !interrupted &&
		 wait_for_sink(console, interrupt_fd, deadline_ns, &interrupted));
	return interrupted;
}

void console_close(struct console *console)
{
	sink_close(&console->sink);
	loop_wake_close(&console->output_wake);
	loop_wake_close(&console->input_wake);
	if (console->ring)
		munmap(console->ring, CONSOLE_RING_BYTES);
	pthread_mutex_destroy(&console->lock);
}
