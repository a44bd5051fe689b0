/*
 * The host's end of the guest's console: where its bytes go, and where its input comes from.
 *
 * Output. vCPU threads put bytes into a bounded ring; the main loop writes them to a sink, which
 * never blocks it. Bytes that find the ring full are dropped and counted. The first byte after
 * a silence rings the loop's bell; the loop then waits a moment, so that a line is one write and not
 * eighty, and goes on looking by itself until the guest is silent again. When the ring is more than
 * half full, console_has_room() says no, which an interrupt-driven driver obeys; it is told when
 * room is back.
 *
 * Input is read from stdin when the device asks for it; what was read and isn't taken yet is held.
 * On a terminal in raw mode, Ctrl-A is the escape key: Ctrl-A x ends the machine, Ctrl-A a sends a
 * Ctrl-A. A terminal is therefore read even when no more can be held, once the guest hasn't taken
 * anything for a moment; what is typed then is lost.
 */
#ifndef BANTAM_VMM_CONSOLE_H
#define BANTAM_VMM_CONSOLE_H

#include <pthread.h>

#include "vmm/loop.h"
#include "vmm/sink.h"

enum { CONSOLE_RING_BYTES = 65536, CONSOLE_HELD_BYTES = 4096 };

enum console_target { CONSOLE_STDIO, CONSOLE_STDERR, CONSOLE_OFF, CONSOLE_FILE };

/*
 * The device that the console belongs to. Called on the main thread with no lock held. input()
 * returns how many bytes the device took: none while the guest doesn't listen.
 */
struct console_device {
	size_t (*input)(void *device, const u8 *bytes, size_t count);
	void (*output_drained)(void *device);
	void *device;
};

struct console {
	/* Set before vCPUs run. */
	struct console_device device;
	void (*quit)(void *owner);           /* Ctrl-A x */
	void (*watch)(void *owner, u8 byte); /* sees each byte that the guest sends; under `lock` */
	void *owner;

	/* Main thread only. */
	struct sink sink;       /* fd is -1 with CONSOLE_OFF and after a write error */
	struct loop_source out; /* waits for the sink */
	struct loop_source in;
	bool in_raw;    /* stdin is a terminal in raw mode: Ctrl-A is special */
	bool in_paused; /* stdin is a terminal that isn't ours now */
	bool escape;    /* Ctrl-A was typed */
	u8 held[CONSOLE_HELD_BYTES];
	size_t held_used;
	bool overflowing; /* the guest takes nothing: what doesn't fit into held is dropped */
	struct loop_timer flush, patience;
	struct loop_wake output_wake, input_wake;

	/* lock guards what follows: vCPU threads fill the ring, the main thread empties it. */
	pthread_mutex_t lock;
	u8 *ring;
	size_t head, used;
	bool attended;      /* the main thread will look at the ring by itself: no bell is needed */
	bool wants_drained; /* the device was told "no room" and waits to hear of it */
	bool gone;          /* nobody takes output any more: everything is dropped */
	u64 total, dropped; /* bytes */
	u64 end;            /* what comes when there were so many is dropped; 0: nothing is */
};

/* Makes an empty console, which drops what it is given until it is opened. */
void console_init(struct console *console);

/*
 * Opens the output and joins the loop. path: for CONSOLE_FILE, created or truncated. Only with
 * CONSOLE_STDIO is stdin the guest's input. Returns 0, or -1 with err set.
 */
int console_open(struct console *console, struct loop *loop, enum console_target target,
		 const char *path, struct error *err);

/*
 * Writes out what the ring still holds, as slowly as the reader takes it, until it is empty, or
 * interrupt_fd becomes readable, or it is deadline_ns (CLOCK_MONOTONIC; 0: no deadline).
 * interrupt_fd -1: only what can be written without waiting. Returns whether it was interrupted.
 *
 * A virtio console's worker may still find bytes in the guest's memory, and other workers that write
 * there could give it new ones for ever: it is heard for a last MiB.
 */
bool console_drain(struct console *console, int interrupt_fd, u64 deadline_ns);

/* stdin is a terminal: reads it when it is raw, leaves it alone (in the background) when not. */
void console_take_terminal(struct console *console, bool raw);

void console_close(struct console *console);

/* For the device, on any thread. */
void console_put(void *console, u8 byte);
bool console_has_room(void *console);
void console_want_input(void *console);

#endif
