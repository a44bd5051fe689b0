/*
 * `bantam run --dry-run`: see dry_run.h.
 */
#include "vmm/dry_run.h"

#include <stdio.h>

#include "boot/x86/e820.h"

static void print_range(u64 gpa, u64 bytes, const char *name)
{
	printf("  0x%012llx  0x%012llx  %9llu KiB  %s\n", (unsigned long long)gpa,
	       (unsigned long long)(gpa + bytes - 1), (unsigned long long)((bytes + KIB - 1) / KIB),
	       name);
}

static void print_kernel(const struct boot_plan *plan)
{
	const struct boot_kernel *kernel = &plan->kernel;
	const bool pvh = kernel->protocol == BOOT_PVH;

	printf("kernel: %s", kernel->kind == BOOT_BZIMAGE ? "bzImage" : "ELF");
	if (kernel->version[0])
		printf(", %s", kernel->version);
	printf("\nboot protocol: %s\n", pvh ? "PVH" : "Linux 64-bit");
	printf("entry: 0x%llx in %s mode, %s = 0x%llx (%s)\n", (unsigned long long)kernel->entry,
	       pvh ? "32-bit protected" : "64-bit long", pvh ? "EBX" : "RSI",
	       (unsigned long long)plan->info_gpa, pvh ? "hvm_start_info" : "boot_params");
	printf("RSDP: 0x%llx\n", (unsigned long long)plan->rsdp_gpa);
}

void dry_run_print(const struct boot_plan *plan)
{
	struct e820_map e820;

	print_kernel(plan);
	printf("\nwhat lies in guest memory:\n");
	for (unsigned i = 0; i < plan->map.places; i++) {
		const struct place *place = &plan->map.place[i];

		print_range(place->gpa, place->bytes, place->name);
	}
	e820_make(&e820, plan->map.memory);
	printf("\nmemory map (e820):\n");
	for (unsigned i = 0; i < e820.entries; i++) {
		const struct e820_entry *entry = &e820.entry[i];

		print_range(entry->gpa, entry->bytes, entry->type == E820_RAM ? "RAM" : "reserved");
	}
}
