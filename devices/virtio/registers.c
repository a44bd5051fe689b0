/*
 * The registers that both transports have: see device.h. Where they lie, and how wide, is the
 * transport's; what they do is the same.
 *
 * Source: virtio 1.2, 4.1.4.3 and 4.2.2.
 */
#include "devices/virtio/device.h"

u64 virtio_read_register(struct virtio_device *device, enum virtio_register which)
{
	/* 4.1.4.3.1: a size of 0 says that there is no such queue. */
	static const struct virtq_regs none = {.size = 0};
	const struct virtq_regs *queue = virtio_selected_queue(device);

	if (!queue)
		queue = &none;
	switch (which) {
	case VIRTIO_REG_DEVICE_FEATURES_SELECT:
		return device->regs.device_features_select;
	case VIRTIO_REG_DEVICE_FEATURES:
		return virtio_device_features(device);
	case VIRTIO_REG_DRIVER_FEATURES_SELECT:
		return device->regs.driver_features_select;
	case VIRTIO_REG_DRIVER_FEATURES:
		return virtio_driver_features(device);
	case VIRTIO_REG_STATUS:
		return device->regs.status;
	case VIRTIO_REG_CONFIG_GENERATION:
		return device->regs.config_generation;
	case VIRTIO_REG_QUEUE_SELECT:
		return device->regs.queue_select;
	case VIRTIO_REG_QUEUE_SIZE:
		return queue->size;
	case VIRTIO_REG_QUEUE_ENABLE:
		return queue->enabled;
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

/* The address of an area of the selected queue, while the queue isn't in use. */
static void set_address(struct virtio_device *device, enum virtio_register which, u64 value,
			u64 mask)
{
	struct virtq_regs *queue = virtio_selected_queue(device);
	u64 *address;

	if (!queue || !virtio_queue_writable(device))
		return;
	address = which == VIRTIO_REG_QUEUE_DESCRIPTORS ? &queue->descriptors
		  : which == VIRTIO_REG_QUEUE_AVAILABLE ? &queue->available
							: &queue->used;
	*address = (*address & ~mask) | (value & mask);
}

void virtio_write_register(struct virtio_device *device, enum virtio_register which, u64 value,
			   u64 mask)
{
	switch (which) {
	case VIRTIO_REG_DEVICE_FEATURES_SELECT:
		device->regs.device_features_select = (u32)value;
		break;
	case VIRTIO_REG_DRIVER_FEATURES_SELECT:
		device->regs.driver_features_select = (u32)value;
		break;
	case VIRTIO_REG_DRIVER_FEATURES:
		virtio_set_driver_features(device, (u32)value);
		break;
	case VIRTIO_REG_STATUS:
		virtio_set_status(device, (u32)value);
		break;
	case VIRTIO_REG_QUEUE_SELECT:
		device->regs.queue_select = value <= UINT16_MAX ? (u16)value : UINT16_MAX;
		break;
	case VIRTIO_REG_QUEUE_SIZE:
		virtio_set_queue_size(device, (u32)value);
		break;
	case VIRTIO_REG_QUEUE_ENABLE:
		virtio_enable_queue(device, value & 1);
		break;
	case VIRTIO_REG_QUEUE_DESCRIPTORS:
	case VIRTIO_REG_QUEUE_AVAILABLE:
	case VIRTIO_REG_QUEUE_USED:
		set_address(device, which, value, mask);
		break;
	default: /* the others can only be read */
		break;
	}
}
