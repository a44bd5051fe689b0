/*
 * A PCI host bridge: see pci.h.
 */
#include "devices/pci.h"

#include <linux/pci_regs.h>
#include <string.h>

/* The identity of the bridge itself: a generic PCIe host bridge, which no driver knows or needs. */
enum { BRIDGE_VENDOR = 0x1b36, BRIDGE_DEVICE = 0x0008, BRIDGE_CLASS = 0x060000 };

enum { FIRST_CAPABILITY = 0x40, CONFIG_BYTES = 4 * PCI_CONFIG_DWORDS };

/* Dwords of the header. */
enum {
	DWORD_IDENTITY = 0,
	DWORD_COMMAND = PCI_COMMAND / 4, /* and, in its upper half, the status */
	DWORD_CLASS = PCI_CLASS_REVISION / 4,
	DWORD_BARS = PCI_BAR_DWORD,
	DWORD_SUBSYSTEM = PCI_SUBSYSTEM_VENDOR_ID / 4,
	DWORD_CAPABILITIES = PCI_CAPABILITY_LIST / 4,
	DWORD_INTERRUPT = PCI_INTERRUPT_LINE / 4,
};

/* The register at 0xcf8. */
#define ADDRESS_ENABLE 0x80000000U
#define ADDRESS_BITS   0x80fffffcU

/* The function that a bus, device and function number lead to, or NULL. */
static struct pci_function *find(struct pci_host *host, u64 number)
{
	const u64 slot = number >> 3;

	return slot < PCI_SLOTS && (number & 7) == 0 ? host->slot[slot] : NULL;
}

/* Whether it has an interrupt to tell of by its pin; the command register may keep it from that. */
static bool wants_intx(const struct pci_function *function)
{
	return function->intx_source && atomic_load(function->intx_source) != 0 &&
	       !atomic_load(&function->intx_off);
}

static u32 read_dword(const struct pci_function *function, unsigned index)
{
	u32 value = function->config[index];

	if (index == DWORD_COMMAND && wants_intx(function))
		value |= (u32)PCI_STATUS_INTERRUPT << 16;
	if (function->hooks && function->hooks->read)
		value = function->hooks->read(function->owner, index, value);
	return value;
}

static void write_dword(struct pci_function *function, unsigned index, u32 value, u32 mask)
{
	mask &= function->writable[index];
	if (!mask)
		return;
	function->config[index] = (function->config[index] & ~mask) | (value & mask);
	if (index == DWORD_COMMAND) {
		atomic_store(&function->intx_disabled,
			     function->config[index] & PCI_COMMAND_INTX_DISABLE);
		pci_update_intx(function);
	}
	if (!function->hooks)
		return;
	if ((index == DWORD_COMMAND || (index >= DWORD_BARS && index < DWORD_BARS + PCI_BARS)) &&
	    function->hooks->placed)
		function->hooks->placed(function->owner);
	if (function->hooks->written)
		function->hooks->written(function->owner, index);
}

/* An access of 1, 2 or 4 bytes at any offset; it may touch two dwords. */
static u32 config_read(struct pci_host *host, u64 number, u32 offset, unsigned width)
{
	const struct pci_function *function;
	const unsigned index = offset / 4, shift = 8 * (offset % 4);
	u64 value = UINT64_MAX;

	pthread_mutex_lock(&host->lock);
	function = find(host, number);
	if (function && offset + width <= CONFIG_BYTES) {
		value = read_dword(function, index);
		if (shift + 8 * width > 32)
			value |= (u64)read_dword(function, index + 1) << 32;
	}
	pthread_mutex_unlock(&host->lock);
	return (u32)(value >> shift);
}

static void config_write(struct pci_host *host, u64 number, u32 offset, unsigned width, u32 value)
{
	const unsigned index = offset / 4, shift = 8 * (offset % 4);
	const u64 mask = (UINT64_MAX >> (64 - 8 * width)) << shift;
	const u64 shifted = (u64)value << shift;
	struct pci_function *function;

	pthread_mutex_lock(&host->lock);
	function = find(host, number);
	if (function && offset + width <= CONFIG_BYTES) {
		write_dword(function, index, (u32)shifted, (u32)mask);
		if (mask >> 32)
			write_dword(function, index + 1, (u32)(shifted >> 32), (u32)(mask >> 32));
	}
	pthread_mutex_unlock(&host->lock);
}

u32 pci_read_address(void *owner)
{
	struct pci_host *host = owner;
	u32 value;

	pthread_mutex_lock(&host->lock);
	value = host->address;
	pthread_mutex_unlock(&host->lock);
	return value;
}

void pci_write_address(void *owner, u32 value)
{
	struct pci_host *host = owner;

	pthread_mutex_lock(&host->lock);
	host->address = value & ADDRESS_BITS;
	pthread_mutex_unlock(&host->lock);
}

static u64 data_read(void *device, u64 offset, unsigned width)
{
	const u32 address = pci_read_address(device);

	if (!(address & ADDRESS_ENABLE))
		return UINT64_MAX;
	return config_read(device, (address & ~ADDRESS_ENABLE) >> 8, (address & 0xff) + (u32)offset,
			   width);
}

static void data_write(void *device, u64 offset, unsigned width, u64 value)
{
	const u32 address = pci_read_address(device);

	if (address & ADDRESS_ENABLE)
		config_write(device, (address & ~ADDRESS_ENABLE) >> 8,
			     (address & 0xff) + (u32)offset, width, (u32)value);
}

static u64 ecam_read(void *device, u64 offset, unsigned width)
{
	return config_read(device, offset >> 12, offset & 0xfff, width);
}

static void ecam_write(void *device, u64 offset, unsigned width, u64 value)
{
	config_write(device, offset >> 12, offset & 0xfff, width, (u32)value);
}

u64 pci_bar_address(const struct pci_function *function, unsigned index)
{
	const struct pci_host *host = function->host;
	const struct pci_bar *bar = &function->bar[index];
	const u32 enable = bar->io_port ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	const struct pci_window *window = bar->io_port ? &host->ports : &host->memory;
	const u64 address =
		function->config[DWORD_BARS + index] &
		(bar->io_port ? (u32)PCI_BASE_ADDRESS_IO_MASK : (u32)PCI_BASE_ADDRESS_MEM_MASK);

	if (!bar->bytes || !(function->config[DWORD_COMMAND] & enable))
		return 0;
	if (address < window->base || address - window->base >= window->bytes ||
	    bar->bytes > window->bytes - (address - window->base))
		return 0;
	return address;
}

/* The function's BAR that takes the whole access, and the offset for its ops; or NULL. */
static const struct pci_bar *find_in_function(const struct pci_function *function, bool io_port,
					      u64 address, unsigned width, u64 *offset)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &function->bar[i];
		const u64 base = bar->io_port == io_port ? pci_bar_address(function, i) : 0;
		const u64 at = address - base;

		*offset = bar->first + at;
		if (base && address >= base && at < bar->bytes && width <= bar->bytes - at)
			return bar;
	}
	return NULL;
}

/*
 * The same for an offset into a window, and all functions. Where BARs overlap, the lowest slot
 * answers, as good as any other.
 */
static const struct pci_bar *bar_behind(const struct pci_window *window, u64 window_offset,
					unsigned width, u64 *offset)
{
	struct pci_host *host = window->host;
	const struct pci_bar *found = NULL;

	pthread_mutex_lock(&host->lock);
	for (unsigned slot = 0; slot < host->slots && !found; slot++)
		found = find_in_function(host->slot[slot], window->io_port,
					 window->base + window_offset, width, offset);
	pthread_mutex_unlock(&host->lock);
	return found;
}

static u64 window_read(void *window, u64 window_offset, unsigned width)
{
	u64 offset;
	const struct pci_bar *bar = bar_behind(window, window_offset, width, &offset);

	return bar ? bar->ops->read(bar->device, offset, width) : UINT64_MAX;
}

static void window_write(void *window, u64 window_offset, unsigned width, u64 value)
{
	u64 offset;
	const struct pci_bar *bar = bar_behind(window, window_offset, width, &offset);

	if (bar)
		bar->ops->write(bar->device, offset, width, value);
}

static const char *window_who(void *window, u64 window_offset)
{
	u64 offset;
	const struct pci_bar *bar = bar_behind(window, window_offset, 1, &offset);

	return bar ? bar->name : NULL;
}

static const char *window_name(void *window, u64 window_offset, bool write)
{
	u64 offset;
	const struct pci_bar *bar = bar_behind(window, window_offset, 1, &offset);

	return bar && bar->ops->name ? bar->ops->name(bar->device, offset, write) : "";
}

static const char *data_name(void *device, u64 offset, bool write)
{
	(void)device, (void)offset, (void)write;
	return "PCI_DATA";
}

static const struct bus_ops data_ops = {.read = data_read, .write = data_write, .name = data_name};
static const struct bus_ops ecam_ops = {.read = ecam_read, .write = ecam_write};
static const struct bus_ops window_ops = {
	.read = window_read, .write = window_write, .who = window_who, .name = window_name};

void pci_function_init(struct pci_function *function, const char *name, u16 vendor, u16 device,
		       u32 class)
{
	*function = (struct pci_function){.name = name};
	function->config[DWORD_IDENTITY] = vendor | (u32)device << 16;
	function->config[DWORD_CLASS] = class << 8 | 1; /* revision 1 */
	function->config[DWORD_SUBSYSTEM] = function->config[DWORD_IDENTITY];
	function->writable[DWORD_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY |
					    PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;
	function->writable[DWORD_INTERRUPT] = 0xff;
}

void pci_add_bar(struct pci_function *function, unsigned index, const struct pci_bar *bar)
{
	function->bar[index] = *bar;
	function->bar[index].name = function->name;
	function->config[DWORD_BARS + index] = bar->io_port ? PCI_BASE_ADDRESS_SPACE_IO : 0;
	function->writable[DWORD_BARS + index] = ~(bar->bytes - 1);
}

static void set_config_byte(struct pci_function *function, u32 offset, u8 value)
{
	const unsigned shift = 8 * (offset % 4);

	function->config[offset / 4] = (function->config[offset / 4] & ~((u32)0xff << shift)) |
				       (u32)value << shift;
}

u8 pci_add_capability(struct pci_function *function, u8 id, const void *body, u8 bytes)
{
	const u8 *from = body;
	const u32 link = function->last_capability ? function->last_capability + 1U
						   : (u32)PCI_CAPABILITY_LIST;
	const u32 at = function->capabilities_end ? function->capabilities_end : FIRST_CAPABILITY;

	function->last_capability = (u8)at;
	function->capabilities_end = (u8)align_up(at + bytes, 4);
	set_config_byte(function, link, (u8)at);
	set_config_byte(function, at, id);
	for (u8 i = 2; i < bytes; i++)
		set_config_byte(function, at + i, from[i - 2]);
	function->config[DWORD_COMMAND] |= (u32)PCI_STATUS_CAP_LIST << 16;
	return (u8)at;
}

/* Gives each BAR an address in the window, aligned to its size. */
static int place_bars(struct pci_host *host, struct pci_function *function, struct error *err)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &function->bar[i];
		struct pci_window *window = bar->io_port ? &host->ports : &host->memory;

		if (!bar->bytes)
			continue;
		window->next = align_up(window->next, bar->bytes);
		if (window->next + bar->bytes > window->base + window->bytes)
			return error_set(err, "no room in the PCI window for %s", function->name);
		function->config[DWORD_BARS + i] |= (u32)window->next;
		window->next += bar->bytes;
	}
	return 0;
}

int pci_add(struct pci_host *host, struct pci_function *function, struct error *err)
{
	if (host->slots == PCI_SLOTS)
		return error_set(err, "no PCI slot is left for %s: there are %d", function->name,
				 PCI_SLOTS - 1);
	if (place_bars(host, function, err))
		return -1;
	function->host = host;
	function->slot = host->slots;
	if (function->intx_source)
		function->config[DWORD_INTERRUPT] = 1U << 8; /* pin A */
	memcpy(function->power_on, function->config, sizeof(function->config));
	host->slot[host->slots++] = function;
	return 0;
}

void pci_update_intx(struct pci_function *function)
{
	struct pci_host *host = function->host;
	bool any = false;

	if (!function->intx_source)
		return;
	pthread_mutex_lock(&host->intx_lock);
	atomic_store(&function->intx_high,
		     wants_intx(function) && !atomic_load(&function->intx_disabled));
	for (unsigned slot = function->slot % PCI_LINES; slot < host->slots; slot += PCI_LINES)
		any = any || atomic_load(&host->slot[slot]->intx_high);
	irq_line_set(&host->line[function->slot % PCI_LINES], any);
	pthread_mutex_unlock(&host->intx_lock);
}

u32 pci_slot_gsi(const struct pci_host *host, unsigned slot)
{
	return host->line[slot % PCI_LINES].gsi;
}

int pci_init(struct pci_host *host, const struct pci_layout *layout, struct bus *pio,
	     struct bus *mmio, struct error *err)
{
	const struct bus_range data = {PCI_DATA_PORT, 4, 4, "pci", &data_ops, host};
	const struct bus_range ports = {PCI_PORTS_BASE, PCI_PORTS_BYTES, 4,
					"pci",          &window_ops,     &host->ports};
	const struct bus_range ecam = {
		layout->ecam_base, PCI_ECAM_BYTES, 4, "ecam", &ecam_ops, host};
	const struct bus_range memory = {layout->memory_base, layout->memory_bytes, 8, "pci",
					 &window_ops,         &host->memory};

	*host = (struct pci_host){
		.memory = {host, false, layout->memory_base, layout->memory_bytes,
			   layout->memory_base},
		.ports = {host, true, PCI_PORTS_BASE, PCI_PORTS_BYTES, PCI_PORTS_BASE},
	};
	memcpy(host->line, layout->line, sizeof(host->line));
	pthread_mutex_init(&host->lock, NULL);
	pthread_mutex_init(&host->intx_lock, NULL);
	pci_function_init(&host->bridge, "the bridge", BRIDGE_VENDOR, BRIDGE_DEVICE, BRIDGE_CLASS);
	if (pci_add(host, &host->bridge, err) || bus_add(pio, &data, err) ||
	    bus_add(pio, &ports, err) || bus_add(mmio, &ecam, err))
		return -1;
	return bus_add(mmio, &memory, err);
}

void pci_destroy(struct pci_host *host)
{
	if (!host->slots)
		return;
	pthread_mutex_destroy(&host->lock);
	pthread_mutex_destroy(&host->intx_lock);
	host->slots = 0;
}

void pci_reset(struct pci_host *host)
{
	host->address = 0;
	for (unsigned slot = 0; slot < host->slots; slot++) {
		struct pci_function *function = host->slot[slot];

		memcpy(function->config, function->power_on, sizeof(function->config));
		atomic_store(&function->intx_off, false);
		atomic_store(&function->intx_disabled, false);
		atomic_store(&function->intx_high, false);
	}
	for (unsigned i = 0; i < PCI_LINES; i++)
		host->line[i].level = false;
}

/* The four pins' routing: a package of packages, one a slot, all of pin A. */
static void describe_routing(const struct pci_host *host, struct aml *aml)
{
	const size_t routing = aml_open_package(aml, "_PRT", (u8)(host->slots - 1));

	for (unsigned slot = 1; slot < host->slots; slot++) {
		const u64 entry[] = {(u64)slot << 16 | 0xffff, 0, 0, pci_slot_gsi(host, slot)};

		aml_package(aml, NULL, entry, ARRAY_LEN(entry));
	}
	aml_close(aml, routing);
}

void pci_describe(const struct pci_host *host, struct aml *aml, u64 ecam_base)
{
	size_t device, resources;

	device = aml_open(aml, AML_DEVICE, "PCI0");
	aml_name_eisa_id(aml, "_HID", "PNP0A08");
	aml_name_eisa_id(aml, "_CID", "PNP0A03");
	aml_name_integer(aml, "_SEG", 0);
	aml_name_integer(aml, "_BBN", 0);
	aml_name_integer(aml, "_UID", 0);
	resources = aml_open_resources(aml);
	aml_window(aml, AML_WINDOW_BUS, 0, 1);
	aml_io(aml, (u16)PCI_ADDRESS_PORT, 8);
	aml_window(aml, AML_WINDOW_IO, host->ports.base, host->ports.bytes);
	aml_window(aml, AML_WINDOW_MEMORY, host->memory.base, host->memory.bytes);
	aml_close_resources(aml, resources);
	describe_routing(host, aml);
	aml_close(aml, device);

	/* ECAM belongs to nobody else; Linux trusts MCFG only where that is said. */
	device = aml_open(aml, AML_DEVICE, "ECAM");
	aml_name_eisa_id(aml, "_HID", "PNP0C02");
	aml_name_integer(aml, "_UID", 1);
	resources = aml_open_resources(aml);
	aml_memory(aml, (u32)ecam_base, (u32)PCI_ECAM_BYTES);
	aml_close_resources(aml, resources);
	aml_close(aml, device);
}
