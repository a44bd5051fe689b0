/*
 * vmm/sandbox.c: the collected rows, the filters made of them, the descriptors of the parent.
 *
 * A filter is for good, so each test of one is a child process, which locks itself in as the
 * program does: the main thread itself, or a real thread of it as a vCPU. What it then asks of the
 * kernel it asks by syscall(2), with arguments that the kernel refuses where it may, and it reports
 * by its exit status. Sanitizers make calls of their own at a thread's start and end, and those
 * aren't listed: tests with such moments under a filter are skipped there.
 */
#include "tests/unit/test.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/readwrite.h"
#include "vmm/run.h"
#include "vmm/sandbox.h"
#include "vmm/verdict.h"

/* The rows are those of the linked files: this links all that the program has. */
int (*const whole_program)(const struct config *config);
int (*const whole_program)(const struct config *config) = run;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define SKIP_SANITIZED()                                                                           \
	do {                                                                                       \
		if (SANITIZED)                                                                     \
			SKIP("the sanitizer makes calls of its own, which aren't listed");         \
	} while (0)

/* What the children exit with. */
enum {
	HAPPENED = 7,      /* the call was made, and the thread went on */
	WRONG = 8,         /* something is not as it should be; stderr says what */
	NO_FILTERS = 9,    /* this kernel has no seccomp filters */
	CANNOT_ENTER = 10, /* sandbox_prepare() or sandbox_enter() failed */
};

enum { CHILD_SECONDS = 20 };

#define CALL_NUMBERS 1024 /* more than the kernel has */
#define X32_BIT      0x40000000L

/* Every kind of thread that the program makes. */
static const struct kind {
	const char *name;
	u32 bits;
	bool is_thread;
} kinds[] = {
	{"main", SANDBOX_MAIN, false},
	{"main that restarts", SANDBOX_MAIN | SANDBOX_RESTART, false},
	{"vCPU", SANDBOX_VCPU, true},
	{"worker", SANDBOX_WORKER, true},
	{"network's worker", SANDBOX_WORKER | SANDBOX_NET, true},
	{"streams' worker", SANDBOX_WORKER | SANDBOX_STREAM, true},
	{"file server", SANDBOX_WORKER | SANDBOX_FILES | SANDBOX_CHANGE, true},
	{"read-only file server", SANDBOX_WORKER | SANDBOX_FILES, true},
	{"disk's worker", SANDBOX_WORKER | SANDBOX_RING, true},
	{"disk's helper", SANDBOX_WORKER | SANDBOX_HELPER, true},
	{"disk's worker with a limit", SANDBOX_WORKER | SANDBOX_RING | SANDBOX_LIMIT, true},
	{"main with a result", SANDBOX_MAIN | SANDBOX_REPORT, false},
	{"main with passt", SANDBOX_MAIN | SANDBOX_CHILD, false},
	{"main that connects", SANDBOX_MAIN | SANDBOX_CONNECT, false},
	{"main with a debugger", SANDBOX_MAIN | SANDBOX_GDB, false},
};

#define NAMED(call)                                                                                \
	{                                                                                          \
		SYS_##call, #call                                                                  \
	}

struct named_call {
	int number;
	const char *name;
};

/* Whoever lists a call that isn't here looks at it twice, and adds it. */
static const struct named_call harmless[] = {
	NAMED(accept4), /* of a socket that listens already: --gdb */
	NAMED(clock_gettime),
	NAMED(clone),
	NAMED(clone3),
	NAMED(close),
	NAMED(connect), /* these two only where a network's socket was given by its path */
	NAMED(copy_file_range),
	NAMED(epoll_pwait),
	NAMED(exit),
	NAMED(exit_group),
	NAMED(fallocate),
	NAMED(fchmodat),
	NAMED(fchownat),
	NAMED(fcntl),
	NAMED(fdatasync),
	NAMED(fgetxattr),
	NAMED(flistxattr),
	NAMED(fremovexattr),
	NAMED(fsetxattr),
	NAMED(fstat),
	NAMED(fstatfs),
	NAMED(fsync),
	NAMED(ftruncate),
	NAMED(futex),
	NAMED(getdents64),
	NAMED(getpid),
	NAMED(getrandom),
	NAMED(getrusage),
	NAMED(gettid),
	NAMED(io_uring_enter), /* on rings that are restricted before */
	NAMED(ioctl),
	NAMED(linkat),
	NAMED(lseek),
	NAMED(madvise),
	NAMED(mkdirat),
	NAMED(mknodat),
	NAMED(mmap),
	NAMED(mprotect),
	NAMED(munmap),
	NAMED(newfstatat),
	NAMED(openat2),
	NAMED(poll),
	NAMED(prctl),
	NAMED(pidfd_send_signal),
	NAMED(pread64),
	NAMED(preadv2),
	NAMED(pwritev2),
	NAMED(readlinkat),
	NAMED(renameat2),
	NAMED(recvfrom), /* by the main thread from its debugger */
	NAMED(restart_syscall),
	NAMED(rseq),
	NAMED(rt_sigaction),
	NAMED(rt_sigprocmask),
	NAMED(rt_sigreturn),
	NAMED(sched_setscheduler), /* of themselves, between two policies */
	NAMED(sendto),
	NAMED(set_robust_list),
	NAMED(socket),
	NAMED(statx),
	NAMED(symlinkat),
	NAMED(timerfd_settime),
	NAMED(syncfs),
	NAMED(tgkill),
	NAMED(unlinkat),
	NAMED(utimensat),
	NAMED(wait4),
	NAMED(write),
	NAMED(writev),
};

/* What nothing that has taken over a thread may do. */
static const struct named_call forbidden[] = {
	NAMED(accept4),
	NAMED(bind),
	NAMED(bpf),
	NAMED(chdir),
	NAMED(chmod),
	NAMED(connect),
	NAMED(creat),
	NAMED(execve),
	NAMED(execveat),
	NAMED(fork),
	NAMED(init_module),
	NAMED(io_uring_setup),
	NAMED(keyctl),
	NAMED(kill),
	NAMED(link),
	NAMED(memfd_create),
	NAMED(mkdir),
	NAMED(mount),
	NAMED(open),
	NAMED(open_by_handle_at),
	NAMED(openat),
	NAMED(openat2),
	NAMED(perf_event_open),
	NAMED(pidfd_open),
	NAMED(pidfd_getfd),
	NAMED(process_vm_readv),
	NAMED(process_vm_writev),
	NAMED(ptrace),
	NAMED(readlink),
	NAMED(recvmsg),
	NAMED(rename),
	NAMED(seccomp),
	NAMED(sendmsg),
	NAMED(setns),
	NAMED(setuid),
	NAMED(shmat),
	NAMED(socket),
	NAMED(socketpair),
	NAMED(stat),
	NAMED(symlink),
	NAMED(tkill),
	NAMED(truncate),
	NAMED(unlink),
	NAMED(unshare),
	NAMED(userfaultfd),
	NAMED(vfork),
};

/* ---- children ---- */

struct job {
	enum sandbox_mode mode;
	u32 kind;
	bool is_thread;
	bool counts_traps; /* the main thread's refusals are counted instead of told */
	long number;       /* for make_call(), with these arguments */
	long argument[6];
	void (*body)(struct job *job); /* what the locked thread does; NULL: it ends */
};

/* A vCPU may end itself, not the process: its last word waits for the main thread. */
static _Thread_local bool may_end_itself_only;
static volatile int last_word;
static pid_t own_process;

/*
 * Ends the process without anything that a C library or a sanitizer does at an end. It may not look
 * like a function that never returns: AddressSanitizer makes a call before such a one.
 */
static void leave(int status)
{
	volatile bool here = true;

	last_word = status;
	while (here)
		syscall(may_end_itself_only ? SYS_exit : SYS_exit_group, status);
}

static void wrong(const char *words, long number)
{
	char line[128];
	const int count = snprintf(line, sizeof(line), "%s %ld\n", words, number);

	(void)!io_write(STDERR_FILENO, line, (size_t)count);
	leave(WRONG);
}

static volatile sig_atomic_t traps;
static volatile long trapped;

static void count_trap(int signal_number, siginfo_t *info, void *context)
{
	(void)signal_number, (void)context;
	traps = traps + 1;
	trapped = info->si_syscall;
}

static void lock_in_and_go(struct job *job)
{
	struct error err;

	if (sandbox_enter(job->mode, job->kind, &err))
		leave(CANNOT_ENTER);
	if (job->body) {
		job->body(job);
		leave(0);
	}
}

static void *thread_start(void *argument)
{
	may_end_itself_only = true;
	lock_in_and_go(argument);
	return NULL;
}

static void child_main(struct job *job)
{
	const struct sigaction counted = {.sa_sigaction = count_trap, .sa_flags = SA_SIGINFO};
	const struct rlimit no_core = {0, 0};
	struct error err;
	pthread_t thread;

	own_process = getpid();
	alarm(CHILD_SECONDS);
	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGSYS, SIG_DFL); /* cmocka has a handler */
	if (job->mode != SANDBOX_OFF) {
		if (sandbox_prepare(&job->mode, &err))
			leave(CANNOT_ENTER);
		if (job->mode == SANDBOX_OFF)
			leave(NO_FILTERS);
	}
	if (job->counts_traps)
		sigaction(SIGSYS, &counted, NULL);
	if (!job->is_thread) {
		lock_in_and_go(job);
		leave(0);
	}
	if (pthread_create(&thread, NULL, thread_start, job))
		leave(CANNOT_ENTER);
	pthread_join(thread, NULL);
	leave(last_word);
}

/* Runs the job in a child; returns waitpid()'s status, and in text what the child has printed. */
static int run_job(struct job job, char *text, size_t text_bytes)
{
	size_t used = 0;
	ssize_t count;
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	fflush(stdout);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		child_main(&job);
	}
	close(ends[1]);
	while (used < text_bytes - 1 &&
	       (count = read(ends[0], text + used, text_bytes - 1 - used)) > 0)
		used += (size_t)count;
	text[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTERS)
		SKIP("this kernel has no seccomp filters");
	return status;
}

/* The same for a child that must end by itself with that status. */
static void expect_exit(struct job job, int wanted)
{
	char text[4096];
	const int status = run_job(job, text, sizeof(text));

	if (!WIFEXITED(status) || WEXITSTATUS(status) != wanted)
		fail_msg("kind %u, call %ld: wait status 0x%x instead of an exit with %d; it said: "
			 "%s",
			 job.kind, job.number, (unsigned)status, wanted, text);
}

static long call(long number, const long *argument)
{
	return syscall(number, argument[0], argument[1], argument[2], argument[3], argument[4],
		       argument[5]);
}

static u32 number_of(const struct sandbox_argument *argument)
{
	return argument->number % SANDBOX_SELF;
}

static u32 value_of(const struct sandbox_argument *argument)
{
	return argument->number & SANDBOX_SELF ? (u32)own_process : argument->value;
}

/*
 * Arguments that a filter lets through and the kernel refuses: nonsense but for what the row asks for
 * (NULL: nothing).
 */
static void make_arguments(const struct sandbox_call *row, long *argument)
{
	for (size_t i = 0; i < 6; i++)
		argument[i] = -1;
	for (size_t i = 0; row && i < SANDBOX_ARGUMENTS; i++) {
		if (row->argument[i].mask)
			argument[number_of(&row->argument[i])] = (long)value_of(&row->argument[i]);
	}
}

/* The first row of these threads for a call, or NULL. */
static const struct sandbox_call *row_of(u32 threads, long number)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);

	for (size_t i = 0; i < count; i++) {
		if (calls[i].number == number && calls[i].threads & threads)
			return &calls[i];
	}
	return NULL;
}

static bool is_listed(u32 threads, long number)
{
	return row_of(threads, number) != NULL;
}

/* What the locked thread does: one call that has no effect if it happens. */
static void make_call(struct job *job)
{
	call(job->number, job->argument);
	leave(HAPPENED);
}

static struct job job_of(const struct kind *kind, enum sandbox_mode mode,
			 void (*body)(struct job *job))
{
	return (struct job){
		.mode = mode, .kind = kind->bits, .is_thread = kind->is_thread, .body = body};
}

/* ---- the rows ---- */

/* A row that is no row, because the linker left room between two tables, is all zeros. */
static void test_rows_are_whole(void **state)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);

	(void)state;
	assert_true(count > 10 && count < 200);
	for (size_t i = 0; i < count; i++) {
		const u32 known = 2 * SANDBOX_GDB - 1;

		assert_non_null(calls[i].name);
		assert_non_null(calls[i].why);
		assert_true(calls[i].why[0] != '\0');
		for (const char *at = calls[i].why; *at; at++)
			assert_true(isprint((unsigned char)*at));
		assert_true(calls[i].number >= 0 && calls[i].number < X32_BIT);
		assert_true(calls[i].threads != 0);
		assert_int_equal(calls[i].threads & ~known, 0);
		for (size_t k = 0; k < SANDBOX_ARGUMENTS; k++) {
			const struct sandbox_argument *argument = &calls[i].argument[k];

			assert_true(number_of(argument) < 6);
			assert_int_equal(argument->value & ~argument->mask, 0);
		}
	}
}

static void test_names_and_numbers_agree(void **state)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;

		while (k < ARRAY_LEN(harmless) && strcmp(harmless[k].name, calls[i].name) != 0)
			k++;
		if (k == ARRAY_LEN(harmless))
			fail_msg("%s is listed, and this test doesn't know it", calls[i].name);
		assert_int_equal(calls[i].number, harmless[k].number);
	}
}

/* Two files may make the same call, each for a reason of its own; one file names it once. */
static void test_no_row_is_there_twice(void **state)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < i; k++) {
			if (calls[i].number == calls[k].number &&
			    calls[i].threads & calls[k].threads &&
			    memcmp(calls[i].argument, calls[k].argument,
				   sizeof(calls[i].argument)) == 0 &&
			    strcmp(calls[i].why, calls[k].why) == 0)
				fail_msg("%s is there twice: %s", calls[i].name, calls[i].why);
		}
	}
}

static void test_nothing_forbidden_is_listed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
		if (is_listed(~(u32)(SANDBOX_CONNECT | SANDBOX_FILES | SANDBOX_GDB),
			      forbidden[i].number))
			fail_msg("%s is listed", forbidden[i].name);
	}
}

/* What makes memory executable, or threads, is for a machine that restarts and nothing else. */
static void test_only_a_restart_makes_memory_and_threads(void **state)
{
	static const int numbers[] = {SYS_mmap,   SYS_mprotect,     SYS_clone,
				      SYS_clone3, SYS_rt_sigaction, SYS_prctl};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		assert_false(is_listed(SANDBOX_ALL, numbers[i]));
}

/*
 * After a restart a vCPU's thread comes from a main thread that is locked in, and is under both
 * filters: it can do only what both list.
 */
static void test_a_restarted_vcpu_can_do_what_a_vcpu_does(void **state)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		if (calls[i].threads & SANDBOX_VCPU &&
		    !is_listed(SANDBOX_MAIN | SANDBOX_RESTART, calls[i].number))
			fail_msg("a vCPU's %s is not in the main thread's list", calls[i].name);
	}
}

/* How many calls may happen on any of these threads. */
static unsigned count_calls(u32 threads)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);
	unsigned listed = 0;

	for (long number = 0; number < CALL_NUMBERS; number++) {
		bool one = false;

		for (size_t i = 0; i < count; i++)
			one = one || (calls[i].number == number && calls[i].threads & threads &&
				      !calls[i].error);
		listed += one;
	}
	return listed;
}

/* The most that a kind may have; who needs more of them looks for one that can go. */
static void test_how_many_calls_a_kind_has(void **state)
{
	const u32 machine = SANDBOX_MAIN | SANDBOX_VCPU | SANDBOX_WORKER | SANDBOX_RING |
			    SANDBOX_NET;
	const u32 reads = machine | SANDBOX_FILES, writes = reads | SANDBOX_CHANGE;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const unsigned listed = count_calls(kinds[i].bits);

		print_message("%s: %u calls\n", kinds[i].name, listed);
		assert_true(listed > 5 && listed <= (kinds[i].bits & SANDBOX_CHANGE ? 39 : 28));
	}
	print_message("disk and tap: %u, with a read-only volume: %u, with a volume: %u calls\n",
		      count_calls(machine), count_calls(reads), count_calls(writes));
	assert_true(count_calls(machine) <= 16);
	assert_true(count_calls(reads) <= 28);
	assert_true(count_calls(writes) <= 42);
}

/* ---- mode on ---- */

/*
 * uretprobe and uprobe, which the C library's headers may not know: newer kernels let no filter see
 * them, and kill whoever calls them outside of the kernel's own trampoline.
 */
static bool is_filtered(long number)
{
	return number != 335 && number != 336;
}

/* Other calls don't come back, or not from nonsense. */
static bool returns(long number)
{
	return number != SYS_exit && number != SYS_exit_group && number != SYS_rt_sigreturn;
}

static void try_all_calls(struct job *job)
{
	for (long number = 0; number < CALL_NUMBERS; number++) {
		const bool listed = is_listed(job->kind, number);
		long argument[6];

		if (!is_filtered(number))
			continue;
		traps = 0;
		make_arguments(row_of(job->kind, number), argument);
		if (!listed || returns(number))
			call(number, argument);
		if (listed && traps)
			wrong("stopped, but listed: call", number);
		if (!listed && (traps != 1 || trapped != number))
			wrong("not stopped: call", number);
	}
}

/* Whether any row of these threads fits. */
static bool is_meant(u32 threads, long number, const long *argument)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);

	for (size_t i = 0; i < count; i++) {
		bool fits = calls[i].number == number && calls[i].threads & threads;

		for (size_t k = 0; k < SANDBOX_ARGUMENTS; k++) {
			const struct sandbox_argument *one = &calls[i].argument[k];

			fits = fits && ((u32)argument[number_of(one)] & one->mask) == value_of(one);
		}
		if (fits)
			return true;
	}
	return false;
}

/* Each argument that a row asks for, one bit after the other wrong. */
static void try_other_arguments(struct job *job)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);
	unsigned tried = 0;

	for (size_t i = 0; i < count; i++) {
		for (u32 bit = 0; bit < 32 * SANDBOX_ARGUMENTS; bit++) {
			const struct sandbox_argument *one = &calls[i].argument[bit / 32];
			const u32 flip = (u32)1 << bit % 32;
			long argument[6];

			if (!(calls[i].threads & job->kind) || !(one->mask & flip))
				continue;
			make_arguments(&calls[i], argument);
			argument[number_of(one)] = (long)(value_of(one) ^ flip);
			if (is_meant(job->kind, calls[i].number, argument))
				continue;
			traps = 0;
			call(calls[i].number, argument);
			if (traps != 1)
				wrong("not stopped, with another argument: call", calls[i].number);
			tried++;
		}
	}
	leave(tried ? 0 : WRONG);
}

/* Whether it is let through with any arguments. */
static bool happens(u32 threads, int number)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);

	for (size_t i = 0; i < count; i++) {
		if (calls[i].number == number && calls[i].threads & threads && !calls[i].error &&
		    !calls[i].argument[0].mask)
			return true;
	}
	return false;
}

/* What a C library only tries happens nowhere, and ends nobody. */
static void try_answered_calls(struct job *job)
{
	const struct sandbox_call *calls;
	const size_t count = sandbox_calls(&calls);
	unsigned tried = 0;

	for (size_t i = 0; i < count; i++) {
		if (!(calls[i].threads & job->kind) || !calls[i].error ||
		    happens(job->kind, calls[i].number))
			continue;
		tried++;
		if (syscall(calls[i].number, -1L, 0L, -1L, -1L, -1L, -1L) != -1 ||
		    errno != (int)calls[i].error)
			wrong("another answer: call", calls[i].number);
	}
	leave(tried ? 0 : WRONG);
}

/* The kernel may have no x32 calls at all; the filter comes first. */
static void try_all_x32_calls(struct job *job)
{
	(void)job;
	for (long number = 0; number < CALL_NUMBERS; number++) {
		traps = 0;
		syscall(number | X32_BIT, -1L, (long)TCGETS, -1L, -1L, -1L, -1L);
		if (traps != 1)
			wrong("not stopped: x32 call", number);
	}
	traps = 0;
	syscall(-1L, -1L);
	if (traps != 1)
		wrong("not stopped: call", -1);
}

static void count_traps(const struct kind *kind, void (*body)(struct job *job))
{
	struct job job = job_of(kind, SANDBOX_ON, body);

	job.counts_traps = true;
	expect_exit(job, 0);
}

static void test_exactly_the_listed_calls_are_let_through(void **state)
{
	(void)state;
	count_traps(&kinds[0], try_all_calls);
	count_traps(&kinds[1], try_all_calls);
}

static void test_calls_with_other_arguments_are_stopped(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		/* As the main thread's its refusals can be counted. */
		struct kind kind = kinds[i];

		kind.bits |= SANDBOX_MAIN;
		count_traps(&kind, try_other_arguments);
		expect_exit(job_of(&kinds[i], SANDBOX_ON, try_answered_calls), 0);
	}
}

static void test_x32_calls_are_stopped(void **state)
{
	(void)state;
	count_traps(&kinds[0], try_all_x32_calls);
	count_traps(&kinds[1], try_all_x32_calls);
}

static void expect_killed(struct job job)
{
	char text[256];
	const int status = run_job(job, text, sizeof(text));

	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
		fail_msg("call %ld: wait status 0x%x: %s", job.number, (unsigned)status, text);
	assert_string_equal(text, "");
}

static void test_a_forbidden_call_kills_a_vcpu(void **state)
{
	struct job job = job_of(&kinds[2], SANDBOX_ON, make_call);

	(void)state;
	make_arguments(NULL, job.argument);
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
		job.number = forbidden[i].number;
		expect_killed(job);
	}
	job.number = SYS_close; /* another kind's */
	expect_killed(job);
	/* A thread of another process, even without a signal. */
	job.number = SYS_tgkill;
	job.argument[0] = job.argument[1] = getpid();
	job.argument[2] = 0;
	expect_killed(job);
	make_arguments(NULL, job.argument);
	job.number = SYS_ioctl;
	job.argument[1] = (long)KVM_CREATE_VCPU;
	expect_killed(job);
	job.argument[1] = (long)KVM_RUN;
	expect_exit(job, HAPPENED);
	job.number = SYS_ioctl | X32_BIT;
	expect_killed(job);
}

static void try_listed_calls(struct job *job)
{
	for (long number = 0; number < CALL_NUMBERS; number++) {
		long argument[6];

		make_arguments(row_of(job->kind, number), argument);
		if (is_listed(job->kind, number) && returns(number))
			call(number, argument);
	}
}

static void test_a_vcpu_makes_its_calls(void **state)
{
	(void)state;
	expect_exit(job_of(&kinds[2], SANDBOX_ON, try_listed_calls), 0);
}

/*
 * getegid(2) by the door of 32-bit programs, where it has the number that is futex(2), which every
 * kind lists, by the usual one. job->number: what it should return.
 */
static void make_i386_call(struct job *job)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "0"((long)SYS_futex) : "memory");
	leave(traps || result != job->number ? WRONG : HAPPENED);
}

static void test_32_bit_calls_are_stopped(void **state)
{
	struct job job = job_of(&kinds[0], SANDBOX_OFF, make_i386_call);
	char text[256];
	int status;

	(void)state;
	job.number = (long)getegid();
	status = run_job(job, text, sizeof(text));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != HAPPENED)
		SKIP("this kernel has no 32-bit calls");
	job.mode = SANDBOX_ON;
	job.counts_traps = true;
	expect_exit(job, WRONG); /* stopped, so it has no result */
	job.kind = SANDBOX_VCPU;
	job.is_thread = true;
	expect_killed(job);
}

/* The C library's own calls at a thread's end, and those of whoever waits for it. */
static void test_a_vcpu_thread_can_end(void **state)
{
	(void)state;
	SKIP_SANITIZED();
	expect_exit(job_of(&kinds[2], SANDBOX_ON, NULL), 0);
}

static void *late_thread(void *argument)
{
	struct job *job = argument;
	struct error err;

	may_end_itself_only = true;
	if (sandbox_enter(SANDBOX_ON, SANDBOX_VCPU, &err))
		wrong("a late thread can't lock itself in, call", job->number);
	if (job->number)
		make_call(job);
	return NULL;
}

/* As after a restart: the thread is made by a main thread that is locked in. */
static void make_thread(struct job *job)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, late_thread, job) || pthread_join(thread, NULL))
		wrong("no thread, call", job->number);
	leave(last_word);
}

static void test_a_machine_that_restarts_makes_threads(void **state)
{
	struct job job = job_of(&kinds[1], SANDBOX_ON, make_thread);

	(void)state;
	SKIP_SANITIZED();
	make_arguments(NULL, job.argument);
	expect_exit(job, 0);
	job.number = SYS_socket;
	expect_killed(job);
	job.number = SYS_munmap; /* the main thread's list has it, and that isn't enough */
	expect_killed(job);
	job.number = SYS_ioctl;
	expect_killed(job);
	job.argument[1] = (long)KVM_RUN;
	expect_exit(job, HAPPENED);
}

static pthread_barrier_t barrier;

static void *locked_thread(void *argument)
{
	struct error err;

	(void)argument;
	if (sandbox_enter(SANDBOX_ON, SANDBOX_VCPU, &err))
		leave(CANNOT_ENTER);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

/* A filter is its thread's: the one that made the thread isn't locked in yet. */
static void open_beside_a_locked_thread(struct job *job)
{
	enum sandbox_mode mode = SANDBOX_ON;
	struct error err;
	pthread_t thread;

	(void)job;
	pthread_barrier_init(&barrier, NULL, 2);
	if (sandbox_prepare(&mode, &err) || pthread_create(&thread, NULL, locked_thread, NULL))
		leave(CANNOT_ENTER);
	if (mode == SANDBOX_OFF)
		leave(NO_FILTERS);
	pthread_barrier_wait(&barrier);
	leave(open("/dev/null", O_RDONLY) >= 0 ? HAPPENED : WRONG);
}

static void test_each_thread_locks_itself_in(void **state)
{
	(void)state;
	expect_exit(job_of(&kinds[0], SANDBOX_OFF, open_beside_a_locked_thread), HAPPENED);
}

/* ---- the main thread's last words ---- */

static void expect_words(const struct kind *kind, long number, const char *name)
{
	struct job job = job_of(kind, SANDBOX_ON, make_call);
	char text[1024], words[64];
	int status;

	job.number = number;
	make_arguments(NULL, job.argument);
	status = run_job(job, text, sizeof(text));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != STATUS_VMM_ERROR)
		fail_msg("%s, call %ld: wait status 0x%x", kind->name, number, (unsigned)status);
	snprintf(words, sizeof(words), "system call %ld (%s) of the main thread", number, name);
	assert_says(text, "bantam: the sandbox stopped ");
	assert_says(text, words);
	/* one line */
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_a_forbidden_call_of_the_main_thread_is_told(void **state)
{
	(void)state;
	SKIP_SANITIZED(); /* before the handler's _exit() */
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
		/* A name that another kind's row has is known. */
		const char *name = is_listed(~0U, forbidden[i].number) ? forbidden[i].name : "?";

		expect_words(&kinds[0], forbidden[i].number, name);
		expect_words(&kinds[1], forbidden[i].number, name);
	}
	expect_words(&kinds[0], SYS_mmap, "mmap"); /* a name that another kind's row has */
}

/* ---- what comes before, and the other modes ---- */

static void test_new_privileges_are_given_up(void **state)
{
	(void)state;
	for (enum sandbox_mode mode = SANDBOX_ON; mode <= SANDBOX_OFF; mode++) {
		const int wanted = mode == SANDBOX_OFF ? 0 : 1;
		const pid_t child = fork();
		int status;

		if (child == 0) {
			enum sandbox_mode used = mode;
			const int before = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
			struct error err;

			if (before || sandbox_prepare(&used, &err))
				leave(before ? NO_FILTERS : CANNOT_ENTER);
			leave(used != mode || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == wanted
				      ? HAPPENED
				      : WRONG);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTERS)
			SKIP("new privileges were given up before this test");
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), HAPPENED);
	}
}

static void do_forbidden_things(struct job *job)
{
	const int fd = open("/dev/null", O_RDONLY);

	if (fd < 0 || getppid() <= 1)
		wrong("a forbidden call failed, mode", (long)job->mode);
	leave(HAPPENED);
}

static void test_audit_lets_calls_happen(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		expect_exit(job_of(&kinds[i], SANDBOX_AUDIT, do_forbidden_things), HAPPENED);
}

static void do_nothing_off(struct job *job)
{
	struct sigaction action;

	if (prctl(PR_GET_SECCOMP) != 0)
		wrong("a filter is on, mode", (long)job->mode);
	if (sigaction(SIGSYS, NULL, &action) || action.sa_handler != SIG_DFL)
		wrong("a handler is there, mode", (long)job->mode);
	do_forbidden_things(job);
}

static void test_off_does_nothing(void **state)
{
	(void)state;
	if (prctl(PR_GET_SECCOMP) != 0)
		SKIP("this process is under a filter already");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		expect_exit(job_of(&kinds[i], SANDBOX_OFF, do_nothing_off), HAPPENED);
}

/* ---- descriptors ---- */

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void close_inherited(struct job *job)
{
	static const int inherited[] = {3, 7, 63, 64, 65, 127, 1023};
	static const int own[] = {4, 8, 62, 128, 1022};
	struct descriptor_set set;
	int path;

	(void)job;
	for (int fd = STDERR_FILENO + 1; fd < 2048; fd++)
		close(fd);
	for (size_t i = 0; i < ARRAY_LEN(inherited); i++) {
		if (dup2(STDERR_FILENO, inherited[i]) != inherited[i])
			wrong("no descriptor", inherited[i]);
	}
	/* One that only names a path. */
	path = open("/", O_PATH | O_CLOEXEC);
	if (dup2(path, 65) != 65 || close(path))
		wrong("no descriptor", 65);
	descriptors_note(&set);
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		if (dup2(STDERR_FILENO, own[i]) != own[i])
			wrong("no descriptor", own[i]);
	}
	descriptors_close(&set);
	for (size_t i = 0; i < ARRAY_LEN(inherited); i++) {
		if (is_open(inherited[i]))
			wrong("still open:", inherited[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		if (!is_open(own[i]))
			wrong("closed:", own[i]);
	}
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (!is_open(fd))
			wrong("closed:", fd);
	}
	/* Again: those numbers are closed, and that is no error. */
	descriptors_close(&set);
	descriptors_note(&set);
	descriptors_close(&set);
	for (int fd = STDERR_FILENO + 1; fd < 1024; fd++) {
		if (is_open(fd))
			wrong("still open:", fd);
	}
	leave(HAPPENED);
}

static void test_descriptors_of_the_parent_are_closed(void **state)
{
	struct rlimit limit;

	(void)state;
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < 1024)
		SKIP("fewer than 1024 descriptors may be open here");
	expect_exit(job_of(&kinds[0], SANDBOX_OFF, close_inherited), HAPPENED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_are_whole),
		cmocka_unit_test(test_names_and_numbers_agree),
		cmocka_unit_test(test_no_row_is_there_twice),
		cmocka_unit_test(test_nothing_forbidden_is_listed),
		cmocka_unit_test(test_only_a_restart_makes_memory_and_threads),
		cmocka_unit_test(test_a_restarted_vcpu_can_do_what_a_vcpu_does),
		cmocka_unit_test(test_how_many_calls_a_kind_has),
		cmocka_unit_test(test_exactly_the_listed_calls_are_let_through),
		cmocka_unit_test(test_calls_with_other_arguments_are_stopped),
		cmocka_unit_test(test_x32_calls_are_stopped),
		cmocka_unit_test(test_a_forbidden_call_kills_a_vcpu),
		cmocka_unit_test(test_a_vcpu_makes_its_calls),
		cmocka_unit_test(test_32_bit_calls_are_stopped),
		cmocka_unit_test(test_a_vcpu_thread_can_end),
		cmocka_unit_test(test_a_machine_that_restarts_makes_threads),
		cmocka_unit_test(test_each_thread_locks_itself_in),
		cmocka_unit_test(test_a_forbidden_call_of_the_main_thread_is_told),
		cmocka_unit_test(test_new_privileges_are_given_up),
		cmocka_unit_test(test_audit_lets_calls_happen),
		cmocka_unit_test(test_off_does_nothing),
		cmocka_unit_test(test_descriptors_of_the_parent_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
