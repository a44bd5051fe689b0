/*
 * A virtio device: what is the same for all kinds and both transports.
 *
 * The driver's side is a set of registers (status, features, the queues' addresses, configuration)
 * that each transport lays out in its own way and hands to the functions here. The device's side is
 * a struct virtio_class: what kind it is and how it starts and stops.
 *
 * Life: the driver negotiates features, describes its queues and sets DRIVER_OK; then the queues
 * are started and class->start() lets their workers run. A reset stops them: class->stop() asks the
 * workers, each of which answers with virtio_queue_stopped() when nothing of its queue is under way
 * any more. Only with the last answer is the device reset, and only then reads its status 0. So a
 * hung disk holds no vCPU, and nothing writes to guest memory for requests from before a reset.
 *
 * A worker that finds a ring unreadable calls virtio_device_broken(): DEVICE_NEEDS_RESET is set and
 * the driver told by a configuration interrupt. A reset revives the device.
 *
 * Locks: `lock` guards the registers. The class's functions are called with it held, on vCPU
 * threads, the main thread or, at the end of a reset, a worker; workers call the functions that
 * are marked so, without it.
 *
 * Source: virtio 1.2, 2.1 to 2.6, 3.1 "Device Initialization".
 */
#ifndef BANTAM_DEVICES_VIRTIO_DEVICE_H
#define BANTAM_DEVICES_VIRTIO_DEVICE_H

#include <pthread.h>

#include "devices/virtio/queue.h"
#include "vmm/error.h"
#include "vmm/io.h"
#include "vmm/trace.h"

enum { VIRTIO_QUEUES_MAX = 16 };

#define VIRTIO_NO_VECTOR ((u16)0xffff)

/* Device status, virtio 1.2, 2.1. */
enum {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
};

/* Feature bits that don't depend on the kind of device, virtio 1.2, 6. */
#define VIRTIO_INDIRECT_DESC ((u64)1 << 28)
#define VIRTIO_EVENT_IDX     ((u64)1 << 29)
#define VIRTIO_VERSION_1     ((u64)1 << 32)

/* Interrupt status, virtio 1.2, 4.1.4.5. */
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };

struct virtio_device;
struct virtio_worker;

struct virtio_class {
	const char *name; /* "block" */
	u16 id;           /* virtio 1.2, 5 */
	u32 pci_class;    /* class, subclass and interface, 24 bits */

	/* The driver has set DRIVER_OK; the queues that it enabled are started. */
	void (*start)(struct virtio_device *device);
	/*
	 * At least one queue is started. Returns true when nothing is under way any more; else
	 * virtio_queue_stopped() has to follow for each queue that is started.
	 */
	bool (*stop)(struct virtio_device *device);
	/* The driver writes to the device's configuration; NULL: it can't. Within config_bytes. */
	void (*write_config)(struct virtio_device *device, u64 offset, unsigned width, u64 value);
	/* The device was reset; or NULL. */
	void (*was_reset)(struct virtio_device *device);
};

enum { VIRTIO_CONFIGURATION = -1 };

/* How a transport is told; the first two with the device's lock held. */
struct virtio_transport {
	/* Lays or takes away the doorbells of all started queues. */
	void (*doorbells)(void *transport, bool lay);
	/* The device was reset: what the transport keeps for the driver is as at power-on; or NULL. */
	void (*was_reset)(void *transport);
	/*
	 * Interrupts the driver: with the lock, because the configuration or the status changed
	 * (VIRTIO_CONFIGURATION); on a queue's worker, for the queue, if it is VIRTIO_BY_TRANSPORT.
	 */
	void (*interrupt)(void *transport, int queue);
	/* For traces: how a queue's interrupt reaches the driver, "msix 2". */
	void (*describe_interrupt)(void *transport, unsigned queue, char *text, size_t bytes);
};

/* What the guest sets and sees; plain. */
struct virtio_regs {
	u8 status;
	u8 config_generation;
	u32 device_features_select, driver_features_select;
	u64 driver_features;
	u16 queue_select;
	u16 config_vector;
	struct virtq_regs queue[VIRTIO_QUEUES_MAX];
};

/* What a queue's interrupt_fd is when it is no descriptor. */
enum {
	VIRTIO_BY_TRANSPORT = -1, /* transport->interrupt() does it */
	VIRTIO_NO_INTERRUPT = -2,
};

enum virtio_run_state {
	VIRTIO_IDLE, /* not started, or reset */
	VIRTIO_RUNNING,
	VIRTIO_STOPPING, /* workers were asked to stop */
	VIRTIO_QUIESCED, /* stopped, registers and positions kept */
};

/* What drivers read and write; PCI has the vectors, MMIO the queues' largest size. */
enum virtio_register {
	VIRTIO_REG_OWN, /* none of these: one of the transport's own */
	VIRTIO_REG_DEVICE_FEATURES_SELECT,
	VIRTIO_REG_DEVICE_FEATURES,
	VIRTIO_REG_DRIVER_FEATURES_SELECT,
	VIRTIO_REG_DRIVER_FEATURES,
	VIRTIO_REG_STATUS,
	VIRTIO_REG_CONFIG_GENERATION,
	VIRTIO_REG_CONFIG_VECTOR,
	VIRTIO_REG_QUEUES,
	VIRTIO_REG_QUEUE_SELECT,
	VIRTIO_REG_QUEUE_SIZE_MAX,
	VIRTIO_REG_QUEUE_SIZE,
	VIRTIO_REG_QUEUE_VECTOR,
	VIRTIO_REG_QUEUE_ENABLE,
	VIRTIO_REG_QUEUE_NOTIFY_OFFSET,
	VIRTIO_REG_QUEUE_DESCRIPTORS, /* the three areas' addresses, 64 bits each */
	VIRTIO_REG_QUEUE_AVAILABLE,
	VIRTIO_REG_QUEUE_USED,
};

struct virtio_device {
	const struct virtio_class *class;
	const struct memory *memory;
	struct trace *trace; /* or NULL */
	char name[16];       /* "virtio1", by its place among the machine's */
	u64 features;        /* offered */
	u16 queue_size_max;
	unsigned queues;
	const u8 *config; /* the device's configuration, as the driver reads it */
	u32 config_bytes;

	pthread_mutex_t lock;
	pthread_cond_t stopped; /* signalled when `running_queues` reaches 0 */
	struct virtio_regs regs;
	atomic_uint isr; /* VIRTIO_ISR_…; set by workers too, cleared as the driver takes it */
	enum virtio_run_state state;
	bool resetting;              /* STOPPING ends in a reset */
	bool wired;                  /* the doorbells are laid */
	bool told;                   /* people have been told that its driver broke it */
	unsigned running_queues;     /* started, and not stopped yet */
	atomic_bool line_interrupts; /* interrupts set `isr`: anything but MSI-X */
	struct virtq queue[VIRTIO_QUEUES_MAX];

	/* Those of its threads that are a struct virtio_worker; each enters itself. */
	struct virtio_worker *worker[VIRTIO_QUEUES_MAX];
	unsigned workers;

	const struct virtio_transport *transport;
	void *transport_owner;
	char pending_trace[VIRTIO_QUEUES_MAX]
			  [200];                 /* a line waits for what its interrupt will be */
	u64 pending_since_ns[VIRTIO_QUEUES_MAX]; /* its chain was taken; 0: nobody knows */
};

/*
 * Prepares the device and opens its queues' notify_fd. Features, queues and configuration are set by
 * the kind of device before. Returns 0, or -1 with err set.
 */
int virtio_device_init(struct virtio_device *device, const struct virtio_class *class,
		       struct error *err);
/* Has its queues measured (struct virtq_meter) from now on. Returns 0, or -1 with err set. */
int virtio_device_measure(struct virtio_device *device, struct error *err);
/* Also for a device that was never prepared. */
void virtio_device_destroy(struct virtio_device *device);

/*
 * Ends its workers, and then the device. Both return false when one doesn't end in time: then the
 * device and guest memory have to stay. The first is for ending several devices at once.
 */
bool virtio_device_end(struct virtio_device *device, unsigned timeout_ms);
bool virtio_device_close(struct virtio_device *device, unsigned timeout_ms);

/* Registers, for transports; the lock is held by the caller. */

/*
 * What the driver reads and writes. mask: which bits of an address are written. Vectors are written by
 * the transport, which knows how many there are.
 */
u64 virtio_read_register(struct virtio_device *device, enum virtio_register which);
void virtio_write_register(struct virtio_device *device, enum virtio_register which, u64 value,
			   u64 mask);
void virtio_set_status(struct virtio_device *device, u32 value);
/* The registers of the selected queue, or NULL when there is none of that number. */
struct virtq_regs *virtio_selected_queue(struct virtio_device *device);
/* The same when they may be changed: it exists, and isn't in use. */
struct virtq_regs *virtio_writable_queue(struct virtio_device *device);
/* width: 1 to 8; what lies behind the end reads all-ones and takes no writes. */
u64 virtio_read_config(const struct virtio_device *device, u64 offset, unsigned width);
void virtio_write_config(struct virtio_device *device, u64 offset, unsigned width, u64 value);
/* Waits until a stop or reset that is under way is done, timeout_ms at most. Returns whether it is. */
bool virtio_wait_stopped(struct virtio_device *device, unsigned timeout_ms);

/* A notification that came by the bus and not by a doorbell; with or without the lock. */
void virtio_notify(struct virtio_device *device, u32 queue);

/* For classes: runs all workers that have a queue which is started. And: stops them, as a stop(). */
void virtio_run_workers(struct virtio_device *device);
bool virtio_stop_workers(struct virtio_device *device);

/* For workers. */

/* virtq_pop(), but a ring that can't be read breaks the device, and is as good as empty. */
enum virtq_result virtio_pop(struct virtio_device *device, unsigned queue,
			     struct virtq_chain *chain);
/* The same, and the driver notifies when there is none. */
enum virtq_result virtio_pop_or_ask(struct virtio_device *device, unsigned queue,
				    struct virtq_chain *chain);

/* Interrupts the driver for what was pushed to the queue, if it wants that; by io, or NULL. */
void virtio_signal(struct virtio_device *device, unsigned queue, struct io *io);
/* A queue's ring can't be read: the device needs a reset. The worker stops serving it. */
void virtio_device_broken(struct virtio_device *device, const char *why);
/* Nothing of the queue is under way any more, as stop() asked. */
void virtio_queue_stopped(struct virtio_device *device, unsigned queue);
/* The configuration changed. */
void virtio_config_changed(struct virtio_device *device);
/* Whether chains are shown in the trace. */
static inline bool virtio_traced(const struct virtio_device *device)
{
	return device->trace && trace_on(device->trace, TRACE_VIRTIO);
}
/*
 * Adds a chain that was pushed to the trace, if they are shown there: "virtio1/q0 chain 3:
 * <printf-like>". The line is written with the next one, or with virtio_signal(), which knows of the
 * interrupt.
 */
void virtio_trace_chain(struct virtio_device *device, unsigned queue, u16 head, const char *format,
			...) PRINTF(4, 5);

/* For the machine. */

/* Stops all queues and waits, timeout_ms at most; registers stay. Returns whether all stopped. */
bool virtio_quiesce(struct virtio_device *device, unsigned timeout_ms);
/* Goes on after virtio_quiesce(). */
void virtio_resume(struct virtio_device *device);
/* As at power-on, for a quiesced device whose machine starts anew. */
void virtio_power_on(struct virtio_device *device);

#endif
