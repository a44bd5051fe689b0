/*
 * What all fuzzers have: an input that becomes numbers, and a way to say that a promise was broken.
 *
 * A fuzzer is one file fuzz_NAME.c with LLVMFuzzerTestOneInput(), which libFuzzer and AFL++ call
 * for each input, and replay.c for each file of the corpus. It makes a world from nothing, lets the
 * input loose on it, checks, and takes the world down again, so that an input does the same each
 * time. Whatever a check or a sanitizer finds ends the process; the fuzzing engine keeps the input.
 */
#ifndef BANTAM_TESTS_FUZZ_FUZZ_H
#define BANTAM_TESTS_FUZZ_FUZZ_H

#include "vmm/types.h"

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count);

_Noreturn void fuzz_fail(const char *file, int line, const char *promise);

#define FUZZ_CHECK(promise)                                                                        \
	do {                                                                                       \
		if (!(promise))                                                                    \
			fuzz_fail(__FILE__, __LINE__, #promise);                                   \
	} while (0)

/* An input is read from its start; behind its end there are zeroes. Numbers are little-endian. */
struct input {
	const u8 *bytes;
	size_t left;
};

u64 input_take(struct input *input, unsigned bytes);

/*
 * One thing that the guest or its host does: eight bytes of input. What it means is the fuzzer's
 * business.
 */
struct action {
	u8 what, how;
	u16 where;
	u32 value;
};

struct action input_action(struct input *input);

#endif
