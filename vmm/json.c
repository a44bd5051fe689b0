/*
 * A writer of JSON: see json.h.
 */
#include "vmm/json.h"

#include <stdarg.h>

/* How many bytes the valid UTF-8 character at `at` has: 2 to 4, or 0 when it is none. */
static unsigned utf8_length(const unsigned char *at)
{
	const unsigned length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;

	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	for (unsigned i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, and what lies beyond Unicode. */
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return length;
}

static void put_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		const unsigned length = *at >= 0x80 ? utf8_length(at) : 0;

		if (length) {
			fwrite(at, 1, length, out);
			at += length - 1;
		} else if (*at == '"' || *at == '\\') {
			fprintf(out, "\\%c", *at);
		} else if (*at < 0x20 || *at >= 0x7f || *at == '<') {
			fprintf(out, "\\u%04x", *at);
		} else {
			fputc(*at, out);
		}
	}
	fputc('"', out);
}

/* A line of its own for each value, two spaces a level. */
static void new_line(const struct json *json)
{
	fprintf(json->out, "\n%*s", (int)(2 * json->depth), "");
}

static void begin_value(struct json *json, const char *key)
{
	if (json->filled[json->depth])
		fputc(',', json->out);
	json->filled[json->depth] = true;
	if (json->depth)
		new_line(json);
	if (key) {
		put_text(json->out, key);
		fputs(": ", json->out);
	}
}

void json_open(struct json *json, const char *key, char bracket)
{
	begin_value(json, key);
	fputc(bracket, json->out);
	if (json->depth < JSON_DEPTH_MAX)
		json->depth++;
	json->filled[json->depth] = false;
}

void json_close(struct json *json, char bracket)
{
	const bool filled = json->filled[json->depth];

	if (json->depth > 0)
		json->depth--;
	if (filled)
		new_line(json);
	fputc(bracket, json->out);
	if (json->depth == 0)
		fputc('\n', json->out);
}

void json_text(struct json *json, const char *key, const char *text)
{
	begin_value(json, key);
	put_text(json->out, text);
}

void json_value(struct json *json, const char *key, const char *format, ...)
{
	va_list args;

	begin_value(json, key);
	va_start(args, format);
	vfprintf(json->out, format, args);
	va_end(args);
}
