/* COMMAND: found, started, and connected by pipes or by a terminal. */
#ifndef BOOT_INIT_COMMAND_H
#define BOOT_INIT_COMMAND_H

#include "boot/init/config.h"
#include "boot/init/user.h"

/* The other ends of COMMAND's standard descriptors, which don't block. */
struct command {
	int pid;
	int in, out;
	int err; /* -1 with a terminal, whose two ends are `in` and `out` */
};

/*
 * Starts COMMAND in a session of its own and waits until it runs. On failure returns false, with the
 * line for the host in `line`, PROTOCOL_LINE_BYTES long.
 */
bool command_start(struct command *command, const struct init_config *config,
		   const struct user *user, char *line);

/*
 * Puts the next file that `name` may mean in `to`: itself if it has a slash, otherwise one for each
 * directory of a PATH, *rest being what is left of it (NULL at the end). False: there is no more.
 */
bool command_candidate(const char **rest, const char *name, char *to, size_t bytes);

#endif
