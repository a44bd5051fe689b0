/*
 * What a run was made of: when each stage was reached, and which addresses the guest touched how
 * often. Kept always where it costs nothing, per address only with --stats or --report.
 */
#ifndef BANTAM_VMM_STATS_H
#define BANTAM_VMM_STATS_H

#include <stdatomic.h>
#include <time.h>

#include "vmm/types.h"

struct json;
struct machine;

/* Room for KVM's exit reasons; a newer kernel's unknown ones are counted in the last. */
enum { EXIT_REASONS = 48 };

/* The stages of a run, each with the time at which it was first reached. */
enum stage {
	STAGE_START, /* main() */
	STAGE_LOADED,
	STAGE_VM_MADE,
	STAGE_FIRST_INSTRUCTION,
	STAGE_FIRST_OUTPUT, /* the first byte on the console */
	STAGE_COMMAND,      /* COMMAND was started */
	STAGE_END,
	STAGES
};

/* Written by whichever thread reaches the stage first, read at the end. */
struct timeline {
	atomic_ullong at_ns[STAGES];            /* CLOCK_MONOTONIC; 0: not reached */
	atomic_ullong first_instruction_cpu_ns; /* the process's processor time by then */
};

/* The processor time used: by CLOCK_PROCESS_CPUTIME_ID or CLOCK_THREAD_CPUTIME_ID. */
u64 clock_cpu_ns(clockid_t whose);

/* Notes the time, if the stage wasn't reached before. */
void timeline_reach(struct timeline *timeline, enum stage stage);

/* Milliseconds from the start to the stage; 0 when it wasn't reached. */
double timeline_ms(const struct timeline *timeline, enum stage stage);

/* Forgets all stages but the start, for a machine that starts anew. */
void timeline_restart(struct timeline *timeline);

enum { TOUCH_ROWS = 256 };

/* How often an address was read or written. */
struct touch {
	u64 address;
	bool used, mmio, write;
	u64 count;
};

/* A hash table, of one vCPU. */
struct touches {
	struct touch row[TOUCH_ROWS];
	u64 others; /* accesses to addresses for which there was no row */
};

void touches_count(struct touches *touches, bool mmio, u64 address, bool write);

/* Prints all of it to stderr, for people. The vCPUs have stopped. */
void stats_print(struct machine *machine);

/* Appends "exits": {name: count} for all vCPUs together. */
void stats_exits_json(const struct machine *machine, struct json *json);

/* Appends what else stats_print() prints: "stages": [{name, ms}], and "accesses", by address. */
void stats_stages_json(const struct machine *machine, struct json *json);
void stats_accesses_json(struct machine *machine, struct json *json);

#endif
