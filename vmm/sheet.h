/*
 * The form of a report: one set of calls that writes either text for people or JSON for programs,
 * so that both say the same. `run --dry-run` and `check` have it.
 * A report is a flat list of sections, each with a key and a title:
 *
 *	facts	names and values; a JSON object
 *	table	rows under column heads; a JSON array of objects, or, when the first column is
 *		called "name", an object with a key for each name
 *
 * Names are the same in both. Addresses and bit patterns are "0x…" strings in JSON, counts and
 * sizes are numbers; people see sizes as "4 KiB". Text is wrapped at 100 columns between words, and
 * control characters in it (a command line may have some) are shown as '?'.
 */
#ifndef BANTAM_VMM_SHEET_H
#define BANTAM_VMM_SHEET_H

#include "vmm/bits.h"
#include "vmm/json.h"
#include "vmm/memory.h"

enum cell_kind { CELL_NONE, CELL_TEXT, CELL_HEX, CELL_COUNT, CELL_SIZE, CELL_YES_NO };

struct cell {
	enum cell_kind kind; /* CELL_NONE: nothing is there, null in JSON */
	union {
		u64 number;
		const char *text;
	};
};

#define NONE         ((struct cell){CELL_NONE, {0}})
#define TEXT(words)  ((struct cell){CELL_TEXT, {.text = (words)}})
#define HEX(value)   ((struct cell){CELL_HEX, {value}})
#define COUNT(value) ((struct cell){CELL_COUNT, {value}})
#define SIZE(bytes)  ((struct cell){CELL_SIZE, {bytes}})
#define YES_NO(is)   ((struct cell){CELL_YES_NO, {is}})

/* Only the last column of a table has the width 0: it takes what is left of the line. */
struct column {
	char name[12];
	int width;
};

struct sheet {
	FILE *out;
	bool as_json;
	struct json json;
	int at;                       /* the column in which the text's next letter stands */
	const struct column *columns; /* of the open table; NULL: facts */
};

/* The outermost object. sheet_finish() returns 0, or -1 with err set when not all was written. */
void sheet_start(struct sheet *sheet, FILE *out, bool as_json);
int sheet_finish(struct sheet *sheet, struct error *err);

/*
 * Opens a section, which ends where the next is opened: facts when columns is NULL, or a table.
 * columns live as long as that.
 */
void sheet_open(struct sheet *sheet, const char *key, const char *title,
		const struct column *columns);

void sheet_fact(struct sheet *sheet, const char *key, struct cell value);

/* A row of the open table: a cell a column. */
#define sheet_row(sheet, ...) sheet_cells(sheet, (const struct cell[]){__VA_ARGS__})
void sheet_cells(struct sheet *sheet, const struct cell *cell);

/* A field of a structure. */
struct field {
	char name[24];
	u16 offset, bytes; /* of more than 8 bytes it is only said whether they are zero */
	u8 kind;           /* enum cell_kind; CELL_TEXT: the address of a text, which is shown */
	u8 bits;           /* how many bits have names, or 0 */
	const void *what;  /* those struct bit_name, or else the meaning: a text or NULL */
};

#define FIELD(name, type, path, kind, meaning)                                                     \
	{                                                                                          \
		name, offsetof(type, path), sizeof(((type *)NULL)->path), kind, 0, meaning         \
	}
#define FIELD_BITS(name, type, path, names)                                                        \
	{                                                                                          \
		name, offsetof(type, path), sizeof(((type *)NULL)->path), CELL_HEX,                \
			ARRAY_LEN(names), names                                                    \
	}

/* Adds a row for each field of the structure at `bytes` to a table that has these columns.
 * memory: where texts are. */
extern const struct column sheet_field_columns[4];
void sheet_fields(struct sheet *sheet, const struct memory *memory, const void *bytes,
		  const struct field *field, size_t count);

/* The little-endian number in 1 to 8 bytes. */
u64 sheet_load(const u8 *at, unsigned bytes);

#endif
