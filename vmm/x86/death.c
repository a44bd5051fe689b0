/*
 * The death report: see death.h.
 */
#include "vmm/x86/death.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"
#include "vmm/x86/calls.h"
#include "vmm/x86/registers.h"
#include "vmm/x86/walk.h"

enum { BYTES_AT_RIP = 16, CR0_PE = 1 };
enum { STACK_BYTES = 16384, CALLS_MAX = 16 }; /* so large are Linux's stacks */
#define EFER_LMA        ((u64)1 << 10)
#define RFLAGS_VM       ((u64)1 << 17)
#define RESET_RIP       ((u64)0xfff0)
#define RESET_CS_BASE   ((u64)0xffff0000)
#define INTEL_BAD_STATE ((u64)0x80000021)

static const struct bit_name page_bits[] = {
	{1 << 0, "present"}, {1 << 1, "write"}, {1 << 2, "user"},   {1 << 5, "accessed"},
	{1 << 6, "dirty"},   {1 << 7, "large"}, {1 << 8, "global"}, {(u64)1 << 63, "no-execute"}};

static void put(struct death *death, const char *format, ...) PRINTF(2, 3);

static void put(struct death *death, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(death->text + death->used, sizeof(death->text) - death->used, format, args);
	va_end(args);
	death->used += strlen(death->text + death->used);
}

/* What KVM_EXIT_INTERNAL_ERROR's suberrors mean: Linux include/uapi/linux/kvm.h. */
static const char *suberror_words(u32 suberror)
{
	static const char *const words[] = {
		[KVM_INTERNAL_ERROR_EMULATION] = "KVM had to emulate an instruction and can't",
		[KVM_INTERNAL_ERROR_SIMUL_EX] = "two exceptions at once",
		[KVM_INTERNAL_ERROR_DELIVERY_EV] =
			"an exit happened while an exception was being delivered",
		[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] =
			"the processor gave an exit that KVM doesn't know",
	};

	if (suberror < ARRAY_LEN(words) && words[suberror])
		return words[suberror];
	return "of a kind that this bantam doesn't know";
}

static void put_exit(struct death *death, const struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	const u64 hardware = run->fail_entry.hardware_entry_failure_reason;

	put(death, "vCPU %u: %s", vcpu->index, vcpu_exit_name(run->exit_reason));
	switch (run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		put(death, ": an exception could not be delivered, nor could the double fault "
			   "that followed\n");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		put(death, ", suberror %u: %s\n", run->internal.suberror,
		    suberror_words(run->internal.suberror));
		break;
	case KVM_EXIT_FAIL_ENTRY:
		put(death, ", hardware reason 0x%llx: the processor refused the guest's state%s\n",
		    hardware,
		    hardware == INTEL_BAD_STATE ? " (a combination of registers that can't be)"
						: "");
		break;
	default:
		put(death, ": not an exit that this bantam asked for\n");
	}
}

static void put_registers(struct death *death, const struct kvm_regs *regs)
{
	const struct {
		const char *name;
		u64 value;
	} rows[] = {
		{"RAX", regs->rax}, {"RBX", regs->rbx}, {"RCX", regs->rcx}, {"RDX", regs->rdx},
		{"RSI", regs->rsi}, {"RDI", regs->rdi}, {"RBP", regs->rbp}, {"RSP", regs->rsp},
		{"R8 ", regs->r8},  {"R9 ", regs->r9},  {"R10", regs->r10}, {"R11", regs->r11},
		{"R12", regs->r12}, {"R13", regs->r13}, {"R14", regs->r14}, {"R15", regs->r15},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		put(death, "  %s %016llx%s", rows[i].name, rows[i].value, i % 4 == 3 ? "\n" : "");
}

static const char *mode_name(const struct kvm_sregs *sregs, u64 rflags)
{
	if (!(sregs->cr0 & CR0_PE))
		return "real mode";
	if (rflags & RFLAGS_VM)
		return "virtual-8086 mode";
	if (sregs->efer & EFER_LMA)
		return sregs->cs.l ? "64-bit mode" : "compatibility mode";
	return sregs->cs.db ? "32-bit protected mode" : "16-bit protected mode";
}

static void put_bits(struct death *death, const char *name, u64 value, const struct bit_name *bits,
		     size_t count)
{
	char text[256];

	put(death, "  %s %llx (%s)\n", name, value,
	    bit_names(value, bits, count, text, sizeof(text)));
}

static void put_control(struct death *death, const struct kvm_regs *regs,
			const struct kvm_sregs *sregs)
{
	char text[256];

	put(death, "  RIP %016llx  RFLAGS %llx (%s)  %s\n", regs->rip, regs->rflags,
	    bit_names(regs->rflags & ~(u64)2, rflags_bits, ARRAY_LEN(rflags_bits), text,
		      sizeof(text)),
	    mode_name(sregs, regs->rflags));
	put_bits(death, "CR0", sregs->cr0, cr0_bits, ARRAY_LEN(cr0_bits));
	put(death, "  CR2 %llx  CR3 %llx\n", sregs->cr2, sregs->cr3);
	put_bits(death, "CR4", sregs->cr4, cr4_bits, ARRAY_LEN(cr4_bits));
	put_bits(death, "EFER", sregs->efer, efer_bits, ARRAY_LEN(efer_bits));
}

static void put_segment(struct death *death, const char *name, const struct kvm_segment *segment)
{
	const char *size = segment->l ? "64-bit" : segment->db ? "32-bit" : "16-bit";
	const char *kind = segment->type & 8   ? "code"
			   : segment->type & 2 ? "data, writable"
					       : "data, read-only";

	put(death, "  %s %04x base %llx limit %x", name, segment->selector, segment->base,
	    segment->limit);
	if (segment->unusable || !segment->present)
		put(death, " (unusable)\n");
	else
		put(death, " (%s, %s, ring %u)\n", segment->s ? kind : "system", size,
		    segment->dpl);
}

static void put_segments(struct death *death, const struct kvm_sregs *sregs)
{
	put_segment(death, "CS", &sregs->cs);
	put_segment(death, "SS", &sregs->ss);
	put_segment(death, "DS", &sregs->ds);
	put_segment(death, "ES", &sregs->es);
	put_segment(death, "FS", &sregs->fs);
	put_segment(death, "GS", &sregs->gs);
	put_segment(death, "TR", &sregs->tr);
	put(death, "  GDT base %llx limit %x   IDT base %llx limit %x\n", sregs->gdt.base,
	    sregs->gdt.limit, sregs->idt.base, sregs->idt.limit);
}

static void put_walk(struct death *death, const char *name, u64 linear, const struct walk *walk)
{
	char text[128];

	put(death, "  %s %llx", name, linear);
	if (walk->mapped)
		put(death, " is guest physical address %llx\n", walk->gpa);
	else
		put(death, " is not mapped: %s\n", walk->why_not);
	for (unsigned i = 0; i < walk->steps; i++) {
		const struct walk_step *step = &walk->step[i];

		put(death, "    %s[%u] at %llx = %llx (%s)\n", step->table, step->index,
		    step->entry_gpa, step->entry,
		    bit_names(step->entry & 0x80000000000001ff, page_bits, ARRAY_LEN(page_bits),
			      text, sizeof(text)));
	}
}

/* As many of the bytes at gpa as lie in the page and in RAM. */
static void put_bytes(struct death *death, const struct memory *memory, const struct walk *walk)
{
	const u64 left = walk->page_bytes - walk->gpa % walk->page_bytes;
	u8 bytes[BYTES_AT_RIP];
	u64 count = left < sizeof(bytes) ? left : sizeof(bytes);

	while (count > 0 && !memory_read(memory, walk->gpa, bytes, count))
		count--;
	put(death, "  bytes at RIP:");
	for (u64 i = 0; i < count; i++)
		put(death, " %02x", bytes[i]);
	put(death, count ? "\n" : " none; no RAM is there\n");
}

static void put_calls(struct death *death, struct calls *calls)
{
	const char *title =
		"  return addresses on its stack, each once; some of calls that are over:\n";
	const u64 end = calls->rsp + STACK_BYTES;
	char name[SYMBOL_TEXT_BYTES];
	u64 seen[CALLS_MAX], address;

	if (!calls_find(calls)) {
		put(death, "  no names: %s\n",
		    calls_in_linux(calls) ? "the symbols are another kernel's"
					  : "the kernel with these symbols isn't found in memory");
		return;
	}
	(void)symbols_describe(calls->symbols, calls->rip - calls->slide, 0, name);
	put(death, "  RIP %016llx %s\n", calls->rip, name[0] ? name : "in no known function");
	for (unsigned count = 0; count < CALLS_MAX && (address = calls_next(calls, end, name));) {
		unsigned i = 0;

		/* A processor's mitigations may leave the same one behind each call. */
		for (seen[count] = address; seen[i] != address;)
			i++;
		if (i == count)
			put(death, "%s    %016llx %s\n", count++ ? "" : title, address, name);
	}
}

static bool was_reset(const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	return regs->rip == RESET_RIP && sregs->cs.base == RESET_CS_BASE;
}

static void put_cause(struct death *death, const struct vcpu *vcpu, bool reset)
{
	put(death, "  usually: ");
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		put(death,
		    "an IDT that isn't set up yet or lies in unmapped memory, a stack "
		    "pointer into nowhere, page tables that don't map the code%s\n",
		    reset ? ". The registers are those after a reset: AMD's processors lose the "
			    "guest's state in a triple fault"
			  : "");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		put(death, "code running where there is no RAM (a wild jump), an instruction that "
			   "KVM's emulator lacks touching a device, or a KVM without hardware "
			   "virtualization ('bantam check' tells)\n");
		break;
	case KVM_EXIT_FAIL_ENTRY:
		put(death, "control registers and segments that contradict each other, as after a "
			   "half-done switch of modes\n");
		break;
	default:
		put(death, "a newer KVM than this bantam knows\n");
	}
}

/* Returns whether the registers are those after a reset. */
static bool take_registers(struct death *death, const struct vcpu *vcpu)
{
	const struct memory *memory = &vcpu->machine->memory;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct calls calls;
	struct walk walk;
	u64 linear;
	bool reset;

	if (kvm_ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 ||
	    kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0) {
		put(death, "  KVM doesn't tell the registers\n");
		return false;
	}
	put_control(death, &regs, &sregs);
	put_registers(death, &regs);
	put_segments(death, &sregs);
	linear = regs.rip + (sregs.efer & EFER_LMA && sregs.cs.l ? 0 : sregs.cs.base);
	walk_address(&walk, memory, &sregs, linear);
	put_walk(death, "RIP", linear, &walk);
	if (walk.mapped)
		put_bytes(death, memory, &walk);
	linear = regs.rsp + (sregs.efer & EFER_LMA && sregs.cs.l ? 0 : sregs.ss.base);
	walk_address(&walk, memory, &sregs, linear);
	put_walk(death, "RSP", linear, &walk);
	reset = was_reset(&regs, &sregs);
	if (!reset && calls_take(&calls, vcpu))
		put_calls(death, &calls);
	return reset;
}

void death_registers(struct death *death, const struct vcpu *vcpu)
{
	(void)take_registers(death, vcpu);
}

void death_calls(struct death *death, const struct vcpu *vcpu)
{
	struct calls calls;

	if (!calls_take(&calls, vcpu))
		return;
	put(death, "vCPU %u:\n", vcpu->index);
	put_calls(death, &calls);
}

void death_take(struct death *death, struct vcpu *vcpu)
{
	bool reset;

	death->used = 0;
	put_exit(death, vcpu);
	reset = take_registers(death, vcpu);
	put_cause(death, vcpu, reset);
}
