/*
 * vmm/watch.c: the last lines of what a kernel said.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm/watch.h"

static struct tail tail;

static int start_anew(void **state)
{
	(void)state;
	tail = (struct tail){.total = 0};
	return 0;
}

static void put(const char *text)
{
	while (*text)
		tail_put(&tail, (u8)*text++);
}

/* What is printed, as text. */
static const char *printed(void)
{
	static char text[2 * TAIL_BYTES];
	int ends[2];
	ssize_t count;

	assert_int_equal(pipe(ends), 0);
	tail_print(&tail, ends[1]);
	close(ends[1]);
	count = read(ends[0], text, sizeof(text) - 1);
	assert_true(count >= 0);
	text[count] = '\0';
	close(ends[0]);
	return text;
}

static void test_lines(void **state)
{
	(void)state;
	assert_string_equal(printed(), "");
	put("one\r\ntwo\n");
	assert_string_equal(printed(), "one\ntwo\n");
	put("not ended");
	assert_string_equal(printed(), "one\ntwo\nnot ended\n");
}

static void test_bytes_that_would_steer_a_terminal(void **state)
{
	(void)state;
	put("a\x1b[2J\x7f\tb\n");
	tail_put(&tail, '\0');
	assert_string_equal(printed(), "a?[2J?\tb\n");
}

static void test_only_the_last_lines(void **state)
{
	char line[16];
	const char *text;

	(void)state;
	for (unsigned i = 0; i < TAIL_LINES + 3; i++) {
		snprintf(line, sizeof(line), "line %u\n", i);
		put(line);
	}
	text = printed();
	assert_int_equal(strncmp(text, "line 3\n", 7), 0);
	assert_says(text, "line 52\n");
}

/* Of lines that are too long to be kept all, those that are whole; of one that is alone, nothing. */
static void test_a_line_whose_beginning_is_lost(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TAIL_BYTES - 4; i++)
		put("x");
	put("\nlast\n");
	assert_string_equal(printed(), "last\n");
	for (unsigned i = 0; i < TAIL_BYTES; i++)
		put("y");
	assert_string_equal(printed(), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_lines, start_anew),
		cmocka_unit_test_setup(test_bytes_that_would_steer_a_terminal, start_anew),
		cmocka_unit_test_setup(test_only_the_last_lines, start_anew),
		cmocka_unit_test_setup(test_a_line_whose_beginning_is_lost, start_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
