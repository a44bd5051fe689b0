/*
 * A fuzzer without a fuzzing engine: runs the inputs in the files that it is given, once each.
 *
 *	fuzz_NAME FILE...
 *
 * It ends with a line "N inputs"; the exit status is true when all were run. With it the corpus is
 * a test that needs no more than a compiler.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

enum { INPUT_BYTES_MAX = 1 << 20 };

static bool replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	u8 *bytes = malloc(INPUT_BYTES_MAX), *exact;
	size_t count;

	if (!file || !bytes) {
		perror(path);
		return false;
	}
	count = fread(bytes, 1, INPUT_BYTES_MAX, file);
	fclose(file);
	/* In memory of exactly its size, so that reading beyond it is noticed. */
	exact = realloc(bytes, count ? count : 1);
	if (exact)
		LLVMFuzzerTestOneInput(exact, count);
	free(exact);
	return exact;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		/* Said before: who crashes leaves the name of what it crashed on. */
		printf("%s\n", argv[i]);
		fflush(stdout);
		if (!replay(argv[i]))
			return 1;
	}
	printf("%d inputs\n", argc - 1);
	return 0;
}
