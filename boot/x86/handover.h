/*
 * What an x86 kernel is handed: the structures of the two boot protocols, and the tables that the
 * processor needs for a start in 64-bit mode.
 */
#ifndef BANTAM_BOOT_X86_HANDOVER_H
#define BANTAM_BOOT_X86_HANDOVER_H

#include <asm/bootparam.h>

#include "boot/place.h"

/*
 * What both protocols tell the kernel, each in its own form. The memory map says which addresses are
 * RAM and which are reserved; its entries are sorted and disjoint.
 */
enum { E820_RAM = 1, E820_RESERVED = 2, E820_MAX = 8 };
struct handover {
	struct boot_e820_entry e820[E820_MAX];
	unsigned e820_entries;
	u64 cmdline_gpa, cmdline_bytes; /* without the terminating NUL */
	u64 initrd_gpa, initrd_bytes;   /* 0, 0 without an initrd */
	u64 rsdp_gpa;
};

/* Fills in the memory map. */
void e820_make(struct handover *handover, const struct memory *memory);

/*
 * Writes boot_params (the "zero page") to LAYOUT_BOOT_PARAMS. params: zero but for the setup
 * header of a bzImage; completed here. Returns 0, or -1 with err set.
 */
int boot_params_place(struct place_map *map, struct boot_params *params,
		      const struct handover *handover, struct error *err);

/* PVH's structures, of which there are no headers for user space (Xen's start_info.h, version 1). */
struct start_info {
	u32 magic;
	u32 version;
	u32 flags;
	u32 modules;
	u64 module_list_gpa;
	u64 cmdline_gpa;
	u64 rsdp_gpa;
	u64 memory_map_gpa;
	u32 memory_map_entries;
	u32 reserved;
};

struct start_info_module {
	u64 gpa;
	u64 bytes;
	u64 cmdline_gpa;
	u64 reserved;
};

struct start_info_memory {
	u64 gpa;
	u64 bytes;
	u32 type; /* numbered as in e820 */
	u32 reserved;
};

/* The page at LAYOUT_START_INFO. */
struct start_info_page {
	struct start_info info;
	struct start_info_module module;
	struct start_info_memory memory[E820_MAX];
};

/* Writes hvm_start_info and what it points to to LAYOUT_START_INFO. Returns 0, or -1 with err set. */
int start_info_place(struct place_map *map, const struct handover *handover, struct error *err);

/*
 * Writes a GDT with the selectors of Linux's boot protocol to LAYOUT_GDT, and page tables that map
 * the first 4 GiB to themselves to LAYOUT_PAGE_TABLES. Returns 0, or -1 with err set.
 */
int long_mode_place(struct place_map *map, struct error *err);

/*
 * Writes code to LAYOUT_BIOS_ENTRY that resets the machine by writing value to the I/O port. Returns
 * 0, or -1 with err set.
 */
int bios_entry_place(struct place_map *map, u16 port, u8 value, struct error *err);

/* Selectors in that GDT, and how many bytes it has. */
enum { GDT_CODE = 0x10, GDT_DATA = 0x18, GDT_BYTES = 0x20 };

#endif
