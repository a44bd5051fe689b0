/*
 * The tables of a start in 64-bit mode: a GDT, and page tables that map 4 GiB one to one.
 *
 * Linux's 64-bit protocol wants the kernel, boot_params and the command line mapped to themselves,
 * CS = 0x10 and the data segments = 0x18. Pages of 2 MiB make it six tables: one PML4, one PDPT
 * and four page directories. (1 GiB pages would do with two, but not every processor has them.)
 *
 * Source: Intel SDM volume 3, 4.5 "4-level paging", 3.4.5 "Segment descriptors"; AMD APM volume 2.
 */
#include "boot/x86/handover.h"
#include "boot/x86/layout.h"

enum { ENTRIES = 512, DIRECTORIES = 4 };
enum { PTE_PRESENT = 0x1, PTE_WRITE = 0x2, PTE_LARGE = 0x80 };

#define LARGE_PAGE_BYTES ((u64)2 << 20)

/* Flat segments of 4 GiB: present, ring 0; code is 64-bit. The accessed bit is set, as a loaded
 * segment has it. */
#define DESCRIPTOR_CODE64 ((u64)0x00af9b000000ffff)
#define DESCRIPTOR_DATA   ((u64)0x00cf93000000ffff)

struct page_tables {
	u64 pml4[ENTRIES];
	u64 pdpt[ENTRIES];
	u64 directory[DIRECTORIES][ENTRIES];
};

int long_mode_place(struct place_map *map, struct error *err)
{
	const u64 link = PTE_PRESENT | PTE_WRITE;
	struct page_tables *tables;
	u64 *gdt;

	gdt = place_at(map, "GDT", LAYOUT_GDT, GDT_BYTES, err);
	tables = gdt ? place_at(map, "page tables", LAYOUT_PAGE_TABLES, sizeof(*tables), err)
		     : NULL;
	if (!tables)
		return -1;
	gdt[GDT_CODE / sizeof(u64)] = DESCRIPTOR_CODE64;
	gdt[GDT_DATA / sizeof(u64)] = DESCRIPTOR_DATA;

	tables->pml4[0] = (LAYOUT_PAGE_TABLES + offsetof(struct page_tables, pdpt)) | link;
	for (u64 d = 0; d < DIRECTORIES; d++) {
		tables->pdpt[d] =
			(LAYOUT_PAGE_TABLES + offsetof(struct page_tables, directory[d])) | link;
		for (u64 i = 0; i < ENTRIES; i++)
			tables->directory[d][i] = ((d * ENTRIES + i) * LARGE_PAGE_BYTES) | link |
						  PTE_LARGE;
	}
	return 0;
}
