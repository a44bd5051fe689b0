/*
 * A debugger's breakpoints and watchpoints.
 *
 * A software breakpoint is an INT3 in the place of an instruction's first byte. It lies in guest memory
 * only while the guest runs: at every stop the byte is put back, so that whoever reads or writes memory
 * sees the guest's own, and a debugger that is gone has left nothing. Its place is the guest physical
 * address that the code had when it was set: other mappings of the page have it too. Hardware
 * breakpoints and watchpoints are the processor's four, which KVM takes from the guest meanwhile.
 *
 * Limits: x86 can't watch reads alone; gdb makes do with accesses. What a guest's INT3 or debug
 * exception of its own is, it gets.
 *
 * Source: Intel SDM volume 3, 18.2 "Debug registers"; Linux Documentation/virt/kvm/api.rst, KVM_SET_GUEST_DEBUG.
 */
#ifndef BANTAM_VMM_X86_BREAKPOINTS_H
#define BANTAM_VMM_X86_BREAKPOINTS_H

#include <linux/kvm.h>

#include "vmm/memory.h"

/* Numbered as gdb's packets Z0 to Z4 are. */
enum breakpoint_kind {
	BREAKPOINT_SOFTWARE,
	BREAKPOINT_HARDWARE,
	BREAKPOINT_WRITE,
	BREAKPOINT_READ, /* not to be had */
	BREAKPOINT_ACCESS,
};

enum { BREAKPOINTS_MAX = 256, BREAKPOINTS_HARDWARE_MAX = 4 };

struct breakpoint {
	enum breakpoint_kind kind;
	u64 address; /* virtual */
	u64 bytes;   /* that are watched: 1, 2, 4 or 8 */
	u64 gpa;     /* of a software breakpoint */
	u8 saved;    /* and what is in its place, while the guest runs */
};

struct breakpoints {
	struct breakpoint list[BREAKPOINTS_MAX];
	unsigned count;
};

/* Sets one; one that is there is set already. Returns 0, or an error number. */
int breakpoint_set(struct breakpoints *all, const struct breakpoint *breakpoint);
void breakpoint_clear(struct breakpoints *all, const struct breakpoint *breakpoint);

/* Puts the INT3s into memory before the guest runs, and what was in their place back after it. */
void breakpoints_insert(struct breakpoints *all, const struct memory *memory);
void breakpoints_lift(struct breakpoints *all, const struct memory *memory);

/* For KVM_SET_GUEST_DEBUG. extra: KVM_GUESTDBG_SINGLESTEP, …, or 0. */
struct kvm_guest_debug breakpoints_debug(const struct breakpoints *all, u32 extra);

/* Why a vCPU stopped with KVM_EXIT_DEBUG. */
enum breakpoint_cause { CAUSE_STEP, CAUSE_SOFTWARE, CAUSE_HARDWARE, CAUSE_WATCH, CAUSE_GUEST };

/* hit: becomes the watchpoint for CAUSE_WATCH. stepping: the vCPU was asked to take one step. */
enum breakpoint_cause breakpoints_cause(const struct breakpoints *all,
					const struct kvm_debug_exit_arch *debug, bool stepping,
					const struct breakpoint **hit);

/* What gives the guest an exception that was its own, for `extra`. */
u32 breakpoints_pass_on(const struct kvm_debug_exit_arch *debug);

#endif
