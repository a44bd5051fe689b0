/*
 * pci - looks at bus 0 as a kernel would, and at what a kernel takes for granted: that both doors
 * to configuration space lead to the same registers, that nothing is where no device is, that
 * capability lists end, that BARs can be sized and moved, and that a device goes on working at its
 * new place.
 *
 * A disk must be there for the last part.
 */
#include "lib/blk.h"

#define MEMORY_PLACE 0xd8000000ull /* inside the bridge's windows, and free */
#define IO_PLACE     0xe000u

static struct virtio v;
static u32 data[SECTOR / 4];
static bool ecam;

static u32 ones(unsigned width)
{
	return width == 4 ? 0xffffffff : (1u << 8 * width) - 1;
}

/* ---- what is there, and what isn't ---- */

static bool all_ones(u16 bdf)
{
	static const u8 regs[] = {PCI_VENDOR, PCI_COMMAND, PCI_BAR(0), 0xfc};

	for (unsigned i = 0; i < sizeof(regs); i++)
		for (unsigned width = 1; width <= 4; width *= 2)
			if (pci_read(bdf, regs[i], width) != ones(width) ||
			    (ecam && ecam_read(bdf, regs[i], width) != ones(width)))
				return false;
	return true;
}

static void enumerate(void)
{
	unsigned absent = 0;

	for (u32 bdf = 0; bdf < 0x200; bdf++) { /* bus 0, and bus 1, which is none */
		if (bdf < 0x100 && pci_present((u16)bdf)) {
			print("slot %u: %04x:%04x class %04x decoding %s\n", bdf >> 3,
			      pci_read((u16)bdf, PCI_VENDOR, 2), pci_read((u16)bdf, PCI_DEVICE, 2),
			      pci_read((u16)bdf, PCI_CLASS, 2),
			      pci_read((u16)bdf, PCI_COMMAND, 2) & 3 ? "on" : "off");
			continue;
		}
		pci_write((u16)bdf, PCI_COMMAND, 2, 0xffff);
		if (!all_ones((u16)bdf))
			print("WRONG: nothing at %x:%x.%x, and it answers\n", bdf >> 8,
			      bdf >> 3 & 31, bdf & 7);
		absent++;
	}
	print("%u functions absent\n", absent);
	/* An unused function 0 ends the search of a slot, and slot 0 must have one. */
	if (absent < 0x200 && !pci_present(0))
		print("WRONG: no host bridge\n");
}

/* ---- the address port, PCI 3.0, 3.2.2.3.2 ---- */

static void address_port(void)
{
	const u32 address = PCI_CONFIG_ENABLE | 0x38;

	outl(PCI_CONFIG_ADDRESS, address);
	if (inl(PCI_CONFIG_ADDRESS) != address)
		print("WRONG: port cf8 reads %08x\n", inl(PCI_CONFIG_ADDRESS));
	outb(PCI_CONFIG_ADDRESS, 0x55); /* only whole dwords are for the address */
	outw(PCI_CONFIG_ADDRESS, 0x0055);
	if (inl(PCI_CONFIG_ADDRESS) != address)
		print("WRONG: a byte to port cf8 made it %08x\n", inl(PCI_CONFIG_ADDRESS));
	outl(PCI_CONFIG_ADDRESS, 0); /* the host bridge's identity, but not enabled */
	if (inl(PCI_CONFIG_DATA) != 0xffffffff || inw(PCI_CONFIG_DATA) != 0xffff)
		print("WRONG: port cfc reads %08x while it is off\n", inl(PCI_CONFIG_DATA));
	outl(PCI_CONFIG_DATA, 0);
	print("address port tried\n");
}

/* ---- both doors ---- */

static void compare_doors(u16 bdf)
{
	unsigned wrong = 0;

	for (u32 reg = 0; reg < 256; reg++) {
		u32 byte = pci_read(bdf, reg, 1);

		wrong += byte != ecam_read(bdf, reg, 1);
		for (unsigned width = 2; width <= 4; width *= 2) {
			u32 value = 0;

			if (reg % width)
				continue;
			for (unsigned i = width; i--;)
				value = value << 8 | pci_read(bdf, reg + i, 1);
			wrong += value != pci_read(bdf, reg, width);
			wrong += value != ecam_read(bdf, reg, width);
		}
	}
	/* What is written to by the one is read by the other, in every width. */
	for (unsigned width = 1; width <= 4; width *= 2) {
		const u32 old = pci_read(bdf, PCI_INTERRUPT_LINE, 4);

		pci_write(bdf, PCI_INTERRUPT_LINE, width, (old & ~0xffu) | 0x5a);
		wrong += ecam_read(bdf, PCI_INTERRUPT_LINE, 1) != 0x5a;
		ecam_write(bdf, PCI_INTERRUPT_LINE, width, old);
		wrong += pci_read(bdf, PCI_INTERRUPT_LINE, 4) != old;
	}
	if (wrong)
		print("WRONG: slot %u: %u registers differ\n", bdf >> 3, wrong);
}

/* Conventional PCI: no extended capability, which zeros or all-ones say. */
static void extended_space(u16 bdf)
{
	const u32 first = ecam_read(bdf, 0x100, 4);

	if (first != 0 && first != 0xffffffff)
		return; /* it has some */
	for (u32 reg = 0x100; reg < 0x1000; reg += 60) {
		ecam_write(bdf, reg, 4, 0x12345678);
		if (ecam_read(bdf, reg, 4) != first) {
			print("WRONG: slot %u has something at %x\n", bdf >> 3, reg);
			return;
		}
	}
}

/* ---- one function's registers ---- */

static void read_only_registers(u16 bdf)
{
	static const u8 fixed[] = {PCI_VENDOR, PCI_REVISION, PCI_SUBSYSTEM - 2, PCI_CAPABILITIES};
	u32 pin = pci_read(bdf, PCI_INTERRUPT_PIN, 1);

	for (unsigned i = 0; i < sizeof(fixed); i++) {
		u32 before = pci_read(bdf, fixed[i], 4);

		pci_write(bdf, fixed[i], 4, ~before);
		if (pci_read(bdf, fixed[i], 4) != before)
			print("WRONG: slot %u: register %x can be written\n", bdf >> 3, fixed[i]);
	}
	pci_write(bdf, PCI_INTERRUPT_PIN, 1, ~pin);
	if (pci_read(bdf, PCI_INTERRUPT_PIN, 1) != pin)
		print("WRONG: slot %u: the interrupt pin can be written\n", bdf >> 3);
	if (pci_read(bdf, PCI_HEADER_TYPE, 1) & 0x7f)
		print("WRONG: slot %u: header type %x\n", bdf >> 3,
		      pci_read(bdf, PCI_HEADER_TYPE, 1));
}

static void capabilities(u16 bdf)
{
	u32 at, next;
	unsigned count = 0;

	if (!(pci_read(bdf, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES))
		return;
	print("slot %u capabilities:", bdf >> 3);
	for (at = pci_read(bdf, PCI_CAPABILITIES, 1); at; at = next) {
		if (at < 0x40 || at % 4 || ++count > 48) { /* the header, or a loop */
			print(" WRONG: %x", at);
			break;
		}
		next = pci_read(bdf, at + 1, 1);
		print(" %02x", pci_read(bdf, at, 1));
		/* The length of a vendor's capability; the next may not begin within. */
		if (pci_read(bdf, at, 1) == PCI_CAPABILITY_VENDOR &&
		    (pci_read(bdf, at + 2, 1) < 16 ||
		     (next > at && next < at + pci_read(bdf, at + 2, 1))))
			print(" WRONG: length %u", pci_read(bdf, at + 2, 1));
	}
	print("\n");
}

static void bars(u16 bdf)
{
	for (unsigned n = 0; n < PCI_BARS; n++) {
		u32 before = pci_read(bdf, PCI_BAR(n), 4);
		struct area area = pci_bar(bdf, n);

		if (pci_read(bdf, PCI_BAR(n), 4) != before)
			print("WRONG: slot %u bar %u does not take its own value\n", bdf >> 3, n);
		if (!area.length)
			continue;
		print("slot %u bar %u: %s %lx length %lx\n", bdf >> 3, n,
		      area.io ? "ports" : "memory", area.base, area.length);
		if (area.length & (area.length - 1) || area.base % area.length || !area.base)
			print("WRONG: not a power of two, or not aligned to it\n");
		if (!area.io && before & 4)
			n++; /* the upper half of 64 bits */
	}
}

/* ---- the disk, here and there ---- */

static void serve(const char *where)
{
	const unsigned before = virtio_queue_irqs;
	u8 status;

	memset(data, 0, sizeof(data));
	status = blk_read(&v, 3, data, 1);
	print("%s: status %u %s\n", where, status,
	      blk_has_pattern(data, 3, 1, 0) ? "served" : "WRONG data");
	/* The answer may be there before its interrupt, which has to come all the same. */
	irq_off();
	while (virtio_queue_irqs == before)
		sleep_until_irq();
}

static void expect_nothing(const struct area *area)
{
	for (u64 at = 0; at + 4 <= area->length; at += at < 64 ? 4 : 252)
		for (unsigned width = 1; width <= 4; width *= 2)
			if (area_read(area, at, width) != ones(width)) {
				print("WRONG: %s %lx still answers\n", area->io ? "port" : "memory",
				      area->base + at);
				return;
			}
	area_write(area, 0, 4, 0);
}

static void decode(u32 bits)
{
	pci_write(v.bdf, PCI_COMMAND, 2, PCI_COMMAND_MASTER | bits);
}

/* Moves all BARs of the disk while it is at work; `decoding`: without switching them off first. */
static void move(u64 memory, u32 ports, bool decoding)
{
	struct area old[PCI_BARS];
	u64 at;

	for (unsigned n = 0; n < PCI_BARS; n++) {
		const u32 type = pci_read(v.bdf, PCI_BAR(n), 4) & 7;

		old[n] = pci_bar(v.bdf, n);
		if (!old[n].length)
			continue;
		at = old[n].io ? ports : memory;
		if (!decoding)
			decode(0);
		pci_move_bar(v.bdf, n, at);
		decode(PCI_COMMAND_ALL);
		if (pci_bar(v.bdf, n).base != at)
			print("WRONG: bar %u is at %lx instead of %lx\n", n, pci_bar(v.bdf, n).base,
			      at);
		if (old[n].io)
			ports += 0x100;
		else
			memory += old[n].length > 0x10000 ? old[n].length : 0x10000;
		if (type == 4)
			old[++n].length = 0;
	}
	for (unsigned n = 0; n < PCI_BARS; n++)
		if (old[n].length)
			expect_nothing(&old[n]);
	virtio_pci_discover(&v);
}

static void decoding_off(u32 bits, bool io)
{
	decode(PCI_COMMAND_ALL & ~bits);
	for (unsigned n = 0; n < PCI_BARS; n++) {
		struct area area = pci_bar(v.bdf, n);

		if (area.length && area.io == io)
			expect_nothing(&area);
		if (!area.io && pci_read(v.bdf, PCI_BAR(n), 4) & 4)
			n++;
	}
}

/* A masked vector's interrupt waits, is seen to be pending, and comes with the unmasking. */
static void masked_interrupts(void)
{
	unsigned before = virtio_queue_irqs;
	bool pending;

	msix_mask(&v.msix, 1, true);
	v.queue[0].interrupts = false; /* blk_read() polls */
	blk_read(&v, 3, data, 1);
	/* The device may interrupt a little after it has filled the used ring. */
	while (!(pending = msix_pending(&v.msix, 1)) && virtio_queue_irqs == before)
		pause();
	print("masked: %s, ", pending ? "pending" : "WRONG: it came");
	irq_off();
	msix_mask(&v.msix, 1, false);
	while (virtio_queue_irqs == before)
		sleep_until_irq();
	print("unmasked: came%s\n", msix_pending(&v.msix, 1) ? " WRONG: and pending" : "");
	v.queue[0].interrupts = true;
}

/* ---- registers by way of configuration space, virtio 1.2, 4.1.4.9 ---- */

static void access_capability(void)
{
	const u8 access = virtio_pci_access(&v);
	unsigned wrong = 0;

	if (!access) {
		print("no access capability\n");
		return;
	}
	decode(0); /* it needs no BAR to answer */
	for (u32 at = 0; at < 0x38; at += 4) {
		u32 direct, by_access = virtio_pci_access_read(v.bdf, access, 0, at, 4);

		decode(PCI_COMMAND_ALL);
		direct = area_read(&v.common, at, 4);
		decode(0);
		wrong += direct != by_access;
	}
	/* device_status is a byte at 0x14, queue_select a word at 0x16. */
	virtio_pci_access_write(v.bdf, access, 0, 0x14, 1, 0);
	while (virtio_pci_access_read(v.bdf, access, 0, 0x14, 1))
		pause();
	virtio_pci_access_write(v.bdf, access, 0, 0x14, 1, STATUS_ACKNOWLEDGE);
	wrong += virtio_pci_access_read(v.bdf, access, 0, 0x14, 1) != STATUS_ACKNOWLEDGE;
	virtio_pci_access_write(v.bdf, access, 0, 0x16, 2, 0x1234);
	wrong += virtio_pci_access_read(v.bdf, access, 0, 0x16, 2) != 0x1234;
	decode(PCI_COMMAND_ALL);
	wrong += virtio_read(&v, REG_STATUS) != STATUS_ACKNOWLEDGE;
	wrong += virtio_read(&v, REG_QUEUE_SELECT) != 0x1234;
	print("access capability: %u registers differ%s\n", wrong, wrong ? " WRONG" : "");
}

/* ---- the interrupt line, PCI 3.0, 2.2.6 and 6.2.3 ---- */

static bool line_is_up(void)
{
	return pci_read(v.bdf, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT;
}

/* One read with the interrupts off: its interrupt is to be seen in the registers alone. */
static void silent_read(void)
{
	v.queue[0].interrupts = false;
	irq_off();
	blk_read(&v, 3, data, 1);
}

static void interrupt_line(void)
{
	unsigned before;

	virtio_start(&v, 0, VIRTIO_LINE);
	if (v.gsi == ~0u || pci_read(v.bdf, PCI_INTERRUPT_PIN, 1) != 1) {
		print("no interrupt pin\n");
		return;
	}
	/* The status bit tells of the interrupt whether the pin is let to or not. */
	pci_write(v.bdf, PCI_COMMAND, 2, PCI_COMMAND_ALL | PCI_COMMAND_NO_INTX);
	before = virtio_queue_irqs;
	silent_read();
	for (u32 i = 0; i < 1000; i++) {
		irq_on();
		pause();
		irq_off();
	}
	print("line disabled: %s, ", virtio_queue_irqs == before ? "silent" : "WRONG: it came");
	pci_write(v.bdf, PCI_COMMAND, 2, PCI_COMMAND_ALL);
	while (virtio_queue_irqs == before)
		sleep_until_irq();
	print("enabled: came%s\n", line_is_up() ? " WRONG: and stays" : "");

	before = virtio_queue_irqs;
	silent_read();
	while (!line_is_up()) /* a little after the answer */
		pause();
	if (area_read(&v.isr, 0, 1) != ISR_QUEUE)
		print("WRONG: the reason is another\n");
	if (area_read(&v.isr, 0, 1) || line_is_up())
		print("WRONG: reading the reason does not take it away\n");
	print("line read away\n");
	virtio_reset(&v);
}

static void work_and_move(void)
{
	struct area old[PCI_BARS];

	if (!virtio_find(&v, VIRTIO_BLOCK, 0, VIRTIO_ON_PCI)) {
		print("no disk\n");
		return;
	}
	for (unsigned n = 0; n < PCI_BARS; n++)
		old[n] = pci_bar(v.bdf, n);
	if (!virtio_start(&v, 0, VIRTIO_MSIX)) {
		print("WRONG: the device does not agree to VERSION_1\n");
		return;
	}
	serve("at its place");
	masked_interrupts();
	for (v.notify_used = 0; v.notify_used < v.notify_areas; v.notify_used++)
		serve(v.notify[v.notify_used].area.io ? "notify by port" : "notify by memory");
	move(MEMORY_PLACE, IO_PLACE, false);
	for (v.notify_used = 0; v.notify_used < v.notify_areas; v.notify_used++)
		serve(v.notify[v.notify_used].area.io ? "moved, notify by port"
						      : "moved, notify by memory");
	move(MEMORY_PLACE + 0x1000000, IO_PLACE - 0x400, true);
	for (v.notify_used = 0; v.notify_used < v.notify_areas; v.notify_used++)
		serve(v.notify[v.notify_used].area.io ? "moved while decoding, notify by port"
						      : "moved while decoding, notify by memory");
	v.notify_used = 0;
	decoding_off(PCI_COMMAND_MEMORY, false);
	decoding_off(PCI_COMMAND_IO, true);
	decode(PCI_COMMAND_ALL);
	serve("decoding off and on");
	virtio_reset(&v);
	decode(0);
	for (unsigned n = 0; n < PCI_BARS; n++)
		if (old[n].length)
			pci_move_bar(v.bdf, n, old[n].base);
	decode(PCI_COMMAND_ALL);
	virtio_pci_discover(&v);
	virtio_start(&v, 0, VIRTIO_MSIX);
	serve("back");
	interrupt_line();
	access_capability();
}

void guest_main(void)
{
	ecam = ecam_area().base != 0;
	print("ecam %lx length %lx\n", ecam_area().base, ecam_area().length);
	enumerate();
	if (pci_present(0))
		address_port();
	for (u16 bdf = 0; bdf < 0x100; bdf++) {
		if (!pci_present(bdf))
			continue;
		if (ecam) {
			compare_doors(bdf);
			extended_space(bdf);
		}
		read_only_registers(bdf);
		capabilities(bdf);
		bars(bdf);
	}
	work_and_move();
	print("pci done\n");
}
