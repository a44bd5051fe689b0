/*
 * Names for the running guest's addresses: see calls.h.
 */
#include "vmm/x86/calls.h"

#include <stdio.h>
#include <string.h>

#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"
#include "vmm/x86/walk.h"

/* Where Linux's text may lie: in a GiB, in steps of the least alignment. */
#define TEXT_START ((u64)0xffffffff80000000)
#define TEXT_END   ((u64)0xffffffffc0000000)
#define TEXT_ALIGN (2 * MIB)
#define EFER_LMA   ((u64)1 << 10)

enum { ENTRY_BYTES = 512, CALL_NEAR = 0xe8, CALL_NEAR_BYTES = 5 };
enum { CALL_INDIRECT = 0xff, CALL_MAX_BYTES = 7 };

static bool read_linear(const struct calls *calls, u64 linear, void *to, u64 bytes)
{
	for (u64 done = 0, piece; done < bytes; done += piece) {
		const u64 at = linear + done, left = PAGE_BYTES - at % PAGE_BYTES;
		struct walk walk;

		piece = left < bytes - done ? left : bytes - done;
		walk_address(&walk, calls->memory, &calls->sregs, at);
		if (!walk.mapped || !memory_read(calls->memory, walk.gpa, (u8 *)to + done, piece))
			return false;
	}
	return true;
}

static bool is_linux_at(const struct calls *calls, u64 slide)
{
	const u64 entry = calls->symbols->entry, dispatcher = calls->symbols->dispatcher;
	u8 code[ENTRY_BYTES];

	if (!read_linear(calls, entry + slide, code, sizeof(code)))
		return false;
	for (u64 end = CALL_NEAR_BYTES; end <= sizeof(code); end++) {
		const u32 distance = (u32)(dispatcher - entry - end);

		if (code[end - CALL_NEAR_BYTES] == CALL_NEAR &&
		    memcmp(code + end - sizeof(distance), &distance, sizeof(distance)) == 0)
			return true;
	}
	return false;
}

bool calls_find(struct calls *calls)
{
	struct symbols *symbols = calls->symbols;

	calls->slide = atomic_load(&symbols->slide);
	if (!symbols->entry || is_linux_at(calls, calls->slide))
		return true;
	for (u64 at = TEXT_START + symbols->entry % TEXT_ALIGN; at < TEXT_END; at += TEXT_ALIGN) {
		calls->slide = at - symbols->entry;
		if (is_linux_at(calls, calls->slide)) {
			atomic_store(&symbols->slide, calls->slide);
			return true;
		}
	}
	return false;
}

bool calls_in_linux(const struct calls *calls)
{
	return calls->rip >= TEXT_START && calls->rip < TEXT_END;
}

/* Whether the instruction in front of address is a call: E8, or FF /2 with whatever operand. */
static bool is_behind_call(const struct calls *calls, u64 address)
{
	u8 code[CALL_MAX_BYTES];

	if (!read_linear(calls, address - sizeof(code), code, sizeof(code)))
		return false;
	if (code[sizeof(code) - CALL_NEAR_BYTES] == CALL_NEAR)
		return true;
	for (size_t i = 0; i + 1 < sizeof(code); i++) {
		if (code[i] == CALL_INDIRECT && (code[i + 1] >> 3 & 7) == 2)
			return true;
	}
	return false;
}

u64 calls_next(struct calls *calls, u64 end, char name[SYMBOL_TEXT_BYTES])
{
	u64 word;

	while (calls->rsp < end && read_linear(calls, calls->rsp, &word, sizeof(word))) {
		calls->rsp += sizeof(word);
		/* One that never returns may be its function's last instruction. */
		if (symbols_describe(calls->symbols, word - calls->slide, 1, name) &&
		    is_behind_call(calls, word))
			return word;
	}
	return 0;
}

bool calls_take(struct calls *calls, const struct vcpu *vcpu)
{
	struct kvm_sregs *sregs = &calls->sregs;
	struct kvm_regs regs;
	bool flat;

	calls->symbols = &vcpu->machine->symbols;
	calls->memory = &vcpu->machine->memory;
	if (!calls->symbols->count || kvm_ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 ||
	    kvm_ioctl(vcpu->fd, KVM_GET_SREGS, sregs) < 0)
		return false;
	flat = sregs->efer & EFER_LMA && sregs->cs.l;
	calls->rip = regs.rip + (flat ? 0 : sregs->cs.base);
	calls->rsp = regs.rsp + (flat ? 0 : sregs->ss.base);
	return true;
}

void calls_place(const struct vcpu *vcpu, char place[CALLS_PLACE_BYTES])
{
	char name[SYMBOL_TEXT_BYTES] = "";
	struct calls calls;

	place[0] = '\0';
	if (!calls_take(&calls, vcpu))
		return;
	if (!atomic_load(&calls.symbols->foreign) && calls_find(&calls))
		(void)symbols_describe(calls.symbols, calls.rip - calls.slide, 0, name);
	else if (calls_in_linux(&calls) && !atomic_exchange(&calls.symbols->foreign, true))
		say("the symbols are another kernel's: the trace goes on without names");
	if (name[0])
		snprintf(place, CALLS_PLACE_BYTES, " at %s", name);
	else
		snprintf(place, CALLS_PLACE_BYTES, " at 0x%llx", calls.rip);
}
