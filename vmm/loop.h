/*
 * The event loop of a thread: waits for descriptors and deadlines, calls who asked.
 *
 * It is poll(2), not epoll: a loop has a handful of descriptors, and poll also takes regular files
 * (`bantam run … <file`), which epoll refuses. All functions are for the loop's own thread, except
 * loop_wake_signal(): other threads talk to a loop through a struct loop_wake, an eventfd that
 * the loop watches.
 */
#ifndef BANTAM_VMM_LOOP_H
#define BANTAM_VMM_LOOP_H

#include <poll.h>

#include "vmm/error.h"
#include "vmm/types.h"

enum { LOOP_SOURCES_MAX = 32 };

/* A watched descriptor; owned by whoever adds it, and must outlive its stay in the loop. */
struct loop_source {
	int fd;
	short events; /* POLLIN, POLLOUT; 0 pauses the source: not even a hang-up is reported */
	void (*ready)(void *owner);
	void *owner;
};

/* A deadline on CLOCK_MONOTONIC; 0 when the timer isn't set. It fires once. */
struct loop_timer {
	u64 deadline_ns;
	void (*fired)(void *owner);
	void *owner;
	struct loop_timer *next; /* in the loop's list */
};

struct loop {
	struct loop_source *source[LOOP_SOURCES_MAX];
	unsigned sources;
	struct loop_timer *timers;
	bool stop;
};

int loop_add(struct loop *loop, struct loop_source *source, struct error *err);

/* Makes a timer that isn't set, and adds it; it outlives its stay in the loop. */
void loop_add_timer(struct loop *loop, struct loop_timer *timer, void (*fired)(void *owner),
		    void *owner);

/* Sets the timer to fire delay_ns from now, in place of any earlier deadline. */
void loop_timer_set(struct loop_timer *timer, u64 delay_ns);

/* Waits and calls until somebody sets loop->stop. Returns 0, or -1 with err set when it can't wait. */
int loop_run(struct loop *loop, struct error *err);

/* Milliseconds until a deadline as poll(2) wants them: rounded up, an hour at most; 0 when it has
 * passed, -1 (for ever) when it is 0. */
int loop_wait_ms(u64 deadline_ns);

/* Waits, on any thread, until fd is ready for one of the events or the deadline has passed; signals
 * don't end it. Returns whether it is ready. */
bool loop_wait_for(int fd, short events, u64 deadline_ns);

/* Now on CLOCK_MONOTONIC, in nanoseconds. */
u64 clock_now_ns(void);

/* A bell that any thread rings and the loop hears; many rings may be heard as one. */
struct loop_wake {
	struct loop_source source;
	void (*woken)(void *owner);
	void *owner;
};

/* Opens the bell and adds it to the loop. Returns 0, or -1 with err set. */
int loop_wake_init(struct loop_wake *wake, struct loop *loop, void (*woken)(void *owner),
		   void *owner, struct error *err);
void loop_wake_signal(struct loop_wake *wake);
void loop_wake_close(struct loop_wake *wake);

#endif
