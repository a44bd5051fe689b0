/*
 * A guest around a real device (block, rng, …): memory, a driver for each queue, and a transport
 * that hands interrupts over as eventfds. The device may serve its queues on threads of its own.
 *
 * Waiting has no end here: what never comes ends the test by its time-out.
 */
#ifndef BANTAM_TESTS_UNIT_VIRTIO_RIG_H
#define BANTAM_TESTS_UNIT_VIRTIO_RIG_H

#include "devices/virtio/device.h"
#include "tests/unit/driver.h"

enum { RIG_QUEUES = 10, RIG_QUEUE_SIZE = 64 };

/* The rings lie below this address; what lies above is the test's. */
#define RIG_DATA ((u64)0x40000)

struct rig {
	struct arena arena;
	struct virtio_device *device;
	struct driver_queue driver[RIG_QUEUES];
	int interrupt_fd[RIG_QUEUES];
	int config_fd; /* rung for each configuration interrupt */
	atomic_uint config_interrupts;
	bool doorbells; /* laid; the driver then rings notify_fd by itself */
};

/* memory_bytes: how much of it there is. The device is attached when it is opened. */
void rig_init(struct rig *rig, u64 memory_bytes);
void rig_attach(struct rig *rig, struct virtio_device *device);
void rig_destroy(struct rig *rig);

/* Negotiates, lays out and enables so many queues, and starts the device. */
void rig_start(struct rig *rig, u64 features, unsigned queues);

/* A write of 0 to the status; and the same, until it reads 0. */
void rig_ask_reset(struct rig *rig);
void rig_reset(struct rig *rig);

u8 rig_status(struct rig *rig);

/* Whether the device wants a reset; and waits until it does. */
bool rig_is_broken(struct rig *rig);
void rig_wait_broken(struct rig *rig);

/* Notifies if the device wants it: for chains from the available index `before` on. */
void rig_kick(struct rig *rig, unsigned queue, u16 before);

/* Takes the next used entry, and waits for it by interrupts. */
struct driver_used rig_wait(struct rig *rig, unsigned queue);

/* Bytes of guest memory. */
u8 *rig_at(struct rig *rig, u64 gpa, u64 bytes);

#endif
