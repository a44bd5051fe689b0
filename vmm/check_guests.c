/*
 * The guests of `bantam check`: see check_guests.h.
 *
 * Every probe has a virtual machine of its own: after an emulation failure or a triple fault no
 * state is left to wonder about. KVM_RUN is called on this thread. What bounds it is the interval
 * timer: its signal ends KVM_RUN with EINTR, and it goes on ticking after the limit, so that a tick
 * that comes in the moment before KVM_RUN, and is lost, is followed by another.
 *
 * Speed: a loop of two instructions, long enough to count and short enough for an emulator (100,000
 * instructions are 50 ms at 2 million a second); where that took next to no time, loops of a
 * hundred times as many follow, in the same machine. The best of four counts: other
 * work on the host can only make it look slower. The time runs between two exits of the guest, so
 * that page faults of the start are not in it.
 *
 * Limits: one vCPU.
 *
 * Source: Linux Documentation/virt/kvm/api.rst, KVM_RUN, KVM_SET_GUEST_DEBUG.
 */
#include "vmm/check_guests.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "vmm/kvm.h"
#include "vmm/machine.h"
#include "vmm/vcpu.h"
#include "vmm/x86/check_code.h"

/* System calls: those of a machine (machine.c, vcpu.c), setitimer, rt_sigaction, rt_sigprocmask,
 * clock_gettime. */

#define NS_PER_MS ((u64)1000000)

enum { TICK_MS = 20 };
enum { LOOP_ROUNDS = 50000, LOOP_ROUNDS_MORE = 5000000, LOOP_TRIES = 4 };
/* A loop that takes less is followed by one of more rounds. */
enum { LOOP_SHORT_MS = 5 };

static const struct {
	const char *name;
	enum check_code_id code;
	u32 debug; /* KVM_GUESTDBG_…: what the debugger asks for, or 0 without one */
} probes[] = {
	[CHECK_LONG_MODE] = {"long_mode", CHECK_CODE_LONG_MODE, 0},
	[CHECK_SYSTEM] = {"system_registers", CHECK_CODE_SYSTEM, 0},
	[CHECK_CMPXCHG16B] = {"cmpxchg16b", CHECK_CODE_CMPXCHG16B, 0},
	[CHECK_XRSTOR] = {"xrstor", CHECK_CODE_XRSTOR, 0},
	[CHECK_INT3] = {"int3", CHECK_CODE_INT3, 0},
	[CHECK_STEP] = {"single_step", CHECK_CODE_LONG_MODE, KVM_GUESTDBG_SINGLESTEP},
	[CHECK_HARDWARE_BREAKPOINT] = {"hardware_breakpoint", CHECK_CODE_LONG_MODE,
				       KVM_GUESTDBG_USE_HW_BP},
	[CHECK_SOFTWARE_BREAKPOINT] = {"software_breakpoint", CHECK_CODE_INT3,
				       KVM_GUESTDBG_USE_SW_BP},
};

/* No virtual machine could be made, or KVM_RUN failed. */
#define NOT_BEGUN "could not be started"

const char *check_probe_name(enum check_probe probe)
{
	return probes[probe].name;
}

const char *check_outcome_words(const struct check_outcome *outcome)
{
	return outcome->end == CHECK_NOT_TRIED ? "not tried"
	       : outcome->end == CHECK_DONE    ? "ok"
					       : outcome->words;
}

static void fail(struct check_outcome *outcome, const char *format, ...) PRINTF(2, 3);

static void fail(struct check_outcome *outcome, const char *format, ...)
{
	va_list args;

	outcome->end = CHECK_FAILED;
	va_start(args, format);
	vsnprintf(outcome->words, sizeof(outcome->words), format, args);
	va_end(args);
}

static void tick(int signal_number)
{
	(void)signal_number;
}

static void set_timer(unsigned first_ms)
{
	const struct itimerval timer = {
		.it_value = {.tv_sec = first_ms / 1000,
			     .tv_usec = (suseconds_t)(first_ms % 1000) * 1000},
		.it_interval = {.tv_usec = first_ms ? TICK_MS * 1000 : 0},
	};

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* A guest wrote to a port: that may be its end. */
static void take_output(const struct kvm_run *run, const struct check_code *code, u64 *started_ns,
			struct check_outcome *outcome)
{
	const u8 value = ((const u8 *)run)[run->io.data_offset];

	switch (run->io.port) {
	case CHECK_PORT_START:
		*started_ns = clock_now_ns();
		break;
	case CHECK_PORT_EXCEPTION:
		if (value != code->traps)
			fail(outcome, "exception %u", value);
		break;
	case CHECK_PORT_DONE:
		if (*started_ns)
			outcome->ns = clock_now_ns() - *started_ns;
		outcome->end = CHECK_DONE;
		if (value != code->answer)
			fail(outcome, "wrong answer %u", value);
		break;
	default:
		check_take_exit(run, outcome);
	}
}

void check_take_exit(const struct kvm_run *run, struct check_outcome *outcome)
{
	switch (run->exit_reason) {
	case KVM_EXIT_DEBUG:
		outcome->end = CHECK_STOPPED;
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		fail(outcome, "KVM internal error, suberror %u", run->internal.suberror);
		break;
	case KVM_EXIT_SHUTDOWN:
		fail(outcome, "triple fault");
		break;
	case KVM_EXIT_FAIL_ENTRY:
		fail(outcome, "the processor refused entry, reason 0x%llx",
		     run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		fail(outcome, "unexpected exit reason %u", run->exit_reason);
	}
}

/* Runs the vCPU until the guest's end or the limit. err is set when KVM_RUN itself fails. */
static struct check_outcome run_vcpu(const struct vcpu *vcpu, const struct check_code *code,
				     struct error *err)
{
	const u64 end_ns = clock_now_ns() + CHECK_GUEST_LIMIT_MS * NS_PER_MS;
	const struct kvm_run *run = vcpu->run;
	struct check_outcome outcome = {.end = CHECK_NOT_TRIED};
	u64 started_ns = 0;

	set_timer(CHECK_GUEST_LIMIT_MS);
	while (outcome.end == CHECK_NOT_TRIED) {
		const int result = ioctl(vcpu->fd, KVM_RUN, 0);

		if (result < 0 && errno != EINTR && errno != EAGAIN) {
			error_errno(err, "KVM doesn't run the vCPU");
			fail(&outcome, NOT_BEGUN);
		} else if (clock_now_ns() >= end_ns) {
			fail(&outcome, "no end in so many ms: %d", CHECK_GUEST_LIMIT_MS);
		} else if (result == 0 && run->exit_reason == KVM_EXIT_IO) {
			take_output(run, code, &started_ns, &outcome);
		} else if (result == 0 && run->exit_reason != KVM_EXIT_INTR) {
			check_take_exit(run, &outcome);
		}
	}
	set_timer(0);
	return outcome;
}

/*
 * Makes a machine as `bantam run` makes one, but without a board, with the guest in it. Returns 0,
 * or -1 with err set; machine_destroy() is due in both cases.
 */
static int make_guest(struct machine *machine, const struct config *config,
		      const struct check_code *code, struct error *err)
{
	const struct boot_plan plan = {.kernel = {.protocol = BOOT_LINUX, .entry = CHECK_CODE_AT}};

	if (machine_init(machine, config, NULL, err) || machine_create_vm(machine, &plan, err))
		return -1;
	return check_code_place(&machine->memory, code, err);
}

/* One guest from its making to its end. */
static struct check_outcome run_guest(enum check_probe probe, struct error *err)
{
	const struct check_code *code = &check_codes[probes[probe].code];
	struct kvm_guest_debug debug = check_code_debug(probes[probe].debug);
	const struct config config = {.memory_bytes = MEMORY_MIN_BYTES, .cpus = 1};
	struct check_outcome outcome = {.end = CHECK_FAILED, .words = NOT_BEGUN};
	struct machine machine;

	if (make_guest(&machine, &config, code, err) == 0 &&
	    check_code_set_registers(machine.vcpu[0].fd, 0, err) == 0 &&
	    (!debug.control || kvm_ioctl(machine.vcpu[0].fd, KVM_SET_GUEST_DEBUG, &debug) == 0))
		outcome = run_vcpu(&machine.vcpu[0], code, err);
	machine_destroy(&machine);
	if (debug.control && outcome.end == CHECK_DONE)
		fail(&outcome, "not stopped");
	else if (outcome.end == CHECK_STOPPED)
		outcome.end = CHECK_DONE;
	return outcome;
}

/* KVM completes a guest's output when it is called again; asked to leave at once, it does no more.
 * Registers may be set after that. */
static void complete_output(const struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	(void)ioctl(vcpu->fd, KVM_RUN, 0);
	vcpu->run->immediate_exit = 0;
}

/* The best of some runs of the loop, in millions of instructions a second; 0 when the first fails. */
static double measure_mips(void)
{
	const struct check_code *code = &check_codes[CHECK_CODE_LOOP];
	const struct config config = {.memory_bytes = MEMORY_MIN_BYTES, .cpus = 1};
	struct error ignored = {0};
	struct machine machine;
	u64 rounds = LOOP_ROUNDS;
	double best = 0;
	const bool ready = make_guest(&machine, &config, code, &ignored) == 0;

	for (unsigned i = 0; ready && i < LOOP_TRIES; i++) {
		const struct vcpu *vcpu = &machine.vcpu[0];
		struct check_outcome outcome = {.end = CHECK_FAILED};
		double mips;

		if (check_code_set_registers(vcpu->fd, rounds, &ignored) == 0)
			outcome = run_vcpu(vcpu, code, &ignored);
		if (outcome.end != CHECK_DONE || !outcome.ns)
			break;
		/* Instructions a nanosecond are thousands of millions a second. */
		mips = (double)(rounds * CHECK_LOOP_INSTRUCTIONS) / (double)outcome.ns * 1000;
		best = mips > best ? mips : best;
		if (outcome.ns < LOOP_SHORT_MS * NS_PER_MS)
			rounds = LOOP_ROUNDS_MORE;
		complete_output(vcpu);
	}
	machine_destroy(&machine);
	return best;
}

void check_guests_run(struct check_guests *guests, int kvm_fd)
{
	const struct sigaction action = {.sa_handler = tick};
	const bool xsave = check_code_has_xsave(kvm_fd);
	struct error ignored = {0};
	struct sigaction old_action;
	sigset_t alarm, old_mask;

	*guests = (struct check_guests){0};
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	sigaction(SIGALRM, &action, &old_action);
	sigprocmask(SIG_UNBLOCK, &alarm, &old_mask);
	guests->probe[CHECK_LONG_MODE] = run_guest(CHECK_LONG_MODE, &guests->err);
	if (guests->probe[CHECK_LONG_MODE].end == CHECK_DONE) {
		for (unsigned i = CHECK_LONG_MODE + 1; i < CHECK_PROBES; i++) {
			if (i != CHECK_XRSTOR || xsave)
				guests->probe[i] = run_guest((enum check_probe)i, &ignored);
		}
		guests->mips = measure_mips();
	}
	sigprocmask(SIG_SETMASK, &old_mask, NULL);
	sigaction(SIGALRM, &old_action, NULL);
}
