/*
 * vmm/disk_option.c: the value of --disk.
 */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "vmm/disk_option.h"
#include "vmm/options.h"

static struct disk_config taken(const char *value)
{
	struct disk_config disk;
	struct error err;

	if (disk_option_parse(&disk, value, &err))
		fail_msg("'%s' is refused: %s", value, err.text);
	return disk;
}

static void test_words(void **state)
{
	static const struct {
		const char *value, *path, *serial;
		bool read_only, ephemeral, direct;
		unsigned queues;
	} table[] = {
		{"a.img", "a.img", "", false, false, false, 1},
		{"a.img,ro", "a.img", "", true, false, false, 1},
		{"a.img,ephemeral", "a.img", "", false, true, false, 1},
		{"a.img,direct,ro", "a.img", "", true, false, true, 1},
		{"/dev/x,serial=12345678901234567890", "/dev/x", "12345678901234567890", false,
		 false, false, 1},
		{"a,queues=16,serial=", "a", "", false, false, false, 16},
		{"a,,b,,,ro", "a,b,", "", true, false, false, 1},
		{",,", ",", "", false, false, false, 1},
		{"ro", "ro", "", false, false, false, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct disk_config disk = taken(table[i].value);

		assert_string_equal(disk.path, table[i].path);
		assert_string_equal(disk.serial, table[i].serial);
		assert_int_equal(disk.read_only, table[i].read_only);
		assert_int_equal(disk.ephemeral, table[i].ephemeral);
		assert_int_equal(disk.direct, table[i].direct);
		assert_int_equal(disk.queues, table[i].queues);
		assert_false(limit_is_set(&disk.limit));
		free((void *)(uintptr_t)disk.path);
	}
}

static void test_rates(void **state)
{
	static const struct {
		const char *value;
		u64 iops, bps;
	} table[] = {
		{"a,iops=1,bps=1024", 1, 1024},
		{"a,iops=3k,bps=10M", 3072, 10 * MIB},
		{"a,bps=2G", 0, 2 * GIB},
		{"a,iops=4194304T", (u64)1 << 62, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct disk_config disk = taken(table[i].value);

		assert_int_equal(disk.limit.requests.rate, table[i].iops);
		assert_int_equal(disk.limit.bytes.rate, table[i].bps);
		free((void *)(uintptr_t)disk.path);
	}
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *value, *words;
	} table[] = {
		{"", "no file is named"},
		{",ro", "no file is named"},
		{"a,", "'' is not known"},
		{"a,ro,,direct", "'' is not known"},
		{"a,rw", "'rw' is not known; there are ro, ephemeral, direct"},
		{"a,RO", "'RO' is not known"},
		{"a,ro=1", "'ro=1' is not known"},
		{"a,queues=0", "1 to 16"},
		{"a,queues=17", "1 to 16"},
		{"a,queues=-1", "1 to 16"},
		{"a,queues=", "1 to 16"},
		{"a,queues=99999999999999999999", "1 to 16"},
		{"a,serial=123456789012345678901", "longer than 20 bytes"},
		{"a,iops=0", "iops=0: it is a number a second, 1 at least"},
		{"a,iops=-1", "1 at least"},
		{"a,iops=", "1 at least"},
		{"a,iops=1x", "1 at least"},
		{"a,bps=1023", "1024 at least"},
		{"a,bps=8388608T", "1024 at least"},
		{"a,bps=99999999999999999999", "1024 at least"},
		{"a,ro,ephemeral", "choose one"},
		{"a,0123456789012345678901234567890123456789012345678901234567890123456789",
		 "is not known"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct disk_config disk;
		struct error err = {.text = ""};

		if (disk_option_parse(&disk, table[i].value, &err) == 0)
			fail_msg("'%s' is taken", table[i].value);
		assert_says(err.text, table[i].words);
		free((void *)(uintptr_t)disk.path);
	}
}

/* All disks of a command line, in order, and one too many. */
static void test_many(void **state)
{
	char *argv[2 * (DISKS_MAX + 1) + 1];
	char option[] = "--disk", file[] = "a,ro", kernel[] = "kernel";
	struct config config;
	struct error err;
	int argc = 0;

	(void)state;
	for (int i = 0; i < DISKS_MAX; i++) {
		argv[argc++] = option;
		argv[argc++] = file;
	}
	argv[argc++] = kernel;
	assert_int_equal(options_parse(&config, argc, argv, &err), OPTIONS_RUN);
	assert_int_equal(config.disks, DISKS_MAX);
	assert_true(config.disk[DISKS_MAX - 1].read_only);
	options_free(&config);
	assert_int_equal(config.disks, 0);
	argv[argc - 1] = option;
	argv[argc++] = file;
	assert_int_equal(options_parse(&config, argc, argv, &err), OPTIONS_WRONG);
	assert_says(err.text, "more than 30 times");
	options_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
