/*
 * Listens to what the guest's kernel says on its console about its own end.
 *
 * A Linux that panics says so and then hangs, resets or faults; one that reboots says that too.
 * The words are the only thing that tells these apart, so each line is compared with a few
 * phrases. They count only at the start of a line, behind printk's time stamp if there is one, and
 * a panic counts only together with what follows it: a reset that nobody announced, or the line
 * with which a panicked kernel stops for good. It is the guest's claim all the same: whoever may
 * write to the console may write this.
 *
 * Source: Linux kernel/panic.c (panic), kernel/reboot.c (kernel_restart).
 */
#ifndef BANTAM_VMM_WATCH_H
#define BANTAM_VMM_WATCH_H

#include <stdatomic.h>

#include "vmm/types.h"

enum { WATCH_LINE_BYTES = 200 };

enum watch_news { WATCH_NOTHING, WATCH_PANIC_END };

struct watch {
	/* Guarded by the lock of the console that feeds it. */
	char line[WATCH_LINE_BYTES]; /* the line so far; what is longer is cut */
	size_t used;

	/* Read by any thread. panic_line is complete before panicked is set, and never changes. */
	atomic_bool panicked, restarting;
	char panic_line[WATCH_LINE_BYTES];
};

/* Takes a byte of console output; says when the kernel has stopped for good after a panic. */
enum watch_news watch_byte(struct watch *watch, u8 byte);

/* The last lines of it all, for a run that doesn't show them. */
enum { TAIL_BYTES = 8192, TAIL_LINES = 50 };

struct tail {
	char byte[TAIL_BYTES];
	u64 total; /* the next byte's place is total % TAIL_BYTES */
};

/* Guarded by the lock of the console that feeds it. */
void tail_put(struct tail *tail, u8 byte);

/*
 * Writes the last TAIL_LINES lines, as far as they are kept, to a descriptor. What isn't printable
 * becomes '?': a guest's bytes must do nothing to a terminal.
 */
void tail_print(const struct tail *tail, int fd);

#endif
