/*
 * boot/bzimage.c, and boot/kernel.c, which tells images apart: a made image as it should be, then
 * the same with one field wrong at a time, cut at every length, and shaken at random. Guest memory
 * is small and lies between guard pages; what the loader writes must lie in the places it took.
 */
#include "tests/unit/test.h"

#include <stdio.h>

#include "boot/kernel.h"
#include "tests/unit/support.h"

enum { MEMORY_BYTES = 0x200000, SHAKES = 20000 };

struct world {
	struct arena arena;
	struct temp_file file;
	struct place_map map;
	struct boot_kernel kernel;
	struct boot_params params;
	struct error err;
	enum boot_kind kind;
};

static int set_up(void **state)
{
	static struct world world;

	arena_make(&world.arena, MEMORY_BYTES, 0);
	temp_file_make(&world.file, "x", 1);
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

/* Recognises and loads what is in the file. */
static int load_file(struct world *world, enum boot_protocol protocol)
{
	const struct boot_file file = temp_file_boot(&world->file);
	const struct boot_request request = {.protocol = protocol};
	struct kernel_head head;

	world->map = (struct place_map){.memory = &world->arena.memory};
	world->kernel = (struct boot_kernel){.entry = 0};
	world->params = (struct boot_params){0};
	world->err.text[0] = '\0';
	if (kernel_recognise(&file, &head, &world->kind, &world->err))
		return -1;
	if (world->kind != BOOT_BZIMAGE)
		return error_set(&world->err, "it is another kind");
	return bzimage_load(&file, &head, &request, 0, &world->map, &world->kernel, &world->params,
			    &world->err);
}

static int load(struct world *world, const void *image, size_t bytes)
{
	temp_file_set(&world->file, image, bytes);
	return load_file(world, BOOT_AUTO);
}

/* The image isn't taken, for a reason with these words. */
static void refused(struct world *world, const void *image, size_t bytes, const char *words)
{
	if (load(world, image, bytes) == 0)
		fail_msg("taken, instead of \"%s\"", words);
	assert_says(world->err.text, words);
}

static void test_a_good_image(void **state)
{
	struct world *world = *state;
	const u8 *at = memory_at(&world->arena.memory, BZ_PREFERRED, BZ_INIT_BYTES);
	union bzimage image;

	bzimage_make(&image);
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	assert_int_equal(world->kernel.protocol, BOOT_LINUX);
	assert_int_equal(world->kernel.entry, BZ_PREFERRED + 0x200);
	assert_int_equal(world->kernel.cmdline_max_bytes, 2047);
	assert_int_equal(world->kernel.initrd_limit, 0x80000000);
	assert_string_equal(world->kernel.version, "5.4.3-test (someone) #1 SMP");
	assert_int_equal(world->map.places, 1);
	assert_int_equal(world->map.place[0].gpa, BZ_PREFERRED);
	assert_int_equal(world->map.place[0].bytes, BZ_INIT_BYTES);
	assert_memory_equal(at, image.bytes + BZ_SETUP_BYTES, BZ_PAYLOAD_BYTES);
	assert_int_equal(at[BZ_PAYLOAD_BYTES], 0);
	assert_memory_equal(&world->params.hdr, &image.setup.hdr, sizeof(image.setup.hdr));
	assert_int_equal(load_file(world, BOOT_LINUX), 0);
}

static void test_pvh_is_no_choice(void **state)
{
	struct world *world = *state;
	union bzimage image;

	bzimage_make(&image);
	temp_file_set(&world->file, &image, sizeof(image));
	assert_int_equal(load_file(world, BOOT_PVH), -1);
	assert_says(world->err.text, "--boot-protocol linux");
}

/* What lies behind the header's end, as its jump tells it, isn't header. */
static void test_an_older_and_shorter_header(void **state)
{
	struct world *world = *state;
	union bzimage image;

	bzimage_make(&image);
	image.bytes[0x201] = 0x62; /* ends at 0x264, behind init_size and handover_offset */
	memset(image.bytes + 0x264, 0xee, 8);
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	assert_int_equal(world->params.hdr.init_size, BZ_INIT_BYTES);
	assert_int_equal(((const u8 *)&world->params.hdr)[0x264 - 0x1f1], 0);
	image.bytes[0x201] = 0xff; /* and a longer one is cut at what we know */
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	assert_int_equal(world->params.edd_mbr_sig_buffer[0], 0);
	image.bytes[0x201] = 0x2e; /* too short for init_size: it reads 0 */
	assert_int_equal(load(world, &image, sizeof(image)), -1);
	assert_true(world->err.text[0]);
}

static void test_no_setup_sects_means_four(void **state)
{
	static u8 image[5 * 512 + 1000];
	struct world *world = *state;
	union bzimage source;

	bzimage_make(&source);
	source.setup.hdr.setup_sects = 0;
	source.setup.hdr.syssize = 1000 / 16;
	memcpy(image, source.bytes, BZ_SETUP_BYTES);
	fill_pattern(image + 5 * 512, 1000, 3);
	assert_int_equal(load(world, image, sizeof(image)), 0);
	assert_memory_equal(memory_at(&world->arena.memory, BZ_PREFERRED, 1000), image + 5 * 512,
			    1000);
}

/* Every length from nothing to the whole; the last bytes are the padding of syssize. */
static void test_truncated_files(void **state)
{
	struct world *world = *state;
	union bzimage image;
	const u64 promised = BZ_SETUP_BYTES + (BZ_PAYLOAD_BYTES + 15) / 16 * 16;

	bzimage_make(&image);
	for (size_t bytes = 1; bytes < sizeof(image); bytes++) {
		const int result = load(world, &image, bytes);

		assert_int_equal(result, bytes + 16 <= promised ? -1 : 0);
		if (result)
			assert_true(world->err.text[0]);
		if (bytes < 2)
			assert_says(world->err.text, "(it starts 4d)");
		else if (bytes < 0x206)
			assert_says(world->err.text, "an EFI program"); /* it starts with "MZ" */
		else if (bytes < 0x26c)
			assert_says(world->err.text, "ends within the setup header");
		else if (result)
			assert_says(world->err.text, "the file is truncated: it has");
	}
}

static void test_a_file_without_a_kernel_behind_the_setup(void **state)
{
	struct world *world = *state;
	union bzimage image;

	bzimage_make(&image);
	image.setup.hdr.syssize = 0;
	refused(world, &image, BZ_SETUP_BYTES, "no code at the 64-bit entry");
	image.setup.hdr.syssize = 0x200 / 16;
	refused(world, &image, sizeof(image), "no code at the 64-bit entry");
	image.setup.hdr.syssize = 0xffffffff;
	refused(world, &image, sizeof(image), "promises 68719477744");
}

static void test_kernels_of_another_kind(void **state)
{
	struct world *world = *state;
	union bzimage good, image;

	bzimage_make(&good);
	image = good;
	image.setup.hdr.version = 0x020b;
	refused(world, &image, sizeof(image), "2.11, and 2.12 is needed");
	image.setup.hdr.version = 0;
	refused(world, &image, sizeof(image), "0.00");
	image.setup.hdr.version = 0x020c;
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	image.setup.hdr.loadflags = 0;
	refused(world, &image, sizeof(image), "zImage");
	image = good;
	image.setup.hdr.xloadflags = (u16)~XLF_KERNEL_64;
	refused(world, &image, sizeof(image), "32-bit kernel");
	image = good;
	image.setup.hdr.boot_flag = 0xaa54;
	refused(world, &image, sizeof(image), "EFI program");
	image = good;
	image.setup.hdr.header++;
	refused(world, &image, sizeof(image), "EFI program");
}

static void test_sizes_and_addresses(void **state)
{
	static const u64 outside[] = {MEMORY_BYTES,   MEMORY_BYTES - BZ_INIT_BYTES + 1,
				      0xc0000000,     0xfffff000,
				      0x100000000,    (u64)1 << 63,
				      ~(u64)0,        ~(u64)0 - BZ_INIT_BYTES + 1,
				      ~(u64)0 - 0x100};
	struct world *world = *state;
	union bzimage good, image;

	bzimage_make(&good);
	image = good;
	image.setup.hdr.init_size = BZ_PAYLOAD_BYTES - 1;
	refused(world, &image, sizeof(image), "init_size is 2999");
	image.setup.hdr.init_size = 0;
	refused(world, &image, sizeof(image), "init_size is 0");
	image.setup.hdr.init_size = BZ_PAYLOAD_BYTES;
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	image.setup.hdr.init_size = MEMORY_BYTES - BZ_PREFERRED;
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	image.setup.hdr.init_size++;
	refused(world, &image, sizeof(image), "--memory");
	image.setup.hdr.init_size = 0xffffffff;
	refused(world, &image, sizeof(image), "--memory");
	for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
		image = good;
		image.setup.hdr.pref_address = outside[i];
		refused(world, &image, sizeof(image),
			outside[i] > UINT32_MAX ? "wants to be loaded at" : "--memory");
	}
	image.setup.hdr.pref_address = MEMORY_BYTES - BZ_INIT_BYTES;
	assert_int_equal(load(world, &image, sizeof(image)), 0);
}

/* What the processor jumps to is in the room that was taken for the kernel. */
static void test_the_entry_is_in_the_kernel(void **state)
{
	struct world *world = *state;
	union bzimage image;

	bzimage_make(&image);
	image.setup.hdr.syssize = 1;
	image.setup.hdr.init_size = 0x100;
	if (load(world, &image, BZ_SETUP_BYTES + 16) == 0)
		assert_true(world->kernel.entry <
			    world->map.place[0].gpa + world->map.place[0].bytes);
	else
		assert_true(world->err.text[0]);
}

static void test_version_texts(void **state)
{
	struct world *world = *state;
	union bzimage image;
	static u8 large[70000];

	bzimage_make(&image);
	image.setup.hdr.kernel_version = 0;
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	assert_string_equal(world->kernel.version, "");
	image.setup.hdr.kernel_version = 0xffff; /* behind the file's end */
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	assert_string_equal(world->kernel.version, "");
	image.setup.hdr.kernel_version = BZ_BYTES - 512;
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	assert_string_equal(world->kernel.version, "");
	image.setup.hdr.kernel_version = BZ_BYTES - 512 - 1; /* one byte, and no NUL */
	image.bytes[BZ_BYTES - 1] = 'v';
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	assert_string_equal(world->kernel.version, "v");
	/* No NUL for a long time, and control characters. */
	image.setup.hdr.kernel_version = BZ_VERSION_AT - 512;
	memset(image.bytes + BZ_VERSION_AT, '\n', 200);
	assert_int_equal(load(world, &image, sizeof(image)), 0);
	assert_int_equal(strlen(world->kernel.version), sizeof(world->kernel.version) - 1);
	assert_int_equal(strspn(world->kernel.version, "?"), sizeof(world->kernel.version) - 1);
	/* The farthest that the pointer reaches. */
	image.setup.hdr.kernel_version = 0xffff;
	memcpy(large, &image, sizeof(image));
	strcpy((char *)large + 0xffff + 512, "far");
	((union bzimage *)(void *)large)->setup.hdr.syssize = (sizeof(large) - BZ_SETUP_BYTES) / 16;
	((union bzimage *)(void *)large)->setup.hdr.init_size = sizeof(large);
	assert_int_equal(load(world, large, sizeof(large)), 0);
	assert_string_equal(world->kernel.version, "far");
}

static void test_what_is_no_kernel(void **state)
{
	static const struct {
		size_t at;
		const char *bytes;
		size_t count;
		const char *words;
	} files[] = {
		{0x38, "ARM\x64", 4, "arm64"},
		{0x38, "RSC\x05", 4, "RISC-V"},
		{4, "zimg", 4, "compressed EFI kernel"},
		{0, "\x1f\x8b\x08", 3, "gzip -dc"},
		{0, "\3757zXZ\0", 6, "xz -dc"},
		{0, "\x28\xb5\x2f\xfd", 4, "zstd -dc"},
		{0, "\x02\x21\x4c\x18", 4, "lz4 -dc"},
		{0, "\x04\x22\x4d\x18", 4, "lz4 -dc"},
		{0, "070701", 6, "--initrd"},
		{0, "!<arch>\n", 8, "a package or an archive"},
		{0, "\x27\x05\x19\x56", 4, "U-Boot"},
		{0, "QFI\xfb", 4, "qcow2"},
		{0, "MZ", 2, "objcopy"},
		{0, "#!/bin/sh\necho", 14, "(it starts 23 21 2f 62 69 6e 2f 73 …)"},
		{0, "\0\0\0", 3, "(it starts 00 00 00 00 00 00 00 00 …)"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		u8 file[1024] = {0};

		memcpy(file + files[i].at, files[i].bytes, files[i].count);
		refused(world, file, sizeof(file), files[i].words);
		/* As short as can be it is told as well, and a byte shorter isn't. */
		if (i + 2 >= ARRAY_LEN(files) || i == 3 || i == 4)
			continue;
		refused(world, file, files[i].at + files[i].count, files[i].words);
		assert_int_equal(load(world, file, files[i].at + files[i].count - 1), -1);
		assert_null(strstr(world->err.text, files[i].words));
	}
	refused(world, "", 1, "(it starts 00)");
	refused(world, "#!/bin/s", 8, "(it starts 23 21 2f 62 69 6e 2f 73)");
	refused(world,
		"\x7f"
		"EL",
		3, "(it starts 7f 45 4c)");
}

/*
 * The good image with a few bytes changed, mostly in its header, and sometimes cut. Every result is
 * either an error with words or a kernel whose places are RAM; memory outside of them stays zero.
 */
static void shake(union bzimage *image, size_t *bytes, u32 *random)
{
	static const u32 wild[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0xffffffff};
	const unsigned changes = 1 + next_random(random) % 4;

	for (unsigned i = 0; i < changes; i++) {
		const u32 what = next_random(random), value = next_random(random);
		size_t at = 0x1f1 + next_random(random) % 0x80;

		if (what % 8 == 0)
			at = next_random(random) % BZ_BYTES;
		if (what & 0x100)
			image->bytes[at] ^= (u8)(1 << value % 8);
		else if (at + 4 <= BZ_BYTES)
			memcpy(image->bytes + at, what & 0x200 ? &wild[value % 8] : &value, 4);
	}
	*bytes = next_random(random) % 8 ? BZ_BYTES : 1 + next_random(random) % BZ_BYTES;
}

static void clear_places(struct world *world)
{
	for (unsigned i = 0; i < world->map.places; i++) {
		const struct place *place = &world->map.place[i];
		const u64 most = place->bytes < BZ_BYTES ? place->bytes : BZ_BYTES;

		memset(memory_at(&world->arena.memory, place->gpa, place->bytes), 0, most);
	}
}

static void test_shaken_images(void **state)
{
	struct world *world = *state;
	unsigned taken = 0, refusals = 0;
	u32 random = 20240607;
	union bzimage good;

	bzimage_make(&good);
	for (unsigned i = 0; i < SHAKES; i++) {
		union bzimage image = good;
		size_t bytes;

		shake(&image, &bytes, &random);
		if (load(world, &image, bytes)) {
			assert_true(world->err.text[0]);
			refusals++;
		} else {
			const struct place *place = &world->map.place[0];

			assert_int_equal(world->map.places, 1);
			assert_non_null(memory_at(&world->arena.memory, place->gpa, place->bytes));
			assert_int_equal(world->kernel.entry, place->gpa + 0x200);
			assert_true(strlen(world->kernel.version) < sizeof(world->kernel.version));
			taken++;
		}
		clear_places(world);
		if (i % 500 == 499)
			assert_true(arena_is_zero(&world->arena));
	}
	/* Otherwise the shaking is too weak or too strong to tell anything. */
	assert_in_range(taken, SHAKES / 20, SHAKES);
	assert_in_range(refusals, SHAKES / 20, SHAKES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_good_image),
		TEST(test_pvh_is_no_choice),
		TEST(test_an_older_and_shorter_header),
		TEST(test_no_setup_sects_means_four),
		TEST(test_truncated_files),
		TEST(test_a_file_without_a_kernel_behind_the_setup),
		TEST(test_kernels_of_another_kind),
		TEST(test_sizes_and_addresses),
		TEST(test_the_entry_is_in_the_kernel),
		TEST(test_version_texts),
		TEST(test_what_is_no_kernel),
		TEST(test_shaken_images),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
