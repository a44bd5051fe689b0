/*
 * `bantam check`: what this host can run, and if not, what to do.
 *
 * check_command() collects a report (the host, KVM's answers, what tiny guests did, the sandbox
 * layers), comes to a verdict and prints both. The collecting parts are check_host.c, check_kvm.c,
 * check_guests.c and check_sandbox.c; check_print.c is the voice.
 */
#ifndef BANTAM_VMM_CHECK_H
#define BANTAM_VMM_CHECK_H

#include "vmm/check_guests.h"
#include "vmm/check_host.h"
#include "vmm/check_kvm.h"
#include "vmm/check_sandbox.h"

enum check_verdict {
	CHECK_STOCK,   /* unmodified distribution kernels run */
	CHECK_TINY,    /* only guests that do without some instructions, or have time */
	CHECK_NOTHING, /* no guest runs */
};

struct check_report {
	struct check_host host;
	enum check_finding finding; /* how opening /dev/kvm went */
	struct check_kvm kvm;
	struct check_guests guests; /* all zero when KVM isn't usable */
	struct check_sandbox sandbox;
	enum check_verdict verdict;
	struct check_advice advice; /* empty with CHECK_STOCK */
};

/* The least speed, in millions of ring-0 instructions a second, that counts as running a kernel. */
#define CHECK_MIPS_MIN 25.0

/*
 * Decides: fills verdict and advice from the other fields of *report.
 */
void check_decide(struct check_report *report);

/* The process's exit status: 0 stock, 1 tiny, 125 nothing. */
int check_status(enum check_verdict verdict);

/*
 * The whole subcommand. argc, argv: the arguments behind `check`. Prints to stdout, and one line to
 * stderr when an option is wrong. Returns the process's exit status.
 */
int check_command(int argc, char **argv);

#endif
