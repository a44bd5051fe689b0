/*
 * boot/unpack.c and boot/image_cache.c: kernels that are unpacked by the host's gzip, or by scripts in
 * place of the other tools; what of them is kept, found again, trusted and removed.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "boot/image_cache.h"
#include "boot/unpack.h"
#include "tests/unit/packed_kernel.h"

/* What a script in the place of a tool does: it leaves away the magic bytes, which are padded to six. */
#define STRIPS "[ \"$1\" = -dc ] && exec tail -c +7\n"

struct world {
	char directory[32], path[4096]; /* everything is in it; what PATH was */
	struct unpacked_kernel kernel;
	struct temp_file file;
	struct error err;
};

static void must(int result)
{
	assert_int_equal(result, 0);
}

static int set_up(void **state)
{
	static struct world world;
	char path[64];

	world = (struct world){.directory = "/tmp/bantam-test-XXXXXX"};
	snprintf(world.path, sizeof(world.path), "%s", getenv("PATH"));
	temp_file_make(&world.file, "x", 1);
	unpacked_kernel_make(&world.kernel);
	*state = &world;
	if (!mkdtemp(world.directory))
		return -1;
	snprintf(path, sizeof(path), "%s/above", world.directory);
	setenv("XDG_CACHE_HOME", path, 1);
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	char command[64];

	setenv("PATH", world->path, 1);
	temp_file_free(&world->file);
	snprintf(command, sizeof(command), "rm -r %s", world->directory);
	return system(command);
}

/* Where this is in the world's directory, until the next call. */
static const char *in(const struct world *world, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", world->directory, name);
	return path;
}

/* From here on there are no tools but this one, if any: a script. */
static void only_tool(const struct world *world, const char *name, const char *script)
{
	char path[300];
	FILE *file;

	if (script) {
		mkdir(in(world, "bin"), 0755);
		snprintf(path, sizeof(path), "%s/%s", in(world, "bin"), name);
		file = fopen(path, "w");
		assert_non_null(file);
		fprintf(file, "#!/bin/sh\nPATH='%s'\n%s", world->path, script);
		must(fclose(file));
		must(chmod(path, 0755));
	}
	setenv("PATH", in(world, "bin"), 1);
}

/* Makes a bzImage of the kernel, behind these six bytes. */
static void pack_behind(struct world *world, const char *magic)
{
	u8 payload[6 + sizeof(world->kernel)], file[PACKED_MAX_BYTES];

	memcpy(payload, magic, 6);
	memcpy(payload + 6, &world->kernel, sizeof(world->kernel));
	temp_file_set(&world->file, file,
		      packed_kernel_make(file, payload, sizeof(payload), sizeof(world->kernel)));
}

/* Makes one as the kernel's build does it with gzip, whose own last word is the length. */
static void pack_by_gzip(struct world *world)
{
	u8 payload[PACKED_MAX_BYTES / 2], file[PACKED_MAX_BYTES];
	char command[128];
	size_t count;
	FILE *pipe;

	pipe = fopen(in(world, "kernel"), "w");
	assert_non_null(pipe);
	assert_int_equal(fwrite(&world->kernel, sizeof(world->kernel), 1, pipe), 1);
	must(fclose(pipe));
	snprintf(command, sizeof(command), "gzip -n9c '%s'", in(world, "kernel"));
	pipe = popen(command, "r");
	assert_non_null(pipe);
	count = fread(payload, 1, sizeof(payload), pipe);
	must(pclose(pipe));
	temp_file_set(&world->file, file,
		      packed_kernel_make(file, payload, count - 4, sizeof(world->kernel)));
}

static int unpack(struct world *world, enum unpack_mode mode)
{
	world->err = (struct error){.text = ""};
	return unpack_kernel(world->file.path, mode, &world->err);
}

/* It is unpacked, or found. */
static void unpacks(struct world *world, enum unpack_mode mode)
{
	struct unpacked_kernel found;
	const int fd = unpack(world, mode);

	if (fd <= 0)
		fail_msg("%d: %s", fd, world->err.text);
	assert_int_equal(pread(fd, &found, sizeof(found), 0), sizeof(found));
	assert_memory_equal(&found, &world->kernel, sizeof(found));
	close(fd);
}

static void refused(struct world *world, enum unpack_mode mode, const char *words)
{
	assert_int_equal(unpack(world, mode), -1);
	assert_says(world->err.text, words);
}

/* How many files the cache has; the name of the last one, if it is asked for. */
static unsigned kept(const struct world *world, char name[300])
{
	DIR *const directory = opendir(in(world, "above/bantam"));
	const struct dirent *entry;
	unsigned files = 0;

	while (directory && (entry = readdir(directory))) {
		files += entry->d_name[0] != '.';
		if (name && entry->d_name[0] != '.')
			snprintf(name, 300, "%s/above/bantam/%.64s", world->directory,
				 entry->d_name);
	}
	if (directory)
		closedir(directory);
	return files;
}

static void test_once_for_all_starts(void **state)
{
	struct world *world = *state;
	struct stat status;
	char name[300];

	pack_by_gzip(world);
	unpacks(world, UNPACK_AUTO);
	assert_int_equal(kept(world, name), 1);
	must(stat(name, &status));
	assert_int_equal(status.st_mode & 07777, 0600);
	must(stat(in(world, "above/bantam"), &status));
	assert_int_equal(status.st_mode & 07777, 0700);
	only_tool(world, NULL, NULL);
	unpacks(world, UNPACK_AUTO);
	unpacks(world, UNPACK_ON);
	assert_int_equal(kept(world, NULL), 1);
}

static void test_each_format_has_its_tool(void **state)
{
	static const struct {
		const char *tool, *magic;
	} formats[] = {
		{"xz", "\3757zXZ"}, {"zstd", "\x28\xb5\x2f\xfd-"}, {"lz4", "\x02\x21\x4c\x18-"},
		{"bzip2", "BZh--"}, {"lzop", "\x89LZO-"},          {"xz", "\x5d\0\0--"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		char command[64];

		pack_behind(world, formats[i].magic);
		only_tool(world, formats[i].tool, STRIPS);
		unpacks(world, UNPACK_ON);
		assert_int_equal(kept(world, NULL), 1); /* their names are one */
		setenv("PATH", world->path, 1);
		snprintf(command, sizeof(command), "rm -r %s", in(world, "bin"));
		must(system(command));
	}
}

static void test_why_it_is_left_to_the_guest(void **state)
{
	static const struct {
		const char *script, *words;
	} scripts[] = {
		{NULL, "the program lz4 is not installed"},
		{"exit 1\n", "'lz4 -dc' can't unpack it"},
		{"tail -c +7; exit 1\n", "'lz4 -dc' can't unpack it"},
		{"cat /dev/zero\n", "'lz4 -dc' can't unpack it"},
		{"tail -c +8\n", "shorter than it says"},
		{"tail -c +7 | tr E e\n", "not a bzImage or an ELF kernel"},
	};
	struct world *world = *state;

	pack_behind(world, "\x02\x21\x4c\x18-");
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		only_tool(world, "lz4", scripts[i].script);
		refused(world, UNPACK_ON, scripts[i].words);
		assert_int_equal(kept(world, NULL), 0);
	}
	only_tool(world, "lz4", STRIPS);
	world->kernel.table[0] = 1;
	pack_behind(world, "\x02\x21\x4c\x18-");
	refused(world, UNPACK_ON, "relocations is of an unknown kind");
	pack_behind(world, "\x01\x21\x4c\x18-");
	refused(world, UNPACK_ON, "compressed in an unknown way");
	temp_file_set(&world->file, "no kernel", 9);
	refused(world, UNPACK_ON, "not a bzImage or an ELF kernel");
	assert_int_equal(kept(world, NULL), 0);
	temp_file_set(&world->file, &world->kernel, sizeof(world->kernel));
	assert_int_equal(unpack(world, UNPACK_ON), 0); /* nothing is packed */
}

/* A header that lies. */
static void test_payloads_that_are_broken(void **state)
{
	static const struct {
		u32 offset, bytes;
		const char *words;
	} headers[] = {
		{0x2cc, 0, "doesn't tell"},       {0x2cc, 9, "its payload is broken"},
		{0x2cc, 0xffffffff, "truncated"}, {0xffffffff, 100, "truncated"},
		{0, 20, "unknown way"},
	};
	struct world *world = *state;
	u8 file[PACKED_MAX_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		const size_t count = packed_kernel_make(file, "BZh4567890", 10, 1000);
		struct setup_header *const hdr = &((union bzimage *)(void *)file)->setup.hdr;

		hdr->payload_offset = headers[i].offset;
		hdr->payload_length = headers[i].bytes;
		temp_file_set(&world->file, file, count);
		refused(world, UNPACK_ON, headers[i].words);
	}
	temp_file_set(&world->file, file,
		      packed_kernel_make(file, "BZh4567890", 10, (u32)UNPACK_MAX_BYTES + 1));
	refused(world, UNPACK_ON, "its payload is broken");
}

/* What has the same name and another content isn't taken for it. */
static void test_another_kernel_of_the_same_name(void **state)
{
	struct world *world = *state;

	only_tool(world, "lz4", STRIPS);
	pack_behind(world, "\x02\x21\x4c\x18-");
	unpacks(world, UNPACK_AUTO);
	for (size_t at = 0; at < sizeof(world->kernel.elf.text); at += 73) {
		world->kernel.elf.text[at] ^= 1;
		pack_behind(world, "\x02\x21\x4c\x18-");
		unpacks(world, UNPACK_AUTO);
		assert_int_equal(kept(world, NULL), 1);
	}
}

static void test_what_is_not_trusted(void **state)
{
	struct world *world = *state;
	char name[300], other[300];

	only_tool(world, "lz4", STRIPS);
	pack_behind(world, "\x02\x21\x4c\x18-");
	unpacks(world, UNPACK_AUTO);
	assert_int_equal(kept(world, name), 1);
	only_tool(world, "lz4", "exit 1\n");
	unpacks(world, UNPACK_AUTO);
	must(chmod(name, 0620));
	refused(world, UNPACK_AUTO, "can't unpack it");
	must(chmod(name, 0602));
	refused(world, UNPACK_AUTO, "can't unpack it");
	must(chmod(name, 0600));
	unpacks(world, UNPACK_AUTO);
	snprintf(other, sizeof(other), "%s/other", world->directory);
	must(rename(name, other));
	must(symlink(other, name));
	refused(world, UNPACK_AUTO, "can't unpack it");
	must(rename(other, name));
	must(truncate(name, (off_t)sizeof(world->kernel) + 5));
	refused(world, UNPACK_AUTO, "can't unpack it");
	if (geteuid() == 0) {
		must(unlink(name));
		only_tool(world, "lz4", STRIPS);
		unpacks(world, UNPACK_AUTO);
		must(chown(name, 1, 1));
		only_tool(world, "lz4", "exit 1\n");
		refused(world, UNPACK_AUTO, "can't unpack it");
	}
}

/* A tool that sleeps is in no signal's way. */
static void test_a_signal_ends_the_tool(void **state)
{
	struct world *world = *state;
	const struct timespec at_once = {0};
	sigset_t set, before;

	only_tool(world, "lz4", "sleep 1000\n");
	pack_behind(world, "\x02\x21\x4c\x18-");
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	must(sigprocmask(SIG_BLOCK, &set, &before));
	must(raise(SIGTERM));
	refused(world, UNPACK_AUTO, "can't unpack it");
	assert_int_equal(sigtimedwait(&set, NULL, &at_once), SIGTERM);
	must(sigprocmask(SIG_SETMASK, &before, NULL));
}

/* Without a cache of one's own it is left to the guest, if the user doesn't insist. */
static void test_no_cache(void **state)
{
	struct world *world = *state;

	only_tool(world, "lz4", STRIPS);
	pack_behind(world, "\x02\x21\x4c\x18-");
	must(mkdir(in(world, "above"), 0700));
	must(mkdir(in(world, "above/bantam"), 0700));
	must(chmod(in(world, "above/bantam"), 0770));
	refused(world, UNPACK_AUTO, "others may write");
	unpacks(world, UNPACK_ON);
	must(chmod(in(world, "above/bantam"), 0702));
	refused(world, UNPACK_AUTO, "others may write");
	must(rmdir(in(world, "above/bantam")));
	must(symlink("/tmp", in(world, "above/bantam")));
	refused(world, UNPACK_AUTO, "cannot keep it in");
	unsetenv("XDG_CACHE_HOME");
	setenv("HOME", "relative", 1);
	refused(world, UNPACK_AUTO, "HOME is not this user's");
	unpacks(world, UNPACK_ON);
	setenv("XDG_CACHE_HOME", "relative", 1);
	if (geteuid() == 0) { /* as sudo may leave it */
		must(chown(world->directory, 1, 1));
		setenv("HOME", world->directory, 1);
		refused(world, UNPACK_AUTO, "HOME is not this user's");
		assert_int_equal(access(in(world, ".cache"), F_OK), -1);
		must(chown(world->directory, 0, 0));
	}
	setenv("HOME", world->directory, 1);
	unpacks(world, UNPACK_AUTO);
	must(access(in(world, ".cache/bantam"), X_OK));
}

/* The files that were used last stay. */
static void test_the_oldest_are_removed(void **state)
{
	struct world *world = *state;
	const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	char name[300], path[300];

	pack_behind(world, "\x02\x21\x4c\x18-");
	only_tool(world, "lz4", STRIPS);
	unpacks(world, UNPACK_AUTO);
	assert_int_equal(kept(world, name), 1);
	for (int i = 0; i < IMAGE_CACHE_FILES + 3; i++) {
		struct timespec times[2] = {{.tv_sec = 2000 + i}, {.tv_sec = 2000 + i}};

		snprintf(path, sizeof(path), "%s/above/bantam/%d", world->directory, i);
		close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		must(utimensat(AT_FDCWD, path, times, 0));
	}
	must(utimensat(AT_FDCWD, name, old, 0));
	unpacks(world, UNPACK_AUTO); /* its time is now */
	world->kernel.elf.ehdr.e_shstrndx++;
	memcpy(world->kernel.elf.text + 100, "another", 7);
	must(chmod(name, 0644));
	must(rename(name, in(world, "above/bantam/mine")));
	pack_behind(world, "\x02\x21\x4c\x18-");
	unpacks(world, UNPACK_AUTO);
	assert_int_equal(kept(world, NULL), IMAGE_CACHE_FILES);
	must(access(in(world, "above/bantam/mine"), F_OK));
	must(access(name, F_OK));
	for (int i = 0; i < IMAGE_CACHE_FILES + 3; i++) {
		snprintf(path, sizeof(path), "%s/above/bantam/%d", world->directory, i);
		assert_int_equal(access(path, F_OK) == 0, i >= 5);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* A process with this one's number ended while it wrote: in a container, the one before, say. */
static void test_half_a_file_was_left(void **state)
{
	struct world *world = *state;
	char path[300];

	must(mkdir(in(world, "above"), 0700));
	must(mkdir(in(world, "above/bantam"), 0700));
	snprintf(path, sizeof(path), "%s/above/bantam/new-%d", world->directory, getpid());
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	pack_behind(world, "\x02\x21\x4c\x18-");
	only_tool(world, "lz4", STRIPS);
	unpacks(world, UNPACK_AUTO);
	assert_int_equal(kept(world, NULL), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_once_for_all_starts),
		TEST(test_each_format_has_its_tool),
		TEST(test_why_it_is_left_to_the_guest),
		TEST(test_payloads_that_are_broken),
		TEST(test_another_kernel_of_the_same_name),
		TEST(test_what_is_not_trusted),
		TEST(test_a_signal_ends_the_tool),
		TEST(test_no_cache),
		TEST(test_the_oldest_are_removed),
		TEST(test_half_a_file_was_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
