/*
 * A kernel with a table of relocations behind it, and the bzImage that it is packed into: good as they are
 * made.
 */
#ifndef BANTAM_TESTS_UNIT_PACKED_KERNEL_H
#define BANTAM_TESTS_UNIT_PACKED_KERNEL_H

#include "tests/unit/support.h"

/* What the table names, by its offset in the text; and what stands there. */
enum { AT_64 = 0x10, AT_INVERSE = 0x20, AT_32 = 0x30, AT_32_MORE = 0x3c, AT_32_LAST = 0x41 };
#define VALUE_64 ((u64)0xffffffff81000010)
#define VALUE_32 ((u32)0x81000010)

/* The word of a table that names this offset. */
#define RELOCATION(offset) ((u32)(0x80000000U + ELF_TEXT_GPA + (offset)))

enum { TABLE_WORDS = 8 };

struct unpacked_kernel {
	struct elf64_image elf;
	u32 table[TABLE_WORDS];
};

void unpacked_kernel_make(struct unpacked_kernel *kernel);

enum { PACKED_MAX_BYTES = 16384 };

/* Puts a bzImage with this payload, and the length that it becomes behind it, into file; its length. */
size_t packed_kernel_make(u8 file[PACKED_MAX_BYTES], const void *payload, size_t count,
			  u32 unpacked_bytes);

#endif
