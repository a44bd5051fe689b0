/*
 * devices/pci.c: configuration space by both mechanisms (PCI 3.0, 3.2.2.3.2; PCI Express 5.0,
 * 7.2.2), the header's registers, capabilities, and INTx. The expectations are those of PCI 3.0,
 * 6.2.
 */
#include "tests/unit/test.h"

#include "tests/unit/pci_world.h"
#include "tests/unit/support.h"

enum { SLOT = 1 };

static u32 ones(unsigned width)
{
	return width == 4 ? 0xffffffff : (1U << (8 * width)) - 1;
}

static void test_the_header(void **state)
{
	struct pci_world *world = *state;

	assert_int_equal(ecam_read(world, SLOT, 0x00, 4), 0x56701234);
	assert_int_equal(ecam_read(world, SLOT, 0x04, 4), 0); /* nothing is decoded */
	assert_int_equal(ecam_read(world, SLOT, 0x08, 4) >> 8, 0x010203);
	assert_int_equal(ecam_read(world, SLOT, 0x0e, 1), 0);          /* one function, type 0 */
	assert_int_equal(ecam_read(world, SLOT, 0x2c, 4), 0x56701234); /* subsystem */
	assert_int_equal(ecam_read(world, SLOT, 0x30, 4), 0);          /* no expansion ROM */
	assert_int_equal(ecam_read(world, SLOT, 0x34, 1), 0);          /* no capabilities */
	assert_int_equal(ecam_read(world, SLOT, 0x3d, 1), 1);          /* pin A */
	/* The bridge: a host bridge without BARs or interrupts. */
	assert_int_equal(ecam_read(world, 0, 0x08, 4) >> 8, 0x060000);
	assert_int_equal(ecam_read(world, 0, 0x0e, 1), 0);
	assert_int_equal(ecam_read(world, 0, 0x3d, 1), 0);
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		ecam_write(world, 0, 0x10 + 4 * bar, 4, 0xffffffff);
		assert_int_equal(ecam_read(world, 0, 0x10 + 4 * bar, 4), 0);
	}
}

/* Each way of reading gives the bytes that are there, and both agree. */
static void test_reads_by_both_mechanisms(void **state)
{
	struct pci_world *world = *state;

	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		const bool there = slot <= WORLD_FUNCTIONS;

		for (unsigned offset = 0; offset < 256; offset++) {
			u32 dword = ecam_read(world, slot, offset & ~3U, 4);

			if (!there)
				assert_int_equal(dword, 0xffffffff);
			dword >>= 8 * (offset % 4);
			for (unsigned width = 1; width <= 4; width *= 2) {
				if (offset % 4 + width > 4)
					continue;
				assert_int_equal(ecam_read(world, slot, offset, width),
						 dword & ones(width));
				assert_int_equal(port_read(world, slot, offset, width),
						 dword & ones(width));
			}
		}
	}
}

/* Across dwords by ECAM: the bytes of both. */
static void test_reads_across_dwords(void **state)
{
	struct pci_world *world = *state;

	for (unsigned offset = 0; offset + 8 <= 256; offset++) {
		u64 expected = 0;

		for (unsigned i = 0; i < 8; i++)
			expected |= (u64)ecam_read(world, SLOT, offset + i, 1) << (8 * i);
		assert_int_equal(ecam_read(world, SLOT, offset, 2), expected & 0xffff);
		assert_int_equal(ecam_read(world, SLOT, offset, 4), expected & 0xffffffff);
		assert_true(bus_read(&world->mmio, WORLD_ECAM + ((u64)SLOT << 15) + offset, 8) ==
			    expected);
	}
}

static void test_what_is_not_there(void **state)
{
	struct pci_world *world = *state;

	for (unsigned width = 1; width <= 4; width *= 2) {
		/* Functions 1 to 7, buses 1 to 255. */
		for (u32 number = 1; number < 8; number++) {
			pci_write_address(&world->host, 0x80000000 | SLOT << 11 | number << 8);
			assert_int_equal(bus_read(&world->pio, PCI_DATA_PORT, width), ones(width));
			assert_int_equal(bus_read(&world->mmio,
						  WORLD_ECAM + (SLOT << 15) + (number << 12),
						  width),
					 ones(width));
		}
		for (u32 bus = 1; bus < 256; bus++) {
			pci_write_address(&world->host, 0x80000000 | bus << 16 | SLOT << 11);
			assert_int_equal(bus_read(&world->pio, PCI_DATA_PORT, width), ones(width));
			bus_write(&world->pio, PCI_DATA_PORT, width, 0);
		}
		/* There is no extended configuration space. */
		for (unsigned offset = 256; offset < 4096; offset += width)
			assert_int_equal(ecam_read(world, SLOT, offset, width), ones(width));
		/* The address register without its enable bit. */
		pci_write_address(&world->host, SLOT << 11);
		assert_int_equal(bus_read(&world->pio, PCI_DATA_PORT, width), ones(width));
		pci_write_address(&world->host, SLOT << 11 | 0x3c);
		bus_write(&world->pio, PCI_DATA_PORT, width, 0x55);
		assert_int_equal(ecam_read(world, SLOT, 0x3c, 1), 0);
	}
	/* Half there: what lies behind the end of the space is not. */
	assert_int_equal(ecam_read(world, SLOT, 0x100, 1), 0xff);
	assert_int_equal(bus_read(&world->mmio, WORLD_ECAM + PCI_ECAM_BYTES - 1, 1), 0xff);
}

static void test_the_address_register(void **state)
{
	struct pci_world *world = *state;

	pci_write_address(&world->host, 0xffffffff);
	assert_int_equal(pci_read_address(&world->host), 0x80fffffc);
	pci_write_address(&world->host, 0x7f000003);
	assert_int_equal(pci_read_address(&world->host), 0);
	pci_write_address(&world->host, 0x80001234);
	assert_int_equal(pci_read_address(&world->host), 0x80001234);
}

/*
 * What a guest can change of a header: PCI 3.0, 6.2. Bits that are not listed read as they did
 * before, whatever is written and however.
 */
static u32 writable(unsigned offset)
{
	switch (offset) {
	case 0x04:
		return 0x0407; /* I/O, memory, bus master; interrupt disable */
	case 0x10:
		return 0xffffe000;
	case 0x14:
		return 0xffffffc0;
	case 0x3c:
		return 0xff; /* interrupt line */
	default:
		return 0;
	}
}

static void test_what_can_be_written(void **state)
{
	struct pci_world *world = *state;

	for (unsigned offset = 0; offset < 256; offset += 4) {
		const u32 before = ecam_read(world, SLOT, offset, 4);

		ecam_write(world, SLOT, offset, 4, 0xffffffff);
		assert_int_equal(ecam_read(world, SLOT, offset, 4), before | writable(offset));
		ecam_write(world, SLOT, offset, 4, 0);
		assert_int_equal(ecam_read(world, SLOT, offset, 4), before & ~writable(offset));
	}
}

/* Writes of every width at every offset: to one function by ECAM, to its neighbour by the ports. */
static void test_writes_by_both_mechanisms(void **state)
{
	struct pci_world *world = *state;
	u32 expected[64], random = 3;

	for (unsigned i = 0; i < 64; i++) {
		expected[i] = ecam_read(world, 1, 4 * i, 4);
		/* They differ in their ids and in where they were placed. */
		ecam_write(world, 2, 4 * i, 4, expected[i]);
	}
	for (unsigned round = 0; round < 20000; round++) {
		const unsigned offset = next_random(&random) % 256;
		const unsigned width = 1U << next_random(&random) % 3;
		const u32 value = next_random(&random);
		const unsigned shift = 8 * (offset % 4);
		u32 mask;

		if (offset % 4 + width > 4)
			continue;
		mask = (ones(width) << shift) & writable(offset & ~3U);
		expected[offset / 4] = (expected[offset / 4] & ~mask) | ((value << shift) & mask);
		ecam_write(world, 1, offset, width, value);
		port_write(world, 2, offset, width, value);
		assert_int_equal(ecam_read(world, 1, offset & ~3U, 4), expected[offset / 4]);
		if ((offset & ~3U) && (offset & ~3U) != 0x2c)
			assert_int_equal(port_read(world, 2, offset & ~3U, 4),
					 expected[offset / 4]);
	}
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(ecam_read(world, 1, 4 * i, 4), expected[i]);
}

/* Across dwords by ECAM: each byte lands where it belongs, and nowhere else. */
static void test_writes_across_dwords(void **state)
{
	struct pci_world *world = *state;

	for (unsigned offset = 0; offset + 4 <= 256; offset++) {
		for (unsigned i = 0; i < 64; i++)
			ecam_write(world, SLOT, 4 * i, 4, 0);
		ecam_write(world, SLOT, offset, 4, 0xffffffff);
		for (unsigned at = 0x10; at < 0x18; at++) {
			const u32 bits = writable(at & ~3U) >> (8 * (at % 4)) & 0xff;
			const bool inside = at >= offset && at < offset + 4;
			const u32 type = at == 0x14 ? 1 : 0;

			assert_int_equal(ecam_read(world, SLOT, at, 1), (inside ? bits : 0) | type);
		}
	}
}

static void test_hooks_hear_of_writes(void **state)
{
	struct pci_world *world = *state;
	struct world_function *function = &world->function[0];

	ecam_write(world, SLOT, 0x3c, 1, 11);
	assert_int_equal(function->written, 1);
	assert_int_equal(function->last_written, 0x3c / 4);
	assert_int_equal(function->placed, 0);
	ecam_write(world, SLOT, 0x04, 2, 2);
	assert_int_equal(function->placed, 1);
	ecam_write(world, SLOT, 0x10, 4, 0xc0010000);
	assert_int_equal(function->placed, 2);
	/* Nothing of these can be written. */
	ecam_write(world, SLOT, 0x00, 4, 0xffffffff);
	ecam_write(world, SLOT, 0x3d, 1, 0xff);
	ecam_write(world, SLOT, 0x18, 4, 0xffffffff);
	ecam_write(world, SLOT, 0x80, 4, 0xffffffff);
	assert_int_equal(function->written, 3);
	assert_int_equal(function->placed, 2);
	assert_int_equal(world->function[1].written, 0);
}

static void test_capabilities(void **state)
{
	static const u8 body[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	static const struct {
		u8 id, bytes;
	} list[] = {{0x11, 12}, {0x09, 16}, {0x09, 20}, {0x05, 2}, {0x09, 13}, {0x01, 3}};
	struct pci_world *world = *state;
	static struct pci_function function;
	struct error err;
	u8 at[ARRAY_LEN(list)], next;
	unsigned slot;

	pci_function_init(&function, "one with capabilities", 1, 2, 3);
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		at[i] = pci_add_capability(&function, list[i].id, body, list[i].bytes);
	assert_int_equal(pci_add(&world->host, &function, &err), 0);
	slot = WORLD_FUNCTIONS + 1;
	assert_int_equal(ecam_read(world, slot, 0x06, 2) & 0x10, 0x10);
	next = (u8)ecam_read(world, slot, 0x34, 1);
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		assert_int_equal(next, at[i]);
		assert_true(next >= 0x40 && next % 4 == 0 && next + list[i].bytes <= 256);
		if (i > 0)
			assert_true(at[i] >= at[i - 1] + list[i - 1].bytes);
		assert_int_equal(ecam_read(world, slot, next, 1), list[i].id);
		for (unsigned j = 2; j < list[i].bytes; j++)
			assert_int_equal(ecam_read(world, slot, next + j, 1), body[j - 2]);
		next = (u8)ecam_read(world, slot, next + 1U, 1);
	}
	assert_int_equal(next, 0);
}

/* ---- INTx ---- */

static void set_source(struct pci_world *world, unsigned i, unsigned value)
{
	atomic_store(&world->function[i].source, value);
	pci_update_intx(&world->function[i].function);
}

static void test_lines(void **state)
{
	struct pci_world *world = *state;

	/* Slots 1 to 4 lead to lines 1, 2, 3 and 0. */
	for (unsigned i = 0; i < WORLD_FUNCTIONS; i++) {
		const unsigned line = (i + 1) % PCI_LINES;

		assert_int_equal(pci_slot_gsi(&world->host, i + 1), WORLD_FIRST_LINE + line);
		set_source(world, i, 2);
		set_source(world, i, 3);
		for (unsigned j = 0; j < PCI_LINES; j++)
			assert_int_equal(world->level[j], j == line);
		assert_int_equal(ecam_read(world, i + 1, 0x06, 1) & 8, 8);
		set_source(world, i, 0);
		assert_int_equal(ecam_read(world, i + 1, 0x06, 1) & 8, 0);
		assert_false(world->level[line]);
		assert_int_equal(world->edges[line], 2);
	}
}

/* A line is high while any of its functions pulls it. */
static void test_shared_lines(void **state)
{
	struct pci_world *world = *state;
	static struct pci_function fifth; /* slot 5 shares the line of slot 1 */
	atomic_uint source = 0;
	struct error err;

	pci_function_init(&fifth, "the fifth", 1, 2, 3);
	fifth.intx_source = &source;
	assert_int_equal(pci_add(&world->host, &fifth, &err), 0);
	assert_int_equal(pci_slot_gsi(&world->host, 5), WORLD_FIRST_LINE + 1);
	set_source(world, 0, 1);
	atomic_store(&source, 1);
	pci_update_intx(&fifth);
	assert_true(world->level[1]);
	set_source(world, 0, 0);
	assert_true(world->level[1]);
	assert_int_equal(world->edges[1], 1);
	atomic_store(&source, 0);
	pci_update_intx(&fifth);
	assert_false(world->level[1]);
	assert_int_equal(world->edges[1], 2);
}

/*
 * PCI 3.0, 6.2.2 and 6.2.3: the disable bit keeps the line low and leaves the status bit alone,
 * which a driver that shares the line looks at.
 */
static void test_interrupt_disable(void **state)
{
	struct pci_world *world = *state;

	set_source(world, 0, 1);
	assert_true(world->level[1]);
	ecam_write(world, SLOT, 0x04, 2, 0x0400);
	assert_false(world->level[1]);
	assert_int_equal(ecam_read(world, SLOT, 0x06, 1) & 8, 8);
	set_source(world, 0, 0);
	assert_int_equal(ecam_read(world, SLOT, 0x06, 1) & 8, 0);
	set_source(world, 0, 1);
	assert_false(world->level[1]);
	ecam_write(world, SLOT, 0x04, 2, 0);
	assert_true(world->level[1]);
}

static void test_interrupts_by_messages(void **state)
{
	struct pci_world *world = *state;
	struct pci_function *function = &world->function[0].function;

	set_source(world, 0, 1);
	atomic_store(&function->intx_off, true);
	pci_update_intx(function);
	assert_false(world->level[1]);
	atomic_store(&function->intx_off, false);
	pci_update_intx(function);
	assert_true(world->level[1]);
}

static void test_reset(void **state)
{
	struct pci_world *world = *state;
	u32 before[64];

	for (unsigned i = 0; i < 64; i++)
		before[i] = ecam_read(world, SLOT, 4 * i, 4);
	for (unsigned i = 0; i < 64; i++)
		ecam_write(world, SLOT, 4 * i, 4, 0xffffffff);
	ecam_write(world, SLOT, 0x04, 2, 3);
	set_source(world, 0, 1);
	atomic_store(&world->function[0].function.intx_off, true);
	pci_write_address(&world->host, 0x80000000);
	atomic_store(&world->function[0].source, 0);
	pci_reset(&world->host);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(ecam_read(world, SLOT, 4 * i, 4), before[i]);
	assert_int_equal(pci_read_address(&world->host), 0);
	/* The controller was reset with it, and hears of the next interrupt. */
	world->level[1] = false;
	set_source(world, 0, 1);
	assert_true(world->level[1]);
}

static void test_slots_run_out(void **state)
{
	static struct pci_function function[PCI_SLOTS];
	struct pci_world *world = *state;
	struct error err = {.text = ""};

	for (unsigned i = WORLD_FUNCTIONS + 1; i < PCI_SLOTS; i++) {
		pci_function_init(&function[i], "another", 1, (u16)i, 3);
		assert_int_equal(pci_add(&world->host, &function[i], &err), 0);
		assert_int_equal(ecam_read(world, i, 2, 2), i);
	}
	pci_function_init(&function[0], "one too many", 1, 0, 3);
	assert_int_equal(pci_add(&world->host, &function[0], &err), -1);
	assert_says(err.text, "one too many");
}

/* Each slot's pin A is routed to the interrupt that the slot has, and there is no more. */
static void test_what_acpi_says(void **state)
{
	struct pci_world *world = *state;
	struct aml aml, expected;
	u8 bytes[1024], entry[64], *at;

	aml_init(&aml, bytes, sizeof(bytes));
	pci_describe(&world->host, &aml, 0xe0000000);
	assert_false(aml.full);
	at = memmem(bytes, aml.used, "_PRT", 4);
	assert_non_null(at);
	for (unsigned slot = 1; slot <= WORLD_FUNCTIONS; slot++) {
		const u64 route[] = {(u64)slot << 16 | 0xffff, 0, 0,
				     pci_slot_gsi(&world->host, slot)};

		aml_init(&expected, entry, sizeof(entry));
		aml_package(&expected, NULL, route, ARRAY_LEN(route));
		at = memmem(at, (size_t)(bytes + aml.used - at), entry, expected.used);
		assert_non_null(at);
		at += expected.used;
	}
	assert_memory_equal(at, "\x5b\x82", 2); /* Device(ECAM) */
	assert_non_null(memmem(bytes, aml.used, "\x86\x09\x00\x01\x00\x00\x00\xe0", 8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PCI_TEST(test_the_header),
		PCI_TEST(test_reads_by_both_mechanisms),
		PCI_TEST(test_reads_across_dwords),
		PCI_TEST(test_what_is_not_there),
		PCI_TEST(test_the_address_register),
		PCI_TEST(test_what_can_be_written),
		PCI_TEST(test_writes_by_both_mechanisms),
		PCI_TEST(test_writes_across_dwords),
		PCI_TEST(test_hooks_hear_of_writes),
		PCI_TEST(test_capabilities),
		PCI_TEST(test_lines),
		PCI_TEST(test_shared_lines),
		PCI_TEST(test_interrupt_disable),
		PCI_TEST(test_interrupts_by_messages),
		PCI_TEST(test_reset),
		PCI_TEST(test_slots_run_out),
		PCI_TEST(test_what_acpi_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
