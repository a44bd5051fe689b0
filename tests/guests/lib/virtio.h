/*
 * A virtio driver, from nothing to a working queue, over both of the ways a device can be attached:
 * PCI (virtio 1.2, 4.1) and plain memory (4.2).
 *
 * A device is two things: registers, by which the driver and the device agree on features and on
 * where the queues lie; and queues, which lie in memory and carry all the work. The registers are
 * the same on both transports and only lie at other places: enum virtio_register names them once.
 *
 *	struct virtio v;
 *
 *	virtio_find(&v, VIRTIO_BLOCK, 0, VIRTIO_ON_PCI);
 *	virtio_start(&v, 0, VIRTIO_POLL);
 *	put descriptors into v.queue[0].desc, then
 *	virtq_offer(&v.queue[0], head);
 *	virtio_notify(&v, 0);
 *	virtq_wait(&v.queue[0], &id, &length);
 *
 * Only the split queue is here (2.7). Section numbers are of virtio 1.2.
 */
#ifndef GUEST_VIRTIO_H
#define GUEST_VIRTIO_H

#include "pci.h"

enum {
	VIRTIO_NET = 1,
	VIRTIO_BLOCK = 2,
	VIRTIO_CONSOLE = 3,
	VIRTIO_RNG = 4,
	VIRTIO_FS = 26
}; /* 5 */

/* Device status, 2.1. */
#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER      2u
#define STATUS_DRIVER_OK   4u
#define STATUS_FEATURES_OK 8u
#define STATUS_NEEDS_RESET 64u
#define STATUS_FAILED      128u

/* Feature bits of all devices, 6. */
#define FEATURE_INDIRECT    (1ull << 28)
#define FEATURE_EVENT_INDEX (1ull << 29)
#define FEATURE_VERSION_1   (1ull << 32)

#define ISR_QUEUE  1u /* 4.1.4.5, 4.2.2 */
#define ISR_CONFIG 2u

#define VIRTIO_NO_VECTOR 0xffffu

/* 4.1.4.3, 4.2.2. Addresses have 64 bits and are written as two halves. */
enum virtio_register {
	REG_DEVICE_FEATURES_SELECT,
	REG_DEVICE_FEATURES,
	REG_DRIVER_FEATURES_SELECT,
	REG_DRIVER_FEATURES,
	REG_STATUS,
	REG_GENERATION,
	REG_QUEUE_SELECT,
	REG_QUEUE_SIZE_MAX,
	REG_QUEUE_SIZE,
	REG_QUEUE_ENABLE,
	REG_QUEUE_DESC,
	REG_QUEUE_DESC_HIGH,
	REG_QUEUE_AVAIL,
	REG_QUEUE_AVAIL_HIGH,
	REG_QUEUE_USED,
	REG_QUEUE_USED_HIGH,
	/* On PCI alone. */
	REG_CONFIG_VECTOR,
	REG_QUEUES,
	REG_QUEUE_VECTOR,
	REG_QUEUE_NOTIFY_OFFSET,
};

/* ---- queues, 2.7 ---- */

#define RING_SIZE 32

#define DESC_NEXT     1u
#define DESC_WRITE    2u /* the device writes there; otherwise it reads */
#define DESC_INDIRECT 4u

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY     1u

struct virtq_desc {
	u64 address;
	u32 length;
	u16 flags, next;
};

struct virtq_avail {
	u16 flags, index, ring[RING_SIZE];
	u16 used_event; /* with FEATURE_EVENT_INDEX, 2.7.7; at ring[size] */
};

struct virtq_used_element {
	u32 id, length;
};

struct virtq_used {
	u16 flags, index;
	struct virtq_used_element ring[RING_SIZE];
	u16 avail_event; /* with FEATURE_EVENT_INDEX, 2.7.10 */
};

struct virtq {
	struct virtq_desc desc[RING_SIZE] __attribute__((aligned(16))); /* 2.7: alignments */
	struct virtq_avail avail __attribute__((aligned(2)));
	struct virtq_used used __attribute__((aligned(4)));
	u16 size;          /* RING_SIZE, or less if the device can't */
	u16 taken;         /* used elements that we have seen */
	u32 notify_offset; /* in units of the notify area's multiplier */
	bool event_index, interrupts;
};

/* ---- the device ---- */

enum virtio_bus { VIRTIO_ON_PCI, VIRTIO_ON_MMIO };
enum virtio_irq { VIRTIO_POLL, VIRTIO_MSIX, VIRTIO_LINE };

struct virtio_notify_area { /* 4.1.4.4 */
	struct area area;
	u32 multiplier;
};

#define VIRTIO_QUEUES_MAX 10

struct virtio {
	enum virtio_bus bus;
	enum virtio_irq irq;
	u16 bdf; /* PCI */
	u32 gsi; /* the line's number at the I/O APIC; ~0: not known */
	u64 features;
	struct area common, isr, config;
	struct virtio_notify_area notify[4]; /* in the order of the device's preference */
	unsigned notify_areas, notify_used;
	struct msix msix;
	unsigned queues; /* that virtio_start() sets up: 1, unless somebody says more */
	struct virtq queue[VIRTIO_QUEUES_MAX];
};

/* Finds the n-th device of this kind. Reads and decodes; does not touch the device's status. */
bool virtio_find(struct virtio *v, u16 id, unsigned n, enum virtio_bus bus);
/* A device in plain memory whose address and line are known. False: it is none of this kind. */
bool virtio_at(struct virtio *v, u16 id, u64 address, u32 gsi);
/* Reads the capabilities and addresses again, after BARs were moved. */
bool virtio_pci_discover(struct virtio *v);
/* The capability of 4.1.4.9 by which configuration space leads to the BARs' registers, or 0. */
u8 virtio_pci_access(const struct virtio *v);
u32 virtio_pci_access_read(u16 bdf, u8 access, u8 bar, u32 offset, u32 width);
void virtio_pci_access_write(u16 bdf, u8 access, u8 bar, u32 offset, u32 width, u32 value);

u32 virtio_read(const struct virtio *v, enum virtio_register reg);
void virtio_write(const struct virtio *v, enum virtio_register reg, u32 value);
void virtio_write_address(const struct virtio *v, enum virtio_register low, u64 address);
u64 virtio_config64(const struct virtio *v, u32 offset); /* whole: 2.5.3 "generation" */

u64 virtio_device_features(const struct virtio *v);
void virtio_reset(const struct virtio *v); /* waits until it is done */
/* Reset to FEATURES_OK, 3.1.1 steps 1 to 6. False: the device didn't agree to the features. */
bool virtio_negotiate(struct virtio *v, u64 features);
void virtio_driver_ok(const struct virtio *v);
/* All of 3.1.1. `wanted`: the features to use of those that are offered. */
bool virtio_start(struct virtio *v, u64 wanted, enum virtio_irq irq);

void virtq_describe(struct virtio *v, unsigned n); /* empties the rings and tells the device */
void virtq_enable(struct virtio *v, unsigned n);
void virtq_offer(struct virtq *q, u16 head); /* makes a chain available; no notification */
bool virtq_wants_notify(const struct virtq *q, u16 old_index);
void virtio_notify(const struct virtio *v, u16 queue);
bool virtq_take(struct virtq *q, u32 *id, u32 *length); /* false: nothing is used */
void virtq_wait(struct virtq *q, u32 *id, u32 *length); /* by polling, or asleep */

/* Without MSI-X: why the device interrupts, ISR_…; takes the reason away. */
u32 virtio_take_reason(const struct virtio *v);

/* Interrupts so far: of configuration, and of queues. */
extern volatile unsigned virtio_config_irqs, virtio_queue_irqs;

static inline void virtio_barrier(void) /* stores before are seen before loads behind it */
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
