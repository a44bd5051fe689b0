/*
 * What several unit tests share: guest memory between guard pages, files that exist only in
 * memory, and kernel images made by hand.
 */
#ifndef BANTAM_TESTS_UNIT_SUPPORT_H
#define BANTAM_TESTS_UNIT_SUPPORT_H

#include <asm/bootparam.h>
#include <elf.h>
#include <sys/types.h>

#include "boot/file.h"
#include "boot/place.h"
#include "vmm/memory.h"
#include "vmm/types.h"

/*
 * Guest memory with an inaccessible page on either side, so that an access outside of it ends the
 * test. It is smaller than memory_create() makes it and laid out in the same way: one mapping, the
 * second region (at 4 GiB, when high_bytes isn't 0) behind the first.
 */
struct arena {
	struct memory memory;
	u8 *mapping;
	size_t mapping_bytes;
};

void arena_make(struct arena *arena, u64 low_bytes, u64 high_bytes);
void arena_free(struct arena *arena);

/* Whether every byte of guest memory is 0. */
bool arena_is_zero(const struct arena *arena);

/* A regular file without a name in the file system. path leads to it as long as fd is open. */
struct temp_file {
	int fd;
	char path[32];
};

void temp_file_make(struct temp_file *file, const void *bytes, size_t count);
/* Replaces all of its content. */
void temp_file_set(const struct temp_file *file, const void *bytes, size_t count);
void temp_file_free(struct temp_file *file);

/* The file as the loaders see it; they don't close it. */
struct boot_file temp_file_boot(const struct temp_file *file);

/* A bzImage of a kernel that was never compiled; it is good as bzimage_make() leaves it. */
enum {
	BZ_SETUP_BYTES = 2 * 512, /* one sector, and one more as the header says */
	BZ_PAYLOAD_BYTES = 3000,  /* no multiple of 16: the file ends within syssize's rounding */
	BZ_BYTES = BZ_SETUP_BYTES + BZ_PAYLOAD_BYTES,
	BZ_INIT_BYTES = 0x10000,
	BZ_PREFERRED = 0x100000,
	BZ_VERSION_AT = 0x300,
};

union bzimage {
	u8 bytes[BZ_BYTES];
	struct {
		u8 real_mode[offsetof(struct boot_params, hdr)];
		struct setup_header hdr;
	} PACKED setup;
};

void bzimage_make(union bzimage *image);

/* The same for ELF: a segment of code and data with a .bss behind, and a PVH note. */
enum { ELF_TEXT_BYTES = 512, ELF_MEMORY_BYTES = 0x2000, ELF_TEXT_GPA = 0x100000 };
enum { ELF_LINUX_ENTRY = ELF_TEXT_GPA + 0x40, ELF_PVH_ENTRY = ELF_TEXT_GPA + 0x80 };

struct elf_note {
	u32 name_bytes, descriptor_bytes, type;
	char name[4];
	u32 descriptor[2];
};

struct elf64_image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr load, note_header, other;
	struct elf_note note;
	u8 text[ELF_TEXT_BYTES];
};

struct elf32_image {
	Elf32_Ehdr ehdr;
	Elf32_Phdr load, note_header, other;
	struct elf_note note;
	u8 text[ELF_TEXT_BYTES];
};

void elf64_make(struct elf64_image *image);
void elf32_make(struct elf32_image *image);

/* Fills bytes with a pattern without zeros, which starts anew with each seed. */
void fill_pattern(u8 *bytes, size_t count, u32 seed);

/* Pseudo-random numbers that are the same in every run (xorshift). *state: not 0. */
u32 next_random(u32 *state);

#endif
