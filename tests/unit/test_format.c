/*
 * format_text(): what it writes is what snprintf() would.
 */

#include <stdio.h>

#include "tests/unit/test.h"
#include "vmm/format.h"

#define SAME(...)                                                                                  \
	do {                                                                                       \
		char ours[100], theirs[100];                                                       \
                                                                                                   \
		snprintf(theirs, sizeof(theirs), __VA_ARGS__);                                     \
		assert_int_equal(format_text(ours, sizeof(ours), __VA_ARGS__), strlen(theirs));    \
		assert_string_equal(ours, theirs);                                                 \
	} while (0)

static void test_it_writes_as_snprintf_does(void **state)
{
	(void)state;
	SAME("%s", "");
	SAME("plain");
	SAME("100%%");
	SAME("%u %u %u", 0U, 7U, ~0U);
	SAME("%d %d %d %d", 0, -1, 2147483647, -2147483647 - 1);
	SAME("%x %08x %8x %02x", 0xbeefU, 0xbeefU, 0xbeefU, 0x12345U);
	SAME("%llu %llx %lld", ~0ULL, ~0ULL, -9223372036854775807LL - 1);
	SAME("%lu %zu", 1234567890123UL, sizeof(int));
	SAME("%llu.%03llu", 12ULL, 7ULL);
	SAME("0x%0*llx|%*u|", 4, 0xabULL, 5, 42U);
	SAME("%05d|%5d|", -42, -42);
	SAME("%s.%s = %c (%10s|%.3s|%.*s)", "serial0", "LSR", 'x', "thre", "temt", 2, "both");
}

static void test_it_ends_where_the_room_ends(void **state)
{
	char text[8];

	(void)state;
	for (size_t bytes = 1; bytes <= sizeof(text); bytes++) {
		memset(text, '#', sizeof(text));
		assert_int_equal(format_text(text, bytes, "%s%04u", "abc", 7U),
				 bytes <= 7 ? bytes - 1 : 7);
		assert_memory_equal(text, "abc0007", bytes - 1);
		assert_int_equal(text[bytes <= 7 ? bytes - 1 : 7], '\0');
		for (size_t i = bytes; i < sizeof(text); i++)
			assert_int_equal(text[i], '#');
	}
	assert_int_equal(format_text(text, sizeof(text), "%9999u", 1U), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_writes_as_snprintf_does),
		cmocka_unit_test(test_it_ends_where_the_room_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
