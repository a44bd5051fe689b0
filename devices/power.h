/*
 * The ways a guest ends or restarts its machine.
 *
 * Hardware-reduced ACPI has two one-byte registers for sleeping and one for a reset; the FADT
 * tells the guest where they are. Kernels that don't use ACPI have older habits, which cost
 * nothing to serve: the reset control register of PC chipsets (port 0xcf9, by a one-byte access;
 * a wider one there is PCI's configuration address) and the reset line of the keyboard controller
 * (port 0x64, command 0xfe).
 *
 * There is no keyboard controller. Its status port reads all-ones but for "input buffer full", so
 * that a driver's probe finds nothing at once and a reboot doesn't wait for a buffer to drain.
 *
 * Source: ACPI 6.5, 4.8.3.7 (sleep control and status), 4.8.3.6 (reset register).
 */
#ifndef BANTAM_DEVICES_POWER_H
#define BANTAM_DEVICES_POWER_H

#include "vmm/bus.h"

#define POWER_PORT_BASE     ((u64)0x600)
#define POWER_SLEEP_CONTROL (POWER_PORT_BASE + 0)
#define POWER_SLEEP_STATUS  (POWER_PORT_BASE + 1)
#define POWER_RESET         (POWER_PORT_BASE + 2)
#define POWER_PORT_BYTES    ((u64)3)

#define POWER_CHIPSET_BASE  ((u64)0xcf8)
#define POWER_CHIPSET_BYTES ((u64)4)
#define POWER_KEYBOARD_PORT ((u64)0x64)

/* The value that the FADT tells guests to write to POWER_RESET. */
enum { POWER_RESET_VALUE = 0x01 };

/* SLP_TYP of S5, "soft off", as the DSDT's _S5 package names it. */
enum { POWER_S5_TYPE = 5 };

/* Whom to tell; called on a vCPU thread, with no lock held. */
struct power {
	void (*off)(void *owner);
	void (*reset)(void *owner);
	void *owner;
	/* The PCI configuration address, whose port the reset control shares; NULL: there is none. */
	u32 (*read_address)(void *pci);
	void (*write_address)(void *pci, u32 value);
	void *pci;
};

/* Adds the power registers to the bus of I/O ports. Returns 0, or -1 with err set. */
int power_attach(struct power *power, struct bus *pio, struct error *err);

#endif
