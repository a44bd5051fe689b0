/*
 * The bits of x86's control registers and of RFLAGS by name, for reports.
 *
 * Source: Intel SDM volume 3, 2.5 "Control registers"; volume 1, 3.4.3 "EFLAGS register".
 */
#ifndef BANTAM_VMM_X86_REGISTER_BITS_H
#define BANTAM_VMM_X86_REGISTER_BITS_H

#include "vmm/bits.h"

extern const struct bit_name cr0_bits[11], cr4_bits[20], efer_bits[6], rflags_bits[15];

#endif
