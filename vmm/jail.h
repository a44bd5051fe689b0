/*
 * The jail: what the process gives up, besides system calls (sandbox.h), before the guest runs.
 *
 * jail_enter() is for the main thread, when all is open that is opened by a path and before any other
 * thread is made, for threads inherit what it does. Its steps, and why in this order:
 *
 *	1. limits: no core dump, which would be the guest's memory; address space for what is mapped, and
 *	   some. First, while /proc can be read.
 *	2. namespaces of its own, which take CAP_SYS_ADMIN: an empty network, no System V IPC, and an
 *	   empty directory in the place of the root. Before Landlock, which lets nobody mount.
 *	3. what a new program would get: the bounding set and securebits take CAP_SETPCAP, which the
 *	   next two steps take away
 *	4. --run-as: another user, which takes CAP_SETUID and CAP_SETGID
 *	5. capabilities: all but those that root's shared directories need. From here on nothing is taken
 *	   back by rights that are left.
 *	6. Landlock: no path but the shared directories'. It needs none but no_new_privs, which
 *	   sandbox_prepare() has set.
 *	7. nobody of the same user looks into the process. Last, for a change of the user resets it.
 *
 * jail_close() follows when the other threads are there: no more descriptors than are needed. The
 * filters come last, because all of this takes calls that they refuse.
 *
 * There is no PID namespace: it would be a child's, and this is one process. Other processes are out of
 * reach of signals by the filters, and by Landlock (version 6, and without a passt to end).
 *
 * What the kernel hasn't, or this user may not, isn't there; --verbose names it. The steps are for
 * --sandbox on alone: audit stops nothing, and off does nothing.
 *
 * Source: capabilities(7), namespaces(7), pivot_root(2).
 */
#ifndef BANTAM_VMM_JAIL_H
#define BANTAM_VMM_JAIL_H

#include "vmm/landlock.h"
#include "vmm/sandbox.h"

struct jail {
	struct landlock_tree *tree; /* what the guest shares */
	unsigned trees;
	bool child; /* there is one, which has to be ended */
	bool paths; /* a path is opened later: the root directory stays */
	bool verbose;
	u32 uid, gid; /* who to become; 0: stay who we are */
};

/* Returns 0, or -1 with err set when a layer that the kernel has can't be put on. */
int jail_enter(const struct jail *jail, struct error *err);

/* For the main thread when the others are there. opens: descriptors are opened later, more than a few. */
void jail_close(bool opens);

#endif
