/*
 * hostile-pci - a driver that misuses what PCI gives it: interrupt messages to nowhere, vectors
 * that the table doesn't have, BARs laid over RAM and over each other, configuration space filled
 * with garbage. In the end everything is put back, and the disk must serve.
 *
 * No interrupt is ever taken here: they stay off, and what arrives at the local APIC waits there.
 */
#include "lib/hostile.h"

/* Delivery to the CPU's own APIC by these modes would end the guest, by its own wish. */
#define NOBODY 0x55u /* an APIC id that no CPU has */

static u32 saved[64];

/* ---- MSI-X ---- */

static void use_msix(void)
{
	restart();
	msix_enable(disk.bdf, &disk.msix, true);
	virtio_write(&disk, REG_QUEUE_SELECT, 0);
	virtio_write(&disk, REG_QUEUE_VECTOR, 1);
	virtio_write(&disk, REG_CONFIG_VECTOR, 0);
	want_interrupt();
}

static void entry(unsigned n, u64 address, u32 message, u32 control)
{
	const u64 at = 16ull * n;

	area_write(&disk.msix.table, at + MSIX_ENTRY_ADDRESS_LOW, 4, (u32)address);
	area_write(&disk.msix.table, at + MSIX_ENTRY_ADDRESS_HIGH, 4, (u32)(address >> 32));
	area_write(&disk.msix.table, at + MSIX_ENTRY_DATA, 4, message);
	area_write(&disk.msix.table, at + MSIX_ENTRY_CONTROL, 4, control);
}

static void expect_service(const char *what, u64 n)
{
	if (!good_service())
		print("WRONG: no service, %s %lx ", what, n);
	want_interrupt();
}

static void nonsense_addresses(void)
{
	const u64 addresses[] = {0,
				 1,
				 0x1000,
				 HOLE,
				 ram_end,
				 0xfec00000,
				 0xfed00000,
				 0xfeefffff,
				 0xfef00000,
				 0xffffffff,
				 0xfee00000ull | NOBODY << 12,
				 0xfee00004ull | NOBODY << 12,
				 0xfeeff00c,
				 0x1fee00000,
				 ~0ull,
				 1ull << 63,
				 0xfee00000ull | 1ull << 40,
				 disk.common.base,
				 disk.msix.table.base};

	use_msix();
	for (unsigned i = 0; i < COUNT(addresses); i++) {
		entry(1, addresses[i], 0x41, 0);
		expect_service("message to", addresses[i]);
	}
}

static void nonsense_data(void)
{
	use_msix();
	for (u32 i = 0; i < 32; i++) {
		entry(1, 0xfee00000ull | NOBODY << 12, 1u << i, 0);
		expect_service("data", 1u << i);
		entry(1, 0xfee00000ull | NOBODY << 12, ~0u << i, 0);
		expect_service("data", ~0u << i);
	}
	for (u32 vector = 0; vector < 256; vector += 5) {
		entry(1, MSI_ADDRESS, vector, 0);
		expect_service("vector", vector);
	}
}

static void table_beyond_its_end(void)
{
	const struct area table = {disk.msix.table.base, disk.msix.table.length + 256, false};

	use_msix();
	for (u64 at = 0; at < table.length; at += 4) {
		area_read(&table, at, 4);
		area_write(&disk.msix.pending, at % disk.msix.pending.length / 4 * 4, 4, ~0u);
	}
	expect_service("table read to", table.length);
}

static void mask_storm(void)
{
	use_msix();
	msix_set(&disk.msix, 1, 0x41);
	for (unsigned i = 0; i < 1000; i++) {
		msix_mask(&disk.msix, 1, i & 1);
		if (i % 100 == 0)
			expect_service("mask", i);
	}
	for (unsigned i = 0; i < 1000; i++) {
		pci_write(disk.bdf, disk.msix.capability + MSIX_CONTROL, 2,
			  i * 0x4000 | (i % 3 ? MSIX_CONTROL_ENABLE : 0));
		if (i % 100 == 0)
			expect_service("control", i);
	}
}

static void rewrite_storm(void) /* a message that changes all the time, unmasked */
{
	use_msix();
	for (unsigned i = 0; i < 1000; i++) {
		area_write(&disk.msix.table, 16 + MSIX_ENTRY_DATA, 4, 0x30 + i % 100);
		if (i % 100 == 0)
			expect_service("message", i);
	}
}

static void vectors_out_of_range(void)
{
	static const u16 vectors[] = {17, 64, 0x7ff, 0x800, 0x7fff, 0xfffe};

	use_msix();
	for (unsigned i = 0; i < COUNT(vectors); i++) {
		if (vectors[i] < disk.msix.entries)
			continue;
		virtio_write(&disk, REG_QUEUE_VECTOR, vectors[i]);
		if (virtio_read(&disk, REG_QUEUE_VECTOR) != VIRTIO_NO_VECTOR)
			print("WRONG: queue vector %x is taken ", vectors[i]);
		virtio_write(&disk, REG_CONFIG_VECTOR, vectors[i]);
		if (virtio_read(&disk, REG_CONFIG_VECTOR) != VIRTIO_NO_VECTOR)
			print("WRONG: configuration vector %x is taken ", vectors[i]);
		expect_service("vector", vectors[i]);
	}
	for (u16 i = 0; i < disk.msix.entries; i++) {
		virtio_write(&disk, REG_QUEUE_VECTOR, i);
		expect_service("vector", i);
	}
}

/* ---- BARs ---- */

static bool bar_is_io(unsigned n)
{
	return pci_read(disk.bdf, PCI_BAR(n), 4) & 1;
}

static void save(void)
{
	for (u32 i = 0; i < 64; i++)
		saved[i] = pci_read(disk.bdf, i * 4, 4);
}

/* Without decoding while it is put back: the old place, at which it has been shut off, is free. */
static void put_back(void)
{
	pci_write(disk.bdf, PCI_COMMAND, 2, 0);
	for (u32 i = 1; i < 64; i++)
		if (i != PCI_COMMAND / 4)
			pci_write(disk.bdf, i * 4, 4, saved[i]);
	pci_write(disk.bdf, PCI_COMMAND, 2, PCI_COMMAND_ALL | PCI_COMMAND_NO_INTX);
}

/* Lays a BAR over `place` while the device is at work, and looks whether RAM is still RAM. */
static void lay_over(unsigned bar, u64 place)
{
	const u32 version = lapic_read(LAPIC_VERSION);
	volatile u32 *ram = (volatile u32 *)request.guard_before;

	save();
	pci_move_bar(disk.bdf, bar, place);
	*ram = 0x600df00d;
	if (*ram != 0x600df00d)
		print("WRONG: RAM is gone with bar %u at %lx ", bar, place);
	if (lapic_read(LAPIC_VERSION) != version)
		print("WRONG: the APIC is gone with bar %u at %lx ", bar, place);
	virtio_notify(&disk, 0); /* where it was: nobody listens, or somebody else */
	put_back();
	expect_service("bar after", place);
}

static void bars_over_everything(void)
{
	const u64 places[] = {0,
			      (u64)&request & ~0xfffull,
			      (u64)&request & ~0xffffull,
			      (u64)image_start & ~0xffffffull,
			      0x1000,
			      0xe0000,
			      ram_end - 0x1000,
			      ram_end & ~0xffffull,
			      ram_end,
			      HOLE,
			      ecam_area().base,
			      0xfec00000,
			      0xfee00000,
			      0xfffbc000 & ~0xffffull,
			      0xfff00000,
			      0xffff0000,
			      0xfffffff0};

	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		if (!pci_bar(disk.bdf, bar).length || bar_is_io(bar))
			continue;
		for (unsigned i = 0; i < COUNT(places); i++)
			lay_over(bar, places[i]);
		if (pci_read(disk.bdf, PCI_BAR(bar), 4) & 4)
			bar++;
	}
}

static void ports_over_everything(void)
{
	static const u16 places[] = {0,     0x20,  0x40,  0x60,  0x3f8,  0x3fc,
				     0x500, 0x600, 0xcf8, 0xcfc, 0xfffc, 0xff00};

	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		if (!pci_bar(disk.bdf, bar).length || !bar_is_io(bar))
			continue;
		for (unsigned i = 0; i < COUNT(places); i++)
			lay_over(bar, places[i]);
	}
	print("(this came by port 3f8)"); /* and so would it not, if the disk were there */
}

static void bars_over_each_other(void)
{
	static struct virtio other;
	u32 place, id, length;

	if (!virtio_find(&other, VIRTIO_RNG, 0, VIRTIO_ON_PCI)) {
		print("WRONG: no second device ");
		return;
	}
	virtio_start(&other, 0, VIRTIO_POLL); /* its doorbells are laid, too */
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		if (!pci_bar(disk.bdf, bar).length)
			continue;
		place = pci_read(other.bdf, PCI_BAR(bar), 4);
		save();
		pci_write(disk.bdf, PCI_BAR(bar), 4, place);
		for (unsigned i = 0; i < 4; i++) {
			virtio_read(&disk, REG_STATUS);
			virtio_read(&other, REG_STATUS);
			virtio_notify(&disk, 0);
			virtio_notify(&other, 0);
		}
		put_back();
		expect_service("bar", bar);
	}
	other.queue[0].desc[0] = (struct virtq_desc){(u64)request.indirect, 16, DESC_WRITE, 0};
	virtq_offer(&other.queue[0], 0);
	virtio_notify(&other, 0);
	virtq_wait(&other.queue[0], &id, &length);
	if (length == 0 || length > 16)
		print("WRONG: the other device is gone ");
	virtio_reset(&other);
}

/* All of one function's BARs at the same place, which no bridge can mean. */
static void bars_on_the_same_place(void)
{
	save();
	for (unsigned bar = 0; bar < PCI_BARS; bar++)
		pci_write(disk.bdf, PCI_BAR(bar), 4, 0xd0000000);
	area_read(&(struct area){0xd0000000, 4096, false}, 0, 4);
	put_back();
}

static void decode_storm(void)
{
	for (unsigned i = 0; i < 192; i++) {
		pci_write(disk.bdf, PCI_COMMAND, 2, i & 7);
		if (i % 8 == 7) /* all on */
			virtio_notify(&disk, 0);
		if (i % 96 == 95)
			expect_service("command", i);
	}
	pci_write(disk.bdf, PCI_COMMAND, 2, PCI_COMMAND_ALL | PCI_COMMAND_NO_INTX);
}

static void move_storm(void) /* with chains under way, so that doorbells are taken and laid */
{
	save();
	for (u32 i = 0; i < 40; i++)
		for (unsigned bar = 0; bar < PCI_BARS; bar++)
			if (pci_read(disk.bdf, PCI_BAR(bar), 4))
				pci_write(disk.bdf, PCI_BAR(bar), 4,
					  bar_is_io(bar) ? 0x2000 + i * 0x80
							 : 0xd0000000 + i * 0x80000);
	put_back();
}

/* ---- configuration space ---- */

static void garbage(u16 bdf, u32 pattern)
{
	u32 next = pattern;

	for (unsigned width = 1; width <= 4; width *= 2)
		for (u32 reg = 0; reg < 256; reg += width) {
			next = next == ~0u || next == 0 ? pattern : next * 1103515245 + 12345;
			pci_write(bdf, reg, width, next);
			pci_read(bdf, reg, width);
			if (ecam_area().base) {
				ecam_write(bdf, reg, width, next);
				ecam_read(bdf, reg, width);
			}
		}
}

static void configuration(void)
{
	static const u32 patterns[] = {0, ~0u, 0xa5a5a5a5, 0x12345678, 0xdeadbeef};

	save();
	for (unsigned i = 0; i < COUNT(patterns); i++) {
		garbage(disk.bdf, patterns[i]);
		put_back();
		if (disk.msix.capability)
			msix_enable(disk.bdf, &disk.msix, false);
		restart();
		expect_service("after garbage from", patterns[i]);
	}
}

static void configuration_elsewhere(void)
{
	garbage(PCI_SLOT(0), 0x12345678); /* the bridge */
	garbage(PCI_SLOT(17), 0x12345678);
	garbage(0x100, 0x12345678);
	garbage(0xffff & ~7u, 0x12345678);
}

/* The capability that leads to the BARs' registers, 4.1.4.9, aimed at everything. */
static void access_everywhere(void)
{
	static const u8 bars[] = {0, 1, 2, 5, 6, 7, 8, 255};
	static const u32 offsets[] = {0,      1,          3,          0x14,      0x37,   0x38,
				      0xffc,  0x1000,     0x1ffc,     0x1ffe,    0x1fff, 0x2000,
				      0x3000, 0x7fffffff, 0xfffffffc, 0xffffffff};
	static const u32 widths[] = {0, 1, 2, 3, 4, 5, 8, 0x80000000, 0xffffffff};
	const u8 access = virtio_pci_access(&disk);

	if (!access) {
		print("not here");
		return;
	}
	for (unsigned i = 0; i < COUNT(bars); i++)
		for (unsigned j = 0; j < COUNT(offsets); j++)
			for (unsigned k = 0; k < COUNT(widths); k++) {
				virtio_pci_access_read(disk.bdf, access, bars[i], offsets[j],
						       widths[k]);
				virtio_pci_access_write(disk.bdf, access, bars[i], offsets[j],
							widths[k], 0xffffffff);
			}
	virtio_reset(&disk);
}

/* The bytes of port 0xcf9 are the reset control, and are left alone. */
static void configuration_ports(void)
{
	for (u32 i = 0; i < 32; i++) {
		outl(PCI_CONFIG_ADDRESS, 1u << i);
		outl(PCI_CONFIG_DATA, ~0u);
		inl(PCI_CONFIG_DATA);
	}
	outl(PCI_CONFIG_ADDRESS, PCI_CONFIG_ENABLE | (u32)disk.bdf << 8 | PCI_INTERRUPT_LINE);
	inl(PCI_CONFIG_ADDRESS + 1);
	inl(PCI_CONFIG_ADDRESS + 2);
	inl(PCI_CONFIG_DATA - 1);
	inl(PCI_CONFIG_DATA + 1);
	inl(PCI_CONFIG_DATA + 3);
	inw(PCI_CONFIG_DATA + 3);
	outl(PCI_CONFIG_DATA + 1, 0x77777777);
	outl(PCI_CONFIG_DATA + 3, 0x77777777);
	if (ecam_area().base)
		for (u32 reg = 1; reg < 0x1000; reg += 3) {
			ecam_read(disk.bdf, reg, 4);
			ecam_read(disk.bdf, reg, 2);
		}
}

static const struct hostile_case cases[] = {
	{"messages to nonsense addresses", SELF, nonsense_addresses},
	{"messages with nonsense data", SELF, nonsense_data},
	{"the table beyond its end", SELF, table_beyond_its_end},
	{"masking storm", SELF, mask_storm},
	{"rewriting storm", SELF, rewrite_storm},
	{"vectors out of range", SELF, vectors_out_of_range},
	{"bars over everything", SELF, bars_over_everything},
	{"ports over everything", SELF, ports_over_everything},
	{"bars over each other", SELF, bars_over_each_other},
	{"bars on the same place", SELF, bars_on_the_same_place},
	{"decoding storm", SELF, decode_storm},
	{"moving storm", SELF, move_storm},
	{"garbage in configuration space", SELF, configuration},
	{"garbage elsewhere", SELF, configuration_elsewhere},
	{"access to everywhere", SELF, access_everywhere},
	{"configuration ports", SELF, configuration_ports},
};

void guest_main(void)
{
	hostile_run("hostile-pci", cases, COUNT(cases));
}
