/*
 * The driver's side of a split virtqueue (virtio 1.2, 2.7).
 *
 * Three areas of our memory. Descriptors say where buffers are; several, joined by `next`, make a
 * chain. The available ring lists chains that we give to the device; the used ring those that it
 * gives back. Each side writes its own ring and never the other's. Both count on for ever, modulo
 * 65536; the entry is the count modulo the ring's size.
 */
#include "virtio.h"

void virtq_describe(struct virtio *v, unsigned n)
{
	struct virtq *q = &v->queue[n];
	u32 max;

	memset(q, 0, sizeof(*q));
	virtio_write(v, REG_QUEUE_SELECT, n);
	max = virtio_read(v, REG_QUEUE_SIZE_MAX);
	q->size = (u16)(max < RING_SIZE ? max : RING_SIZE);
	q->event_index = v->features & FEATURE_EVENT_INDEX;
	q->interrupts = v->irq != VIRTIO_POLL;
	q->avail.flags = (u16)(q->interrupts ? 0 : AVAIL_NO_INTERRUPT);
	/* With event indices the flag means nothing; an event far away keeps the device silent. */
	q->avail.used_event = q->interrupts ? 0 : 0x8000;
	virtio_write(v, REG_QUEUE_SIZE, q->size);
	virtio_write_address(v, REG_QUEUE_DESC, (u64)q->desc);
	virtio_write_address(v, REG_QUEUE_AVAIL, (u64)&q->avail);
	virtio_write_address(v, REG_QUEUE_USED, (u64)&q->used);
	if (v->bus == VIRTIO_ON_PCI) {
		q->notify_offset = virtio_read(v, REG_QUEUE_NOTIFY_OFFSET);
		virtio_write(v, REG_QUEUE_VECTOR, v->irq == VIRTIO_MSIX ? 1 : VIRTIO_NO_VECTOR);
	}
}

void virtq_enable(struct virtio *v, unsigned n)
{
	virtio_write(v, REG_QUEUE_SELECT, n);
	virtio_write(v, REG_QUEUE_ENABLE, 1);
}

/* 2.7.13: the entry first, then the index, and the device may look at any time. */
void virtq_offer(struct virtq *q, u16 head)
{
	volatile struct virtq_avail *avail = &q->avail;

	avail->ring[avail->index % q->size] = head;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	avail->index++;
}

/*
 * 2.7.10: whether the device asks for a notification of what was offered since the index was `old`.
 * Our index must have reached memory before we look, or both sides could wait for each other.
 */
bool virtq_wants_notify(const struct virtq *q, u16 old)
{
	const volatile struct virtq_used *used = &q->used;
	u16 index = q->avail.index;

	virtio_barrier();
	if (q->event_index) /* is avail_event one of old … index - 1? */
		return (u16)(index - used->avail_event - 1) < (u16)(index - old);
	return !(used->flags & USED_NO_NOTIFY);
}

/* 4.1.5.2, 4.2.3.3: the queue's number, written where the device listens for it. */
void virtio_notify(const struct virtio *v, u16 queue)
{
	const struct virtio_notify_area *notify = &v->notify[v->notify_used];

	virtio_barrier();
	if (v->bus == VIRTIO_ON_MMIO)
		area_write(&notify->area, 0, 4, queue);
	else
		area_write(&notify->area, (u64)v->queue[queue].notify_offset * notify->multiplier,
			   2, queue);
}

bool virtq_take(struct virtq *q, u32 *id, u32 *length)
{
	volatile struct virtq_used *used = &q->used;

	if (used->index == q->taken)
		return false;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	*id = used->ring[q->taken % q->size].id;
	*length = used->ring[q->taken % q->size].length;
	q->taken++;
	if (q->event_index && q->interrupts) { /* 2.7.7: tell me of the next one */
		*(volatile u16 *)&q->avail.used_event = q->taken;
		virtio_barrier();
	}
	return true;
}

void virtq_wait(struct virtq *q, u32 *id, u32 *length)
{
	if (!q->interrupts) {
		while (!virtq_take(q, id, length))
			pause();
		return;
	}
	irq_off();
	while (!virtq_take(q, id, length))
		sleep_until_irq();
}
