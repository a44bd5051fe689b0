/*
 * virtio over MMIO, version 2: a window of registers and one interrupt a device, described to the
 * guest by ACPI (LNRO0005).
 *
 * The interrupt is an edge, so that writing to an eventfd is all there is to it; InterruptStatus
 * says why. The doorbell is one register for all queues, told apart by the value that is written.
 *
 * Registers are 32 bits wide and take no other access, except the device's configuration.
 *
 * A reset that has to wait for requests holds the vCPU for RESET_WAIT_MS at most, because drivers of
 * this transport don't look whether it is done. After that the status reads as before and writes are
 * ignored until it is; a driver that goes on regardless fails to find its features accepted, and
 * what it has reclaimed may still be written to by requests from before.
 *
 * Limits: QueueReady can't be taken back while the device runs, only by a reset.
 *
 * Source: virtio 1.2, 4.2 "Virtio Over MMIO".
 */
#ifndef BANTAM_DEVICES_VIRTIO_MMIO_H
#define BANTAM_DEVICES_VIRTIO_MMIO_H

#include "boot/aml.h"
#include "devices/virtio/device.h"
#include "vmm/bus.h"
#include "vmm/wiring.h"

enum { VIRTIO_MMIO_BYTES = 0x200, VIRTIO_MMIO_STRIDE = 0x1000 };

struct virtio_mmio {
	struct virtio_device *device;
	const struct wiring *wiring;
	u64 base;
	u32 gsi;
	int interrupt_fd;
	bool joined; /* interrupt_fd leads to gsi */
};

/*
 * Puts the device on the bus at base. Returns 0, or -1 with err set; virtio_mmio_destroy() is due in
 * both cases.
 */
int virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device, struct bus *bus,
		     const struct wiring *wiring, u64 base, u32 gsi, struct error *err);
void virtio_mmio_destroy(struct virtio_mmio *mmio);

/* As at power-on; the device is idle. */
void virtio_mmio_power_on(struct virtio_mmio *mmio);

/* Describes the device in the scope \_SB; number makes its name, "VM00". */
void virtio_mmio_describe(const struct virtio_mmio *mmio, unsigned number, struct aml *aml);

#endif
