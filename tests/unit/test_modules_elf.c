/*
 * boot/modules.c: what a module's file says it depends on. A made module as it should be, then with
 * one field wrong at a time, cut at every length and shaken at random; each lies in memory of
 * exactly its size, so that the sanitizer sees a read behind its end.
 */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "boot/modules.h"
#include "tests/unit/module_file.h"
#include "tests/unit/support.h"

enum { SHAKES = 20000 };

static struct module_file module;

static int set_up(void **state)
{
	(void)state;
	module_file_make(&module, "virtio,virtio_ring");
	return 0;
}

/* Reads the first count bytes. Returns the dependencies, in memory of the caller's, or NULL. */
static char *read_bytes(const void *bytes, size_t count, struct error *err)
{
	void *exact = malloc(count ? count : 1);
	const char *depends;
	char *copy = NULL;

	assert_non_null(exact);
	memcpy(exact, bytes, count);
	if (modules_depends(exact, count, &depends, err) == 0)
		copy = strdup(depends);
	else
		assert_true(err->text[0]);
	free(exact);
	return copy;
}

/* The module as it is now says this; it is made anew for the next one. */
static void says(const char *depends)
{
	struct error err = {.text = ""};
	char *found = read_bytes(&module, sizeof(module), &err);

	if (!found)
		fail_msg("not taken: %s", err.text);
	assert_string_equal(found, depends);
	free(found);
	set_up(NULL);
}

static void refused(const char *words)
{
	struct error err = {.text = ""};
	char *found = read_bytes(&module, sizeof(module), &err);

	if (found)
		fail_msg("taken (\"%s\"), instead of \"%s\"", found, words);
	assert_says(err.text, words);
	set_up(NULL);
}

static void test_good_ones(void **state)
{
	(void)state;
	says("virtio,virtio_ring");
	module_file_make(&module, "");
	says("");
	/* It begins with it, or is left out. */
	memcpy(module.info, "depends=a", 10);
	module.section[1].sh_size = 10;
	says("a");
	module.section[1].sh_size = 1;
	module.info[0] = '\0';
	says("");
	memcpy(module.info, "xdepends=a\0depending=b", 23);
	module.section[1].sh_size = 23;
	says("");
}

static void test_headers(void **state)
{
	static const char other[] = "no 64-bit ELF file";

	(void)state;
	module.ehdr.e_ident[0] = 'x';
	refused(other);
	module.ehdr.e_ident[EI_CLASS] = ELFCLASS32;
	refused(other);
	module.ehdr.e_ident[EI_DATA] = ELFDATA2MSB;
	refused(other);
	module.ehdr.e_shentsize = 40;
	refused(other);
	module.ehdr.e_shstrndx = 3;
	refused(other);
	module.ehdr.e_shnum = 4; /* the fourth would lie behind the end */
	refused(other);
	module.ehdr.e_shnum = 0xffff;
	refused(other);
	module.ehdr.e_shnum = 0;
	refused(other);
	module.ehdr.e_shoff++;
	refused(other);
	module.ehdr.e_shoff = ~(u64)0;
	refused(other);
	module.ehdr.e_shoff = (u64)1 << 63;
	refused(other);
}

static void test_sections(void **state)
{
	static const u64 wild[] = {sizeof(module), sizeof(module) + 1, ~(u64)0, (u64)1 << 63};
	static const char broken[] = ".modinfo is missing or broken";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
		module.section[1].sh_offset = wild[i];
		refused(broken);
		module.section[1].sh_size = wild[i];
		refused(broken);
		module.section[1].sh_name = (u32)wild[i];
		refused(broken);
		module.section[2].sh_offset = wild[i];
		refused(broken);
		module.section[2].sh_size = wild[i];
		refused(broken);
	}
	module.section[1].sh_size = 0;
	refused(broken);
	module.section[1].sh_size--; /* without its last NUL */
	refused(broken);
	module.section[1].sh_size = sizeof(module) - module.section[1].sh_offset;
	module.section[2].sh_entsize = (u64)1 << 63; /* not NUL, and all of the file is .modinfo */
	refused(broken);
	module.names[1] = 'x';
	refused(broken);
	module.names[9] = 'x'; /* instead of its NUL */
	refused(broken);
	module.section[2].sh_size = 9; /* all of ".modinfo" but its NUL */
	refused(broken);
	module.section[2].sh_size = 10;
	says("virtio,virtio_ring");
}

static void test_truncated_files(void **state)
{
	(void)state;
	for (size_t count = 0; count < sizeof(module); count++) {
		struct error err = {.text = ""};

		assert_null(read_bytes(&module, count, &err));
		assert_says(err.text, "truncated");
	}
}

/* Random bytes at random places, mostly in the headers. */
static void test_shaken_files(void **state)
{
	unsigned taken = 0;
	u32 random = 1;

	(void)state;
	for (unsigned i = 0; i < SHAKES; i++) {
		u8 *const bytes = (u8 *)&module;
		struct error err = {.text = ""};
		char *found;

		set_up(NULL);
		for (u32 n = next_random(&random) % 3; n < 3; n++) {
			u8 *const part[] = {bytes, (u8 *)module.section, (u8 *)&module.section[1]};
			const size_t at = next_random(&random) % sizeof(Elf64_Shdr);

			part[next_random(&random) % 3][at] = (u8)next_random(&random);
		}
		found = read_bytes(&module, sizeof(module) - next_random(&random) % 8 / 7 * 100,
				   &err);
		taken += found ? 1 : 0;
		free(found);
	}
	/* Otherwise the shaking is too weak or too strong to tell anything. */
	assert_in_range(taken, SHAKES / 20, SHAKES - SHAKES / 20);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good_ones),       TEST(test_headers),      TEST(test_sections),
		TEST(test_truncated_files), TEST(test_shaken_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
