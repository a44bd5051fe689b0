/*
 * boot/modules.c: modules and what they depend on, found in made trees and packed into an archive
 * that is read back here: with modules.dep and without it, compressed, built in, missing, in loops,
 * behind links. Module files as no kernel's build makes them are in test_modules_elf.c.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/modules.h"
#include "tests/unit/module_file.h"
#include "tests/unit/support.h"

/* The tree is made here, and the tests run in it. */
static char directory[] = "/tmp/bantam-test-XXXXXX";
static int home;

struct world {
	struct modules_request request;
	struct cpio archive;
	struct error err;
	int result;
	char names[8192]; /* of what was packed, each with a space behind */
};

static void must(int result)
{
	assert_int_equal(result, 0);
}

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){.request = {.release = "5.4", .directory = "."}};
	*state = &world;
	snprintf(directory, sizeof(directory), "/tmp/bantam-test-XXXXXX");
	home = open(".", O_PATH | O_CLOEXEC);
	return home < 0 || !mkdtemp(directory) || chdir(directory);
}

static int tear_down(void **state)
{
	struct world *world = *state;
	char command[64];

	cpio_free(&world->archive);
	must(fchdir(home));
	close(home);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

/* ---- trees ---- */

/* Writes a file, and makes the directories it is in. */
static void put_file(const char *path, const void *bytes, size_t count)
{
	char above[512];
	FILE *file;

	for (const char *at = path; (at = strchr(at, '/')); at++) {
		snprintf(above, sizeof(above), "%.*s", (int)(at - path), path);
		mkdir(above, 0755);
	}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, count, file), count);
	must(fclose(file));
}

static void put_text(const char *path, const char *text)
{
	put_file(path, text, strlen(text));
}

/* A module that says it depends on these. */
static void put_module(const char *path, const char *depends)
{
	struct module_file module;

	module_file_make(&module, depends);
	put_file(path, &module, sizeof(module));
}

/* Whether the host has the tool. */
static bool has(const char *tool)
{
	char command[64];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", tool);
	return system(command) == 0;
}

/* ---- what is packed ---- */

/* Reads the archive's next entry at *at; its name, or NULL at the end. */
static const char *next_entry(const struct cpio *archive, size_t *at, const char **bytes,
			      size_t *count)
{
	const char *entry = archive->bytes + *at;
	char digits[9] = "";

	memcpy(digits, entry + 6 + 8 * 6, 8);
	*count = strtoul(digits, NULL, 16);
	*bytes = archive->bytes + align_up(*at + 110 + strlen(entry + 110) + 1, 4);
	*at = (size_t)align_up((u64)(*bytes - archive->bytes) + *count, 4);
	return strcmp(entry + 110, "TRAILER!!!") == 0 ? NULL : entry + 110;
}

/* These bytes were packed as this. */
static void has_packed(const struct world *world, const char *name, const void *expected,
		       size_t expected_count)
{
	const char *found, *bytes;
	size_t at = 0, count;

	while ((found = next_entry(&world->archive, &at, &bytes, &count)))
		if (strcmp(found + strlen(".bantam/modules"), name) == 0) {
			assert_int_equal(count, expected_count);
			assert_memory_equal(bytes, expected, count);
			return;
		}
	fail_msg("no %s in the archive", name);
}

static unsigned open_descriptors(void)
{
	DIR *const list = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(list);
	while (readdir(list))
		count++;
	closedir(list);
	return count;
}

/* Packs these modules, names with spaces between. No descriptor stays open. */
static void pack(struct world *world, const char *wanted)
{
	const unsigned before = open_descriptors();
	const char *words[16], *found, *bytes;
	char text[512], *rest = text;
	size_t at = 0, count, used = 0;

	cpio_free(&world->archive);
	cpio_begin(&world->archive);
	world->request.wanted = words;
	world->request.wanted_count = 0;
	snprintf(text, sizeof(text), "%s", wanted);
	while (rest)
		words[world->request.wanted_count++] = strsep(&rest, " ");
	world->result = modules_pack(&world->request, &world->archive, &world->err);
	must(cpio_end(&world->archive, &(struct error){.text = ""}));
	assert_int_equal(open_descriptors(), before);
	world->names[0] = '\0';
	while ((found = next_entry(&world->archive, &at, &bytes, &count))) {
		assert_memory_equal(found, ".bantam/modules", strlen(".bantam/modules"));
		if (found[strlen(".bantam/modules")])
			used += (size_t)snprintf(world->names + used, sizeof(world->names) - used,
						 "%s ", found + strlen(".bantam/modules/"));
	}
}

static void packs(struct world *world, const char *wanted, const char *names)
{
	pack(world, wanted);
	if (world->result)
		fail_msg("%s: %s", wanted, world->err.text);
	assert_string_equal(world->names, names);
}

static void refuses(struct world *world, const char *wanted, const char *words)
{
	world->err.text[0] = '\0';
	pack(world, wanted);
	assert_says(world->err.text, words);
	assert_int_equal(world->result, -1);
}

/* ---- tests ---- */

/* It is believed: the files are no modules at all. */
static void test_modules_dep(void **state)
{
	struct world *world = *state;

	put_text("modules.dep", "kernel/a.ko:\n"
				"kernel/x/b-b.ko: kernel/x/c_c.ko kernel/a.ko\n"
				"kernel/x/c_c.ko: kernel/a.ko\n"
				"kernel/bb.ko:\n"
				"extra/d.ko: kernel/x/c_c.ko kernel/a.ko");
	put_text("kernel/a.ko", "A");
	put_text("kernel/x/b-b.ko", "BB");
	put_text("kernel/x/c_c.ko", "CCC");
	put_text("extra/d.ko", "DDDD");
	packs(world, "b_b", "000-a.ko 001-c_c.ko 002-b_b.ko ");
	has_packed(world, "/000-a.ko", "A", 1);
	has_packed(world, "/002-b_b.ko", "BB", 2);
	packs(world, "b-b", "000-a.ko 001-c_c.ko 002-b_b.ko ");
	packs(world, "a", "000-a.ko ");
	packs(world, "c-c a d b_b c_c", "000-a.ko 001-c_c.ko 002-d.ko 003-b_b.ko ");
	/* A name is all of a name. */
	refuses(world, "b", "'b'");
	refuses(world, "kernel", "'kernel'");
}

static void test_without_modules_dep(void **state)
{
	struct world *world = *state;
	struct module_file module;

	put_module("kernel/a.ko", "");
	put_module("kernel/deep/er/b-b.ko", "c_c,a");
	put_module("updates/c-c.ko", "a");
	put_module("d.ko", "c_c");
	packs(world, "b_b d", "000-a.ko 001-c_c.ko 002-b_b.ko 003-d.ko ");
	module_file_make(&module, "c_c");
	has_packed(world, "/003-d.ko", &module, sizeof(module));
	/* An empty list is none. */
	put_text("modules.dep", "");
	packs(world, "d", "000-a.ko 001-c_c.ko 002-d.ko ");
}

static void test_where_it_is_looked_for(void **state)
{
	struct world *world = *state;

	refuses(world, "a", "'./', nor in lib/modules/5.4 or usr/lib/modules/5.4 there");
	world->request.directory = "missing";
	refuses(world, "a", "'missing/'");
	world->request.directory = "./";
	put_module("usr/lib/modules/5.4/kernel/usr.ko", "");
	packs(world, "usr", "000-usr.ko ");
	put_module("lib/modules/5.4/kernel/lib.ko", "");
	packs(world, "lib", "000-lib.ko ");
	world->request.release = "";
	refuses(world, "lib", "no kernel modules in");
	world->request.directory = "lib/modules/5.4";
	packs(world, "lib", "000-lib.ko ");
	world->request.release = "5.4";
	world->request.directory = ".";
	put_module("kernel/itself.ko", "");
	packs(world, "itself", "000-itself.ko ");
}

/* The caller decides what that means. */
static void test_no_directory_of_the_host(void **state)
{
	struct world *world = *state;

	world->request.directory = NULL;
	world->request.release = "5.4.3-no-such-release";
	pack(world, "a");
	assert_int_equal(world->result, MODULES_NO_DIRECTORY);
	assert_says(world->err.text, "lib/modules/5.4.3-no-such-release");
	assert_says(world->err.text, "--modules");
	world->request.release = "";
	pack(world, "a");
	assert_int_equal(world->result, MODULES_NO_DIRECTORY);
}

static void test_built_in(void **state)
{
	struct world *world = *state;

	/* It may be all there is. */
	put_text("modules.builtin", "kernel/drivers/a-a.ko\nkernel/b.ko\n");
	packs(world, "a_a b", "");
	refuses(world, "c", "neither in '.' nor built in");
	put_module("kernel/b.ko", "missing");
	put_module("kernel/c.ko", "a_a,b");
	packs(world, "c a_a", "000-c.ko ");
	put_text("modules.dep", "kernel/c.ko: kernel/b.ko kernel/drivers/a-a.ko\n");
	packs(world, "c b", "000-c.ko ");
}

static void test_missing(void **state)
{
	struct world *world = *state;

	put_module("kernel/a.ko", "b");
	put_module("kernel/b.ko", "c-c");
	refuses(world, "virtio_pci",
		"the kernel module 'virtio_pci', which the guest needs, is "
		"neither in '.' nor built in; --modules DIR");
	refuses(world, "a", "the kernel module 'c_c', which b needs, is neither in '.'");
	put_text("modules.dep", "kernel/a.ko: kernel/gone.ko\nkernel/gone.ko:\nkernel/b.txt:\n");
	refuses(world, "a", "cannot use the module './kernel/gone.ko': No such file");
	refuses(world, "b.txt", "doesn't end like a module's");
}

/* Of modules that need each other, or themselves, no order is right, and each comes once. */
static void test_loops(void **state)
{
	struct world *world = *state;

	put_module("kernel/a.ko", "b");
	put_module("kernel/b.ko", "c,b");
	put_module("kernel/c.ko", "a");
	packs(world, "a", "000-c.ko 001-b.ko 002-a.ko ");
	put_text("modules.dep", "kernel/a.ko: kernel/b.ko\nkernel/b.ko: kernel/a.ko\n");
	packs(world, "a", "000-b.ko 001-a.ko ");
}

/* A chain as long as is taken, and one longer. */
static void test_too_many(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < 257; i++) {
		char path[32], depends[32];

		snprintf(path, sizeof(path), "kernel/m%u.ko", i);
		snprintf(depends, sizeof(depends), "m%u", i + 1);
		put_module(path, i < 256 ? depends : "");
	}
	refuses(world, "m0", "more than 256");
	pack(world, "m1");
	must(world->result);
	assert_says(world->names, "000-m256.ko 001-m255.ko ");
	assert_says(world->names, "254-m2.ko 255-m1.ko ");
}

static void compress(const char *tool, const char *path)
{
	char command[128];

	snprintf(command, sizeof(command), "%s -q %s %s", tool,
		 strcmp(tool, "zstd") == 0 ? "--rm" : "", path);
	must(system(command));
}

/* Unpacked by the host's tool, with a modules.dep and without. */
static void unpacks(struct world *world, const char *tool, const char *suffix)
{
	/* Long runs of zeroes, which a tool might leave out of a file. */
	static u8 large[1 << 20];
	char text[128];

	fill_pattern(large + (1 << 18), 5000, 3);
	put_module("kernel/a.ko", "b");
	put_file("kernel/b.ko", large, sizeof(large));
	compress(tool, "kernel/a.ko");
	compress(tool, "kernel/b.ko");
	refuses(world, "a", "b.ko"); /* which is no module, and that can be seen */
	assert_says(world->err.text, "no 64-bit ELF file");
	snprintf(text, sizeof(text), "kernel/a.ko%s: kernel/b.ko%s\nkernel/b.ko%s:\n", suffix,
		 suffix, suffix);
	put_text("modules.dep", text);
	packs(world, "a", "000-b.ko 001-a.ko ");
	has_packed(world, "/000-b.ko", large, sizeof(large));
	must(unlink("modules.dep"));
	put_module("kernel/b.ko", "");
	snprintf(text, sizeof(text), "kernel/b.ko%s", suffix);
	must(unlink(text));
	compress(tool, "kernel/b.ko");
	packs(world, "a", "000-b.ko 001-a.ko ");
	put_text(text, "nonsense");
	refuses(world, "a", "b.ko");
	snprintf(text, sizeof(text), "'%s -dc' can't unpack it", tool);
	assert_says(world->err.text, text);
}

static void test_gzip(void **state)
{
	unpacks(*state, "gzip", ".gz");
}

static void test_xz(void **state)
{
	if (!has("xz"))
		SKIP("xz is not installed");
	unpacks(*state, "xz", ".xz");
}

static void test_zstd(void **state)
{
	if (!has("zstd"))
		SKIP("zstd is not installed");
	unpacks(*state, "zstd", ".zst");
}

/* A file of the host's that says it is small. */
static void test_what_unpacks_to_too_much(void **state)
{
	struct world *world = *state;

	put_text("modules.dep", "kernel/a.ko.gz:\n");
	must(mkdir("kernel", 0755));
	must(system("head -c 257M /dev/zero | gzip -1 >kernel/a.ko.gz"));
	refuses(world, "a", "'gzip -dc' can't unpack it");
}

static void test_what_is_too_large(void **state)
{
	struct world *world = *state;

	put_text("modules.dep", "a.ko:\nb.ko:\n");
	put_text("a.ko", "");
	put_text("b.ko", "");
	refuses(world, "a", "empty");
	must(truncate("a.ko", 257 << 20));
	refuses(world, "a", "too large");
	/* All of them together. */
	must(truncate("a.ko", 200 << 20));
	must(truncate("b.ko", 100 << 20));
	refuses(world, "a b", "'./b.ko': it is too large");
}

/* The guest may have what the host lacks; the host must know what to send. */
static void test_without_the_tool(void **state)
{
	struct world *world = *state;
	char *path = strdup(getenv("PATH"));

	put_text("modules.dep", "kernel/a.ko.xz: kernel/b.ko.gz\nkernel/b.ko.gz:\n");
	put_text("kernel/a.ko.xz", "A");
	put_text("kernel/b.ko.gz", "B");
	must(setenv("PATH", "/nowhere", 1));
	packs(world, "a", "000-b.ko.gz 001-a.ko.xz ");
	has_packed(world, "/001-a.ko.xz", "A", 1);
	must(unlink("modules.dep"));
	refuses(world, "a", "kernel/a.ko.xz': what it depends on can't be read, as xz isn't");
	refuses(world, "b", "as gzip isn't installed");
	must(setenv("PATH", path, 1));
	free(path);
}

/* Whatever the tree leads to outside of it isn't for the guest. */
static void test_links(void **state)
{
	struct world *world = *state;

	put_module("out.ko", "");
	put_module("out/side.ko", "");
	put_module("in/kernel/inner.ko", "");
	must(symlink("../../out.ko", "in/kernel/out.ko"));
	must(symlink("../../out", "in/kernel/out"));
	must(symlink(".", "in/kernel/loop"));
	must(symlink("inner.ko", "in/kernel/alias.ko"));
	world->request.directory = "in";
	refuses(world, "out", "in/kernel/out.ko': it is outside of it");
	refuses(world, "side", "neither in 'in' nor built in");
	packs(world, "inner alias", "000-inner.ko 001-alias.ko ");
	put_text("in/modules.dep", "kernel/out.ko:\n../out.ko:\nkernel/out/side.ko:\n"
				   "/etc/passwd.ko:\n");
	refuses(world, "out", "it is outside of it");
	refuses(world, "side", "it is outside of it");
	refuses(world, "passwd", "it is outside of it");
	put_text("in/modules.dep", "../out.ko:\n");
	refuses(world, "out", "'in/../out.ko': it is outside of it");
}

/* The alarm ends the test program if it waits. */
static void test_what_is_no_file(void **state)
{
	struct world *world = *state;

	must(mkdir("kernel", 0755));
	must(mkfifo("kernel/fifo.ko", 0644));
	must(mkdir("kernel/directory.ko", 0755));
	alarm(20);
	refuses(world, "fifo", "a FIFO");
	refuses(world, "directory", "a directory");
	alarm(0);
}

/* They are no module's, and hide none. */
static void test_odd_names(void **state)
{
	struct world *world = *state;
	char longest[256];

	memset(longest, 'n', sizeof(longest));
	memcpy(longest, "kernel/", 7);
	memcpy(longest + 200, ".ko", 4);
	put_module(longest, "");
	put_module("kernel/a b.ko", "");
	put_module("kernel/x:y.ko", "");
	put_module("kernel/x\ny.ko", "");
	put_module("kernel/x,y.ko", "");
	put_module("kernel/s p/z.ko", "");
	put_module("kernel/.hidden.ko", "");
	put_module("kernel/.ko", "");
	put_module("kernel/c.kobject", "");
	put_module("kernel/c.ko.lz4", "");
	put_module("kernel/\xc3\xa4\x01%s.ko", "");
	refuses(world, "b", "neither in");
	refuses(world, "y", "neither in");
	refuses(world, "x", "neither in");
	refuses(world, "z", "neither in");
	refuses(world, "c", "neither in");
	refuses(world, ".hidden", "neither in");
	refuses(world, "", "neither in");
	packs(world, "\xc3\xa4\x01%s", "000-\xc3\xa4\x01%s.ko ");
	put_text("modules.dep", "\n\n:\n : :\nkernel/a b.ko: ,,: \nx");
	refuses(world, "a", "a': its name doesn't end");
	refuses(world, "x", "doesn't end");
	put_file("modules.dep", "kernel/c.ko:\0\nkernel/d.ko:", 26);
	refuses(world, "d", "neither in");
}

/* Deeper than a path may be long: what lies above is found. */
static void test_a_deep_tree(void **state)
{
	struct world *world = *state;

	put_module("kernel/a.ko", "");
	must(system("d=kernel; for i in 1 2 3 4 5 6 7 8 9; do d=$d/$(printf %099d $i); done; "
		    "mkdir -p $d && cp kernel/a.ko $d/deep.ko"));
	packs(world, "a", "000-a.ko ");
	refuses(world, "deep", "neither in");
	/* A path of 512 bytes, and one that is the same in its first 511. */
	must(system("d=kernel; for i in 1 2 3 4 5; do d=$d/$(printf %099d $i); done; "
		    "while [ ${#d} -lt 508 ]; do d=${d}x; done; "
		    "mkdir -p $d/aa/b $d/aab/b && cp kernel/a.ko $d/aa/b.ko"));
	packs(world, "a", "000-a.ko ");
}

/* Debian's modules, in a package that was never installed: what a guest's devices need. */
static void test_stock_modules(void **state)
{
	static const char wanted[] =
		"virtio_pci virtio-console virtio_blk virtio_net virtio_rng overlay";
	struct world *world = *state;
	char path[512], release[64];
	size_t at = 0, count;
	const char *name, *bytes;
	FILE *file;

	must(fchdir(home));
	file = fopen("build/kernels/cloud/version", "r");
	if (!file)
		SKIP("build/kernels/cloud isn't there: tools/kernels cloud");
	assert_int_equal(fscanf(file, "%63s", release), 1);
	fclose(file);
	world->request.release = release;
	world->request.directory = "build/kernels/cloud/root";
	pack(world, wanted);
	must(world->result);
	assert_says(world->names, "-virtio_pci.ko ");
	/* Each behind all that it says it needs. */
	while ((name = next_entry(&world->archive, &at, &bytes, &count))) {
		const char *const place = strstr(world->names, name + strlen(".bantam/modules/"));
		const char *depends;
		char *rest, *word;

		if (count == 0)
			continue;
		must(modules_depends(bytes, count, &depends, &world->err));
		snprintf(path, sizeof(path), "%s", depends);
		for (rest = path; (word = strsep(&rest, ",")) && word[0];) {
			char entry[80];
			const char *before;

			snprintf(entry, sizeof(entry), "-%s.ko ", word);
			before = strstr(world->names, entry);
			assert_non_null(before);
			assert_true(before < place);
		}
	}
	world->request.directory = "build/kernels/cloud/modules";
	pack(world, wanted);
	must(world->result);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_modules_dep),
		TEST(test_without_modules_dep),
		TEST(test_where_it_is_looked_for),
		TEST(test_no_directory_of_the_host),
		TEST(test_built_in),
		TEST(test_missing),
		TEST(test_loops),
		TEST(test_too_many),
		TEST(test_gzip),
		TEST(test_xz),
		TEST(test_zstd),
		TEST(test_what_unpacks_to_too_much),
		TEST(test_what_is_too_large),
		TEST(test_without_the_tool),
		TEST(test_links),
		TEST(test_what_is_no_file),
		TEST(test_odd_names),
		TEST(test_a_deep_tree),
		TEST(test_stock_modules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
