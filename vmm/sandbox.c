/*
 * The sandbox: see sandbox.h.
 *
 * The filter is a small BPF program: the architecture must be x86-64 and the call no x32 one, then
 * one comparison for each listed call, in the order of the tables. The calls that a vCPU makes in
 * its loop are two, so order doesn't matter for speed.
 */
#include "vmm/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vmm/terminal.h"
#include "vmm/verdict.h"

/* What the C library does by itself: locks, ending a thread or the process, time, memory. */
SANDBOX_CALLS(libc, CALL(futex, SANDBOX_ALL, "locks; waiting for a thread's end"),
	      CALL(exit_group, SANDBOX_MAIN, "the process's end"),
	      CALL(exit, SANDBOX_VCPU | SANDBOX_WORKER | SANDBOX_RESTART, "a thread's end"),
	      CALL(munmap, SANDBOX_MAIN, "a thread's stack, the guest's memory"),
	      CALL(rt_sigprocmask, SANDBOX_ALL, "around a thread's end, and in raise()"),
	      CALL(rt_sigreturn, SANDBOX_ALL, "the end of a signal's handler"));

/* The linker makes these two symbols for a section whose name is a C identifier. */
extern const struct sandbox_call __start_sandbox_rows[];
extern const struct sandbox_call __stop_sandbox_rows[];

enum { FILTER_MAX = 256 };
#define X32_CALL 0x40000000U

size_t sandbox_calls(const struct sandbox_call **calls)
{
	*calls = __start_sandbox_rows;
	// cppcheck-suppress comparePointers
	return (size_t)(__stop_sandbox_rows - __start_sandbox_rows);
}

void descriptors_note(struct descriptor_set *set)
{
	*set = (struct descriptor_set){{0}};
	/* Beyond the set there is nothing that an option could name: closed at once. */
	(void)syscall(SYS_close_range, sizeof(set->bits) * 8, ~0U, 0);
	/* poll() tells of many at once; it fails where fewer than 64 may be open, too few for a machine. */
	for (int word = 0; word < (int)ARRAY_LEN(set->bits); word++) {
		struct pollfd fds[64];

		for (int i = 0; i < 64; i++)
			fds[i] = (struct pollfd){.fd = 64 * word + i};
		if (poll(fds, ARRAY_LEN(fds), 0) < 0)
			continue;
		for (int i = word ? 0 : STDERR_FILENO + 1; i < 64; i++)
			set->bits[word] |= fds[i].revents & POLLNVAL ? 0 : (u64)1 << i;
	}
}

void descriptors_close(const struct descriptor_set *set)
{
	for (int fd = STDERR_FILENO + 1; fd < (int)sizeof(set->bits) * 8; fd++) {
		if (set->bits[fd / 64] & (u64)1 << (fd % 64))
			close(fd);
	}
}

/* The main thread made a call that isn't listed: says which, and ends as any failure of ours. */
static void refused(int signal_number, siginfo_t *info, void *context)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);
	const char *name = "?";

	(void)signal_number, (void)context;
	for (size_t i = 0; i < count; i++) {
		if (calls[i].number == info->si_syscall)
			name = calls[i].name;
	}
	terminal_restore_in_handler();
	say("the sandbox stopped system call %d (%s) of the main thread; please report this, and use "
	    "--sandbox off until it is mended",
	    info->si_syscall, name);
	_exit(STATUS_VMM_ERROR);
}

int sandbox_prepare(enum sandbox_mode *mode, struct error *err)
{
	struct sigaction action = {.sa_sigaction = refused, .sa_flags = SA_SIGINFO};
	sigset_t set;

	/* A filter at address 0 is EFAULT where there are filters, and EINVAL where there are none. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) < 0 && errno == EINVAL)
		*mode = SANDBOX_OFF;
	if (*mode == SANDBOX_OFF)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return error_set(err, "cannot give up new privileges: %s", strerror(errno));
	sigaction(SIGSYS, &action, NULL);
	/* Where it is blocked, as a parent may have left it, it ends the process without the handler. */
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return 0;
}

struct filter {
	struct sock_filter step[FILTER_MAX];
	unsigned short steps;
};

static void add_step(struct filter *filter, struct sock_filter step)
{
	if (filter->steps < FILTER_MAX)
		filter->step[filter->steps++] = step;
}

static void add_return(struct filter *filter, u32 action)
{
	add_step(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/*
 * Of ioctl(2) only KVM's requests, what a terminal needs to be raw and back (TIOCSTI, say, would type
 * into the user's shell), which offloads and queues of a tap a guest uses, and joining it again.
 */
static void add_ioctls(struct filter *filter, u32 refusal)
{
	static const u32 others[] = {TCGETS,       TCSETS,        TIOCGPGRP,
				     TIOCGWINSZ,   TUNSETOFFLOAD, TUNSETQUEUE,
				     SIOCGIFINDEX, TUNSETIFF,     TUNSETVNETHDRSZ};
	/* All that follows is jumped over when it is another call. */
	const u8 steps = 1 + 2 * ARRAY_LEN(others) + 4;

	add_step(filter,
		 (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, steps));
	add_step(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						      offsetof(struct seccomp_data, args[1])));
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		add_step(filter,
			 (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, others[i], 0, 1));
		add_return(filter, SECCOMP_RET_ALLOW);
	}
	/* A request's bits 15:8 name whose it is. */
	add_step(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00));
	add_step(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVMIO << 8, 0, 1));
	add_return(filter, SECCOMP_RET_ALLOW);
	add_return(filter, refusal);
}

/* A thread may change its own policy between the two that need no rights, and nobody else's. */
static void add_scheduler(struct filter *filter, u32 refusal)
{
	enum { STEPS = 7 };

	add_step(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						      SYS_sched_setscheduler, 0, STEPS));
	add_step(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						      offsetof(struct seccomp_data, args[0])));
	add_step(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 4));
	add_step(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						      offsetof(struct seccomp_data, args[1])));
	add_step(filter,
		 (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SCHED_OTHER, 1, 0));
	add_step(filter,
		 (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SCHED_BATCH, 0, 1));
	add_return(filter, SECCOMP_RET_ALLOW);
	add_return(filter, refusal);
}

static void make_filter(struct filter *filter, u32 threads, u32 refusal)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);

	add_step(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						      offsetof(struct seccomp_data, arch)));
	add_step(filter,
		 (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	add_return(filter, refusal);
	add_step(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						      offsetof(struct seccomp_data, nr)));
	add_step(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_CALL, 0, 1));
	add_return(filter, refusal);
	for (size_t i = 0; i < count; i++) {
		if (!(calls[i].threads & threads))
			continue;
		if (calls[i].number == SYS_ioctl) {
			add_ioctls(filter, refusal);
			continue;
		}
		if (calls[i].number == SYS_sched_setscheduler) {
			add_scheduler(filter, refusal);
			continue;
		}
		add_step(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							      (u32)calls[i].number, 0, 1));
		add_return(filter, SECCOMP_RET_ALLOW);
	}
	add_return(filter, refusal);
}

static u32 refusal_of(enum sandbox_mode mode, u32 threads)
{
	if (mode == SANDBOX_AUDIT)
		return SECCOMP_RET_LOG;
	return threads & SANDBOX_MAIN ? SECCOMP_RET_TRAP : SECCOMP_RET_KILL_PROCESS;
}

int sandbox_enter(enum sandbox_mode mode, u32 threads, struct error *err)
{
	struct filter filter = {.steps = 0};
	struct sock_fprog program = {.filter = filter.step};

	if (mode == SANDBOX_OFF)
		return 0;
	make_filter(&filter, threads, refusal_of(mode, threads));
	program.len = filter.steps;
	if (filter.steps == FILTER_MAX)
		return error_set(err, "the sandbox has more than %d steps", FILTER_MAX);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return error_set(err, "this kernel has no seccomp filters (%s)", strerror(errno));
	return 0;
}
