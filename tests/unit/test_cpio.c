/*
 * boot/cpio.c: what comes out, byte for byte of its headers, and what the real cpio makes of it.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/cpio.h"
#include "tests/unit/support.h"

enum { HEADER_BYTES = 110 };

/* The number in field n of the header at `at`: 13 of 8 digits, behind the magic. */
static u32 field(const char *at, unsigned n)
{
	char digits[9] = "";

	memcpy(digits, at + 6 + 8 * n, 8);
	return (u32)strtoul(digits, NULL, 16);
}

enum { INODE, MODE, UID, GID, LINKS, TIME, SIZE, NAME_SIZE = 11, CHECK };

/* Checks the entry at *at, and steps over it. */
static void expect(const struct cpio *cpio, size_t *at, const char *path, unsigned mode,
		   const void *bytes, size_t count)
{
	const char *entry = cpio->bytes + *at;
	static u32 inode;

	assert_int_equal(*at % 4, 0);
	inode = *at ? inode + 1 : 1;
	assert_memory_equal(entry, "070701", 6);
	assert_int_equal(field(entry, INODE), inode);
	assert_int_equal(field(entry, MODE), mode);
	assert_int_equal(field(entry, LINKS), S_ISDIR(mode) ? 2 : 1);
	assert_int_equal(field(entry, SIZE), count);
	assert_int_equal(field(entry, NAME_SIZE), strlen(path) + 1);
	assert_int_equal(field(entry, UID) | field(entry, GID) | field(entry, TIME) |
				 field(entry, CHECK),
			 0);
	assert_string_equal(entry + HEADER_BYTES, path);
	*at = (size_t)align_up(*at + HEADER_BYTES + strlen(path) + 1, 4);
	assert_memory_equal(cpio->bytes + *at, bytes, count);
	*at = (size_t)align_up(*at + count, 4);
}

static void test_entries(void **state)
{
	struct error err = {.text = ""};
	struct cpio cpio;
	size_t at = 0;

	(void)state;
	cpio_begin(&cpio);
	cpio_add(&cpio, "/a", S_IFDIR | 0755, NULL, 0);
	/* Paths and contents of every length modulo 4. */
	cpio_add(&cpio, "/a/b", S_IFREG | 0644, "x", 1);
	cpio_add(&cpio, "/a/bc", S_IFREG | 0755, "xy", 2);
	cpio_add(&cpio, "a/bcd", S_IFREG | 0600, "x\0z", 3);
	cpio_add(&cpio, "/a/bcde", S_IFREG, "wxyz", 4);
	cpio_add(&cpio, "/a/empty", S_IFREG | 0444, NULL, 0);
	assert_int_equal(cpio_end(&cpio, &err), 0);
	expect(&cpio, &at, "a", S_IFDIR | 0755, "", 0);
	expect(&cpio, &at, "a/b", S_IFREG | 0644, "x", 1);
	expect(&cpio, &at, "a/bc", S_IFREG | 0755, "xy", 2);
	expect(&cpio, &at, "a/bcd", S_IFREG | 0600, "x\0z", 3);
	expect(&cpio, &at, "a/bcde", S_IFREG, "wxyz", 4);
	expect(&cpio, &at, "a/empty", S_IFREG | 0444, "", 0);
	expect(&cpio, &at, "TRAILER!!!", 0, "", 0);
	assert_int_equal(at, cpio.count);
	cpio_free(&cpio);
	assert_null(cpio.bytes);
}

/* Too much in all, and too much at once; nothing more is taken then. */
static void test_it_is_bounded(void **state)
{
	struct error err = {.text = ""};
	const size_t half = (size_t)CPIO_MAX_BYTES / 2;
	char *bytes = calloc(1, half);
	struct cpio cpio;

	(void)state;
	assert_non_null(bytes);
	cpio_begin(&cpio);
	cpio_add(&cpio, "/a", S_IFREG | 0644, bytes, half);
	cpio_add(&cpio, "/b", S_IFREG | 0644, bytes, half);
	cpio_add(&cpio, "/c", S_IFREG | 0644, "small", 5);
	assert_int_equal(cpio_end(&cpio, &err), -1);
	assert_says(err.text, "larger than 256 MiB");
	assert_true(cpio.count < CPIO_MAX_BYTES);
	cpio_free(&cpio);
	cpio_begin(&cpio);
	cpio_add(&cpio, "/a", S_IFREG | 0644, bytes, (size_t)1 << 32);
	assert_int_equal(cpio_end(&cpio, &err), -1);
	assert_true(cpio.count < KIB);
	cpio_free(&cpio);
	free(bytes);
}

/* One that is given up on the way. */
static void test_it_is_freed_before_its_end(void **state)
{
	struct cpio cpio;

	(void)state;
	cpio_begin(&cpio);
	cpio_add(&cpio, "/a", S_IFREG | 0644, "x", 1);
	cpio_free(&cpio);
	cpio_free(&cpio);
}

static void run_shell(const char *directory, const char *command)
{
	char line[512];

	snprintf(line, sizeof(line), "cd %s && %s", directory, command);
	assert_int_equal(system(line), 0);
}

/* The tool unpacks what was packed: the same names, bytes and modes. */
static void unpacked_by(const char *tool)
{
	char directory[] = "/tmp/bantam-test-XXXXXX", path[64];
	struct error err = {.text = ""};
	struct cpio cpio;
	u8 bytes[5001];
	FILE *file;

	assert_non_null(mkdtemp(directory));
	fill_pattern(bytes, sizeof(bytes), 3);
	cpio_begin(&cpio);
	cpio_add(&cpio, "/.x", S_IFDIR | 0711, NULL, 0);
	cpio_add(&cpio, "/.x/y", S_IFDIR | 0750, NULL, 0);
	cpio_add(&cpio, "/.x/y/one", S_IFREG | 0751, bytes, sizeof(bytes));
	cpio_add(&cpio, "/.x/y/two words", S_IFREG | 0640, bytes, 2);
	cpio_add(&cpio, "/.x/none", S_IFREG | 0604, NULL, 0);
	assert_int_equal(cpio_end(&cpio, &err), 0);
	snprintf(path, sizeof(path), "%s/archive", directory);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(cpio.bytes, 1, cpio.count, file), cpio.count);
	/* What it was packed from, to compare with. */
	snprintf(path, sizeof(path), "%s/expect", directory);
	assert_non_null(freopen(path, "w", file));
	assert_int_equal(fwrite(bytes, 1, sizeof(bytes), file), sizeof(bytes));
	fclose(file);
	cpio_free(&cpio);
	snprintf(path, sizeof(path), "%s -id <archive 2>/dev/null", tool);
	run_shell(directory, path);
	run_shell(directory, "cmp expect .x/y/one && head -c 2 expect | cmp - '.x/y/two words' && "
			     "test ! -s .x/none");
	run_shell(directory, "test \"$(find .x -printf '%P %#m\\n' | sort | tr '\\n' ' ')\" = "
			     "\" 0711 none 0604 y 0750 y/one 0751 y/two words 0640 \"");
	run_shell(directory, "rm -r .x archive expect");
	assert_int_equal(rmdir(directory), 0);
}

static void test_cpio_unpacks_it(void **state)
{
	(void)state;
	if (system("command -v cpio >/dev/null"))
		SKIP("cpio is not installed");
	unpacked_by("cpio");
}

static void test_busybox_unpacks_it(void **state)
{
	(void)state;
	if (system("busybox cpio --help >/dev/null 2>&1"))
		SKIP("busybox with cpio is not installed");
	unpacked_by("busybox cpio");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_it_is_bounded),
		cmocka_unit_test(test_it_is_freed_before_its_end),
		cmocka_unit_test(test_cpio_unpacks_it),
		cmocka_unit_test(test_busybox_unpacks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
