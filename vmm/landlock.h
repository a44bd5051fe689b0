/*
 * Landlock: which files the process can still reach by any path, whatever its filters let through.
 *
 * A ruleset names rights; what it handles and no rule grants is refused to the calling thread and all
 * that it makes from then on, for good. Descriptors that are open keep what they can do. Handled is
 * all that this kernel's version knows: the file system's rights, TCP, abstract sockets and signals
 * to others; granted are the directories that the guest shares, and there neither execution nor
 * device files.
 *
 * Limits: version 1 (Linux 5.13 to 5.18) lets nobody move or link a file between directories. With a
 * directory that the guest may change it isn't used there.
 *
 * Source: Linux Documentation/userspace-api/landlock.rst.
 */
#ifndef BANTAM_VMM_LANDLOCK_H
#define BANTAM_VMM_LANDLOCK_H

#include "vmm/error.h"
#include "vmm/types.h"

/* A directory with all below it, by its descriptor. */
struct landlock_tree {
	int fd;
	bool writable;
	bool removes; /* nothing but taking files away, and that not for the guest */
};

/* The kernel's version of Landlock; 0: it has none, or it is switched off. */
int landlock_version(void);

/*
 * Locks the calling thread in, which has given up new privileges. signals: it may signal other
 * processes. Returns 0, or -1 with err set.
 */
int landlock_enter(int version, const struct landlock_tree *tree, unsigned trees, bool signals,
		   struct error *err);

#endif
