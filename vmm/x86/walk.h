/*
 * Walks the guest's page tables, as the processor does, and notes each step.
 *
 * Knows all of x86's formats: no paging, 32-bit, PAE, 4 and 5 levels. Reads the tables through the
 * door to guest memory, so a table that isn't in RAM ends the walk.
 *
 * Source: Intel SDM volume 3, chapter 4 "Paging"; AMD APM volume 2, chapter 5.
 */
#ifndef BANTAM_VMM_X86_WALK_H
#define BANTAM_VMM_X86_WALK_H

#include <linux/kvm.h>

#include "vmm/memory.h"

enum { WALK_STEPS_MAX = 5 };

struct walk_step {
	const char *table; /* "PML4", "PDPT", … */
	unsigned index;
	u64 entry_gpa;
	u64 entry;
};

struct walk {
	struct walk_step step[WALK_STEPS_MAX];
	unsigned steps;
	bool mapped;    /* gpa is valid */
	u64 gpa;        /* of the address itself */
	u64 page_bytes; /* of the page it lies in, or of the hole that the last entry leaves */
	const char *why_not;
};

/* Translates a linear address in the state that sregs describes. */
void walk_address(struct walk *walk, const struct memory *memory, const struct kvm_sregs *sregs,
		  u64 linear);

#endif
