/*
 * A report as text or as JSON: see sheet.h.
 *
 * Limits: a word that is longer than a line is not broken.
 */
#include "vmm/sheet.h"

#include <string.h>

enum { LINE_COLUMNS = 100, INDENT = 2, GAP = 2, FACT_AT = 25, WORDS = 4096 };

static void end_line(struct sheet *sheet)
{
	fputc('\n', sheet->out);
	sheet->at = 0;
}

/* Puts text at the column `left`, or behind what is there, and its further lines too. */
static void put(struct sheet *sheet, int left, const char *text)
{
	if (!*text)
		return;
	if (sheet->at > 0 && left < sheet->at + GAP)
		left = sheet->at + GAP;
	sheet->at += fprintf(sheet->out, "%*s", left - sheet->at, "");
	for (; *text; text++) {
		const unsigned char byte = (unsigned char)*text;
		/* What UTF-8 writes as 0xc2, 0x80 to 0x9f are control characters too. */
		const bool control = byte == 0xc2 && ((unsigned char)text[1] & 0xe0) == 0x80;

		if (byte == ' ' && sheet->at + 1 + (int)strcspn(text + 1, " ") > LINE_COLUMNS) {
			end_line(sheet);
			sheet->at = fprintf(sheet->out, "%*s", left, "");
			continue;
		}
		fputc(byte < 0x20 || byte == 0x7f || control ? '?' : byte, sheet->out);
		text += control;
		/* Bytes 0x80 to 0xbf continue a UTF-8 letter. */
		sheet->at += (byte & 0xc0) != 0x80;
	}
}

/* In the largest unit that tells it exactly. */
static void print_size(char *text, size_t size, u64 bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
	unsigned unit = 0;

	while (unit + 1 < ARRAY_LEN(units) && bytes && bytes % KIB == 0) {
		bytes /= KIB;
		unit++;
	}
	snprintf(text, size, "%llu %s", bytes, units[unit]);
}

static void put_cell(struct sheet *sheet, int left, const struct cell *cell)
{
	char text[40] = "-";

	if (cell->kind == CELL_SIZE)
		print_size(text, sizeof(text), cell->number);
	else if (cell->kind == CELL_YES_NO)
		snprintf(text, sizeof(text), "%s", cell->number ? "yes" : "no");
	else if (cell->kind != CELL_NONE)
		snprintf(text, sizeof(text), cell->kind == CELL_HEX ? "0x%llx" : "%llu",
			 cell->number);
	put(sheet, left, cell->kind == CELL_TEXT ? cell->text : text);
}

static void json_cell(struct json *json, const char *key, const struct cell *cell)
{
	const u64 number = cell->number;

	if (cell->kind == CELL_TEXT)
		json_text(json, key, cell->text);
	else if (cell->kind == CELL_HEX) /* JSON has no hexadecimal numbers */
		json_value(json, key, "\"0x%llx\"", number);
	else if (cell->kind == CELL_COUNT || cell->kind == CELL_SIZE)
		json_value(json, key, "%llu", number);
	else
		json_value(json, key, "%s",
			   cell->kind == CELL_NONE ? "null"
			   : number                ? "true"
						   : "false");
}

/* Whether what is open is a JSON object: facts, or a table by name. */
static bool by_name(const struct sheet *sheet)
{
	return !sheet->columns || strcmp(sheet->columns[0].name, "name") == 0;
}

static void close_section(struct sheet *sheet)
{
	if (sheet->as_json && sheet->json.depth > 1)
		json_close(&sheet->json, by_name(sheet) ? '}' : ']');
}

void sheet_start(struct sheet *sheet, FILE *out, bool as_json)
{
	*sheet = (struct sheet){.out = out, .as_json = as_json, .json = {.out = out}};
	if (as_json)
		json_open(&sheet->json, NULL, '{');
}

int sheet_finish(struct sheet *sheet, struct error *err)
{
	close_section(sheet);
	if (sheet->as_json)
		json_close(&sheet->json, '}');
	if (fflush(sheet->out) == 0 && !ferror(sheet->out))
		return 0;
	return error_errno(err, "cannot write the report");
}

void sheet_open(struct sheet *sheet, const char *key, const char *title,
		const struct column *columns)
{
	int left = INDENT;

	close_section(sheet);
	sheet->columns = columns;
	if (sheet->as_json) {
		json_open(&sheet->json, key, by_name(sheet) ? '{' : '[');
		return;
	}
	fprintf(sheet->out, "\n%s: %s\n", key, title);
	for (; columns; columns = columns->width ? columns + 1 : NULL) {
		put(sheet, left, columns->name);
		left += columns->width + GAP;
	}
	if (sheet->columns)
		end_line(sheet);
}

void sheet_fact(struct sheet *sheet, const char *key, struct cell value)
{
	if (sheet->as_json) {
		json_cell(&sheet->json, key, &value);
		return;
	}
	put(sheet, INDENT, key);
	put_cell(sheet, FACT_AT, &value);
	end_line(sheet);
}

void sheet_cells(struct sheet *sheet, const struct cell *cell)
{
	const struct column *column = sheet->columns;
	int left = INDENT;

	if (sheet->as_json)
		json_open(&sheet->json, by_name(sheet) ? cell->text : NULL, '{');
	for (bool last = false; !last; column++, cell++) {
		last = column->width == 0;
		if (!sheet->as_json)
			put_cell(sheet, left, cell);
		else if (column != sheet->columns || !by_name(sheet))
			json_cell(&sheet->json, column->name, cell);
		left += column->width + GAP;
	}
	if (sheet->as_json)
		json_close(&sheet->json, '}');
	else
		end_line(sheet);
}

u64 sheet_load(const u8 *at, unsigned bytes)
{
	u64 value = 0;

	for (unsigned i = 0; i < bytes && i < sizeof(value); i++)
		value |= (u64)at[i] << (8 * i);
	return value;
}

/* The text at gpa, as far as it is in RAM and there is room for it. */
static const char *read_text(const struct memory *memory, u64 gpa, char text[WORDS])
{
	size_t used = 0;

	while (used < WORDS - 1 && memory_read(memory, gpa + used, text + used, 1) && text[used])
		used++;
	text[used] = '\0';
	return memory_at(memory, gpa, 1) ? text : "not in RAM";
}

const struct column sheet_field_columns[4] = {
	{"name", 23}, {"offset", 6}, {"value", 12}, {"meaning", 0}};

void sheet_fields(struct sheet *sheet, const struct memory *memory, const void *bytes,
		  const struct field *field, size_t count)
{
	for (; count > 0; count--, field++) {
		const u8 *at = (const u8 *)bytes + field->offset;
		const u64 number = sheet_load(at, field->bytes);
		const char *words = field->what ? field->what : "";
		struct cell value = {(enum cell_kind)field->kind, {number}};
		char text[WORDS];

		if (field->bits)
			words = bit_names(number, field->what, field->bits, text, sizeof(text));
		if (field->kind == CELL_TEXT) {
			words = read_text(memory, number, text);
			value = HEX(number);
		}
		if (field->bytes > sizeof(number))
			value = TEXT(!at[0] && !memcmp(at, at + 1, field->bytes - 1U) ? "zero"
										      : "not zero");
		sheet_row(sheet, TEXT(field->name), HEX(field->offset), value, TEXT(words));
	}
}
