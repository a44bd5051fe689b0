/*
 * hostile-regs - writes garbage into every register of the disk at every width and offset, odd ones
 * and ones across the end among them, and asks for good service after a reset.
 *
 * Garbage that enables a queue is a driver's word like any other: the device may then read its
 * rings from there. So the patterns make addresses that are no RAM.
 */
#include "lib/hostile.h"

static struct area window; /* that the case fills */

static void write64(u64 offset, u64 value)
{
	*(volatile u64 *)(window.base + offset) = value;
}

static u64 read64(u64 offset)
{
	return *(volatile u64 *)(window.base + offset);
}

static u32 next_random(void)
{
	static u32 state = 0x2545f491;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* Reads may have effects of their own, so each write has its read. */
static void touch(u64 offset, unsigned width, u32 value)
{
	if (width == 8) {
		write64(offset, (u64)value << 32 | value);
		read64(offset);
		return;
	}
	area_write(&window, offset, width, value);
	area_read(&window, offset, width);
}

/*
 * The first 512 bytes at every offset; behind them, where BARs hold little or repeat, by steps.
 * Accesses may begin in the last byte and end behind the window.
 */
static void fill(bool random, u32 pattern)
{
	for (unsigned width = 1; width <= (window.io ? 4 : 8); width *= 2)
		for (u64 at = 0; at < window.length; at += at < 512 ? 1 : 29)
			touch(at, width, random ? next_random() | 0x80000000 : pattern);
	touch(window.length - 1, 4, pattern);
}

static void revive(const char *what, u32 pattern)
{
	if (disk.bus == VIRTIO_ON_PCI && disk.msix.capability)
		for (u16 i = 0; i < disk.msix.entries; i++)
			msix_mask(&disk.msix, i, true);
	restart();
	if (!good_service())
		print("WRONG: no service after %s %x ", what, pattern);
}

static void fill_all_ways(void)
{
	static const u32 patterns[] = {0xffffffff, 0xa5a5a5a5, 0x80000001, 0};

	print("%s %lx length %lx ", window.io ? "ports" : "memory", window.base, window.length);
	for (unsigned i = 0; i < COUNT(patterns); i++) {
		fill(false, patterns[i]);
		revive("pattern", patterns[i]);
	}
	for (unsigned i = 0; i < 4; i++) {
		fill(true, 0);
		revive("random", i);
	}
}

static void fill_bar(unsigned n)
{
	if (disk.bus == VIRTIO_ON_MMIO) {
		window = disk.common;
		window.length = n == 0 ? 0x1000 : 0;
	} else {
		window = pci_bar(disk.bdf, n);
	}
	if (window.length)
		fill_all_ways();
	else
		print("not here");
}

static void bar_0(void)
{
	fill_bar(0);
}

static void bar_1(void)
{
	fill_bar(1);
}

static void bar_2(void)
{
	fill_bar(2);
}

static void bar_4(void)
{
	fill_bar(4);
}

/* The structures by themselves: registers in the middle of the work, with a running queue. */
static void while_running(void)
{
	for (unsigned round = 0; round < 40; round++) {
		restart();
		window = disk.common;
		window.length = disk.bus == VIRTIO_ON_MMIO ? 0x100 : 0x40;
		for (unsigned i = 0; i < 20; i++) {
			prepare_read();
			virtq_offer(&disk.queue[0], 0);
			virtio_notify(&disk, 0);
			touch(next_random() % window.length, 1u << next_random() % 3,
			      next_random() | 0x80000000);
		}
	}
	revive("running", 0);
}

/* A vCPU's exit may carry many accesses at once: string instructions. */
static void by_strings(void)
{
	u64 n = 300;
	u8 bytes[256];
	const struct area *notify = &disk.notify[0].area;
	void *at = bytes;

	memset(bytes, 0, sizeof(bytes));
	if (notify->io) {
		const void *from = bytes;

		n = 100;
		__asm__ volatile("rep outsw"
				 : "+S"(from), "+c"(n)
				 : "d"((u16)notify->base)
				 : "memory");
		n = 100;
		__asm__ volatile("rep insw"
				 : "+D"(at), "+c"(n)
				 : "d"((u16)notify->base)
				 : "memory");
	}
	if (!disk.common.io) {
		memcpy(bytes, (void *)disk.common.base, 0x38);
		memcpy((void *)disk.common.base, bytes, 0x38);
	}
	revive("strings", 0);
}

/* Instructions that read, change and write: an add, an exchange, a locked or. */
static void by_read_and_write(void)
{
	volatile u32 *reg = (volatile u32 *)disk.common.base;
	u32 old = 0x55555555;

	if (disk.common.io)
		return;
	for (unsigned i = 0; i < 14; i++) {
		__asm__ volatile("addl $1, %0" : "+m"(reg[i]));
		__asm__ volatile("xchgl %1, %0" : "+m"(reg[i]), "+r"(old));
		__asm__ volatile("lock orl $0x10, %0" : "+m"(reg[i]));
	}
	revive("read and write", 0);
}

static const struct hostile_case cases[] = {
	{"bar 0", SELF, bar_0},
	{"bar 1", SELF, bar_1},
	{"bar 2", SELF, bar_2},
	{"bar 4", SELF, bar_4},
	{"registers while running", SELF, while_running},
	{"string instructions", SELF, by_strings},
	{"read and write at once", SELF, by_read_and_write},
};

void guest_main(void)
{
	hostile_run("hostile-regs", cases, COUNT(cases));
}
