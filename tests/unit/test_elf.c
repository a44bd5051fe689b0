/*
 * boot/elf.c: made ELF kernels of both classes, good ones, then with one field wrong at a time, cut
 * at every length and shaken at random. As in test_bzimage.c, guest memory lies between guard
 * pages, and what is outside of the places that the loader took must stay zero.
 */
#include "tests/unit/test.h"

#include <stdio.h>

#include "boot/kernel.h"
#include "tests/unit/support.h"

enum { LOW_BYTES = 0x200000, HIGH_BYTES = 0x100000, SHAKES = 20000 };

struct world {
	struct arena arena;
	struct temp_file file;
	struct place_map map;
	struct boot_kernel kernel;
	struct error err;
	struct elf64_image elf64;
	struct elf32_image elf32;
};

static int set_up(void **state)
{
	static struct world world;

	arena_make(&world.arena, LOW_BYTES, HIGH_BYTES);
	temp_file_make(&world.file, "x", 1);
	elf64_make(&world.elf64);
	elf32_make(&world.elf32);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	arena_free(&world->arena);
	temp_file_free(&world->file);
	return 0;
}

static int load_bytes(struct world *world, const void *image, size_t bytes,
		      enum boot_protocol protocol)
{
	struct kernel_head head;
	struct boot_file file;
	enum boot_kind kind;

	temp_file_set(&world->file, image, bytes);
	file = temp_file_boot(&world->file);
	world->map = (struct place_map){.memory = &world->arena.memory};
	world->kernel = (struct boot_kernel){.entry = 0};
	world->err.text[0] = '\0';
	if (kernel_recognise(&file, &head, &kind, &world->err))
		return -1;
	if (kind != BOOT_ELF)
		return error_set(&world->err, "it is another kind");
	return elf_load(&file, &head, protocol, 0, &world->map, &world->kernel, &world->err);
}

static int load64(struct world *world)
{
	return load_bytes(world, &world->elf64, sizeof(world->elf64), BOOT_AUTO);
}

static int load32(struct world *world)
{
	return load_bytes(world, &world->elf32, sizeof(world->elf32), BOOT_AUTO);
}

/* The 64-bit image as it is now isn't taken; it is made anew for the next one. */
static void refused(struct world *world, const char *words)
{
	if (load64(world) == 0)
		fail_msg("taken, instead of \"%s\"", words);
	assert_says(world->err.text, words);
	elf64_make(&world->elf64);
}

static void assert_loaded(const struct world *world, const u8 *text)
{
	const u8 *at = memory_at(&world->arena.memory, ELF_TEXT_GPA, ELF_MEMORY_BYTES);

	assert_int_equal(world->map.places, 1);
	assert_int_equal(world->map.place[0].gpa, ELF_TEXT_GPA);
	assert_int_equal(world->map.place[0].bytes, ELF_MEMORY_BYTES);
	assert_memory_equal(at, text, ELF_TEXT_BYTES);
	assert_int_equal(at[ELF_TEXT_BYTES], 0);
}

static void test_a_good_64_bit_kernel(void **state)
{
	struct world *world = *state;

	assert_int_equal(load64(world), 0);
	assert_loaded(world, world->elf64.text);
	assert_int_equal(world->kernel.protocol, BOOT_PVH);
	assert_int_equal(world->kernel.entry, ELF_PVH_ENTRY);
	assert_int_equal(world->kernel.cmdline_max_bytes, 2047);
	assert_int_equal(world->kernel.initrd_limit, 0x80000000);
}

static void test_a_good_32_bit_kernel(void **state)
{
	struct world *world = *state;

	assert_int_equal(load32(world), 0);
	assert_loaded(world, world->elf32.text);
	assert_int_equal(world->kernel.protocol, BOOT_PVH);
	assert_int_equal(world->kernel.entry, ELF_PVH_ENTRY);
}

static void test_position_independent_files(void **state)
{
	struct world *world = *state;

	world->elf64.ehdr.e_type = ET_DYN;
	world->elf32.ehdr.e_type = ET_DYN;
	assert_int_equal(load64(world), 0);
	assert_int_equal(load32(world), 0);
}

static void test_protocols(void **state)
{
	struct world *world = *state;
	const size_t bytes = sizeof(world->elf64);

	assert_int_equal(load_bytes(world, &world->elf64, bytes, BOOT_LINUX), 0);
	assert_int_equal(world->kernel.protocol, BOOT_LINUX);
	assert_int_equal(world->kernel.entry, ELF_LINUX_ENTRY);
	assert_int_equal(load_bytes(world, &world->elf64, bytes, BOOT_PVH), 0);
	assert_int_equal(world->kernel.protocol, BOOT_PVH);
	world->elf64.note_header.p_type = PT_NULL;
	assert_int_equal(load_bytes(world, &world->elf64, bytes, BOOT_AUTO), 0);
	assert_int_equal(world->kernel.protocol, BOOT_LINUX);
	assert_int_equal(world->kernel.entry, ELF_LINUX_ENTRY);
	assert_int_equal(load_bytes(world, &world->elf64, bytes, BOOT_PVH), -1);
	assert_says(world->err.text, "no PVH note");
}

static void test_a_32_bit_kernel_has_only_pvh(void **state)
{
	struct world *world = *state;
	const size_t bytes = sizeof(world->elf32);

	assert_int_equal(load_bytes(world, &world->elf32, bytes, BOOT_PVH), 0);
	assert_int_equal(load_bytes(world, &world->elf32, bytes, BOOT_LINUX), -1);
	assert_says(world->err.text, "32-bit ELF");
	world->elf32.note_header.p_type = PT_NULL;
	assert_int_equal(load32(world), -1);
	assert_says(world->err.text, "32-bit ELF file without a PVH note");
	assert_int_equal(load_bytes(world, &world->elf32, bytes, BOOT_PVH), -1);
	assert_says(world->err.text, "no PVH note");
}

static void test_headers(void **state)
{
	struct world *world = *state;
	Elf64_Ehdr *ehdr = &world->elf64.ehdr;

	ehdr->e_ident[EI_DATA] = ELFDATA2MSB;
	refused(world, "big-endian");
	ehdr->e_type = ET_REL;
	refused(world, "an object file");
	ehdr->e_type = ET_CORE;
	refused(world, "core dump");
	ehdr->e_type = 0xffff;
	refused(world, "can't be run");
	ehdr->e_phnum = 0;
	refused(world, "0 segments");
	ehdr->e_phnum = 49;
	refused(world, "49 segments");
	ehdr->e_phnum = 0xffff;
	refused(world, "65535 segments");
	ehdr->e_phentsize = sizeof(Elf32_Phdr);
	refused(world, "program headers of 32 bytes");
	ehdr->e_phentsize = 0;
	refused(world, "program headers of 0 bytes");
	ehdr->e_phentsize = 0xffff;
	refused(world, "program headers of 65535 bytes");
}

static void test_classes(void **state)
{
	struct world *world = *state;

	world->elf64.ehdr.e_ident[EI_CLASS] = ELFCLASS32;
	assert_int_equal(load64(world), -1);
	assert_true(world->err.text[0]);
	world->elf32.ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	assert_int_equal(load32(world), -1);
	/* A class that doesn't exist isn't one of the two. */
	elf32_make(&world->elf32);
	world->elf32.ehdr.e_ident[EI_CLASS] = 3;
	assert_int_equal(load32(world), -1);
	assert_true(world->err.text[0]);
}

static void test_machines(void **state)
{
	static const struct {
		u16 machine;
		const char *words;
	} machines[] = {
		{EM_AARCH64, "for arm64;"},
		{EM_RISCV, "for RISC-V;"},
		{EM_PPC64, "for POWER;"},
		{EM_S390, "for s390;"},
		{EM_ARM, "for arm;"},
		{EM_NONE, "for another architecture;"},
		{0xffff, "for another architecture;"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		world->elf64.ehdr.e_machine = machines[i].machine;
		refused(world, machines[i].words);
	}
}

static void test_wild_offsets(void **state)
{
	static const u64 offsets[] = {0xffff,       sizeof(struct elf64_image),
				      (u64)1 << 63, ~(u64)0,
				      ~(u64)0 - 55, ~(u64)0 - 56,
				      ~(u64)0 - 112};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
		world->elf64.ehdr.e_phoff = offsets[i];
		refused(world, "truncated");
		world->elf64.load.p_offset = offsets[i];
		refused(world, "truncated");
		world->elf64.note_header.p_offset = offsets[i];
		refused(world, "truncated");
	}
	world->elf64.load.p_offset = sizeof(struct elf64_image) - ELF_TEXT_BYTES + 1;
	refused(world, "truncated");
}

static void test_segments_outside_of_memory(void **state)
{
	static const u64 addresses[] = {LOW_BYTES,    LOW_BYTES - ELF_MEMORY_BYTES + 1,
					0xc0000000,   0xfffff000,
					4 * GIB - 1,  4 * GIB + HIGH_BYTES - ELF_MEMORY_BYTES + 1,
					(u64)1 << 63, ~(u64)0 - ELF_MEMORY_BYTES + 1,
					~(u64)0};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		/* A second segment, so that the entry is in the first. */
		world->elf64.other = world->elf64.load;
		world->elf64.other.p_paddr = addresses[i];
		refused(world, "--memory");
	}
	world->elf64.other = world->elf64.load;
	world->elf64.other.p_paddr = 4 * GIB + HIGH_BYTES - ELF_MEMORY_BYTES;
	assert_int_equal(load64(world), 0);
	assert_memory_equal(memory_at(&world->arena.memory, world->elf64.other.p_paddr, 512),
			    world->elf64.text, ELF_TEXT_BYTES);
	world->elf64.load.p_memsz = LOW_BYTES - ELF_TEXT_GPA + 1;
	world->elf64.other.p_type = PT_NULL;
	refused(world, "--memory");
	world->elf64.load.p_memsz = ~(u64)0;
	refused(world, "--memory");
	world->elf64.load.p_memsz = ~(u64)0 - ELF_TEXT_GPA + 1;
	refused(world, "--memory");
}

static void test_segments_in_the_first_mib(void **state)
{
	static const u64 addresses[] = {0, 0x7000, 0xe0000, 0xfffff};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		world->elf64.other = world->elf64.load;
		world->elf64.other.p_paddr = addresses[i];
		refused(world, "the first MiB");
	}
}

static void test_overlapping_segments(void **state)
{
	struct world *world = *state;
	static const int shifts[] = {0, 1, -1, ELF_MEMORY_BYTES - 1, 1 - ELF_MEMORY_BYTES, 0x800};

	for (size_t i = 0; i < ARRAY_LEN(shifts); i++) {
		world->elf64.load.p_paddr = 0x180000;
		world->elf64.ehdr.e_entry = 0x180000;
		world->elf64.note_header.p_type = PT_NULL;
		world->elf64.other = world->elf64.load;
		world->elf64.other.p_paddr = (Elf64_Addr)(0x180000 + shifts[i]);
		refused(world, "overlaps");
	}
	world->elf64.other = world->elf64.load;
	world->elf64.other.p_paddr = ELF_TEXT_GPA + ELF_MEMORY_BYTES;
	assert_int_equal(load64(world), 0);
	assert_int_equal(world->map.places, 2);
}

static void test_segment_sizes(void **state)
{
	struct world *world = *state;

	world->elf64.load.p_filesz = ELF_MEMORY_BYTES + 1;
	refused(world, "more bytes in the file than in memory");
	world->elf64.load.p_filesz = ~(u64)0;
	refused(world, "more bytes in the file than in memory");
	world->elf64.load.p_memsz = ELF_TEXT_BYTES - 1;
	refused(world, "more bytes in the file than in memory");
	world->elf64.load.p_memsz = ELF_TEXT_BYTES;
	assert_int_equal(load64(world), 0);
	/* Nothing but .bss; its offset says nothing. */
	world->elf64.load.p_filesz = 0;
	world->elf64.load.p_offset = ~(u64)0;
	assert_int_equal(load64(world), 0);
	/* An empty segment may stand anywhere. */
	elf64_make(&world->elf64);
	world->elf64.other = (Elf64_Phdr){.p_type = PT_LOAD};
	assert_int_equal(load64(world), 0);
	assert_int_equal(world->map.places, 1);
}

static void test_entries(void **state)
{
	static const u64 entries[] = {0, ELF_TEXT_GPA - 1, ELF_TEXT_GPA + ELF_MEMORY_BYTES,
				      0xffffffff};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		world->elf64.note.descriptor[0] = (u32)entries[i];
		refused(world, "lies in no segment");
		world->elf64.ehdr.e_entry = entries[i];
		world->elf64.note_header.p_type = PT_NULL;
		refused(world, "lies in no segment");
	}
	world->elf64.note_header.p_type = PT_NULL;
	world->elf64.ehdr.e_entry = 0xffffffff81000000; /* a virtual address */
	refused(world, "above 4 GiB");
	world->elf64.note_header.p_type = PT_NULL;
	world->elf64.ehdr.e_entry = ELF_TEXT_GPA + ELF_MEMORY_BYTES - 1;
	assert_int_equal(load64(world), 0);
	/* In the note's segment, which isn't loaded. */
	elf64_make(&world->elf64);
	world->elf64.load.p_type = PT_NULL;
	refused(world, "lies in no segment");
}

static void test_note_with_eight_bytes(void **state)
{
	struct world *world = *state;

	world->elf64.note.descriptor_bytes = 8;
	world->elf64.note_header.p_filesz = 24;
	assert_int_equal(load64(world), 0);
	assert_int_equal(world->kernel.entry, ELF_PVH_ENTRY);
	world->elf64.note.descriptor[1] = 1;
	refused(world, "above 4 GiB");
}

/* A note that isn't the one, or is broken, is none; with one that is cut it is the same. */
static void test_wild_notes(void **state)
{
	static const u32 sizes[] = {0,          1,          3,          5,          12,        2048,
				    0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffffc, 0xffffffff};
	static const u64 cuts[] = {1, 11, 12, 15, 16, 17, 19};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		elf64_make(&world->elf64);
		world->elf64.note.name_bytes = sizes[i];
		assert_int_equal(load64(world), 0);
		assert_int_equal(world->kernel.protocol, BOOT_LINUX);
		elf64_make(&world->elf64);
		world->elf64.note.descriptor_bytes = sizes[i];
		assert_int_equal(load64(world), 0);
		assert_int_equal(world->kernel.protocol, BOOT_LINUX);
		world->elf64.note.name_bytes = sizes[i];
		assert_int_equal(load64(world), 0);
		assert_int_equal(world->kernel.protocol, BOOT_LINUX);
	}
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		elf64_make(&world->elf64);
		world->elf64.note_header.p_filesz = cuts[i];
		assert_int_equal(load64(world), 0);
		assert_int_equal(world->kernel.protocol, BOOT_LINUX);
	}
	elf64_make(&world->elf64);
	world->elf64.note.type = 17;
	assert_int_equal(load64(world), 0);
	assert_int_equal(world->kernel.protocol, BOOT_LINUX);
	elf64_make(&world->elf64);
	memcpy(world->elf64.note.name, "Xem", 4);
	assert_int_equal(load64(world), 0);
	assert_int_equal(world->kernel.protocol, BOOT_LINUX);
	elf64_make(&world->elf64);
	world->elf64.note_header.p_filesz = ~(u64)0;
	refused(world, "truncated");
}

/* Behind other notes, with the padding of 4 or 8 that their segment's alignment says. */
static void note_behind_others(struct world *world, unsigned align)
{
	u8 *notes = world->elf64.text;
	const struct elf_note xen = {4, 4, 18, "Xen", {ELF_PVH_ENTRY}};
	const u32 gnu[] = {4, 1, 3}, odd[] = {3, 0, 9};
	size_t at = 0;

	memset(notes, 0, ELF_TEXT_BYTES);
	memcpy(notes + at, gnu, sizeof(gnu));
	memcpy(notes + at + 12, "GNU\0A", 5);
	at = (12 + 4 + 1 + align - 1) / align * align;
	memcpy(notes + at, odd, sizeof(odd));
	memcpy(notes + at + 12, "ab\0", 3);
	at = (at + 12 + 3 + align - 1) / align * align;
	memcpy(notes + at, &xen, 20);
	world->elf64.note_header.p_offset = offsetof(struct elf64_image, text);
	world->elf64.note_header.p_filesz = at + 20;
	world->elf64.note_header.p_align = align;
	assert_int_equal(load64(world), 0);
	assert_int_equal(world->kernel.protocol, BOOT_PVH);
	assert_int_equal(world->kernel.entry, ELF_PVH_ENTRY);
	elf64_make(&world->elf64);
}

static void test_note_behind_others(void **state)
{
	note_behind_others(*state, 4);
	note_behind_others(*state, 8);
}

static void test_note_in_a_second_segment(void **state)
{
	struct world *world = *state;

	world->elf64.other = world->elf64.note_header;
	world->elf64.note_header.p_offset = offsetof(struct elf64_image, text);
	assert_int_equal(load64(world), 0);
	assert_int_equal(world->kernel.protocol, BOOT_PVH);
	world->elf64.note_header.p_filesz = 0; /* empty: its offset says nothing */
	world->elf64.note_header.p_offset = ~(u64)0;
	assert_int_equal(load64(world), 0);
	assert_int_equal(world->kernel.protocol, BOOT_PVH);
}

static void test_truncated_files(void **state)
{
	struct world *world = *state;

	for (size_t bytes = 1; bytes < sizeof(world->elf64); bytes++) {
		assert_int_equal(load_bytes(world, &world->elf64, bytes, BOOT_AUTO), -1);
		assert_says(world->err.text, bytes < 4    ? "it starts 7f"
					     : bytes < 64 ? "ends within the ELF header"
							  : "truncated: it has");
	}
	for (size_t bytes = 1; bytes < sizeof(world->elf32); bytes++) {
		assert_int_equal(load_bytes(world, &world->elf32, bytes, BOOT_AUTO), -1);
		assert_says(world->err.text, bytes < 4    ? "it starts 7f"
					     : bytes < 52 ? "ends within the ELF header"
							  : "truncated: it has");
	}
}

/* Flips and replaces bytes of the headers and the note, and sometimes cuts the file. */
static void shake(u8 *image, size_t headers, size_t *bytes, u32 *random)
{
	static const u64 wild[] = {0, 1, 0x7f, 0xff, 0x7fffffff, 0xffffffff, (u64)1 << 63, ~(u64)0};
	const unsigned changes = 1 + next_random(random) % 3;

	for (unsigned i = 0; i < changes; i++) {
		const u32 what = next_random(random), value = next_random(random);
		size_t at = 4 + next_random(random) % (headers - 12);

		if (what & 0x100)
			image[at] ^= (u8)(1 << value % 8);
		else if (what & 0x200)
			image[at] = (u8)value;
		else
			memcpy(image + at / 8 * 8, &wild[value % 8], what & 0x400 ? 8 : 4);
	}
	if (next_random(random) % 8 == 0)
		*bytes = 1 + next_random(random) % *bytes;
}

static void check_result(struct world *world, int result, unsigned *taken)
{
	bool inside = false;

	if (result) {
		assert_true(world->err.text[0]);
		return;
	}
	for (unsigned i = 0; i < world->map.places; i++) {
		const struct place *place = &world->map.place[i];

		assert_non_null(memory_at(&world->arena.memory, place->gpa, place->bytes));
		assert_true(place->gpa >= 0x100000);
		if (i > 0)
			assert_true(place[-1].gpa + place[-1].bytes <= place->gpa);
		if (world->kernel.entry >= place->gpa &&
		    world->kernel.entry < place->gpa + place->bytes)
			inside = true;
	}
	assert_true(inside);
	(*taken)++;
}

static void clear_places(struct world *world)
{
	for (unsigned i = 0; i < world->map.places; i++) {
		const struct place *place = &world->map.place[i];
		const u64 most = sizeof(struct elf64_image);

		memset(memory_at(&world->arena.memory, place->gpa, place->bytes), 0,
		       place->bytes < most ? place->bytes : most);
	}
}

static void test_shaken_images(void **state)
{
	struct world *world = *state;
	unsigned taken = 0;
	u32 random = 20240608;

	for (unsigned i = 0; i < SHAKES; i++) {
		const enum boot_protocol protocol = (enum boot_protocol)(next_random(&random) % 3);
		int result;
		size_t bytes;

		if (i % 2) {
			struct elf64_image image = world->elf64;

			bytes = sizeof(image);
			shake((u8 *)&image, offsetof(struct elf64_image, text), &bytes, &random);
			result = load_bytes(world, &image, bytes, protocol);
		} else {
			struct elf32_image image = world->elf32;

			bytes = sizeof(image);
			shake((u8 *)&image, offsetof(struct elf32_image, text), &bytes, &random);
			result = load_bytes(world, &image, bytes, protocol);
		}
		check_result(world, result, &taken);
		clear_places(world);
		if (i % 500 == 499)
			assert_true(arena_is_zero(&world->arena));
	}
	/* Otherwise the shaking is too weak or too strong to tell anything. */
	assert_in_range(taken, SHAKES / 20, SHAKES - SHAKES / 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_good_64_bit_kernel),
		TEST(test_a_good_32_bit_kernel),
		TEST(test_position_independent_files),
		TEST(test_protocols),
		TEST(test_a_32_bit_kernel_has_only_pvh),
		TEST(test_headers),
		TEST(test_classes),
		TEST(test_machines),
		TEST(test_wild_offsets),
		TEST(test_segments_outside_of_memory),
		TEST(test_segments_in_the_first_mib),
		TEST(test_overlapping_segments),
		TEST(test_segment_sizes),
		TEST(test_entries),
		TEST(test_note_with_eight_bytes),
		TEST(test_wild_notes),
		TEST(test_note_behind_others),
		TEST(test_note_in_a_second_segment),
		TEST(test_truncated_files),
		TEST(test_shaken_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
