/*
 * memmap.h - what memmap-pvh and memmap-linux share: the two protocols tell the same things (a
 * memory map, an initrd, ACPI tables) in different structures.
 *
 * Each RAM region that ends above 1 MiB has its last page written and read back, so that a map that
 * promises more than the machine has is found out. A page that holds something is left alone: we
 * look for the last one that is free of the image, the initrd and the boot information.
 */
#ifndef GUEST_MEMMAP_H
#define GUEST_MEMMAP_H

#include "lib/lib.h"

#define MEMMAP_MAX 128
#define MEMMAP_RAM 1
#define PAGE       4096ull

struct range {
	u64 start, end;
};

static struct range in_use[16];
static unsigned in_use_count;

static struct {
	struct range r;
	u32 type;
} map[MEMMAP_MAX];
static unsigned map_count;

static void keep(u64 start, u64 size)
{
	if (size && in_use_count < sizeof(in_use) / sizeof(in_use[0]))
		in_use[in_use_count++] = (struct range){start, start + size};
}

static bool is_used(u64 page)
{
	for (unsigned i = 0; i < in_use_count; i++)
		if (page < in_use[i].end && in_use[i].start < page + PAGE)
			return true;
	return false;
}

static bool is_ram(u64 start, u64 size)
{
	for (unsigned i = 0; i < map_count; i++)
		if (map[i].type == MEMMAP_RAM && map[i].r.start <= start &&
		    start + size <= map[i].r.end)
			return true;
	return false;
}

static void add_entry(u64 start, u64 size, u32 type)
{
	print("e820 %016lx %016lx %u\n", start, start + size, type);
	if (map_count == MEMMAP_MAX) {
		print("too many entries\n");
		return;
	}
	map[map_count].r = (struct range){start, start + size};
	map[map_count++].type = type;
}

/* Says an initrd's or module's place, size, first 8 bytes and the sum of all its bytes. */
static void show_module(const char *what, u64 start, u64 size)
{
	const u8 *p = (const u8 *)start;
	u64 sum = 0;

	print("%s %lx size %lu", what, start, size);
	if (!size) {
		print("\n");
		return;
	}
	for (u64 i = 0; i < size; i++)
		sum += p[i];
	print(" first ");
	hexdump(p, size < 8 ? size : 8);
	print(" sum %lu in ram %s\n", sum, is_ram(start, size) ? "yes" : "no");
}

static void test_last_page(u64 start, u64 end)
{
	volatile u64 *p;
	u64 page = (end & ~(PAGE - 1)) - PAGE;
	bool ok;

	while (page >= start && is_used(page))
		page -= PAGE;
	if (page < start || !(p = map_page(page)))
		return;
	p[0] = 0x5a5a0123456789abull ^ page;
	p[511] = page;
	ok = p[0] == (0x5a5a0123456789abull ^ page) && p[511] == page;
	print("ram %016lx %s\n", page, ok ? "ok" : "BAD");
}

static void test_map(void)
{
	keep((u64)image_start, image_end - image_start);
	keep((u64)boot.cmdline, strlen(boot.cmdline) + 1);
	for (unsigned i = 0; i < map_count; i++) {
		for (unsigned j = 0; j < i; j++)
			if (map[i].r.start < map[j].r.end && map[j].r.start < map[i].r.end)
				print("OVERLAP of entries %u and %u\n", j, i);
		if (map[i].type == MEMMAP_RAM && map[i].r.end > 0x100000)
			test_last_page(map[i].r.start, map[i].r.end);
	}
	print("image in ram %s\n",
	      is_ram((u64)image_start, image_end - image_start) ? "yes" : "no");
	print("rsdp %lx %s\n", boot.rsdp, boot.rsdp && acpi_rsdp() ? "ok" : "bad");
}

#endif
