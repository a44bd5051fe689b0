/*
 * A file of symbols (vmm/symbols.c), and the stack of a guest with them (vmm/x86/calls.c).
 *
 * Input: RSP and RIP, 2 bytes each; how much is the file's, 2 bytes; the file; the rest is the guest's
 * memory, which has no paging.
 *
 * Checked: a refusal gives its reason in a line; what is taken is sorted, and each name lies in the file
 * and is printable; every address is described in text that fits; a stack's walk ends, behind RSP, and
 * finds addresses in functions alone.
 */
#include <ctype.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/support.h"
#include "vmm/symbols.h"
#include "vmm/x86/calls.h"

enum { RAM_BYTES = 0x1000, STACK_BYTES = 0x400 };

static void check_text(const char *text)
{
	const char *const end = memchr(text, '\0', SYMBOL_TEXT_BYTES);

	FUZZ_CHECK(end && strrchr(text, '+') > text && strrchr(text, '/') > text);
	for (; *text; text++)
		FUZZ_CHECK(isgraph((unsigned char)*text));
}

static void check_symbols(const struct symbols *symbols)
{
	u64 before = 0;

	FUZZ_CHECK(symbols->count > 0);
	for (size_t i = 0; i < symbols->count; i++) {
		const struct symbol *symbol = &symbols->symbol[i];
		char text[SYMBOL_TEXT_BYTES];

		FUZZ_CHECK(symbol->address >= before);
		before = symbol->address;
		for (u64 back = 0; back < 2; back++) {
			if (symbols_describe(symbols, symbol->address, back, text))
				check_text(text);
			else
				FUZZ_CHECK(!text[0]);
		}
	}
}

static void check_stack(struct calls *calls)
{
	const u64 end = calls->rsp + STACK_BYTES;
	char text[SYMBOL_TEXT_BYTES];
	u64 address, last = calls->rsp;

	(void)calls_find(calls);
	while ((address = calls_next(calls, end, text)) != 0) {
		char again[SYMBOL_TEXT_BYTES];

		check_text(text);
		FUZZ_CHECK(calls->rsp > last && calls->rsp < end + sizeof(u64));
		FUZZ_CHECK(symbols_describe(calls->symbols, address - calls->slide, 1, again) &&
			   strcmp(again, text) == 0);
		last = calls->rsp;
	}
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	struct input input = {bytes, count};
	u8 ram[RAM_BYTES] = {0};
	const struct memory memory = {
		.region = {{0, RAM_BYTES, ram}}, .regions = 1, .bytes = RAM_BYTES};
	struct symbols symbols = {.count = 0};
	struct calls calls = {.symbols = &symbols, .memory = &memory};
	struct error err = {.text = ""};
	struct temp_file file;
	size_t length;

	calls.rsp = input_take(&input, 2);
	calls.rip = input_take(&input, 2);
	length = (size_t)input_take(&input, 2);
	length = length < input.left ? length : input.left;
	temp_file_make(&file, input.bytes, length);
	input.left -= length;
	memcpy(ram, input.bytes + length, input.left < RAM_BYTES ? input.left : RAM_BYTES);
	if (symbols_open(&symbols, file.path, &err)) {
		FUZZ_CHECK(err.text[0] && !strchr(err.text, '\n'));
	} else {
		check_symbols(&symbols);
		(void)symbols_check(&symbols, &memory, &err);
		check_stack(&calls);
	}
	symbols_close(&symbols);
	temp_file_free(&file);
	return 0;
}
