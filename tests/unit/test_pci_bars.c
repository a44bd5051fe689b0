/*
 * devices/pci.c: BARs. Where they are placed, how a guest finds their size and moves them (PCI 3.0,
 * 6.2.5), and that one that lies where it shouldn't is just not there.
 */
#include "tests/unit/test.h"

#include "tests/unit/pci_world.h"

enum { SLOT = 1, COMMAND = 0x04, MEMORY_BAR = 0x10, IO_BAR = 0x14 };
enum { DECODE_IO = 1, DECODE_MEMORY = 2 };

static u64 memory_of(struct pci_world *world, unsigned slot)
{
	return ecam_read(world, slot, MEMORY_BAR, 4) & 0xfffffff0;
}

static u64 io_of(struct pci_world *world, unsigned slot)
{
	return ecam_read(world, slot, IO_BAR, 4) & 0xfffffffc;
}

static void decode(struct pci_world *world, unsigned slot, unsigned bits)
{
	ecam_write(world, slot, COMMAND, 2, bits);
}

/* Whether a BAR of the function answers at an address. */
static bool answers(struct pci_world *world, unsigned slot, bool io, u64 address)
{
	struct world_function *function = &world->function[slot - 1];
	struct bar_record *record = io ? &function->io : &function->memory;
	const unsigned reads = record->reads, writes = record->writes;
	const struct bus *bus = io ? &world->pio : &world->mmio;
	u64 got;

	record->answer = 0x5a;
	got = bus_read(bus, address, 1);
	bus_write(bus, address, 1, 1);
	assert_int_equal(record->reads - reads, record->writes - writes);
	assert_int_equal(got, record->reads == reads ? 0xff : 0x5a);
	return record->reads != reads;
}

static void test_where_they_are_placed(void **state)
{
	struct pci_world *world = *state;

	for (unsigned slot = 1; slot <= WORLD_FUNCTIONS; slot++) {
		const u64 memory = memory_of(world, slot), io = io_of(world, slot);

		assert_int_equal(ecam_read(world, slot, MEMORY_BAR, 1) & 0xf, 0);
		assert_int_equal(ecam_read(world, slot, IO_BAR, 1) & 3, 1);
		assert_int_equal(memory % WORLD_BAR_MEMORY, 0);
		assert_int_equal(io % WORLD_BAR_IO, 0);
		assert_true(memory >= WORLD_MEMORY);
		assert_true(memory + WORLD_BAR_MEMORY <= WORLD_MEMORY + WORLD_MEMORY_BYTES);
		assert_in_range(io, PCI_PORTS_BASE, 0x10000 - WORLD_BAR_IO);
		for (unsigned other = 1; other < slot; other++) {
			assert_true(memory_of(world, other) + WORLD_BAR_MEMORY <= memory);
			assert_true(io_of(world, other) + WORLD_BAR_IO <= io);
		}
		/* Nobody decodes before the guest says so. */
		assert_false(answers(world, slot, false, memory));
		assert_false(answers(world, slot, true, io));
	}
}

static void test_sizes(void **state)
{
	struct pci_world *world = *state;
	const u32 memory = ecam_read(world, SLOT, MEMORY_BAR, 4);
	const u32 io = ecam_read(world, SLOT, IO_BAR, 4);

	ecam_write(world, SLOT, MEMORY_BAR, 4, 0xffffffff);
	assert_int_equal(ecam_read(world, SLOT, MEMORY_BAR, 4), 0xffffe000);
	ecam_write(world, SLOT, MEMORY_BAR, 4, memory);
	assert_int_equal(ecam_read(world, SLOT, MEMORY_BAR, 4), memory);
	port_write(world, SLOT, IO_BAR, 4, 0xffffffff);
	/* The upper half of an I/O BAR may be hard-wired. */
	assert_int_equal(port_read(world, SLOT, IO_BAR, 4) & 0xffff, 0xffc1);
	port_write(world, SLOT, IO_BAR, 4, io);
	assert_int_equal(port_read(world, SLOT, IO_BAR, 4), io);
	for (unsigned offset = 0x18; offset < 0x28; offset += 4) {
		ecam_write(world, SLOT, offset, 4, 0xffffffff);
		assert_int_equal(ecam_read(world, SLOT, offset, 4), 0);
	}
}

static void test_accesses(void **state)
{
	struct pci_world *world = *state;
	struct world_function *function = &world->function[0];
	const u64 memory = memory_of(world, SLOT), io = io_of(world, SLOT);

	decode(world, SLOT, DECODE_IO | DECODE_MEMORY);
	function->memory.answer = function->io.answer = 0x8877665544332211;
	for (unsigned width = 1; width <= 8; width *= 2) {
		const u64 ones = ~(u64)0 >> (64 - 8 * width);

		for (u64 offset = 0; offset + width <= WORLD_BAR_MEMORY; offset += 0x1f1) {
			assert_true(bus_read(&world->mmio, memory + offset, width) ==
				    (0x8877665544332211 & ones));
			assert_int_equal(function->memory.offset, offset);
			assert_int_equal(function->memory.width, width);
			bus_write(&world->mmio, memory + offset, width, 0x55 + offset);
			assert_int_equal(function->memory.value, 0x55 + offset);
		}
		for (u64 offset = 0; offset + width <= WORLD_BAR_IO && width <= 4; offset++) {
			assert_true(bus_read(&world->pio, io + offset, width) ==
				    (0x8877665544332211 & ones));
			assert_int_equal(function->io.offset, offset);
			assert_int_equal(function->io.width, width);
			bus_write(&world->pio, io + offset, width, 0x55 + offset);
			assert_int_equal(function->io.value, 0x55 + offset);
		}
	}
	assert_true(answers(world, SLOT, false, memory + WORLD_BAR_MEMORY - 1));
	assert_false(answers(world, SLOT, false, memory + WORLD_BAR_MEMORY));
	assert_true(answers(world, SLOT, true, io + WORLD_BAR_IO - 1));
	assert_false(answers(world, SLOT, true, io + WORLD_BAR_IO));
	assert_false(answers(world, SLOT, true, io - 1));
	assert_int_equal(world->function[1].memory.reads, 0);
	assert_int_equal(world->function[1].io.reads, 0);
}

static void test_decoding_is_switched(void **state)
{
	struct pci_world *world = *state;
	const u64 memory = memory_of(world, SLOT), io = io_of(world, SLOT);

	for (unsigned bits = 0; bits < 4; bits++) {
		decode(world, SLOT, bits);
		assert_int_equal(answers(world, SLOT, false, memory), !!(bits & DECODE_MEMORY));
		assert_int_equal(answers(world, SLOT, true, io), !!(bits & DECODE_IO));
	}
	decode(world, SLOT, 0);
	assert_false(answers(world, SLOT, false, memory));
	assert_false(answers(world, SLOT, true, io));
}

static void test_they_move(void **state)
{
	static const u64 places[] = {WORLD_MEMORY + WORLD_MEMORY_BYTES - WORLD_BAR_MEMORY,
				     WORLD_MEMORY, WORLD_MEMORY + 0x40000, WORLD_MEMORY + 0x8000};
	static const u64 ports[] = {0x10000 - WORLD_BAR_IO, PCI_PORTS_BASE, 0x8000, 0x1040};
	struct pci_world *world = *state;
	u64 memory = memory_of(world, SLOT), io = io_of(world, SLOT);

	decode(world, SLOT, DECODE_IO | DECODE_MEMORY);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		ecam_write(world, SLOT, MEMORY_BAR, 4, (u32)places[i]);
		ecam_write(world, SLOT, IO_BAR, 4, (u32)ports[i]);
		if (memory != places[i])
			assert_false(answers(world, SLOT, false, memory));
		if (io != ports[i])
			assert_false(answers(world, SLOT, true, io));
		memory = places[i];
		io = ports[i];
		assert_true(answers(world, SLOT, false, memory));
		assert_true(answers(world, SLOT, false, memory + WORLD_BAR_MEMORY - 1));
		assert_true(answers(world, SLOT, true, io));
		assert_int_equal(pci_bar_address(&world->function[0].function, 0), memory);
		assert_int_equal(pci_bar_address(&world->function[0].function, 1), io);
	}
	/* Written in bytes, from the lowest: it is somewhere else in between. */
	for (unsigned i = 0; i < 4; i++)
		ecam_write(world, SLOT, MEMORY_BAR + i, 1, (0xc0020000 >> (8 * i)) & 0xff);
	assert_true(answers(world, SLOT, false, 0xc0020000));
}

/* Onto RAM, the interrupt controller, ECAM or the ports of other devices: it isn't there. */
static void test_places_outside_the_window(void **state)
{
	static const u32 places[] = {0x2000,     0x100000,   0xbfffe000, 0xc0100000, 0xe0000000,
				     0xfec00000, 0xfee00000, 0xffffe000, 0};
	static const u32 ports[] = {0,     0x40,    0x3c0,   0x600,     0xcc0,
				    0xfc0, 0x10000, 0x11000, 0xffffffc0};
	struct pci_world *world = *state;
	struct bar_record other = {.answer = 0x77};
	const struct bus_range device = {0xfec00000, 16, 4, "other", &bar_record_ops, &other};
	const u32 identity = ecam_read(world, 0, 0, 4);
	struct error err;

	assert_int_equal(bus_add(&world->mmio, &device, &err), 0);
	decode(world, SLOT, DECODE_IO | DECODE_MEMORY);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		ecam_write(world, SLOT, MEMORY_BAR, 4, places[i]);
		ecam_write(world, SLOT, IO_BAR, 4, ports[i]);
		/* What was written reads back; only, nothing is there. */
		assert_int_equal(memory_of(world, SLOT), places[i]);
		assert_int_equal(pci_bar_address(&world->function[0].function, 0), 0);
		assert_int_equal(pci_bar_address(&world->function[0].function, 1), 0);
		(void)bus_read(&world->mmio, places[i], 4);
		bus_write(&world->mmio, places[i], 4, 0xffffffff);
		(void)bus_read(&world->pio, ports[i], 4);
		bus_write(&world->pio, ports[i], 4, 0xffffffff);
		assert_int_equal(world->function[0].memory.reads, 0);
		assert_int_equal(world->function[0].memory.writes, 0);
		assert_int_equal(world->function[0].io.reads, 0);
		assert_int_equal(world->function[0].io.writes, 0);
		assert_int_equal(other.writes, i >= 5);
		assert_int_equal(ecam_read(world, 0, 0, 4), identity);
	}
	ecam_write(world, SLOT, MEMORY_BAR, 4, 0xc0000000);
	assert_true(answers(world, SLOT, false, 0xc0000000));
}

/* Two at one place: one of them answers, and the other is whole when it is moved away. */
static void test_overlaps(void **state)
{
	struct pci_world *world = *state;
	const u64 at = memory_of(world, 1);
	unsigned first, second;

	decode(world, 1, DECODE_MEMORY);
	decode(world, 2, DECODE_MEMORY);
	ecam_write(world, 2, MEMORY_BAR, 4, (u32)at);
	(void)bus_read(&world->mmio, at + 16, 4);
	first = world->function[0].memory.reads;
	second = world->function[1].memory.reads;
	assert_int_equal(first + second, 1);
	ecam_write(world, 2, MEMORY_BAR, 4, (u32)at + 0x10000);
	assert_true(answers(world, 1, false, at));
	assert_true(answers(world, 2, false, at + 0x10000));
	/* Where only one decodes, it answers. */
	ecam_write(world, 2, MEMORY_BAR, 4, (u32)at);
	decode(world, 1, 0);
	assert_true(answers(world, 2, false, at));
	decode(world, 1, DECODE_MEMORY);
	decode(world, 2, 0);
	assert_true(answers(world, 1, false, at));
}

/* An access over the end of a BAR, or between two: it reaches no register beyond either. */
static void test_accesses_over_the_end(void **state)
{
	struct pci_world *world = *state;
	const u64 memory = memory_of(world, 1);

	for (unsigned slot = 1; slot <= WORLD_FUNCTIONS; slot++)
		decode(world, slot, DECODE_IO | DECODE_MEMORY);
	for (unsigned width = 2; width <= 8; width *= 2) {
		for (unsigned over = 1; over < width; over++) {
			(void)bus_read(&world->mmio, memory + WORLD_BAR_MEMORY - over, width);
			bus_write(&world->mmio, memory + WORLD_BAR_MEMORY - over, width, 0);
			for (unsigned i = 0; i < WORLD_FUNCTIONS; i++)
				assert_true(world->function[i].memory.offset +
						    world->function[i].memory.width <=
					    WORLD_BAR_MEMORY);
		}
	}
	/* Behind the window there is nothing, too. */
	assert_int_equal(bus_read(&world->mmio, WORLD_MEMORY + WORLD_MEMORY_BYTES, 4), 0xffffffff);
}

static void test_the_window_fills_up(void **state)
{
	static struct pci_function function[8];
	struct pci_world *world = *state;
	const struct pci_bar half = {.bytes = WORLD_MEMORY_BYTES / 2};
	const struct pci_bar whole = {.bytes = WORLD_MEMORY_BYTES};
	struct error err = {.text = ""};

	pci_function_init(&function[1], "half of it", 1, 1, 3);
	pci_add_bar(&function[1], 3, &half);
	assert_int_equal(pci_add(&world->host, &function[1], &err), 0);
	assert_int_equal(ecam_read(world, WORLD_FUNCTIONS + 1, 0x1c, 4),
			 WORLD_MEMORY + WORLD_MEMORY_BYTES / 2);
	pci_function_init(&function[2], "the next", 1, 1, 3);
	pci_add_bar(&function[2], 0, &half);
	assert_int_equal(pci_add(&world->host, &function[2], &err), -1);
	pci_function_init(&function[0], "a large one", 1, 1, 3);
	pci_add_bar(&function[0], 0, &whole);
	assert_int_equal(pci_add(&world->host, &function[0], &err), -1);
	assert_says(err.text, "a large one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PCI_TEST(test_where_they_are_placed),
		PCI_TEST(test_sizes),
		PCI_TEST(test_accesses),
		PCI_TEST(test_decoding_is_switched),
		PCI_TEST(test_they_move),
		PCI_TEST(test_places_outside_the_window),
		PCI_TEST(test_overlaps),
		PCI_TEST(test_accesses_over_the_end),
		PCI_TEST(test_the_window_fills_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
