/*
 * vmm/json.c: the text of each kind of value, escapes for any bytes, commas and levels. A small
 * reader of JSON's grammar (RFC 8259) looks at whatever is written here.
 */
#include "tests/unit/test.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/support.h"
#include "vmm/json.h"

/* ---- a reader that knows good from bad, and nothing more ---- */

static const char *skip_space(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

static const char *read_value(const char *at);

static const char *read_string(const char *at)
{
	if (*at++ != '"')
		return NULL;
	while (*at != '"') {
		if ((unsigned char)*at < 0x20)
			return NULL;
		if (*at == '\\' && at[1] == 'u') {
			for (unsigned i = 2; i < 6; i++) {
				if (!isxdigit((unsigned char)at[i]))
					return NULL;
			}
			at += 6;
		} else if (*at == '\\') {
			if (!at[1] || !strchr("\"\\/bfnrt", at[1]))
				return NULL;
			at += 2;
		} else {
			at++;
		}
	}
	return at + 1;
}

static const char *read_number(const char *at)
{
	char *end;

	at += *at == '-';
	if (!isdigit((unsigned char)*at) || (*at == '0' && isdigit((unsigned char)at[1])))
		return NULL;
	(void)strtod(at, &end);
	return end;
}

static const char *read_level(const char *at, char close, bool keys)
{
	at = skip_space(at + 1);
	if (*at == close)
		return at + 1;
	for (;;) {
		if (keys) {
			at = read_string(at);
			at = at ? skip_space(at) : NULL;
			if (!at || *at++ != ':')
				return NULL;
		}
		at = read_value(at);
		if (!at)
			return NULL;
		if (*at == close)
			return at + 1;
		if (*at++ != ',')
			return NULL;
		at = skip_space(at);
	}
}

static const char *read_value(const char *at)
{
	static const char *const words[] = {"true", "false", "null"};
	const char *end = NULL;

	at = skip_space(at);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strncmp(at, words[i], strlen(words[i])) == 0)
			end = at + strlen(words[i]);
	}
	if (*at == '{' || *at == '[')
		end = read_level(at, *at == '{' ? '}' : ']', *at == '{');
	else if (*at == '"')
		end = read_string(at);
	else if (!end)
		end = read_number(at);
	return end ? skip_space(end) : NULL;
}

static void assert_json(const char *text)
{
	const char *end = read_value(text);

	if (!end || *end)
		fail_msg("this is no JSON: %s", text);
}

/* ---- what is written ---- */

struct page {
	struct json json;
	FILE *out;
	char *text;
	size_t bytes;
};

static struct json *begin(struct page *page)
{
	page->out = open_memstream(&page->text, &page->bytes);
	assert_non_null(page->out);
	page->json = (struct json){.out = page->out};
	return &page->json;
}

static void end(struct page *page)
{
	assert_int_equal(fclose(page->out), 0);
	assert_int_equal(strlen(page->text), page->bytes);
	assert_json(page->text);
}

/* The text as the only value of a document. */
static void assert_text(const char *text, const char *written)
{
	struct page page;

	json_text(begin(&page), NULL, text);
	end(&page);
	assert_string_equal(page.text, written);
	free(page.text);
}

static void test_the_reader_knows_good_from_bad(void **state)
{
	static const char *const good[] = {"{}", "[1, -2.5, \"a\\u0041\"]",
					   "{\"a\": {\"b\": [true, null]}}"};
	static const char *const bad[] = {"",      "{\"a\" 1}",  "[1,]", "{,}",
					  "[1 2]", "\"\\x41\"",  "01",   "\"a\nb\"",
					  "nan",   "{\"a\": 1,", "{1:2}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_json(good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *at = read_value(bad[i]);

		assert_true(!at || *at);
	}
}

static void test_every_kind_of_value(void **state)
{
	struct page page;
	struct json *json = begin(&page);

	(void)state;
	json_open(json, NULL, '{');
	json_text(json, "text", "words");
	json_value(json, "most", "%llu", ULLONG_MAX);
	json_value(json, "ms", "%.3f", 1234.5678);
	json_value(json, "yes", "true");
	json_value(json, "nothing", "null");
	json_close(json, '}');
	end(&page);
	assert_string_equal(page.text, "{\n"
				       "  \"text\": \"words\",\n"
				       "  \"most\": 18446744073709551615,\n"
				       "  \"ms\": 1234.568,\n"
				       "  \"yes\": true,\n"
				       "  \"nothing\": null\n"
				       "}\n");
	free(page.text);
}

static void test_levels(void **state)
{
	struct page page;
	struct json *json = begin(&page);

	(void)state;
	json_open(json, NULL, '{');
	json_open(json, "empty", '{');
	json_close(json, '}');
	json_open(json, "none", '[');
	json_close(json, ']');
	json_open(json, "rows", '[');
	json_value(json, NULL, "%d", 1);
	json_open(json, NULL, '{');
	json_value(json, "a", "%d", 2);
	json_close(json, '}');
	json_open(json, NULL, '[');
	json_close(json, ']');
	json_close(json, ']');
	json_value(json, "last", "%d", 3);
	json_close(json, '}');
	end(&page);
	assert_string_equal(page.text, "{\n"
				       "  \"empty\": {},\n"
				       "  \"none\": [],\n"
				       "  \"rows\": [\n"
				       "    1,\n"
				       "    {\n"
				       "      \"a\": 2\n"
				       "    },\n"
				       "    []\n"
				       "  ],\n"
				       "  \"last\": 3\n"
				       "}\n");
	free(page.text);
}

static void test_depth(void **state)
{
	(void)state;
	/* Beyond the deepest level the layout is lost, not the memory behind the struct. */
	for (unsigned depth = 1; depth <= 2 * JSON_DEPTH_MAX; depth++) {
		struct page page;
		struct json *json = begin(&page);

		for (unsigned i = 0; i < depth; i++)
			json_open(json, NULL, '[');
		for (unsigned i = 0; i < depth; i++)
			json_close(json, ']');
		end(&page);
		free(page.text);
	}
}

static void test_escapes(void **state)
{
	(void)state;
	assert_text("", "\"\"");
	assert_text("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
	assert_text("\n\r\t\b\f\x1b\x01", "\"\\u000a\\u000d\\u0009\\u0008\\u000c\\u001b\\u0001\"");
	assert_text("\x7f", "\"\\u007f\"");
	assert_text("%s%n", "\"%s%n\"");
}

static void test_keys_are_escaped_too(void **state)
{
	struct page page;
	struct json *json = begin(&page);

	(void)state;
	json_open(json, NULL, '{');
	json_value(json, "a\"\n", "%d", 1);
	json_close(json, '}');
	end(&page);
	assert_says(page.text, "\"a\\\"\\u000a\": 1");
	free(page.text);
}

static void test_utf8_stays(void **state)
{
	/* The first and last characters of each length, and those around the surrogates. */
	static const char *const good[] = {"\xc2\x80",         "\xdf\xbf",        "\xe0\xa0\x80",
					   "\xed\x9f\xbf",     "\xee\x80\x80",    "\xef\xbf\xbf",
					   "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		char written[16];

		snprintf(written, sizeof(written), "\"%s\"", good[i]);
		assert_text(good[i], written);
	}
	assert_text("gr\xc3\xbc\xc3\x9f dich", "\"gr\xc3\xbc\xc3\x9f dich\"");
}

static void test_bytes_that_are_no_utf8(void **state)
{
	(void)state;
	assert_text("\x80", "\"\\u0080\"");
	assert_text("\xff", "\"\\u00ff\"");
	assert_text("\xc3", "\"\\u00c3\"");                       /* cut short */
	assert_text("\xe2\x82", "\"\\u00e2\\u0082\"");            /* the same */
	assert_text("\xe2\x82z", "\"\\u00e2\\u0082z\"");          /* what follows survives */
	assert_text("\xc0\x80", "\"\\u00c0\\u0080\"");            /* overlong */
	assert_text("\xe0\x9f\xbf", "\"\\u00e0\\u009f\\u00bf\""); /* overlong */
	assert_text("\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\""); /* a surrogate */
	assert_text("\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\""); /* beyond the last */
	assert_text("\xc3\"", "\"\\u00c3\\\"\""); /* the quote isn't swallowed */
}

static void test_any_bytes_give_json(void **state)
{
	u32 random = 4711;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		char text[24];
		struct page page;
		size_t length = next_random(&random) % sizeof(text);

		for (size_t i = 0; i < length; i++)
			text[i] = (char)(next_random(&random) % 255 + 1);
		text[length] = '\0';
		json_text(begin(&page), NULL, text);
		end(&page);
		for (size_t i = 0; i < page.bytes; i++)
			assert_true((unsigned char)page.text[i] >= 0x20 && page.text[i] != 0x7f);
		free(page.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_reader_knows_good_from_bad),
		cmocka_unit_test(test_every_kind_of_value),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_keys_are_escaped_too),
		cmocka_unit_test(test_utf8_stays),
		cmocka_unit_test(test_bytes_that_are_no_utf8),
		cmocka_unit_test(test_any_bytes_give_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
