/*
 * vmm/memory.c: guest RAM and its one door. Addresses at every edge of the regions, around the
 * hole, with lengths up to 2^64 - 1; what memory_at() returns must be the byte that the regions
 * say, and nothing else may be reachable.
 */
#include "tests/unit/test.h"

#include "vmm/memory.h"

#define HOLE_START (3 * GIB)
#define HOLE_END   (4 * GIB)

static bool create(struct memory *memory, u64 bytes)
{
	struct error err = {.text = ""};

	return memory_create(memory, bytes, HOLE_START, HOLE_END, &err) == 0;
}

/* Around gpa, where RAM ends (the byte before it is RAM and gpa isn't). */
static void check_end(const struct memory *memory, u64 gpa)
{
	assert_non_null(memory_at(memory, gpa - 1, 1));
	assert_null(memory_at(memory, gpa - 1, 2));
	assert_null(memory_at(memory, gpa, 1));
	assert_null(memory_at(memory, gpa, 0));
	assert_null(memory_at(memory, gpa - 1, 0));
	assert_non_null(memory_at(memory, gpa - PAGE_BYTES, PAGE_BYTES));
	assert_null(memory_at(memory, gpa - PAGE_BYTES, PAGE_BYTES + 1));
	assert_null(memory_at(memory, gpa - 1, ~(u64)0));
	assert_null(memory_at(memory, gpa - 1, ~(u64)0 - gpa + 2)); /* ends at 2^64 */
	assert_null(memory_at(memory, gpa - 1, ~(u64)0 - gpa + 3)); /* wraps to byte 0 */
}

static void test_one_region(void **state)
{
	struct memory memory;
	u8 *base;

	(void)state;
	assert_true(create(&memory, MEMORY_MIN_BYTES));
	assert_int_equal(memory.regions, 1);
	assert_int_equal(memory.bytes, 16 * MIB);
	assert_int_equal(memory_end(&memory), 16 * MIB);
	base = memory.region[0].host;
	assert_ptr_equal(memory_at(&memory, 0, 1), base);
	assert_ptr_equal(memory_at(&memory, 0, 16 * MIB), base);
	assert_null(memory_at(&memory, 0, 16 * MIB + 1));
	assert_null(memory_at(&memory, 1, 16 * MIB));
	assert_null(memory_at(&memory, 0, 0));
	assert_ptr_equal(memory_at(&memory, 0x1234, 5), base + 0x1234);
	assert_null(memory_at(&memory, 4 * GIB, 1));
	assert_null(memory_at(&memory, ~(u64)0, 1));
	assert_null(memory_at(&memory, ~(u64)0, ~(u64)0));
	assert_null(memory_at(&memory, 0, ~(u64)0));
	check_end(&memory, 16 * MIB);
	memory_destroy(&memory);
	assert_int_equal(memory.bytes, 0);
	memory_destroy(&memory);
}

static void test_memory_is_zero_and_writable_to_its_end(void **state)
{
	struct memory memory;
	const u8 *bytes;

	(void)state;
	assert_true(create(&memory, MEMORY_MIN_BYTES));
	bytes = memory_at(&memory, 0, memory.bytes);
	assert_true(bytes[0] == 0 && memcmp(bytes, bytes + 1, memory.bytes - 1) == 0);
	memset(memory_at(&memory, 0, memory.bytes), 0x5a, memory.bytes);
	assert_int_equal(bytes[memory.bytes - 1], 0x5a);
	memory_destroy(&memory);
}

static void test_memory_up_to_the_hole_is_one_region(void **state)
{
	struct memory memory;

	(void)state;
	assert_true(create(&memory, 3 * GIB));
	assert_int_equal(memory.regions, 1);
	assert_int_equal(memory_end(&memory), 3 * GIB);
	check_end(&memory, 3 * GIB);
	memory_destroy(&memory);
}

static void test_one_page_more_goes_behind_the_hole(void **state)
{
	struct memory memory;
	u8 *low;

	(void)state;
	assert_true(create(&memory, 3 * GIB + PAGE_BYTES));
	assert_int_equal(memory.regions, 2);
	assert_int_equal(memory.region[0].bytes, 3 * GIB);
	assert_int_equal(memory.region[1].gpa, 4 * GIB);
	assert_int_equal(memory.region[1].bytes, PAGE_BYTES);
	assert_int_equal(memory_end(&memory), 4 * GIB + PAGE_BYTES);
	check_end(&memory, 3 * GIB);
	check_end(&memory, 4 * GIB + PAGE_BYTES);
	assert_null(memory_at(&memory, 4 * GIB - 1, 1));
	assert_null(memory_at(&memory, 4 * GIB - 1, 2));
	/* The host has both regions side by side; the guest doesn't. */
	assert_null(memory_at(&memory, 3 * GIB - 1, GIB + 2));
	low = memory.region[0].host;
	assert_ptr_equal(memory_at(&memory, 4 * GIB, PAGE_BYTES), low + 3 * GIB);
	memory_destroy(&memory);
}

static void test_four_gib(void **state)
{
	struct memory memory;
	u8 *first, *last;

	(void)state;
	assert_true(create(&memory, 4 * GIB));
	assert_int_equal(memory_end(&memory), 5 * GIB);
	check_end(&memory, 3 * GIB);
	check_end(&memory, 5 * GIB);
	first = memory_at(&memory, 4 * GIB, 1);
	last = memory_at(&memory, 5 * GIB - 1, 1);
	assert_int_equal(last - first, GIB - 1);
	*last = 7;
	assert_int_equal(*last, 7);
	memory_destroy(&memory);
}

static void test_a_tebibyte_costs_nothing(void **state)
{
	struct memory memory;
	u8 byte = 0;

	(void)state;
	if (!create(&memory, 1024 * GIB))
		SKIP("this host doesn't map 1 TiB");
	assert_int_equal(memory_end(&memory), 1025 * GIB);
	check_end(&memory, 1025 * GIB);
	*(char *)memory_at(&memory, 1025 * GIB - 1, 1) = 'x';
	assert_true(memory_read(&memory, 1025 * GIB - 1, &byte, 1));
	assert_int_equal(byte, 'x');
	memory_destroy(&memory);
}

static void test_a_refusal_says_what_to_do(void **state)
{
	struct memory memory;
	struct error err = {.text = ""};

	(void)state;
	assert_int_equal(memory_create(&memory, (u64)1 << 52, HOLE_START, HOLE_END, &err), -1);
	assert_says(err.text, "4294967296 MiB");
	assert_says(err.text, "--memory");
}

static void test_copies(void **state)
{
	struct memory memory;
	u8 bytes[4] = {1, 2, 3, 4};

	(void)state;
	assert_true(create(&memory, MEMORY_MIN_BYTES));
	memcpy(memory_at(&memory, 16 * MIB - 4, 4), bytes, 4);
	memset(bytes, 0, sizeof(bytes));
	assert_true(memory_read(&memory, 16 * MIB - 3, bytes, 3));
	assert_memory_equal(bytes, "\x02\x03\x04\x00", 4);
	/* Not a byte is copied when one is outside. */
	assert_false(memory_read(&memory, 16 * MIB - 3, bytes, 4));
	assert_memory_equal(bytes, "\x02\x03\x04\x00", 4);
	assert_false(memory_read(&memory, 0, bytes, 0));
	assert_false(memory_read(&memory, ~(u64)0, bytes, 2));
	memory_destroy(&memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_region),
		cmocka_unit_test(test_memory_is_zero_and_writable_to_its_end),
		cmocka_unit_test(test_memory_up_to_the_hole_is_one_region),
		cmocka_unit_test(test_one_page_more_goes_behind_the_hole),
		cmocka_unit_test(test_four_gib),
		cmocka_unit_test(test_a_tebibyte_costs_nothing),
		cmocka_unit_test(test_a_refusal_says_what_to_do),
		cmocka_unit_test(test_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
