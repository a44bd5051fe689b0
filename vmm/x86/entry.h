/*
 * The first vCPU's registers at the guest's first instruction.
 */
#ifndef BANTAM_VMM_X86_ENTRY_H
#define BANTAM_VMM_X86_ENTRY_H

#include <linux/kvm.h>

#include "boot/boot.h"
#include "vmm/error.h"

/*
 * Says what they are. *regs is filled whole, *sregs where a boot protocol has something to say: it
 * should hold KVM's defaults before, or zeroes.
 */
void entry_registers(const struct boot_plan *plan, struct kvm_regs *regs, struct kvm_sregs *sregs);

/* Sets them as the plan's boot protocol wants them. Returns 0, or -1 with err set. */
int entry_set_registers(int vcpu_fd, const struct boot_plan *plan, struct error *err);

/* Sets the model-specific registers that firmware would have set, on each vCPU. */
int entry_set_msrs(int vcpu_fd, struct error *err);

#endif
