/*
 * The packets of gdb's remote serial protocol: $data#checksum, and what stands between them.
 *
 * The decoder takes a byte at a time and keeps no more than GDB_PACKET_BYTES of a packet; one that is
 * longer is told as such at its end. A '$' begins a packet anew, wherever it stands: it is never data.
 * What is neither packet nor acknowledgement is passed over.
 *
 * Source: gdb's manual, appendix E "GDB Remote Serial Protocol", "Overview".
 */
#ifndef BANTAM_VMM_GDB_PACKET_H
#define BANTAM_VMM_GDB_PACKET_H

#include "vmm/types.h"

enum { GDB_PACKET_BYTES = 0x4000 };

enum gdb_event {
	GDB_NOTHING,
	GDB_PACKET,    /* data has `used` bytes, and a zero behind them */
	GDB_TOO_LONG,  /* a packet came whole, and had no room */
	GDB_DAMAGED,   /* the checksum is wrong */
	GDB_INTERRUPT, /* Ctrl-C */
	GDB_RESEND,    /* the last reply came damaged */
};

struct gdb_packet {
	enum { GDB_BETWEEN, GDB_DATA, GDB_CHECK_1, GDB_CHECK_2 } state;
	u8 sum, told; /* of the data; and as the sender has it */
	bool too_long;
	size_t used;
	char data[GDB_PACKET_BYTES + 1];
};

enum gdb_event gdb_packet_take(struct gdb_packet *packet, u8 byte);

/* A hexadecimal number; *at moves behind it. Returns false where there is none or it has over 64 bits. */
bool gdb_number(const char **at, u64 *number);

/* Pairs of hexadecimal digits to bytes. Returns how many pairs there are before something else or `most`. */
size_t gdb_unhex(const char *hex, u8 *bytes, size_t most);

/* Binary data of `used` bytes without their escapes, in place. Returns how many are left. */
size_t gdb_unescape(char *data, size_t used);

/* What goes to gdb: acknowledgements, and the reply that is being made; what has no room is left out. */
struct gdb_reply {
	size_t used, sent;
	size_t start; /* where the last packet begins */
	char text[2 * GDB_PACKET_BYTES];
};

void gdb_reply_byte(struct gdb_reply *reply, char byte);
void gdb_reply_text(struct gdb_reply *reply, const char *format, ...) PRINTF(2, 3);
void gdb_reply_hex(struct gdb_reply *reply, const void *bytes, size_t count);
void gdb_reply_begin(struct gdb_reply *reply);
void gdb_reply_end(struct gdb_reply *reply);

#endif
