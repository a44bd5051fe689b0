/*
 * The memory map that the guest is told: which addresses are RAM and which are reserved.
 */
#ifndef BANTAM_BOOT_X86_E820_H
#define BANTAM_BOOT_X86_E820_H

#include "vmm/memory.h"

enum { E820_RAM = 1, E820_RESERVED = 2 };
enum { E820_MAX = 8 };

struct e820_entry {
	u64 gpa;
	u64 bytes;
	u32 type;
};

struct e820_map {
	struct e820_entry entry[E820_MAX];
	unsigned entries;
};

/* Describes memory; the entries are sorted and disjoint. */
void e820_make(struct e820_map *map, const struct memory *memory);

#endif
