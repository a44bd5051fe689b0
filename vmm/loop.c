/*
 * The event loop of a thread: see loop.h.
 */
#include "vmm/loop.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "vmm/bell.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(loop, CALL(poll, SANDBOX_MAIN, "waits for events"),
	      NO_CALL(restart_syscall, SANDBOX_ALL, EINTR, "a wait after SIGSTOP and SIGCONT"),
	      CALL(clock_gettime, SANDBOX_ALL,
		   "processor time; the time, where the vDSO can't tell"));

u64 clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (u64)now.tv_sec * 1000000000U + (u64)now.tv_nsec;
}

int loop_add(struct loop *loop, struct loop_source *source, struct error *err)
{
	if (loop->sources == LOOP_SOURCES_MAX)
		return error_set(err, "too many event sources");
	loop->source[loop->sources++] = source;
	return 0;
}

void loop_add_timer(struct loop *loop, struct loop_timer *timer, void (*fired)(void *owner),
		    void *owner)
{
	*timer = (struct loop_timer){.fired = fired, .owner = owner, .next = loop->timers};
	loop->timers = timer;
}

void loop_timer_set(struct loop_timer *timer, u64 delay_ns)
{
	timer->deadline_ns = clock_now_ns() + delay_ns;
}

int loop_wait_ms(u64 deadline_ns)
{
	const u64 now_ns = clock_now_ns();
	u64 left_ms;

	if (!deadline_ns)
		return -1;
	if (deadline_ns <= now_ns)
		return 0;
	left_ms = (deadline_ns - now_ns + 999999) / 1000000;
	return left_ms < 3600000 ? (int)left_ms : 3600000;
}

bool loop_wait_for(int fd, short events, u64 deadline_ns)
{
	struct pollfd wait = {.fd = fd, .events = events};
	int wait_ms, ready;

	do {
		wait_ms = loop_wait_ms(deadline_ns);
		ready = poll(&wait, 1, wait_ms);
	} while (ready < 0 || (ready == 0 && wait_ms != 0));
	return ready > 0;
}

/* Until the nearest of the loop's deadlines. */
static int next_timeout_ms(const struct loop *loop)
{
	u64 nearest = 0;

	for (const struct loop_timer *timer = loop->timers; timer; timer = timer->next) {
		if (timer->deadline_ns && (!nearest || timer->deadline_ns < nearest))
			nearest = timer->deadline_ns;
	}
	return loop_wait_ms(nearest);
}

static void fire_timers(struct loop *loop)
{
	const u64 now = clock_now_ns();

	for (struct loop_timer *timer = loop->timers; timer; timer = timer->next) {
		if (timer->deadline_ns && timer->deadline_ns <= now) {
			timer->deadline_ns = 0;
			timer->fired(timer->owner);
		}
	}
}

int loop_run(struct loop *loop, struct error *err)
{
	struct pollfd fds[LOOP_SOURCES_MAX];

	while (!loop->stop) {
		const unsigned count = loop->sources;
		int ready;

		for (unsigned i = 0; i < count; i++) {
			const struct loop_source *source = loop->source[i];

			fds[i] = (struct pollfd){.fd = source->events ? source->fd : -1,
						 .events = source->events};
		}
		ready = poll(fds, count, next_timeout_ms(loop));
		if (ready < 0 && errno != EINTR)
			return error_errno(err, "cannot wait for events");
		fire_timers(loop);
		for (unsigned i = 0; ready > 0 && i < count; i++) {
			struct loop_source *source = loop->source[i];

			if (fds[i].revents && source->events)
				source->ready(source->owner);
		}
	}
	return 0;
}

static void wake_ready(void *owner)
{
	struct loop_wake *wake = owner;

	if (bell_silence(wake->source.fd))
		wake->woken(wake->owner);
}

int loop_wake_init(struct loop_wake *wake, struct loop *loop, void (*woken)(void *owner),
		   void *owner, struct error *err)
{
	const int fd = bell_open(err);

	wake->source = (struct loop_source){
		.fd = fd, .events = POLLIN, .ready = wake_ready, .owner = wake};
	wake->woken = woken;
	wake->owner = owner;
	return fd < 0 ? -1 : loop_add(loop, &wake->source, err);
}

void loop_wake_signal(struct loop_wake *wake)
{
	bell_ring(wake->source.fd);
}

void loop_wake_close(struct loop_wake *wake)
{
	if (wake->source.fd >= 0)
		close(wake->source.fd);
	wake->source.fd = -1;
}
