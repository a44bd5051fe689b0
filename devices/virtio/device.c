/*
 * A virtio device: see device.h.
 */
#include "devices/virtio/device.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/worker.h"
#include "vmm/bell.h"
#include "vmm/loop.h"
#include "vmm/sandbox.h"
#include "vmm/thread.h"

SANDBOX_CALLS(virtio_device,
	      CALL(poll, SANDBOX_NET | SANDBOX_STREAM, "waits for notifications and descriptors"),
	      CALL(preadv2, SANDBOX_NET | SANDBOX_STREAM, "notifications"));

/* What a driver may set; NEEDS_RESET is the device's own. */
enum {
	DRIVER_BITS = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_DRIVER_OK | VIRTIO_FEATURES_OK |
		      VIRTIO_FAILED
};

static void reset_registers(struct virtio_device *device)
{
	device->regs = (struct virtio_regs){.config_vector = VIRTIO_NO_VECTOR};
	for (unsigned i = 0; i < device->queues; i++) {
		device->regs.queue[i].size = device->queue_size_max;
		device->regs.queue[i].vector = VIRTIO_NO_VECTOR;
		device->queue[i].position = (struct virtq_position){.next_used = 0};
	}
	atomic_store(&device->isr, 0);
	device->state = VIRTIO_IDLE;
	device->resetting = false;
	if (device->class->was_reset)
		device->class->was_reset(device);
	if (device->transport && device->transport->was_reset)
		device->transport->was_reset(device->transport_owner);
}

int virtio_device_init(struct virtio_device *device, const struct virtio_class *class,
		       struct error *err)
{
	device->class = class;
	pthread_mutex_init(&device->lock, NULL);
	condition_init(&device->stopped);
	for (unsigned i = 0; i < device->queues; i++) {
		device->queue[i].notify_fd = -1;
		atomic_store(&device->queue[i].interrupt_fd, VIRTIO_NO_INTERRUPT);
	}
	for (unsigned i = 0; i < device->queues; i++) {
		device->queue[i].notify_fd = bell_open(err);
		if (device->queue[i].notify_fd < 0)
			return -1;
	}
	reset_registers(device);
	return 0;
}

int virtio_device_measure(struct virtio_device *device, struct error *err)
{
	for (unsigned i = 0; i < device->queues; i++) {
		device->queue[i].meter = calloc(1, sizeof(*device->queue[i].meter));
		if (!device->queue[i].meter)
			return error_set(err, "no memory to measure %s", device->name);
	}
	return 0;
}

void virtio_device_destroy(struct virtio_device *device)
{
	if (!device->class)
		return;
	for (unsigned i = 0; i < device->queues; i++) {
		if (device->queue[i].notify_fd >= 0)
			close(device->queue[i].notify_fd);
		free(device->queue[i].meter);
		device->queue[i].meter = NULL;
	}
	pthread_cond_destroy(&device->stopped);
	pthread_mutex_destroy(&device->lock);
	device->class = NULL;
}

bool virtio_device_end(struct virtio_device *device, unsigned timeout_ms)
{
	bool done = true;

	for (unsigned i = 0; i < device->workers; i++)
		done = virtio_worker_end(device->worker[i], timeout_ms) && done;
	return done;
}

bool virtio_device_close(struct virtio_device *device, unsigned timeout_ms)
{
	bool done = virtio_device_end(device, timeout_ms);

	for (unsigned i = 0; i < device->workers; i++)
		done = virtio_worker_close(device->worker[i], timeout_ms) && done;
	if (done)
		virtio_device_destroy(device);
	return done;
}

u32 virtio_worker_started(const struct virtio_worker *worker)
{
	u32 queues = virtio_worker_queues(worker);

	for (unsigned i = 0; queues >> i; i++) {
		if (queues >> i & 1 && !virtq_started(&worker->device->queue[i]))
			queues &= ~((u32)1 << i);
	}
	return queues;
}

bool virtio_worker_poll(const struct virtio_worker *worker, struct pollfd *fds, unsigned own,
			int timeout_ms)
{
	const u32 queues = virtio_worker_queues(worker);
	unsigned count = own;

	for (unsigned i = 0; queues >> i; i++) {
		if (queues >> i & 1)
			fds[count++] = (struct pollfd){.fd = worker->device->queue[i].notify_fd,
						       .events = POLLIN};
	}
	if (poll(fds, count, timeout_ms) <= 0)
		return false;
	for (unsigned i = own; i < count; i++) {
		if (fds[i].revents)
			(void)bell_silence(fds[i].fd);
	}
	return true;
}

void virtio_run_workers(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->workers; i++) {
		if (virtio_worker_started(device->worker[i]))
			virtio_worker_run(device->worker[i]);
	}
}

bool virtio_stop_workers(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->workers; i++) {
		if (virtio_worker_started(device->worker[i]))
			virtio_worker_stop(device->worker[i]);
	}
	return false;
}

/* The configuration interrupt; the lock is held. */
static void tell_driver(struct virtio_device *device)
{
	atomic_fetch_or(&device->isr, VIRTIO_ISR_CONFIG);
	device->transport->interrupt(device->transport_owner, VIRTIO_CONFIGURATION);
}

/* The lock is held. */
static void mark_broken(struct virtio_device *device, const char *why)
{
	if (device->regs.status & VIRTIO_NEEDS_RESET)
		return;
	device->regs.status |= VIRTIO_NEEDS_RESET;
	/* Once is enough for people: a guest can do this again and again. */
	if (!device->told)
		say("the guest's driver broke its device %s (%s): %s; it waits for a reset",
		    device->name, device->class->name, why);
	device->told = true;
	if (device->regs.status & VIRTIO_DRIVER_OK)
		tell_driver(device);
}

/* Takes the enabled queues into use, as the registers describe them. */
static bool start_queues(struct virtio_device *device)
{
	const u64 features = device->regs.driver_features;

	for (unsigned i = 0; i < device->queues; i++) {
		if (!device->regs.queue[i].enabled)
			continue;
		if (virtq_start(&device->queue[i], &device->regs.queue[i], device->memory,
				features & VIRTIO_EVENT_IDX, features & VIRTIO_INDIRECT_DESC)) {
			for (unsigned j = 0; j < i; j++)
				virtq_stop(&device->queue[j]);
			device->running_queues = 0;
			return false;
		}
		device->running_queues++;
	}
	return true;
}

static void wire(struct virtio_device *device, bool lay)
{
	if (device->wired != lay)
		device->transport->doorbells(device->transport_owner, lay);
	device->wired = lay;
}

static void start(struct virtio_device *device)
{
	device->state = VIRTIO_RUNNING;
	if (device->regs.status & VIRTIO_NEEDS_RESET)
		return;
	if (!start_queues(device)) {
		mark_broken(device, "a queue lies outside of memory");
		return;
	}
	wire(device, true);
	device->class->start(device);
	/* What the driver put into its rings before needs no notification. */
	for (unsigned i = 0; i < device->queues; i++)
		virtio_notify(device, i);
}

/* All queues have stopped; the lock is held. */
static void finish_stop(struct virtio_device *device)
{
	if (device->resetting)
		reset_registers(device);
	else
		device->state = VIRTIO_QUIESCED;
	pthread_cond_broadcast(&device->stopped);
}

static void begin_stop(struct virtio_device *device)
{
	device->state = VIRTIO_STOPPING;
	wire(device, false);
	if (device->running_queues && !device->class->stop(device))
		return;
	for (unsigned i = 0; i < device->queues; i++)
		virtq_stop(&device->queue[i]);
	device->running_queues = 0;
	finish_stop(device);
}

static void reset(struct virtio_device *device)
{
	device->resetting = true;
	if (device->state == VIRTIO_RUNNING)
		begin_stop(device);
	else if (device->state != VIRTIO_STOPPING)
		finish_stop(device);
}

/* 3.1.1, step 5: what was asked for must have been offered, and be no legacy driver's. */
static bool features_are_good(const struct virtio_device *device)
{
	const u64 features = device->regs.driver_features;

	return (features & ~device->features) == 0 && (features & VIRTIO_VERSION_1);
}

void virtio_set_status(struct virtio_device *device, u32 value)
{
	const u8 before = device->regs.status;
	u8 set = (u8)(value & DRIVER_BITS & ~(u32)before);

	if (value == 0) {
		reset(device);
		return;
	}
	if (device->resetting)
		return;
	if ((set & VIRTIO_FEATURES_OK) && !features_are_good(device))
		set &= (u8)~VIRTIO_FEATURES_OK;
	if ((set & VIRTIO_DRIVER_OK) && !((before | set) & VIRTIO_FEATURES_OK))
		set &= (u8)~VIRTIO_DRIVER_OK;
	/* No bit is ever cleared but by a reset. */
	device->regs.status = before | set;
	if (set & VIRTIO_DRIVER_OK)
		start(device);
}

u64 virtio_read_config(const struct virtio_device *device, u64 offset, unsigned width)
{
	u64 value = 0;

	for (unsigned i = 0; i < width; i++) {
		const u64 at = offset + i;

		value |= (u64)(at < device->config_bytes ? device->config[at] : 0xff) << (8 * i);
	}
	return value;
}

void virtio_write_config(struct virtio_device *device, u64 offset, unsigned width, u64 value)
{
	if (device->class->write_config && !device->resetting && offset < device->config_bytes &&
	    width <= device->config_bytes - offset)
		device->class->write_config(device, offset, width, value);
}

bool virtio_wait_stopped(struct virtio_device *device, unsigned timeout_ms)
{
	const u64 deadline_ns = clock_now_ns() + (u64)timeout_ms * 1000000;
	bool in_time = true;

	while (device->state == VIRTIO_STOPPING && in_time)
		in_time = condition_wait(&device->stopped, &device->lock, deadline_ns);
	return device->state != VIRTIO_STOPPING;
}

void virtio_notify(struct virtio_device *device, u32 queue)
{
	if (queue < device->queues)
		bell_ring(device->queue[queue].notify_fd);
}

/* Writes the line that waits for its interrupt. */
static void flush_trace(struct virtio_device *device, unsigned queue, bool interrupt)
{
	char *pending = device->pending_trace[queue];
	char how[32] = "no irq";

	if (!pending[0])
		return;
	if (interrupt)
		device->transport->describe_interrupt(device->transport_owner, queue, how,
						      sizeof(how));
	trace_span(device->trace, TRACE_VIRTIO, device->pending_since_ns[queue], "%s/q%u %s, %s",
		   device->name, queue, pending, how);
	pending[0] = '\0';
}

void virtio_trace_chain(struct virtio_device *device, unsigned queue, u16 head, const char *format,
			...)
{
	char *pending = device->pending_trace[queue];
	const size_t bytes = sizeof(device->pending_trace[0]);
	va_list args;
	int used;

	if (!virtio_traced(device))
		return;
	flush_trace(device, queue, false);
	device->pending_since_ns[queue] =
		device->queue[queue].meter ? device->queue[queue].meter->taken[head].at_ns : 0;
	used = snprintf(pending, bytes, "chain %u: ", head);
	va_start(args, format);
	vsnprintf(pending + used, bytes - (size_t)used, format, args);
	va_end(args);
}

void virtio_signal(struct virtio_device *device, unsigned queue, struct io *io)
{
	const bool wanted = virtq_wants_interrupt(&device->queue[queue]);
	const int fd = atomic_load(&device->queue[queue].interrupt_fd);

	if (virtio_traced(device))
		flush_trace(device, queue, wanted && fd != VIRTIO_NO_INTERRUPT);
	if (!wanted || fd == VIRTIO_NO_INTERRUPT)
		return;
	if (device->queue[queue].meter)
		count_up(&device->queue[queue].meter->interrupts, 1);
	if (device->trace && trace_on(device->trace, TRACE_IRQ))
		trace_line(device->trace, TRACE_IRQ, "%s/q%u", device->name, queue);
	if (device->line_interrupts)
		atomic_fetch_or(&device->isr, VIRTIO_ISR_QUEUE);
	if (fd == VIRTIO_BY_TRANSPORT)
		device->transport->interrupt(device->transport_owner, (int)queue);
	else if (io)
		io_ring(io, fd);
	else
		bell_ring(fd);
}

enum virtq_result virtio_pop(struct virtio_device *device, unsigned queue,
			     struct virtq_chain *chain)
{
	const enum virtq_result result = virtq_pop(&device->queue[queue], chain);

	if (result != VIRTQ_BROKEN)
		return result;
	virtio_device_broken(device, "its ring can't be read");
	return VIRTQ_EMPTY;
}

enum virtq_result virtio_pop_or_ask(struct virtio_device *device, unsigned queue,
				    struct virtq_chain *chain)
{
	const enum virtq_result result = virtio_pop(device, queue, chain);

	/* What came in meanwhile is there: an index only grows. */
	if (result == VIRTQ_EMPTY && virtq_ask_notify(&device->queue[queue], true))
		return virtio_pop(device, queue, chain);
	return result;
}

void virtio_device_broken(struct virtio_device *device, const char *why)
{
	pthread_mutex_lock(&device->lock);
	if (device->state == VIRTIO_RUNNING)
		mark_broken(device, why);
	pthread_mutex_unlock(&device->lock);
}

void virtio_queue_stopped(struct virtio_device *device, unsigned queue)
{
	pthread_mutex_lock(&device->lock);
	virtq_stop(&device->queue[queue]);
	if (--device->running_queues == 0)
		finish_stop(device);
	pthread_mutex_unlock(&device->lock);
}

void virtio_config_changed(struct virtio_device *device)
{
	pthread_mutex_lock(&device->lock);
	device->regs.config_generation++;
	if (device->regs.status & VIRTIO_DRIVER_OK)
		tell_driver(device);
	pthread_mutex_unlock(&device->lock);
}

bool virtio_quiesce(struct virtio_device *device, unsigned timeout_ms)
{
	bool stopped;

	pthread_mutex_lock(&device->lock);
	if (device->state == VIRTIO_RUNNING)
		begin_stop(device);
	stopped = virtio_wait_stopped(device, timeout_ms);
	pthread_mutex_unlock(&device->lock);
	return stopped;
}

void virtio_resume(struct virtio_device *device)
{
	pthread_mutex_lock(&device->lock);
	if (device->state == VIRTIO_QUIESCED)
		start(device);
	pthread_mutex_unlock(&device->lock);
}

void virtio_power_on(struct virtio_device *device)
{
	pthread_mutex_lock(&device->lock);
	reset_registers(device);
	pthread_mutex_unlock(&device->lock);
}
