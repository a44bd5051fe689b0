/*
 * vmm/options.c: tables of command lines and what becomes of them, the config or the words of the
 * error. The help text is compared with the table that it is made from by way of its options.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/options.h"

enum { ARGUMENTS_MAX = 80 };

/* Splits line at spaces (there is no quoting; '~' stands for an empty argument) and parses it. */
static enum options_outcome parse(const char *line, struct config *config, struct error *err)
{
	static char buffer[4096];
	char *argv[ARGUMENTS_MAX + 1];
	int argc = 0;

	snprintf(buffer, sizeof(buffer), "%s", line);
	err->text[0] = '\0';
	for (char *word = strtok(buffer, " "); word; word = strtok(NULL, " ")) {
		assert_true(argc < ARGUMENTS_MAX);
		argv[argc++] = strcmp(word, "~") == 0 ? word + 1 : word;
	}
	argv[argc] = NULL;
	return options_parse(config, argc, argv, err);
}

static struct config good(const char *line)
{
	struct config config;
	struct error err;

	if (parse(line, &config, &err) != OPTIONS_RUN)
		fail_msg("'%s' is refused: %s", line, err.text);
	return config;
}

static void bad(const char *line, const char *words)
{
	struct config config;
	struct error err;

	if (parse(line, &config, &err) != OPTIONS_WRONG)
		fail_msg("'%s' is taken", line);
	if (!strstr(err.text, words) || err.text[0] == '\0')
		fail_msg("'%s': \"%s\" doesn't say \"%s\"", line, err.text, words);
	assert_null(strchr(err.text, '\n'));
	options_free(&config);
}

static void test_defaults(void **state)
{
	const struct config config = good("vmlinuz");

	(void)state;
	assert_string_equal(config.kernel, "vmlinuz");
	assert_null(config.initrd);
	assert_string_equal(config.cmdline, "console=ttyS0");
	assert_int_equal(config.appends, 0);
	assert_int_equal(config.memory_bytes, 256 * MIB);
	assert_int_equal(config.cpus, 1);
	assert_int_equal(config.protocol, BOOT_AUTO);
	assert_int_equal(config.console, CONSOLE_STDIO);
}

/* One line, three spellings: all of them mean the same. */
static void test_spellings(void **state)
{
	static const char *const lines[] = {
		"k --initrd i --memory 512M --cpus 2 --append a --console off",
		"--initrd=i --memory=512M --cpus=2 --append=a --console=off k",
		"-initrd i -m 512M -c 2 -a a k --console off",
		"-kernel k -initrd i -m512M -smp 2 -append a --console off",
		"-m512 -c2 -a a --initrd i --console off k",
		"-kernel k -m 524288K -smp cpus=2 -append a --initrd i --console=off",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		const struct config config = good(lines[i]);

		assert_string_equal(config.kernel, "k");
		assert_string_equal(config.initrd, "i");
		assert_int_equal(config.memory_bytes, 512 * MIB);
		assert_int_equal(config.cpus, 2);
		assert_int_equal(config.appends, 1);
		assert_string_equal(config.append[0], "a");
		assert_int_equal(config.console, CONSOLE_OFF);
	}
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		u64 bytes;
	} sizes[] = {
		{"0", 0},
		{"1", MIB},
		{"512", 512 * MIB},
		{"64K", 64 * KIB},
		{"64k", 64 * KIB},
		{"3M", 3 * MIB},
		{"3m", 3 * MIB},
		{"4G", 4 * GIB},
		{"4g", 4 * GIB},
		{"2T", 2048 * GIB},
		{"2t", 2048 * GIB},
		{"007", 7 * MIB},
		{"010", 10 * MIB}, /* decimal, as everywhere on a command line */
		{"17592186044415", 17592186044415 * MIB},
		{"18014398509481983K", 18014398509481983 * KIB},
		{"16777215T", (u64)16777215 << 40},
	};
	static const char *const wrong[] = {
		"",
		"K",
		"M",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1.5G",
		"1B",
		"1Q",
		"1MB",
		"1GiB",
		"0x10",
		"1e3",
		"G1",
		"one",
		"1,",
		"1KK",
		"17592186044416",
		"18014398509481984K",
		"16777216T",
		"17179869184G",
		"18446744073709551616",
		"99999999999999999999999999K",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		u64 bytes = 1;

		if (!options_size(sizes[i].text, &bytes))
			fail_msg("'%s' is no size", sizes[i].text);
		assert_int_equal(bytes, sizes[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		u64 bytes = 1;

		if (options_size(wrong[i], &bytes))
			fail_msg("'%s' is taken for a size", wrong[i]);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		u64 ns;
	} times[] = {
		{"0", 0},
		{"90", 90000000000},
		{"500ms", 500000000},
		{"1s", 1000000000},
		{"10m", 600000000000},
		{"2h", 7200000000000},
		{"007s", 7000000000},
		{"9223372036", 9223372036000000000},
		{"2562047h", 9223369200000000000},
	};
	static const char *const wrong[] = {
		"",
		"s",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1.5s",
		"1S",
		"1sec",
		"1us",
		"1ns",
		"1d",
		"9223372037",
		"2562048h",
		"5124096h",
		"1ms2",
		"0x10",
		"m1",
		"1 s",
		"1hm",
		"18446744073709551616",
		"99999999999999999999999ms",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		u64 ns = 1;

		if (!options_duration(times[i].text, &ns))
			fail_msg("'%s' is no time", times[i].text);
		assert_int_equal(ns, times[i].ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		u64 ns = 1;

		if (options_duration(wrong[i], &ns))
			fail_msg("'%s' is taken for a time", wrong[i]);
	}
	assert_int_equal(good("k --timeout 90s --stop-timeout=500ms").timeout_ns, 90000000000);
	assert_int_equal(good("k --timeout 90s --stop-timeout=500ms").stop_timeout_ns, 500000000);
	bad("k --timeout 1.5h", "--timeout '1.5h' is not a time");
	bad("k --stop-timeout ~", "--stop-timeout '' is not a time");
}

/* Options with a choice of words, and --dry-run, whose word may be left out. */
static void test_choices(void **state)
{
	(void)state;
	assert_int_equal(good("k").dry_run, DRY_RUN_NO);
	assert_int_equal(good("k --dry-run").dry_run, DRY_RUN_TEXT);
	assert_int_equal(good("--dry-run k").dry_run, DRY_RUN_TEXT);
	assert_int_equal(good("k --dry-run=text").dry_run, DRY_RUN_TEXT);
	assert_int_equal(good("k --dry-run=json").dry_run, DRY_RUN_JSON);
	bad("k --dry-run json", "two kernels"); /* behind '=' or not at all */
	assert_false(good("k --on-reset exit").restart);
	assert_true(good("k --on-reset restart").restart);
	bad("k --on-reset reboot", "exit or restart");
	assert_int_equal(good("k").sandbox, SANDBOX_ON);
	assert_int_equal(good("k --sandbox audit").sandbox, SANDBOX_AUDIT);
	assert_int_equal(good("k --sandbox=off").sandbox, SANDBOX_OFF);
	bad("k --sandbox no", "on, audit or off");
	bad("k --run-as nosuch --sandbox off", "for root, and for --sandbox on");
	assert_string_equal(good("k --result r.json").result_path, "r.json");
	assert_string_equal(good("k --dump-acpi d").dump_acpi_path, "d");
	assert_true(good("k --stats --verbose").stats);
	bad("k --stats=yes", "takes no argument");
}

static void test_memory(void **state)
{
	(void)state;
	assert_int_equal(good("k -m 16M").memory_bytes, 16 * MIB);
	assert_int_equal(good("k -m 16388K").memory_bytes, 16 * MIB + 4096);
	assert_int_equal(good("k -m 4096T").memory_bytes, (u64)1 << 52);
	assert_int_equal(good("k -m 1G -m 2G").memory_bytes, 2 * GIB);
	bad("k -m 15M", "16M is the least");
	bad("k -m 0", "16M is the least");
	bad("k -m 16383K", "16M is the least");
	bad("k -m 16386K", "4K");
	bad("k -m 4097T", "more than any processor");
	bad("k -m 1.5G", "'1.5G' is not a size");
	bad("k -m ~", "'' is not a size");
	bad("k --memory=", "'' is not a size");
	bad("k -m -1", "not a size");
	bad("k -m=512M", "unknown option '-m=512M'");
}

static void test_cpus(void **state)
{
	(void)state;
	assert_int_equal(good("k -c 254").cpus, 254);
	assert_int_equal(good("k -smp cpus=4").cpus, 4);
	assert_int_equal(good("k --cpus 007").cpus, 7);
	bad("k -c 0", "1 to 254");
	bad("k -c 255", "1 to 254");
	bad("k -c 4294967297", "1 to 254");
	bad("k -c 18446744073709551617", "1 to 254");
	bad("k -c ~", "1 to 254 are possible");
	bad("k -c two", "1 to 254 are possible");
	bad("k -c 2x", "1 to 254 are possible");
	bad("k -c -1", "1 to 254 are possible");
	bad("k -c +1", "1 to 254 are possible");
	bad("k -c 1.5", "1 to 254 are possible");
	bad("k -smp cpus=", "1 to 254 are possible");
	bad("k -smp 2,sockets=1", "1 to 254 are possible");
}

static void test_protocols_and_consoles(void **state)
{
	(void)state;
	assert_int_equal(good("k --boot-protocol auto").protocol, BOOT_AUTO);
	assert_int_equal(good("k --boot-protocol linux").protocol, BOOT_LINUX);
	assert_int_equal(good("k --boot-protocol=pvh").protocol, BOOT_PVH);
	bad("k --boot-protocol PVH", "auto, linux or pvh");
	bad("k --boot-protocol ~", "auto, linux or pvh");
	assert_int_equal(good("k --console stdio").console, CONSOLE_STDIO);
	assert_int_equal(good("k --console stderr").console, CONSOLE_STDERR);
	assert_int_equal(good("k --console off").console, CONSOLE_OFF);
	assert_int_equal(good("k --console log").console, CONSOLE_FILE);
	assert_string_equal(good("k --console ./off").console_path, "./off");
	assert_int_equal(good("k --console ./off").console, CONSOLE_FILE);
	assert_int_equal(good("k --console log --console off").console, CONSOLE_OFF);
}

static void test_command_lines_for_the_kernel(void **state)
{
	struct config config = good("k --append one -a two -append three --cmdline quiet");

	(void)state;
	assert_string_equal(config.cmdline, "quiet");
	assert_int_equal(config.appends, 3);
	assert_string_equal(config.append[0], "one");
	assert_string_equal(config.append[1], "two");
	assert_string_equal(config.append[2], "three");
	/* An argument is one whatever it looks like; '=' in it is its own. */
	config = good("k --append --memory --append=root=/dev/vda -a -- --cmdline=");
	assert_string_equal(config.append[0], "--memory");
	assert_string_equal(config.append[1], "root=/dev/vda");
	assert_string_equal(config.append[2], "--");
	assert_string_equal(config.cmdline, "");
	assert_int_equal(config.memory_bytes, 256 * MIB);
}

static void test_too_many_appends(void **state)
{
	char line[1024] = "k";
	struct config config;

	(void)state;
	/* -aX, so that each is one argument. */
	for (unsigned i = 0; i < APPENDS_MAX; i++)
		strcat(line, " --append=x");
	config = good(line);
	assert_int_equal(config.appends, APPENDS_MAX);
	strcat(line, " --append=x");
	bad(line, "more than 64 times");
}

static void test_words_that_are_no_options(void **state)
{
	(void)state;
	assert_string_equal(good("-").kernel, "-");
	assert_string_equal(good("./-m").kernel, "./-m");
	bad("-- k --memory 1G", "no kernel");
	bad("k l", "two kernels are given: 'k' and 'l'");
	bad("-kernel k l", "two kernels");
	bad("--", "no kernel");
	bad("", "no kernel");
	bad("--memory 1G", "no kernel");
}

static void test_command(void **state)
{
	struct config config;

	(void)state;
	config = good("k --initrd r -- sh -c x -- --memory");
	assert_int_equal(config.words, 5);
	assert_string_equal(config.command[0], "sh");
	assert_string_equal(config.command[4], "--memory");
	assert_int_equal(config.memory_bytes, 256 * MIB);
	assert_int_equal(config.console, CONSOLE_OFF);
	assert_false(config.tty);
	config = good("-it -e A=b -e HOME -w /src -u 1:2 --name n --hostname h --modules m --rm "
		      "--console stderr k --initrd r -- true");
	assert_true(config.tty);
	assert_int_equal(config.envs, 2);
	assert_string_equal(config.env[0], "A=b");
	assert_string_equal(config.env[1], "HOME");
	assert_string_equal(config.dir, "/src");
	assert_string_equal(config.user, "1:2");
	assert_string_equal(config.name, "n");
	assert_string_equal(config.hostname, "h");
	assert_string_equal(config.modules, "m");
	assert_int_equal(config.console, CONSOLE_STDERR);
	assert_false(good("-i k --initrd r -- true").tty);
	assert_true(good("-i -t k --initrd r -- true").tty);
	assert_null(good("k").command);
	bad("k --initrd r --", "no COMMAND");
	bad("k ls", "a COMMAND goes behind '--'");
	bad("k --initrd r -w src -- true", "--workdir 'src': it is an absolute path");
	bad("k -- true", "needs one root directory");
	bad("k --initrd r --rootfs / -- true", "needs one root directory");
	bad("k --initrd r --on-reset restart -- true", "--on-reset restart");
	bad("k --initrd r --console stdio -- true", "--console stdio");
	bad("k -e A=b", "for a COMMAND");
	bad("k -t", "for a COMMAND");
	bad("k -w /", "for a COMMAND");
	bad("k --initrd r -e =b -- true", "--env '=b'");
	bad("k --initrd r --name a/b -- true", "--name 'a/b'");
	bad("k -d", "put '&' behind it");
	bad("k --entrypoint sh", "behind '--'");
	bad("k --detach", "put '&' behind it");
}

static void test_shares(void **state)
{
	struct config config;

	(void)state;
	config = good("k --rootfs / -v /a:/b -v c:/d:ro,cache=none --expose-home -- true");
	assert_string_equal(config.root.host, "/");
	assert_false(config.root.write_through);
	assert_int_equal(config.memory_bytes, GIB);
	assert_int_equal(config.volumes, 2);
	assert_string_equal(config.volume[0].host, "/a");
	assert_string_equal(config.volume[0].guest, "/b");
	assert_false(config.volume[0].read_only);
	assert_string_equal(config.volume[1].host, "c");
	assert_true(config.volume[1].read_only);
	assert_int_equal(config.volume[1].cache, FUSE_CACHE_NONE);
	assert_true(config.expose_home);
	options_free(&config);
	config = good("k --rootfs /usr,rw -- true");
	assert_true(config.root.write_through);
	options_free(&config);
	config = good("k --rootfs /usr,ro -m 64M -- true");
	assert_true(config.root.read_only);
	options_free(&config);
	config = good("k --rootfs / -m 64M -- true");
	assert_int_equal(config.memory_bytes, 64 * MIB);
	options_free(&config);
	bad("k --rootfs /x,maybe -- true", "--rootfs '/x,maybe'");
	bad("k --rootfs /missing/x -- true", "--rootfs '/missing/x': No such file");
	bad("k --rootfs / --rootfs / -- true", "twice");
	bad("k --rootfs / -v /a -- true", "HOST:GUEST");
	bad("k --rootfs / -v /a:b -- true", "absolute");
	bad("k --rootfs / -v /a:/ -- true", "absolute");
	bad("k --rootfs / -v /a://./ -- true", "absolute");
	bad("k --rootfs / -v /a:/b/.. -- true", "without '..'");
	bad("k --rootfs / -v /a:/../b -- true", "without '..'");
	config = good("k --rootfs / -v /a:/./..b//.c/. -v b:/...//d/ -- true");
	assert_string_equal(config.volume[0].guest, "/..b/.c");
	assert_string_equal(config.volume[1].guest, "/.../d");
	options_free(&config);
	bad("k --rootfs / -v :/b -- true", "HOST:GUEST");
	bad("k --rootfs / -v /a:/b:z -- true", "cache=auto");
	bad("k --rootfs / -v /a:/b -v /c:/b -- true", "two of them are for '/b'");
	bad("k --rootfs / -v /a:/b -v /c:/b/ -- true", "two of them are for '/b'");
	bad("k --rootfs / -v /a:/b//c -v /c:/b/c -- true", "two of them are for '/b/c'");
	bad("k --rootfs / -v /a:/b/./c -v /c:/./b/c/. -- true", "two of them are for '/b/c'");
	bad("k --rootfs /", "for a COMMAND");
	bad("k -v /a:/b", "for a COMMAND");
}

static void test_console_device(void **state)
{
	(void)state;
	assert_false(good("k").console_virtio);
	assert_string_equal(good("k").cmdline, "console=ttyS0");
	assert_true(good("k --console-device virtio").console_virtio);
	assert_string_equal(good("k --console-device virtio").cmdline, "console=hvc0");
	assert_string_equal(good("k --console-device virtio --cmdline x").cmdline, "x");
	bad("k --console-device vga", "serial or virtio");
}

static void test_missing_and_surplus_arguments(void **state)
{
	static const char *const options[] = {
		"--initrd",  "--append", "-a",      "--cmdline", "--boot-protocol",
		"--memory",  "-m",       "--cpus",  "-c",        "-smp",
		"--console", "-kernel",  "-initrd", "-append"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		char line[64], words[64];

		snprintf(line, sizeof(line), "k %s", options[i]);
		snprintf(words, sizeof(words), "%s needs an argument", options[i]);
		bad(line, words);
	}
	bad("k --dry-run=yes", "--dry-run");
	bad("k --help=me", "--help takes no argument");
}

static void test_networks(void **state)
{
	struct config config = good(
		"k --net user --net tap=t,queues=2 -p 8080:80 --publish=[::1]:5:6/udp -p22:22");

	(void)state;
	assert_int_equal(config.nets, 2);
	assert_int_equal(config.net[1].queues, 2);
	assert_int_equal(config.publishes, 3);
	assert_int_equal(config.publish[2].host, 22);
	assert_true(config.publish[1].udp);
	options_free(&config);
	bad("k -p 80:80", "--publish needs --net user");
	bad("k --net tap=t -p 80:80", "--publish needs --net user");
	bad("k --net user -p 80", "[ADDR:]HOST:GUEST[/udp]");
	bad("k --net usr", "it is user");
}

static void test_unknown_options(void **state)
{
	static const struct {
		const char *option, *words;
	} unknowns[] = {
		{"--memry", "did you mean '--memory'?"},
		{"-V", "unknown option '-V'; see"},
		{"--memroy", "did you mean '--memory'?"},
		{"--cpu", "did you mean '--cpus'?"},
		{"--cpu=2", "did you mean '--cpus'?"},
		{"--intrd", "did you mean '--initrd'?"},
		{"--consol", "did you mean '--console'?"},
		{"--dryrun", "did you mean '--dry-run'?"},
		{"-help", "did you mean '--help'?"},
		{"--apend=x=y", "did you mean '--append'?"},
		{"--boot-protocl", "did you mean '--boot-protocol'?"},
		{"--Memory", "did you mean '--memory'?"},
		{"--nothing-like-this", "see 'bantam run --help'"},
		{"--kernel", "unknown option '--kernel'"}, /* QEMU's word has one dash */
		{"--smp", "unknown option '--smp'"},
		{"-initr", "unknown option '-initr'"},
		{"--m", "unknown option '--m'"},
		{"--=x", "unknown option '--=x'"},
		{"--an-option-of-a-length-that-no-name-has-and-that-no-buffer-may-mind",
		 "see 'bantam run --help'"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(unknowns); i++) {
		char line[200];

		snprintf(line, sizeof(line), "k %s", unknowns[i].option);
		bad(line, unknowns[i].words);
		snprintf(line, sizeof(line), "%s k", unknowns[i].option);
		bad(line, unknowns[i].words);
	}
}

static void test_help(void **state)
{
	struct config config;
	struct error err;

	(void)state;
	assert_int_equal(parse("--help", &config, &err), OPTIONS_HELP);
	assert_int_equal(parse("-h", &config, &err), OPTIONS_HELP);
	assert_int_equal(parse("k --memory 1G -h --nonsense", &config, &err), OPTIONS_HELP);
	assert_int_equal(parse("--nonsense --help", &config, &err), OPTIONS_WRONG);
	assert_int_equal(parse("k --initrd r -- --help", &config, &err), OPTIONS_RUN);
	assert_int_equal(parse("--append --help k", &config, &err), OPTIONS_RUN);
}

/* Every option that the help text names is one that the parser knows. */
static void test_the_help_text(void **state)
{
	static char text[16384];
	const int file = memfd_create("help", MFD_CLOEXEC), saved = dup(STDOUT_FILENO);
	unsigned options = 0;
	ssize_t count;

	(void)state;
	fflush(stdout);
	assert_true(dup2(file, STDOUT_FILENO) >= 0);
	options_help();
	fflush(stdout);
	assert_true(dup2(saved, STDOUT_FILENO) >= 0);
	close(saved);
	count = pread(file, text, sizeof(text) - 1, 0);
	close(file);
	assert_true(count > 500);
	for (const char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		const char *name = strstr(line, " --");
		struct config config;
		struct error err;
		char option[64], argument[] = "x";
		char *argv[] = {option, argument};

		if (line[0] != ' ' || line[1] != ' ' || !name || name > line + 10)
			continue;
		snprintf(option, sizeof(option), "%.*s", (int)strcspn(name + 1, " "), name + 1);
		err.text[0] = '\0';
		option[strcspn(option, "[")] = '\0';
		(void)options_parse(&config, 2, argv, &err);
		options_free(&config);
		assert_null(strstr(err.text, "unknown"));
		options_free(&config);
		options++;
	}
	assert_true(options >= 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_choices),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_protocols_and_consoles),
		cmocka_unit_test(test_command_lines_for_the_kernel),
		cmocka_unit_test(test_too_many_appends),
		cmocka_unit_test(test_words_that_are_no_options),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_console_device),
		cmocka_unit_test(test_missing_and_surplus_arguments),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_unknown_options),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_the_help_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
