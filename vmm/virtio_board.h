/*
 * The virtio part of the board: which devices there are, behind which transport, at which addresses
 * and interrupts.
 *
 * Slots and numbers are in one order: virtio0 is the entropy device, virtio1 and on are the disks as
 * they were given, then the networks, then the shared directories, then the console if there is one.
 * On PCI virtio0 sits in slot 1.
 */
#ifndef BANTAM_VMM_VIRTIO_BOARD_H
#define BANTAM_VMM_VIRTIO_BOARD_H

#include "devices/pci.h"
#include "devices/virtio/block.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/pci.h"
#include "devices/virtio/rng.h"
#include "vmm/command.h"
#include "vmm/hvc.h"
#include "vmm/kvm_wiring.h"
#include "vmm/net_board.h"
#include "vmm/share_board.h"

enum { VIRTIO_DEVICES_MAX = PCI_SLOTS - 1 };

struct machine;

/* One device and its transport; which of the two it is, the config says. */
struct virtio_slot {
	struct virtio_device *device;
	struct virtio_pci pci;
	struct virtio_mmio mmio;
};

struct virtio_board {
	struct machine *machine;
	struct kvm_wiring kvm_wiring;
	struct wiring wiring;
	struct pci_host pci;
	struct rng rng;
	struct block *block; /* config's disks of them */
	struct net_board net;
	struct share_board share;
	struct vconsole vconsole; /* where it is needed */
	struct hvc hvc;
	struct command command;
	struct virtio_slot *slot;
	unsigned slots;
};

/* Makes the devices and puts them on the buses. Returns 0, or -1 with err set. */
int virtio_board_attach(struct virtio_board *board, struct machine *machine, struct error *err);

/* Starts the workers. Returns 0, or -1 with err set. */
int virtio_board_open(struct virtio_board *board, struct error *err);

/* Appends the devices to the DSDT. */
void virtio_board_describe(const struct virtio_board *board, struct aml *aml);

/* The interrupt of a device by its name, or -1. */
int virtio_board_gsi(const struct virtio_board *board, const char *device);

/*
 * Stops all devices and waits for what they have under way, a few seconds at most. The vCPUs don't
 * run. Returns whether all have stopped; if not, what they write to has to stay.
 */
bool virtio_board_quiesce(struct virtio_board *board);

/* As at power-on, after virtio_board_quiesce(). */
void virtio_board_reset(struct virtio_board *board);

/* Returns false when something still hangs: then the board and the guest's memory have to stay. */
bool virtio_board_close(struct virtio_board *board);

#endif
