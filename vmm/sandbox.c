/*
 * The sandbox: see sandbox.h.
 *
 * The filter is a small BPF program: the architecture must be x86-64 and the call no x32 one, then
 * one comparison for each listed call, in the order of the tables, and behind it those of its
 * arguments. ioctl comes first, for that is what a vCPU does, and in its rows KVM_RUN: 9 steps. For
 * calls with any arguments order doesn't matter: kernels from 5.11 on run a filter once for such a
 * call, when it is installed, and remember.
 */
#include "vmm/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/terminal.h"
#include "vmm/verdict.h"

/* What the C library does by itself: locks, ending a thread or the process, time, memory. */
SANDBOX_CALLS(libc, CALL(futex, SANDBOX_ALL, "locks; waiting for a thread's end"),
	      CALL(exit_group, SANDBOX_MAIN, "the process's end"),
	      CALL(exit, SANDBOX_VCPU | SANDBOX_WORKER | SANDBOX_RESTART, "a thread's end"),
	      CALL(munmap, SANDBOX_MAIN, "a ring, which holds files; memory"),
	      NO_CALL(madvise, SANDBOX_ALL | SANDBOX_RESTART, ENOSYS,
		      "free(), a thread's stack at its end"),
	      /* No handler minds when it runs: one does nothing, and others end the process. */
	      NO_CALL(rt_sigprocmask, SANDBOX_ALL, ENOSYS, "around a thread's end"));

/* The linker makes these two symbols for a section whose name is a C identifier. */
extern const struct sandbox_call __start_sandbox_rows[];
extern const struct sandbox_call __stop_sandbox_rows[];

enum { FILTER_MAX = 384 };
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
	/* One by one: poll(2) would tell of 64 at once, but not of one that only names a path (O_PATH). */
	for (int fd = STDERR_FILENO + 1; fd < (int)sizeof(set->bits) * 8; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			set->bits[fd / 64] |= (u64)1 << (fd % 64);
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

	if (*mode == SANDBOX_OFF)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return error_set(err, "cannot give up new privileges: %s", strerror(errno));
	/* A filter at address 0 is EFAULT where there are filters, and EINVAL where there are none. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) < 0 && errno == EINVAL)
		*mode = SANDBOX_OFF;
	if (*mode == SANDBOX_OFF)
		return 0;
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

static void add_load(struct filter *filter, size_t offset)
{
	add_step(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (u32)offset));
}

/* Goes on behind `over` steps unless what was loaded is value. */
static void add_test(struct filter *filter, u32 value, unsigned over)
{
	add_step(filter,
		 (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, (u8)over));
}

/* The steps that say yes when a row's arguments fit, and go on behind themselves when they don't. */
static void add_arguments(struct filter *filter, const struct sandbox_call *call)
{
	unsigned left = 1;

	for (size_t i = 0; i < SANDBOX_ARGUMENTS; i++)
		left += call->argument[i].mask ? 3 : 0;
	for (size_t i = 0; i < SANDBOX_ARGUMENTS && call->argument[i].mask; i++) {
		left -= 3;
		add_load(filter, offsetof(struct seccomp_data, args) +
					 call->argument[i].number % SANDBOX_SELF * sizeof(u64));
		add_step(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K,
							      call->argument[i].mask));
		add_test(filter,
			 call->argument[i].number & SANDBOX_SELF ? (u32)getpid()
								 : call->argument[i].value,
			 left);
	}
	add_return(filter, SECCOMP_RET_ALLOW);
}

/* All rows of these threads for one call, behind each other, and what is said when none fits. */
static void add_call(struct filter *filter, int number, u32 threads, u32 refusal)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);
	const unsigned at = filter->steps;

	add_test(filter, (u32)number, 0);
	/* The last comes first: a vCPU's own in the order of the linker. */
	for (size_t i = count; i-- > 0;) {
		if (calls[i].number != number || !(calls[i].threads & threads))
			continue;
		if (calls[i].error)
			refusal = SECCOMP_RET_ERRNO | calls[i].error;
		else
			add_arguments(filter, &calls[i]);
	}
	add_return(filter, refusal);
	/* A jump that would be too far makes it too long as a whole. */
	if (filter->steps - at > UINT8_MAX)
		filter->steps = FILTER_MAX;
	if (filter->steps < FILTER_MAX)
		filter->step[at].jf = (u8)(filter->steps - at - 1);
}

/* Whether an earlier row of these threads has the call. */
static bool is_done(size_t row, u32 threads)
{
	const struct sandbox_call *calls;

	(void)sandbox_calls(&calls);
	for (size_t i = 0; i < row; i++) {
		if (calls[i].number == calls[row].number && calls[i].threads & threads)
			return true;
	}
	return false;
}

static void make_filter(struct filter *filter, u32 threads, u32 refusal)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);

	add_load(filter, offsetof(struct seccomp_data, arch));
	add_step(filter,
		 (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	add_return(filter, refusal);
	add_load(filter, offsetof(struct seccomp_data, nr));
	add_step(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_CALL, 0, 1));
	add_return(filter, refusal);
	add_call(filter, SYS_ioctl, threads, refusal);
	for (size_t i = 0; i < count; i++) {
		if (calls[i].threads & threads && calls[i].number != SYS_ioctl &&
		    !is_done(i, threads))
			add_call(filter, calls[i].number, threads, refusal);
	}
	add_return(filter, refusal);
}

static bool is_socket(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
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
	if (is_socket(STDOUT_FILENO) || is_socket(STDERR_FILENO))
		threads |= SANDBOX_SOCKET;
	make_filter(&filter, threads, refusal_of(mode, threads));
	program.len = filter.steps;
	if (filter.steps == FILTER_MAX)
		return error_set(err, "the sandbox has more than %d steps", FILTER_MAX);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return error_set(err, "this kernel has no seccomp filters (%s)", strerror(errno));
	return 0;
}
