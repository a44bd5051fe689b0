/* boot/init/: text.c, control.c, config.c and net.c's address: lines and records, good and bad. */
#include "tests/unit/test.h"

#include "boot/init/init.h"

static void test_join_cuts(void **state)
{
	char text[8] = "unused";

	(void)state;
	text_join(text, sizeof(text), STRINGS("ab", "", "cd"));
	assert_string_equal(text, "abcd");
	text_join(text, sizeof(text), STRINGS("abcd", "efgh", "i"));
	assert_string_equal(text, "abcdefg");
	text_join(text, 1, STRINGS("abcd"));
	assert_string_equal(text, "");
}

static void test_numbers(void **state)
{
	static const char *const bad[] = {"",    "-1",   "+1", " 1", "1 ", "0x1",
					  "256", "2560", "1a", "/",  ":"};
	u64 number, pair[2];
	char two[] = "24 80", three[] = "1 2 3", one[] = "1", spaces[] = "1  2";

	(void)state;
	assert_string_equal(TEXT_NUMBER(0), "0");
	assert_string_equal(TEXT_NUMBER(UINT64_MAX), "18446744073709551615");
	assert_true(text_to_number("18446744073709551615", UINT64_MAX, &number));
	assert_true(number == UINT64_MAX);
	assert_false(text_to_number("18446744073709551616", UINT64_MAX, &number));
	assert_true(text_to_number("255", 255, &number));
	assert_int_equal(number, 255);
	assert_false(text_to_number("5", 4, &number));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (text_to_number(bad[i], 255, &number))
			fail_msg("\"%s\" passed for a number", bad[i]);
	assert_true(text_to_numbers(two, 2, 80, pair));
	assert_int_equal(pair[0], 24);
	assert_int_equal(pair[1], 80);
	assert_false(text_to_numbers(three, 2, 80, pair));
	assert_false(text_to_numbers(one, 2, 80, pair));
	assert_false(text_to_numbers(spaces, 2, 80, pair));
}

static void test_errors_have_words(void **state)
{

	(void)state;
	assert_string_equal(TEXT_ERROR(-13), "permission denied");
	assert_string_equal(TEXT_ERROR(-4095), "error 4095");
}

static void test_control_words(void **state)
{
	static const struct {
		const char *line;
		enum control_word word;
		u64 numbers[2];
	} table[] = {
		{"size 24 80", CONTROL_SIZE, {24, 80}},
		{"signal 15", CONTROL_SIGNAL, {15}},
		{"end stdin 18446744073709551615", CONTROL_END_STDIN, {UINT64_MAX}},
		{"close stdout", CONTROL_CLOSE_STDOUT, {0}},
		{"close stderr", CONTROL_CLOSE_STDERR, {0}},
		{"", CONTROL_UNKNOWN, {0}},
		{"size 24", CONTROL_UNKNOWN, {0}},
		{"size 24 80 1", CONTROL_UNKNOWN, {0}},
		{"size 24 65536", CONTROL_UNKNOWN, {0}},
		{"signal 65", CONTROL_UNKNOWN, {0}},
		{"signal", CONTROL_UNKNOWN, {0}},
		{"close stdin", CONTROL_UNKNOWN, {0}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char line[PROTOCOL_LINE_BYTES];
		u64 numbers[2] = {0};

		text_join(line, sizeof(line), STRINGS(table[i].line));
		if (control_parse(line, numbers) != table[i].word)
			fail_msg("\"%s\"", table[i].line);
		if (table[i].word != CONTROL_UNKNOWN)
			assert_memory_equal(numbers, table[i].numbers, sizeof(numbers));
	}
}

#define RECORDS(text) text, sizeof(text) /* the last NUL is the literal's */

/* Parses a configuration; config and copy stay with the caller. */
static const char *parse(struct init_config *config, char *copy, char **pointers, const char *text,
			 size_t bytes)
{
	memcpy(copy, text, bytes);
	assert_in_range(config_pointers(text, bytes), 2, 64);
	return config_parse(config, copy, bytes, pointers);
}

static void test_configuration(void **state)
{
	struct init_config config;
	char copy[256];
	char *pointers[64] = {NULL};

	(void)state;
	assert_null(parse(&config, copy, pointers,
			  RECORDS("arg=sh\0env=AB=0\0env=A=1\0arg=\0arg=a=b\n\x01\xff\0env=B=x=y\0"
				  "env=A=2\0dir=/d\0user=u:g\0tty=24 80\0hostname=h\0"
				  "address=1.2.3.4/8\0gateway=1.2.3.5\0nameserver=9.9.9.9")));
	assert_int_equal(config.arg_count, 3);
	assert_string_equal(config.args[0], "sh");
	assert_string_equal(config.args[1], "");
	assert_string_equal(config.args[2], "a=b\n\x01\xff");
	assert_null(config.args[3]);
	assert_int_equal(config.env_count, 3);
	assert_string_equal(env_find(&config, "A="), "2");
	assert_string_equal(env_find(&config, "B="), "x=y");
	assert_string_equal(env_find(&config, "AB="), "0");
	assert_null(env_find(&config, "C="));
	assert_null(config.env[3]);
	assert_string_equal(config.dir, "/d");
	assert_string_equal(config.user, "u:g");
	assert_true(config.tty);
	assert_int_equal(config.tty_size[0], 24);
	assert_int_equal(config.tty_size[1], 80);
	assert_string_equal(config.hostname, "h");
	assert_string_equal(config.address, "1.2.3.4/8");
	assert_string_equal(config.gateway, "1.2.3.5");
	assert_string_equal(config.nameserver, "9.9.9.9");
}

static void test_bad_configurations(void **state)
{
	static const struct {
		const char *text;
		size_t bytes;
		const char *says;
	} table[] = {
		{"", 0, "end is missing"},
		{"arg=sh", 6, "end is missing"},
		{RECORDS("dir=/"), "no command"},
		{RECORDS("arg=sh\0colour=red"), "doesn't know"},
		{RECORDS("arg=sh\0arg"), "doesn't know"},
		{RECORDS("arg=sh\0env=A"), "doesn't know"},
		{RECORDS("arg=sh\0tty=24"), "doesn't know"},
		{RECORDS("arg=sh\0tty=24 65536"), "doesn't know"},
		{RECORDS("arg=sh\0"), "doesn't know"},
	};
	struct init_config config;
	char copy[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char *pointers[64] = {NULL};
		const char *wrong = parse(&config, copy, pointers, table[i].text, table[i].bytes);

		assert_non_null(wrong);
		assert_says(wrong, table[i].says);
	}
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {"",          "1.2.3",  "1.2.3.4.5",
					  "1.2.3.256", "1..2.3", "a.b.c.d"};
	static const u8 expected[] = {10, 0, 255, 1};
	char text[32] = "10.0.255.1";
	u32 address;

	(void)state;
	assert_true(net_parse(text, &address));
	assert_memory_equal(&address, expected, sizeof(expected));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		text_join(text, sizeof(text), STRINGS(bad[i]));
		if (net_parse(text, &address))
			fail_msg("\"%s\" passed for an address", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join_cuts),         cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_errors_have_words), cmocka_unit_test(test_control_words),
		cmocka_unit_test(test_configuration),     cmocka_unit_test(test_bad_configurations),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
