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

/* Stores a number in a bool or in what is as wide as an unsigned: an enum, for example. */
void options_store(void *into, size_t bytes, unsigned number);

/*
 * Copies a value up to its first single comma, with each double comma before it made one. *rest
 * becomes what is behind that comma, in the same memory, or NULL. Returns the copy, which the caller
 * frees, or NULL with err set.
 */
char *options_copy(const char *value, char **rest, struct error *err);

/* A word behind a value's first comma, and what it sets in the option's own struct. */
struct option_word {
	const char *name;     /* "ro"; "queues=" when a value stands behind it */
	size_t offset, bytes; /* where it is kept */
	unsigned number;      /* what is kept there … */
	unsigned least, most; /* … or, where most isn't 0, the value: a number between these */
	bool rate;            /* … or a u64 of least or more, K, M, G or T of them */
	int (*set)(void *into, const char *value, struct error *err); /* or NULL: does it instead */
};
#define OPTION_FIELD(type, member)                                                                 \
	.offset = offsetof(type, member), .bytes = sizeof(((type *)NULL)->member)

/* All words of an option, and what is said of them to whoever gives another one. */
struct option_words {
	const char *option;
	const struct option_word *word;
	size_t count;
	const char *known;
};

/* Takes the words in rest (NULL: none), which have commas between them. Returns 0, or -1 with err set. */
int options_words(const struct option_words *words, void *into, char *rest, struct error *err);

#endif
