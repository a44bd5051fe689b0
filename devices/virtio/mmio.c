/*
 * virtio over MMIO: see mmio.h.
 */
#include "devices/virtio/mmio.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/bell.h"

enum { MAGIC = 0x74726976 /* "virt" */, VERSION = 2, VENDOR = 0x1af4 };

/* How long a vCPU waits for a reset. */
enum { RESET_WAIT_MS = 100 };

/* 4.2.2, table 4.1. */
enum {
	MAGIC_VALUE = 0x000,
	VERSION_NUMBER = 0x004,
	DEVICE_ID = 0x008,
	VENDOR_ID = 0x00c,
	DEVICE_FEATURES = 0x010,
	DEVICE_FEATURES_SELECT = 0x014,
	DRIVER_FEATURES = 0x020,
	DRIVER_FEATURES_SELECT = 0x024,
	QUEUE_SELECT = 0x030,
	QUEUE_SIZE_MAX = 0x034,
	QUEUE_SIZE = 0x038,
	QUEUE_READY = 0x044,
	QUEUE_NOTIFY = 0x050,
	INTERRUPT_STATUS = 0x060,
	INTERRUPT_ACK = 0x064,
	STATUS = 0x070,
	QUEUE_DESCRIPTORS_LOW = 0x080,
	QUEUE_DESCRIPTORS_HIGH = 0x084,
	QUEUE_AVAILABLE_LOW = 0x090,
	QUEUE_AVAILABLE_HIGH = 0x094,
	QUEUE_USED_LOW = 0x0a0,
	QUEUE_USED_HIGH = 0x0a4,
	SHARED_MEMORY_SELECT = 0x0ac,
	SHARED_MEMORY_FIRST = 0x0b0, /* length and base, 64 bits each */
	SHARED_MEMORY_LAST = 0x0bc,
	CONFIG_GENERATION = 0x0fc,
	CONFIG = 0x100,
};

static const struct {
	u16 offset;
	const char *name;
} registers[] = {
	{MAGIC_VALUE, "MagicValue"},
	{VERSION_NUMBER, "Version"},
	{DEVICE_ID, "DeviceID"},
	{VENDOR_ID, "VendorID"},
	{DEVICE_FEATURES, "DeviceFeatures"},
	{DEVICE_FEATURES_SELECT, "DeviceFeaturesSel"},
	{DRIVER_FEATURES, "DriverFeatures"},
	{DRIVER_FEATURES_SELECT, "DriverFeaturesSel"},
	{QUEUE_SELECT, "QueueSel"},
	{QUEUE_SIZE_MAX, "QueueSizeMax"},
	{QUEUE_SIZE, "QueueSize"},
	{QUEUE_READY, "QueueReady"},
	{QUEUE_NOTIFY, "QueueNotify"},
	{INTERRUPT_STATUS, "InterruptStatus"},
	{INTERRUPT_ACK, "InterruptACK"},
	{STATUS, "Status"},
	{QUEUE_DESCRIPTORS_LOW, "QueueDescLow"},
	{QUEUE_DESCRIPTORS_HIGH, "QueueDescHigh"},
	{QUEUE_AVAILABLE_LOW, "QueueDriverLow"},
	{QUEUE_AVAILABLE_HIGH, "QueueDriverHigh"},
	{QUEUE_USED_LOW, "QueueDeviceLow"},
	{QUEUE_USED_HIGH, "QueueDeviceHigh"},
	{SHARED_MEMORY_SELECT, "SHMSel"},
	{CONFIG_GENERATION, "ConfigGeneration"},
};

static u32 read_register(struct virtio_device *device, u64 offset)
{
	const struct virtq_regs *queue = virtio_selected_queue(device);

	switch (offset) {
	case MAGIC_VALUE:
		return MAGIC;
	case VERSION_NUMBER:
		return VERSION;
	case DEVICE_ID:
		return device->class->id;
	case VENDOR_ID:
		return VENDOR;
	case DEVICE_FEATURES:
		return virtio_device_features(device);
	case QUEUE_SIZE_MAX:
		return queue ? device->queue_size_max : 0;
	case QUEUE_READY:
		return queue ? queue->enabled : 0;
	case INTERRUPT_STATUS:
		return atomic_load(&device->isr);
	case STATUS:
		return device->regs.status;
	case CONFIG_GENERATION:
		return device->regs.config_generation;
	default:
		/* 4.2.2.1: a shared memory region that there isn't has the length -1. */
		return offset >= SHARED_MEMORY_FIRST && offset <= SHARED_MEMORY_LAST ? UINT32_MAX
										     : 0;
	}
}

static void set_low(u64 *field, u32 value)
{
	*field = (*field & ~(u64)UINT32_MAX) | value;
}

static void set_high(u64 *field, u32 value)
{
	*field = (*field & UINT32_MAX) | (u64)value << 32;
}

/* Registers of the selected queue; nothing while it is in use. */
static void write_queue(struct virtio_device *device, u64 offset, u32 value)
{
	struct virtq_regs *queue = virtio_selected_queue(device);

	if (!queue || !virtio_queue_writable(device))
		return;
	switch (offset) {
	case QUEUE_SIZE:
		virtio_set_queue_size(device, value);
		break;
	case QUEUE_DESCRIPTORS_LOW:
		set_low(&queue->descriptors, value);
		break;
	case QUEUE_DESCRIPTORS_HIGH:
		set_high(&queue->descriptors, value);
		break;
	case QUEUE_AVAILABLE_LOW:
		set_low(&queue->available, value);
		break;
	case QUEUE_AVAILABLE_HIGH:
		set_high(&queue->available, value);
		break;
	case QUEUE_USED_LOW:
		set_low(&queue->used, value);
		break;
	case QUEUE_USED_HIGH:
		set_high(&queue->used, value);
		break;
	default:
		break;
	}
}

static void write_register(struct virtio_device *device, u64 offset, u32 value)
{
	switch (offset) {
	case DEVICE_FEATURES_SELECT:
		device->regs.device_features_select = value;
		break;
	case DRIVER_FEATURES_SELECT:
		device->regs.driver_features_select = value;
		break;
	case DRIVER_FEATURES:
		virtio_set_driver_features(device, value);
		break;
	case QUEUE_SELECT:
		device->regs.queue_select = value <= UINT16_MAX ? (u16)value : UINT16_MAX;
		break;
	case QUEUE_READY:
		virtio_enable_queue(device, value & 1);
		break;
	case QUEUE_NOTIFY:
		virtio_notify(device, value);
		break;
	case INTERRUPT_ACK:
		atomic_fetch_and(&device->isr, ~value);
		break;
	case STATUS:
		virtio_set_status(device, value);
		virtio_wait_stopped(device, RESET_WAIT_MS);
		break;
	default:
		write_queue(device, offset, value);
	}
}

static u64 bus_read_register(void *owner, u64 offset, unsigned width)
{
	const struct virtio_mmio *mmio = owner;
	u64 value = UINT64_MAX;

	pthread_mutex_lock(&mmio->device->lock);
	if (offset >= CONFIG)
		value = virtio_read_config(mmio->device, offset - CONFIG, width);
	else if (width == 4 && offset % 4 == 0)
		value = read_register(mmio->device, offset);
	pthread_mutex_unlock(&mmio->device->lock);
	return value;
}

static void bus_write_register(void *owner, u64 offset, unsigned width, u64 value)
{
	const struct virtio_mmio *mmio = owner;

	pthread_mutex_lock(&mmio->device->lock);
	if (offset >= CONFIG)
		virtio_write_config(mmio->device, offset - CONFIG, width, value);
	else if (width == 4 && offset % 4 == 0)
		write_register(mmio->device, offset, (u32)value);
	pthread_mutex_unlock(&mmio->device->lock);
}

static const char *register_name(void *owner, u64 offset, bool write)
{
	(void)owner, (void)write;
	for (size_t i = 0; i < ARRAY_LEN(registers); i++) {
		if (registers[i].offset == offset)
			return registers[i].name;
	}
	return offset >= CONFIG ? "Config" : "";
}

static const struct bus_ops ops = {
	.read = bus_read_register, .write = bus_write_register, .name = register_name};

static void transport_doorbells(void *owner, bool lay)
{
	struct virtio_mmio *mmio = owner;
	const struct wiring *wiring = mmio->wiring;

	for (unsigned i = 0; i < mmio->device->queues; i++) {
		const struct doorbell bell = {.fd = mmio->device->queue[i].notify_fd,
					      .address = mmio->base + QUEUE_NOTIFY,
					      .width = 4,
					      .match = true,
					      .value = i};

		if (mmio->device->regs.queue[i].enabled)
			wiring->ops->doorbell(wiring->owner, &bell, lay);
	}
	if (lay && !mmio->joined)
		mmio->joined =
			wiring->ops->interrupt(wiring->owner, mmio->interrupt_fd, mmio->gsi, true);
}

static void transport_config_changed(void *owner)
{
	const struct virtio_mmio *mmio = owner;

	bell_ring(mmio->interrupt_fd);
}

static void transport_was_reset(void *owner)
{
	(void)owner;
}

static void transport_interrupt(void *owner, unsigned queue)
{
	(void)queue;
	transport_config_changed(owner);
}

static void transport_describe(void *owner, unsigned queue, char *text, size_t bytes)
{
	const struct virtio_mmio *mmio = owner;

	(void)queue;
	snprintf(text, bytes, "irq gsi %u", mmio->gsi);
}

static const struct virtio_transport transport = {
	.doorbells = transport_doorbells,
	.config_changed = transport_config_changed,
	.was_reset = transport_was_reset,
	.interrupt = transport_interrupt,
	.describe_interrupt = transport_describe,
};

int virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device, struct bus *bus,
		     const struct wiring *wiring, u64 base, u32 gsi, struct error *err)
{
	const struct bus_range range = {base, VIRTIO_MMIO_BYTES, 8, device->name, &ops, mmio};

	*mmio = (struct virtio_mmio){.device = device, .wiring = wiring, .base = base, .gsi = gsi};
	mmio->interrupt_fd = bell_open(err);
	if (mmio->interrupt_fd < 0 || bus_add(bus, &range, err))
		return -1;
	atomic_store(&device->line_interrupts, true);
	for (unsigned i = 0; i < device->queues; i++)
		virtio_set_interrupt(device, i, mmio->interrupt_fd);
	device->transport = &transport;
	device->transport_owner = mmio;
	return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *mmio)
{
	if (mmio->interrupt_fd >= 0)
		close(mmio->interrupt_fd);
	mmio->interrupt_fd = -1;
}

void virtio_mmio_power_on(struct virtio_mmio *mmio)
{
	mmio->joined = false;
	(void)bell_silence(mmio->interrupt_fd);
}

void virtio_mmio_describe(const struct virtio_mmio *mmio, unsigned number, struct aml *aml)
{
	size_t device, resources;
	char name[8];

	snprintf(name, sizeof(name), "VM%02u", number % 100);
	device = aml_open_device(aml, name);
	aml_name_text(aml, "_HID", "LNRO0005");
	aml_name_integer(aml, "_UID", number);
	resources = aml_open_resources(aml);
	aml_memory(aml, (u32)mmio->base, VIRTIO_MMIO_BYTES);
	aml_interrupt_edge(aml, mmio->gsi);
	aml_close_resources(aml, resources);
	aml_close(aml, device);
}
