/*
 * The parts of a dry run that have files of their own.
 */
#ifndef BANTAM_VMM_DRY_RUN_PARTS_H
#define BANTAM_VMM_DRY_RUN_PARTS_H

#include "vmm/dry_run.h"
#include "vmm/sheet.h"

/* ---- the architecture's own (vmm/x86/) */

/* A row of the memory map. */
struct dry_run_range {
	u64 gpa, bytes;
	const char *kind, *name, *why; /* name: NULL for what nobody has taken */
};

/* What isn't RAM at fixed guest physical addresses. */
enum { DRY_RUN_FIXED = 3 };
extern const struct dry_run_range dry_run_fixed[DRY_RUN_FIXED];

/* The structure that the kernel is handed, and the memory map in it. */
void dry_run_handover(struct sheet *sheet, const struct boot_plan *plan);

/* Registers at the first instruction. */
void dry_run_processor(struct sheet *sheet, const struct boot_plan *plan);

void dry_run_cpuid(struct sheet *sheet, const struct dry_run_input *input);

#endif
