/*
 * Names instead of numbers: the bits of a register, by a table that stands beside the register.
 */
#ifndef BANTAM_VMM_BITS_H
#define BANTAM_VMM_BITS_H

#include "vmm/types.h"

struct bit_name {
	u64 mask;
	const char *name;
};

/*
 * Writes the names of the bits that are set in value to text, with commas between them: "rx,line".
 * Bits without a name follow as one number. Returns text. bytes: its size, at least 1.
 */
char *bit_names(u64 value, const struct bit_name *names, size_t count, char *text, size_t bytes);

#endif
