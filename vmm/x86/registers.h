/*
 * Names of x86's registers, for reports and the trace: the bits of control registers and RFLAGS,
 * and model-specific registers.
 *
 * Source: Intel SDM volume 3, 2.5 "Control registers"; volume 1, 3.4.3 "EFLAGS register"; volume 4; AMD APM
 * volume 2, appendix A.
 */
#ifndef BANTAM_VMM_X86_REGISTERS_H
#define BANTAM_VMM_X86_REGISTERS_H

#include "vmm/bits.h"

extern const struct bit_name cr0_bits[11], cr4_bits[20], efer_bits[6], rflags_bits[15];

/* Writes the name of an MSR, or its number, to text. bytes: its size, at least 1. */
void msr_name(u32 index, char *text, size_t bytes);

#endif
