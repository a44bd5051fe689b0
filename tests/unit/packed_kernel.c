/*
 * A packed kernel: see packed_kernel.h.
 */
#include "tests/unit/packed_kernel.h"

#include <string.h>

enum { PAYLOAD_OFFSET = 0x2cc };

void unpacked_kernel_make(struct unpacked_kernel *kernel)
{
	static const u32 table[TABLE_WORDS] = {0,
					       RELOCATION(AT_64),
					       0,
					       RELOCATION(AT_INVERSE),
					       0,
					       RELOCATION(AT_32),
					       RELOCATION(AT_32_MORE),
					       RELOCATION(AT_32_LAST)};
	static const u64 wide = VALUE_64;
	static const u32 narrow = VALUE_32;

	memset(kernel, 0, sizeof(*kernel));
	elf64_make(&kernel->elf);
	memcpy(kernel->table, table, sizeof(table));
	memcpy(kernel->elf.text + AT_64, &wide, sizeof(wide));
	memcpy(kernel->elf.text + AT_INVERSE, &narrow, sizeof(narrow));
	memcpy(kernel->elf.text + AT_32, &narrow, sizeof(narrow));
	memcpy(kernel->elf.text + AT_32_MORE, &narrow, sizeof(narrow));
	memcpy(kernel->elf.text + AT_32_LAST, &narrow, sizeof(narrow));
}

size_t packed_kernel_make(u8 file[PACKED_MAX_BYTES], const void *payload, size_t count,
			  u32 unpacked_bytes)
{
	const size_t at = BZ_SETUP_BYTES + PAYLOAD_OFFSET,
		     end = at + count + sizeof(unpacked_bytes);
	union bzimage image;

	bzimage_make(&image);
	image.setup.hdr.payload_offset = PAYLOAD_OFFSET;
	image.setup.hdr.payload_length = (u32)(count + sizeof(unpacked_bytes));
	image.setup.hdr.syssize = (u32)(end - BZ_SETUP_BYTES) / 16;
	memset(file, 0, PACKED_MAX_BYTES);
	memcpy(file, &image, BZ_SETUP_BYTES);
	memcpy(file + at, payload, count);
	memcpy(file + at + count, &unpacked_bytes, sizeof(unpacked_bytes));
	return end;
}
