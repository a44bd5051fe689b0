/*
 * The thread that serves one queue: see worker.h.
 */
#include "devices/virtio/worker.h"

#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/sandbox.h"

SANDBOX_CALLS(worker,
	      CALL(sched_setscheduler, SANDBOX_WORKER, "yields to the vCPU that rang", IS(0, 0),
		   IS(1, SCHED_BATCH)),
	      CALL(sched_setscheduler, SANDBOX_WORKER, "no longer", IS(0, 0), IS(1, SCHED_OTHER)));

enum { WISH_NOTHING, WISH_RUN, WISH_STOP };

/*
 * Wake-ups that found a single chain: so many end a trial of SCHED_BATCH, end it after it has proved
 * itself, and lie between two trials.
 */
enum { TRIAL = 4, TRUST = 16, FIRST_PAUSE = 64, LAST_PAUSE = 4096 };

static void enter(void *owner)
{
	struct virtio_worker *worker = owner;

	if (worker->io)
		io_enter(worker->io);
}

static void set_batch(struct virtio_worker *worker, bool batch)
{
	const struct sched_param none = {.sched_priority = 0};

	if (worker->batch != batch && !worker->fixed)
		(void)syscall(SYS_sched_setscheduler, 0, batch ? SCHED_BATCH : SCHED_OTHER, &none);
	worker->batch = batch;
}

/* A wake-up has found so many chains. */
static void choose_policy(struct virtio_worker *worker, unsigned chains)
{
	if (chains > 1) {
		worker->left = TRUST;
		worker->pause = FIRST_PAUSE;
		set_batch(worker, true);
	} else if (chains == 1 && --worker->left == 0) {
		set_batch(worker, !worker->batch);
		worker->left = worker->batch ? TRIAL : worker->pause;
		if (!worker->batch && worker->pause < LAST_PAUSE)
			worker->pause *= 2;
	}
}

static void run(void *owner)
{
	struct virtio_worker *worker = owner;

	while (!atomic_load(&worker->ending)) {
		unsigned wish;
		u32 queues;
		bool stops;

		if (worker->wait)
			worker->wait(worker->owner);
		else
			io_wait(worker->io);
		wish = atomic_load(&worker->wish);
		if (wish == WISH_NOTHING)
			continue;
		if (wish == WISH_RUN)
			choose_policy(worker, worker->serve(worker->owner));
		else if (worker->halt)
			worker->halt(worker->owner);
		queues = virtio_worker_started(worker);
		stops = wish == WISH_STOP && worker->under_way == 0;
		/* First this: after the last answer the next wish may come. */
		if (stops)
			atomic_store(&worker->wish, WISH_NOTHING);
		for (unsigned i = 0; queues >> i; i++) {
			if (!(queues >> i & 1))
				continue;
			/* 2.4.1: nothing is sent behind the end of a reset, so it goes out now. */
			virtio_signal(worker->device, i, wish == WISH_STOP ? NULL : worker->io);
			if (stops)
				virtio_queue_stopped(worker->device, i);
		}
	}
}

int virtio_worker_open(struct virtio_worker *worker, const struct thread_setup *setup,
		       struct io_setup *io_setup, struct error *err)
{
	struct thread *thread = &worker->thread;

	worker->device->worker[worker->device->workers++] = worker;
	worker->left = worker->pause = FIRST_PAUSE;
	/* A policy that the user chose (chrt) stays. */
	worker->fixed = syscall(SYS_sched_getscheduler, 0) != SCHED_OTHER;
	snprintf(thread->name, sizeof(thread->name), "%.9s/q%u", worker->device->name,
		 worker->queue);
	if (io_setup) {
		io_setup->bell[io_setup->bells++] = worker->device->queue[worker->queue].notify_fd;
		io_setup->sandbox = setup->sandbox;
		io_setup->name = thread->name;
		if (io_open(&worker->io, io_setup, err))
			return -1;
	}
	thread->setup = *setup;
	thread->kind = SANDBOX_WORKER | worker->sandbox;
	if (worker->io && io_engine(worker->io) == IO_URING)
		thread->kind |= SANDBOX_RING;
	thread->prepare = enter;
	thread->run = run;
	thread->owner = worker;
	return thread_start(thread, err);
}

static void set_wish(struct virtio_worker *worker, unsigned wish)
{
	atomic_store(&worker->wish, wish);
	virtio_notify(worker->device, worker->queue);
}

void virtio_worker_run(struct virtio_worker *worker)
{
	set_wish(worker, WISH_RUN);
}

void virtio_worker_stop(struct virtio_worker *worker)
{
	set_wish(worker, WISH_STOP);
}

bool virtio_worker_end(struct virtio_worker *worker, unsigned timeout_ms)
{
	if (worker->thread.started) {
		atomic_store(&worker->ending, true);
		virtio_notify(worker->device, worker->queue);
		/* The kernel keeps a thread whose operation hangs. */
		if (!thread_join_within(&worker->thread, timeout_ms))
			return false;
	}
	if (worker->io)
		io_end(worker->io);
	return true;
}

bool virtio_worker_close(struct virtio_worker *worker, unsigned timeout_ms)
{
	if (!virtio_worker_end(worker, timeout_ms) ||
	    (worker->io && !io_close(worker->io, timeout_ms)))
		return false;
	worker->io = NULL;
	return true;
}
