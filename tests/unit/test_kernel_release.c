/*
 * boot/kernel.c: which release a kernel image is, without loading it: made images, images that say
 * what can't be one, and Debian's own where they are.
 */
#include "tests/unit/test.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>

#include "boot/kernel.h"
#include "tests/unit/support.h"

/* What elf_version() reads at a time, and where it stops. */
enum { PIECE_BYTES = 65536, LAST_OFFSET = 64 << 20 };

static struct temp_file temp;

static int set_up(void **state)
{
	(void)state;
	temp_file_make(&temp, "x", 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	temp_file_free(&temp);
	return 0;
}

static void says(const char *release)
{
	const struct boot_file file = temp_file_boot(&temp);
	char found[KERNEL_RELEASE_BYTES];
	struct error err = {.text = ""};

	memset(found, 'x', sizeof(found));
	assert_int_equal(kernel_release(&file, found, &err), 0);
	assert_string_equal(found, release);
}

/* Of a bzImage with this version text. */
static void bzimage_says(const char *version, const char *release)
{
	union bzimage image;

	bzimage_make(&image);
	memset(image.bytes + BZ_VERSION_AT, 0, 128);
	memcpy(image.bytes + BZ_VERSION_AT, version, strlen(version));
	temp_file_set(&temp, &image, sizeof(image));
	says(release);
}

static void test_bzimage(void **state)
{
	/* 64 characters, which is uname's limit. */
	static const char longest[] =
		"6.12345678901234567890123456789012345678901234567890123456789012";
	char version[80];

	(void)state;
	bzimage_says("6.1.0-56-cloud-amd64 (debian-kernel) #1 SMP", "6.1.0-56-cloud-amd64");
	bzimage_says("6.12.0_x~rc1+ ", "6.12.0_x~rc1+");
	bzimage_says("6.1", "6.1");
	bzimage_says("", "");
	bzimage_says("../../etc x", "");
	bzimage_says("6.1/../../x y", "");
	bzimage_says("x6.1 y", "");
	bzimage_says(".. x", "");
	bzimage_says(" 6.1", "");
	assert_int_equal(sizeof(longest), 65);
	snprintf(version, sizeof(version), "%s (x)", longest);
	bzimage_says(version, longest);
	snprintf(version, sizeof(version), "%s3 (x)", longest);
	bzimage_says(version, "");
}

static void test_a_bzimage_that_tells_nothing(void **state)
{
	union bzimage image;

	(void)state;
	bzimage_make(&image);
	image.setup.hdr.kernel_version = 0;
	temp_file_set(&temp, &image, sizeof(image));
	says("");
	image.setup.hdr.kernel_version = 0xffff;
	temp_file_set(&temp, &image, sizeof(image));
	says("");
}

/* An ELF file of `bytes` bytes with this banner at `at`; all others are `fill`. */
static void elf_says(size_t bytes, size_t at, char fill, const char *banner, const char *release)
{
	const size_t length = strlen(banner);
	char *image = malloc(bytes);

	assert_non_null(image);
	memset(image, fill, bytes);
	memcpy(image, "\177ELF", 4);
	memcpy(image + at, banner, length < bytes - at ? length : bytes - at);
	temp_file_set(&temp, image, bytes);
	free(image);
	says(release);
}

static void test_elf(void **state)
{
	static const char banner[] = "Linux version 5.4.3-test (someone)";
	static const size_t edges[] = {PIECE_BYTES, 2 * PIECE_BYTES};

	(void)state;
	elf_says(4096, 100, 0, banner, "5.4.3-test");
	for (size_t i = 0; i < ARRAY_LEN(edges); i++)
		for (size_t j = 0; j < 200; j++)
			elf_says(4 * PIECE_BYTES, edges[i] - sizeof(banner) + j, 0, banner,
				 "5.4.3-test");
	elf_says(LAST_OFFSET + PIECE_BYTES, LAST_OFFSET - 1, 0, banner, "5.4.3-test");
	elf_says(LAST_OFFSET + PIECE_BYTES, LAST_OFFSET + 1024, 0, banner, "");
	/* It ends with the file, within each part. */
	elf_says(4096, 4096 - 24, 0, banner, "5.4.3-test");
	elf_says(4096, 4096 - 17, 0, banner, "5.4");
	elf_says(4096, 4096 - 14, 0, banner, "");
	elf_says(4096, 4096 - 5, 0, banner, "");
}

/* Code may hold what looks like a banner; where sections are told, the first data's is the kernel's. */
static void test_elf_with_sections(void **state)
{
	enum { CODE = 4096, DATA = 3 * 4096, TABLE = 5 * 4096, BYTES = 6 * 4096 };
	u8 image[BYTES] = "\177ELF\2\1";
	Elf64_Shdr section[] = {
		{.sh_type = SHT_NULL},
		{.sh_type = SHT_PROGBITS, .sh_flags = SHF_EXECINSTR, .sh_offset = CODE},
		{.sh_type = SHT_PROGBITS, .sh_offset = DATA},
	};
	Elf64_Ehdr header = {
		.e_shoff = TABLE, .e_shnum = ARRAY_LEN(section), .e_shentsize = sizeof(section[0])};

	(void)state;
	memcpy(header.e_ident, image, 6);
	memcpy(image, &header, sizeof(header));
	memcpy(image + CODE, "Linux version 1.0-code ", 23);
	memcpy(image + DATA + 500, "Linux version 1.0-data ", 23);
	for (int row = 0; row < 4; row++) {
		static const u64 offsets[] = {DATA, DATA + 501, BYTES + 1, ~(u64)0};

		section[2].sh_offset = offsets[row];
		memcpy(image + TABLE, section, sizeof(section));
		temp_file_set(&temp, image, sizeof(image));
		says(row ? "1.0-code" : "1.0-data");
	}
	/* No table where it should be. */
	header.e_shoff = ~(u64)0 - 63;
	memcpy(image, &header, sizeof(header));
	temp_file_set(&temp, image, sizeof(image));
	says("1.0-code");
}

/* Not one NUL in sight. */
static void test_elf_without_an_end(void **state)
{
	(void)state;
	for (size_t before = 0; before < 256; before++)
		elf_says(4 * PIECE_BYTES, 2 * PIECE_BYTES - before, 'x', "Linux version 5.4", "");
	elf_says(4096, 100, 'x', "Linux version %s (", "");
	elf_says(4096, 100, 'x', "Linux version ../x y", "");
	elf_says(4096, 100, 'x', "Linux", "");
	/* Nor is the end of one piece taken for what follows the next, the file's last. */
	elf_says(PIECE_BYTES + 100, PIECE_BYTES + 83, 'x', "Linux version 5.4", "5.4");
}

static void test_what_is_no_kernel(void **state)
{
	struct boot_file file;
	char release[KERNEL_RELEASE_BYTES];
	struct error err = {.text = ""};

	(void)state;
	temp_file_set(&temp, "nothing", 7);
	file = temp_file_boot(&temp);
	assert_int_equal(kernel_release(&file, release, &err), -1);
	assert_says(err.text, "not a bzImage");
}

/* Debian's kernels, in both forms, and what their packages say. */
static void test_stock_kernels(void **state)
{
	static const char *const images[] = {"cloud/vmlinuz", "cloud/vmlinux", "generic/vmlinuz",
					     "generic/vmlinux"};
	char path[64], version[64] = "", release[KERNEL_RELEASE_BYTES];
	struct error err = {.text = ""};
	struct boot_file file;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(images); i++) {
		FILE *text;

		snprintf(path, sizeof(path), "build/kernels/%.*s/version",
			 (int)strcspn(images[i], "/"), images[i]);
		text = fopen(path, "r");
		if (!text)
			SKIP("build/kernels isn't there: tools/kernels cloud generic");
		assert_int_equal(fscanf(text, "%63s", version), 1);
		fclose(text);
		snprintf(path, sizeof(path), "build/kernels/%s", images[i]);
		assert_int_equal(file_open(&file, path, 0, &err), 0);
		assert_int_equal(kernel_release(&file, release, &err), 0);
		assert_string_equal(release, version);
		file_close(&file);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bzimage),
		TEST(test_a_bzimage_that_tells_nothing),
		TEST(test_elf),
		TEST(test_elf_with_sections),
		TEST(test_elf_without_an_end),
		TEST(test_what_is_no_kernel),
		TEST(test_stock_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
