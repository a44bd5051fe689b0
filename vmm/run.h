/*
 * `bantam run`: one machine from its options to its verdict.
 */
#ifndef BANTAM_VMM_RUN_H
#define BANTAM_VMM_RUN_H

#include "vmm/config.h"

/* Returns the process's exit status. What went wrong has been said on stderr. */
int run(const struct config *config);

#endif
