/*
 * A bell: an eventfd that somebody rings and somebody else polls, or hands to the kernel.
 *
 * It counts the rings until they are taken, so several may be heard as one and none is lost. It
 * never blocks.
 */
#ifndef BANTAM_VMM_BELL_H
#define BANTAM_VMM_BELL_H

#include "vmm/error.h"
#include "vmm/types.h"

/* Returns the descriptor, or -1 with err set. */
int bell_open(struct error *err);

void bell_ring(int fd);

/* Takes the rings that there were; returns whether there were any. */
bool bell_silence(int fd);

#endif
