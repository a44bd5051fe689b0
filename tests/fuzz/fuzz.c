/* What all fuzzers have: see fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

void fuzz_fail(const char *file, int line, const char *promise)
{
	fprintf(stderr, "%s:%d: a promise was broken: %s\n", file, line, promise);
	abort();
}

u64 input_take(struct input *input, unsigned bytes)
{
	u64 value = 0;

	for (unsigned i = 0; i < bytes && input->left; i++, input->left--)
		value |= (u64)*input->bytes++ << (8 * i);
	return value;
}

struct action input_action(struct input *input)
{
	struct action action;

	action.what = (u8)input_take(input, 1);
	action.how = (u8)input_take(input, 1);
	action.where = (u16)input_take(input, 2);
	action.value = (u32)input_take(input, 4);
	return action;
}
