/*
 * The command line: options to config, and the help text made from the same table.
 */
#ifndef BANTAM_VMM_OPTIONS_H
#define BANTAM_VMM_OPTIONS_H

#include "vmm/config.h"
#include "vmm/error.h"

enum options_outcome { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_WRONG };

/*
 * Parses the arguments of `bantam run` (argv[0] is the first behind "run"). The strings in config
 * are argv's own, or given back by options_free(), which is due in all cases. OPTIONS_HELP: --help was
 * among them. OPTIONS_WRONG: err says what is wrong.
 */
enum options_outcome options_parse(struct config *config, int argc, char **argv, struct error *err);

void options_free(struct config *config);

/* Prints all options, by group, to stdout. */
void options_help(void);

/*
 * A size such as "512" (MiB), "64K", "1G" or "2T": digits and a suffix of either case. Stores it in
 * bytes; false when it is no size or has more than 64 bits.
 */
bool options_size(const char *text, u64 *bytes);

/*
 * A time such as "90" (seconds), "500ms", "90s", "10m" or "2h". Stores it in ns; false when it is
 * no time or is longer than 292 years.
 */
bool options_duration(const char *text, u64 *ns);

/* A decimal number from least to most, with nothing behind it. */
bool options_number(const char *text, unsigned long least, unsigned long most, unsigned *number);

/*
 * Cuts a value at its first single comma, and makes each double comma before it one. Returns what is
 * behind, or NULL when there is no single comma.
 */
char *options_split(char *value);

#endif
