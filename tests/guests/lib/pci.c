/*
 * PCI, see pci.h. Nothing here knows what kind of device it talks to.
 *
 * Configuration space is where a function tells what it is and where it is told at which addresses
 * to answer. It has two doors. The older is a pair of ports: an address is written to the one, and
 * the other is then a window to four bytes there. The newer is a stretch of memory with 4 KiB for
 * each function; the ACPI table MCFG tells where.
 */
#include "pci.h"

#define BAR_IO           1u /* in a base address register, PCI 3.0, 6.2.5.1 */
#define BAR_TYPE_64      4u
#define BAR_TYPE_MASK    6u
#define BAR_IO_FLAGS     3u
#define BAR_MEMORY_FLAGS 15u

u32 area_read(const struct area *area, u64 offset, unsigned width)
{
	u64 at = area->base + offset;

	if (area->io)
		return width == 1 ? inb((u16)at) : width == 2 ? inw((u16)at) : inl((u16)at);
	return width == 1   ? *(volatile u8 *)at
	       : width == 2 ? *(volatile u16 *)at
			    : *(volatile u32 *)at;
}

void area_write(const struct area *area, u64 offset, unsigned width, u32 v)
{
	u64 at = area->base + offset;

	if (area->io && width == 1)
		outb((u16)at, (u8)v);
	else if (area->io && width == 2)
		outw((u16)at, (u16)v);
	else if (area->io)
		outl((u16)at, v);
	else if (width == 1)
		*(volatile u8 *)at = (u8)v;
	else if (width == 2)
		*(volatile u16 *)at = (u16)v;
	else
		*(volatile u32 *)at = v;
}

/* ---- configuration space ---- */

static const struct area config_data = {.base = PCI_CONFIG_DATA, .length = 4, .io = true};

u32 pci_read(u16 bdf, u32 reg, unsigned width)
{
	outl(PCI_CONFIG_ADDRESS, PCI_CONFIG_ENABLE | (u32)bdf << 8 | (reg & 0xfc));
	return area_read(&config_data, reg & 3, width);
}

void pci_write(u16 bdf, u32 reg, unsigned width, u32 v)
{
	outl(PCI_CONFIG_ADDRESS, PCI_CONFIG_ENABLE | (u32)bdf << 8 | (reg & 0xfc));
	area_write(&config_data, reg & 3, width, v);
}

struct area ecam_area(void)
{
	static struct area area;
	const u8 *mcfg;

	if (area.length || !(mcfg = acpi_table("MCFG")))
		return area;
	/* The first entry, behind 36 bytes of header and 8 reserved: base, segment, buses. */
	memcpy(&area.base, mcfg + 44, sizeof(area.base));
	area.length = ((u64)mcfg[55] + 1) << 20;
	return area;
}

static u64 ecam_offset(u16 bdf, u32 reg)
{
	return (u64)bdf << 12 | reg;
}

u32 ecam_read(u16 bdf, u32 reg, unsigned width)
{
	const struct area area = ecam_area();

	return area_read(&area, ecam_offset(bdf, reg), width);
}

void ecam_write(u16 bdf, u32 reg, unsigned width, u32 v)
{
	const struct area area = ecam_area();

	area_write(&area, ecam_offset(bdf, reg), width, v);
}

bool pci_find(u16 vendor, u16 device, unsigned n, u16 *bdf)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		*bdf = PCI_SLOT(slot);
		if (pci_read(*bdf, PCI_VENDOR, 2) != vendor ||
		    pci_read(*bdf, PCI_DEVICE, 2) != device)
			continue;
		if (n-- == 0)
			return true;
	}
	return false;
}

u8 pci_capability(u16 bdf, u8 id, u8 after)
{
	u32 at = after ? pci_read(bdf, after + 1u, 1) : 0;

	if (!after && pci_read(bdf, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES)
		at = pci_read(bdf, PCI_CAPABILITIES, 1);
	while (at && pci_read(bdf, at, 1) != id)
		at = pci_read(bdf, at + 1, 1);
	return (u8)at;
}

/*
 * How much a register decodes is found by writing ones: those address bits that the function
 * compares stay, the others are wired to 0. Meanwhile it points anywhere, so decoding is off.
 */
struct area pci_bar(u16 bdf, unsigned n)
{
	u32 command = pci_read(bdf, PCI_COMMAND, 2), low = pci_read(bdf, PCI_BAR(n), 4), high = 0;
	u64 mask;
	bool io = low & BAR_IO;
	bool wide = !io && (low & BAR_TYPE_MASK) == BAR_TYPE_64;
	u32 flags = io ? BAR_IO_FLAGS : BAR_MEMORY_FLAGS;

	pci_write(bdf, PCI_COMMAND, 2, command & ~(u32)(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
	pci_write(bdf, PCI_BAR(n), 4, ~0u);
	mask = 0xffffffff00000000 | (pci_read(bdf, PCI_BAR(n), 4) & ~flags);
	pci_write(bdf, PCI_BAR(n), 4, low);
	if (wide) {
		high = pci_read(bdf, PCI_BAR(n + 1), 4);
		pci_write(bdf, PCI_BAR(n + 1), 4, ~0u);
		mask &= (u64)pci_read(bdf, PCI_BAR(n + 1), 4) << 32 | 0xffffffff;
		pci_write(bdf, PCI_BAR(n + 1), 4, high);
	}
	pci_write(bdf, PCI_COMMAND, 2, command);
	if (!(u32)mask) /* a register that takes nothing is none */
		return (struct area){.base = 0};
	if (io) /* the upper half of an I/O register may be wired to 0, too */
		mask |= 0xffffffffffff0000;
	return (struct area){(u64)high << 32 | (low & ~flags), ~mask + 1, io};
}

void pci_move_bar(u16 bdf, unsigned n, u64 base)
{
	u32 low = pci_read(bdf, PCI_BAR(n), 4);

	pci_write(bdf, PCI_BAR(n), 4, (u32)base);
	if (!(low & BAR_IO) && (low & BAR_TYPE_MASK) == BAR_TYPE_64)
		pci_write(bdf, PCI_BAR(n + 1), 4, (u32)(base >> 32));
}

/*
 * The bridge's _PRT in the DSDT has a package for each pin: slot << 16 | 0xffff, pin, source, GSI
 * (ACPI 6.5, 6.2.13). In bytes: a dword (0x0c), two zeros, and a number of one byte (0x0a).
 */
u32 pci_line_gsi(u16 bdf)
{
	const u8 pin_a[] = {0x0c, 0xff, 0xff, (u8)(bdf >> 3), 0, 0, 0, 0x0a};
	const u8 *end, *dsdt = acpi_dsdt(&end), *gsi;

	gsi = behind_bytes(dsdt, end, pin_a, sizeof(pin_a));
	return gsi ? *gsi : ~0u;
}

/* ---- MSI-X ---- */

/* The fields that say where table and pending bits are: a BAR in the low 3 bits, an offset. */
static struct area msix_area(u16 bdf, u32 field, u64 length)
{
	struct area area = pci_bar(bdf, field & 7);

	area.base += field & ~7u;
	area.length = length;
	return area;
}

struct msix msix_find(u16 bdf)
{
	struct msix msix = {.capability = pci_capability(bdf, PCI_CAPABILITY_MSIX, 0)};
	u32 at = msix.capability;

	if (!at)
		return msix;
	msix.entries = (u16)((pci_read(bdf, at + MSIX_CONTROL, 2) & 0x7ff) + 1);
	msix.table = msix_area(bdf, pci_read(bdf, at + MSIX_TABLE, 4), 16u * msix.entries);
	msix.pending =
		msix_area(bdf, pci_read(bdf, at + MSIX_PBA, 4), 8u * ((msix.entries + 63u) / 64));
	return msix;
}

void msix_set(const struct msix *msix, unsigned entry, u8 vector)
{
	u64 at = 16ull * entry;

	msix_mask(msix, entry, true); /* nothing half written is to be sent */
	area_write(&msix->table, at + MSIX_ENTRY_ADDRESS_LOW, 4, MSI_ADDRESS | lapic_id() << 12);
	area_write(&msix->table, at + MSIX_ENTRY_ADDRESS_HIGH, 4, 0);
	area_write(&msix->table, at + MSIX_ENTRY_DATA, 4, vector); /* fixed delivery, edge */
	msix_mask(msix, entry, false);
}

void msix_mask(const struct msix *msix, unsigned entry, bool masked)
{
	area_write(&msix->table, 16ull * entry + MSIX_ENTRY_CONTROL, 4,
		   masked ? MSIX_ENTRY_MASKED : 0);
}

bool msix_pending(const struct msix *msix, unsigned entry)
{
	return area_read(&msix->pending, entry / 32 * 4, 4) >> entry % 32 & 1;
}

void msix_enable(u16 bdf, const struct msix *msix, bool on)
{
	pci_write(bdf, msix->capability + MSIX_CONTROL, 2, on ? MSIX_CONTROL_ENABLE : 0);
}
