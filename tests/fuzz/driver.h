/*
 * A driver that does everything right, over either transport, for devices that have seen others.
 */
#ifndef BANTAM_TESTS_FUZZ_DRIVER_H
#define BANTAM_TESTS_FUZZ_DRIVER_H

#include "tests/fuzz/board.h"

enum driver_register {
	DRIVER_STATUS,
	DRIVER_DEVICE_SELECT,
	DRIVER_DEVICE_FEATURES,
	DRIVER_SELECT,
	DRIVER_FEATURES,
	DRIVER_QUEUE,
	DRIVER_QUEUE_SIZE,
	DRIVER_QUEUE_ENABLE,
	DRIVER_DESCRIPTORS,
	DRIVER_AVAILABLE,
	DRIVER_USED,
};

/* A register of a device; 64-bit ones are read by their lower half and written by both. */
u64 driver_read(struct board *board, unsigned device, enum driver_register which);
void driver_write(struct board *board, unsigned device, enum driver_register which, u64 value);

/* Notifies, by a port (PCI) or the register in memory. */
void driver_notify(struct board *board, unsigned device, u16 queue, bool by_port);

/* From reset to DRIVER_OK with one queue more for each enabled `regs`; what the device doesn't
 * offer is not asked for. */
void driver_begin(struct board *board, unsigned device, u64 features, const struct virtq_regs *regs,
		  unsigned queues);

/* PCI: BARs where they were at power-on, decoding on, MSI-X as wanted with all vectors open. */
void driver_place(struct board *board, bool msix);

/*
 * Takes a device into use, whatever was done to it before, and sees it do its work: a reset ends,
 * entropy comes, a sector can be read (and, where it may, be written), the interrupt arrives.
 */
void driver_expect_service(struct board *board, unsigned device, bool msix);

#endif
