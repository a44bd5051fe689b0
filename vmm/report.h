/*
 * --report FILE: a run as a page to read, for people who want to know what a hypervisor does.
 *
 * The page (report.html) is a file of its own with all it needs; a browser that shows it fetches
 * nothing. What is said in it are two blocks of JSON, in which no '<' stands, whatever the guest has
 * said: the machine as --dry-run shows it, and what happened. The page's script makes text and
 * pictures of them, and never markup.
 *
 * What is counted costs a vCPU two looks at the clock an exit; counters belong to the thread that
 * counts. A timer of the main loop looks at them all along the run, a thousand times a second at
 * first, and half as often each time the room for what it saw is full.
 *
 * The file is opened before anything is made and written once, at the end, as --result's is.
 */
#ifndef BANTAM_VMM_REPORT_H
#define BANTAM_VMM_REPORT_H

#include "vmm/error.h"

struct boot_plan;
struct machine;
struct report;

/* Opens config->report_path; without one nothing happens here or below. Returns 0, or -1 with err set. */
int report_open(struct machine *machine, struct error *err);

/*
 * Before the guest runs, and before the lock: keeps what lies in its memory, and starts to look at
 * counters. Returns 0, or -1 with err set.
 */
int report_start(struct machine *machine, const struct boot_plan *plan, struct error *err);

/* Writes the page; the vCPUs have stopped. Returns 0, or -1 after having said that it could not. */
int report_write(struct machine *machine);

void report_free(struct report *report);

#endif
