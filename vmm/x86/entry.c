/*
 * The first vCPU's registers at the guest's first instruction: see entry.h.
 *
 * Linux's 64-bit protocol: long mode with paging on, the page tables and the GDT that long_mode.c
 * has placed, RSI = boot_params. PVH: 32-bit protected mode without paging, flat segments that
 * need no GDT, EBX = hvm_start_info. Interrupts are off in both.
 *
 * KVM_SET_SREGS answers EINVAL to a state that no processor can be in (EFER.LME with CR0.PG but
 * without EFER.LMA, say), so all of it is set here, from what KVM_GET_SREGS gave.
 *
 * Source: Linux Documentation/x86/boot.rst, "64-bit Boot Protocol"; Xen docs/misc/pvh.pandoc;
 * Intel SDM volume 3, 9.8.5 "Initializing IA-32e mode".
 */
#include "vmm/x86/entry.h"

#include "boot/x86/handover.h"
#include "boot/x86/layout.h"
#include "vmm/kvm.h"

enum { CR0_PE = 1 << 0, CR0_ET = 1 << 4 };
#define CR0_PG ((u64)1 << 31)
enum { CR4_PAE = 1 << 5 };
enum { EFER_LME = 1 << 8, EFER_LMA = 1 << 10 };
enum { RFLAGS_RESERVED = 1 << 1 };

/* Segment types: execute/read and read/write, accessed; the busy 32-bit TSS. */
enum { TYPE_CODE = 0xb, TYPE_DATA = 0x3, TYPE_TSS_BUSY = 0xb };

enum { MSR_MISC_ENABLE = 0x1a0, MISC_ENABLE_FAST_STRING = 1 };
enum { MSR_MTRR_DEFAULT = 0x2ff, MTRR_ENABLE = 1 << 11, MTRR_WRITE_BACK = 6 };

static struct kvm_segment flat_segment(u16 selector, u8 type, bool long_mode)
{
	return (struct kvm_segment){
		.base = 0,
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = long_mode,
		.db = !long_mode,
	};
}

void entry_registers(const struct boot_plan *plan, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	const bool long_mode = plan->kernel.protocol == BOOT_LINUX;

	*regs = (struct kvm_regs){.rip = plan->kernel.entry, .rflags = RFLAGS_RESERVED};
	*(long_mode ? &regs->rsi : &regs->rbx) = plan->info_gpa;
	sregs->cs = flat_segment(GDT_CODE, TYPE_CODE, long_mode);
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss =
		flat_segment(GDT_DATA, TYPE_DATA, false);
	sregs->tr = (struct kvm_segment){.limit = 0x67, .type = TYPE_TSS_BUSY, .present = 1};
	sregs->ldt = (struct kvm_segment){.unusable = 1};
	sregs->idt = sregs->gdt = (struct kvm_dtable){0};
	sregs->cr0 = CR0_PE | CR0_ET;
	sregs->cr3 = sregs->cr4 = sregs->efer = 0;
	if (long_mode) {
		sregs->gdt = (struct kvm_dtable){.base = LAYOUT_GDT, .limit = GDT_BYTES - 1};
		sregs->cr0 |= CR0_PG;
		sregs->cr3 = LAYOUT_PAGE_TABLES;
		sregs->cr4 = CR4_PAE;
		sregs->efer = EFER_LME | EFER_LMA;
	}
}

int entry_set_registers(int vcpu_fd, const struct boot_plan *plan, struct error *err)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (kvm_ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return error_errno(err, "cannot read the vCPU's registers");
	entry_registers(plan, &regs, &sregs);
	if (kvm_ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 ||
	    kvm_ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return error_errno(err, "KVM refuses the vCPU's first state");
	return 0;
}

int entry_set_msrs(int vcpu_fd, struct error *err)
{
	/* The kernel's struct kvm_msrs, whose array has no size there. */
	struct {
		u32 count, padding; // cppcheck-suppress unusedStructMember
		struct kvm_msr_entry entry[2];
	} msrs = {
		.count = 2,
		.entry = {{.index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING},
			  {.index = MSR_MTRR_DEFAULT, .data = MTRR_ENABLE | MTRR_WRITE_BACK}},
	};

	/* KVM answers how many it has set; one that it doesn't know is no reason not to boot. */
	if (kvm_ioctl(vcpu_fd, KVM_SET_MSRS, &msrs) < 0)
		return error_errno(err, "cannot set the vCPU's MSRs");
	return 0;
}
