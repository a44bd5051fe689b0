/*
 * vmm/bus.c: where ranges may lie, which range an address finds, and how accesses that no range
 * takes whole are split. The devices behind the bus record each call, and answer a read with bytes
 * that tell the offset.
 */
#include "tests/unit/test.h"

#include <stdio.h>

#include "vmm/bus.h"

enum { CALLS_MAX = 32 };

struct call {
	bool write;
	u64 offset;
	unsigned width;
	u64 value;
};

struct recorder {
	struct call call[CALLS_MAX];
	unsigned calls;
	u8 tag; /* high four bits of each byte read */
};

static u64 record_read(void *device, u64 offset, unsigned width)
{
	struct recorder *recorder = device;
	u64 value = ~(u64)0 << 8;

	assert_true(recorder->calls < CALLS_MAX);
	recorder->call[recorder->calls++] = (struct call){false, offset, width, 0};
	if (width == 1)
		return value | recorder->tag |
		       (offset & 0xf); /* what is beyond the width is noise */
	value = 0;
	for (unsigned i = 0; i < width; i++)
		value |= (u64)(recorder->tag | ((offset + i) & 0xf)) << (8 * i);
	return value;
}

static void record_write(void *device, u64 offset, unsigned width, u64 value)
{
	struct recorder *recorder = device;

	assert_true(recorder->calls < CALLS_MAX);
	recorder->call[recorder->calls++] = (struct call){true, offset, width, value};
}

static const struct bus_ops recorder_ops = {.read = record_read, .write = record_write};

static struct bus_range range_of(u64 base, u64 bytes, unsigned max_width, void *device)
{
	return (struct bus_range){base, bytes, max_width, "thing", &recorder_ops, device};
}

static int add(struct bus *bus, u64 base, u64 bytes)
{
	const struct bus_range range = range_of(base, bytes, 1, NULL);
	struct error err = {.text = ""};
	const int result = bus_add(bus, &range, &err);

	if (result)
		assert_says(err.text, "'thing'");
	return result;
}

static void assert_call(const struct recorder *recorder, unsigned i, bool write, u64 offset,
			unsigned width, u64 value)
{
	assert_true(i < recorder->calls);
	assert_int_equal(recorder->call[i].write, write);
	assert_int_equal(recorder->call[i].offset, offset);
	assert_int_equal(recorder->call[i].width, width);
	assert_int_equal(recorder->call[i].value, value);
}

static void test_ranges_are_kept_sorted(void **state)
{
	static const u64 bases[] = {0x500, 0x100, 0x900, 0x300, 0x700, 0};
	struct bus bus = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bases); i++)
		assert_int_equal(add(&bus, bases[i], 0x10), 0);
	assert_int_equal(bus.ranges, ARRAY_LEN(bases));
	for (unsigned i = 1; i < bus.ranges; i++)
		assert_true(bus.range[i - 1].base < bus.range[i].base);
	for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
		assert_int_equal(bus_find(&bus, bases[i])->base, bases[i]);
		assert_int_equal(bus_find(&bus, bases[i] + 0xf)->base, bases[i]);
		assert_null(bus_find(&bus, bases[i] + 0x10));
	}
	assert_null(bus_find(&bus, 0xff));
	assert_null(bus_find(&bus, ~(u64)0));
}

static void test_an_empty_bus_finds_nothing(void **state)
{
	const struct bus bus = {0};

	(void)state;
	assert_null(bus_find(&bus, 0));
	assert_int_equal(bus_read(&bus, 0, 4), 0xffffffff);
	bus_write(&bus, 0, 4, 0);
}

static void test_overlaps_are_refused(void **state)
{
	struct bus bus = {0};

	(void)state;
	assert_int_equal(add(&bus, 0x100, 0x10), 0);
	assert_int_equal(add(&bus, 0x200, 0x10), 0);
	assert_int_equal(add(&bus, 0x100, 0x10), -1); /* the same */
	assert_int_equal(add(&bus, 0x104, 4), -1);    /* within */
	assert_int_equal(add(&bus, 0x0f0, 0x30), -1); /* around */
	assert_int_equal(add(&bus, 0x10f, 1), -1);    /* its last byte */
	assert_int_equal(add(&bus, 0x0ff, 2), -1);    /* its first byte */
	assert_int_equal(add(&bus, 0x1ff, 2), -1);
	assert_int_equal(add(&bus, 0x110, 0x100), -1); /* into the next one */
	assert_int_equal(add(&bus, 0, ~(u64)0), -1);
	assert_int_equal(bus.ranges, 2);
	assert_int_equal(add(&bus, 0x110, 0xf0), 0); /* fills the gap between them */
	assert_int_equal(add(&bus, 0, 0x100), 0);
	assert_int_equal(bus.ranges, 4);
}

static void test_impossible_ranges_are_refused(void **state)
{
	struct bus bus = {0};

	(void)state;
	assert_int_equal(add(&bus, 0x100, 0), -1);
	assert_int_equal(add(&bus, ~(u64)0, 2), -1);
	assert_int_equal(add(&bus, 1, ~(u64)0), -1);
	assert_int_equal(add(&bus, (u64)1 << 63, (u64)1 << 63), -1); /* its end isn't a number */
	assert_int_equal(bus.ranges, 0);
	assert_int_equal(add(&bus, ~(u64)0 - 1, 1), 0);
	assert_non_null(bus_find(&bus, ~(u64)0 - 1));
	assert_null(bus_find(&bus, ~(u64)0));
}

static void test_the_bus_fills_up(void **state)
{
	struct bus bus = {0};
	struct error err = {.text = ""};
	const struct bus_range extra = range_of(0, 1, 1, NULL);

	(void)state;
	for (unsigned i = BUS_RANGES_MAX; i > 0; i--)
		assert_int_equal(add(&bus, 0x10 * i, 8), 0);
	assert_int_equal(bus_add(&bus, &extra, &err), -1);
	assert_says(err.text, "64");
	assert_int_equal(bus.ranges, BUS_RANGES_MAX);
	for (unsigned i = 1; i <= BUS_RANGES_MAX; i++) {
		assert_int_equal(bus_find(&bus, 0x10 * i)->base, 0x10 * i);
		assert_int_equal(bus_find(&bus, 0x10 * i + 7)->base, 0x10 * i);
		assert_null(bus_find(&bus, 0x10 * i + 8));
	}
}

static void test_a_device_gets_offsets_and_whole_accesses(void **state)
{
	struct recorder device = {.tag = 0xa0};
	struct bus bus = {0};
	struct error err;
	const struct bus_range range = range_of(0x1000, 0x10, 8, &device);

	(void)state;
	assert_int_equal(bus_add(&bus, &range, &err), 0);
	assert_int_equal(bus_read(&bus, 0x1002, 2), 0xa3a2);
	assert_int_equal(bus_read(&bus, 0x1004, 4), 0xa7a6a5a4);
	assert_int_equal(bus_read(&bus, 0x1008, 8), 0xafaeadacabaaa9a8);
	bus_write(&bus, 0x1000, 8, 0x1122334455667788);
	bus_write(&bus, 0x100f, 1, 0x99);
	assert_int_equal(device.calls, 5);
	assert_call(&device, 0, false, 2, 2, 0);
	assert_call(&device, 1, false, 4, 4, 0);
	assert_call(&device, 2, false, 8, 8, 0);
	assert_call(&device, 3, true, 0, 8, 0x1122334455667788);
	assert_call(&device, 4, true, 15, 1, 0x99);
}

static void test_wide_accesses_are_split(void **state)
{
	struct recorder device = {.tag = 0xb0};
	struct bus bus = {0};
	struct error err;
	const struct bus_range range = range_of(0x1000, 8, 1, &device);

	(void)state;
	assert_int_equal(bus_add(&bus, &range, &err), 0);
	assert_int_equal(bus_read(&bus, 0x1001, 4), 0xb4b3b2b1);
	assert_int_equal(device.calls, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_call(&device, i, false, 1 + i, 1, 0);
	device.calls = 0;
	bus_write(&bus, 0x1000, 8, 0x8877665544332211);
	assert_int_equal(device.calls, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_call(&device, i, true, i, 1, 0x11 * (i + 1));
}

static void test_odd_widths_are_split(void **state)
{
	static const unsigned widths[] = {3, 5, 6, 7};

	(void)state;
	for (size_t w = 0; w < ARRAY_LEN(widths); w++) {
		struct recorder device = {.tag = 0xc0};
		struct bus bus = {0};
		struct error err;
		const struct bus_range range = range_of(0, 8, 8, &device);
		u64 expected = 0;

		assert_int_equal(bus_add(&bus, &range, &err), 0);
		for (unsigned i = 0; i < widths[w]; i++)
			expected |= (u64)(0xc0 + i) << (8 * i);
		assert_int_equal(bus_read(&bus, 0, widths[w]), expected);
		assert_int_equal(device.calls, widths[w]);
		bus_write(&bus, 0, widths[w], 0x8877665544332211);
		assert_int_equal(device.calls, 2 * widths[w]);
		for (unsigned i = 0; i < widths[w]; i++)
			assert_call(&device, widths[w] + i, true, i, 1, 0x11 * (i + 1));
	}
}

/* Bytes 6 and 7 of one device, two of nobody, and the first four of the next. */
static void test_crossing_accesses_are_split(void **state)
{
	struct recorder left = {.tag = 0xd0}, right = {.tag = 0xe0};
	struct bus bus = {0};
	struct error err;
	const struct bus_range ranges[] = {range_of(0x100, 8, 8, &left),
					   range_of(0x10a, 8, 8, &right)};

	(void)state;
	assert_int_equal(bus_add(&bus, &ranges[0], &err), 0);
	assert_int_equal(bus_add(&bus, &ranges[1], &err), 0);
	assert_int_equal(bus_read(&bus, 0x106, 8), 0xe3e2e1e0ffffd7d6);
	bus_write(&bus, 0x106, 8, 0x8877665544332211);
	assert_int_equal(left.calls, 4);
	assert_int_equal(right.calls, 8);
	assert_call(&left, 2, true, 6, 1, 0x11);
	assert_call(&left, 3, true, 7, 1, 0x22);
	assert_call(&right, 4, true, 0, 1, 0x55);
	assert_call(&right, 7, true, 3, 1, 0x88);
	/* From nothing into a device: the device still sees its byte. */
	left.calls = 0;
	assert_int_equal(bus_read(&bus, 0xff, 2), 0xd0ff);
	assert_int_equal(left.calls, 1);
}

static void test_nothing_reads_all_ones(void **state)
{
	struct recorder device = {.tag = 0};
	struct bus bus = {0};
	struct error err;
	const struct bus_range range = range_of(0x100, 8, 8, &device);

	(void)state;
	assert_int_equal(bus_add(&bus, &range, &err), 0);
	assert_int_equal(bus_read(&bus, 0x200, 1), 0xff);
	assert_int_equal(bus_read(&bus, 0x200, 2), 0xffff);
	assert_int_equal(bus_read(&bus, 0x200, 3), 0xffffff);
	assert_int_equal(bus_read(&bus, 0x200, 4), 0xffffffff);
	assert_true(bus_read(&bus, 0x200, 8) == ~(u64)0);
	bus_write(&bus, 0x200, 8, 0);
	bus_write(&bus, 0xff, 1, 0);
	bus_write(&bus, 0x108, 1, 0);
	assert_int_equal(device.calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges_are_kept_sorted),
		cmocka_unit_test(test_an_empty_bus_finds_nothing),
		cmocka_unit_test(test_overlaps_are_refused),
		cmocka_unit_test(test_impossible_ranges_are_refused),
		cmocka_unit_test(test_the_bus_fills_up),
		cmocka_unit_test(test_a_device_gets_offsets_and_whole_accesses),
		cmocka_unit_test(test_wide_accesses_are_split),
		cmocka_unit_test(test_odd_widths_are_split),
		cmocka_unit_test(test_crossing_accesses_are_split),
		cmocka_unit_test(test_nothing_reads_all_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
