/*
 * Frames, see net.h. What is sent always takes descriptor 0, of queue 1.
 */
#include "net.h"

static u8 buffers[RING_SIZE * NET_BUFFER] __attribute__((aligned(16)));

/* Without mergeable buffers each has to hold the longest frame: there are as many as fit. */
static u32 buffer_bytes(const struct virtio *v)
{
	return v->features & NET_F_MERGEABLE ? NET_BUFFER
					     : NET_FRAME_MAX + sizeof(struct net_header);
}

static u8 *buffer_of(const struct virtio *v, u32 id)
{
	return buffers + id * buffer_bytes(v);
}

bool net_find(struct virtio *v, enum virtio_bus bus)
{
	bool found = virtio_find(v, VIRTIO_NET, 0, bus);

	v->queues = 2;
	return found;
}

bool net_start(struct virtio *v, u64 wanted, enum virtio_irq irq)
{
	if (!virtio_start(v, wanted, irq))
		return false;
	v->queue[NET_SEND].interrupts = false; /* net_send() polls */
	net_give_buffers(v);
	return true;
}

void net_read_mac(const struct virtio *v, u8 mac[6])
{
	for (u32 i = 0; i < 6; i++)
		mac[i] = (u8)area_read(&v->config, NET_CONFIG_MAC + i, 1);
}

void net_give_buffers(struct virtio *v)
{
	struct virtq *q = &v->queue[NET_RECEIVE];

	for (u16 id = 0; id < q->size && (id + 1) * buffer_bytes(v) <= sizeof(buffers); id++) {
		q->desc[id] =
			(struct virtq_desc){(u64)buffer_of(v, id), buffer_bytes(v), DESC_WRITE, 0};
		virtq_offer(q, id);
	}
	virtio_notify(v, NET_RECEIVE);
}

void net_send(struct virtio *v, const struct net_header *header, const void *frame, u32 bytes)
{
	static const struct net_header plain;
	struct virtq *q = &v->queue[NET_SEND];
	u16 old = q->avail.index;
	u32 id, length;

	q->desc[0] =
		(struct virtq_desc){(u64)(header ? header : &plain), sizeof(*header), DESC_NEXT, 1};
	q->desc[1] = (struct virtq_desc){(u64)frame, bytes, 0, 0};
	virtq_offer(q, 0);
	if (virtq_wants_notify(q, old))
		virtio_notify(v, NET_SEND);
	virtq_wait(q, &id, &length);
	if (id != 0 || length != 0)
		print("WRONG: sent descriptor 0, %u came back, %u bytes written\n", id, length);
}

/* The next buffer that was filled; 5.1.6.4: all of a frame come at once. */
static u32 next_buffer(struct virtio *v, u32 *length)
{
	struct virtq *q = &v->queue[NET_RECEIVE];
	u32 id;

	if (!virtq_take(q, &id, length)) {
		print("WRONG: a frame whose buffers come one by one\n");
		*length = 0;
		return 0;
	}
	if (id >= q->size || *length > buffer_bytes(v))
		print("WRONG: buffer %u came with %u bytes\n", id, *length);
	return id;
}

u32 net_take(struct virtio *v, void *frame)
{
	struct virtq *q = &v->queue[NET_RECEIVE];
	struct net_header header;
	u16 old = q->avail.index;
	u32 bytes = 0, skip = sizeof(header), length, id;

	if (*(volatile u16 *)&q->used.index == q->taken)
		return 0;
	for (u32 n = 0; n == 0 || n < header.buffers; n++, skip = 0) {
		id = next_buffer(v, &length);
		if (n == 0)
			memcpy(&header, buffer_of(v, id), sizeof(header));
		if (length < skip || bytes + length - skip > NET_FRAME_MAX) {
			print("WRONG: %u bytes in buffer %u of %u\n", length, n, header.buffers);
			break;
		}
		memcpy((u8 *)frame + bytes, buffer_of(v, id) + skip, length - skip);
		bytes += length - skip;
		virtq_offer(q, (u16)id);
	}
	if (header.buffers == 0 || header.flags || header.gso_type)
		print("WRONG: a header of %u buffers, flags %x, segments %x\n", header.buffers,
		      header.flags, header.gso_type);
	if (virtq_wants_notify(q, old))
		virtio_notify(v, NET_RECEIVE);
	return bytes;
}
