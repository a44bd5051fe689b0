/*
 * The body of the MADT on x86: local APICs, one a vCPU, and the I/O APIC.
 *
 * vCPU n has APIC id n. KVM routes the timer of the in-kernel 8254 (interrupt 0) to input 2 of its
 * I/O APIC, as PCs are wired; an override says so to kernels that use it.
 *
 * Source: ACPI 6.5, 5.2.12 "Multiple APIC Description Table".
 */
#include "boot/acpi.h"
#include "boot/x86/layout.h"

enum { TYPE_LOCAL_APIC = 0, TYPE_IO_APIC = 1, TYPE_OVERRIDE = 2 };
enum { LOCAL_APIC_ENABLED = 1 };
enum { TIMER_IRQ = 0, TIMER_GSI = 2 };

struct madt {
	u32 local_apic;
	u32 flags; /* bit 0: dual 8259 present; there is none in a hardware-reduced machine */
} PACKED;

struct madt_local_apic {
	u8 type, length;
	u8 uid, id;
	u32 flags;
} PACKED;

struct madt_io_apic {
	u8 type, length;
	u8 id, reserved;
	u32 address;
	u32 gsi_base;
} PACKED;

struct madt_override {
	u8 type, length;
	u8 bus, source;
	u32 gsi;
	u16 flags; /* 0: polarity and trigger as the ISA bus has them, high and edge */
} PACKED;

void acpi_madt_body(struct aml *table, unsigned cpus)
{
	const struct madt madt = {.local_apic = (u32)LAYOUT_LOCAL_APIC};
	const struct madt_io_apic io_apic = {
		.type = TYPE_IO_APIC, .length = sizeof(io_apic), .address = (u32)LAYOUT_IOAPIC};
	const struct madt_override timer = {.type = TYPE_OVERRIDE,
					    .length = sizeof(timer),
					    .source = TIMER_IRQ,
					    .gsi = TIMER_GSI};

	aml_put(table, &madt, sizeof(madt));
	for (unsigned i = 0; i < cpus; i++) {
		const struct madt_local_apic cpu = {.type = TYPE_LOCAL_APIC,
						    .length = sizeof(cpu),
						    .uid = (u8)i,
						    .id = (u8)i,
						    .flags = LOCAL_APIC_ENABLED};

		aml_put(table, &cpu, sizeof(cpu));
	}
	aml_put(table, &io_apic, sizeof(io_apic));
	aml_put(table, &timer, sizeof(timer));
}
