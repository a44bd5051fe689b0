/*
 * The virtio driver, see virtio.h: finding devices, registers, the start of a device.
 * Queues are in virtq.c.
 */
#include "virtio.h"

/* ---- registers: 4.1.4.3 "Common configuration structure layout", 4.2.2 ---- */

static const struct {
	u8 pci, width; /* offset in the common configuration */
	u8 mmio;       /* offset; all have 32 bits there */
} registers[] = {
	[REG_DEVICE_FEATURES_SELECT] = {0x00, 4, 0x14},
	[REG_DEVICE_FEATURES] = {0x04, 4, 0x10},
	[REG_DRIVER_FEATURES_SELECT] = {0x08, 4, 0x24},
	[REG_DRIVER_FEATURES] = {0x0c, 4, 0x20},
	[REG_STATUS] = {0x14, 1, 0x70},
	[REG_GENERATION] = {0x15, 1, 0xfc},
	[REG_QUEUE_SELECT] = {0x16, 2, 0x30},
	[REG_QUEUE_SIZE_MAX] = {0x18, 2, 0x34},
	[REG_QUEUE_SIZE] = {0x18, 2, 0x38},
	[REG_QUEUE_ENABLE] = {0x1c, 2, 0x44},
	[REG_QUEUE_DESC] = {0x20, 4, 0x80},
	[REG_QUEUE_DESC_HIGH] = {0x24, 4, 0x84},
	[REG_QUEUE_AVAIL] = {0x28, 4, 0x90},
	[REG_QUEUE_AVAIL_HIGH] = {0x2c, 4, 0x94},
	[REG_QUEUE_USED] = {0x30, 4, 0xa0},
	[REG_QUEUE_USED_HIGH] = {0x34, 4, 0xa4},
	[REG_CONFIG_VECTOR] = {0x10, 2, 0},
	[REG_QUEUES] = {0x12, 2, 0},
	[REG_QUEUE_VECTOR] = {0x1a, 2, 0},
	[REG_QUEUE_NOTIFY_OFFSET] = {0x1e, 2, 0},
};

#define MMIO_MAGIC       0x00 /* "virt" */
#define MMIO_VERSION     0x04
#define MMIO_DEVICE_ID   0x08
#define MMIO_NOTIFY      0x50
#define MMIO_ISR         0x60
#define MMIO_ISR_ACK     0x64
#define MMIO_CONFIG      0x100
#define MMIO_LENGTH      0x200 /* at least */
#define MMIO_MAGIC_VALUE 0x74726976u

u32 virtio_read(const struct virtio *v, enum virtio_register reg)
{
	if (v->bus == VIRTIO_ON_MMIO)
		return area_read(&v->common, registers[reg].mmio, 4);
	return area_read(&v->common, registers[reg].pci, registers[reg].width);
}

void virtio_write(const struct virtio *v, enum virtio_register reg, u32 value)
{
	if (v->bus == VIRTIO_ON_MMIO)
		area_write(&v->common, registers[reg].mmio, 4, value);
	else
		area_write(&v->common, registers[reg].pci, registers[reg].width, value);
}

void virtio_write_address(const struct virtio *v, enum virtio_register low, u64 address)
{
	virtio_write(v, low, (u32)address);
	virtio_write(v, low + 1, (u32)(address >> 32));
}

/*
 * A field wider than a register access may change between the two: the device counts changes, and
 * what was read while the count changed is thrown away (2.5.3.1, 4.1.4.3.2).
 */
u64 virtio_config64(const struct virtio *v, u32 offset)
{
	u32 before, low, high;

	do {
		before = virtio_read(v, REG_GENERATION);
		low = area_read(&v->config, offset, 4);
		high = area_read(&v->config, offset + 4, 4);
	} while (virtio_read(v, REG_GENERATION) != before);
	return (u64)high << 32 | low;
}

/* ---- finding a device on PCI: 4.1.2, 4.1.4 ---- */

#define VIRTIO_VENDOR      0x1af4
#define VIRTIO_DEVICE_BASE 0x1040

enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4, CFG_ACCESS = 5 };

/* struct virtio_pci_cap, 4.1.4. */
#define CAP_TYPE       3
#define CAP_BAR        4
#define CAP_OFFSET     8
#define CAP_LENGTH     12
#define CAP_MULTIPLIER 16 /* of CFG_NOTIFY alone */
#define CAP_DATA       16 /* of CFG_ACCESS alone */

/*
 * Where the device's structures are is told by capabilities, one each. There may be more than one
 * of a kind, in the order of the device's preference: the first that can be used is taken.
 */
bool virtio_pci_discover(struct virtio *v)
{
	u8 at = 0;

	v->common.base = v->isr.base = v->config.base = 0;
	v->notify_areas = v->notify_used = 0;
	while ((at = pci_capability(v->bdf, PCI_CAPABILITY_VENDOR, at))) {
		struct area area = pci_bar(v->bdf, pci_read(v->bdf, at + CAP_BAR, 1));
		u32 type = pci_read(v->bdf, at + CAP_TYPE, 1);
		u32 offset = pci_read(v->bdf, at + CAP_OFFSET, 4);
		u32 length = pci_read(v->bdf, at + CAP_LENGTH, 4);

		if (!area.base || (u64)offset + length > area.length)
			continue;
		area.base += offset;
		area.length = length;
		if (type == CFG_COMMON && !v->common.base)
			v->common = area;
		else if (type == CFG_ISR && !v->isr.base)
			v->isr = area;
		else if (type == CFG_DEVICE && !v->config.base)
			v->config = area;
		else if (type == CFG_NOTIFY && v->notify_areas < 4)
			v->notify[v->notify_areas++] = (struct virtio_notify_area){
				area, pci_read(v->bdf, at + CAP_MULTIPLIER, 4)};
	}
	v->msix = msix_find(v->bdf);
	return v->common.base && v->isr.base && v->notify_areas;
}

u8 virtio_pci_access(const struct virtio *v)
{
	u8 at = 0;

	while ((at = pci_capability(v->bdf, PCI_CAPABILITY_VENDOR, at)) &&
	       pci_read(v->bdf, at + CAP_TYPE, 1) != CFG_ACCESS)
		;
	return at;
}

/* The driver fills in a capability: which BAR, where in it, how wide. Then its data field is it. */
static void aim(u16 bdf, u8 access, u8 bar, u32 offset, u32 width)
{
	pci_write(bdf, access + CAP_BAR, 1, bar);
	pci_write(bdf, access + CAP_OFFSET, 4, offset);
	pci_write(bdf, access + CAP_LENGTH, 4, width);
}

u32 virtio_pci_access_read(u16 bdf, u8 access, u8 bar, u32 offset, u32 width)
{
	aim(bdf, access, bar, offset, width);
	return pci_read(bdf, access + CAP_DATA, width == 1 || width == 2 ? width : 4);
}

void virtio_pci_access_write(u16 bdf, u8 access, u8 bar, u32 offset, u32 width, u32 value)
{
	aim(bdf, access, bar, offset, width);
	pci_write(bdf, access + CAP_DATA, width == 1 || width == 2 ? width : 4, value);
}

static bool find_on_pci(struct virtio *v, u16 id, unsigned n)
{
	if (!pci_find(VIRTIO_VENDOR, (u16)(VIRTIO_DEVICE_BASE + id), n, &v->bdf))
		return false;
	pci_write(v->bdf, PCI_COMMAND, 2, PCI_COMMAND_ALL);
	v->gsi = pci_line_gsi(v->bdf);
	return virtio_pci_discover(v);
}

/* ---- finding a device in memory: 4.2.1 leaves it to the platform; here that is ACPI ---- */

static u32 get32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

bool virtio_at(struct virtio *v, u16 id, u64 address, u32 gsi)
{
	*v = (struct virtio){.bus = VIRTIO_ON_MMIO, .gsi = gsi, .queues = 1};
	v->common = (struct area){address, MMIO_LENGTH, false};
	v->isr = v->config = v->notify[0].area = v->common;
	v->config.base += MMIO_CONFIG;
	v->config.length -= MMIO_CONFIG;
	v->notify[0].area.base += MMIO_NOTIFY;
	v->notify_areas = 1;
	return area_read(&v->common, MMIO_MAGIC, 4) == MMIO_MAGIC_VALUE &&
	       area_read(&v->common, MMIO_VERSION, 4) == 2 &&
	       area_read(&v->common, MMIO_DEVICE_ID, 4) == id;
}

/*
 * In the DSDT each device has the name LNRO0005, and behind it two resource descriptors (ACPI 6.5,
 * 6.4.3.4 "32-bit fixed memory range", 6.4.3.6 "extended interrupt").
 */
static bool find_on_mmio(struct virtio *v, u16 id, unsigned n)
{
	const u8 *end, *p = acpi_dsdt(&end), *memory, *irq;

	while ((p = behind_bytes(p, end, "LNRO0005", 8))) {
		memory = behind_bytes(p, end, "\x86\x09\x00", 3);
		irq = behind_bytes(p, end, "\x89\x06\x00", 3);
		if (!memory || !irq)
			return false;
		if (virtio_at(v, id, get32(memory + 1), get32(irq + 2)) && n-- == 0)
			return true;
	}
	return false;
}

bool virtio_find(struct virtio *v, u16 id, unsigned n, enum virtio_bus bus)
{
	*v = (struct virtio){.bus = bus, .queues = 1};
	return bus == VIRTIO_ON_PCI ? find_on_pci(v, id, n) : find_on_mmio(v, id, n);
}

/* ---- interrupts: 4.1.4.5, 4.1.5.1.2, 4.2.3.4 ---- */

#define VECTOR_CONFIG 0x50
#define VECTOR_QUEUE  0x51
#define VECTOR_LINE   0x52

volatile unsigned virtio_config_irqs, virtio_queue_irqs;

static struct virtio *on_the_line; /* whose interrupt VECTOR_LINE is */

IRQ_HANDLER static void config_interrupt(struct irq_frame *f)
{
	(void)f;
	virtio_config_irqs++;
	lapic_eoi();
}

IRQ_HANDLER static void queue_interrupt(struct irq_frame *f)
{
	(void)f;
	virtio_queue_irqs++;
	lapic_eoi();
}

/* On PCI, reading the reason takes it away, and lets go of the line. */
u32 virtio_take_reason(const struct virtio *v)
{
	u32 why;

	if (v->bus == VIRTIO_ON_PCI)
		return area_read(&v->isr, 0, 1);
	why = area_read(&v->isr, MMIO_ISR, 4);
	area_write(&v->isr, MMIO_ISR_ACK, 4, why);
	return why;
}

/* One line for everything: the device says why. */
IRQ_HANDLER static void line_interrupt(struct irq_frame *f)
{
	const u32 why = virtio_take_reason(on_the_line);

	(void)f;
	if (why & ISR_QUEUE)
		virtio_queue_irqs++;
	if (why & ISR_CONFIG)
		virtio_config_irqs++;
	lapic_eoi();
}

static void setup_interrupts(struct virtio *v, enum virtio_irq irq)
{
	v->irq = irq;
	if (v->bus == VIRTIO_ON_PCI) {
		pci_write(v->bdf, PCI_COMMAND, 2,
			  PCI_COMMAND_ALL | (irq == VIRTIO_LINE ? 0 : PCI_COMMAND_NO_INTX));
		if (v->msix.capability)
			msix_enable(v->bdf, &v->msix, irq == VIRTIO_MSIX);
	}
	if (irq == VIRTIO_POLL)
		return;
	irq_init();
	irq_set_handler(VECTOR_CONFIG, config_interrupt);
	irq_set_handler(VECTOR_QUEUE, queue_interrupt);
	irq_set_handler(VECTOR_LINE, line_interrupt);
	if (irq == VIRTIO_LINE) {
		on_the_line = v;
		if (v->bus == VIRTIO_ON_PCI)
			ioapic_route_level(v->gsi, VECTOR_LINE, lapic_id());
		else
			ioapic_route(v->gsi, VECTOR_LINE, lapic_id());
		return;
	}
	msix_set(&v->msix, 0, VECTOR_CONFIG);
	msix_set(&v->msix, 1, VECTOR_QUEUE);
	virtio_write(v, REG_CONFIG_VECTOR, 0);
}

/* ---- from power-on to DRIVER_OK: 3.1.1 ---- */

void virtio_reset(const struct virtio *v)
{
	virtio_write(v, REG_STATUS, 0);
	while (virtio_read(v, REG_STATUS)) /* 4.1.4.3.2: the driver waits for it */
		pause();
}

u64 virtio_device_features(const struct virtio *v)
{
	u64 features;

	virtio_write(v, REG_DEVICE_FEATURES_SELECT, 1);
	features = (u64)virtio_read(v, REG_DEVICE_FEATURES) << 32;
	virtio_write(v, REG_DEVICE_FEATURES_SELECT, 0);
	return features | virtio_read(v, REG_DEVICE_FEATURES);
}

bool virtio_negotiate(struct virtio *v, u64 features)
{
	u32 status = STATUS_ACKNOWLEDGE;

	virtio_reset(v);
	virtio_write(v, REG_STATUS, status);
	virtio_write(v, REG_STATUS, status |= STATUS_DRIVER);
	for (u32 half = 0; half < 2; half++) {
		virtio_write(v, REG_DRIVER_FEATURES_SELECT, half);
		virtio_write(v, REG_DRIVER_FEATURES, (u32)(features >> 32 * half));
	}
	v->features = features;
	virtio_write(v, REG_STATUS, status |= STATUS_FEATURES_OK);
	return virtio_read(v, REG_STATUS) & STATUS_FEATURES_OK;
}

void virtio_driver_ok(const struct virtio *v)
{
	virtio_write(v, REG_STATUS,
		     STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

bool virtio_start(struct virtio *v, u64 wanted, enum virtio_irq irq)
{
	virtio_reset(v);
	if (!virtio_negotiate(v, (virtio_device_features(v) & wanted) | FEATURE_VERSION_1))
		return false;
	setup_interrupts(v, irq);
	for (unsigned n = 0; n < v->queues; n++) {
		virtq_describe(v, n);
		virtq_enable(v, n);
	}
	virtio_driver_ok(v);
	return true;
}
