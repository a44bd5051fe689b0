/*
 * The memory map that the guest is told: see e820.h and the picture in layout.h.
 */
#include "boot/x86/e820.h"

#include "boot/x86/layout.h"

static void add(struct e820_map *map, u64 gpa, u64 end, u32 type)
{
	map->entry[map->entries++] = (struct e820_entry){gpa, end - gpa, type};
}

void e820_make(struct e820_map *map, const struct memory *memory)
{
	*map = (struct e820_map){0};
	add(map, 0, LAYOUT_LOW_RAM_END, E820_RAM);
	add(map, LAYOUT_LOW_RAM_END, LAYOUT_HIGH_RAM, E820_RESERVED);
	for (unsigned i = 0; i < memory->regions; i++) {
		const struct memory_region *region = &memory->region[i];

		add(map, i == 0 ? LAYOUT_HIGH_RAM : region->gpa, region->gpa + region->bytes,
		    E820_RAM);
	}
}
