/*
 * COMMAND in the guest: its standard streams, its signals and its status.
 *
 * The guest's init (boot/init/) talks to this file over three ports of a virtio console; what is said
 * there is written in boot/init/protocol.h. Bytes of COMMAND's output go from the guest's memory
 * straight to stdout and stderr; where those are full, they stay in the guest's ring, and COMMAND
 * feels it. stdin is read when the guest has room for it.
 *
 * The run is over when init has told the status and every byte that it announced was written. Output
 * that could not be (a full disk) is a failure of the host's, whatever the status; a reader that is
 * gone is none. What
 * doesn't fit together (a status twice, a number that is none, bytes behind the end) is the verdict
 * "bad-report": the guest is believed no more.
 *
 * Threads: all of it is the console device's worker's, but for what other threads ask for, which lies
 * in a mailbox under `lock`.
 */
#ifndef BANTAM_VMM_COMMAND_H
#define BANTAM_VMM_COMMAND_H

#include <pthread.h>

#include "boot/init/protocol.h"
#include "devices/virtio/console.h"
#include "vmm/sink.h"

enum { COMMAND_INPUT_BYTES = 65536, COMMAND_PORTS = 4 };

struct machine;
struct command;

/* stdout or stderr. */
struct command_output {
	struct command *command;
	const char *name;
	int fd;      /* the process's own */
	bool closes; /* when COMMAND closes its own */
	struct sink sink;
	u64 total, end; /* bytes so far, and in the end */
	bool ended;     /* end is known */
	bool closed;    /* nobody reads it: everything is dropped … */
	int error;      /* … for another reason than that; else 0 */
	bool tell_closed;
};

struct command {
	struct machine *machine;
	struct vconsole *console;
	struct command_output out, err;

	/* stdin */
	u8 input[COMMAND_INPUT_BYTES];
	size_t input_at, input_used;
	u64 input_total;
	bool input_ended, tell_input_ended;

	/* The control port. */
	char line[PROTOCOL_LINE_BYTES]; /* from the guest, so far */
	size_t line_used;
	char words[PROTOCOL_LINE_BYTES]; /* to the guest, not taken yet */
	size_t words_at, words_used;
	bool final; /* the last line has come, and this is what it said: */
	unsigned reason;
	int number;

	atomic_bool started; /* COMMAND runs */

	pthread_mutex_t lock;
	u32 signals; /* to be passed on, as bits */
	bool resized;
	unsigned rows, columns;
};

/* Prepares the console's ports; the device is opened by the caller. */
void command_open(struct command *command, struct machine *machine, struct vconsole *console);

/* For the main thread. */
void command_signal(struct command *command, int number);
void command_resize(struct command *command);

/* The size of the user's terminal; 24 rows of 80 columns where there is none. */
void command_terminal_size(unsigned *rows, unsigned *columns);

/* When the worker has ended. */
void command_close(struct command *command);

#endif
