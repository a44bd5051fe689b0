/*
 * ACPI tables: how the guest learns of processors, interrupts, devices and the power switch.
 *
 * The machine is "hardware-reduced": none of the PC's fixed ACPI hardware, no 8259 interrupt
 * controller, no clock chip; sleep and reset are two registers that the FADT names. Kernels then
 * don't probe for what isn't there.
 *
 *	RSDP → XSDT → FADT → DSDT (devices), MADT (processors and interrupt controllers),
 *	              MCFG (where PCI's configuration space is)
 *
 * Source: ACPI 6.5, chapter 5 "ACPI Software Programming Model", 3.11 "Hardware-reduced ACPI".
 */
#ifndef BANTAM_BOOT_ACPI_H
#define BANTAM_BOOT_ACPI_H

#include "boot/aml.h"
#include "boot/place.h"

/* What the tables tell of the machine that the boot code doesn't know by itself. */
struct acpi_machine {
	unsigned cpus;
	/* Register addresses: I/O ports. */
	u16 sleep_control_port, sleep_status_port, reset_port;
	u8 reset_value, s5_type;
	u64 ecam_base; /* PCI's configuration space, one bus; 0: there is no PCI */
	/* Appends a Device() for each device to the DSDT's \_SB scope. */
	void (*describe_devices)(void *owner, struct aml *aml);
	void *owner;
};

enum { ACPI_HEADER_BYTES = 36 };

/* The header that all tables but the RSDP begin with. */
struct acpi_header {
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum; /* all bytes of the table add up to 0 */
	char oem_id[6];
	char oem_table_id[8];
	u32 oem_revision;
	char creator_id[4];
	u32 creator_revision;
} PACKED;

/* What the name of each table's place begins with; its signature follows. */
#define ACPI_PLACE "ACPI "

/*
 * Writes all tables to `at` (a gpa, 16-byte aligned) and behind, within bytes; the root is the first.
 * Returns 0, or -1 with err set.
 */
int acpi_place(struct place_map *map, u64 at, u64 bytes, const struct acpi_machine *machine,
	       struct error *err);

/* The body of the MADT, which is the architecture's own: appends it behind the header. */
void acpi_madt_body(struct aml *table, unsigned cpus);

#endif
