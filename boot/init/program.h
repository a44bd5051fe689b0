/* The guest's init as a file, which the build puts into bantam. */
#ifndef BOOT_INIT_PROGRAM_H
#define BOOT_INIT_PROGRAM_H

#include "vmm/types.h"

extern const u8 init_program[];
extern const u64 init_program_bytes;

#endif
