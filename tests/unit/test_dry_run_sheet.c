/*
 * vmm/dry_run_sheet.c: the same calls as text and as JSON.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "vmm/dry_run_sheet.h"

static void test_sizes(void **state)
{
	static const struct {
		u64 bytes;
		const char *words;
	} sizes[] = {
		{0, "0 bytes"},
		{1023, "1023 bytes"},
		{1024, "1 KiB"},
		{1280, "1280 bytes"},
		{20000, "19.5 KiB"},
		{5000 * MIB, "5000 MiB"},
		{MIB + KIB, "1025 KiB"},
		{20 * MIB + KIB, "20.0 MiB"},
		{1024 * GIB, "1 TiB"},
		{5000 * 1024 * GIB, "5000 TiB"},
		{~(u64)0, "16777216.0 TiB"},
	};
	char words[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		assert_string_equal(sheet_size(sizes[i].bytes, words, sizeof(words)),
				    sizes[i].words);
}

/* A sheet that is written to memory. */
struct paper {
	struct sheet sheet;
	FILE *out;
	char *text;
	size_t bytes;
};

static struct sheet *paper_take(struct paper *paper, bool as_json)
{
	*paper = (struct paper){.out = NULL};
	paper->out = open_memstream(&paper->text, &paper->bytes);
	assert_non_null(paper->out);
	sheet_start(&paper->sheet, paper->out, as_json);
	return &paper->sheet;
}

static void paper_check(struct paper *paper, const char *text)
{
	struct error err = {.text = ""};

	assert_int_equal(sheet_finish(&paper->sheet, &err), 0);
	fclose(paper->out);
	assert_string_equal(paper->text, text);
	free(paper->text);
}

static void write_facts(struct sheet *sheet)
{
	sheet_open(sheet, "key", "A title");
	sheet_text(sheet, "two_words", "");
	sheet_hex(sheet, "address", 0x1000, "for people");
	sheet_number(sheet, "count", 12, NULL);
	sheet_bytes(sheet, "bytes", 2048);
	sheet_bool(sheet, "flag", true);
	sheet_open_list(sheet, "list");
	sheet_item(sheet, "a");
	sheet_item(sheet, "b");
	sheet_close_list(sheet);
	sheet_note(sheet, "a note");
	sheet_close(sheet);
	sheet_none(sheet, "none");
}

static void test_facts(void **state)
{
	struct paper paper;

	(void)state;
	write_facts(paper_take(&paper, false));
	paper_check(&paper, "\nA title\n"
			    "  two words              (empty)\n"
			    "  address                0x1000       for people\n"
			    "  count                  12\n"
			    "  bytes                  2 KiB\n"
			    "  flag                   yes\n"
			    "  list                   a b\n"
			    "  a note\n");
	write_facts(paper_take(&paper, true));
	paper_check(&paper, "{\n  \"key\": {\n"
			    "    \"two_words\": \"\",\n"
			    "    \"address\": \"0x1000\",\n"
			    "    \"count\": 12,\n"
			    "    \"bytes\": 2048,\n"
			    "    \"flag\": true,\n"
			    "    \"list\": [\n      \"a\",\n      \"b\"\n    ]\n"
			    "  },\n  \"none\": null\n}\n");
}

static void write_fields(struct sheet *sheet)
{
	static const struct bit_name bits[] = {{1, "ONE"}, {2, "TWO"}, {0, NULL}};
	static const struct sheet_field fields[] = {
		{.name = "number", .offset = 0, .bytes = 2, .decimal = true, .meaning = "a count"},
		{.name = "flags", .offset = 2, .bytes = 1, .bits = bits},
		{.name = "block", .offset = 3, .bytes = 9, .meaning = "a lot"},
	};
	static const u8 bytes[12] = {0x01, 0x02, 0x21, 0, 0, 1};

	sheet_fields(sheet, NULL, bytes, fields, ARRAY_LEN(fields));
}

static void test_fields(void **state)
{
	struct paper paper;

	(void)state;
	write_fields(paper_take(&paper, false));
	paper_check(&paper, "  0x0    number                   513          a count\n"
			    "  0x2    flags                    0x21         = ONE bit_5\n"
			    "  0x3    block                    not zero     a lot\n");
	write_fields(paper_take(&paper, true));
	paper_check(&paper, "{\n  \"fields\": {\n"
			    "    \"number\": {\n      \"offset\": \"0x0\",\n      \"bytes\": 2,\n"
			    "      \"value\": 513,\n      \"meaning\": \"a count\"\n    },\n"
			    "    \"flags\": {\n      \"offset\": \"0x2\",\n      \"bytes\": 1,\n"
			    "      \"value\": \"0x21\",\n"
			    "      \"bits\": [\n        \"ONE\",\n        \"bit_5\"\n      ],\n"
			    "      \"meaning\": \"\"\n    },\n"
			    "    \"block\": {\n      \"offset\": \"0x3\",\n      \"bytes\": 9,\n"
			    "      \"zero\": false,\n      \"meaning\": \"a lot\"\n    }\n"
			    "  }\n}\n");
}

static void write_table(struct sheet *sheet)
{
	static const struct sheet_column columns[] = {
		{"at", SHEET_HEX, 6}, {"the_size", SHEET_BYTES, 8}, {"words", SHEET_TEXT, 0}};

	sheet_open_table(sheet, "rows", NULL, columns, ARRAY_LEN(columns));
	sheet_row(sheet, (const struct sheet_cell[]){
				 {.number = 0x10}, {.number = 4096}, {.text = "some words"}});
	sheet_row(sheet, (const struct sheet_cell[]){{.none = true}, {.number = 1}, {.text = ""}});
	sheet_close_table(sheet);
}

static void test_tables(void **state)
{
	struct paper paper;

	(void)state;
	write_table(paper_take(&paper, false));
	paper_check(&paper, "  at      the size  words\n"
			    "  0x10    4 KiB     some words\n"
			    "  -       1 byte\n");
	write_table(paper_take(&paper, true));
	paper_check(&paper, "{\n  \"rows\": [\n"
			    "    {\n      \"at\": \"0x10\",\n      \"the_size\": 4096,\n"
			    "      \"words\": \"some words\"\n    },\n"
			    "    {\n      \"at\": null,\n      \"the_size\": 1,\n"
			    "      \"words\": \"\"\n    }\n"
			    "  ]\n}\n");
}

/* At 100 columns, behind a word; letters count, not bytes; control characters don't pass. */
static void test_wrapping(void **state)
{
	char words[240] = "";
	struct paper paper;

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		strcat(words, i ? " \u00e4bcdefg" : "\u00e4bcdefg");
	sheet_text(paper_take(&paper, false), "key", words);
	paper_check(&paper,
		    "  key                    "
		    "\u00e4bcdefg \u00e4bcdefg \u00e4bcdefg \u00e4bcdefg \u00e4bcdefg \u00e4bcdefg "
		    "\u00e4bcdefg \u00e4bcdefg \u00e4bcdefg\n"
		    "                         "
		    "\u00e4bcdefg \u00e4bcdefg \u00e4bcdefg \u00e4bcdefg \u00e4bcdefg \u00e4bcdefg "
		    "\u00e4bcdefg \u00e4bcdefg \u00e4bcdefg\n"
		    "                         \u00e4bcdefg \u00e4bcdefg\n");
	memset(words, 'x', 120);
	words[120] = '\0';
	memcpy(words, "a \x1b[1m\n\x7f", 8);
	sheet_note(paper_take(&paper, false), words);
	fflush(paper.out);
	assert_memory_equal(paper.text, "  a\n  ?[1m??xxx", 15);
	fclose(paper.out);
	free(paper.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),    cmocka_unit_test(test_facts),
		cmocka_unit_test(test_fields),   cmocka_unit_test(test_tables),
		cmocka_unit_test(test_wrapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
