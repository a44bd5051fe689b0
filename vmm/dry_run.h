/*
 * `bantam run --dry-run`: shows what would be put in guest memory and where, and runs nothing.
 *
 * Everything is read back from guest memory as the guest would find it: the handover structure at
 * the address that a register holds.
 * So what is shown is what is there, not what somebody meant to put there. No KVM is needed, but
 * for CPUID.
 *
 * The text is for people, the JSON for programs; both are written by the same calls (see
 * sheet.h) and tell the same.
 */
#ifndef BANTAM_VMM_DRY_RUN_H
#define BANTAM_VMM_DRY_RUN_H

#include <linux/kvm.h>
#include <stdio.h>

#include "boot/boot.h"
#include "vmm/sheet.h"
#include "vmm/x86/cpuid.h"

struct machine;

struct dry_run_input {
	const struct machine *machine; /* with its board attached */
	const struct boot_plan *plan;  /* after boot_load() */
	/* The first vCPU's CPUID, or NULL and a few words on why it isn't known. */
	const struct cpuid *cpuid;
	const char *cpuid_missing;
};

/* Writes it all to out. Returns 0, or -1 with err set when out takes it not. */
int dry_run(const struct dry_run_input *input, FILE *out, bool as_json, struct error *err);

/*
 * Writes each ACPI table to a file of its own in dir, which is made if it is missing: rsdp.dat,
 * xsdt.dat and so on, as iasl -d takes them. Files of those names are overwritten. Returns 0, or -1
 * with err set.
 */
int dry_run_dump_acpi(const struct boot_plan *plan, const char *dir, struct error *err);

/* ---- the architecture's own (vmm/x86/) */

/* A row of the memory map. */
struct dry_run_range {
	u64 gpa, bytes;
	const char *kind, *name, *why; /* name: NULL for what nobody has taken */
};

/* What isn't RAM at fixed guest physical addresses. */
enum { DRY_RUN_FIXED = 3 };
extern const struct dry_run_range dry_run_fixed[DRY_RUN_FIXED];

/* The structure that the kernel is handed, the memory map in it, and registers at the first
 * instruction. */
void dry_run_handover(struct sheet *sheet, const struct boot_plan *plan);

void dry_run_cpuid(struct sheet *sheet, const struct dry_run_input *input);

#endif
