/*
 * The packets of gdb's remote serial protocol: see gdb_packet.h.
 */
#include "vmm/gdb_packet.h"

#include <stdarg.h>
#include <stdio.h>

enum { CTRL_C = 0x03, ESCAPE_XOR = 0x20, TRAILER_BYTES = 3 };

/* -1: it is no digit. */
static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum gdb_event take_between(struct gdb_packet *packet, u8 byte)
{
	packet->state = byte == '$' ? GDB_DATA : GDB_BETWEEN;
	packet->sum = 0;
	packet->used = 0;
	packet->too_long = false;
	return byte == CTRL_C ? GDB_INTERRUPT : byte == '-' ? GDB_RESEND : GDB_NOTHING;
}

static enum gdb_event finish(struct gdb_packet *packet, int low)
{
	packet->state = GDB_BETWEEN;
	packet->data[packet->used] = '\0';
	if (low < 0 || (packet->told << 4 | low) != packet->sum)
		return GDB_DAMAGED;
	return packet->too_long ? GDB_TOO_LONG : GDB_PACKET;
}

enum gdb_event gdb_packet_take(struct gdb_packet *packet, u8 byte)
{
	const int value = digit((char)byte);

	if (packet->state == GDB_BETWEEN || byte == '$')
		return take_between(packet, byte);
	if (packet->state == GDB_CHECK_2)
		return finish(packet, value);
	if (packet->state == GDB_CHECK_1) {
		packet->told = (u8)value;
		packet->state = GDB_CHECK_2;
		return value < 0 ? finish(packet, value) : GDB_NOTHING;
	}
	if (byte == '#') {
		packet->state = GDB_CHECK_1;
		return GDB_NOTHING;
	}
	packet->sum = (u8)(packet->sum + byte);
	if (packet->used < GDB_PACKET_BYTES)
		packet->data[packet->used++] = (char)byte;
	else
		packet->too_long = true;
	return GDB_NOTHING;
}

bool gdb_number(const char **at, u64 *number)
{
	const char *first = *at;

	*number = 0;
	for (; digit(**at) >= 0; ++*at) {
		if (*number >> 60)
			return false;
		*number = *number << 4 | (u64)digit(**at);
	}
	return *at > first;
}

size_t gdb_unhex(const char *hex, u8 *bytes, size_t most)
{
	size_t count = 0;

	for (; count < most && digit(hex[0]) >= 0 && digit(hex[1]) >= 0; hex += 2)
		bytes[count++] = (u8)(digit(hex[0]) << 4 | digit(hex[1]));
	return count;
}

size_t gdb_unescape(char *data, size_t used)
{
	size_t count = 0;

	for (size_t i = 0; i < used; i++) {
		const bool escaped = data[i] == '}' && i + 1 < used;

		data[count++] = escaped ? (char)(data[++i] ^ ESCAPE_XOR) : data[i];
	}
	return count;
}

void gdb_reply_byte(struct gdb_reply *reply, char byte)
{
	if (reply->used < sizeof(reply->text) - TRAILER_BYTES - 1)
		reply->text[reply->used++] = byte;
}

void gdb_reply_text(struct gdb_reply *reply, const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (const char *at = text; *at; at++)
		gdb_reply_byte(reply, *at);
}

void gdb_reply_hex(struct gdb_reply *reply, const void *bytes, size_t count)
{
	static const char digits[] = "0123456789abcdef";

	for (const u8 *at = bytes; count > 0; at++, count--) {
		gdb_reply_byte(reply, digits[*at >> 4]);
		gdb_reply_byte(reply, digits[*at & 0xf]);
	}
}

void gdb_reply_begin(struct gdb_reply *reply)
{
	reply->start = reply->used;
	gdb_reply_byte(reply, '$');
}

void gdb_reply_end(struct gdb_reply *reply)
{
	u8 sum = 0;

	for (size_t i = reply->start + 1; i < reply->used; i++)
		sum = (u8)(sum + (u8)reply->text[i]);
	/* There is always room for these three, and a zero that isn't sent. */
	reply->used += (size_t)snprintf(reply->text + reply->used,
					sizeof(reply->text) - reply->used, "#%02x", sum);
}
