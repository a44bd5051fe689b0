/*
 * devices/pvpanic.c and devices/button.c: the port by which a guest tells of its panic, and the
 * interrupt by which it is asked to shut down. (What ACPI says of them is seen in test_aml_acpi.c.)
 */
#include "tests/unit/test.h"

#include "devices/button.h"
#include "devices/pvpanic.h"

static void count(void *owner)
{
	unsigned *panics = owner;

	(*panics)++;
}

static void test_panics(void **state)
{
	unsigned panics = 0;
	struct pvpanic pvpanic = {count, &panics};
	struct bus bus = {0};
	struct error err;

	(void)state;
	assert_int_equal(pvpanic_attach(&pvpanic, &bus, &err), 0);
	for (unsigned value = 0; value < 0x100; value++) {
		panics = 0;
		bus_write(&bus, 0x505, 1, value);
		assert_int_equal(panics, value & 1); /* "a crash kernel is loaded" isn't the end */
	}
	panics = 0;
	bus_write(&bus, 0x504, 1, 1);
	bus_write(&bus, 0x506, 1, 1);
	assert_int_equal(panics, 0);
	assert_int_equal(bus_read(&bus, 0x505, 1), 0x03);
	assert_int_equal(bus_read(&bus, 0x504, 4), 0xffff03ff);
}

struct edges {
	unsigned raised, lowered;
};

static void deliver(void *controller, u32 gsi, bool level)
{
	struct edges *edges = controller;

	assert_int_equal(gsi, 9);
	if (level)
		edges->raised++;
	else
		edges->lowered++;
	assert_in_range(edges->raised - edges->lowered, 0, 1);
}

static void test_each_press_is_one_edge(void **state)
{
	struct edges edges = {0, 0};
	struct irq_line button = {deliver, &edges, BUTTON_GSI, false};

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		button_press(&button);
		assert_int_equal(edges.raised, i);
		assert_int_equal(edges.lowered, i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_panics),
		cmocka_unit_test(test_each_press_is_one_edge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
