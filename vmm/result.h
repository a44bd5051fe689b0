/*
 * --result FILE: how a run ended, as JSON, for scripts.
 *
 * The file is opened (created or emptied) before anything is made, so that one that can't be written
 * is an error at the start; it is written once, at the end, and is empty where that fails. The file of
 * --report is one of the same kind.
 */
#ifndef BANTAM_VMM_RESULT_H
#define BANTAM_VMM_RESULT_H

#include <stdio.h>

#include "vmm/error.h"

struct json;
struct machine;

struct result {
	const char *what;  /* "result", for people */
	FILE *file;        /* NULL without --result */
	char buffer[4096]; /* the file's: so that nothing is allocated after the lock */
};

/* Returns 0, or -1 with err set. path NULL: does nothing. */
int result_open(struct result *result, const char *what, const char *path, struct error *err);

/*
 * Writes the machine's verdict and figures, and closes. Returns 0, or -1 after having said that
 * the file could not be written.
 */
int result_write(struct result *result, const struct machine *machine);

/* Appends the same as an object. */
void result_json(const struct machine *machine, struct json *json, const char *key);

/* Closes a file that was written to. Returns 0, or -1 after having said that not all of it could be. */
int result_finish(struct result *result);

#endif
