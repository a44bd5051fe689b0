/*
 * pvpanic: a port by which a guest with the driver says that its kernel has panicked.
 *
 * One byte. Reading tells which events are understood; writing one of them reports it. Linux has
 * the driver as a module (pvpanic-mmio), which finds the port through ACPI as QEMU0001.
 *
 * Source: QEMU docs/specs/pvpanic.rst.
 */
#ifndef BANTAM_DEVICES_PVPANIC_H
#define BANTAM_DEVICES_PVPANIC_H

#include "vmm/bus.h"

#define PVPANIC_PORT ((u64)0x505)

/* Whom to tell; called on a vCPU thread, with no lock held. */
struct pvpanic {
	void (*panicked)(void *owner);
	void *owner;
};

int pvpanic_attach(struct pvpanic *pvpanic, struct bus *pio, struct error *err);

#endif
