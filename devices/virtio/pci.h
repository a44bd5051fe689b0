/*
 * virtio over PCI, modern devices only.
 *
 * BAR 0 is memory: the common configuration, ISR status, the device's configuration, notifications,
 * and MSI-X's table and pending bits. BAR 1 is I/O ports with the notifications once more; its
 * capability stands first, because a port is the cheaper doorbell: KVM needs no instruction
 * decoding for it. While the device runs, both are ioeventfds.
 *
 *	BAR 0  0x0000  common configuration        BAR 1  0x00  queue n's doorbell at 4 n
 *	       0x0100  ISR status
 *	       0x0200  device configuration
 *	       0x0400  queue n's doorbell at 4 n
 *	       0x1000  MSI-X table
 *	       0x1800  MSI-X pending bits
 *
 * A field is written only by an access of its own width, 64-bit fields also by halves, as the
 * specification has it; other writes do nothing. Reads of any width give the bytes that are there.
 *
 * A reset that has to wait for requests is answered later: the status reads as before until then.
 *
 * Locks: registers and MSI-X under the device's lock, which comes behind the PCI host's.
 *
 * Source: virtio 1.2, 4.1 "Virtio Over PCI Bus".
 */
#ifndef BANTAM_DEVICES_VIRTIO_PCI_H
#define BANTAM_DEVICES_VIRTIO_PCI_H

#include "devices/msix.h"
#include "devices/pci.h"
#include "devices/virtio/device.h"

enum {
	VIRTIO_PCI_BARS = 2,
	VIRTIO_PCI_MEMORY_BYTES = 0x2000,
	VIRTIO_PCI_IO_BYTES = 4 * VIRTIO_QUEUES_MAX,
	VIRTIO_PCI_COMMON = 0x0000,
	VIRTIO_PCI_ISR = 0x0100,
	VIRTIO_PCI_DEVICE = 0x0200,
	VIRTIO_PCI_NOTIFY = 0x0400,
	VIRTIO_PCI_MSIX_TABLE = 0x1000,
	VIRTIO_PCI_MSIX_PENDING = 0x1800,
};

struct virtio_pci {
	struct virtio_device *device;
	struct pci_function function;
	struct msix msix;
	const struct wiring *wiring;
	u64 doorbells[VIRTIO_PCI_BARS];        /* in the BARs, 0 while they aren't decoded */
	bool doorbells_wanted;                 /* the device runs */
	u64 laid[VIRTIO_PCI_BARS];             /* where doorbells are */
	u8 msix_capability, access_capability; /* offsets in the configuration space */
};

/*
 * Gives the device a PCI function and adds it to the host; it takes as many GSIs from first_gsi as
 * virtio_pci_vectors() says. Returns 0, or -1 with err set; virtio_pci_destroy() is due in both cases.
 */
int virtio_pci_init(struct virtio_pci *pci, struct virtio_device *device, struct pci_host *host,
		    const struct wiring *wiring, u32 first_gsi, struct error *err);
void virtio_pci_destroy(struct virtio_pci *pci);

/* One vector for each queue, and one for the configuration. */
unsigned virtio_pci_vectors(const struct virtio_device *device);

/* As at power-on; the device is idle and pci_reset() follows. */
void virtio_pci_power_on(struct virtio_pci *pci);

#endif
