/*
 * Wires that the kernel pulls: doorbells (ioeventfd) and interrupts (irqfd).
 *
 * A device and the guest talk past user space: a guest's write to a register rings an eventfd, and
 * an eventfd that is written to interrupts the guest. Both ends are plain descriptors, which the
 * device may hand to another thread or process. The device knows neither KVM nor how an interrupt
 * number becomes a message; it is given these few calls.
 *
 * Calls come from vCPU threads, under the lock of the device that makes them; an implementation
 * locks its own state. Each returns whether it was done. A doorbell that could not be laid does no
 * harm: its register is still written by way of the bus. An interrupt that could not be joined isn't
 * delivered, which takes a host that is out of memory.
 */
#ifndef BANTAM_VMM_WIRING_H
#define BANTAM_VMM_WIRING_H

#include "vmm/types.h"

/* A register whose writing rings fd. */
struct doorbell {
	int fd;
	bool io_port; /* an I/O port, or memory */
	u64 address;
	unsigned width; /* 1, 2, 4 or 8 bytes */
	bool match;     /* ring for this value alone */
	u64 value;
};

struct wiring_ops {
	/* Lays or takes away a doorbell. */
	bool (*doorbell)(void *owner, const struct doorbell *bell, bool lay);
	/* Joins fd to the interrupt gsi, or parts them. What fd counted before is delivered. */
	bool (*interrupt)(void *owner, int fd, u32 gsi, bool join);
	/* What the message-signalled interrupt gsi sends, from now on. */
	bool (*message)(void *owner, u32 gsi, u64 address, u32 data);
};

struct wiring {
	const struct wiring_ops *ops;
	void *owner;
};

#endif
