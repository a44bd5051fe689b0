/*
 * The tiny guests of `bantam check`: machine code, and the state in which a vCPU starts it.
 *
 * A guest is a handful of instructions in 64-bit mode, ring 0. It talks to the host by writing AL
 * to one of three ports: DONE with its answer at the end, START where the stretch begins that is
 * timed, EXCEPTION with the vector when an exception came to the guest's own handler. What the
 * guest does after DONE is of no interest: the host doesn't let it go on.
 */
#ifndef BANTAM_VMM_X86_CHECK_CODE_H
#define BANTAM_VMM_X86_CHECK_CODE_H

#include <linux/kvm.h>

#include "vmm/error.h"
#include "vmm/memory.h"

enum {
	CHECK_PORT_DONE = 0xf4,
	CHECK_PORT_EXCEPTION = 0xf5,
	CHECK_PORT_START = 0xf6,
};

enum check_code_id {
	CHECK_CODE_LONG_MODE,  /* 64-bit arithmetic */
	CHECK_CODE_SYSTEM,     /* control registers, EFER, a change of page tables */
	CHECK_CODE_CMPXCHG16B, /* an atomic exchange of 16 bytes */
	CHECK_CODE_XRSTOR,     /* XSETBV, XSAVE, XRSTOR */
	CHECK_CODE_INT3,       /* a breakpoint that the guest handles itself */
	CHECK_CODE_LOOP,       /* CHECK_LOOP_INSTRUCTIONS a round, RCX rounds */
};

enum { CHECK_LOOP_INSTRUCTIONS = 2 };

/* Where the guest's first instruction lies (gpa; mapped to itself). */
enum { CHECK_CODE_AT = 0x100000 };

struct check_code {
	const u8 *bytes;
	size_t length;
	u8 answer; /* AL at DONE when all went well */
	int traps; /* the exception that it provokes and returns from, or -1 */
};

/* The guests, by enum check_code_id. */
extern const struct check_code check_codes[];

/*
 * Writes the guest, page tables, a GDT, an IDT and handlers for the 32 exceptions into memory.
 * memory: MEMORY_MIN_BYTES or more, zeroed. Returns 0, or -1 with err set.
 */
int check_code_place(const struct memory *memory, const struct check_code *code, struct error *err);

/*
 * Completes the registers of a vCPU that is in 64-bit mode already (entry.h): IDT, stack, the page
 * of data in RDI, rounds in RCX. Returns 0, or -1 with err set.
 */
int check_code_set_registers(int vcpu_fd, u64 rounds, struct error *err);

/* Whether the vCPU's processor, as KVM supports it, has XSAVE. kvm_fd: /dev/kvm. */
bool check_code_has_xsave(int kvm_fd);

/* For KVM_SET_GUEST_DEBUG: what is asked for, KVM_GUESTDBG_…, is to happen at the first instruction.
 * All zero for 0. */
struct kvm_guest_debug check_code_debug(u32 asked);

#endif
