/*
 * latency - how long one request takes: a 4 KiB read from the first disk, and the next when the
 * interrupt of the one before has come. `requests=N` of them (1000); the host takes the time, and takes
 * that of a run with few requests from it, so that start and end of the machine are not in it.
 *
 * The interrupt is MSI-X's on PCI and the line's in plain memory (`mmio`). For other monitors, whose tables
 * say it in another way: `at=ADDRESS line=N` is where a device in memory is, in decimal, and `fault` ends
 * the machine by a triple fault instead of the sleep register.
 */
#include "lib/blk.h"

#define REQUEST_BYTES 4096

static struct virtio v;
static u8 data[REQUEST_BYTES] __attribute__((aligned(4096)));

static bool find(bool mmio)
{
	const u64 address = cmdline_number("at", 0);

	if (address)
		return virtio_at(&v, VIRTIO_BLOCK, address, (u32)cmdline_number("line", 0));
	return virtio_find(&v, VIRTIO_BLOCK, 0, mmio ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI);
}

void guest_main(void)
{
	const bool mmio = cmdline_has("mmio");
	const u64 requests = cmdline_number("requests", 1000);
	u64 done = 0;

	if (!find(mmio) || !virtio_start(&v, 0, mmio ? VIRTIO_LINE : VIRTIO_MSIX)) {
		print("WRONG: no disk\n");
		return;
	}
	while (done < requests && blk_read(&v, done % 64 * (REQUEST_BYTES / SECTOR), data,
					   REQUEST_BYTES / SECTOR) == BLK_OK)
		done++;
	if (done < requests)
		print("WRONG: request %lu failed\n", done);
	print("requests %lu interrupts %u\n", done, virtio_queue_irqs);
	virtio_reset(&v);
	if (cmdline_has("fault"))
		triple_fault();
}
