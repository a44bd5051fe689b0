/*
 * virtqueue - one buffer through one virtqueue, and nothing taken from a library: what all the
 * other guests' driver (lib/virtio.c) does, written out once.
 *
 * The device is the entropy device over virtio-mmio, which needs no PCI: its registers are in
 * memory, 32 bits each (virtio 1.2, 4.2.2). It has one queue, and fills what it gets with random
 * bytes. --transport mmio is needed. A kernel would learn the address from ACPI.
 *
 * On the command line, what people do wrong: no-kick (of a second buffer the device isn't told), no-write (the buffer
 * is offered to be read), outside (it lies where no RAM is).
 */
#include "lib/lib.h"

#define DEVICE 0xe1000000ull
#define SIZE   4 /* entries in the queue; a power of two */

/* Registers. */
enum {
	MAGIC = 0x00,
	DEVICE_ID = 0x08,
	DRIVER_FEATURES = 0x20,
	DRIVER_FEATURES_SELECT = 0x24,
	QUEUE_SELECT = 0x30,
	QUEUE_SIZE = 0x38,
	QUEUE_READY = 0x44,
	QUEUE_NOTIFY = 0x50,
	STATUS = 0x70,
	QUEUE_DESC = 0x80, /* and its upper half behind it, as with the next two */
	QUEUE_AVAIL = 0x90,
	QUEUE_USED = 0xa0,
};

enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 }; /* STATUS */
enum { DESC_WRITE = 2 };

/* The three areas of a queue, 2.7. The driver writes the first two, the device the third. */
static struct {
	u64 address;
	u32 length;
	u16 flags, next;
} desc[SIZE] __attribute__((aligned(16)));

static volatile struct {
	u16 flags, index, ring[SIZE];
} avail __attribute__((aligned(2)));

static volatile struct {
	u16 flags, index;
	struct {
		u32 id, length;
	} ring[SIZE];
} used __attribute__((aligned(4)));

static u8 buffer[16];

static u32 get(u32 reg)
{
	return *(volatile u32 *)(DEVICE + reg);
}

static void put(u32 reg, u32 value)
{
	*(volatile u32 *)(DEVICE + reg) = value;
}

static void put_address(u32 reg, volatile const void *p)
{
	put(reg, (u32)(u64)p);
	put(reg + 4, (u32)((u64)p >> 32));
}

/* 3.1.1: each side says to the other how far it is. */
static void start(void)
{
	put(STATUS, 0);
	put(STATUS, ACKNOWLEDGE);
	put(STATUS, ACKNOWLEDGE | DRIVER);
	put(DRIVER_FEATURES_SELECT, 1);
	put(DRIVER_FEATURES, 1); /* bit 32, VERSION_1: virtio as it is since 2016 */
	put(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	put(QUEUE_SELECT, 0);
	put(QUEUE_SIZE, SIZE);
	put_address(QUEUE_DESC, desc);
	put_address(QUEUE_AVAIL, &avail);
	put_address(QUEUE_USED, &used);
	put(QUEUE_READY, 1);
	put(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static void show(const char *when)
{
	print("%s: avail index %u, used index %u\n", when, avail.index, used.index);
}

/* Gives the device descriptor 2, and waits until it is back as the n-th one. */
static void round_trip(u16 n, bool kick)
{
	avail.ring[avail.index % SIZE] = 2;
	__atomic_thread_fence(__ATOMIC_RELEASE); /* the entry, then the index that announces it */
	avail.index++;
	show("offered");
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (kick)
		put(QUEUE_NOTIFY, 0);
	while (used.index != n)
		pause();
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	show("used");
	print("descriptor %u came back, %u bytes are written\n", used.ring[(n - 1) % SIZE].id,
	      used.ring[(n - 1) % SIZE].length);
}

void guest_main(void)
{
	print("magic %x, device %u\n", get(MAGIC), get(DEVICE_ID));
	start();
	show("started");
	desc[2].address = cmdline_has("outside") ? 0xd0000000 : (u64)buffer;
	desc[2].length = sizeof(buffer);
	desc[2].flags = cmdline_has("no-write") ? 0 : DESC_WRITE;
	round_trip(1, true);
	if (!cmdline_has("no-kick"))
		return;
	/* By now the device has had its look and sleeps. */
	delay_us(200000);
	round_trip(2, false);
}
