/*
 * The user's terminal: raw while the guest has it, as it was on every way out.
 *
 * Raw mode is entered only when stdin is the guest's input, is a terminal, and bantam is in the
 * terminal's foreground; a background process would be stopped for trying. The old state comes
 * back at the end, before the process stops (Ctrl-Z typed in another terminal's kill), and from
 * the handler of fatal signals.
 */
#ifndef BANTAM_VMM_TERMINAL_H
#define BANTAM_VMM_TERMINAL_H

#include <sys/types.h>
#include <termios.h>

#include "vmm/types.h"

/* Signals by which a program crashes: no thread may block them. */
enum { TERMINAL_FATAL_SIGNALS = 5 };
extern const int terminal_fatal_signals[TERMINAL_FATAL_SIGNALS];

struct terminal {
	bool wanted; /* stdin is a terminal and the guest's input */
	bool raw;
	pid_t own_group; /* this process's: nobody changes it any more */
	struct termios old;
};

/* Notes whether stdin can be made raw, and has it restored when the process crashes. */
void terminal_init(struct terminal *terminal, bool guest_input);

/*
 * Makes the terminal raw if it can be now; returns terminal->raw. Called again while it is raw, it
 * sets the terminal anew, which somebody else (a shell) may have changed behind our back.
 */
bool terminal_enter_raw(struct terminal *terminal);

void terminal_restore(struct terminal *terminal);

/* Restores, and forgets the terminal: a crash after this leaves it alone. */
void terminal_close(struct terminal *terminal);

/* The same for the terminal of the process, from a signal's handler. */
void terminal_restore_in_handler(void);

#endif
