/*
 * memmap-pvh - all that a PVH monitor tells its guest: struct hvm_start_info, version 1, found in
 * ebx (Xen: xen/include/public/arch-x86/hvm/start_info.h).
 */
#include "memmap.h"

#define START_MAGIC 0x336ec578

struct hvm_start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist_paddr, cmdline_paddr, rsdp_paddr;
	u64 memmap_paddr; /* from here on: version 1 */
	u32 memmap_entries, reserved;
};

struct hvm_module {
	u64 paddr, size, cmdline_paddr, reserved;
};
struct hvm_memmap {
	u64 addr, size;
	u32 type, reserved;
};

void guest_main(void)
{
	const struct hvm_start_info *info = (const void *)boot.info;
	const struct hvm_memmap *e;
	const struct hvm_module *m;

	if (boot.protocol != BOOT_PVH) {
		print("not booted by PVH\n");
		return;
	}
	print("magic %s\n", info->magic == START_MAGIC ? "ok" : "bad");
	print("version %u flags %x\n", info->version, info->flags);
	print("cmdline %lu bytes: %s\n", strlen(boot.cmdline), boot.cmdline);
	if (info->magic != START_MAGIC || info->version < 1)
		return;

	e = (const void *)info->memmap_paddr;
	for (u32 i = 0; i < info->memmap_entries; i++)
		add_entry(e[i].addr, e[i].size, e[i].type);
	m = (const void *)info->modlist_paddr;
	print("modules %u\n", info->nr_modules);
	for (u32 i = 0; i < info->nr_modules; i++) {
		show_module("module", m[i].paddr, m[i].size);
		keep(m[i].paddr, m[i].size);
	}
	keep((u64)info, sizeof(*info));
	keep(info->memmap_paddr, info->memmap_entries * sizeof(*e));
	keep(info->modlist_paddr, info->nr_modules * sizeof(*m));
	test_map();
}
