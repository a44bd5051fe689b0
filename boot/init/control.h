/* The control port: lines to the host and from it, as protocol.h has them. */
#ifndef BOOT_INIT_CONTROL_H
#define BOOT_INIT_CONTROL_H

#include "boot/init/protocol.h"
#include "vmm/types.h"

/* The host's words, in the order of control_parse()'s table. */
enum control_word {
	CONTROL_SIZE,
	CONTROL_SIGNAL,
	CONTROL_END_STDIN,
	CONTROL_CLOSE_STDOUT,
	CONTROL_CLOSE_STDERR,
	CONTROL_DONE,
	CONTROL_UNKNOWN,
};

struct control {
	int fd;    /* doesn't block */
	bool gone; /* the host has hung up */
	char in[PROTOCOL_LINE_BYTES];
	size_t in_bytes;
	char out[4 * PROTOCOL_LINE_BYTES]; /* there are four short lines and a long one at most */
	size_t out_bytes;
};

/* Queues one line, the strings up to a NULL, and sends what the port takes. */
void control_say(struct control *control, const char *first, ...);

/* Sends what the port takes of the queue. */
void control_flush(struct control *control);

/*
 * The next word of the host's that has come, CONTROL_UNKNOWN for a line that is none; its numbers.
 * False when there is none now, or the host has hung up, or sends lines that don't end.
 */
bool control_next(struct control *control, enum control_word *word, u64 numbers[2]);

/* The word in one line, without its newline; takes the line apart. */
enum control_word control_parse(char *line, u64 numbers[2]);

#endif
