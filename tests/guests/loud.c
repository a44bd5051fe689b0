/*
 * loud - wants bantam to talk: breaks its disk's ring again and again, which is worth a line to
 * people, and resets the machine. With --on-reset restart that has no end, and with --verbose each
 * start has its own line.
 */
#include "lib/virtio.h"

#define TIMES 20

static struct virtio disk;

void guest_main(void)
{
	if (!virtio_find(&disk, VIRTIO_BLOCK, 0, VIRTIO_ON_PCI))
		return;
	for (unsigned i = 0; i < TIMES; i++) {
		virtio_start(&disk, 0, VIRTIO_POLL);
		disk.queue[0].avail.index = 0x8000; /* more than the ring has */
		virtio_barrier();
		virtio_notify(&disk, 0);
		while (!(virtio_read(&disk, REG_STATUS) & STATUS_NEEDS_RESET))
			pause();
	}
	virtio_reset(&disk);
	print("broken %u times\n", TIMES);
	reset();
}
