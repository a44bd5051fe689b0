/*
 * virtio over PCI: see pci.h.
 */
#include "devices/virtio/pci.h"

#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>

#include "vmm/bell.h"

enum { VENDOR = 0x1af4, DEVICE_BASE = 0x1040 };
enum { BAR_MEMORY = 0, BAR_IO = 1 };
enum { NOTIFY_STRIDE = 4 };

/* Capability types, 4.1.4. */
enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4, CAP_ACCESS = 5 };

/* Common configuration, 4.1.4.3. */
enum { COMMON_BYTES = 0x38 };

static const struct field {
	u8 offset, bytes;
	u16 which; /* enum virtio_register */
	const char *name;
} common[] = {
	{0x00, 4, VIRTIO_REG_DEVICE_FEATURES_SELECT, "device_feature_select"},
	{0x04, 4, VIRTIO_REG_DEVICE_FEATURES, "device_feature"},
	{0x08, 4, VIRTIO_REG_DRIVER_FEATURES_SELECT, "driver_feature_select"},
	{0x0c, 4, VIRTIO_REG_DRIVER_FEATURES, "driver_feature"},
	{0x10, 2, VIRTIO_REG_CONFIG_VECTOR, "config_msix_vector"},
	{0x12, 2, VIRTIO_REG_QUEUES, "num_queues"},
	{0x14, 1, VIRTIO_REG_STATUS, "device_status"},
	{0x15, 1, VIRTIO_REG_CONFIG_GENERATION, "config_generation"},
	{0x16, 2, VIRTIO_REG_QUEUE_SELECT, "queue_select"},
	{0x18, 2, VIRTIO_REG_QUEUE_SIZE, "queue_size"},
	{0x1a, 2, VIRTIO_REG_QUEUE_VECTOR, "queue_msix_vector"},
	{0x1c, 2, VIRTIO_REG_QUEUE_ENABLE, "queue_enable"},
	{0x1e, 2, VIRTIO_REG_QUEUE_NOTIFY_OFFSET, "queue_notify_off"},
	{0x20, 8, VIRTIO_REG_QUEUE_DESCRIPTORS, "queue_desc"},
	{0x28, 8, VIRTIO_REG_QUEUE_AVAILABLE, "queue_driver"},
	{0x30, 8, VIRTIO_REG_QUEUE_USED, "queue_device"},
};

/* The structures behind a capability, 4.1.4; what stands before `type` is PCI's own. */
struct capability {
	u8 bytes, type, bar, id, padding[2];
	u32 offset, length;
	u32 extra; /* notify: the stride; access: the window */
} PACKED;

enum { CAP_BYTES = 16, CAP_EXTRA_BYTES = 20 };
_Static_assert(sizeof(struct capability) == CAP_EXTRA_BYTES - 2, "virtio 1.2, 4.1.4");

/* Where the fields of the access capability stand in it. */
enum { ACCESS_BAR = 4, ACCESS_OFFSET = 8, ACCESS_LENGTH = 12, ACCESS_DATA = 16 };

unsigned virtio_pci_vectors(const struct virtio_device *device)
{
	return device->queues + 1;
}

static const struct field *field_at(u64 offset)
{
	size_t i = ARRAY_LEN(common) - 1;

	while (offset < common[i].offset)
		i--;
	return &common[i];
}

static u64 read_common(struct virtio_device *device, u64 offset, unsigned width)
{
	u64 value = 0;

	for (unsigned i = 0; i < width; i++) {
		const u64 at = offset + i;
		const struct field *field = field_at(at);
		u64 byte = 0xff;

		if (at < COMMON_BYTES)
			byte = virtio_read_register(device, field->which) >>
			       (8 * (at - field->offset));
		value |= (byte & 0xff) << (8 * i);
	}
	return value;
}

/* Points the queues' interrupts at their vectors' descriptors, or back at the line. */
static void update_interrupts(struct virtio_pci *pci)
{
	struct virtio_device *device = pci->device;
	const bool msix = pci->msix.enabled;

	atomic_store(&device->line_interrupts, !msix);
	for (unsigned i = 0; i < device->queues; i++) {
		const u16 vector = device->regs.queue[i].vector;

		atomic_store(&device->queue[i].interrupt_fd, !msix ? VIRTIO_BY_TRANSPORT
							     : vector == VIRTIO_NO_VECTOR
								     ? VIRTIO_NO_INTERRUPT
								     : pci->msix.fd[vector]);
	}
}

/* 4.1.5.1.2.1: a vector that there isn't reads back as none. */
static void write_vector(struct virtio_pci *pci, u16 *vector, u64 value)
{
	if (!vector || pci->device->resetting)
		return;
	*vector = value < pci->msix.vectors ? (u16)value : VIRTIO_NO_VECTOR;
	update_interrupts(pci);
}

/* Whole fields, and halves of those that have 64 bits. */
static void write_common(struct virtio_pci *pci, u64 offset, unsigned width, u64 value)
{
	const struct field *field = field_at(offset);
	const u64 inside = offset - field->offset;
	const bool half = field->bytes == 8 && width == 4 && inside % 4 == 0;
	const u64 mask = UINT64_MAX >> (64 - 8 * width);
	struct virtq_regs *queue = virtio_selected_queue(pci->device);

	if (offset >= COMMON_BYTES || (!half && (inside || width != field->bytes)))
		return;
	if (field->which == VIRTIO_REG_CONFIG_VECTOR)
		write_vector(pci, &pci->device->regs.config_vector, value);
	else if (field->which == VIRTIO_REG_QUEUE_VECTOR)
		write_vector(pci, queue ? &queue->vector : NULL, value);
	/* 4.1.4.3.2: the driver must not write 0. */
	else if (field->which != VIRTIO_REG_QUEUE_ENABLE || value == 1)
		virtio_write_register(pci->device, field->which, value << 8 * inside,
				      mask << 8 * inside);
}

/* 4.1.4.5.1: reading takes the interrupt away. */
static u64 read_isr(struct virtio_pci *pci)
{
	const unsigned isr = atomic_exchange(&pci->device->isr, 0);

	pci_update_intx(&pci->function);
	return isr;
}

/* A register of BAR 0; the device's lock is held. */
static u64 read_register(struct virtio_pci *pci, u64 offset, unsigned width)
{
	if (offset < VIRTIO_PCI_ISR)
		return read_common(pci->device, offset, width);
	if (offset < VIRTIO_PCI_DEVICE)
		return offset == VIRTIO_PCI_ISR ? read_isr(pci) : 0;
	if (offset < VIRTIO_PCI_NOTIFY)
		return virtio_read_config(pci->device, offset - VIRTIO_PCI_DEVICE, width);
	if (offset < VIRTIO_PCI_MSIX_TABLE)
		return 0;
	if (offset < VIRTIO_PCI_MSIX_PENDING)
		return msix_read_table(&pci->msix, offset - VIRTIO_PCI_MSIX_TABLE, width);
	return msix_read_pending(&pci->msix, offset - VIRTIO_PCI_MSIX_PENDING, width);
}

static void write_register(struct virtio_pci *pci, u64 offset, unsigned width, u64 value)
{
	if (offset < VIRTIO_PCI_ISR)
		write_common(pci, offset, width, value);
	else if (offset >= VIRTIO_PCI_DEVICE && offset < VIRTIO_PCI_NOTIFY)
		virtio_write_config(pci->device, offset - VIRTIO_PCI_DEVICE, width, value);
	else if (offset >= VIRTIO_PCI_NOTIFY && offset < VIRTIO_PCI_MSIX_TABLE)
		virtio_notify(pci->device, (u32)(offset - VIRTIO_PCI_NOTIFY) / NOTIFY_STRIDE);
	else if (offset >= VIRTIO_PCI_MSIX_TABLE && offset < VIRTIO_PCI_MSIX_PENDING)
		msix_write_table(&pci->msix, offset - VIRTIO_PCI_MSIX_TABLE, width, value);
}

static u64 bar_read(void *owner, u64 offset, unsigned width)
{
	struct virtio_pci *pci = owner;
	u64 value;

	pthread_mutex_lock(&pci->device->lock);
	value = read_register(pci, offset, width);
	pthread_mutex_unlock(&pci->device->lock);
	return value;
}

static void bar_write(void *owner, u64 offset, unsigned width, u64 value)
{
	struct virtio_pci *pci = owner;

	pthread_mutex_lock(&pci->device->lock);
	write_register(pci, offset, width, value);
	pthread_mutex_unlock(&pci->device->lock);
}

static const char *bar_name(void *owner, u64 offset, bool write)
{
	(void)owner, (void)write;
	if (offset < COMMON_BYTES)
		return field_at(offset)->name;
	return offset < VIRTIO_PCI_ISR            ? ""
	       : offset < VIRTIO_PCI_DEVICE       ? "isr_status"
	       : offset < VIRTIO_PCI_NOTIFY       ? "device_config"
	       : offset < VIRTIO_PCI_MSIX_TABLE   ? "notify"
	       : offset < VIRTIO_PCI_MSIX_PENDING ? "msix_table"
						  : "msix_pending";
}

static const struct bus_ops bar_ops = {.read = bar_read, .write = bar_write, .name = bar_name};

/* Lays or takes away the doorbells of all queues at a BAR's address. */
static void wire(struct virtio_pci *pci, u64 address, bool io_port, bool lay)
{
	const struct wiring *wiring = pci->wiring;

	for (unsigned i = 0; i < pci->device->queues; i++) {
		const struct doorbell bell = {.fd = pci->device->queue[i].notify_fd,
					      .io_port = io_port,
					      .address = address + (u64)NOTIFY_STRIDE * i,
					      .width = 2};

		if (pci->device->regs.queue[i].enabled)
			wiring->ops->doorbell(wiring->owner, &bell, lay);
	}
}

/* Moves doorbells from where they are laid to where they belong. */
static void update_doorbells(struct virtio_pci *pci)
{
	for (unsigned i = 0; i < VIRTIO_PCI_BARS; i++) {
		const u64 wanted = pci->doorbells_wanted ? pci->doorbells[i] : 0;

		if (pci->laid[i] == wanted)
			continue;
		if (pci->laid[i])
			wire(pci, pci->laid[i], i == BAR_IO, false);
		if (wanted)
			wire(pci, wanted, i == BAR_IO, true);
		pci->laid[i] = wanted;
	}
}

static void transport_doorbells(void *owner, bool lay)
{
	struct virtio_pci *pci = owner;

	pci->doorbells_wanted = lay;
	update_doorbells(pci);
}

/* A queue comes here only while MSI-X is off. */
static void transport_interrupt(void *owner, int queue)
{
	struct virtio_pci *pci = owner;
	const u16 vector = pci->device->regs.config_vector;

	if (queue != VIRTIO_CONFIGURATION || !pci->msix.enabled)
		pci_update_intx(&pci->function);
	else if (vector != VIRTIO_NO_VECTOR)
		bell_ring(pci->msix.fd[vector]);
}

/* The registers say "no vector" again. */
static void transport_was_reset(void *owner)
{
	struct virtio_pci *pci = owner;

	update_interrupts(pci);
	pci_update_intx(&pci->function);
}

static void transport_describe(void *owner, unsigned queue, char *text, size_t bytes)
{
	struct virtio_pci *pci = owner;
	const int fd = atomic_load(&pci->device->queue[queue].interrupt_fd);

	snprintf(text, bytes, "irq intx");
	for (unsigned v = 0; v < pci->msix.vectors; v++) {
		if (pci->msix.fd[v] == fd)
			snprintf(text, bytes, "irq msix %u", v);
	}
}

static const struct virtio_transport transport = {
	.doorbells = transport_doorbells,
	.was_reset = transport_was_reset,
	.interrupt = transport_interrupt,
	.describe_interrupt = transport_describe,
};

static u32 config_dword(const struct virtio_pci *pci, unsigned offset)
{
	return pci->function.config[offset / 4];
}

/*
 * 4.1.4.9: the guest names a BAR, an offset and a length, and finds the register in the data field.
 * Returns the BAR, or NULL when dword `index` isn't that field, or what was named no register.
 */
static const struct pci_bar *access_target(const struct virtio_pci *pci, unsigned index,
					   u64 *offset, unsigned *width)
{
	const unsigned at = pci->access_capability;
	const u8 number = (u8)config_dword(pci, at + ACCESS_BAR);
	const struct pci_bar *bar = number < PCI_BARS ? &pci->function.bar[number] : NULL;

	*offset = config_dword(pci, at + ACCESS_OFFSET);
	*width = config_dword(pci, at + ACCESS_LENGTH);
	if (index * 4 != at + ACCESS_DATA || !bar || (*width != 1 && *width != 2 && *width != 4) ||
	    *offset % *width != 0 || *offset >= bar->bytes)
		return NULL;
	*offset += bar->first;
	return bar;
}

static u32 hook_read(void *owner, unsigned index, u32 stored)
{
	const struct virtio_pci *pci = owner;
	const struct pci_bar *bar;
	unsigned width;
	u64 offset;

	bar = access_target(pci, index, &offset, &width);
	return bar ? (u32)bar->ops->read(bar->device, offset, width) : stored;
}

static void hook_written(void *owner, unsigned index)
{
	struct virtio_pci *pci = owner;
	const struct pci_bar *bar;
	unsigned width;
	u64 offset;

	if (index * 4 == pci->msix_capability) {
		const u32 control = config_dword(pci, pci->msix_capability) >> 16;

		pthread_mutex_lock(&pci->device->lock);
		msix_control(&pci->msix, control & PCI_MSIX_FLAGS_ENABLE,
			     control & PCI_MSIX_FLAGS_MASKALL);
		atomic_store(&pci->function.intx_off, pci->msix.enabled);
		update_interrupts(pci);
		pci_update_intx(&pci->function);
		pthread_mutex_unlock(&pci->device->lock);
	}
	bar = access_target(pci, index, &offset, &width);
	if (bar)
		bar->ops->write(bar->device, offset, width,
				pci->function.config[index] &
					(u32)(UINT64_MAX >> (64 - 8 * width)));
}

static void hook_placed(void *owner)
{
	struct virtio_pci *pci = owner;
	const u64 memory = pci_bar_address(&pci->function, BAR_MEMORY);

	pthread_mutex_lock(&pci->device->lock);
	pci->doorbells[BAR_MEMORY] = memory ? memory + VIRTIO_PCI_NOTIFY : 0;
	pci->doorbells[BAR_IO] = pci_bar_address(&pci->function, BAR_IO);
	update_doorbells(pci);
	pthread_mutex_unlock(&pci->device->lock);
}

static const struct pci_hooks hooks = {
	.read = hook_read, .written = hook_written, .placed = hook_placed};

static u8 add_capability(struct virtio_pci *pci, u8 type, u8 bar, u32 offset, u32 length, u32 extra)
{
	const u8 bytes = type == CAP_NOTIFY || type == CAP_ACCESS ? CAP_EXTRA_BYTES : CAP_BYTES;
	const struct capability capability = {.bytes = bytes,
					      .type = type,
					      .bar = bar,
					      .offset = offset,
					      .length = length,
					      .extra = extra};

	return pci_add_capability(&pci->function, PCI_CAP_ID_VNDR, &capability, bytes);
}

static void add_capabilities(struct virtio_pci *pci)
{
	const struct virtio_device *device = pci->device;
	const u32 doorbells = NOTIFY_STRIDE * device->queues;
	const struct msix_capability msix = {.control = (u16)(pci->msix.vectors - 1),
					     .table = VIRTIO_PCI_MSIX_TABLE, /* in BAR 0 */
					     .pending = VIRTIO_PCI_MSIX_PENDING};
	u32 *writable = pci->function.writable;

	pci->msix_capability =
		pci_add_capability(&pci->function, PCI_CAP_ID_MSIX, &msix, MSIX_CAPABILITY_BYTES);
	writable[pci->msix_capability / 4] = (u32)(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL)
					     << 16;
	add_capability(pci, CAP_COMMON, BAR_MEMORY, VIRTIO_PCI_COMMON, COMMON_BYTES, 0);
	add_capability(pci, CAP_NOTIFY, BAR_IO, 0, doorbells, NOTIFY_STRIDE);
	add_capability(pci, CAP_NOTIFY, BAR_MEMORY, VIRTIO_PCI_NOTIFY, doorbells, NOTIFY_STRIDE);
	add_capability(pci, CAP_ISR, BAR_MEMORY, VIRTIO_PCI_ISR, 1, 0);
	if (device->config_bytes)
		add_capability(pci, CAP_DEVICE, BAR_MEMORY, VIRTIO_PCI_DEVICE, device->config_bytes,
			       0);
	pci->access_capability = add_capability(pci, CAP_ACCESS, 0, 0, 0, 0);
	writable[(pci->access_capability + ACCESS_BAR) / 4] = 0xff;
	writable[(pci->access_capability + ACCESS_OFFSET) / 4] = UINT32_MAX;
	writable[(pci->access_capability + ACCESS_LENGTH) / 4] = UINT32_MAX;
	writable[(pci->access_capability + ACCESS_DATA) / 4] = UINT32_MAX;
}

int virtio_pci_init(struct virtio_pci *pci, struct virtio_device *device, struct pci_host *host,
		    const struct wiring *wiring, u32 first_gsi, struct error *err)
{
	const struct pci_bar memory = {
		.bytes = VIRTIO_PCI_MEMORY_BYTES, .ops = &bar_ops, .device = pci};
	const struct pci_bar io = {.bytes = VIRTIO_PCI_IO_BYTES,
				   .io_port = true,
				   .first = VIRTIO_PCI_NOTIFY,
				   .ops = &bar_ops,
				   .device = pci};

	*pci = (struct virtio_pci){.device = device, .wiring = wiring};
	if (msix_init(&pci->msix, virtio_pci_vectors(device), wiring, first_gsi, err))
		return -1;
	pci_function_init(&pci->function, device->name, VENDOR,
			  (u16)(DEVICE_BASE + device->class->id), device->class->pci_class);
	pci->function.hooks = &hooks;
	pci->function.owner = pci;
	pci->function.intx_source = &device->isr;
	pci_add_bar(&pci->function, BAR_MEMORY, &memory);
	pci_add_bar(&pci->function, BAR_IO, &io);
	add_capabilities(pci);
	if (pci_add(host, &pci->function, err))
		return -1;
	device->transport = &transport;
	device->transport_owner = pci;
	update_interrupts(pci);
	return 0;
}

void virtio_pci_destroy(struct virtio_pci *pci)
{
	msix_destroy(&pci->msix);
}

void virtio_pci_power_on(struct virtio_pci *pci)
{
	msix_reset(&pci->msix);
	memset(pci->doorbells, 0, sizeof(pci->doorbells));
	memset(pci->laid, 0, sizeof(pci->laid));
	pci->doorbells_wanted = false;
	update_interrupts(pci);
}
