/*
 * A thread of the program: see thread.h.
 */
#include "vmm/thread.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vmm/loop.h"
#include "vmm/terminal.h"

/* Of clone(2): the new one is a thread, and in no namespace of its own. */
#define NOT_A_THREAD                                                                               \
	(CLONE_THREAD | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |              \
	 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* A machine that restarts makes its vCPUs' threads after the lock. */
SANDBOX_CALLS(thread,
	      CALL(mmap, SANDBOX_RESTART, "a new thread's stack, a new vCPU's state",
		   HAS(2, PROT_EXEC, 0)),
	      CALL(mprotect, SANDBOX_RESTART, "the guard of that stack", HAS(2, PROT_EXEC, 0)),
	      CALL(clone, SANDBOX_RESTART, "a new thread", HAS(0, NOT_A_THREAD, CLONE_THREAD)),
	      CALL(getpid, SANDBOX_RESTART, "a new thread is this process's"),
	      CALL(gettid, SANDBOX_RESTART, "a new thread's number"),
	      CALL(rt_sigprocmask, SANDBOX_RESTART, "a new thread's signals"),
	      CALL(munmap, SANDBOX_RESTART, "an old thread's stack, an old vCPU's state"),
	      CALL(prctl, SANDBOX_RESTART, "a new thread's name", IS(0, PR_SET_NAME)),
	      CALL(prctl, SANDBOX_RESTART, "a new thread's filter", IS(0, PR_SET_SECCOMP)),
	      CALL(poll, SANDBOX_MAIN, "pauses while a thread ends"));

SANDBOX_CALLS(thread_signals, CALL(tgkill, SANDBOX_ALL, "the kick; a crash", SELF(0)),
	      CALL(rt_sigreturn, SANDBOX_ALL, "the end of a signal's handler"));

#ifdef __GLIBC__
/* glibc keeps the stacks of ended threads: the guard may not be set anew. */
SANDBOX_CALLS(thread_glibc,
	      NO_CALL(clone3, SANDBOX_RESTART, ENOSYS, "no filter sees what it makes"),
	      CALL(getpid, SANDBOX_ALL, "abort()"), CALL(gettid, SANDBOX_ALL, "abort()"),
	      CALL(rseq, SANDBOX_RESTART, "that thread's start"),
	      CALL(set_robust_list, SANDBOX_RESTART, "that thread's start"));
#endif

enum { STACK_BYTES = 64 * 1024 };

static void *thread_main(void *argument)
{
	struct thread *thread = argument;
	struct error err;

	atomic_store(&thread->number, (int)syscall(SYS_gettid));
	(void)prctl(PR_SET_NAME, thread->name);
	trace_adopt(thread->name);
	if (thread->prepare)
		thread->prepare(thread->owner);
	if (sandbox_enter(thread->setup.sandbox, thread->kind, &err) == 0)
		thread->run(thread->owner);
	else if (thread->setup.failed)
		thread->setup.failed(thread->setup.owner, err.text);
	return NULL;
}

/* Signals are the main thread's business, but for a crash, which no thread may sleep through. */
static void blocked_signals(const struct thread *thread, sigset_t *blocked)
{
	sigfillset(blocked);
	if (thread->own_signal)
		sigdelset(blocked, thread->own_signal);
	for (size_t i = 0; i < TERMINAL_FATAL_SIGNALS; i++)
		sigdelset(blocked, terminal_fatal_signals[i]);
}

int thread_start(struct thread *thread, struct error *err)
{
	sigset_t blocked, old;
	pthread_attr_t attributes;
	int error;

	thread->process = getpid();
	atomic_store(&thread->number, 0);
	blocked_signals(thread, &blocked);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	/* The thread inherits the mask, so that there is no moment with another one. */
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	error = pthread_create(&thread->id, &attributes, thread_main, thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	if (error)
		return error_set(err, "cannot start the thread '%s': %s", thread->name,
				 strerror(error));
	thread->started = true;
	return 0;
}

void thread_signal(const struct thread *thread, int signal_number)
{
	const int number = atomic_load(&thread->number);

	if (number)
		(void)syscall(SYS_tgkill, thread->process, number, signal_number);
}

int thread_own_cores(struct error *err)
{
	/* ENODEV: no core has a second thread that anybody could share. */
	if (prctl(CORE_SCHEDULING, CORE_CREATE, 0, CORE_OF_PROCESS, 0) && errno != ENODEV)
		return error_set(err,
				 "--core-scheduling: this host's kernel can't (CONFIG_SCHED_CORE, "
				 "Linux 5.14): %s",
				 strerror(errno));
	return 0;
}

void thread_join(struct thread *thread)
{
	if (thread->started)
		pthread_join(thread->id, NULL);
	thread->started = false;
}

bool thread_join_within(struct thread *thread, unsigned timeout_ms)
{
	const u64 deadline_ns = clock_now_ns() + (u64)timeout_ms * 1000000;

	/* pthread_timedjoin_np() would wait by a clock that can be set. */
	while (thread->started && pthread_tryjoin_np(thread->id, NULL)) {
		if (clock_now_ns() >= deadline_ns)
			return false;
		(void)poll(NULL, 0, 1);
	}
	thread->started = false;
	return true;
}

void condition_init(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

bool condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, u64 deadline_ns)
{
	const struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000),
				       .tv_nsec = (long)(deadline_ns % 1000000000)};

	return pthread_cond_timedwait(condition, lock, &until) != ETIMEDOUT;
}
