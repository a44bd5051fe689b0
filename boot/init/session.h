/* From COMMAND's start to its end: what flows between it and the ports, and what is told. */
#ifndef BOOT_INIT_SESSION_H
#define BOOT_INIT_SESSION_H

#include "boot/init/channel.h"
#include "boot/init/command.h"
#include "boot/init/control.h"

struct session {
	struct control control;
	struct command command;
	bool tty;
	/* `in` ends at COMMAND, the others begin there. */
	struct channel in, out, err;
	bool in_told, out_told, err_told;
	bool ended; /* COMMAND has */
	int status; /* of it, as wait4(2) tells it */
	bool alone; /* no process is left */
};

/*
 * Relays until COMMAND has ended, nothing of it is left running, and its output is with the host;
 * or until the host hangs up, which ends COMMAND. The control port is open, COMMAND has just been
 * started. children: a signalfd(2) of SIGCHLD, which is blocked. stdio, stderr_port: the ports.
 */
void session_run(struct session *session, int children, int stdio, int stderr_port);

/* Tells the host how COMMAND has ended. */
void session_tell_end(struct session *session);

/* Waits for the host's `done`, for its hanging up, or for SESSION_SILENCE_MS without a word. */
enum { SESSION_SILENCE_MS = 10000 };
void session_wait_done(struct control *control);

#endif
