/*
 * The jail: what the process gives up, besides system calls (sandbox.h), before the guest runs.
 *
 * jail_enter() is for the main thread, when all is open that is opened by a path and before any other
 * thread is made, for threads inherit what it does. Its steps, in this order:
 *
 *	1. no core dump, which would be the guest's memory; nobody of the same user looks into the process
 *	2. Landlock: no path but the shared directories' (no_new_privs came before: the kernel wants it)
 *
 * What the kernel hasn't isn't there; --verbose names it. With --sandbox off nothing is done, and with
 * audit nothing that would stop anything.
 */
#ifndef BANTAM_VMM_JAIL_H
#define BANTAM_VMM_JAIL_H

#include "vmm/landlock.h"
#include "vmm/sandbox.h"

struct jail {
	struct landlock_tree *tree; /* what the guest shares */
	unsigned trees;
	bool signals; /* a child has to be ended */
	bool verbose;
};

/* Returns 0, or -1 with err set when a layer that the kernel has can't be put on. */
int jail_enter(const struct jail *jail, struct error *err);

#endif
