/*
 * virtqueue - exercise 7: one sector of a disk, by a chain of three descriptors.
 */
#include "lib/lib.h"

#define DEVICE 0xe1001000ull /* the entropy device is the first */
#define SIZE   4             /* entries in the queue; a power of two */

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
enum { DESC_NEXT = 1, DESC_WRITE = 2 };

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

static struct {
	u32 type, reserved;
	u64 sector;
} header = {.type = 0, .sector = 3};

static char sector[512];
static volatile u8 status = 0xff;

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

static void describe(u16 at, volatile const void *p, u32 length, u16 flags)
{
	desc[at].address = (u64)p;
	desc[at].length = length;
	desc[at].flags = flags;
	desc[at].next = at + 1;
}

void guest_main(void)
{
	if (get(DEVICE_ID) != 2) {
		print("no disk\n");
		return;
	}
	start();
	describe(0, &header, sizeof(header), DESC_NEXT);
	describe(1, sector, sizeof(sector), DESC_NEXT | DESC_WRITE);
	describe(2, &status, 1, DESC_WRITE);
	avail.ring[avail.index % SIZE] = 0;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	avail.index++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	put(QUEUE_NOTIFY, 0);
	while (used.index == 0)
		pause();
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (u32 i = 0; sector[i] != '.' && i < sizeof(sector); i++)
		putc(sector[i]);
}
