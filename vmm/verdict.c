/*
 * How a machine ended: see verdict.h.
 */
#include "vmm/verdict.h"

#include <stdio.h>

static const struct {
	const char *name;
	const char *words;
	int status;
} reasons[] = {
	[VERDICT_NONE] = {"none", "the machine runs", STATUS_VMM_ERROR},
	[VERDICT_POWEROFF] = {"poweroff", "the guest powered off", 0},
	[VERDICT_RESET] = {"reset", "the guest reset the machine", 0},
	[VERDICT_TIMEOUT] = {"timeout", "the time was up", STATUS_TIMEOUT},
	[VERDICT_SIGNAL] = {"signal", "ended by signal", STATUS_SIGNAL_BASE},
	[VERDICT_PANIC] = {"panic", "the guest's kernel panicked", STATUS_GUEST_DIED},
	[VERDICT_TRIPLE_FAULT] = {"triple-fault",
				  "triple fault: the guest could not even deliver an exception",
				  STATUS_GUEST_DIED},
	[VERDICT_INTERNAL_ERROR] = {"internal-error",
				    "KVM could not run the guest's code any further",
				    STATUS_GUEST_DIED},
	[VERDICT_FAILED_ENTRY] = {"failed-entry", "the processor refused the guest's state",
				  STATUS_GUEST_DIED},
	[VERDICT_VMM_ERROR] = {"vmm-error", "the machine could not go on", STATUS_VMM_ERROR},
	[VERDICT_EXIT] = {"exit", "the command ended with status", 0},
	[VERDICT_COMMAND_SIGNAL] = {"signal", "the command was ended by signal",
				    STATUS_SIGNAL_BASE},
	[VERDICT_CANNOT_EXECUTE] = {"cannot-execute", "the command can't be executed",
				    STATUS_CANNOT_EXECUTE},
	[VERDICT_NOT_FOUND] = {"not-found", "the command was not found", STATUS_NOT_FOUND},
	[VERDICT_NO_STATUS] = {"no-status", "the guest ended before the command's status was known",
			       STATUS_GUEST_DIED},
	[VERDICT_BAD_REPORT] = {"bad-report", "what the guest reports of the command can't be true",
				STATUS_GUEST_DIED},
};

const char *verdict_name(enum verdict_reason reason)
{
	return reasons[reason].name;
}

bool verdict_is_commands(const struct verdict *verdict)
{
	return verdict->reason == VERDICT_EXIT || verdict->reason == VERDICT_COMMAND_SIGNAL;
}

bool verdict_is_death(const struct verdict *verdict)
{
	return verdict->reason >= VERDICT_PANIC && verdict->reason <= VERDICT_FAILED_ENTRY;
}

static bool has_number(const struct verdict *verdict)
{
	return verdict->reason == VERDICT_SIGNAL || verdict_is_commands(verdict);
}

int verdict_status(const struct verdict *verdict)
{
	const int base = reasons[verdict->reason].status;

	return has_number(verdict) ? base + verdict->number : base;
}

void verdict_describe(const struct verdict *verdict, char *text, size_t bytes)
{
	const char *words = reasons[verdict->reason].words;

	/* A failure of ours says all by itself. */
	if (verdict->reason == VERDICT_VMM_ERROR && verdict->detail[0])
		snprintf(text, bytes, "%s", verdict->detail);
	else if (has_number(verdict))
		snprintf(text, bytes, "%s %d%s%s", words, verdict->number,
			 verdict->detail[0] ? ": " : "", verdict->detail);
	else
		snprintf(text, bytes, "%s%s%s", words, verdict->detail[0] ? ": " : "",
			 verdict->detail);
}
