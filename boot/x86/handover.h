/*
 * What an x86 kernel is handed: the structures of the two boot protocols, and the tables that the
 * processor needs for a start in 64-bit mode.
 */
#ifndef BANTAM_BOOT_X86_HANDOVER_H
#define BANTAM_BOOT_X86_HANDOVER_H

#include <asm/bootparam.h>

#include "boot/place.h"
#include "boot/x86/e820.h"

/* What both protocols tell the kernel, each in its own form. */
struct handover {
	struct e820_map e820;
	u64 cmdline_gpa, cmdline_bytes; /* without the terminating NUL */
	u64 initrd_gpa, initrd_bytes;   /* 0, 0 without an initrd */
	u64 rsdp_gpa;
};

/*
 * Writes boot_params (the "zero page") to LAYOUT_BOOT_PARAMS. params: zero but for the setup
 * header of a bzImage; completed here. Returns 0, or -1 with err set.
 */
int boot_params_place(struct place_map *map, struct boot_params *params,
		      const struct handover *handover, struct error *err);

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
