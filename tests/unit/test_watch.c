/*
 * vmm/watch.c: which lines of a console count as a panic, its end or a restart. Each text is fed
 * byte by byte; what a guest could print to look like the real thing, or to break the parser, is
 * here next to what Linux prints.
 */
#include "tests/unit/test.h"

#include "vmm/watch.h"

/* How often the text brought the news that a panicked kernel has stopped. */
static unsigned feed(struct watch *watch, const char *text)
{
	unsigned ends = 0;

	for (; *text; text++)
		ends += watch_byte(watch, (u8)*text) == WATCH_PANIC_END;
	return ends;
}

static bool panics(const char *text)
{
	struct watch watch = {0};

	(void)feed(&watch, text);
	return atomic_load(&watch.panicked);
}

static void test_panic_lines(void **state)
{
	static const char *const lines[] = {
		"Kernel panic - not syncing: VFS: x\n",
		"[    1.234567] Kernel panic - not syncing: VFS: x\n",
		"[12345.234567] Kernel panic - not syncing: VFS: x\n",
		"[    1.234567][    T1] Kernel panic - not syncing: VFS: x\n",
		"[    1.234567][    C0] Kernel panic - not syncing: VFS: x\n",
		"[    1.234567] [T1] Kernel panic - not syncing: VFS: x\r\n",
		"[    T1] Kernel panic - not syncing: VFS: x\n",
		"\nnoise\r\n\r\n[    0.1] Kernel panic - not syncing: VFS: x\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct watch watch = {0};

		assert_int_equal(feed(&watch, lines[i]), 0);
		assert_true(atomic_load(&watch.panicked));
		assert_string_equal(watch.panic_line, "Kernel panic - not syncing: VFS: x");
		assert_false(atomic_load(&watch.restarting));
	}
}

static void test_other_lines(void **state)
{
	(void)state;
	assert_false(panics("Kernel panic - not syncing: no line end"));
	assert_false(panics("it said Kernel panic - not syncing: x\n"));
	assert_false(panics(" Kernel panic - not syncing: x\n"));
	assert_false(panics("echo 'Kernel panic - not syncing'\n"));
	assert_false(panics("[root@host] Kernel panic - not syncing: x\n"));
	assert_false(panics("[] Kernel panic - not syncing: x\n"));
	assert_false(panics("[    1.234567 Kernel panic - not syncing: x\n"));
	assert_false(panics("[    1.234567] x Kernel panic - not syncing: x\n"));
	assert_false(panics("kernel panic - not syncing: x\n"));
	assert_false(panics("Kernel panic\n - not syncing: x\n"));
	assert_false(panics("Kernel panic - not syncin\n"));
	assert_false(panics("[\n[[[[\n[1][2][3]\n[    \n]\n"));
}

static void test_the_end_counts_only_after_a_panic(void **state)
{
	static const char end[] = "[    2.0] ---[ end Kernel panic - not syncing: VFS: x ]---\r\n";
	struct watch watch = {0};

	(void)state;
	assert_int_equal(feed(&watch, end), 0);
	assert_false(atomic_load(&watch.panicked));
	assert_int_equal(feed(&watch, "[    1.0] Kernel panic - not syncing: VFS: x\r\n"), 0);
	assert_int_equal(feed(&watch, "[    1.1] CPU: 0 PID: 1 Comm: swapper\r\n"), 0);
	assert_int_equal(feed(&watch, "[    1.2] ---[ end trace 0 ]---\r\n"), 0);
	assert_int_equal(feed(&watch, "x ---[ end Kernel panic\r\n"), 0);
	assert_int_equal(feed(&watch, end), 1);
	assert_int_equal(feed(&watch, "---[ end Kernel panic"), 0);
	assert_int_equal(feed(&watch, "\n"), 1);
}

static void test_the_first_panic_stays(void **state)
{
	struct watch watch = {0};

	(void)state;
	(void)feed(&watch, "Kernel panic - not syncing: first\n");
	(void)feed(&watch, "Kernel panic - not syncing: second\n");
	assert_string_equal(watch.panic_line, "Kernel panic - not syncing: first");
}

static void test_restart(void **state)
{
	struct watch watch = {0};

	(void)state;
	(void)feed(&watch, "reboot: Restarting syste\nx reboot: Restarting system\n");
	assert_false(atomic_load(&watch.restarting));
	(void)feed(&watch, "[    3.4][    T1] reboot: Restarting system with command 'x'\n");
	assert_true(atomic_load(&watch.restarting));
	assert_false(atomic_load(&watch.panicked));
}

static void test_long_lines_are_cut(void **state)
{
	struct watch watch = {0};

	(void)state;
	(void)feed(&watch, "[    1.0] Kernel panic - not syncing: ");
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(watch_byte(&watch, 'y'), WATCH_NOTHING);
	assert_false(atomic_load(&watch.panicked));
	(void)feed(&watch, "\n");
	assert_true(atomic_load(&watch.panicked));
	/* Of the line's 199 bytes that are kept, ten were the time stamp. */
	assert_int_equal(strlen(watch.panic_line), WATCH_LINE_BYTES - 1 - 10);
	assert_int_equal(watch.panic_line[188], 'y');
	/* What follows a long line is a line of its own again. */
	watch = (struct watch){0};
	for (unsigned i = 0; i < 1000; i++)
		(void)watch_byte(&watch, 'y');
	(void)feed(&watch, "Kernel panic - not syncing: glued\n");
	assert_false(atomic_load(&watch.panicked));
	(void)feed(&watch, "Kernel panic - not syncing: next\n");
	assert_string_equal(watch.panic_line, "Kernel panic - not syncing: next");
}

static void test_a_line_of_the_longest_length(void **state)
{
	struct watch watch = {0};
	const char phrase[] = "Kernel panic - not syncing";

	(void)state;
	(void)feed(&watch, phrase);
	for (size_t i = sizeof(phrase) - 1; i < WATCH_LINE_BYTES - 1; i++)
		(void)watch_byte(&watch, 'z');
	(void)feed(&watch, "\n");
	assert_int_equal(strlen(watch.panic_line), WATCH_LINE_BYTES - 1);
}

/* What is said last counts: the words of a restart don't cover up a panic behind them. */
static void test_a_panic_behind_a_restart(void **state)
{
	struct watch watch = {0};

	(void)state;
	(void)feed(&watch, "reboot: Restarting system\n");
	assert_true(watch.restarting);
	(void)feed(&watch, "[    1.0] Kernel panic - not syncing: real\n");
	assert_false(watch.restarting);
	assert_true(watch.panicked);
	(void)feed(&watch, "reboot: Restarting system\n");
	assert_true(watch.restarting);
}

static void test_control_characters_are_cleaned(void **state)
{
	struct watch watch = {0};

	(void)state;
	(void)feed(&watch, "Kernel panic - not syncing: \x1b[2J\a\b\t\x7f \xc3\xa4\n");
	assert_string_equal(watch.panic_line, "Kernel panic - not syncing: ?[2J???? ??");
}

static void test_bytes_of_no_text(void **state)
{
	struct watch watch = {0};

	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned byte = 0; byte < 0x100; byte++)
			assert_int_equal(watch_byte(&watch, (u8)byte), WATCH_NOTHING);
	}
	(void)watch_byte(&watch, '\n');
	/* A NUL ends what is compared, not what follows in the next line. */
	(void)feed(&watch, "Kernel panic -");
	(void)watch_byte(&watch, 0);
	(void)feed(&watch, " not syncing\n");
	assert_false(atomic_load(&watch.panicked));
	(void)feed(&watch, "Kernel panic - not syncing: a");
	(void)watch_byte(&watch, 0);
	(void)feed(&watch, "b\n");
	assert_string_equal(watch.panic_line, "Kernel panic - not syncing: a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_panic_lines),
		cmocka_unit_test(test_other_lines),
		cmocka_unit_test(test_the_end_counts_only_after_a_panic),
		cmocka_unit_test(test_the_first_panic_stays),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_a_line_of_the_longest_length),
		cmocka_unit_test(test_a_panic_behind_a_restart),
		cmocka_unit_test(test_control_characters_are_cleaned),
		cmocka_unit_test(test_bytes_of_no_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
