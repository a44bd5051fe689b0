/*
 * vmm/bits.c: names of bits, masks of several bits, what has no name, and text that doesn't fit.
 */
#include "tests/unit/test.h"

#include "vmm/bits.h"

#define TOP_BIT ((u64)1 << 63)

static const struct bit_name names[] = {
	{0x01, "rx"}, {0x02, "thre"}, {0x0c, "both"}, {TOP_BIT, "no-execute"}};

static const char *named(u64 value)
{
	static char text[64];

	memset(text, 'x', sizeof(text));
	assert_ptr_equal(bit_names(value, names, ARRAY_LEN(names), text, sizeof(text)), text);
	return text;
}

static void test_names_in_the_order_of_the_table(void **state)
{
	(void)state;
	assert_string_equal(named(0), "");
	assert_string_equal(named(0x01), "rx");
	assert_string_equal(named(0x03), "rx,thre");
	assert_string_equal(named(TOP_BIT), "no-execute");
	assert_string_equal(named(TOP_BIT | 0x02), "thre,no-execute");
}

static void test_a_mask_wants_all_of_its_bits(void **state)
{
	(void)state;
	assert_string_equal(named(0x0c), "both");
	assert_string_equal(named(0x04), "0x4");
	assert_string_equal(named(0x09), "rx,0x8");
}

static void test_bits_without_a_name_are_one_number(void **state)
{
	(void)state;
	assert_string_equal(named(0x50), "0x50");
	assert_string_equal(named(0x51), "rx,0x50");
	assert_string_equal(named(~(u64)0), "rx,thre,both,no-execute,0x7ffffffffffffff0");
}

static void test_a_table_without_rows(void **state)
{
	char text[32];

	(void)state;
	assert_string_equal(bit_names(0, NULL, 0, text, sizeof(text)), "");
	assert_string_equal(bit_names(0x1f, NULL, 0, text, sizeof(text)), "0x1f");
}

static void test_text_is_cut_to_fit(void **state)
{
	const char whole[] = "rx,thre,both,no-execute,0x7ffffffffffffff0";

	(void)state;
	for (size_t bytes = 1; bytes <= sizeof(whole) + 2; bytes++) {
		char text[64];
		const size_t length = bytes <= sizeof(whole) ? bytes - 1 : sizeof(whole) - 1;

		memset(text, 'x', sizeof(text));
		bit_names(~(u64)0, names, ARRAY_LEN(names), text, bytes);
		assert_int_equal(strlen(text), length);
		assert_memory_equal(text, whole, length);
		for (size_t i = bytes; i < sizeof(text); i++)
			assert_int_equal(text[i], 'x');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_in_the_order_of_the_table),
		cmocka_unit_test(test_a_mask_wants_all_of_its_bits),
		cmocka_unit_test(test_bits_without_a_name_are_one_number),
		cmocka_unit_test(test_a_table_without_rows),
		cmocka_unit_test(test_text_is_cut_to_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
