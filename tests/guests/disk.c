/*
 * disk - reads, writes, flushes and names a disk through the driver in lib/.
 *
 * The image's words are numbered (lib/blk.h); every sector that is read is compared with that, and
 * those that are written get the numbers under a salt, so that the host can tell afterwards which
 * sectors were written, by whom, and that no other one was.
 *
 * On the command line: mmio (the other transport), msix or line (interrupts; otherwise polling),
 * disk=N (the N-th; 0), salt=N, event-index, memory-notify (not the I/O port, where there is one),
 * ro (writes are to be refused), again (resets the machine after the first write, with reads under
 * way, and finds that write in its second life), loop (reads for ever).
 */
#include "lib/blk.h"

#define WRITTEN_SECTOR  5
#define WRITTEN_SECTORS 3
#define LONG_SECTORS    64

static struct virtio v;
static bool written_before; /* in a life before this one */
static u32 data[LONG_SECTORS * SECTOR / 4];

static void say(const char *what, u8 status, u32 written)
{
	print("%s: status %u written %u\n", what, status, written);
}

static void read_and_compare(u64 sector, u32 sectors)
{
	u32 written;
	u8 status;

	memset(data, 0xee, sectors * SECTOR);
	status = blk_request(&v, BLK_IN, sector, data, sectors * SECTOR, &written);
	if (status != BLK_OK || written != sectors * SECTOR + 1)
		print("WRONG: reading %u sectors at %lu: status %u written %u\n", sectors, sector,
		      status, written);
	else if (!blk_has_pattern(data, sector, sectors, 0) &&
		 !(written_before && sector >= WRITTEN_SECTOR &&
		   sector < WRITTEN_SECTOR + WRITTEN_SECTORS))
		print("WRONG: %u sectors at %lu hold something else\n", sectors, sector);
}

static void write_and_read_back(u32 salt, bool read_only)
{
	u32 written;
	u8 status;

	blk_pattern(data, WRITTEN_SECTOR, WRITTEN_SECTORS, salt);
	status = blk_request(&v, BLK_OUT, WRITTEN_SECTOR, data, WRITTEN_SECTORS * SECTOR, &written);
	say("write", status, written);
	if (status != (read_only ? BLK_IOERR : BLK_OK))
		print("WRONG: a write to a disk that is %s\n",
		      read_only ? "read-only" : "writable");
	if (v.features & BLK_F_FLUSH) {
		status = blk_request(&v, BLK_FLUSH, 0, NULL, 0, &written);
		say("flush", status, written);
	}
	memset(data, 0xee, WRITTEN_SECTORS * SECTOR);
	status = blk_read(&v, WRITTEN_SECTOR, data, WRITTEN_SECTORS);
	print("read back: status %u, as %s\n", status,
	      blk_has_pattern(data, WRITTEN_SECTOR, WRITTEN_SECTORS, salt) ? "written"
	      : blk_has_pattern(data, WRITTEN_SECTOR, WRITTEN_SECTORS, 0)  ? "before"
									   : "WRONG");
}

/* The disk is what outlives a reset of the machine: by it we know which life this is. */
static void first_life(u32 salt)
{
	struct virtq *q = &v.queue[0];

	blk_read(&v, WRITTEN_SECTOR, data, WRITTEN_SECTORS);
	if (blk_has_pattern(data, WRITTEN_SECTOR, WRITTEN_SECTORS, salt)) {
		print("second life\n");
		written_before = true;
		return;
	}
	print("first life\n");
	write_and_read_back(salt, false);
	/* The descriptors are still those of a read. */
	for (unsigned i = 0; i < q->size; i++)
		virtq_offer(q, 0);
	virtio_notify(&v, 0);
	reset();
}

static void read_for_ever(void)
{
	print("looping\n");
	for (u64 sector = 0;; sector = (sector + 1) % 8)
		read_and_compare(sector, 1);
}

static void read_id(void)
{
	char id[BLK_ID_BYTES + 1] = {0};
	u32 written;
	u8 status = blk_request(&v, BLK_GET_ID, 0, id, BLK_ID_BYTES, &written);

	print("id: status %u written %u text %s\n", status, written, id);
}

void guest_main(void)
{
	enum virtio_bus bus = cmdline_has("mmio") ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI;
	enum virtio_irq irq = cmdline_has("msix")   ? VIRTIO_MSIX
			      : cmdline_has("line") ? VIRTIO_LINE
						    : VIRTIO_POLL;
	u64 wanted = BLK_F_FLUSH | BLK_F_RO | BLK_F_SEG_MAX, capacity;
	u32 salt = (u32)cmdline_number("salt", 0x5a5a5a5a), queue_irqs;
	bool read_only;

	if (cmdline_has("event-index"))
		wanted |= FEATURE_EVENT_INDEX;
	if (!virtio_find(&v, VIRTIO_BLOCK, (unsigned)cmdline_number("disk", 0), bus)) {
		print("no disk\n");
		return;
	}
	print("features %lx\n", virtio_device_features(&v));
	if (!virtio_start(&v, wanted, irq)) {
		print("WRONG: the device does not agree to its own features\n");
		return;
	}
	if (cmdline_has("memory-notify"))
		while (v.notify_used + 1 < v.notify_areas && v.notify[v.notify_used].area.io)
			v.notify_used++;
	read_only = v.features & BLK_F_RO;
	capacity = virtio_config64(&v, BLK_CONFIG_CAPACITY);
	print("%s capacity %lu sectors, %s, queue size %u, notify by %s\n",
	      bus == VIRTIO_ON_PCI ? "pci" : "mmio", capacity,
	      read_only ? "read-only" : "read-write", v.queue[0].size,
	      v.notify[v.notify_used].area.io ? "port" : "memory");
	if (v.features & FEATURE_EVENT_INDEX)
		print("with event index\n");
	if (read_only != cmdline_has("ro"))
		print("WRONG: the disk is %s\n", read_only ? "read-only" : "writable");

	if (cmdline_has("again"))
		first_life(salt);
	if (cmdline_has("loop"))
		read_for_ever();
	read_id();
	for (u64 sector = 0; sector < capacity && sector < 2 * RING_SIZE + WRITTEN_SECTOR; sector++)
		read_and_compare(sector, 1); /* more often than the ring has entries */
	if (capacity >= LONG_SECTORS)
		read_and_compare(capacity - LONG_SECTORS, LONG_SECTORS);
	read_and_compare(capacity - 1, 1);
	write_and_read_back(salt, read_only);
	/* virtq_wait() needs no interrupt when the device is quick, but one must have been sent. */
	irq_off();
	while (irq != VIRTIO_POLL && !virtio_queue_irqs)
		sleep_until_irq();
	queue_irqs = virtio_queue_irqs;
	print("interrupts: %s, of configuration %u\n", !queue_irqs ? "none" : "some",
	      virtio_config_irqs);
	if (!queue_irqs != (irq == VIRTIO_POLL))
		print("WRONG: %u interrupts\n", queue_irqs);
	virtio_reset(&v);
	print("disk done\n");
}
