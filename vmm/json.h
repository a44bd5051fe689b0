/*
 * A writer of JSON (RFC 8259): values are appended to a stream in the order in which they stand in
 * the text; commas, quotes, escapes and indentation are the writer's business.
 *
 * Inside an object each value needs a key; inside an array, and for the outermost value, the key is
 * NULL. Text may hold any bytes: what isn't printable ASCII or valid UTF-8 is escaped, each such
 * byte as the code point of its number. '<' is escaped too, so that no text ends a script that has it.
 */
#ifndef BANTAM_VMM_JSON_H
#define BANTAM_VMM_JSON_H

#include <stdio.h>

#include "vmm/types.h"

enum { JSON_DEPTH_MAX = 16 };

/* Begins with out alone set. */
struct json {
	FILE *out;
	unsigned depth;
	bool filled[JSON_DEPTH_MAX + 1]; /* whether that level has a value already */
};

/* An object, "{" and "}", or an array, "[" and "]". */
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);

/* A text as it stands between quotes; what has no room (1 or more, the NUL included) is left out. */
void json_escape(char *to, size_t room, const char *text);

void json_text(struct json *json, const char *key, const char *text);

/* A value that is no text, printf-like: a number, true, false or null. */
void json_value(struct json *json, const char *key, const char *format, ...) PRINTF(3, 4);

#endif
