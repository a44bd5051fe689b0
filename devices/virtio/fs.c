/*
 * virtio-fs: see fs.h.
 */
#include "devices/virtio/fs.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/bell.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(fs, CALL(poll, SANDBOX_FILES, "waits for urgent requests"),
	      CALL(epoll_pwait, SANDBOX_FILES, "waits for requests"),
	      CALL(preadv2, SANDBOX_FILES, "notifications"));

/* 5.11.2 */
enum { URGENT, REQUESTS, QUEUES };

static void push(struct fs *fs, unsigned queue, const struct virtq_chain *chain, size_t used)
{
	virtq_push(&fs->device.queue[queue], chain->head, (u32)used);
	virtio_trace_chain(&fs->device, queue, chain->head, "out %u, in %u → used %zu",
			   chain->out_bytes, chain->in_bytes, used);
}

static size_t serve_chain(struct fs *fs, const struct virtq_chain *chain)
{
	return fuse_serve(fs->server, chain->piece, chain->out, chain->piece + chain->out,
			  chain->in);
}

/* The worker. */

/* Serves the urgent queue. */
static unsigned serve(void *owner)
{
	struct fs *fs = owner;
	struct virtq *ring = &fs->device.queue[URGENT];
	unsigned done = 0;
	bool begins;

	pthread_mutex_lock(&fs->lock);
	begins = !fs->running;
	fs->running = true;
	atomic_store(&fs->worker.others, 0);
	pthread_mutex_unlock(&fs->lock);
	/* There may be requests that nobody was told of. */
	if (begins)
		virtio_notify(&fs->device, REQUESTS);
	while (virtq_started(ring) && done < FS_QUEUE_SIZE) {
		const enum virtq_result result = virtio_pop_or_ask(&fs->device, URGENT, &fs->chain);

		if (result == VIRTQ_EMPTY)
			return done;
		push(fs, URGENT, &fs->chain,
		     result == VIRTQ_CHAIN ? serve_chain(fs, &fs->chain) : 0);
		done++;
	}
	if (done)
		virtio_notify(&fs->device, URGENT);
	return done;
}

static void wait_for_work(void *owner)
{
	struct fs *fs = owner;
	struct pollfd fd = {.fd = fs->device.queue[URGENT].notify_fd, .events = POLLIN};

	if (poll(&fd, 1, -1) > 0)
		(void)bell_silence(fd.fd);
}

/*
 * Asked to stop: nobody takes requests any more; who has the last one rings. Then the request queue is
 * the worker's, to say that it has stopped.
 */
static void halt(void *owner)
{
	struct fs *fs = owner;

	pthread_mutex_lock(&fs->lock);
	fs->running = false;
	fs->worker.under_way = fs->under_way;
	if (fs->under_way == 0)
		atomic_store(&fs->worker.others, 1U << REQUESTS);
	pthread_mutex_unlock(&fs->lock);
}

/* The threads. */

/* Takes the next request; false when there is none. The lock is held. */
static bool take(struct fs *fs, struct virtq_chain *chain, enum virtq_result *result)
{
	struct virtq *ring = &fs->device.queue[REQUESTS];

	if (!fs->running || !virtq_started(ring))
		return false;
	/* With the lock: no reset comes to its end meanwhile, if the ring can't be read. */
	*result = virtio_pop_or_ask(&fs->device, REQUESTS, chain);
	if (*result == VIRTQ_EMPTY)
		return false;
	/* Others may come while this one is served. */
	if (virtq_ask_notify(ring, true))
		virtio_notify(&fs->device, REQUESTS);
	fs->under_way++;
	return true;
}

static void give_back(struct fs *fs, const struct virtq_chain *chain, size_t used)
{
	push(fs, REQUESTS, chain, used);
	virtio_signal(&fs->device, REQUESTS, NULL);
	if (--fs->under_way == 0 && !fs->running)
		virtio_notify(&fs->device, URGENT);
}

static void serve_requests(struct fs *fs, struct virtq_chain *chain)
{
	enum virtq_result result;

	pthread_mutex_lock(&fs->lock);
	while (take(fs, chain, &result)) {
		size_t used = 0;

		pthread_mutex_unlock(&fs->lock);
		if (result == VIRTQ_CHAIN)
			used = serve_chain(fs, chain);
		pthread_mutex_lock(&fs->lock);
		give_back(fs, chain, used);
	}
	pthread_mutex_unlock(&fs->lock);
}

/* Modes are the guest's alone: its kernel has taken its umask off already. */
static void prepare(void *owner)
{
	(void)owner;
	if (unshare(CLONE_FS) == 0)
		umask(0);
}

static void run(void *owner)
{
	struct fs_thread *own = owner;
	struct fs *fs = own->fs;
	struct epoll_event event;

	while (!atomic_load(&fs->ending)) {
		if (epoll_pwait(own->epoll_fd, &event, 1, -1, NULL) > 0)
			serve_requests(fs, &own->chain);
	}
	/* The next one is to hear of the end, too. */
	virtio_notify(&fs->device, REQUESTS);
}

static void fs_start(struct virtio_device *device)
{
	struct fs *fs = CONTAINER_OF(device, struct fs, device);

	if (device->regs.queue[URGENT].enabled || device->regs.queue[REQUESTS].enabled)
		virtio_worker_run(&fs->worker);
}

static bool fs_stop(struct virtio_device *device)
{
	virtio_worker_stop(&CONTAINER_OF(device, struct fs, device)->worker);
	return false;
}

static void fs_was_reset(struct virtio_device *device)
{
	fuse_reset(CONTAINER_OF(device, struct fs, device)->server);
}

static const struct virtio_class fs_class = {
	.name = "file system",
	.id = 26,
	.pci_class = 0x018000, /* mass storage of no kind that PCI knows */
	.start = fs_start,
	.stop = fs_stop,
	.was_reset = fs_was_reset,
};

int fs_open(struct fs *fs, const struct fuse_export *export, const char *tag, struct error *err)
{
	struct virtio_device *device = &fs->device;

	if (fuse_open(&fs->server, export, err))
		return -1;
	pthread_mutex_init(&fs->lock, NULL);
	for (unsigned i = 0; i < FS_THREADS; i++)
		fs->thread[i].epoll_fd = -1;
	/* The tag needs no end where it fills the field. */
	memcpy(fs->config.tag, tag, strnlen(tag, FS_TAG_BYTES));
	fs->config.num_request_queues = 1;
	device->features = VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX;
	device->queues = QUEUES;
	device->queue_size_max = FS_QUEUE_SIZE;
	device->config = (const u8 *)&fs->config;
	device->config_bytes = sizeof(fs->config);
	fs->worker.device = device;
	fs->worker.queue = URGENT;
	fs->worker.sandbox = SANDBOX_FILES | (export->read_only ? 0 : SANDBOX_CHANGE);
	fs->worker.serve = serve;
	fs->worker.wait = wait_for_work;
	fs->worker.halt = halt;
	fs->worker.owner = fs;
	return virtio_device_init(device, &fs_class, err);
}

static int start_thread(struct fs *fs, struct fs_thread *own, const struct thread_setup *setup,
			struct error *err)
{
	/* One thread a ring; and with each ring told anew, nobody has to read what rang. */
	struct epoll_event event = {.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE};
	const int bell = fs->device.queue[REQUESTS].notify_fd;

	own->fs = fs;
	own->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (own->epoll_fd < 0 || epoll_ctl(own->epoll_fd, EPOLL_CTL_ADD, bell, &event))
		return error_set(err, "no epoll for the file server: %s", strerror(errno));
	snprintf(own->thread.name, sizeof(own->thread.name), "%.9s/fs%u", fs->device.name,
		 (unsigned)(own - fs->thread) % 10);
	own->thread.setup = *setup;
	own->thread.kind = SANDBOX_WORKER | fs->worker.sandbox;
	own->thread.prepare = prepare;
	own->thread.run = run;
	own->thread.owner = own;
	return thread_start(&own->thread, err);
}

int fs_start_threads(struct fs *fs, const struct thread_setup *setup, struct error *err)
{
	fuse_trace(fs->server, fs->device.trace);
	if (virtio_worker_open(&fs->worker, setup, NULL, err))
		return -1;
	for (unsigned i = 0; i < FS_THREADS; i++) {
		if (start_thread(fs, &fs->thread[i], setup, err))
			return -1;
	}
	return 0;
}

bool fs_close(struct fs *fs, unsigned timeout_ms)
{
	bool done = true;

	if (!fs->device.class)
		return true;
	atomic_store(&fs->ending, true);
	virtio_notify(&fs->device, REQUESTS);
	for (unsigned i = 0; i < FS_THREADS; i++)
		done = (!fs->thread[i].thread.started ||
			thread_join_within(&fs->thread[i].thread, done ? timeout_ms : 0)) &&
		       done;
	done = virtio_worker_close(&fs->worker, done ? timeout_ms : 0) && done;
	if (!done)
		return false;
	for (unsigned i = 0; i < FS_THREADS; i++) {
		if (fs->thread[i].epoll_fd >= 0)
			close(fs->thread[i].epoll_fd);
	}
	fuse_close(fs->server);
	virtio_device_destroy(&fs->device);
	pthread_mutex_destroy(&fs->lock);
	fs->device.class = NULL;
	return true;
}
