/*
 * A dry run's view of the first vCPU at its first instruction. What the GDT and the page tables are
 * that it starts with, boot/x86/long_mode.c tells.
 */
#include "vmm/dry_run_parts.h"
#include "vmm/x86/entry.h"
#include "vmm/x86/registers.h"

#define REG(member, meaning)    FIELD(#member, struct kvm_regs, member, CELL_HEX, meaning)
#define SREG(member, meaning)   FIELD(#member, struct kvm_sregs, member, CELL_HEX, meaning)
#define SREG_BITS(member, bits) FIELD_BITS(#member, struct kvm_sregs, member, bits)

/* The offsets are those in KVM's structures. */
static const struct field regs_fields[] = {
	REG(rip, "the kernel's entry"),
	FIELD_BITS("rflags", struct kvm_regs, rflags, rflags_bits),
	REG(rsi, "boot_params, for Linux"),
	REG(rbx, "hvm_start_info, for PVH"),
	REG(rsp, "the kernel brings its own stack"),
};

static const struct field sregs_fields[] = {
	SREG(cs.selector, NULL),
	SREG(cs.base, NULL),
	SREG(cs.limit, NULL),
	SREG(cs.l, "1: 64-bit code"),
	SREG(cs.db, "1: 32-bit code"),
	SREG(ds.selector, "and es, fs, gs, ss"),
	SREG(ds.limit, NULL),
	SREG(gdt.base, NULL),
	SREG(gdt.limit, "0: segments are loaded already; the kernel brings its own GDT"),
	SREG(idt.base, NULL),
	SREG(idt.limit, "0: an exception now is fatal"),
	SREG_BITS(cr0, cr0_bits),
	SREG(cr3, "the page tables' root"),
	SREG_BITS(cr4, cr4_bits),
	SREG_BITS(efer, efer_bits),
};

void dry_run_processor(struct sheet *sheet, const struct boot_plan *plan)
{
	const struct memory *memory = plan->map.memory;
	struct kvm_sregs sregs = {.cr0 = 0};
	struct kvm_regs regs;

	entry_registers(plan, &regs, &sregs);
	sheet_open(sheet, "registers", "the first vCPU's, at its first instruction",
		   sheet_field_columns);
	sheet_fields(sheet, memory, &regs, regs_fields, ARRAY_LEN(regs_fields));
	sheet_fields(sheet, memory, &sregs, sregs_fields, ARRAY_LEN(sregs_fields));
}
