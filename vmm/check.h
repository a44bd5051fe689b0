/*
 * `bantam check`: what this host can run, and if not, what to do.
 *
 * check_command() collects a report (the host, KVM's answers, what tiny guests did, the sandbox
 * layers), comes to a verdict and prints both. The collecting parts are check_host.c, kvm.c,
 * check_guests.c and check_sandbox.c.
 */
#ifndef BANTAM_VMM_CHECK_H
#define BANTAM_VMM_CHECK_H

#include <stdio.h>

#include "vmm/check_guests.h"
#include "vmm/check_host.h"

/* The walls that this host's kernel offers around the monitor, found by trying. */
struct check_sandbox {
	bool seccomp;           /* filters that end the process */
	bool seccomp_inherited; /* this process is under a filter already: a container's */
	int landlock_abi;       /* 0 without Landlock */
	/* errno of trying, 0: they work. */
	int namespaces; /* its own mounts, IPC and network, which take root */
	int user_namespaces;
	int io_uring; /* with restrictions, as it is used here */
	int core_scheduling;
};

/* Tries them all. Forks a child, waits for it, and leaves nothing behind. */
void check_sandbox_look(struct check_sandbox *sandbox);

enum check_verdict {
	CHECK_STOCK,   /* unmodified distribution kernels run */
	CHECK_TINY,    /* only guests that do without some instructions, or have time */
	CHECK_NOTHING, /* no guest runs */
};

struct check_report {
	struct check_host host;
	bool usable; /* kvm_open() likes this KVM; if not, `why` says why */
	int vcpus_recommended, vcpus_max;
	struct check_guests guests; /* all zero when KVM isn't usable */
	struct check_sandbox sandbox;
	enum check_verdict verdict;
	struct error why; /* not CHECK_STOCK: what is wrong, and what to do */
};

/* The least speed, in millions of ring-0 instructions a second, that counts as running a kernel. */
#define CHECK_MIPS_MIN 25.0

/*
 * Decides: fills verdict from the other fields of *report, and why where kvm_open() hasn't.
 */
void check_decide(struct check_report *report);

/* Writes the report. Returns 0, or -1 with err set when out takes it not. */
int check_print(const struct check_report *report, FILE *out, bool as_json, struct error *err);

/* The process's exit status: 0 stock, 1 tiny, 125 nothing. */
int check_status(enum check_verdict verdict);

/*
 * The whole subcommand. argc, argv: the arguments behind `check`. Prints to stdout, and one line to
 * stderr when an option is wrong. Returns the process's exit status.
 */
int check_command(int argc, char **argv);

#endif
