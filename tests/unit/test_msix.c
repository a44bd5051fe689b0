/*
 * devices/msix.c with wires that count: the table's registers, masks and pending bits (PCI 3.0,
 * 6.8.2), and that the kernel is told no more than it has to know.
 */
#include "tests/unit/test.h"

#include <unistd.h>

#include "devices/msix.h"
#include "tests/unit/fake_wiring.h"
#include "tests/unit/support.h"

enum { FIRST_GSI = 24, VECTORS = 5 };
enum { TABLE_BYTES = VECTORS * MSIX_ENTRY_BYTES };

struct world {
	struct msix msix;
	struct fake_wiring fake;
	u8 table[TABLE_BYTES]; /* as it should read */
};

static int set_up(void **state)
{
	static struct world world;
	struct error err;

	world = (struct world){.msix = {.vectors = 0}};
	fake_wiring_init(&world.fake, FIRST_GSI);
	for (unsigned v = 0; v < VECTORS; v++)
		world.table[MSIX_ENTRY_BYTES * v + 12] = 1;
	*state = &world;
	return msix_init(&world.msix, VECTORS, &world.fake.wiring, FIRST_GSI, &err);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	msix_destroy(&world->msix);
	return 0;
}

static void write_entry(struct world *world, unsigned v, u64 address, u32 data)
{
	msix_write_table(&world->msix, MSIX_ENTRY_BYTES * v, 4, address & 0xffffffff);
	msix_write_table(&world->msix, MSIX_ENTRY_BYTES * v + 4, 4, address >> 32);
	msix_write_table(&world->msix, MSIX_ENTRY_BYTES * v + 8, 4, data);
}

static void mask(struct world *world, unsigned v, bool masked)
{
	msix_write_table(&world->msix, MSIX_ENTRY_BYTES * v + 12, 4, masked);
}

/* What a device does to interrupt. */
static void signal_vector(struct world *world, unsigned v)
{
	const u64 one = 1;

	assert_int_equal(write(world->msix.fd[v], &one, sizeof(one)), sizeof(one));
}

static void expect_interrupt(struct world *world, unsigned v, bool joined, unsigned messages,
			     unsigned delivered)
{
	const struct fake_interrupt *interrupt = &world->fake.interrupt[v];

	fake_deliver(&world->fake);
	assert_int_equal(interrupt->joined, joined);
	assert_int_equal(interrupt->messages, messages);
	assert_int_equal(interrupt->delivered, delivered);
}

/* The table at every offset and of every width, against what it should be. */
static void expect_table(struct world *world)
{
	for (unsigned offset = 0; offset < TABLE_BYTES; offset++) {
		for (unsigned width = 1; width <= 8 && offset + width <= TABLE_BYTES; width *= 2) {
			u64 expected = 0;

			memcpy(&expected, world->table + offset, width);
			assert_true(msix_read_table(&world->msix, offset, width) == expected);
		}
	}
}

static void test_state_at_the_start(void **state)
{
	struct world *world = *state;

	expect_table(world);
	assert_int_equal(msix_read_pending(&world->msix, 0, 8), 0);
	assert_int_equal(world->fake.calls, 0);
}

/* Which bits of an entry the guest can set: no reserved ones, and the mask alone of the control. */
static void test_writes(void **state)
{
	static const u32 writable[] = {0xfffffffc, 0xffffffff, 0xffffffff, 1};
	struct world *world = *state;
	u32 random = 1;

	for (unsigned round = 0; round < 400; round++) {
		const unsigned dword = next_random(&random) % (TABLE_BYTES / 4);
		const unsigned width = dword % 2 || round % 2 ? 4 : 8;
		const u64 value = (u64)next_random(&random) << 32 | next_random(&random);

		msix_write_table(&world->msix, 4 * dword, width, value);
		for (unsigned i = 0; i < width / 4; i++) {
			const u32 half = (u32)(value >> (32 * i)) & writable[(dword + i) % 4];

			memcpy(world->table + 4 * (size_t)(dword + i), &half, 4);
		}
		expect_table(world);
	}
	assert_int_equal(world->fake.calls, 0);
}

/* Narrow ones, those across entries, and those behind the table: none of them changes anything. */
static void test_writes_that_do_nothing(void **state)
{
	struct world *world = *state;

	for (unsigned v = 0; v < VECTORS; v++) {
		write_entry(world, v, 0x11223344fee00000 + 0x1000 * v, 0x40 + v);
		for (unsigned i = 0; i < 12; i++)
			world->table[MSIX_ENTRY_BYTES * v + i] =
				(u8)msix_read_table(&world->msix, MSIX_ENTRY_BYTES * v + i, 1);
	}
	for (unsigned offset = 0; offset < 0x800; offset++) {
		for (unsigned width = 1; width <= 8; width *= 2) {
			if (width >= 4 && offset % width == 0 && offset < TABLE_BYTES)
				continue;
			msix_write_table(&world->msix, offset, width, ~(u64)0);
		}
	}
	expect_table(world);
	assert_int_equal(world->fake.calls, 0);
}

/* What a driver does at its start: it fills a masked table, enables, and unmasks one by one. */
static void test_the_kernel_is_told_once(void **state)
{
	struct world *world = *state;

	for (unsigned v = 0; v < VECTORS; v++)
		write_entry(world, v, 0xfee00000, 0x40 + v);
	msix_control(&world->msix, true, true);
	write_entry(world, 2, 0xfee01000, 0x52);
	msix_control(&world->msix, true, false);
	assert_int_equal(world->fake.calls, 0);
	for (unsigned v = 0; v < VECTORS; v++) {
		mask(world, v, false);
		assert_int_equal(world->fake.calls, 2 * (v + 1));
		assert_int_equal(world->fake.interrupt[v].data, v == 2 ? 0x52 : 0x40 + v);
		assert_int_equal(world->fake.interrupt[v].address,
				 v == 2 ? 0xfee01000 : 0xfee00000);
		expect_interrupt(world, v, true, 1, 0);
		/* Once more is nothing new. */
		mask(world, v, false);
		write_entry(world, v, v == 2 ? 0xfee01000 : 0xfee00000, v == 2 ? 0x52 : 0x40 + v);
		assert_int_equal(world->fake.calls, 2 * (v + 1));
	}
}

static void test_messages_change(void **state)
{
	struct world *world = *state;

	write_entry(world, 1, 0x1fee00000, 0x41);
	mask(world, 1, false);
	msix_control(&world->msix, true, false);
	expect_interrupt(world, 1, true, 1, 0);
	assert_true(world->fake.interrupt[1].address == 0x1fee00000);
	/* Masked, changed, changed back, unmasked: the same message. */
	mask(world, 1, true);
	write_entry(world, 1, 0xfee05000, 0x99);
	write_entry(world, 1, 0x1fee00000, 0x41);
	mask(world, 1, false);
	expect_interrupt(world, 1, true, 1, 0);
	/* Masked and changed: told when it may interrupt again, before it is joined. */
	mask(world, 1, true);
	write_entry(world, 1, 0xfee05000, 0x99);
	expect_interrupt(world, 1, false, 1, 0);
	mask(world, 1, false);
	expect_interrupt(world, 1, true, 2, 0);
	assert_int_equal(world->fake.interrupt[1].data, 0x99);
	assert_int_equal(world->fake.interrupt[1].address, 0xfee05000);
	/* Changed while it may interrupt: it is told at once. Each part of it, alone. */
	msix_write_table(&world->msix, 16, 4, 0xfee06000);
	expect_interrupt(world, 1, true, 3, 0);
	msix_write_table(&world->msix, 20, 4, 7);
	expect_interrupt(world, 1, true, 4, 0);
	msix_write_table(&world->msix, 24, 4, 0x77);
	expect_interrupt(world, 1, true, 5, 0);
	assert_true(world->fake.interrupt[1].address == 0x7fee06000);
	assert_int_equal(world->fake.interrupt[1].data, 0x77);
	assert_int_equal(world->fake.interrupt[0].messages, 0);
	assert_int_equal(world->fake.interrupt[2].messages, 0);
}

/* What is signalled while a vector is masked is pending, and comes once when it is unmasked. */
static void test_pending_bits(void **state)
{
	struct world *world = *state;
	unsigned way = 0;

	for (unsigned v = 0; v < VECTORS; v++) {
		write_entry(world, v, 0xfee00000, 0x40 + v);
		mask(world, v, false);
	}
	msix_control(&world->msix, true, false);
	/* Masked alone, with all others, and with MSI-X off. */
	for (way = 0; way < 3; way++) {
		const unsigned v = way + 1;

		signal_vector(world, v);
		expect_interrupt(world, v, true, 1, 1);
		assert_int_equal(msix_read_pending(&world->msix, 0, 8), 0);
		if (way == 0)
			mask(world, v, true);
		else
			msix_control(&world->msix, way == 1, true);
		assert_int_equal(msix_read_pending(&world->msix, 0, 8), 0);
		signal_vector(world, v);
		signal_vector(world, v);
		expect_interrupt(world, v, false, 1, 1);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(msix_read_pending(&world->msix, 0, 8), 1U << v);
		mask(world, v, false);
		msix_control(&world->msix, true, false);
		assert_int_equal(msix_read_pending(&world->msix, 0, 8), 0);
		expect_interrupt(world, v, true, 1, 2);
	}
	expect_interrupt(world, 0, true, 1, 0);
}

/*
 * What was pending and came is over: the next time the vector is masked it isn't pending, and
 * unmasked it doesn't come again. KVM leaves the count of a descriptor that it finds readable when
 * it is joined.
 */
static void test_pending_once(void **state)
{
	struct world *world = *state;

	write_entry(world, 1, 0xfee00000, 0x41);
	msix_control(&world->msix, true, false);
	signal_vector(world, 1);
	mask(world, 1, false);
	expect_interrupt(world, 1, true, 1, 1);
	for (unsigned i = 0; i < 3; i++) {
		mask(world, 1, true);
		assert_int_equal(msix_read_pending(&world->msix, 0, 8), 0);
		mask(world, 1, false);
		expect_interrupt(world, 1, true, 1, 1);
	}
	signal_vector(world, 1);
	expect_interrupt(world, 1, true, 1, 2);
	mask(world, 1, true);
	signal_vector(world, 1);
	assert_int_equal(msix_read_pending(&world->msix, 0, 8), 2);
	mask(world, 1, false);
	expect_interrupt(world, 1, true, 1, 3);
}

static void test_pending_bits_at_every_width(void **state)
{
	struct world *world = *state;
	struct error err;
	u64 expected = 0;
	u8 bytes[64] = {0};

	msix_destroy(&world->msix);
	assert_int_equal(
		msix_init(&world->msix, MSIX_VECTORS_MAX, &world->fake.wiring, FIRST_GSI, &err), 0);
	for (unsigned v = 0; v < MSIX_VECTORS_MAX; v += 4) {
		signal_vector(world, v);
		expected |= (u64)1 << v;
	}
	memcpy(bytes, &expected, sizeof(expected));
	for (unsigned offset = 0; offset < 56; offset++) {
		for (unsigned width = 1; width <= 8; width *= 2) {
			const u64 ones = ~(u64)0 >> (64 - 8 * width);

			memcpy(&expected, bytes + offset, sizeof(expected));
			assert_true((msix_read_pending(&world->msix, offset, width) & ones) ==
				    (expected & ones));
		}
	}
	assert_int_equal(world->fake.calls, 0);
}

static void test_enable_storms(void **state)
{
	struct world *world = *state;
	unsigned signals = 0;

	for (unsigned v = 0; v < VECTORS; v++) {
		write_entry(world, v, 0xfee00000, 0x40 + v);
		mask(world, v, v % 2);
	}
	for (unsigned round = 0; round < 1000; round++) {
		msix_control(&world->msix, round % 2 == 0, round % 3 == 0);
		if (round % 5 == 0) {
			signal_vector(world, 2);
			signals++;
		}
		fake_deliver(&world->fake);
		for (unsigned v = 0; v < VECTORS; v++)
			assert_int_equal(world->fake.interrupt[v].joined,
					 round % 2 == 0 && round % 3 && v % 2 == 0);
	}
	for (unsigned v = 0; v < VECTORS; v++)
		assert_int_equal(world->fake.interrupt[v].messages, v % 2 == 0);
	msix_control(&world->msix, true, false);
	assert_in_range(world->fake.interrupt[2].delivered, 1, signals);
	assert_int_equal(msix_read_pending(&world->msix, 0, 8), 0);
}

/* Anything in any order: an interrupt is joined when it may come, with the message of its entry. */
static void test_random_writes(void **state)
{
	struct world *world = *state;
	u32 random = 77;
	bool enabled = false, all_masked = false;

	for (unsigned round = 0; round < 20000; round++) {
		const unsigned v = next_random(&random) % VECTORS;
		const unsigned what = next_random(&random) % 8;

		if (what < 2) {
			enabled = next_random(&random) % 4;
			all_masked = next_random(&random) % 4 == 0;
			msix_control(&world->msix, enabled, all_masked);
		} else if (what < 5) {
			mask(world, v, what % 2);
		} else {
			msix_write_table(&world->msix, 16 * v + 4 * (what - 5), 4,
					 next_random(&random) & 0xff00);
		}
		for (unsigned i = 0; i < VECTORS; i++) {
			const struct fake_interrupt *interrupt = &world->fake.interrupt[i];
			const u64 at = (u64)MSIX_ENTRY_BYTES * i;
			const bool masked = msix_read_table(&world->msix, at + 12, 1);

			assert_int_equal(interrupt->joined, enabled && !all_masked && !masked);
			if (!interrupt->joined)
				continue;
			assert_true(interrupt->address == msix_read_table(&world->msix, at, 8));
			assert_int_equal(interrupt->data, msix_read_table(&world->msix, at + 8, 4));
		}
	}
}

/* The host refuses: nothing breaks, and the next write tries again. */
static void test_wires_that_fail(void **state)
{
	struct world *world = *state;

	world->fake.refuse = true;
	write_entry(world, 0, 0xfee00000, 0x40);
	mask(world, 0, false);
	msix_control(&world->msix, true, false);
	expect_interrupt(world, 0, false, 0, 0);
	signal_vector(world, 0);
	assert_int_equal(msix_read_pending(&world->msix, 0, 8), 1);
	world->fake.refuse = false;
	msix_control(&world->msix, true, false);
	expect_interrupt(world, 0, true, 1, 1);
	assert_int_equal(world->fake.interrupt[0].data, 0x40);
	assert_int_equal(msix_read_pending(&world->msix, 0, 8), 0);
}

/* Power-on of a machine whose kernel side is made anew: what was told has to be told again. */
static void test_reset(void **state)
{
	struct world *world = *state;

	write_entry(world, 0, 0xfee00000, 0x40);
	mask(world, 0, false);
	msix_control(&world->msix, true, false);
	mask(world, 1, false);
	mask(world, 1, true);
	signal_vector(world, 1);
	msix_reset(&world->msix);
	expect_table(world);
	assert_int_equal(msix_read_pending(&world->msix, 0, 8), 0);
	fake_wiring_init(&world->fake, FIRST_GSI);
	write_entry(world, 0, 0xfee00000, 0x40);
	mask(world, 0, false);
	assert_int_equal(world->fake.calls, 0);
	msix_control(&world->msix, true, false);
	expect_interrupt(world, 0, true, 1, 0);
	expect_interrupt(world, 1, false, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_state_at_the_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_writes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_writes_that_do_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_kernel_is_told_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_messages_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pending_bits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pending_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pending_bits_at_every_width, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_enable_storms, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_random_writes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wires_that_fail, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
