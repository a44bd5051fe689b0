/* A PCI host for tests: see pci_world.h. */
#include "tests/unit/test.h"

#include "tests/unit/pci_world.h"

static void deliver(void *controller, u32 gsi, bool level)
{
	struct pci_world *world = controller;

	assert_in_range(gsi, WORLD_FIRST_LINE, WORLD_FIRST_LINE + PCI_LINES - 1);
	world->level[gsi - WORLD_FIRST_LINE] = level;
	world->edges[gsi - WORLD_FIRST_LINE]++;
}

static u64 record_read(void *device, u64 offset, unsigned width)
{
	struct bar_record *record = device;

	record->reads++;
	record->offset = offset;
	record->width = width;
	return record->answer;
}

static void record_write(void *device, u64 offset, unsigned width, u64 value)
{
	struct bar_record *record = device;

	record->writes++;
	record->offset = offset;
	record->width = width;
	record->value = value;
}

const struct bus_ops bar_record_ops = {.read = record_read, .write = record_write};

static void written(void *owner, unsigned index)
{
	struct world_function *function = owner;

	function->written++;
	function->last_written = index;
}

static void placed(void *owner)
{
	struct world_function *function = owner;

	function->placed++;
}

static const struct pci_hooks hooks = {.written = written, .placed = placed};

void pci_world_init(struct pci_world *world)
{
	struct pci_layout layout = {.ecam_base = WORLD_ECAM,
				    .memory_base = WORLD_MEMORY,
				    .memory_bytes = WORLD_MEMORY_BYTES};
	struct error err;

	*world = (struct pci_world){.edges = {0}};
	for (u32 i = 0; i < PCI_LINES; i++)
		layout.line[i] = (struct irq_line){
			.deliver = deliver, .controller = world, .gsi = WORLD_FIRST_LINE + i};
	if (pci_init(&world->host, &layout, &world->pio, &world->mmio, &err))
		fail_msg("%s", err.text);
}

void pci_world_add_functions(struct pci_world *world)
{
	struct error err;

	for (unsigned i = 0; i < WORLD_FUNCTIONS; i++) {
		struct world_function *function = &world->function[i];
		const struct pci_bar memory = {.bytes = WORLD_BAR_MEMORY,
					       .ops = &bar_record_ops,
					       .device = &function->memory};
		const struct pci_bar io = {.bytes = WORLD_BAR_IO,
					   .io_port = true,
					   .ops = &bar_record_ops,
					   .device = &function->io};

		pci_function_init(&function->function, "thing", 0x1234, (u16)(0x5670 + i),
				  0x010203);
		function->function.hooks = &hooks;
		function->function.owner = function;
		function->function.intx_source = &function->source;
		pci_add_bar(&function->function, 0, &memory);
		pci_add_bar(&function->function, 1, &io);
		if (pci_add(&world->host, &function->function, &err))
			fail_msg("%s", err.text);
	}
}

void pci_world_destroy(struct pci_world *world)
{
	pci_destroy(&world->host);
}

int pci_world_set_up(void **state)
{
	static struct pci_world world;

	pci_world_init(&world);
	pci_world_add_functions(&world);
	*state = &world;
	return 0;
}

int pci_world_tear_down(void **state)
{
	pci_world_destroy(*state);
	return 0;
}

u32 ecam_read(struct pci_world *world, unsigned slot, unsigned offset, unsigned width)
{
	return (u32)bus_read(&world->mmio, WORLD_ECAM + ((u64)slot << 15) + offset, width);
}

void ecam_write(struct pci_world *world, unsigned slot, unsigned offset, unsigned width, u32 value)
{
	bus_write(&world->mmio, WORLD_ECAM + ((u64)slot << 15) + offset, width, value);
}

static void set_address(struct pci_world *world, unsigned slot, unsigned offset)
{
	pci_write_address(&world->host, 0x80000000 | slot << 11 | (offset & ~3U));
}

u32 port_read(struct pci_world *world, unsigned slot, unsigned offset, unsigned width)
{
	set_address(world, slot, offset);
	return (u32)bus_read(&world->pio, PCI_DATA_PORT + offset % 4, width);
}

void port_write(struct pci_world *world, unsigned slot, unsigned offset, unsigned width, u32 value)
{
	set_address(world, slot, offset);
	bus_write(&world->pio, PCI_DATA_PORT + offset % 4, width, value);
}
