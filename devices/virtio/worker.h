/*
 * The thread that serves one queue of a device, or a few.
 *
 * It sleeps in io_wait() on the queue's notify_fd, which the guest rings when there are chains and
 * the device core when the queue is to start or stop, and on the operations that it has started.
 * Each time it wakes it calls serve(), as long as the queue may run. Asked to stop, it takes no
 * more chains, waits for those under way, and answers with virtio_queue_stopped().
 *
 * An owner with descriptors of its own brings a wait() in the place of io_wait(), which has to hear
 * the notify_fds of all the worker's queues; and one that holds chains for later a halt(), in which
 * it puts them back.
 *
 * A doorbell wakes the worker, which on a busy processor takes it from the vCPU that rang: a guest that
 * hands in many requests is interrupted at each, and none ever waits for company. Under SCHED_BATCH a
 * waking thread waits for its turn, and then finds all of them; that is several times as fast for
 * many requests, and slower for one at a time. So a worker that finds company changes to it; one that
 * never does tries it now and then, ever more rarely, because it can't know otherwise.
 *
 * Who owns what: the queue, the struct io and `under_way` are the worker's thread's alone while the
 * queue runs. Other threads say what they wish, and ring.
 *
 * A device knows its workers, and starts, stops and ends all of them (device.c, which also has those
 * functions here that aren't the thread's); virtio-fs does so itself, for it has other threads besides.
 */
#ifndef BANTAM_DEVICES_VIRTIO_WORKER_H
#define BANTAM_DEVICES_VIRTIO_WORKER_H

#include <poll.h>

#include "devices/virtio/device.h"
#include "vmm/io.h"
#include "vmm/thread.h"

struct virtio_worker {
	/* Set before it is opened. */
	struct virtio_device *device;
	unsigned queue;     /* whose notify_fd other threads ring to reach the worker */
	atomic_uint others; /* further queues, as bits; changes while the worker is stopped */
	u32 sandbox;        /* kinds of thread that it is besides SANDBOX_WORKER */
	unsigned (*serve)(void *owner); /* takes chains, until there are none; returns how many */
	void (*wait)(void *owner);      /* instead of io_wait(); or NULL */
	void (*halt)(void *owner); /* it is asked to stop: nothing stays with the owner; or NULL */
	void *owner;

	unsigned under_way; /* chains that were taken and not given back yet */
	struct io *io;
	struct thread thread;
	bool fixed;     /* the policy is the user's choice, and stays */
	bool batch;     /* under SCHED_BATCH */
	unsigned left;  /* lonely wake-ups until the policy changes */
	unsigned pause; /* of them until the next trial */
	atomic_uint wish;
	atomic_bool ending;
};

/*
 * Makes the I/O (files, depth and other bells come from io_setup, the queue's bell is added here; NULL
 * for a worker with a wait() of its own) and starts the thread, which waits. Returns 0, or -1 with
 * err set.
 */
int virtio_worker_open(struct virtio_worker *worker, const struct thread_setup *setup,
		       struct io_setup *io_setup, struct error *err);

/* The worker's queues, as bits; and those of them that are started. */
static inline u32 virtio_worker_queues(const struct virtio_worker *worker)
{
	return (u32)1 << worker->queue | atomic_load(&worker->others);
}
u32 virtio_worker_started(const struct virtio_worker *worker);

/*
 * For a wait(): poll(2) for the bells of all its queues, which are silenced, and for the first `own`
 * of fds, which has room for VIRTIO_QUEUES_MAX more. Returns whether something was ready.
 */
bool virtio_worker_poll(const struct virtio_worker *worker, struct pollfd *fds, unsigned own,
			int timeout_ms);

/* Its queues are started: serve them. And: stop, and say so for each. */
void virtio_worker_run(struct virtio_worker *worker);
void virtio_worker_stop(struct virtio_worker *worker);

/*
 * Ends the thread and begins the end of its I/O, which virtio_worker_close() waits for. Both return
 * false when operations are still under way after timeout_ms: then what they use has to stay.
 */
bool virtio_worker_end(struct virtio_worker *worker, unsigned timeout_ms);
bool virtio_worker_close(struct virtio_worker *worker, unsigned timeout_ms);

#endif
