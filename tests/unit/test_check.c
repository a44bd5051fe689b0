/*
 * vmm/check.c: the verdict of `bantam check` and its words, from made-up reports.
 * No KVM is touched.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "vmm/check.h"

/* A report of a host on which all is well. */
static void report_make(struct check_report *report)
{
	*report = (struct check_report){.usable = true};
	for (unsigned i = 0; i < CHECK_PROBES; i++)
		report->guests.probe[i].end = CHECK_DONE;
	report->guests.mips = 2000;
}

static void test_verdict_stock(void **state)
{
	struct check_report report;

	(void)state;
	report_make(&report);
	/* A processor without XSAVE needs no XRSTOR. */
	report.guests.probe[CHECK_XRSTOR].end = CHECK_NOT_TRIED;
	check_decide(&report);
	assert_int_equal(report.verdict, CHECK_STOCK);
	assert_int_equal(check_status(report.verdict), 0);
	assert_string_equal(report.why.text, "");
}

static void test_verdict_tiny(void **state)
{
	struct check_report report;

	(void)state;
	report_make(&report);
	report.guests.probe[CHECK_CMPXCHG16B].end = CHECK_FAILED;
	report.guests.probe[CHECK_INT3].end = CHECK_FAILED;
	check_decide(&report);
	assert_int_equal(report.verdict, CHECK_TINY);
	assert_int_equal(check_status(report.verdict), 1);
	assert_says(report.why.text, "cmpxchg16b, int3");
	assert_null(strstr(report.why.text, "kvm_pvm"));
	report.host.pvm = true;
	check_decide(&report);
	assert_says(report.why.text, "kvm_pvm");
	assert_says(report.why.text, "paravirtual");

	report_make(&report);
	report.guests.mips = CHECK_MIPS_MIN - 1;
	check_decide(&report);
	assert_int_equal(report.verdict, CHECK_TINY);
	assert_says(report.why.text, "24.0 million instructions a second");
	report.guests.mips = CHECK_MIPS_MIN;
	check_decide(&report);
	assert_int_equal(report.verdict, CHECK_STOCK);
}

static void test_verdict_nothing(void **state)
{
	struct check_report report;

	(void)state;
	report_make(&report);
	report.guests.probe[CHECK_LONG_MODE] =
		(struct check_outcome){.end = CHECK_FAILED, .words = "triple fault"};
	check_decide(&report);
	assert_int_equal(report.verdict, CHECK_NOTHING);
	assert_int_equal(check_status(report.verdict), 125);
	assert_says(report.why.text, "triple fault");

	/* What kvm_open() said stays. */
	report_make(&report);
	report.usable = false;
	error_set(&report.why, "no KVM");
	check_decide(&report);
	assert_int_equal(report.verdict, CHECK_NOTHING);
	assert_string_equal(report.why.text, "no KVM");
}

/* What only a debugger needs has no say. */
static void test_verdict_without_breakpoints(void **state)
{
	struct check_report report;

	(void)state;
	report_make(&report);
	report.guests.probe[CHECK_SOFTWARE_BREAKPOINT].end = CHECK_FAILED;
	check_decide(&report);
	assert_int_equal(report.verdict, CHECK_STOCK);
}

static void check_words(const struct kvm_run *run, const char *words)
{
	struct check_outcome outcome = {.end = CHECK_NOT_TRIED};

	assert_string_equal(check_outcome_words(&outcome), "not tried");
	check_take_exit(run, &outcome);
	assert_int_equal(outcome.end, CHECK_FAILED);
	assert_string_equal(check_outcome_words(&outcome), words);
}

static void test_outcomes(void **state)
{
	(void)state;
	check_words(
		&(struct kvm_run){.exit_reason = KVM_EXIT_INTERNAL_ERROR, .internal.suberror = 1},
		"KVM internal error, suberror 1");
	check_words(&(struct kvm_run){.exit_reason = KVM_EXIT_SHUTDOWN}, "triple fault");
	check_words(&(struct kvm_run){.exit_reason = KVM_EXIT_FAIL_ENTRY,
				      .fail_entry.hardware_entry_failure_reason = 0x80000021},
		    "the processor refused entry, reason 0x80000021");
	check_words(&(struct kvm_run){.exit_reason = KVM_EXIT_HLT}, "unexpected exit reason 5");
}

/* Every verdict in both forms. */
static void test_print(void **state)
{
	struct check_report report;
	struct error err;
	char *text = NULL;
	size_t bytes = 0;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		FILE *out = open_memstream(&text, &bytes);

		report_make(&report);
		report.guests.probe[CHECK_INT3].end = i > 0 ? CHECK_FAILED : CHECK_DONE;
		report.usable = i < 2;
		snprintf(report.why.remedy, sizeof(report.why.remedy), "%s",
			 i > 1 ? "load the module" : "");
		check_decide(&report);
		assert_int_equal(check_print(&report, out, false, &err), 0);
		assert_says(text, "\nsandbox: ");
		assert_says(text, "\n  long_mode             yes  ok\n");
		assert_says(text, i == 0   ? "\nStock kernels run here.\n"
				  : i == 1 ? "\nOnly tiny guests run here"
					   : "\nNo guest runs here.");
		assert_int_equal(strstr(text, "\nWhat to do: ") != NULL, i > 0);
		rewind(out);
		assert_int_equal(check_print(&report, out, true, &err), 0);
		fclose(out);
		assert_says(text, i == 0   ? "\"verdict\": \"stock\""
				  : i == 1 ? "\"verdict\": \"tiny\""
					   : "\"verdict\": \"nothing\"");
		assert_int_equal(text[0], '{');
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdict_stock),
		cmocka_unit_test(test_verdict_tiny),
		cmocka_unit_test(test_verdict_nothing),
		cmocka_unit_test(test_verdict_without_breakpoints),
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
