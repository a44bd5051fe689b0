/*
 * boot/x86/kaslr.c: tables of relocations, good, broken and shaken at random; and unpacked kernels in
 * guest memory, where they lie and what of them was changed.
 */
#include "tests/unit/test.h"

#include <asm/bootparam.h>
#include <stdlib.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/x86/kaslr.h"
#include "tests/unit/packed_kernel.h"

enum { IMAGE_BYTES = 64, SHAKES = 20000, LOADS = 200 };
enum { GPA = 0x1000000, ALIGN = 2 * MIB };
#define SLIDE ((u64)0x3200000)

/* The word that names an offset in an image for GPA. */
#define NAME(offset) (0x80000000U + GPA + (offset))

/* Relocates an image of zeros in memory of exactly its size, by a table likewise; the caller's to free. */
static u8 *relocated(const u32 *table, size_t bytes, u64 image_bytes, int *result)
{
	u8 *const image = calloc(1, image_bytes), *const copy = malloc(bytes ? bytes : 1);

	memcpy(copy, table, bytes);
	*result = relocate(image, image_bytes, GPA, copy, bytes, SLIDE);
	assert_int_equal(relocate(NULL, image_bytes, GPA, copy, bytes, SLIDE), *result);
	free(copy);
	return image;
}

static void test_lists(void **state)
{
	/* With a list of what the slide is taken from, as before Linux 6.15, and without. */
	static const u32 three[] = {0, NAME(8), 0, NAME(20), NAME(25), 0, NAME(32), NAME(60)};
	static const u32 two[] = {0, NAME(8), NAME(56), 0, NAME(20)};
	static const u32 nothing[] = {0, 0, 0};
	const u64 slide = SLIDE;
	const u32 down = (u32)-SLIDE;
	u8 expected[IMAGE_BYTES] = {0}, *image;
	int result;

	(void)state;
	memcpy(expected + 8, &slide, 8);
	memcpy(expected + 20, &down, 4);
	memcpy(expected + 25, &down, 4);
	memcpy(expected + 32, &slide, 4);
	memcpy(expected + 60, &slide, 4);
	image = relocated(three, sizeof(three), IMAGE_BYTES, &result);
	assert_int_equal(result, 0);
	assert_memory_equal(image, expected, IMAGE_BYTES);
	free(image);
	memset(expected, 0, sizeof(expected));
	memcpy(expected + 8, &slide, 8);
	memcpy(expected + 56, &slide, 8);
	memcpy(expected + 20, &slide, 4);
	image = relocated(two, sizeof(two), IMAGE_BYTES, &result);
	assert_int_equal(result, 0);
	assert_memory_equal(image, expected, IMAGE_BYTES);
	free(image);
	free(relocated(nothing, sizeof(nothing), IMAGE_BYTES, &result));
	assert_int_equal(result, 0);
}

static void test_tables_that_are_broken(void **state)
{
	static const struct {
		u32 word[6];
		size_t bytes;
	} tables[] = {
		{{0}, 0},
		{{0}, 4},                              /* one list */
		{{0, 0, 0, 0}, 16},                    /* four */
		{{NAME(0), 0, 0, 0}, 16},              /* no zero first */
		{{0, 0, 0, NAME(0)}, 15},              /* no words */
		{{0, 0, 0, NAME(61)}, 16},             /* reaches behind the end */
		{{0, 0, 0, NAME(64)}, 16},             /* lies there */
		{{0, 0, 0, NAME(0) - 1}, 16},          /* lies before the beginning */
		{{0, 0, 0, 0x80000000U}, 16},          /* likewise */
		{{0, NAME(57), 0, 0}, 16},             /* eight bytes reach behind the end */
		{{0, 0, NAME(61), 0}, 16},             /* the list in the middle */
		{{0, NAME(0), 0, NAME(0xffffff)}, 16}, /* the last of two */
	};
	int result;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		free(relocated(tables[i].word, tables[i].bytes, IMAGE_BYTES, &result));
		if (result != -1)
			fail_msg("table %zu was taken", i);
	}
}

/* Whatever a table holds, nothing outside of the image is touched: the sanitizer sees it. */
static void test_shaken_tables(void **state)
{
	unsigned taken = 0;
	u32 random = 20261123;

	(void)state;
	for (unsigned i = 0; i < SHAKES; i++) {
		const size_t words = 1 + next_random(&random) % 8;
		u32 table[8];
		int result;

		for (size_t k = 0; k < words; k++) {
			const u32 number = next_random(&random);

			table[k] = number % 3 == 0    ? 0
				   : number % 64 == 1 ? number
						      : NAME(number % (IMAGE_BYTES + 2));
		}
		table[0] = 0;
		free(relocated(table, words * 4, IMAGE_BYTES, &result));
		taken += result == 0;
	}
	assert_in_range(taken, SHAKES / 20, SHAKES / 2);
}

/* ---- unpacked kernels in memory ---- */

struct world {
	struct memory memory;
	struct temp_file file, image, initrd;
	struct unpacked_kernel kernel;
	struct boot_request request;
	struct boot_plan plan;
	struct error err;
};

static void describe_nothing(void *owner, struct aml *aml)
{
	(void)owner, (void)aml;
}

static void set_kernel(struct world *world, size_t bytes)
{
	u8 file[PACKED_MAX_BYTES];
	const size_t count = packed_kernel_make(file, "what it was", 11, (u32)bytes);

	temp_file_set(&world->file, file, count);
	temp_file_set(&world->image, &world->kernel, bytes);
}

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){.request = {.cmdline = "console=ttyS0"}};
	temp_file_make(&world.file, "x", 1);
	temp_file_make(&world.image, "x", 1);
	temp_file_make(&world.initrd, "x", 1);
	unpacked_kernel_make(&world.kernel);
	set_kernel(&world, sizeof(world.kernel));
	world.request.kernel = world.file.path;
	world.request.image_fd = world.image.fd;
	world.request.acpi = (struct acpi_machine){.cpus = 1, .describe_devices = describe_nothing};
	*state = &world;
	return memory_create(&world.memory, 16 * MIB, 3 * GIB, 4 * GIB, &world.err);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	memory_destroy(&world->memory);
	temp_file_free(&world->file);
	temp_file_free(&world->image);
	temp_file_free(&world->initrd);
	return 0;
}

/* Loads it, and looks at all that must be so wherever it lies. Returns where that is. */
static u64 load(struct world *world)
{
	const struct boot_kernel *kernel = &world->plan.kernel;
	struct boot_params params;
	u32 narrow = VALUE_32;
	u64 wide = VALUE_64, gpa;
	u8 expected[ELF_TEXT_BYTES];

	assert_int_equal(memory_clear(&world->memory, &world->err), 0);
	if (boot_load(&world->request, &world->memory, &world->plan, &world->err))
		fail_msg("%s", world->err.text);
	gpa = kernel->entry - ELF_LINUX_ENTRY + ELF_TEXT_GPA;
	assert_true(kernel->unpacked);
	assert_int_equal(kernel->protocol, BOOT_LINUX);
	assert_int_equal(kernel->cmdline_max_bytes, 2047);
	assert_string_equal(kernel->version, "5.4.3-test (someone) #1 SMP");
	assert_int_equal((gpa - ELF_TEXT_GPA) % ALIGN, 0);
	assert_int_equal(kernel->slide % ALIGN, 0);
	assert_in_range(kernel->slide, 0, GIB - ELF_TEXT_GPA - ELF_MEMORY_BYTES);

	memcpy(expected, world->kernel.elf.text, sizeof(expected));
	wide += kernel->slide;
	memcpy(expected + AT_64, &wide, sizeof(wide));
	narrow = VALUE_32 - (u32)kernel->slide;
	memcpy(expected + AT_INVERSE, &narrow, sizeof(narrow));
	narrow = VALUE_32 + (u32)kernel->slide;
	memcpy(expected + AT_32, &narrow, sizeof(narrow));
	memcpy(expected + AT_32_MORE, &narrow, sizeof(narrow));
	memcpy(expected + AT_32_LAST, &narrow, sizeof(narrow));
	assert_memory_equal(memory_at(&world->memory, gpa, ELF_MEMORY_BYTES), expected,
			    sizeof(expected));

	assert_true(memory_read(&world->memory, world->plan.info_gpa, &params, sizeof(params)));
	assert_int_equal(params.hdr.loadflags,
			 kernel->random ? LOADED_HIGH | KASLR_FLAG : LOADED_HIGH);
	return gpa;
}

/* Loads it many times, and tells how many of the addresses differ from where it was built for. */
static void load_often(struct world *world, unsigned *moved, unsigned *slid)
{
	*moved = *slid = 0;
	for (unsigned i = 0; i < LOADS; i++) {
		*moved += load(world) != ELF_TEXT_GPA;
		*slid += world->plan.kernel.slide != 0;
	}
}

static void test_random_addresses(void **state)
{
	struct world *world = *state;
	unsigned moved, slid;

	load_often(world, &moved, &slid);
	assert_true(world->plan.kernel.random);
	/* One address of 8 is the one that it was built for, and one of 512. */
	assert_in_range(moved, LOADS / 2, LOADS - 1);
	assert_in_range(slid, LOADS * 9 / 10, LOADS);
}

static void test_words_of_the_command_line(void **state)
{
	static const struct {
		const char *cmdline;
		bool moves, slides;
	} lines[] = {
		{"nokaslr", false, false},          {"quiet nokaslr a", false, false},
		{"nokaslr=1 xnokaslr", true, true}, {"quiet mem=8M", false, true},
		{"memmap=1M$4M", false, true},      {"xmem=8M a=mem=1", true, true},
	};
	struct world *world = *state;
	unsigned moved, slid;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		world->request.cmdline = lines[i].cmdline;
		load_often(world, &moved, &slid);
		assert_int_equal(moved != 0, lines[i].moves);
		assert_int_equal(slid != 0, lines[i].slides);
		assert_int_equal(world->plan.kernel.random, lines[i].slides);
	}
}

static void test_a_kernel_without_a_table(void **state)
{
	struct world *world = *state;
	unsigned moved, slid;

	set_kernel(world, sizeof(world->kernel.elf));
	load_often(world, &moved, &slid);
	assert_int_equal(moved + slid, 0);
	assert_false(world->plan.kernel.random);
}

/* An initrd as large as can be finds its room wherever the kernel lies. */
static void test_the_initrd_has_room(void **state)
{
	static u8 large[11 * MIB];
	struct world *world = *state;
	unsigned moved, slid;

	temp_file_set(&world->initrd, large, sizeof(large));
	world->request.initrd = world->initrd.path;
	load_often(world, &moved, &slid);
	assert_true(moved > 0);
	temp_file_set(&world->initrd, large, 1);
	assert_int_equal(ftruncate(world->initrd.fd, 15 * MIB - ELF_MEMORY_BYTES), 0);
	load_often(world, &moved, &slid);
	assert_int_equal(moved, 0);
	assert_int_equal(ftruncate(world->initrd.fd, 15 * MIB), 0);
	assert_int_equal(boot_load(&world->request, &world->memory, &world->plan, &world->err), -1);
	assert_says(world->err.text, "--memory");
}

static void test_images_that_are_broken(void **state)
{
	struct world *world = *state;

	world->kernel.table[1] = RELOCATION(ELF_MEMORY_BYTES - 7);
	set_kernel(world, sizeof(world->kernel));
	assert_int_equal(boot_load(&world->request, &world->memory, &world->plan, &world->err), -1);
	assert_says(world->err.text, "relocations is of an unknown kind");
	unpacked_kernel_make(&world->kernel);
	world->kernel.elf.load.p_paddr += 0x1000;
	set_kernel(world, sizeof(world->kernel));
	assert_int_equal(boot_load(&world->request, &world->memory, &world->plan, &world->err), -1);
	assert_says(world->err.text, "wants to lie elsewhere");
	world->kernel.elf.load.p_paddr = ~(u64)0 - 0x1000;
	set_kernel(world, sizeof(world->kernel));
	assert_int_equal(boot_load(&world->request, &world->memory, &world->plan, &world->err), -1);
	assert_says(world->err.text, "a segment wraps");
	world->kernel.elf.load.p_type = PT_NULL;
	set_kernel(world, sizeof(world->kernel));
	assert_int_equal(boot_load(&world->request, &world->memory, &world->plan, &world->err), -1);
	assert_says(world->err.text, "nothing to load");
	world->kernel.elf.ehdr.e_ident[0] = 'x';
	set_kernel(world, sizeof(world->kernel));
	assert_int_equal(boot_load(&world->request, &world->memory, &world->plan, &world->err), -1);
	assert_says(world->err.text, "not a bzImage or an ELF kernel");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),         cmocka_unit_test(test_tables_that_are_broken),
		cmocka_unit_test(test_shaken_tables), TEST(test_random_addresses),
		TEST(test_words_of_the_command_line), TEST(test_a_kernel_without_a_table),
		TEST(test_the_initrd_has_room),       TEST(test_images_that_are_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
