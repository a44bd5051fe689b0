/*
 * A writer of JSON (RFC 8259): values are appended to a stream in the order in which they stand in
 * the text; commas, quotes, escapes and indentation are the writer's business.
 *
 * Inside an object each value needs a key; inside an array, and for the outermost value, the key is
 * NULL. Text may hold any bytes: what isn't printable ASCII or valid UTF-8 is escaped, each such
 * byte as the code point of its number.
 */
#ifndef BANTAM_VMM_JSON_H
#define BANTAM_VMM_JSON_H

#include <stdio.h>

#include "vmm/types.h"

enum { JSON_DEPTH_MAX = 16 };

struct json {
	FILE *out;
	unsigned depth;
	bool filled[JSON_DEPTH_MAX + 1]; /* whether that level has a value already */
};

void json_init(struct json *json, FILE *out);

void json_open_object(struct json *json, const char *key);
void json_close_object(struct json *json);
void json_open_array(struct json *json, const char *key);
void json_close_array(struct json *json);

void json_text(struct json *json, const char *key, const char *text);
void json_number(struct json *json, const char *key, u64 value);
/* Three digits behind the point: milliseconds that were measured in microseconds. */
void json_fraction(struct json *json, const char *key, double value);
/* JSON has no hexadecimal numbers: a string such as "0x1000". */
void json_hex(struct json *json, const char *key, u64 value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

#endif
