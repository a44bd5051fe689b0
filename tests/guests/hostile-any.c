/*
 * hostile-any - a driver of nothing and everything: whatever the machine has besides memory and its
 * interrupt controllers is read and written, at every width and offset, by ports, by memory and
 * through configuration space; in masses; while requests are under way; and at random. Afterwards the
 * registers that a kernel would set are put back, and the disk has to serve.
 *
 * Two things are the guest's own wish and end it: these values are left out. DRIVER_OK, ACPI's S5, the
 * reset by 0xcf9 and the one by the keyboard controller all have bit 2 in a byte, so nothing that is
 * written here has it; and so no device is ever started on rings that garbage describes, which may
 * lie anywhere in memory (hostile-setup starts such). ACPI's reset and pvpanic are skipped. Messages
 * aren't aimed at the local APIC, which could be told to reset the CPU.
 *
 * On the command line: seed=N and seconds=N of the random case, storm=N: how many of each kind (300).
 */
#include "lib/hostile.h"

#define RESET_PORT   0x602u
#define PVPANIC_PORT 0x505u
#define NEVER        0x0404040404040404ull
#define MMIO_PAGES   0xe1000000ull
#define MMIO_LENGTH  0x20000u
#define SECOND_NS    1000000000u
#define PENDING      16u

static u32 saved[PCI_SLOTS][64];
static struct area place[8 + PCI_SLOTS * 3]; /* where there is something, or nothing */
static unsigned places;
static u32 random_state;

static u32 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

/* ---- where to ---- */

static void add_place(struct area area)
{
	if (area.length && places < COUNT(place))
		place[places++] = area;
}

static void find_places(void)
{
	places = 0;
	add_place((struct area){0, 0x10000, true});
	add_place((struct area){COM1, 8, true});
	add_place((struct area){PCI_CONFIG_ADDRESS, 8, true});
	add_place((struct area){MMIO_PAGES, MMIO_LENGTH, false});
	add_place((struct area){0xc0000000, 0x20000000, false});
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		if (!pci_present(PCI_SLOT(slot)))
			continue;
		add_place((struct area){ecam_area().base + slot * 0x8000, 0x1000, false});
		for (unsigned bar = 0; slot && bar < 2; bar++)
			add_place(pci_bar(PCI_SLOT(slot), bar));
		for (u32 i = 0; i < 64; i++)
			saved[slot][i] = pci_read(PCI_SLOT(slot), i * 4, 4);
	}
}

/* As a kernel's first steps: devices at their places, a UART that prints. */
static void put_back(void)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		const u16 bdf = PCI_SLOT(slot);

		if (!saved[slot][0])
			continue;
		pci_write(bdf, PCI_COMMAND, 2, 0);
		for (u32 i = 2; i < 64; i++)
			pci_write(bdf, i * 4, 4, saved[slot][i]);
		pci_write(bdf, PCI_COMMAND, 2, saved[slot][1]);
	}
	if (disk.bus == VIRTIO_ON_PCI)
		pci_write(disk.bdf, PCI_COMMAND, 2, PCI_COMMAND_ALL | PCI_COMMAND_NO_INTX);
	if (disk.bus == VIRTIO_ON_PCI && disk.msix.capability)
		msix_enable(disk.bdf, &disk.msix, false);
	outb(UART_LCR, 3);
	outb(UART_IER, 0);
	outb(UART_MCR, MCR_DTR_RTS);
}

static void expect_service(const char *what, u64 n)
{
	put_back();
	restart();
	if (!good_service())
		print("WRONG: no service after %s %lx ", what, n);
}

/* ---- one access ---- */

static bool is_end(bool io, u64 at, unsigned width)
{
	return io && ((RESET_PORT - at) < width || (PVPANIC_PORT - at) < width);
}

static void access(const struct area *area, u64 offset, unsigned width, u64 value, bool write)
{
	const u64 at = area->base + offset;

	if (area->io && (width == 8 || at > 0xffff))
		return;
	value &= ~NEVER;
	if ((u32)value >> 20 == 0xfee)
		value &= ~0xf0000000ull;
	if (width == 8 && write)
		*(volatile u64 *)at = value;
	else if (width == 8)
		(void)*(volatile u64 *)at;
	else if (!write)
		area_read(area, offset, width);
	else if (!is_end(area->io, at, width))
		area_write(area, offset, width, (u32)value);
}

/* Every offset where registers are, odd ones and ones across the end; behind them by 64 steps. */
static void sweep(const struct area *area, u64 dense, u64 value)
{
	const u64 step = area->length / 64 | 1;

	for (unsigned width = 1; width <= 8; width *= 2)
		for (u64 at = 0; at < area->length; at += at < dense ? 1 : step) {
			access(area, at, width, value, true);
			access(area, at, width, 0, false);
		}
	access(area, area->length - 1, 4, value, true);
}

/* ---- everything, one after the other ---- */

static void every_port(void)
{
	static const u64 values[] = {~0ull, 0};
	const struct area ports = {0, 0x10000, true};

	for (unsigned i = 0; i < COUNT(values); i++) {
		sweep(&ports, 0x1200, values[i]);
		expect_service("ports with", values[i]);
	}
}

static void every_register(void)
{
	static const u64 values[] = {~0ull, 0xa0a0a0a0a0a0a0a0, 0x0100000001000001, 0};

	for (unsigned i = 0; i < COUNT(values); i++)
		for (unsigned n = 1; n < places; n++) {
			sweep(&place[n], 0x140, values[i]);
			expect_service("place", place[n].base);
		}
}

/* Configuration space by its ports: every function that could be, and every width at every offset. */
static void every_function(void)
{
	for (u32 bdf = 0; bdf < 0x108; bdf++)
		for (u32 reg = 0; reg < 256; reg += bdf % 8 ? 37 : 1)
			for (unsigned width = 1; width <= 4; width *= 2) {
				pci_write((u16)bdf, reg, width, ~(u32)NEVER);
				pci_read((u16)bdf, reg, width);
			}
	expect_service("functions", 0);
}

/* ---- masses ---- */

static u64 storm(u64 otherwise)
{
	return cmdline_number("storm", otherwise);
}

static void notify_storm(void)
{
	const u64 count = storm(300);

	for (u64 i = 0; i < count; i++)
		for (u16 queue = 0; queue < (disk.bus == VIRTIO_ON_PCI ? 4 : 1); queue++)
			virtio_notify(&disk, queue);
	expect_service("notifications", count);
}

static void offer_many(void)
{
	prepare_read();
	for (unsigned i = 0; i < PENDING; i++)
		virtq_offer(&disk.queue[0], 0);
	virtio_notify(&disk, 0);
}

static void reset_storm(void)
{
	const u64 count = storm(300);

	for (u64 i = 0; i < count; i++) {
		virtio_write(&disk, REG_STATUS, 0);
		if (i % 16 == 0) {
			restart();
			offer_many();
		}
	}
	expect_service("resets", count);
}

/* Messages to nobody, from entries that are masked, unmasked and rewritten all the time. */
static void interrupt_storm(void)
{
	const u64 count = storm(300);

	if (disk.bus == VIRTIO_ON_PCI) {
		msix_enable(disk.bdf, &disk.msix, true);
		restart();
		virtio_write(&disk, REG_QUEUE_SELECT, 0);
		virtio_write(&disk, REG_QUEUE_VECTOR, 1);
	}
	for (u64 i = 0; i < count; i++) {
		if (disk.bus == VIRTIO_ON_PCI) {
			area_write(&disk.msix.table, 16 + MSIX_ENTRY_ADDRESS_LOW, 4,
				   i % 2 ? 0xfee55000u : (u32)i * 64);
			area_write(&disk.msix.table, 16 + MSIX_ENTRY_DATA, 4, (u32)i);
			msix_mask(&disk.msix, 1, i / 2 % 2);
		}
		prepare_read();
		want_interrupt();
		offer(0);
		if (i % 16 == 0)
			virtio_take_reason(&disk);
	}
	expect_service("interrupts", count);
}

/* ---- while requests are under way ---- */

/* BARs are shut off, sized and moved, onto RAM too: what was asked for before comes all the same. */
static void bars_under_way(void)
{
	static const u64 places_of_bars[] = {0,          0xfffff000, 0x100000,
					     0xfee00000, 0xc0000000, 0xd0000000};
	u32 id, length;

	if (disk.bus != VIRTIO_ON_PCI)
		return;
	for (unsigned i = 0; i < 120; i++) {
		offer_many();
		pci_write(disk.bdf, PCI_COMMAND, 2, i & 3);
		pci_move_bar(disk.bdf, i / 4 % 2, places_of_bars[i % COUNT(places_of_bars)]);
		pci_write(disk.bdf, PCI_COMMAND, 2, i >> 2 & 3);
		put_back();
		/* The doorbell may have been away when it was rung. */
		virtio_notify(&disk, 0);
		for (unsigned n = 0; n < PENDING; n++)
			virtq_wait(&disk.queue[0], &id, &length);
		if (request.status != BLK_OK || !good_service())
			print("WRONG: no service, round %u ", i);
	}
}

/* ---- at random ---- */

static u64 random_value(void)
{
	static const u64 usual[] = {0, 1, 2, 3, ~0ull, 0x8000, 0xc0000000, 0xe0000000};
	const u32 word = next_random();

	if (word % 4 == 0)
		return usual[word / 4 % COUNT(usual)];
	if (word % 4 == 1)
		return 1ull << word / 4 % 64;
	return (u64)next_random() << 32 | next_random();
}

static void random_access(void)
{
	const struct area *area = &place[next_random() % places];
	const unsigned width = 1u << next_random() % 4;
	const u32 how = next_random();
	u64 offset = next_random() % area->length;

	if (how & 1)
		offset %= 0x100;
	if (how & 2)
		offset &= ~(u64)(width - 1);
	access(area, offset, width, random_value(), how & 12);
}

static void at_random(void)
{
	const u64 seconds = cmdline_number("seconds", 5);
	const u32 seed = (u32)cmdline_number("seed", 1);
	u64 count = 0;

	print("seed %u, %lu seconds ", seed, seconds);
	random_state = seed ? seed : 1;
	for (u64 second = 0; second < seconds; second++) {
		lapic_timer(LVT_MASKED | LVT_ONE_SHOT, SECOND_NS);
		while (lapic_read(LAPIC_TIMER_CURRENT)) {
			for (unsigned i = 0; i < 64; i++)
				random_access();
			count += 64;
			if (count % 1024 == 0) {
				put_back();
				restart();
				offer_many();
			}
		}
		expect_service("access", count);
	}
	print("\n%lu accesses at random, seed %u", count, seed);
}

static const struct hostile_case cases[] = {
	{"every port", SELF, every_port},
	{"every register", SELF, every_register},
	{"every function", SELF, every_function},
	{"storm of notifications", SELF, notify_storm},
	{"storm of resets", SELF, reset_storm},
	{"storm of interrupts", SELF, interrupt_storm},
	{"bars while requests are under way", SELF, bars_under_way},
	{"at random", SELF, at_random},
};

void guest_main(void)
{
	find_places();
	hostile_run("hostile-any", cases, COUNT(cases));
}
