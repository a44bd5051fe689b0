/*
 * MSI-X: a device's interrupts as messages, one a vector.
 *
 * Each vector has an eventfd. While the guest lets a vector interrupt, the kernel is told the
 * vector's message and is joined to the eventfd, so that whoever writes to it interrupts the guest
 * without us. A masked vector is parted from it: the eventfd then counts, which is the pending bit,
 * and is delivered when it is joined again.
 *
 * The kernel learns of a message only when it changed since it was last told, and only when the
 * vector may interrupt: filling a masked table costs nothing.
 *
 * Limits: before Linux 5.12 the kernel leaves a delivered interrupt in the eventfd's count, and a vector
 * that is masked afterwards looks pending, and comes once more when it is unmasked.
 *
 * Locks: none of its own; the device's lock is held in all functions.
 *
 * Source: PCI Local Bus 3.0, 6.8.2 "MSI-X Capability and Table Structures".
 */
#ifndef BANTAM_DEVICES_MSIX_H
#define BANTAM_DEVICES_MSIX_H

#include "vmm/error.h"
#include "vmm/types.h"
#include "vmm/wiring.h"

enum { MSIX_VECTORS_MAX = 17, MSIX_ENTRY_BYTES = 16, MSIX_CAPABILITY_BYTES = 12 };

/* What the guest sets and sees; plain. The dwords of a table's entry, PCI 3.0, 6.8.2. */
enum { MSIX_ADDRESS_LOW, MSIX_ADDRESS_HIGH, MSIX_DATA, MSIX_CONTROL, MSIX_DWORDS };
struct msix_entry {
	u32 dword[MSIX_DWORDS];
};

struct msix {
	unsigned vectors;
	struct msix_entry entry[MSIX_VECTORS_MAX];
	bool enabled, all_masked;

	const struct wiring *wiring;
	int fd[MSIX_VECTORS_MAX];
	u32 first_gsi; /* of as many as there are vectors */
	bool joined[MSIX_VECTORS_MAX];
	struct msix_entry told[MSIX_VECTORS_MAX]; /* whose messages the kernel knows */
};

/* Opens the vectors' eventfds. Returns 0, or -1 with err set; msix_destroy() is due in both cases. */
int msix_init(struct msix *msix, unsigned vectors, const struct wiring *wiring, u32 first_gsi,
	      struct error *err);
void msix_destroy(struct msix *msix);

/* As at power-on; nothing is joined any more. */
void msix_reset(struct msix *msix);

/* The guest's registers: the table, and the pending bits. Any width, any offset. */
u64 msix_read_table(const struct msix *msix, u64 offset, unsigned width);
void msix_write_table(struct msix *msix, u64 offset, unsigned width, u64 value);
u64 msix_read_pending(const struct msix *msix, u64 offset, unsigned width);

/* The two bits of the capability's message control that the guest may set. */
void msix_control(struct msix *msix, bool enabled, bool all_masked);

/* The capability without its first two bytes. */
struct msix_capability {
	u16 control;        /* vectors, less one */
	u32 table, pending; /* offsets in a BAR, whose number is in the low bits */
} PACKED;

#endif
