/*
 * rng - gets random bytes from the entropy device (virtio 1.2, 5.4): a queue of buffers to be
 * filled, and nothing else.
 *
 * The device may fill less than a whole buffer, but at least one byte of it, and says how much;
 * what lies behind that is not to be touched. mmio on the command line: the other transport.
 */
#include "lib/virtio.h"

#define LONGEST 4096
#define CANARY  0xc5

static struct virtio v;
static u8 buffer[LONGEST + 64];

static u32 fill(u32 bytes)
{
	struct virtq *q = &v.queue[0];
	u32 id, written;

	memset(buffer, CANARY, sizeof(buffer));
	q->desc[3] = (struct virtq_desc){(u64)buffer, bytes, DESC_WRITE, 0};
	virtq_offer(q, 3);
	virtio_notify(&v, 0);
	virtq_wait(q, &id, &written);
	if (id != 3 || written == 0 || written > bytes)
		print("WRONG: asked for %u bytes: got %u as %u\n", bytes, written, id);
	for (u32 i = written; i < sizeof(buffer); i++)
		if (buffer[i] != CANARY) {
			print("WRONG: byte %u of %u was touched\n", i, written);
			break;
		}
	return written;
}

void guest_main(void)
{
	enum virtio_bus bus = cmdline_has("mmio") ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI;
	unsigned seen[256] = {0}, kinds = 0;
	u8 first[32];
	u32 n;

	if (!virtio_find(&v, VIRTIO_RNG, 0, bus)) {
		print("no rng\n");
		return;
	}
	if (!virtio_start(&v, 0, cmdline_has("irq") ? VIRTIO_MSIX : VIRTIO_POLL)) {
		print("WRONG: the device does not agree to VERSION_1\n");
		return;
	}
	n = fill(sizeof(first));
	print("%u bytes: ", n);
	hexdump(buffer, n);
	print("\n");
	memcpy(first, buffer, sizeof(first));
	fill(sizeof(first));
	if (!memcmp(first, buffer, sizeof(first)))
		print("WRONG: the same bytes twice\n");

	/* Of 4096 random bytes practically none of the 256 values is missing. */
	for (u32 got = 0; got < LONGEST;) {
		n = fill(LONGEST);
		for (u32 i = 0; i < n; i++)
			seen[buffer[i]]++;
		got += n;
	}
	for (unsigned i = 0; i < 256; i++)
		kinds += seen[i] != 0;
	print("%u values\n", kinds);
	if (kinds < 240)
		print("WRONG: that is not random\n");
	for (u32 bytes = 1; bytes < 100; bytes++)
		fill(bytes);
	print("rng done\n");
}
