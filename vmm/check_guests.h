/*
 * The guests of `bantam check`: what this host's KVM can run is found out by running it.
 *
 * Each probe makes a virtual machine in the way `bantam run` makes one, puts a tiny guest
 * (x86/check_code.h) into it and looks at how it ends. None may take longer than
 * CHECK_GUEST_LIMIT_MS.
 */
#ifndef BANTAM_VMM_CHECK_GUESTS_H
#define BANTAM_VMM_CHECK_GUESTS_H

#include <linux/kvm.h>

#include "vmm/error.h"
#include "vmm/types.h"

enum { CHECK_GUEST_LIMIT_MS = 2000 };

/* What a stock kernel needs; the first is what any guest needs. */
enum check_probe {
	CHECK_LONG_MODE,
	CHECK_SYSTEM,
	CHECK_CMPXCHG16B,
	CHECK_XRSTOR,
	CHECK_INT3,
	CHECK_NEEDED,

	/* What only a debugger needs: KVM stops the guest for it. */
	CHECK_STEP = CHECK_NEEDED,
	CHECK_HARDWARE_BREAKPOINT,
	CHECK_SOFTWARE_BREAKPOINT,
	CHECK_PROBES,
};

enum check_end {
	CHECK_NOT_TRIED, /* an earlier failure, or a processor that doesn't have it */
	CHECK_DONE,      /* as it should */
	CHECK_STOPPED,   /* by the debugger */
	CHECK_FAILED,
};

struct check_outcome {
	enum check_end end;
	char words[64]; /* CHECK_FAILED: in which way */
	u64 ns;         /* from the guest's START to its DONE, 0 without a START */
};

struct check_guests {
	struct check_outcome probe[CHECK_PROBES];
	double mips;      /* millions of ring-0 instructions a second, 0 when not measured */
	struct error err; /* why the first guest did not begin, or empty */
};

/* The probe's name, as reports have it: "long_mode". */
const char *check_probe_name(enum check_probe probe);

/* The outcome in words. */
const char *check_outcome_words(const struct check_outcome *outcome);

/* What it means that KVM_RUN came back in this way, which is none of the guest's words. */
void check_take_exit(const struct kvm_run *run, struct check_outcome *outcome);

/*
 * Runs all of them; when the first, CHECK_LONG_MODE, fails, the others are not tried. Uses the
 * process's SIGALRM and its real-time interval timer meanwhile, and puts the former's action
 * back. kvm_fd: /dev/kvm, to ask what the processor has.
 */
void check_guests_run(struct check_guests *guests, int kvm_fd);

#endif
