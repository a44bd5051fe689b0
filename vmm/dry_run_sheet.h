/*
 * The form of a dry run: one set of calls that writes either text for people or JSON for programs,
 * so that both say the same.
 *
 *	section	a heading; a JSON object
 *	fact	a name and what it is: "entry  0x100040"; a JSON number or string
 *	value	a register or a field of a structure: what it holds, what that means, the names
 *		of its bits; a JSON object {offset, bytes, value, bits, meaning}
 *	table	rows under column heads; a JSON array of objects
 *
 * Keys are snake_case in JSON; people see facts' keys with spaces. Numbers that are addresses or
 * bit patterns are "0x…" strings in JSON, counts and sizes are numbers. Text is wrapped at 100
 * columns, and control characters in it (a command line may have some) are shown as '?'.
 */
#ifndef BANTAM_VMM_DRY_RUN_SHEET_H
#define BANTAM_VMM_DRY_RUN_SHEET_H

#include "vmm/bits.h"
#include "vmm/json.h"
#include "vmm/memory.h"

struct sheet_column;

struct sheet {
	FILE *out;
	bool as_json;
	struct json json;
	int column;  /* where the next letter of the text's line stands … */
	int padding; /* … and how many spaces are due before it */
	const struct sheet_column *columns; /* of the open table */
	unsigned column_count;
};

/* The outermost object. sheet_finish() returns 0, or -1 with err set when not all was written. */
void sheet_start(struct sheet *sheet, FILE *out, bool as_json);
int sheet_finish(struct sheet *sheet, struct error *err);

void sheet_open(struct sheet *sheet, const char *key, const char *title);
void sheet_close(struct sheet *sheet);

/* A section that there isn't: null in JSON, nothing for people. */
void sheet_none(struct sheet *sheet, const char *key);

/* Words for people only. */
void sheet_note(struct sheet *sheet, const char *words);

/* Facts; words (or NULL) are for people only. */
void sheet_text(struct sheet *sheet, const char *key, const char *text);
void sheet_hex(struct sheet *sheet, const char *key, u64 value, const char *words);
void sheet_number(struct sheet *sheet, const char *key, u64 value, const char *words);
void sheet_bytes(struct sheet *sheet, const char *key, u64 bytes);
void sheet_bool(struct sheet *sheet, const char *key, bool value);

/* A fact that is a list of words. */
void sheet_open_list(struct sheet *sheet, const char *key);
void sheet_item(struct sheet *sheet, const char *word);
void sheet_close_list(struct sheet *sheet);

/* A table of bit names ends with one whose name is NULL; a bit without a name gets a number. */
struct sheet_value {
	const char *name;
	u64 value;
	bool decimal;   /* a count, not a pattern */
	unsigned bytes; /* above 8: value says only whether any byte isn't zero */
	unsigned offset;
	bool has_offset; /* it is part of a structure */
	const char *meaning;
	const struct bit_name *bits; /* or NULL */
};

void sheet_value(struct sheet *sheet, const struct sheet_value *value);

enum { SHEET_WORDS = 512 };

/* A field of a structure. */
struct sheet_field {
	const char *name;
	u16 offset, bytes;
	const char *meaning; /* or NULL, as the next */
	const struct bit_name *bits;
	bool decimal;
	/* Puts the value in words, for in front of the meaning; at: where the field's bytes are. */
	void (*explain)(const struct memory *memory, const u8 *at, u64 value, char *words,
			size_t size);
};

/* Shows the fields of the structure at `bytes` as the object "fields". */
void sheet_fields(struct sheet *sheet, const struct memory *memory, const u8 *bytes,
		  const struct sheet_field *field, size_t count);

enum sheet_kind { SHEET_HEX, SHEET_NUMBER, SHEET_BYTES, SHEET_TEXT };

/* The last column may be as wide as it likes: it is wrapped. */
struct sheet_column {
	const char *key;
	enum sheet_kind kind;
	int width;
};

/* `none`: nothing is there, null in JSON. */
struct sheet_cell {
	u64 number;
	const char *text;
	bool none;
};

/* title: a heading, or NULL within a section. columns live until the table is closed. */
void sheet_open_table(struct sheet *sheet, const char *key, const char *title,
		      const struct sheet_column *columns, size_t count);
void sheet_row(struct sheet *sheet, const struct sheet_cell *cells);
void sheet_close_table(struct sheet *sheet);

/* "4 KiB", "5000 MiB", "13.5 MiB", "77 bytes". Returns words. */
const char *sheet_size(u64 bytes, char *words, size_t size);

/* The little-endian number in 1 to 8 bytes. */
u64 sheet_load(const u8 *at, unsigned bytes);

#endif
