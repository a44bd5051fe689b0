/*
 * How a machine ended: exactly one verdict.
 *
 * Whatever ends the machine, on whichever thread, is handed to machine_end() as a verdict; the
 * first one counts. One place (here) turns it into words and into the process's exit status. What
 * rests on the guest's words (a panic is seen on its console) is the guest's claim and no more.
 */
#ifndef BANTAM_VMM_VERDICT_H
#define BANTAM_VMM_VERDICT_H

#include "vmm/types.h"

enum verdict_reason {
	VERDICT_NONE, /* the machine still runs */
	VERDICT_POWEROFF,
	VERDICT_RESET,
	VERDICT_TIMEOUT,
	VERDICT_SIGNAL, /* of this process; Ctrl-A x counts as SIGINT */
	VERDICT_PANIC,
	VERDICT_TRIPLE_FAULT,
	VERDICT_INTERNAL_ERROR,
	VERDICT_FAILED_ENTRY,
	VERDICT_VMM_ERROR,
	/* Of a run with a COMMAND: */
	VERDICT_EXIT,
	VERDICT_COMMAND_SIGNAL,
	VERDICT_CANNOT_EXECUTE,
	VERDICT_NOT_FOUND,
	VERDICT_NO_STATUS,  /* the guest has ended, and COMMAND's status isn't known */
	VERDICT_BAD_REPORT, /* what the guest says of COMMAND can't be */
};

enum {
	STATUS_TIMEOUT = 124,
	STATUS_VMM_ERROR = 125, /* also: wrong usage, no KVM */
	STATUS_CANNOT_EXECUTE = 126,
	STATUS_NOT_FOUND = 127,
	STATUS_SIGNAL_BASE = 128,
	STATUS_GUEST_DIED = 255,
};

struct verdict {
	enum verdict_reason reason;
	int number;       /* VERDICT_SIGNAL, _COMMAND_SIGNAL: the signal; _EXIT: COMMAND's status */
	char detail[512]; /* more words, or empty */
};

/*
 * The reason's name, as scripts see it: "poweroff", "triple-fault", … "signal" is COMMAND's signal or
 * this process's: verdict_is_commands() tells.
 */
const char *verdict_name(enum verdict_reason reason);

/* Whether COMMAND ended by itself, with a status or by a signal: there is nothing to explain. */
bool verdict_is_commands(const struct verdict *verdict);

/* Whether the guest's kernel, or the processor with it, couldn't go on. */
bool verdict_is_death(const struct verdict *verdict);

/* The process's exit status, 0 to 255. */
int verdict_status(const struct verdict *verdict);

/* The verdict in words, one line without its end. bytes: the size of text, at least 1. */
void verdict_describe(const struct verdict *verdict, char *text, size_t bytes);

#endif
