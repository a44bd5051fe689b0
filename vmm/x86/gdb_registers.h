/*
 * A vCPU's registers as gdb sees them: their numbers, sizes and names, and how they are told to gdb
 * (target description).
 *
 * Names and features are gdb's where it has some (org.gnu.gdb.i386.core, .sse, .segments); control
 * registers, which it doesn't know, are a feature of our own. Whatever mode the processor is in, gdb
 * is shown the 64-bit registers.
 *
 * Limits: no AVX, no debug registers (KVM has them for gdb's breakpoints). The x87 tag word tells
 * empty registers from others, no more, as FXSAVE keeps it. A selector that is written doesn't load the
 * segment's base.
 *
 * Source: gdb's manual, appendix G "Target Descriptions", "i386 Features"; Intel SDM volume 1, 10.5.1 (FXSAVE).
 */
#ifndef BANTAM_VMM_X86_GDB_REGISTERS_H
#define BANTAM_VMM_X86_GDB_REGISTERS_H

#include <linux/kvm.h>

#include "vmm/types.h"

struct gdb_registers {
	struct kvm_regs general;
	struct kvm_sregs system;
	struct kvm_fpu fpu;
	u16 tags; /* of x87, two bits a register; made of fpu's one, and put there again */
};

enum { GDB_REGISTER_BYTES_MAX = 16 };

/* Reads all from a vCPU that is out of KVM_RUN, or gives them to it. Returns 0, or -1 with errno. */
int gdb_registers_load(int vcpu_fd, struct gdb_registers *registers);
int gdb_registers_store(int vcpu_fd, struct gdb_registers *registers);

/* A register's size in bytes; 0: there is none of that number. */
size_t gdb_register_bytes(u64 number);

/* Copies a register of that number, which there is, in the guest's byte order. */
void gdb_register_get(const struct gdb_registers *registers, u64 number, u8 *bytes);
void gdb_register_set(struct gdb_registers *registers, u64 number, const u8 *bytes);

/* Writes the description, XML, to text. Returns its length, or 0 when `bytes` are too few. */
size_t gdb_describe(char *text, size_t bytes);

#endif
