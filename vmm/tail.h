/*
 * The last lines of what the guest's kernel said on its console, for a run that doesn't show it.
 */
#ifndef BANTAM_VMM_TAIL_H
#define BANTAM_VMM_TAIL_H

#include "vmm/types.h"

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
