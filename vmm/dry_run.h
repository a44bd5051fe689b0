/*
 * `bantam run --dry-run`: shows what would be put in guest memory and where.
 */
#ifndef BANTAM_VMM_DRY_RUN_H
#define BANTAM_VMM_DRY_RUN_H

#include "boot/boot.h"

void dry_run_print(const struct boot_plan *plan);

#endif
