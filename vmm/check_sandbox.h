/*
 * The walls that this host's kernel offers around the monitor, found by trying.
 */
#ifndef BANTAM_VMM_CHECK_SANDBOX_H
#define BANTAM_VMM_CHECK_SANDBOX_H

#include "vmm/types.h"

struct check_sandbox {
	bool seccomp;           /* filters that end the process */
	bool seccomp_inherited; /* this process is under a filter already: a container's */
	int landlock_abi;       /* 0 without Landlock */
	/* errno of trying, 0: they work. */
	int user_namespaces;
	int io_uring; /* with restrictions, as it is used here */
};

/* Tries them all. Forks a child, waits for it, and leaves nothing behind. */
void check_sandbox_look(struct check_sandbox *sandbox);

#endif
