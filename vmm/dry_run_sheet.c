/*
 * The form of a dry run, text or JSON: see dry_run_sheet.h.
 *
 * Limits: a word that is longer than a line is not broken.
 */
#include "vmm/dry_run_sheet.h"

#include <errno.h>
#include <string.h>

enum { LINE_COLUMNS = 100, INDENT = 2, GAP = 2 };
enum { FACT_AT = 25, OFFSET_COLUMNS = 7, NAME_COLUMNS = 25, VALUE_COLUMNS = 13 };

/* ---- text */

static void end_line(struct sheet *sheet)
{
	fputc('\n', sheet->out);
	sheet->column = sheet->padding = 0;
}

static void put_bytes(struct sheet *sheet, const char *text, size_t count)
{
	if (count > 0) {
		fprintf(sheet->out, "%*s", sheet->padding, "");
		sheet->padding = 0;
	}
	for (size_t i = 0; i < count; i++) {
		const unsigned char byte = (unsigned char)text[i];

		fputc(byte < 0x20 || byte == 0x7f ? '?' : byte, sheet->out);
		/* Bytes 0x80 to 0xbf continue a UTF-8 letter. */
		if ((byte & 0xc0) != 0x80)
			sheet->column++;
	}
}

static void put(struct sheet *sheet, const char *text)
{
	put_bytes(sheet, text, strlen(text));
}

/* Up to the column, or to the gap's width when the line is there already. */
static void pad_to(struct sheet *sheet, int column)
{
	int count = column - sheet->column;

	if (sheet->column > 0 && count < GAP)
		count = GAP;
	if (count > 0) {
		sheet->padding += count;
		sheet->column += count;
	}
}

static int columns_of(const char *text, size_t count)
{
	int columns = 0;

	for (size_t i = 0; i < count; i++)
		columns += ((unsigned char)text[i] & 0xc0) != 0x80;
	return columns;
}

/* Puts text from here on, its further lines beginning at this column too. */
static void put_wrapped(struct sheet *sheet, const char *text)
{
	const int left = sheet->column;

	while (*text) {
		const size_t spaces = strspn(text, " ");
		const size_t word = strcspn(text + spaces, " ");

		if (sheet->column > left &&
		    sheet->column + (int)spaces + columns_of(text + spaces, word) > LINE_COLUMNS) {
			end_line(sheet);
			pad_to(sheet, left);
		} else {
			put_bytes(sheet, text, spaces);
		}
		put_bytes(sheet, text + spaces, word);
		text += spaces + word;
	}
}

/* Puts one word more of a list that begins at the column `left`. */
static void put_word(struct sheet *sheet, const char *word, int left)
{
	if (sheet->column > left && sheet->column + 1 + (int)strlen(word) > LINE_COLUMNS) {
		end_line(sheet);
		pad_to(sheet, left);
	} else if (sheet->column > left) {
		put(sheet, " ");
	}
	put(sheet, word);
}

/* A fact's name; what follows stands at FACT_AT. */
static void put_key(struct sheet *sheet, const char *key)
{
	pad_to(sheet, INDENT);
	for (; *key; key++)
		put_bytes(sheet, *key == '_' ? " " : key, 1);
	pad_to(sheet, FACT_AT);
}

/* A heading, behind a blank line. */
static void put_title(struct sheet *sheet, const char *title)
{
	end_line(sheet);
	put(sheet, title);
	end_line(sheet);
}

static void put_fact(struct sheet *sheet, const char *key, const char *value, const char *words)
{
	put_key(sheet, key);
	put_wrapped(sheet, value[0] ? value : "(empty)");
	if (words) {
		pad_to(sheet, FACT_AT + VALUE_COLUMNS);
		put_wrapped(sheet, words);
	}
	end_line(sheet);
}

static void print_number(char *text, size_t size, u64 value, bool decimal)
{
	snprintf(text, size, decimal ? "%llu" : "0x%llx", (unsigned long long)value);
}

const char *sheet_size(u64 bytes, char *words, size_t size)
{
	static const char *const names[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	unsigned unit = 0;

	while (unit + 1 < ARRAY_LEN(names) && bytes >> (10 * (unit + 1)))
		unit++;
	/* The next smaller unit tells it exactly, and not in more than four digits. */
	if (unit > 0 && bytes % ((u64)1 << (10 * unit)) &&
	    bytes % ((u64)1 << (10 * (unit - 1))) == 0 && bytes >> (10 * (unit - 1)) < 10000)
		unit--;
	if (bytes % ((u64)1 << (10 * unit)))
		snprintf(words, size, "%.1f %s", (double)bytes / (double)((u64)1 << (10 * unit)),
			 names[unit]);
	else
		snprintf(words, size, "%llu %s", (unsigned long long)(bytes >> (10 * unit)),
			 bytes == 1 ? "byte" : names[unit]);
	return words;
}

/* ---- sections and facts */

void sheet_start(struct sheet *sheet, FILE *out, bool as_json)
{
	*sheet = (struct sheet){.out = out, .as_json = as_json};
	json_init(&sheet->json, out);
	if (as_json)
		json_open_object(&sheet->json, NULL);
}

int sheet_finish(struct sheet *sheet, struct error *err)
{
	if (sheet->as_json)
		json_close_object(&sheet->json);
	if (fflush(sheet->out) == 0 && !ferror(sheet->out))
		return 0;
	return error_set(err, "cannot write the dry run's report: %s", strerror(errno));
}

void sheet_open(struct sheet *sheet, const char *key, const char *title)
{
	if (sheet->as_json)
		json_open_object(&sheet->json, key);
	else
		put_title(sheet, title);
}

void sheet_close(struct sheet *sheet)
{
	if (sheet->as_json)
		json_close_object(&sheet->json);
}

void sheet_none(struct sheet *sheet, const char *key)
{
	if (sheet->as_json)
		json_null(&sheet->json, key);
}

void sheet_note(struct sheet *sheet, const char *words)
{
	if (sheet->as_json)
		return;
	pad_to(sheet, INDENT);
	put_wrapped(sheet, words);
	end_line(sheet);
}

void sheet_text(struct sheet *sheet, const char *key, const char *text)
{
	if (sheet->as_json)
		json_text(&sheet->json, key, text);
	else
		put_fact(sheet, key, text, NULL);
}

void sheet_hex(struct sheet *sheet, const char *key, u64 value, const char *words)
{
	char number[24];

	print_number(number, sizeof(number), value, false);
	if (sheet->as_json)
		json_hex(&sheet->json, key, value);
	else
		put_fact(sheet, key, number, words);
}

void sheet_number(struct sheet *sheet, const char *key, u64 value, const char *words)
{
	char number[24];

	print_number(number, sizeof(number), value, true);
	if (sheet->as_json)
		json_number(&sheet->json, key, value);
	else
		put_fact(sheet, key, number, words);
}

void sheet_bytes(struct sheet *sheet, const char *key, u64 bytes)
{
	char words[32];

	sheet_size(bytes, words, sizeof(words));
	if (sheet->as_json)
		json_number(&sheet->json, key, bytes);
	else
		put_fact(sheet, key, words, NULL);
}

void sheet_bool(struct sheet *sheet, const char *key, bool value)
{
	if (sheet->as_json)
		json_bool(&sheet->json, key, value);
	else
		put_fact(sheet, key, value ? "yes" : "no", NULL);
}

void sheet_open_list(struct sheet *sheet, const char *key)
{
	if (sheet->as_json)
		json_open_array(&sheet->json, key);
	else
		put_key(sheet, key);
}

/* Adds a word to a JSON array, or to a list at the column `left`. */
static void add_word(struct sheet *sheet, const char *word, int left)
{
	if (sheet->as_json)
		json_text(&sheet->json, NULL, word);
	else
		put_word(sheet, word, left);
}

void sheet_item(struct sheet *sheet, const char *word)
{
	add_word(sheet, word, FACT_AT);
}

void sheet_close_list(struct sheet *sheet)
{
	if (sheet->as_json)
		json_close_array(&sheet->json);
	else
		end_line(sheet);
}

/* ---- values */

u64 sheet_load(const u8 *at, unsigned bytes)
{
	u64 value = 0;

	for (unsigned i = 0; i < bytes && i < sizeof(value); i++)
		value |= (u64)at[i] << (8 * i);
	return value;
}

static void add_bits(struct sheet *sheet, u64 value, const struct bit_name *bits, int left)
{
	char number[16];

	for (; bits->name; bits++) {
		if ((value & bits->mask) == bits->mask)
			add_word(sheet, bits->name, left);
		value &= ~bits->mask;
	}
	for (unsigned bit = 0; bit < 64; bit++) {
		snprintf(number, sizeof(number), "bit_%u", bit);
		if (value >> bit & 1)
			add_word(sheet, number, left);
	}
}

static void json_value(struct sheet *sheet, const struct sheet_value *value)
{
	struct json *json = &sheet->json;

	json_open_object(json, value->name);
	if (value->has_offset) {
		json_hex(json, "offset", value->offset);
		json_number(json, "bytes", value->bytes);
	}
	if (value->bytes > sizeof(u64))
		json_bool(json, "zero", value->value == 0);
	else if (value->decimal)
		json_number(json, "value", value->value);
	else
		json_hex(json, "value", value->value);
	if (value->bits) {
		json_open_array(json, "bits");
		add_bits(sheet, value->value, value->bits, 0);
		json_close_array(json);
	}
	json_text(json, "meaning", value->meaning);
	json_close_object(json);
}

static void put_value(struct sheet *sheet, const struct sheet_value *value)
{
	const int name_at = INDENT + (value->has_offset ? OFFSET_COLUMNS : 0);
	const int meaning_at = name_at + NAME_COLUMNS + VALUE_COLUMNS;
	const bool has_bits = value->bits && value->value;
	char number[24];

	pad_to(sheet, INDENT);
	if (value->has_offset) {
		print_number(number, sizeof(number), value->offset, false);
		put(sheet, number);
		pad_to(sheet, name_at);
	}
	put(sheet, value->name);
	pad_to(sheet, name_at + NAME_COLUMNS);
	if (value->bytes > sizeof(u64))
		snprintf(number, sizeof(number), value->value ? "not zero" : "zero");
	else
		print_number(number, sizeof(number), value->value, value->decimal);
	put(sheet, number);
	pad_to(sheet, meaning_at);
	if (has_bits) {
		put(sheet, "=");
		add_bits(sheet, value->value, value->bits, meaning_at);
	}
	if (has_bits && value->meaning[0]) {
		end_line(sheet);
		pad_to(sheet, meaning_at);
	}
	put_wrapped(sheet, value->meaning);
	end_line(sheet);
}

void sheet_value(struct sheet *sheet, const struct sheet_value *value)
{
	if (sheet->as_json)
		json_value(sheet, value);
	else
		put_value(sheet, value);
}

static bool is_zero(const u8 *at, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++) {
		if (at[i])
			return false;
	}
	return true;
}

/* What the value says, then what the field is. */
static void put_in_words(const struct memory *memory, const struct sheet_field *field, const u8 *at,
			 u64 value, char words[SHEET_WORDS])
{
	size_t used;

	words[0] = '\0';
	if (field->explain)
		field->explain(memory, at, value, words, SHEET_WORDS);
	used = strlen(words);
	if (field->meaning)
		snprintf(words + used, SHEET_WORDS - used, "%s%s", used ? ": " : "",
			 field->meaning);
}

void sheet_fields(struct sheet *sheet, const struct memory *memory, const u8 *bytes,
		  const struct sheet_field *field, size_t count)
{
	if (sheet->as_json)
		json_open_object(&sheet->json, "fields");
	for (; count > 0; count--, field++) {
		const u8 *at = bytes + field->offset;
		char words[SHEET_WORDS];
		struct sheet_value value = {
			.name = field->name,
			.value = field->bytes > sizeof(u64) ? !is_zero(at, field->bytes)
							    : sheet_load(at, field->bytes),
			.decimal = field->decimal,
			.bytes = field->bytes,
			.offset = field->offset,
			.has_offset = true,
			.meaning = words,
			.bits = field->bits,
		};

		put_in_words(memory, field, at, value.value, words);
		sheet_value(sheet, &value);
	}
	if (sheet->as_json)
		json_close_object(&sheet->json);
}

/* ---- tables */

void sheet_open_table(struct sheet *sheet, const char *key, const char *title,
		      const struct sheet_column *columns, size_t count)
{
	int at = INDENT;

	sheet->columns = columns;
	sheet->column_count = (unsigned)count;
	if (sheet->as_json) {
		json_open_array(&sheet->json, key);
		return;
	}
	if (title)
		put_title(sheet, title);
	for (unsigned i = 0; i < count; i++) {
		pad_to(sheet, at);
		for (const char *letter = columns[i].key; *letter; letter++)
			put_bytes(sheet, *letter == '_' ? " " : letter, 1);
		at += columns[i].width + GAP;
	}
	end_line(sheet);
}

static void json_cell(struct json *json, const struct sheet_column *column,
		      const struct sheet_cell *cell)
{
	if (cell->none)
		json_null(json, column->key);
	else if (column->kind == SHEET_HEX)
		json_hex(json, column->key, cell->number);
	else if (column->kind == SHEET_TEXT)
		json_text(json, column->key, cell->text);
	else
		json_number(json, column->key, cell->number);
}

static void put_cell(struct sheet *sheet, const struct sheet_column *column,
		     const struct sheet_cell *cell)
{
	char number[32] = "-";

	if (column->kind == SHEET_TEXT && !cell->none) {
		put_wrapped(sheet, cell->text);
		return;
	}
	if (!cell->none && column->kind == SHEET_BYTES)
		sheet_size(cell->number, number, sizeof(number));
	else if (!cell->none)
		print_number(number, sizeof(number), cell->number, column->kind == SHEET_NUMBER);
	put(sheet, number);
}

void sheet_row(struct sheet *sheet, const struct sheet_cell *cells)
{
	int at = INDENT;

	if (sheet->as_json)
		json_open_object(&sheet->json, NULL);
	for (unsigned i = 0; i < sheet->column_count; i++) {
		const struct sheet_column *column = &sheet->columns[i];

		if (sheet->as_json) {
			json_cell(&sheet->json, column, &cells[i]);
			continue;
		}
		pad_to(sheet, at);
		put_cell(sheet, column, &cells[i]);
		at += column->width + GAP;
	}
	if (sheet->as_json)
		json_close_object(&sheet->json);
	else
		end_line(sheet);
}

void sheet_close_table(struct sheet *sheet)
{
	if (sheet->as_json)
		json_close_array(&sheet->json);
}
