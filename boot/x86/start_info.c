/*
 * PVH: Xen's way to start a kernel, and the one that unikernels and BSDs share with Linux.
 *
 * The processor starts in 32-bit mode without paging, EBX pointing to hvm_start_info, which points
 * to the command line, to a list of modules (the initrd is the only one) and to a memory map.
 *
 * Source: Xen docs/misc/pvh.pandoc, public/arch-x86/hvm/start_info.h (version 1).
 */
#include "boot/x86/handover.h"
#include "boot/x86/layout.h"

#define START_INFO_MAGIC ((u32)0x336ec578)

enum { START_INFO_VERSION = 1 };

int start_info_place(struct place_map *map, const struct handover *handover, struct error *err)
{
	struct start_info_page *page =
		place_at(map, "hvm_start_info", LAYOUT_START_INFO, sizeof(*page), err);

	if (!page)
		return -1;
	page->info = (struct start_info){
		.magic = START_INFO_MAGIC,
		.version = START_INFO_VERSION,
		.cmdline_gpa = handover->cmdline_gpa,
		.rsdp_gpa = handover->rsdp_gpa,
		.memory_map_gpa = LAYOUT_START_INFO + offsetof(struct start_info_page, memory),
		.memory_map_entries = handover->e820_entries,
	};
	if (handover->initrd_bytes) {
		page->info.modules = 1;
		page->info.module_list_gpa =
			LAYOUT_START_INFO + offsetof(struct start_info_page, module);
		page->module = (struct start_info_module){.gpa = handover->initrd_gpa,
							  .bytes = handover->initrd_bytes};
	}
	for (unsigned i = 0; i < handover->e820_entries; i++) {
		const struct boot_e820_entry *entry = &handover->e820[i];

		page->memory[i] =
			(struct start_info_memory){entry->addr, entry->size, entry->type, 0};
	}
	return 0;
}
