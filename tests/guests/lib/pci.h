/*
 * PCI from a driver's side: configuration space by both of its doors, base address registers,
 * capabilities, and MSI-X.
 *
 * A function of the bus is named by 16 bits, "bdf": bus (8 bits), slot (5), function (3).
 *
 * Sources: PCI Local Bus Specification 3.0, 3.2.2.3.2 (configuration mechanism #1), 6
 * (configuration space), 6.7 (capabilities), 6.8.2 (MSI-X); PCI Express Base Specification 4.0,
 * 7.2.2 (ECAM).
 */
#ifndef GUEST_PCI_H
#define GUEST_PCI_H

#include "lib.h"

#define PCI_SLOTS   32
#define PCI_SLOT(n) ((u16)((n) << 3))

#define PCI_CONFIG_ADDRESS 0xcf8
#define PCI_CONFIG_DATA    0xcfc
#define PCI_CONFIG_ENABLE  0x80000000u

#define PCI_VENDOR         0x00
#define PCI_DEVICE         0x02
#define PCI_COMMAND        0x04
#define PCI_STATUS         0x06
#define PCI_REVISION       0x08
#define PCI_CLASS          0x0a /* subclass and class; the interface is at 0x09 */
#define PCI_HEADER_TYPE    0x0e
#define PCI_BAR(n)         (0x10u + 4u * (n))
#define PCI_SUBSYSTEM      0x2e
#define PCI_CAPABILITIES   0x34
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN  0x3d
#define PCI_BARS           6

#define PCI_COMMAND_IO          0x001
#define PCI_COMMAND_MEMORY      0x002
#define PCI_COMMAND_MASTER      0x004
#define PCI_COMMAND_NO_INTX     0x400
#define PCI_COMMAND_ALL         (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)
#define PCI_STATUS_INTERRUPT    0x08
#define PCI_STATUS_CAPABILITIES 0x10

#define PCI_CAPABILITY_VENDOR 0x09
#define PCI_CAPABILITY_MSIX   0x11

/* ---- a stretch of I/O ports or of memory ---- */

struct area {
	u64 base; /* 0: there is none */
	u64 length;
	bool io;
};

u32 area_read(const struct area *area, u64 offset, unsigned width);
void area_write(const struct area *area, u64 offset, unsigned width, u32 v);

/* ---- configuration space ---- */

u32 pci_read(u16 bdf, u32 reg, unsigned width); /* by ports 0xcf8 and 0xcfc */
void pci_write(u16 bdf, u32 reg, unsigned width, u32 v);

/* The same by memory, where the ACPI table MCFG says; an area of base 0 when there is none. */
struct area ecam_area(void);
u32 ecam_read(u16 bdf, u32 reg, unsigned width);
void ecam_write(u16 bdf, u32 reg, unsigned width, u32 v);

static inline bool pci_present(u16 bdf)
{
	return pci_read(bdf, PCI_VENDOR, 2) != 0xffff;
}

/* The n-th function on bus 0 with these identities; n counts from 0. */
bool pci_find(u16 vendor, u16 device, unsigned n, u16 *bdf);

/* The next capability of this kind behind `after` (0: the first), or 0. */
u8 pci_capability(u16 bdf, u8 id, u8 after);

/* Where base address register n points, and how much it decodes. */
struct area pci_bar(u16 bdf, unsigned n);
void pci_move_bar(u16 bdf, unsigned n, u64 base);

/* Where the function's interrupt pin A leads at the I/O APIC, by ACPI; ~0: it isn't told. */
u32 pci_line_gsi(u16 bdf);

/* ---- MSI-X ---- */

#define MSIX_CONTROL        2 /* in the capability */
#define MSIX_TABLE          4
#define MSIX_PBA            8
#define MSIX_CONTROL_ENABLE 0x8000
#define MSIX_CONTROL_MASK   0x4000

#define MSIX_ENTRY_ADDRESS_LOW  0 /* in an entry of the table */
#define MSIX_ENTRY_ADDRESS_HIGH 4
#define MSIX_ENTRY_DATA         8
#define MSIX_ENTRY_CONTROL      12
#define MSIX_ENTRY_MASKED       1

#define MSI_ADDRESS 0xfee00000u /* bits 12 to 19: the target's local APIC id */

struct msix {
	u8 capability; /* 0: the function has none */
	u16 entries;
	struct area table, pending;
};

struct msix msix_find(u16 bdf);
void msix_set(const struct msix *msix, unsigned entry, u8 vector); /* to this CPU; unmasked */
void msix_mask(const struct msix *msix, unsigned entry, bool masked);
bool msix_pending(const struct msix *msix, unsigned entry);
void msix_enable(u16 bdf, const struct msix *msix, bool on);

#endif
