/*
 * A writer of AML: see aml.h.
 */
#include "boot/aml.h"

#include <stdlib.h>
#include <string.h>

enum {
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_NOTIFY = 0x86,
};

/*
 * A PkgLength of three bytes, whatever the length: the lead byte says "two more bytes" and has
 * the length's low four bits. It reaches to 1 MiB, far beyond any table here.
 */
enum { LENGTH_BYTES = 3, LENGTH_TWO_MORE = 2 << 6 };

/* Small resource items have their length in the tag, large ones in two bytes behind it. */
enum {
	RESOURCE_IO = 0x47,
	RESOURCE_END = 0x79,
	RESOURCE_MEMORY = 0x86,
	RESOURCE_DWORD_WINDOW = 0x87,
	RESOURCE_WORD_WINDOW = 0x88,
	RESOURCE_INTERRUPT = 0x89,
};
enum { METHOD_SERIALIZED = 0x08 }; /* behind the number of arguments, bits 2:0 */
enum { IO_DECODE_16 = 0x01 };
enum { INTERRUPT_CONSUMER = 0x01, INTERRUPT_EDGE = 0x02 };

void aml_init(struct aml *aml, void *bytes, size_t size)
{
	*aml = (struct aml){.bytes = bytes, .size = size};
}

void aml_put(struct aml *aml, const void *bytes, size_t count)
{
	if (aml->full || count > aml->size - aml->used) {
		aml->full = true;
		return;
	}
	memcpy(aml->bytes + aml->used, bytes, count);
	aml->used += count;
}

static void put_byte(struct aml *aml, u8 byte)
{
	aml_put(aml, &byte, 1);
}

/* Leaves room for a PkgLength; returns where it is. */
static size_t open_length(struct aml *aml)
{
	static const u8 room[LENGTH_BYTES];
	const size_t at = aml->used;

	aml_put(aml, room, sizeof(room));
	return at;
}

void aml_close(struct aml *aml, size_t opened)
{
	const size_t length = aml->used - opened;

	if (aml->full)
		return;
	aml->bytes[opened] = (u8)(LENGTH_TWO_MORE | (length & 0xf));
	aml->bytes[opened + 1] = (u8)(length >> 4);
	aml->bytes[opened + 2] = (u8)(length >> 12);
}

size_t aml_open(struct aml *aml, enum aml_object kind, const char *name)
{
	size_t opened;

	if (kind > UINT8_MAX)
		put_byte(aml, (u8)(kind >> 8));
	put_byte(aml, (u8)kind);
	opened = open_length(aml);
	aml_put(aml, name, strlen(name));
	return opened;
}

static void put_integer(struct aml *aml, u64 value)
{
	static const u8 ops[] = {[1] = OP_BYTE, [2] = OP_WORD, [4] = OP_DWORD, [8] = OP_QWORD};
	const size_t bytes = value <= UINT8_MAX    ? 1
			     : value <= UINT16_MAX ? 2
			     : value <= UINT32_MAX ? 4
						   : 8;

	/* 0 and 1 are operations themselves. */
	if (value > 1)
		put_byte(aml, ops[bytes]);
	aml_put(aml, &value, bytes);
}

static void put_name(struct aml *aml, const char *name)
{
	put_byte(aml, OP_NAME);
	aml_put(aml, name, 4);
}

void aml_name_integer(struct aml *aml, const char *name, u64 value)
{
	put_name(aml, name);
	put_integer(aml, value);
}

/* Three letters of five bits and four hex digits, big-endian: ACPI 6.5, 19.3.4 "EISAID". */
void aml_name_eisa_id(struct aml *aml, const char *name, const char *eisa_id)
{
	u32 id = 0;

	for (int i = 0; i < 3; i++)
		id = id << 5 | ((u32)(eisa_id[i] - 'A' + 1) & 0x1f);
	id = __builtin_bswap32(id << 16 | (u32)strtoul(eisa_id + 3, NULL, 16));
	put_name(aml, name);
	put_byte(aml, OP_DWORD);
	aml_put(aml, &id, sizeof(id));
}

void aml_name_text(struct aml *aml, const char *name, const char *text)
{
	put_name(aml, name);
	put_byte(aml, OP_STRING);
	aml_put(aml, text, strlen(text) + 1);
}

size_t aml_open_method(struct aml *aml, const char *name, u8 arguments)
{
	const size_t opened = aml_open(aml, AML_METHOD, name);

	put_byte(aml, arguments | METHOD_SERIALIZED);
	return opened;
}

void aml_notify(struct aml *aml, const char *device, u8 value)
{
	put_byte(aml, OP_NOTIFY);
	aml_put(aml, device, 4);
	put_integer(aml, value);
}

size_t aml_open_package(struct aml *aml, const char *name, u8 count)
{
	size_t opened;

	if (name)
		put_name(aml, name);
	put_byte(aml, OP_PACKAGE);
	opened = open_length(aml);
	put_byte(aml, count);
	return opened;
}

void aml_package(struct aml *aml, const char *name, const u64 *values, u8 count)
{
	const size_t opened = aml_open_package(aml, name, count);

	for (u8 i = 0; i < count; i++)
		put_integer(aml, values[i]);
	aml_close(aml, opened);
}

/* A buffer's size is an integer in front of its content; a word leaves room for any here. */
size_t aml_open_resources(struct aml *aml)
{
	static const u8 size[] = {OP_WORD, 0, 0};
	size_t opened;

	put_name(aml, "_CRS");
	put_byte(aml, OP_BUFFER);
	opened = open_length(aml);
	aml_put(aml, size, sizeof(size));
	return opened;
}

void aml_close_resources(struct aml *aml, size_t opened)
{
	static const u8 end[] = {RESOURCE_END, 0 /* no checksum */};
	const size_t size_at = opened + LENGTH_BYTES + 1;
	size_t content;

	aml_put(aml, end, sizeof(end));
	if (aml->full)
		return;
	content = aml->used - size_at - 2;
	aml->bytes[size_at] = (u8)content;
	aml->bytes[size_at + 1] = (u8)(content >> 8);
	aml_close(aml, opened);
}

void aml_io(struct aml *aml, u16 base, u8 count)
{
	const u8 low = (u8)base, high = (u8)(base >> 8);
	const u8 item[] = {RESOURCE_IO, IO_DECODE_16, low, high, low, high, 1, count};

	aml_put(aml, item, sizeof(item));
}

void aml_interrupt_edge(struct aml *aml, u32 gsi)
{
	const u8 item[] = {RESOURCE_INTERRUPT, 6, 0, INTERRUPT_CONSUMER | INTERRUPT_EDGE, 1};

	aml_put(aml, item, sizeof(item));
	aml_put(aml, &gsi, sizeof(gsi));
}

void aml_memory(struct aml *aml, u32 base, u32 bytes)
{
	const u8 item[] = {RESOURCE_MEMORY, 9, 0, 1 /* can be written */};

	aml_put(aml, item, sizeof(item));
	aml_put(aml, &base, sizeof(base));
	aml_put(aml, &bytes, sizeof(bytes));
}

/* Granularity, first, last, translation, length: of two or four bytes each. ACPI 6.5, 6.4.3.5. */
void aml_window(struct aml *aml, enum aml_window kind, u64 base, u64 count)
{
	static const u8 specific[] = {[AML_WINDOW_MEMORY] = 0x01 /* can be written, not cached */,
				      [AML_WINDOW_IO] = 0x03 /* all of it */,
				      [AML_WINDOW_BUS] = 0};
	const u64 fields[] = {0, base, base + count - 1, 0, count};
	const size_t bytes = kind == AML_WINDOW_MEMORY ? 4 : 2;
	const u8 head[] = {kind == AML_WINDOW_MEMORY ? RESOURCE_DWORD_WINDOW : RESOURCE_WORD_WINDOW,
			   (u8)(3 + bytes * ARRAY_LEN(fields)),
			   0,
			   (u8)kind,
			   0x0c /* first and last are fixed */,
			   specific[kind]};

	aml_put(aml, head, sizeof(head));
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		aml_put(aml, &fields[i], bytes);
}
