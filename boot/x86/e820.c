/*
 * The memory map that the guest is told: see handover.h and the picture in layout.h.
 */
#include "boot/x86/handover.h"
#include "boot/x86/layout.h"

static void add(struct handover *handover, u64 gpa, u64 end, u32 type)
{
	handover->e820[handover->e820_entries++] = (struct boot_e820_entry){gpa, end - gpa, type};
}

void e820_make(struct handover *handover, const struct memory *memory)
{
	add(handover, 0, LAYOUT_LOW_RAM_END, E820_RAM);
	add(handover, LAYOUT_LOW_RAM_END, LAYOUT_HIGH_RAM, E820_RESERVED);
	for (unsigned i = 0; i < memory->regions; i++) {
		const struct memory_region *region = &memory->region[i];

		add(handover, i == 0 ? LAYOUT_HIGH_RAM : region->gpa, region->gpa + region->bytes,
		    E820_RAM);
	}
}
