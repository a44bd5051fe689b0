/*
 * Names of model-specific registers, for the trace.
 */
#ifndef BANTAM_VMM_X86_MSR_H
#define BANTAM_VMM_X86_MSR_H

#include "vmm/types.h"

/* Writes the name of an MSR, or its number, to text. bytes: its size, at least 1. */
void msr_name(u32 index, char *text, size_t bytes);

#endif
