/*
 * A writer of JSON: see json.h.
 */
#include "vmm/json.h"

#include <stdarg.h>
#include <string.h>

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

enum { ESCAPED_MAX = 8 };

static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<';
}

/* Writes one character as it stands in a text, and a NUL. Returns how many bytes of it were read. */
static unsigned escape(const unsigned char *at, char escaped[ESCAPED_MAX])
{
	const unsigned length = *at >= 0x80 ? utf8_length(at) : 0;

	if (length)
		memcpy(escaped, at, length);
	else if (*at == '"' || *at == '\\')
		snprintf(escaped, ESCAPED_MAX, "\\%c", *at);
	else if (!is_plain((char)*at))
		snprintf(escaped, ESCAPED_MAX, "\\u%04x", *at);
	else
		memcpy(escaped, (char[]){(char)*at, '\0'}, 2);
	if (length)
		escaped[length] = '\0';
	return length ? length : 1;
}

static void put_text(FILE *out, const char *text)
{
	char escaped[ESCAPED_MAX];

	fputc('"', out);
	while (*text) {
		text += escape((const unsigned char *)text, escaped);
		fputs(escaped, out);
	}
	fputc('"', out);
}

void json_escape(char *to, size_t room, const char *text)
{
	char escaped[ESCAPED_MAX];

	for (;;) {
		for (; is_plain(*text) && room > 1; room--)
			*to++ = *text++;
		if (!*text)
			break;
		text += escape((const unsigned char *)text, escaped);
		if (strlen(escaped) >= room)
			break;
		to = stpcpy(to, escaped);
		room -= strlen(escaped);
	}
	*to = '\0';
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
