/*
 * vmm/error.c: texts that are too long, prefixes, control characters, and what say() writes to a
 * pipe and to a terminal: one write, one line.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static void test_set(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(error_set(&err, "%s %d%%", "seven", 7), -1);
	assert_string_equal(err.text, "seven 7%");
}

static void test_a_long_text_is_cut(void **state)
{
	struct error err;
	char *text = test_malloc(5000);

	(void)state;
	memset(text, 'x', 4999);
	text[4999] = '\0';
	assert_int_equal(error_set(&err, "a%s", text), -1);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_int_equal(err.text[0], 'a');
	assert_int_equal(error_prefix(&err, "b%s", text), -1);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	assert_int_equal(err.text[0], 'b');
	test_free(text);
}

static void test_prefix(void **state)
{
	struct error err;

	(void)state;
	(void)error_set(&err, "the file is 100%% empty");
	assert_int_equal(error_prefix(&err, "cannot boot '%s'", "a%sb"), -1);
	assert_string_equal(err.text, "cannot boot 'a%sb': the file is 100% empty");
}

/* Every length around the end of the buffer, where an error of one would be. */
static void test_prefixes_of_every_length(void **state)
{
	(void)state;
	for (int prefix = 0; prefix < 800; prefix++) {
		struct {
			struct error err;
			char canary[8];
		} guarded = {.canary = "canary!"};

		(void)error_set(&guarded.err, "%0700d", 0);
		(void)error_prefix(&guarded.err, "%0*d", prefix, 0);
		assert_true(strlen(guarded.err.text) < sizeof(guarded.err.text));
		assert_string_equal(guarded.canary, "canary!");
		if (prefix > 1 && prefix < 700)
			assert_int_equal(guarded.err.text[prefix], ':');
	}
}

static void test_clean(void **state)
{
	(void)state;
	for (unsigned byte = 1; byte < 0x100; byte++) {
		char text[4] = {'a', (char)byte, 'b', '\0'};
		/* A byte of the second half alone is a control character of 8-bit terminals, or a letter. */
		const bool control = byte < 0x20 || (byte >= 0x7f && byte < 0xa0);

		text_clean(text);
		assert_int_equal(text[0], 'a');
		assert_int_equal((unsigned char)text[1], control ? '?' : byte);
		assert_int_equal(text[2], 'b');
	}
}

/* U+0080 to U+009F are control characters too; xterm takes U+009B for ESC [. */
static void test_clean_takes_control_characters_in_utf8(void **state)
{
	char text[] = "a\xc2\x9b"
		      "2J\xc2\xa0\xc3\xa4";

	(void)state;
	text_clean(text);
	assert_null(strstr(text, "\xc2\x9b"));
	assert_says(text, "\xc2\xa0\xc3\xa4");
}

/* What stderr gets while say() has fd for it. */
static size_t said(int write_end, int read_end, const char *text, char *got, size_t room)
{
	const int saved = dup(STDERR_FILENO);
	ssize_t count;

	fflush(stderr);
	assert_true(dup2(write_end, STDERR_FILENO) >= 0);
	say("%s", text);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	count = read(read_end, got, room - 1);
	assert_true(count >= 0);
	got[count] = '\0';
	return (size_t)count;
}

static void test_say_to_a_pipe(void **state)
{
	char got[2000];
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_DIRECT), 0); /* a read gives one write */
	(void)said(ends[1], ends[0], "hello", got, sizeof(got));
	assert_string_equal(got, "bantam: hello\n");
	(void)said(ends[1], ends[0], "", got, sizeof(got));
	assert_string_equal(got, "bantam: \n");
	(void)said(ends[1], ends[0], "a\nb\r\x1b[2J%s\x7f\xc3\xa4", got, sizeof(got));
	assert_string_equal(got, "bantam: a?b??[2J%s?\xc3\xa4\n");
	close(ends[0]);
	close(ends[1]);
}

static void test_say_cuts_long_lines(void **state)
{
	char text[3000], got[3000];
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_DIRECT), 0);
	for (size_t length = 900; length < sizeof(text); length += length < 1100 ? 1 : 500) {
		size_t count;

		memset(text, 'x', length);
		text[length] = '\0';
		count = said(ends[1], ends[0], text, got, sizeof(got));
		assert_true(count <= 1024);
		assert_true(count >= 1000 || count == strlen("bantam: ") + length + 1);
		assert_int_equal(got[count - 1], '\n');
		assert_int_equal(strlen(got), count);
		assert_int_equal(strspn(got + 8, "x"), count - 9);
	}
	close(ends[0]);
	close(ends[1]);
}

static void test_say_to_a_terminal(void **state)
{
	struct termios raw;
	char text[2000], got[2000];
	int master, slave;
	size_t count;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	(void)said(slave, master, "hello", got, sizeof(got));
	assert_string_equal(got, "bantam: hello\r\n");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	count = said(slave, master, text, got, sizeof(got));
	assert_in_range(count, 1000, 1024);
	assert_string_equal(got + count - 3, "x\r\n");
	close(master);
	close(slave);
}

static void test_say_without_stderr(void **state)
{
	const int saved = dup(STDERR_FILENO);

	(void)state;
	fflush(stderr);
	close(STDERR_FILENO);
	say("nobody hears this");
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_a_long_text_is_cut),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_prefixes_of_every_length),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_clean_takes_control_characters_in_utf8),
		cmocka_unit_test(test_say_to_a_pipe),
		cmocka_unit_test(test_say_cuts_long_lines),
		cmocka_unit_test(test_say_to_a_terminal),
		cmocka_unit_test(test_say_without_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
