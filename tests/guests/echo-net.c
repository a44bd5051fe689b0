/*
 * echo-net - sends every frame back to where it came from, until one says "bye".
 *
 * A network device has two queues. Into the first the driver puts empty buffers, before anything
 * comes; the device fills them, and the driver gives them back when it has read them. Into the
 * second it puts what is to be sent.
 *
 * On the command line: mmio (the other transport), msix or line (interrupts; otherwise polling),
 * event-index, single (no mergeable buffers: each is large enough for all frames).
 */
#include "lib/net.h"

static struct virtio v;
static u8 frame[NET_FRAME_MAX + 1];

/* 0x88b5, "bye" behind it. */
static bool says_bye(u32 bytes)
{
	static const u8 bye[] = {NET_TYPE_HIGH, NET_TYPE_LOW, 'b', 'y', 'e'};

	return bytes >= 12 + sizeof(bye) && !memcmp(frame + 12, bye, sizeof(bye));
}

static u32 wait_frame(void)
{
	u32 bytes;

	if (v.irq != VIRTIO_POLL)
		irq_off();
	while (!(bytes = net_take(&v, frame))) {
		if (v.irq == VIRTIO_POLL)
			pause();
		else
			sleep_until_irq();
	}
	return bytes;
}

void guest_main(void)
{
	enum virtio_bus bus = cmdline_has("mmio") ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI;
	enum virtio_irq irq = cmdline_has("msix")   ? VIRTIO_MSIX
			      : cmdline_has("line") ? VIRTIO_LINE
						    : VIRTIO_POLL;
	u64 wanted = NET_F_MAC | NET_F_STATUS;
	struct net_ethernet *ethernet = (struct net_ethernet *)frame;
	u32 echoed = 0, bytes;
	u8 mac[6];

	if (!cmdline_has("single"))
		wanted |= NET_F_MERGEABLE;
	if (cmdline_has("event-index"))
		wanted |= FEATURE_EVENT_INDEX;
	if (!net_find(&v, bus) || !net_start(&v, wanted, irq)) {
		print("no network\n");
		return;
	}
	net_read_mac(&v, mac);
	print("address ");
	hexdump(mac, sizeof(mac));
	print("\n");
	for (;; echoed++) {
		bytes = wait_frame();
		memcpy(ethernet->to, ethernet->from, sizeof(mac));
		memcpy(ethernet->from, mac, sizeof(mac));
		net_send(&v, NULL, frame, bytes);
		if (says_bye(bytes))
			break;
	}
	virtio_reset(&v);
	print("%u frames sent back\n", echoed);
}
