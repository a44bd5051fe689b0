/*
 * devices/power.c: every value at every port, in every width. What ends the machine is listed here
 * and nothing else may; an end is told once per write.
 */
#include "tests/unit/test.h"

#include "devices/power.h"

struct world {
	struct power power;
	struct bus bus;
	unsigned offs, resets;
};

static void off(void *owner)
{
	struct world *world = owner;

	world->offs++;
}

static void reset(void *owner)
{
	struct world *world = owner;

	world->resets++;
}

static int set_up(void **state)
{
	static struct world world;
	struct error err;

	world = (struct world){.power = {.off = off, .reset = reset, .owner = &world}};
	*state = &world;
	return power_attach(&world.power, &world.bus, &err);
}

/* Writes and returns what came of it: "", "off" or "reset". */
static const char *outcome(struct world *world, u64 port, unsigned width, u64 value)
{
	world->offs = world->resets = 0;
	bus_write(&world->bus, port, width, value);
	assert_true(world->offs + world->resets <= 1);
	return world->offs ? "off" : world->resets ? "reset" : "";
}

static void test_sleep_control(void **state)
{
	for (unsigned value = 0; value < 0x100; value++) {
		/* SLP_EN and type 5; the bits around them are reserved. */
		const bool ends = (value & 0x3c) == (0x20 | 5 << 2);

		assert_string_equal(outcome(*state, POWER_SLEEP_CONTROL, 1, value),
				    ends ? "off" : "");
	}
	assert_string_equal(outcome(*state, 0x600, 1, 0x34), "off");
}

static void test_sleep_status(void **state)
{
	for (unsigned value = 0; value < 0x100; value++)
		assert_string_equal(outcome(*state, 0x601, 1, value), "");
}

static void test_reset_register(void **state)
{
	for (unsigned value = 0; value < 0x100; value++)
		assert_string_equal(outcome(*state, 0x602, 1, value), value == 1 ? "reset" : "");
}

static void test_chipset_reset(void **state)
{
	for (unsigned value = 0; value < 0x100; value++)
		assert_string_equal(outcome(*state, 0xcf9, 1, value), value & 4 ? "reset" : "");
}

/*
 * Port 0xcf9 lies within PCI's configuration address, 0xcf8: four bytes written there are that, and
 * have bit 10 set for functions 4 to 7 of each device. A guest that looks for devices isn't reset.
 */
static void test_a_pci_address_is_no_reset(void **state)
{
	for (u64 function = 0; function < 8; function++)
		assert_string_equal(outcome(*state, 0xcf8, 4, 0x80000000 | function << 8), "");
	assert_string_equal(outcome(*state, 0xcf8, 4, 0xffffffff), "");
	assert_string_equal(outcome(*state, 0xcf8, 2, 0xffff), "");
	assert_string_equal(outcome(*state, 0xcf9, 2, 0xffff), "");
}

static void test_keyboard_controller(void **state)
{
	for (unsigned value = 0; value < 0x100; value++)
		assert_string_equal(outcome(*state, 0x64, 1, value), value == 0xfe ? "reset" : "");
}

/* The whole space of ports, but for those above; 0x06 is what an old habit writes to 0xcf9. */
static void test_nothing_else_ends_the_machine(void **state)
{
	static const u8 values[] = {0x00, 0x01, 0x04, 0x06, 0x0e, 0x34, 0xfe, 0xff};

	for (u64 port = 0; port < 0x10000; port++) {
		if (port == 0x64 || port == 0x600 || port == 0x602 || port == 0xcf9)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(values); i++)
			assert_string_equal(outcome(*state, port, 1, values[i]), "");
	}
}

static void test_wide_writes_reach_each_register(void **state)
{
	assert_string_equal(outcome(*state, 0x600, 2, 0x0034), "off");
	assert_string_equal(outcome(*state, 0x601, 2, 0x0100), "reset");
	assert_string_equal(outcome(*state, 0x600, 4, 0x00010000), "reset");
	assert_string_equal(outcome(*state, 0x600, 4, 0x01000000), "");
	assert_string_equal(outcome(*state, 0x602, 2, 0x3401), "reset");
}

static void test_reads(void **state)
{
	struct world *world = *state;

	assert_int_equal(bus_read(&world->bus, 0x600, 1), 0);
	assert_int_equal(bus_read(&world->bus, 0x601, 1), 0);
	assert_int_equal(bus_read(&world->bus, 0x602, 1), 0);
	assert_int_equal(bus_read(&world->bus, 0x603, 1), 0xff);
	assert_int_equal(bus_read(&world->bus, 0xcf8, 1), 0xff);
	assert_int_equal(bus_read(&world->bus, 0xcf9, 1), 0);
	/* No controller, but its input buffer (bit 1) is never full. */
	assert_int_equal(bus_read(&world->bus, 0x64, 1), 0xfd);
	assert_int_equal(bus_read(&world->bus, 0x60, 1), 0xff);
	assert_int_equal(world->offs + world->resets, 0);
}

static void test_taken_ports_are_an_error(void **state)
{
	static const u64 taken[] = {0x600, 0x602, 0xcf9, 0x64};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		const struct bus_range other = {taken[i], 1, 1, "other", NULL, NULL};
		struct bus bus = {0};
		struct error err = {.text = ""};

		assert_int_equal(bus_add(&bus, &other, &err), 0);
		assert_int_equal(power_attach(&world->power, &bus, &err), -1);
		assert_says(err.text, "overlaps");
	}
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sleep_control),
		TEST(test_sleep_status),
		TEST(test_reset_register),
		TEST(test_chipset_reset),
		TEST(test_a_pci_address_is_no_reset),
		TEST(test_keyboard_controller),
		TEST(test_nothing_else_ends_the_machine),
		TEST(test_wide_writes_reach_each_register),
		TEST(test_reads),
		TEST(test_taken_ports_are_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
