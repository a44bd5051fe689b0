/*
 * PVH: Xen's way to start a kernel, and the one that unikernels and BSDs share with Linux.
 *
 * The processor starts in 32-bit mode without paging, EBX pointing to hvm_start_info, which points
 * to the command line, to a list of modules (the initrd is the only one) and to a memory map.
 * There are no headers of it for user space, so the structures stand here.
 *
 * Source: Xen docs/misc/pvh.pandoc, public/arch-x86/hvm/start_info.h (version 1).
 */
#include "boot/x86/handover.h"
#include "boot/x86/layout.h"

#define START_INFO_MAGIC ((u32)0x336ec578)

enum { START_INFO_VERSION = 1 };

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
		.memory_map_entries = handover->e820.entries,
	};
	if (handover->initrd_bytes) {
		page->info.modules = 1;
		page->info.module_list_gpa =
			LAYOUT_START_INFO + offsetof(struct start_info_page, module);
		page->module = (struct start_info_module){.gpa = handover->initrd_gpa,
							  .bytes = handover->initrd_bytes};
	}
	for (unsigned i = 0; i < handover->e820.entries; i++) {
		const struct e820_entry *entry = &handover->e820.entry[i];

		page->memory[i] =
			(struct start_info_memory){entry->gpa, entry->bytes, entry->type, 0};
	}
	return 0;
}
