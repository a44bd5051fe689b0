/*
 * A thread of the program: a vCPU, a device's worker, or a helper of one.
 *
 * All are started alike: with every signal blocked but those that are its own business, with a
 * small stack, under a name that ps(1) shows, with a trace buffer where there is a trace, and
 * locked in by the sandbox before the first step of their work.
 */
#ifndef BANTAM_VMM_THREAD_H
#define BANTAM_VMM_THREAD_H

#include <pthread.h>

#include "vmm/error.h"
#include "vmm/sandbox.h"
#include "vmm/trace.h"

/* What many threads have in common. */
struct thread_setup {
	enum sandbox_mode sandbox;
	/* A thread can't be locked in, and doesn't run; or NULL. */
	void (*failed)(void *owner, const char *why);
	void *owner; /* failed()'s */
};

struct thread {
	/* Set by whoever starts it. */
	char name[16];
	struct thread_setup setup;
	u32 kind;                     /* SANDBOX_VCPU or SANDBOX_WORKER */
	int own_signal;               /* stays unblocked; 0: none */
	void (*prepare)(void *owner); /* on the thread, before it is locked in; or NULL */
	void (*run)(void *owner);     /* its work */
	void *owner;                  /* of those two */

	pthread_t id;
	bool started;
	pid_t process;     /* it is one of this process's, … */
	atomic_int number; /* … by this number; 0: it hasn't begun yet */
};

/* Starts it. Returns 0, or -1 with err set. */
int thread_start(struct thread *thread, struct error *err);

/*
 * Sends it a signal: to this process's threads alone, which a filter can see. One that hasn't begun yet
 * isn't sent any; it will see what was stored before, in sequentially consistent order.
 */
void thread_signal(const struct thread *thread, int signal_number);

/* Waits for its end; does nothing when it isn't started. */
void thread_join(struct thread *thread);

/*
 * The same, timeout_ms at most. Returns whether it has ended: one whose disk hangs may not, even when
 * its work is done, for the kernel ends what it does for a thread before the thread.
 */
bool thread_join_within(struct thread *thread, unsigned timeout_ms);

/*
 * From now on no processor core runs this process's threads, those it makes, its children's included,
 * and somebody else's at the same time. Returns 0, or -1 with err set where the kernel can't.
 */
int thread_own_cores(struct error *err);

/* prctl(2)'s numbers, for C libraries that don't have them all. */
enum { CORE_SCHEDULING = 62, CORE_GET = 0, CORE_CREATE = 1, CORE_OF_PROCESS = 1 };

/*
 * A condition with a time limit, by the clock of clock_now_ns(). Returns false when it has passed;
 * like any condition's, its wait may also end without reason.
 */
void condition_init(pthread_cond_t *condition);
bool condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, u64 deadline_ns);

#endif
