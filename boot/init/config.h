/* How COMMAND is to be run: the records of protocol.h's INIT_CONFIG. */
#ifndef BOOT_INIT_CONFIG_H
#define BOOT_INIT_CONFIG_H

#include "vmm/types.h"

struct init_config {
	char **args, **env; /* each ends with a NULL */
	size_t arg_count, env_count;
	/* NULL where there is no record. */
	char *dir, *user, *hostname, *address, *gateway, *nameserver;
	bool tty;
	u64 tty_size[2]; /* rows and columns */
};

/* How many pointers config_parse() wants for a text of so many bytes. */
size_t config_pointers(const char *text, size_t bytes);

/*
 * Takes the records apart in place. pointers: as many as config_pointers() says, for the vectors.
 * Returns NULL, or what is wrong.
 */
const char *config_parse(struct init_config *config, char *text, size_t bytes, char **pointers);

/* The value of an environment variable, or NULL. name: ends at its '=' or NUL. */
const char *env_find(const struct init_config *config, const char *name);

/*
 * Sets a variable: what was there under its name goes. There is room for CONFIG_DEFAULTS more than
 * there were records. record: NAME=VALUE, which stays the caller's.
 */
enum { CONFIG_DEFAULTS = 4 };
void env_set(struct init_config *config, char *record);

#endif
