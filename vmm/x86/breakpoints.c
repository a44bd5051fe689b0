/*
 * A debugger's breakpoints and watchpoints: see breakpoints.h.
 */
#include "vmm/x86/breakpoints.h"

#include <errno.h>

enum { INT3 = 0xcc, VECTOR_BREAKPOINT = 3 };
#define DR7_RESERVED ((u64)1 << 10)

/* DR7: R/W by kind, LEN by length. */
static const u32 rw_bits[] = {
	[BREAKPOINT_HARDWARE] = 0, [BREAKPOINT_WRITE] = 1, [BREAKPOINT_ACCESS] = 3};
static const u32 length_bits[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};

static struct breakpoint *find(struct breakpoints *all, const struct breakpoint *wanted)
{
	for (unsigned i = 0; i < all->count; i++) {
		struct breakpoint *here = &all->list[i];

		if (here->kind == wanted->kind && here->address == wanted->address &&
		    here->bytes == wanted->bytes)
			return here;
	}
	return NULL;
}

static unsigned count_hardware(const struct breakpoints *all)
{
	unsigned count = 0;

	for (unsigned i = 0; i < all->count; i++)
		count += all->list[i].kind != BREAKPOINT_SOFTWARE;
	return count;
}

/* The processor looks at 1, 2, 4 or 8 bytes, aligned to as many; code has none but the first. */
static bool can_watch(const struct breakpoint *breakpoint)
{
	const u64 bytes = breakpoint->bytes;

	return breakpoint->kind == BREAKPOINT_HARDWARE ||
	       ((bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8) &&
		breakpoint->address % bytes == 0);
}

int breakpoint_set(struct breakpoints *all, const struct breakpoint *breakpoint)
{
	if (find(all, breakpoint))
		return 0;
	if (breakpoint->kind != BREAKPOINT_SOFTWARE) {
		if (!can_watch(breakpoint))
			return EINVAL;
		if (count_hardware(all) == BREAKPOINTS_HARDWARE_MAX)
			return ENOSPC;
	}
	if (all->count == BREAKPOINTS_MAX)
		return ENOSPC;
	all->list[all->count++] = *breakpoint;
	return 0;
}

void breakpoint_clear(struct breakpoints *all, const struct breakpoint *breakpoint)
{
	struct breakpoint *here = find(all, breakpoint);

	if (here)
		*here = all->list[--all->count];
}

void breakpoints_insert(struct breakpoints *all, const struct memory *memory)
{
	for (unsigned i = 0; i < all->count; i++) {
		struct breakpoint *here = &all->list[i];
		u8 *code = here->kind == BREAKPOINT_SOFTWARE ? memory_at(memory, here->gpa, 1)
							     : NULL;

		if (!code)
			continue;
		here->saved = *code;
		*code = INT3;
	}
}

void breakpoints_lift(struct breakpoints *all, const struct memory *memory)
{
	for (unsigned i = 0; i < all->count; i++) {
		struct breakpoint *here = &all->list[i];
		u8 *code = here->kind == BREAKPOINT_SOFTWARE ? memory_at(memory, here->gpa, 1)
							     : NULL;

		/* What the guest has written there since is its own; of two in one place, the first
		 * has its byte. */
		if (code && *code == INT3)
			*code = here->saved;
	}
}

struct kvm_guest_debug breakpoints_debug(const struct breakpoints *all, u32 extra)
{
	struct kvm_guest_debug debug = {.control = extra, .arch.debugreg[7] = DR7_RESERVED};
	unsigned number = 0;

	for (unsigned i = 0; i < all->count; i++) {
		const struct breakpoint *here = &all->list[i];
		u64 *dr7 = &debug.arch.debugreg[7];

		if (here->kind == BREAKPOINT_SOFTWARE) {
			debug.control |= KVM_GUESTDBG_USE_SW_BP;
			continue;
		}
		debug.control |= KVM_GUESTDBG_USE_HW_BP;
		debug.arch.debugreg[number] = here->address;
		*dr7 |= (u64)2 << 2 * number; /* Gn */
		*dr7 |= (u64)rw_bits[here->kind] << (16 + 4 * number);
		if (here->kind != BREAKPOINT_HARDWARE)
			*dr7 |= (u64)length_bits[here->bytes] << (18 + 4 * number);
		number++;
	}
	if (debug.control)
		debug.control |= KVM_GUESTDBG_ENABLE;
	return debug;
}

/* The breakpoint that the processor has as number n. */
static const struct breakpoint *hardware(const struct breakpoints *all, unsigned number)
{
	for (unsigned i = 0; i < all->count; i++) {
		if (all->list[i].kind != BREAKPOINT_SOFTWARE && number-- == 0)
			return &all->list[i];
	}
	return NULL;
}

enum breakpoint_cause breakpoints_cause(const struct breakpoints *all,
					const struct kvm_debug_exit_arch *debug, bool stepping,
					const struct breakpoint **hit)
{
	for (unsigned i = 0; debug->exception == VECTOR_BREAKPOINT && i < all->count; i++) {
		if (all->list[i].kind == BREAKPOINT_SOFTWARE && all->list[i].address == debug->pc)
			return CAUSE_SOFTWARE;
	}
	if (debug->exception == VECTOR_BREAKPOINT)
		return CAUSE_GUEST;
	for (unsigned number = 0; number < BREAKPOINTS_HARDWARE_MAX; number++) {
		*hit = (debug->dr6 & (u64)1 << number) ? hardware(all, number) : NULL;
		if (*hit)
			return (*hit)->kind == BREAKPOINT_HARDWARE ? CAUSE_HARDWARE : CAUSE_WATCH;
	}
	return stepping ? CAUSE_STEP : CAUSE_GUEST;
}

u32 breakpoints_pass_on(const struct kvm_debug_exit_arch *debug)
{
	return debug->exception == VECTOR_BREAKPOINT ? KVM_GUESTDBG_INJECT_BP
						     : KVM_GUESTDBG_INJECT_DB;
}
