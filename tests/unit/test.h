/*
 * What every unit test includes: cmocka with the headers that it wants before it, and one more
 * assertion. A test that can't run here prints "skipped: why" by SKIP(), which ./run repeats.
 */
#ifndef BANTAM_TESTS_UNIT_TEST_H
#define BANTAM_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/error.h"

/* The text has these words in it. */
#define assert_says(text, words)                                                                   \
	do {                                                                                       \
		if (!strstr(text, words))                                                          \
			fail_msg("\"%s\" doesn't say \"%s\"", text, words);                        \
	} while (0)

#define SKIP(reason)                                                                               \
	do {                                                                                       \
		print_message("skipped: %s: %s\n", __func__, reason);                              \
		skip();                                                                            \
	} while (0)

#endif
