/*
 * vmm/verdict.c: each reason's name, exit status and words; signals up to the last real-time one.
 */
#include "tests/unit/test.h"

#include "vmm/verdict.h"

static const struct {
	enum verdict_reason reason;
	const char *name;
	int status;
} reasons[] = {
	{VERDICT_NONE, "none", 125},
	{VERDICT_POWEROFF, "poweroff", 0},
	{VERDICT_RESET, "reset", 0},
	{VERDICT_TIMEOUT, "timeout", 124},
	{VERDICT_SIGNAL, "signal", 128 + 15},
	{VERDICT_PANIC, "panic", 255},
	{VERDICT_TRIPLE_FAULT, "triple-fault", 255},
	{VERDICT_INTERNAL_ERROR, "internal-error", 255},
	{VERDICT_FAILED_ENTRY, "failed-entry", 255},
	{VERDICT_VMM_ERROR, "vmm-error", 125},
};

static void test_names_and_statuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		const struct verdict verdict = {.reason = reasons[i].reason, .number = 15};

		assert_string_equal(verdict_name(reasons[i].reason), reasons[i].name);
		assert_int_equal(verdict_status(&verdict), reasons[i].status);
	}
}

static void test_signals(void **state)
{
	(void)state;
	for (int number = 1; number <= 64; number++) {
		const struct verdict verdict = {.reason = VERDICT_SIGNAL, .number = number};

		assert_int_equal(verdict_status(&verdict), 128 + number);
	}
}

static void test_words(void **state)
{
	struct verdict verdict = {.reason = VERDICT_SIGNAL, .number = 2};
	char text[100];

	(void)state;
	verdict_describe(&verdict, text, sizeof(text));
	assert_string_equal(text, "ended by signal 2");
	strcpy(verdict.detail, "Ctrl-A x was typed");
	verdict_describe(&verdict, text, sizeof(text));
	assert_string_equal(text, "ended by signal 2: Ctrl-A x was typed");
	verdict.reason = VERDICT_PANIC;
	verdict_describe(&verdict, text, sizeof(text));
	assert_string_equal(text, "the guest's kernel panicked: Ctrl-A x was typed");
	verdict.detail[0] = '\0';
	verdict_describe(&verdict, text, sizeof(text));
	assert_string_equal(text, "the guest's kernel panicked");
}

static void test_every_reason_has_words_and_they_are_cut_to_fit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		struct verdict verdict = {.reason = reasons[i].reason, .number = 64};
		char text[64];

		memset(verdict.detail, '%', sizeof(verdict.detail) - 1);
		for (size_t bytes = 1; bytes < 60; bytes++) {
			memset(text, 'x', sizeof(text));
			verdict_describe(&verdict, text, bytes);
			assert_int_equal(text[bytes - 1], '\0');
			assert_int_equal(strlen(text), bytes - 1);
			assert_int_equal(text[bytes], 'x');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_statuses),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_every_reason_has_words_and_they_are_cut_to_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
