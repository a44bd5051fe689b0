/*
 * vmm/sheet.c: the same calls as text and as JSON.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/support.h"
#include "vmm/sheet.h"

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
	sheet_open(sheet, "key", "A title", NULL);
	sheet_fact(sheet, "a_text", TEXT("two words"));
	sheet_fact(sheet, "empty", TEXT(""));
	sheet_fact(sheet, "address", HEX(0x1000));
	sheet_fact(sheet, "count", COUNT(12));
	sheet_fact(sheet, "bytes", SIZE(2048));
	sheet_fact(sheet, "nothing", NONE);
	sheet_fact(sheet, "good", YES_NO(true));
	sheet_fact(sheet, "bad", YES_NO(false));
	sheet_open(sheet, "other", "Another", NULL);
}

static void test_facts(void **state)
{
	struct paper paper;

	(void)state;
	write_facts(paper_take(&paper, false));
	paper_check(&paper, "\nkey: A title\n"
			    "  a_text                 two words\n"
			    "  empty\n"
			    "  address                0x1000\n"
			    "  count                  12\n"
			    "  bytes                  2 KiB\n"
			    "  nothing                -\n"
			    "  good                   yes\n"
			    "  bad                    no\n"
			    "\nother: Another\n");
	write_facts(paper_take(&paper, true));
	paper_check(&paper, "{\n  \"key\": {\n"
			    "    \"a_text\": \"two words\",\n"
			    "    \"empty\": \"\",\n"
			    "    \"address\": \"0x1000\",\n"
			    "    \"count\": 12,\n"
			    "    \"bytes\": 2048,\n"
			    "    \"nothing\": null,\n"
			    "    \"good\": true,\n"
			    "    \"bad\": false\n"
			    "  },\n  \"other\": {}\n}\n");
}

static void test_nothing_at_all(void **state)
{
	struct paper paper;

	(void)state;
	paper_take(&paper, false);
	paper_check(&paper, "");
	paper_take(&paper, true);
	paper_check(&paper, "{}\n");
}

/* The largest unit that tells a size exactly. */
static void test_sizes(void **state)
{
	static const struct {
		u64 bytes;
		const char *line;
	} sizes[] = {
		{0, "  size                   0 bytes\n"},
		{1023, "  size                   1023 bytes\n"},
		{1024, "  size                   1 KiB\n"},
		{5000 * MIB, "  size                   5000 MiB\n"},
		{MIB + KIB, "  size                   1025 KiB\n"},
		{1024 * GIB, "  size                   1024 GiB\n"},
		{~(u64)0, "  size                   18446744073709551615 bytes\n"},
	};
	struct paper paper;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		sheet_fact(paper_take(&paper, false), "size", SIZE(sizes[i].bytes));
		paper_check(&paper, sizes[i].line);
	}
}

static void write_fields(struct sheet *sheet, const struct memory *memory)
{
	static const struct bit_name bits[] = {{1, "ONE"}, {2, "TWO"}};
	static const struct field fields[] = {
		{"number", 0, 2, CELL_COUNT, 0, "a count"},
		{"flags", 2, 1, CELL_HEX, ARRAY_LEN(bits), bits},
		{"block", 3, 9, CELL_HEX, 0, "a lot"},
		{"zeros", 6, 9, CELL_HEX, 0, NULL},
		{"text", 15, 1, CELL_TEXT, 0, NULL},
		{"nowhere", 16, 8, CELL_TEXT, 0, NULL},
	};
	static const u8 bytes[24] = {1,    2,    0x21, 0,    0,    1,    0,    0,
				     0,    0,    0,    0,    0,    0,    0,    0x80,
				     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	sheet_open(sheet, "struct", "A structure", sheet_field_columns);
	sheet_fields(sheet, memory, bytes, fields, ARRAY_LEN(fields));
}

static void test_fields(void **state)
{
	struct arena arena;
	struct paper paper;

	(void)state;
	arena_make(&arena, PAGE_BYTES, 0);
	memcpy(memory_at(&arena.memory, 0x80, 8), "a text\n", 8);
	write_fields(paper_take(&paper, false), &arena.memory);
	paper_check(&paper, "\nstruct: A structure\n"
			    "  name                     offset  value         meaning\n"
			    "  number                   0x0     513           a count\n"
			    "  flags                    0x2     0x21          ONE,0x20\n"
			    "  block                    0x3     not zero      a lot\n"
			    "  zeros                    0x6     zero\n"
			    "  text                     0xf     0x80          a text?\n"
			    "  nowhere                  0x10    0xffffffffffffffff  not in RAM\n");
	write_fields(paper_take(&paper, true), &arena.memory);
	fflush(paper.out);
	assert_says(paper.text, "{\n  \"struct\": {\n"
				"    \"number\": {\n      \"offset\": \"0x0\",\n"
				"      \"value\": 513,\n      \"meaning\": \"a count\"\n    },\n"
				"    \"flags\": {\n      \"offset\": \"0x2\",\n"
				"      \"value\": \"0x21\",\n"
				"      \"meaning\": \"ONE,0x20\"\n    },\n");
	assert_says(paper.text, "\"value\": \"not zero\",\n");
	assert_says(paper.text, "\"meaning\": \"a text\\u000a\"\n");
	fclose(paper.out);
	free(paper.text);
	arena_free(&arena);
}

/* A text without an end, up to the end of RAM. */
static void test_a_text_without_end(void **state)
{
	static const struct field field = {"text", 0, 2, CELL_TEXT, 0, NULL};
	static const u8 bytes[2] = {0xfd, 0x0f};
	struct arena arena;
	struct paper paper;

	(void)state;
	arena_make(&arena, PAGE_BYTES, 0);
	memset(memory_at(&arena.memory, 0, PAGE_BYTES), 'x', PAGE_BYTES);
	sheet_open(paper_take(&paper, false), "a", "b", sheet_field_columns);
	sheet_fields(&paper.sheet, &arena.memory, bytes, &field, 1);
	fflush(paper.out);
	assert_says(paper.text, "  0xffd         xxx\n");
	fclose(paper.out);
	free(paper.text);
	arena_free(&arena);
}

static void write_table(struct sheet *sheet)
{
	static const struct column columns[] = {{"at", 6}, {"the_size", 8}, {"words", 0}};

	sheet_open(sheet, "rows", "Rows", columns);
	sheet_row(sheet, HEX(0x10), SIZE(4096), TEXT("some words"));
	sheet_row(sheet, NONE, SIZE(1), TEXT(""));
	sheet_row(sheet, HEX(0x123456789a), NONE, TEXT("pushed"));
}

static void test_tables(void **state)
{
	struct paper paper;

	(void)state;
	write_table(paper_take(&paper, false));
	paper_check(&paper, "\nrows: Rows\n"
			    "  at      the_size  words\n"
			    "  0x10    4 KiB     some words\n"
			    "  -       1 bytes\n"
			    "  0x123456789a  -   pushed\n");
	write_table(paper_take(&paper, true));
	paper_check(&paper, "{\n  \"rows\": [\n"
			    "    {\n      \"at\": \"0x10\",\n      \"the_size\": 4096,\n"
			    "      \"words\": \"some words\"\n    },\n"
			    "    {\n      \"at\": null,\n      \"the_size\": 1,\n"
			    "      \"words\": \"\"\n    },\n"
			    "    {\n      \"at\": \"0x123456789a\",\n      \"the_size\": null,\n"
			    "      \"words\": \"pushed\"\n    }\n"
			    "  ]\n}\n");
}

/* At 100 columns, behind a word; control characters don't pass, UTF-8's own neither. */
static void test_wrapping(void **state)
{
	char words[240] = "";
	struct paper paper;

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		strcat(words, i ? " abcdefg" : "abcdefg");
	sheet_fact(paper_take(&paper, false), "key", TEXT(words));
	paper_check(&paper,
		    "  key                    "
		    "abcdefg abcdefg abcdefg abcdefg abcdefg abcdefg abcdefg abcdefg abcdefg\n"
		    "                         "
		    "abcdefg abcdefg abcdefg abcdefg abcdefg abcdefg abcdefg abcdefg abcdefg\n"
		    "                         abcdefg abcdefg\n");
	memset(words, 'x', 120);
	words[120] = '\0';
	memcpy(words, "a \x1b[1m\n\x7f\xc2\x9b\u00e4\xc2", 13);
	sheet_fact(paper_take(&paper, false), "k", TEXT(words));
	fflush(paper.out);
	assert_says(paper.text, " a\n                         ?[1m???\u00e4\xc2xxx");
	fclose(paper.out);
	free(paper.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_nothing_at_all),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_a_text_without_end),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_wrapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
