/*
 * boot/boot.c, boot/place.c and boot/x86/: boot_load() as a whole, with made kernels, initrds and
 * command lines, and then what a kernel would find in memory, read back from there: command line,
 * initrd, boot_params or hvm_start_info, memory map, page tables.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"
#include "tests/unit/support.h"

#define HOLE_START (3 * GIB)
#define HOLE_END   (4 * GIB)

enum { CMDLINE_GPA = 0x20000, INFO_PVH = 0x6000, INFO_LINUX = 0x7000, RSDP_GPA = 0xe0000 };

struct world {
	struct memory memory;
	struct temp_file kernel, initrd;
	struct boot_request request;
	struct boot_plan plan;
	struct error err;
	union bzimage bzimage;
	struct elf64_image elf;
};

static void describe_nothing(void *owner, struct aml *aml)
{
	(void)owner, (void)aml;
}

static void make_memory(struct world *world, u64 bytes)
{
	memory_destroy(&world->memory);
	assert_int_equal(memory_create(&world->memory, bytes, HOLE_START, HOLE_END, &world->err),
			 0);
}

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){.request = {.cmdline = "console=ttyS0"}};
	temp_file_make(&world.kernel, "x", 1);
	temp_file_make(&world.initrd, "x", 1);
	bzimage_make(&world.bzimage);
	elf64_make(&world.elf);
	world.request.kernel = world.kernel.path;
	world.request.acpi = (struct acpi_machine){.cpus = 2, .describe_devices = describe_nothing};
	make_memory(&world, 16 * MIB);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	memory_destroy(&world->memory);
	temp_file_free(&world->kernel);
	temp_file_free(&world->initrd);
	return 0;
}

static int load(struct world *world)
{
	world->err.text[0] = '\0';
	return boot_load(&world->request, &world->memory, &world->plan, &world->err);
}

static int load_bzimage(struct world *world)
{
	temp_file_set(&world->kernel, &world->bzimage, sizeof(world->bzimage));
	return load(world);
}

static int load_elf(struct world *world)
{
	temp_file_set(&world->kernel, &world->elf, sizeof(world->elf));
	return load(world);
}

static void set_initrd(struct world *world, size_t bytes)
{
	u8 *content = test_malloc(bytes);

	fill_pattern(content, bytes, 9);
	temp_file_set(&world->initrd, content, bytes);
	test_free(content);
	world->request.initrd = world->initrd.path;
}

static const void *guest(const struct world *world, u64 gpa, u64 bytes)
{
	const void *host = memory_at(&world->memory, gpa, bytes);

	assert_non_null(host);
	return host;
}

static const struct boot_params *boot_params_of(const struct world *world)
{
	assert_int_equal(world->plan.info_gpa, INFO_LINUX);
	return guest(world, world->plan.info_gpa, sizeof(struct boot_params));
}

static const struct place *place_of(const struct world *world, const char *name)
{
	for (unsigned i = 0; i < world->plan.map.places; i++) {
		if (strcmp(world->plan.map.place[i].name, name) == 0)
			return &world->plan.map.place[i];
	}
	return NULL;
}

/* All places are RAM, sorted and apart. */
static void check_places(const struct world *world)
{
	const struct place_map *map = &world->plan.map;

	for (unsigned i = 0; i < map->places; i++) {
		assert_non_null(memory_at(&world->memory, map->place[i].gpa, map->place[i].bytes));
		if (i > 0)
			assert_true(map->place[i - 1].gpa + map->place[i - 1].bytes <=
				    map->place[i].gpa);
	}
}

static void test_linux_protocol(void **state)
{
	struct world *world = *state;
	const struct boot_params *params;

	assert_int_equal(load_bzimage(world), 0);
	check_places(world);
	assert_int_equal(world->plan.kernel.kind, BOOT_BZIMAGE);
	assert_int_equal(world->plan.kernel.protocol, BOOT_LINUX);
	assert_int_equal(world->plan.rsdp_gpa, RSDP_GPA);
	params = boot_params_of(world);
	assert_int_equal(params->acpi_rsdp_addr, RSDP_GPA);
	assert_int_equal(params->hdr.type_of_loader, 0xff);
	assert_int_equal(params->hdr.cmd_line_ptr, CMDLINE_GPA);
	assert_int_equal(params->ext_cmd_line_ptr, 0);
	assert_int_equal(params->hdr.ramdisk_image, 0);
	assert_int_equal(params->hdr.ramdisk_size, 0);
	/* The rest of the header is the kernel's own. */
	assert_int_equal(params->hdr.version, 0x020f);
	assert_int_equal(params->hdr.init_size, BZ_INIT_BYTES);
	assert_int_equal(params->hdr.pref_address, BZ_PREFERRED);
	assert_int_equal(params->hdr.kernel_alignment, 0x200000);
	assert_int_equal(params->sentinel, 0);
	assert_string_equal(guest(world, CMDLINE_GPA, 14), "console=ttyS0");
	assert_memory_equal(guest(world, RSDP_GPA, 8), "RSD PTR ", 8);
}

static void test_linux_protocol_for_a_vmlinux(void **state)
{
	struct world *world = *state;
	const struct boot_params *params;

	world->request.protocol = BOOT_LINUX;
	assert_int_equal(load_elf(world), 0);
	check_places(world);
	assert_int_equal(world->plan.kernel.kind, BOOT_ELF);
	assert_int_equal(world->plan.kernel.entry, ELF_LINUX_ENTRY);
	params = boot_params_of(world);
	assert_int_equal(params->hdr.boot_flag, 0xaa55);
	assert_int_equal(params->hdr.header, 0x53726448);
	assert_true(params->hdr.version >= 0x020c);
	assert_int_equal(params->hdr.loadflags & LOADED_HIGH, LOADED_HIGH);
	assert_int_equal(params->hdr.type_of_loader, 0xff);
	assert_int_equal(params->hdr.cmd_line_ptr, CMDLINE_GPA);
	assert_int_equal(params->acpi_rsdp_addr, RSDP_GPA);
}

/* Xen's structure, by its offsets in public/arch-x86/hvm/start_info.h. */
struct start_info {
	u32 magic, version, flags, modules;
	u64 module_list, cmdline, rsdp, memory_map;
	u32 memory_map_entries, reserved;
};

struct module {
	u64 gpa, bytes, cmdline, reserved;
};

struct memory_entry {
	u64 gpa, bytes;
	u32 type, reserved;
};

static const struct start_info *start_info_of(const struct world *world)
{
	assert_int_equal(sizeof(struct start_info), 56);
	assert_int_equal(world->plan.info_gpa, INFO_PVH);
	return guest(world, world->plan.info_gpa, sizeof(struct start_info));
}

static void test_pvh(void **state)
{
	struct world *world = *state;
	const struct start_info *info;
	const struct memory_entry *map;

	assert_int_equal(load_elf(world), 0);
	check_places(world);
	assert_int_equal(world->plan.kernel.protocol, BOOT_PVH);
	info = start_info_of(world);
	assert_int_equal(info->magic, 0x336ec578);
	assert_int_equal(info->version, 1);
	assert_int_equal(info->flags, 0);
	assert_int_equal(info->modules, 0);
	assert_int_equal(info->module_list, 0);
	assert_int_equal(info->cmdline, CMDLINE_GPA);
	assert_int_equal(info->rsdp, RSDP_GPA);
	assert_int_equal(info->reserved, 0);
	assert_int_equal(info->memory_map_entries, 3);
	map = guest(world, info->memory_map, 3 * sizeof(*map));
	assert_int_equal(map[0].gpa, 0);
	assert_int_equal(map[0].bytes, 0x9fc00);
	assert_int_equal(map[0].type, 1);
	assert_int_equal(map[1].gpa, 0x9fc00);
	assert_int_equal(map[1].bytes, 0x100000 - 0x9fc00);
	assert_int_equal(map[1].type, 2);
	assert_int_equal(map[2].gpa, 0x100000);
	assert_int_equal(map[2].bytes, 15 * MIB);
	assert_int_equal(map[2].type, 1);
	assert_null(place_of(world, "page tables"));
}

static void test_pvh_with_an_initrd(void **state)
{
	struct world *world = *state;
	const struct start_info *info;
	const struct module *module;

	set_initrd(world, 5000);
	assert_int_equal(load_elf(world), 0);
	info = start_info_of(world);
	assert_int_equal(info->modules, 1);
	module = guest(world, info->module_list, sizeof(*module));
	assert_int_equal(module->gpa, 16 * MIB - 8192);
	assert_int_equal(module->bytes, 5000);
	assert_int_equal(module->cmdline, 0);
	assert_int_equal(module->reserved, 0);
}

/* The map in boot_params for memory below, up to and beyond the hole. */
static void test_memory_map(void **state)
{
	static const struct {
		u64 memory, low_end, high_bytes;
	} cases[] = {
		{16 * MIB, 16 * MIB, 0},         {GIB + 4096, GIB + 4096, 0}, {3 * GIB, 3 * GIB, 0},
		{3 * GIB + 4096, 3 * GIB, 4096}, {8 * GIB, 3 * GIB, 5 * GIB},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const unsigned entries = cases[i].high_bytes ? 4 : 3;
		const struct boot_params *params;
		const struct boot_e820_entry *map;

		make_memory(world, cases[i].memory);
		assert_int_equal(load_bzimage(world), 0);
		params = boot_params_of(world);
		map = params->e820_table;
		assert_int_equal(params->e820_entries, entries);
		assert_int_equal(map[0].addr, 0);
		assert_int_equal(map[0].size, 0x9fc00);
		assert_int_equal(map[0].type, 1);
		assert_int_equal(map[1].addr, 0x9fc00);
		assert_int_equal(map[1].size, 0x60400);
		assert_int_equal(map[1].type, 2);
		assert_int_equal(map[2].addr, 0x100000);
		assert_int_equal(map[2].size, cases[i].low_end - 0x100000);
		assert_int_equal(map[2].type, 1);
		if (entries == 4) {
			assert_int_equal(map[3].addr, 4 * GIB);
			assert_int_equal(map[3].size, cases[i].high_bytes);
			assert_int_equal(map[3].type, 1);
		}
		assert_int_equal(map[entries].size, 0);
	}
}

/* Follows the page tables as a processor does; ~0 where nothing is mapped. */
static u64 translate(const struct world *world, u64 address)
{
	u64 table = 0x9000;

	for (unsigned level = 4; level > 1; level--) {
		const u64 index = address >> (12 + 9 * (level - 1)) & 511;
		u64 entry;

		memcpy(&entry, guest(world, table + 8 * index, 8), 8);
		if (!(entry & 1))
			return ~(u64)0;
		assert_int_equal(entry & 2, 2); /* writable */
		table = entry & 0x000ffffffffff000;
		if (entry & 0x80) {
			const u64 page = (u64)1 << (12 + 9 * (level - 1));

			assert_true(level < 4);
			assert_int_equal(table % page, 0);
			return table + address % page;
		}
	}
	fail_msg("0x%llx: no large page", (unsigned long long)address);
	return 0;
}

static void test_page_tables(void **state)
{
	struct world *world = *state;

	assert_int_equal(load_bzimage(world), 0);
	for (u64 address = 0; address < 4 * GIB; address += 0x1ff000 / 2)
		assert_int_equal(translate(world, address), address);
	assert_int_equal(translate(world, 4 * GIB - 1), 4 * GIB - 1);
	assert_true(translate(world, 4 * GIB) == ~(u64)0);
	assert_true(translate(world, (u64)1 << 39) == ~(u64)0);
	assert_true(translate(world, 0xffffffff81000000) == ~(u64)0);
}

/* A descriptor of a flat segment; long_mode: the L bit is set, and D isn't. */
static void check_descriptor(u64 descriptor, unsigned type, bool long_mode)
{
	assert_int_equal(descriptor & 0xffff, 0xffff);
	assert_int_equal(descriptor >> 16 & 0xffffff, 0);
	assert_int_equal(descriptor >> 40 & 0xf, type);
	assert_int_equal(descriptor >> 44 & 0xf, 0x9); /* code or data, ring 0, present */
	assert_int_equal(descriptor >> 48 & 0xf, 0xf);
	assert_int_equal(descriptor >> 53 & 1, long_mode);
	assert_int_equal(descriptor >> 54 & 1, !long_mode);
	assert_int_equal(descriptor >> 55 & 1, 1);
	assert_int_equal(descriptor >> 56, 0);
}

static void test_segments(void **state)
{
	struct world *world = *state;
	u64 gdt[4];

	assert_int_equal(load_bzimage(world), 0);
	memcpy(gdt, guest(world, 0x500, sizeof(gdt)), sizeof(gdt));
	assert_int_equal(gdt[0], 0);
	check_descriptor(gdt[2], 0xb, true);
	check_descriptor(gdt[3], 0x3, false);
}

static void test_initrd_content_and_place(void **state)
{
	static const size_t sizes[] = {1, 4095, 4096, 4097, 1000000};
	static u8 expected[1000000];
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		const u64 at = (16 * MIB - sizes[i]) / 4096 * 4096;
		const struct boot_params *params;

		make_memory(world, 16 * MIB);
		set_initrd(world, sizes[i]);
		assert_int_equal(load_bzimage(world), 0);
		check_places(world);
		params = boot_params_of(world);
		assert_int_equal(params->hdr.ramdisk_image, at);
		assert_int_equal(params->hdr.ramdisk_size, sizes[i]);
		assert_int_equal(params->ext_ramdisk_image, 0);
		assert_int_equal(params->ext_ramdisk_size, 0);
		fill_pattern(expected, sizes[i], 9);
		assert_memory_equal(guest(world, at, sizes[i]), expected, sizes[i]);
	}
}

static void test_initrd_obeys_the_kernels_limit(void **state)
{
	struct world *world = *state;

	set_initrd(world, 5000);
	world->bzimage.setup.hdr.initrd_addr_max = 0x7fffff;
	assert_int_equal(load_bzimage(world), 0);
	assert_int_equal(boot_params_of(world)->hdr.ramdisk_image, 0x800000 - 8192);
	/* A limit that isn't at a page: the end is at or below it. */
	make_memory(world, 16 * MIB);
	world->bzimage.setup.hdr.initrd_addr_max = 0x700000 + 4999;
	assert_int_equal(load_bzimage(world), 0);
	assert_int_equal(boot_params_of(world)->hdr.ramdisk_image, 0x700000);
	make_memory(world, 16 * MIB);
	world->bzimage.setup.hdr.initrd_addr_max = 0x700000 + 4998;
	assert_int_equal(load_bzimage(world), 0);
	assert_int_equal(boot_params_of(world)->hdr.ramdisk_image, 0x6ff000);
	/* More memory than the limit, the hole, and none of it above 4 GiB. */
	make_memory(world, 8 * GIB);
	world->bzimage.setup.hdr.initrd_addr_max = 0xffffffff;
	assert_int_equal(load_bzimage(world), 0);
	assert_int_equal(boot_params_of(world)->hdr.ramdisk_image, 3 * GIB - 8192);
	make_memory(world, 8 * GIB);
	world->bzimage.setup.hdr.initrd_addr_max = 0x7fffffff;
	assert_int_equal(load_bzimage(world), 0);
	assert_int_equal(boot_params_of(world)->hdr.ramdisk_image, 2 * GIB - 8192);
}

static void test_initrd_avoids_the_kernel(void **state)
{
	struct world *world = *state;
	const struct place *kernel, *initrd;

	/* The kernel lies at the top, where the initrd would be. */
	world->bzimage.setup.hdr.pref_address = 16 * MIB - BZ_INIT_BYTES - 0x1234;
	set_initrd(world, 0x3000);
	assert_int_equal(load_bzimage(world), 0);
	kernel = place_of(world, "kernel");
	initrd = place_of(world, "initrd");
	assert_non_null(kernel);
	assert_non_null(initrd);
	assert_int_equal(initrd->gpa, (kernel->gpa - 0x3000) / 4096 * 4096);
	/* Enough room above it: the initrd goes there. */
	make_memory(world, 16 * MIB);
	world->bzimage.setup.hdr.pref_address = 16 * MIB - BZ_INIT_BYTES - 0x3000;
	assert_int_equal(load_bzimage(world), 0);
	assert_int_equal(boot_params_of(world)->hdr.ramdisk_image, 16 * MIB - 0x3000);
}

static void test_initrd_that_is_too_large(void **state)
{
	struct world *world = *state;
	const size_t room = 15 * MIB - BZ_INIT_BYTES;

	/* From the kernel's end at 0x110000 to the end of memory. */
	set_initrd(world, room);
	assert_int_equal(load_bzimage(world), 0);
	assert_int_equal(boot_params_of(world)->hdr.ramdisk_image, BZ_PREFERRED + BZ_INIT_BYTES);
	set_initrd(world, room + 1);
	assert_int_equal(load_bzimage(world), -1);
	assert_says(world->err.text, "--memory");
	assert_says(world->err.text, world->initrd.path);
	assert_says(world->err.text, "16 MiB of memory");
	set_initrd(world, 17 * MIB);
	assert_int_equal(load_bzimage(world), -1);
	assert_says(world->err.text, "--memory");
	set_initrd(world, 5000);
	world->bzimage.setup.hdr.initrd_addr_max = 0x100fff;
	assert_int_equal(load_bzimage(world), -1);
	assert_says(world->err.text, "below 0x101000");
	world->bzimage.setup.hdr.initrd_addr_max = 0;
	assert_int_equal(load_bzimage(world), -1);
}

static void test_files_that_are_not_there(void **state)
{
	struct world *world = *state;

	world->request.initrd = "/nonexistent/initrd";
	assert_int_equal(load_bzimage(world), -1);
	assert_says(world->err.text, "cannot use the initrd '/nonexistent/initrd': No such file");
	world->request.initrd = "/dev/null";
	assert_int_equal(load_bzimage(world), -1);
	assert_says(world->err.text, "a device");
	world->request.initrd = NULL;
	world->request.kernel = "/nonexistent/kernel";
	assert_int_equal(load(world), -1);
	assert_says(world->err.text, "cannot boot '/nonexistent/kernel': No such file");
	world->request.kernel = "/";
	assert_int_equal(load(world), -1);
	assert_says(world->err.text, "cannot boot '/': it is a directory");
}

static void test_command_lines(void **state)
{
	static char text[70000];
	struct world *world = *state;

	memset(text, 'x', sizeof(text));
	world->request.cmdline = text;
	text[2047] = '\0';
	memset(memory_at(&world->memory, CMDLINE_GPA, 4096), 'y', 4096);
	assert_int_equal(load_bzimage(world), 0);
	assert_memory_equal(guest(world, CMDLINE_GPA, 2048), text, 2048); /* its NUL too */
	text[2047] = 'x';
	text[2048] = '\0';
	assert_int_equal(load_bzimage(world), -1);
	assert_says(world->err.text, "has 2048 bytes, and this kernel takes 2047");
	assert_int_equal(load_elf(world), -1);
	assert_says(world->err.text, "2047");
	make_memory(world, 16 * MIB);
	world->request.cmdline = "";
	assert_int_equal(load_bzimage(world), 0);
	assert_string_equal(guest(world, CMDLINE_GPA, 1), "");
	world->bzimage.setup.hdr.cmdline_size = 0;
	assert_int_equal(load_bzimage(world), 0);
	world->request.cmdline = "x";
	assert_int_equal(load_bzimage(world), -1);
	assert_says(world->err.text, "has 1 bytes, and this kernel takes 0");
}

/* The room in guest memory is 64 KiB with the NUL, whatever the kernel says. */
static void test_command_lines_of_a_kernel_without_limit(void **state)
{
	static char text[70000];
	struct world *world = *state;
	const char *number;

	memset(text, 'x', sizeof(text));
	world->request.cmdline = text;
	world->bzimage.setup.hdr.cmdline_size = 0xffffffff;
	text[65535] = '\0';
	assert_int_equal(load_bzimage(world), 0);
	text[65535] = 'x';
	text[65536] = '\0';
	assert_int_equal(load_bzimage(world), -1);
	/* What the message says is taken is what is taken. */
	number = strstr(world->err.text, "takes ");
	assert_non_null(number);
	assert_true(strtoull(number + strlen("takes "), NULL, 10) <= 65535);
}

static void test_a_kernel_in_the_boot_datas_way(void **state)
{
	static const u64 addresses[] = {0, 0x6000, 0x1f000, 0xe0000, 0xff000};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		world->bzimage.setup.hdr.pref_address = addresses[i];
		assert_int_equal(load_bzimage(world), -1);
		assert_says(world->err.text, "it wants to be loaded at");
	}
}

static void test_places(void **state)
{
	struct world *world = *state;
	struct place_map map = {.memory = &world->memory};
	struct error *err = &world->err;
	u64 gpa;

	assert_non_null(place_at(&map, "two", 0x2000, 0x1000, err));
	assert_non_null(place_at(&map, "one", 0x1000, 0x1000, err));
	assert_non_null(place_at(&map, "three", 0x3000, 1, err));
	assert_int_equal(map.places, 3);
	assert_string_equal(map.place[0].name, "one");
	assert_string_equal(map.place[1].name, "two");
	assert_string_equal(map.place[2].name, "three");
	assert_null(place_at(&map, "new", 0x2fff, 1, err));
	assert_says(err->text, "the new (0x2fff, 1 bytes) overlaps the two (0x2000, 4096 bytes)");
	assert_null(place_at(&map, "new", 0x3000, 1, err));
	assert_null(place_at(&map, "new", 0, 0x1001, err));
	assert_null(place_at(&map, "new", 0, 16 * MIB, err));
	assert_null(place_at(&map, "new", 0x3001, 0, err));
	assert_null(place_at(&map, "new", 16 * MIB, 1, err));
	assert_says(err->text, "--memory");
	assert_null(place_at(&map, "new", ~(u64)0, 2, err));
	assert_int_equal(map.places, 3);
	assert_ptr_equal(place_at(&map, "new", 0x3001, 0xfff, err),
			 memory_at(&world->memory, 0x3001, 1));
	/* Downwards from the top, over what is there. */
	assert_non_null(place_at(&map, "top", 16 * MIB - 0x1800, 0x800, err));
	assert_non_null(place_high(&map, "high", 0x1000, MIB, ~(u64)0, &gpa, err));
	assert_int_equal(gpa, 16 * MIB - 0x1000);
	assert_non_null(place_high(&map, "high", 0x1000, MIB, ~(u64)0, &gpa, err));
	assert_int_equal(gpa, 16 * MIB - 0x3000);
	assert_null(place_high(&map, "high", 0x1000, MIB, MIB + 0xfff, &gpa, err));
	assert_non_null(place_high(&map, "high", 0x1000, MIB, MIB + 0x1000, &gpa, err));
	assert_int_equal(gpa, MIB);
	assert_null(place_high(&map, "high", 0x1000, MIB, MIB + 0x1000, &gpa, err));
	assert_null(place_high(&map, "high", ~(u64)0, MIB, ~(u64)0, &gpa, err));
}

static void test_places_run_out(void **state)
{
	struct world *world = *state;
	struct place_map map = {.memory = &world->memory};

	for (u64 i = 0; i < PLACES_MAX; i++)
		assert_non_null(place_at(&map, "piece", i * 16, 16, &world->err));
	assert_null(place_at(&map, "piece", MIB, 16, &world->err));
	assert_says(world->err.text, "more than 64 pieces");
	assert_int_equal(map.places, PLACES_MAX);
}

/* More segments than there are places beside the boot data's. */
static void test_a_kernel_of_many_segments(void **state)
{
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Phdr load[48];
	} image = {0};
	struct world *world = *state;

	image.ehdr = world->elf.ehdr;
	image.ehdr.e_phoff = sizeof(image.ehdr);
	image.ehdr.e_phnum = 48;
	image.ehdr.e_entry = MIB;
	for (unsigned i = 0; i < 48; i++)
		image.load[i] = (Elf64_Phdr){.p_type = PT_LOAD,
					     .p_paddr = MIB + i * 0x1000,
					     .p_filesz = 64,
					     .p_memsz = 64};
	temp_file_set(&world->kernel, &image, sizeof(image));
	set_initrd(world, 5000);
	assert_int_equal(load(world), 0);
	check_places(world);
	assert_true(world->plan.map.places >= 48 + 5);
}

static void test_too_little_room_for_acpi(void **state)
{
	struct world *world = *state;

	world->request.acpi.cpus = 20000;
	assert_int_equal(load_bzimage(world), -1);
	assert_says(world->err.text, "ACPI tables don't fit");
}

/* Opened first and loaded later, more than once, as a restart does. */
static void test_files_that_stay_open(void **state)
{
	struct world *world = *state;
	const char *const kernel = world->kernel.path;
	struct boot_files files = {.kernel_fd = 0};

	temp_file_set(&world->kernel, &world->bzimage, sizeof(world->bzimage));
	set_initrd(world, 5000);
	assert_int_equal(boot_open_files(&files, kernel, NULL, &world->err), 0);
	assert_true(files.kernel_fd > 0 && files.initrd_fd == 0);
	boot_close_files(&files);
	assert_int_equal(boot_open_files(&files, kernel, world->initrd.path, &world->err), 0);
	world->request.kernel = world->request.initrd = "by its descriptor";
	world->request.kernel_fd = files.kernel_fd;
	world->request.initrd_fd = files.initrd_fd;
	assert_int_equal(load(world), 0);
	make_memory(world, 16 * MIB);
	assert_int_equal(load(world), 0);
	boot_close_files(&files);
	assert_int_equal(fcntl(world->request.kernel_fd, F_GETFD), -1);
	assert_int_equal(fcntl(world->request.initrd_fd, F_GETFD), -1);
	assert_int_equal(boot_open_files(&files, "/", NULL, &world->err), -1);
	assert_says(world->err.text, "cannot boot '/': it is a directory");
	assert_int_equal(boot_open_files(&files, kernel, "/dev/null", &world->err), -1);
	assert_says(world->err.text, "cannot use the initrd '/dev/null': it is a device");
	assert_int_equal(files.kernel_fd, 0);
}

/* No descriptor is left open, whatever went wrong. */
static void test_descriptors_are_closed(void **state)
{
	struct world *world = *state;
	int before, after;

	before = dup(STDERR_FILENO);
	close(before);
	set_initrd(world, 5000);
	assert_int_equal(load_bzimage(world), 0);
	world->request.kernel = "/";
	(void)load(world);
	world->request.kernel = world->initrd.path; /* a pattern, and no kernel */
	assert_int_equal(load(world), -1);
	world->request.kernel = world->kernel.path;
	set_initrd(world, 17 * MIB);
	assert_int_equal(load_bzimage(world), -1);
	world->request.initrd = "/dev/null";
	assert_int_equal(load_bzimage(world), -1);
	after = dup(STDERR_FILENO);
	close(after);
	assert_int_equal(before, after);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_linux_protocol),
		TEST(test_linux_protocol_for_a_vmlinux),
		TEST(test_pvh),
		TEST(test_pvh_with_an_initrd),
		TEST(test_memory_map),
		TEST(test_page_tables),
		TEST(test_segments),
		TEST(test_initrd_content_and_place),
		TEST(test_initrd_obeys_the_kernels_limit),
		TEST(test_initrd_avoids_the_kernel),
		TEST(test_initrd_that_is_too_large),
		TEST(test_files_that_are_not_there),
		TEST(test_command_lines),
		TEST(test_command_lines_of_a_kernel_without_limit),
		TEST(test_a_kernel_in_the_boot_datas_way),
		TEST(test_places),
		TEST(test_places_run_out),
		TEST(test_a_kernel_of_many_segments),
		TEST(test_too_little_room_for_acpi),
		TEST(test_files_that_stay_open),
		TEST(test_descriptors_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
