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

/* 4.2.2, table 4.1: the offsets of the registers that only MMIO has. */
enum {
	MAGIC_VALUE = 0x000,
	VERSION_NUMBER = 0x004,
	DEVICE_ID = 0x008,
	VENDOR_ID = 0x00c,
	QUEUE_NOTIFY = 0x050,
	INTERRUPT_STATUS = 0x060,
	INTERRUPT_ACK = 0x064,
	SHARED_MEMORY_SELECT = 0x0ac,
	SHARED_MEMORY_FIRST = 0x0b0, /* length and base, 64 bits each */
	SHARED_MEMORY_LAST = 0x0bc,
	CONFIG = 0x100,
};

enum { READ = 1, WRITE = 2, WRITE_HIGH = 4 /* the upper half of an address */ };

static const struct mmio_register {
	u16 offset;
	u8 access; /* what the driver may do */
	u8 which;  /* enum virtio_register */
	const char *name;
} registers[] = {
	{MAGIC_VALUE, READ, VIRTIO_REG_OWN, "MagicValue"},
	{VERSION_NUMBER, READ, VIRTIO_REG_OWN, "Version"},
	{DEVICE_ID, READ, VIRTIO_REG_OWN, "DeviceID"},
	{VENDOR_ID, READ, VIRTIO_REG_OWN, "VendorID"},
	{0x010, READ, VIRTIO_REG_DEVICE_FEATURES, "DeviceFeatures"},
	{0x014, WRITE, VIRTIO_REG_DEVICE_FEATURES_SELECT, "DeviceFeaturesSel"},
	{0x020, WRITE, VIRTIO_REG_DRIVER_FEATURES, "DriverFeatures"},
	{0x024, WRITE, VIRTIO_REG_DRIVER_FEATURES_SELECT, "DriverFeaturesSel"},
	{0x030, WRITE, VIRTIO_REG_QUEUE_SELECT, "QueueSel"},
	{0x034, READ, VIRTIO_REG_QUEUE_SIZE_MAX, "QueueSizeMax"},
	{0x038, WRITE, VIRTIO_REG_QUEUE_SIZE, "QueueSize"},
	{0x044, READ | WRITE, VIRTIO_REG_QUEUE_ENABLE, "QueueReady"},
	{QUEUE_NOTIFY, WRITE, VIRTIO_REG_OWN, "QueueNotify"},
	{INTERRUPT_STATUS, READ, VIRTIO_REG_OWN, "InterruptStatus"},
	{INTERRUPT_ACK, WRITE, VIRTIO_REG_OWN, "InterruptACK"},
	{0x070, READ | WRITE, VIRTIO_REG_STATUS, "Status"},
	{0x080, WRITE, VIRTIO_REG_QUEUE_DESCRIPTORS, "QueueDescLow"},
	{0x084, WRITE_HIGH, VIRTIO_REG_QUEUE_DESCRIPTORS, "QueueDescHigh"},
	{0x090, WRITE, VIRTIO_REG_QUEUE_AVAILABLE, "QueueDriverLow"},
	{0x094, WRITE_HIGH, VIRTIO_REG_QUEUE_AVAILABLE, "QueueDriverHigh"},
	{0x0a0, WRITE, VIRTIO_REG_QUEUE_USED, "QueueDeviceLow"},
	{0x0a4, WRITE_HIGH, VIRTIO_REG_QUEUE_USED, "QueueDeviceHigh"},
	{SHARED_MEMORY_SELECT, WRITE, VIRTIO_REG_OWN, "SHMSel"},
	{0x0fc, READ, VIRTIO_REG_CONFIG_GENERATION, "ConfigGeneration"},
};

/* The register at an offset, or NULL. */
static const struct mmio_register *find(u64 offset)
{
	for (size_t i = 0; i < ARRAY_LEN(registers); i++) {
		if (registers[i].offset == offset)
			return &registers[i];
	}
	return NULL;
}

static u32 read_register(struct virtio_device *device, u64 offset)
{
	const struct mmio_register *found = find(offset);

	if (found && found->which != VIRTIO_REG_OWN)
		return found->access & READ ? (u32)virtio_read_register(device, found->which) : 0;
	switch (offset) {
	case MAGIC_VALUE:
		return MAGIC;
	case VERSION_NUMBER:
		return VERSION;
	case DEVICE_ID:
		return device->class->id;
	case VENDOR_ID:
		return VENDOR;
	case INTERRUPT_STATUS:
		return atomic_load(&device->isr);
	default:
		/* 4.2.2.1: a shared memory region that there isn't has the length -1. */
		return offset >= SHARED_MEMORY_FIRST && offset <= SHARED_MEMORY_LAST ? UINT32_MAX
										     : 0;
	}
}

static void write_register(struct virtio_device *device, u64 offset, u32 value)
{
	const struct mmio_register *found = find(offset);
	const unsigned shift = found && found->access == WRITE_HIGH ? 32 : 0;

	if (offset == QUEUE_NOTIFY)
		virtio_notify(device, value);
	else if (offset == INTERRUPT_ACK)
		atomic_fetch_and(&device->isr, ~value);
	else if (found && found->access != READ)
		virtio_write_register(device, found->which, (u64)value << shift,
				      (u64)UINT32_MAX << shift);
	if (found && found->which == VIRTIO_REG_STATUS)
		virtio_wait_stopped(device, RESET_WAIT_MS);
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
	const struct mmio_register *found = find(offset);

	(void)owner, (void)write;
	return found ? found->name : offset >= CONFIG ? "Config" : "";
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

static void transport_interrupt(void *owner, int queue)
{
	const struct virtio_mmio *mmio = owner;

	(void)queue;
	bell_ring(mmio->interrupt_fd);
}

static void transport_describe(void *owner, unsigned queue, char *text, size_t bytes)
{
	const struct virtio_mmio *mmio = owner;

	(void)queue;
	snprintf(text, bytes, "irq gsi %u", mmio->gsi);
}

static const struct virtio_transport transport = {
	.doorbells = transport_doorbells,
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
		atomic_store(&device->queue[i].interrupt_fd, mmio->interrupt_fd);
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
	device = aml_open(aml, AML_DEVICE, name);
	aml_name_text(aml, "_HID", "LNRO0005");
	aml_name_integer(aml, "_UID", number);
	resources = aml_open_resources(aml);
	aml_memory(aml, (u32)mmio->base, VIRTIO_MMIO_BYTES);
	aml_interrupt_edge(aml, mmio->gsi);
	aml_close_resources(aml, resources);
	aml_close(aml, device);
}
