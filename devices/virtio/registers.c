/*
 * The registers that a driver reads and writes: see device.h. Where they lie, how wide they are, and
 * which of them there are at all, is the transport's; what they do is the same.
 *
 * Source: virtio 1.2, 4.1.4.3 and 4.2.2.
 */
#include "devices/virtio/device.h"

struct virtq_regs *virtio_selected_queue(struct virtio_device *device)
{
	const u16 select = device->regs.queue_select;

	return select < device->queues ? &device->regs.queue[select] : NULL;
}

/* Whether the driver is still setting the device up. */
static bool in_set_up(const struct virtio_device *device)
{
	return !(device->regs.status & VIRTIO_DRIVER_OK) && !device->resetting;
}

struct virtq_regs *virtio_writable_queue(struct virtio_device *device)
{
	struct virtq_regs *queue = virtio_selected_queue(device);

	return queue && !queue->enabled && in_set_up(device) ? queue : NULL;
}

/* The half of a set of features that a driver has selected. */
static u32 select_features(u64 features, u32 select)
{
	return select < 2 ? (u32)(features >> (32 * select)) : 0;
}

u64 virtio_read_register(struct virtio_device *device, enum virtio_register which)
{
	/* 4.1.4.3.1: a size of 0 says that there is no such queue. */
	static const struct virtq_regs none = {.vector = VIRTIO_NO_VECTOR};
	const struct virtio_regs *regs = &device->regs;
	const struct virtq_regs *queue = virtio_selected_queue(device);
	const bool exists = queue;

	if (!exists)
		queue = &none;
	switch (which) {
	case VIRTIO_REG_DEVICE_FEATURES_SELECT:
		return regs->device_features_select;
	case VIRTIO_REG_DEVICE_FEATURES:
		return select_features(device->features, regs->device_features_select);
	case VIRTIO_REG_DRIVER_FEATURES_SELECT:
		return regs->driver_features_select;
	case VIRTIO_REG_DRIVER_FEATURES:
		return select_features(regs->driver_features, regs->driver_features_select);
	case VIRTIO_REG_STATUS:
		return regs->status;
	case VIRTIO_REG_CONFIG_GENERATION:
		return regs->config_generation;
	case VIRTIO_REG_CONFIG_VECTOR:
		return regs->config_vector;
	case VIRTIO_REG_QUEUES:
		return device->queues;
	case VIRTIO_REG_QUEUE_SELECT:
		return regs->queue_select;
	case VIRTIO_REG_QUEUE_SIZE_MAX:
		return exists ? device->queue_size_max : 0;
	case VIRTIO_REG_QUEUE_SIZE:
		return queue->size;
	case VIRTIO_REG_QUEUE_VECTOR:
		return queue->vector;
	case VIRTIO_REG_QUEUE_ENABLE:
		return queue->enabled;
	case VIRTIO_REG_QUEUE_NOTIFY_OFFSET:
		return exists ? regs->queue_select : 0;
	case VIRTIO_REG_QUEUE_DESCRIPTORS:
		return queue->descriptors;
	case VIRTIO_REG_QUEUE_AVAILABLE:
		return queue->available;
	case VIRTIO_REG_QUEUE_USED:
		return queue->used;
	case VIRTIO_REG_OWN:
		break;
	}
	return 0;
}

static void set_bits(u64 *bits, u64 value, u64 mask)
{
	*bits = (*bits & ~mask) | (value & mask);
}

static void set_driver_features(struct virtio_device *device, u64 value)
{
	const u32 select = device->regs.driver_features_select;

	if (select < 2 && !(device->regs.status & VIRTIO_FEATURES_OK) && !device->resetting)
		set_bits(&device->regs.driver_features, value << (32 * select),
			 (u64)UINT32_MAX << (32 * select));
}

/* Of a queue that isn't in use: its size, a power of two, or the address of an area. */
static void set_queue(struct virtio_device *device, enum virtio_register which, u64 value, u64 mask)
{
	struct virtq_regs *queue = virtio_writable_queue(device);
	const u32 size = (u32)value;

	if (!queue)
		return;
	if (which == VIRTIO_REG_QUEUE_DESCRIPTORS)
		set_bits(&queue->descriptors, value, mask);
	else if (which == VIRTIO_REG_QUEUE_AVAILABLE)
		set_bits(&queue->available, value, mask);
	else if (which == VIRTIO_REG_QUEUE_USED)
		set_bits(&queue->used, value, mask);
	else if (size && size <= device->queue_size_max && !(size & (size - 1)))
		queue->size = (u16)size;
}

void virtio_write_register(struct virtio_device *device, enum virtio_register which, u64 value,
			   u64 mask)
{
	struct virtq_regs *queue = virtio_selected_queue(device);

	switch (which) {
	case VIRTIO_REG_DEVICE_FEATURES_SELECT:
		device->regs.device_features_select = (u32)value;
		break;
	case VIRTIO_REG_DRIVER_FEATURES_SELECT:
		device->regs.driver_features_select = (u32)value;
		break;
	case VIRTIO_REG_DRIVER_FEATURES:
		set_driver_features(device, value);
		break;
	case VIRTIO_REG_STATUS:
		virtio_set_status(device, (u32)value);
		break;
	case VIRTIO_REG_QUEUE_SELECT:
		device->regs.queue_select = value <= UINT16_MAX ? (u16)value : UINT16_MAX;
		break;
	case VIRTIO_REG_QUEUE_ENABLE:
		if (queue && in_set_up(device))
			queue->enabled = value & 1;
		break;
	case VIRTIO_REG_QUEUE_SIZE:
	case VIRTIO_REG_QUEUE_DESCRIPTORS:
	case VIRTIO_REG_QUEUE_AVAILABLE:
	case VIRTIO_REG_QUEUE_USED:
		set_queue(device, which, value, mask);
		break;
	default: /* the others can only be read, or are the transport's */
		break;
	}
}
