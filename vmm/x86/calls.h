/*
 * Where a vCPU is, and who called: the names of --symbols for addresses of the running guest.
 *
 * Linux lies a multiple of 2 MiB from where it was linked, another at each boot (KASLR), whoever unpacked
 * it. Each of the 512 places is looked at, through the vCPU's page tables: Linux lies where the code at
 * entry_SYSCALL_64 calls do_syscall_64, at just the distance that both have in the file. In another
 * build that distance is another one: so another kernel's symbols are noticed. The entry is mapped in
 * user mode, too, and from the kernel's first own page tables on; before that there are no names. Other
 * kernels lie where their file says; symbols_check() tells whether they are these.
 *
 * The stack isn't unwound: kernels have no frame pointers, and a System.map doesn't have the tables that
 * they have instead. Each word on it counts that points behind a call instruction in a function. So
 * some may be left over from calls that have returned, as those with a '?' in a kernel's own report.
 *
 * Source: Linux arch/x86/entry/entry_64.S; Intel SDM volume 2, "CALL".
 */
#ifndef BANTAM_VMM_X86_CALLS_H
#define BANTAM_VMM_X86_CALLS_H

#include <linux/kvm.h>

#include "vmm/symbols.h"

struct vcpu;

struct calls {
	struct symbols *symbols;
	const struct memory *memory;
	struct kvm_sregs sregs;
	u64 rip, rsp; /* linear addresses */
	u64 slide;    /* so far the kernel lies behind its addresses in symbols */
};

/* Fills in all but the slide, of a vCPU that is out of KVM_RUN. Returns false without --symbols. */
bool calls_take(struct calls *calls, const struct vcpu *vcpu);

/* Finds the slide. Returns false when these are another kernel's symbols, or its page tables not yet up. */
bool calls_find(struct calls *calls);

/* Whether RIP is where only Linux's own code lies: what calls_find() doesn't find there is another's. */
bool calls_in_linux(const struct calls *calls);

/*
 * The next return address on the stack, from rsp on, which moves behind it; no further than end, nor
 * than there is memory. Writes its name. Returns 0 when there is none.
 */
u64 calls_next(struct calls *calls, u64 end, char name[SYMBOL_TEXT_BYTES]);

/* Writes " at name+0x12/0x80" to place, for the trace: where the vCPU is. "" without --symbols. */
enum { CALLS_PLACE_BYTES = SYMBOL_TEXT_BYTES + 4 };
void calls_place(const struct vcpu *vcpu, char place[CALLS_PLACE_BYTES]);

#endif
