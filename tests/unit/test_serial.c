/*
 * devices/serial.c, driven through its bus range as a guest drives it, with a made-up host at the
 * other end and an interrupt line that counts its edges. The sequences at the end are those of
 * Linux's 8250 driver: what it probes to tell a 16550A from its relatives.
 */
#include "tests/unit/test.h"

#include <pthread.h>
#include <sched.h>

#include "devices/serial.h"

enum { DATA = 0, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };
enum { SENT_MAX = 4096 };

struct world {
	struct serial serial;
	struct bus bus;
	unsigned raised, lowered; /* edges of the interrupt line */
	bool level;
	u8 sent[SENT_MAX];
	size_t sents;
	bool room;
	unsigned wants;
};

static void deliver(void *controller, u32 gsi, bool level)
{
	struct world *world = controller;

	assert_int_equal(gsi, SERIAL_COM1_GSI);
	assert_int_not_equal(world->level, level);
	world->level = level;
	if (level)
		world->raised++;
	else
		world->lowered++;
}

static void host_put(void *host, u8 byte)
{
	struct world *world = host;

	assert_true(world->sents < SENT_MAX);
	world->sent[world->sents++] = byte;
}

static bool host_has_room(void *host)
{
	const struct world *world = host;

	return world->room;
}

static void host_want_input(void *host)
{
	struct world *world = host;

	world->wants++;
}

static int set_up(void **state)
{
	static struct world world;
	const struct irq_line irq = {
		.deliver = deliver, .controller = &world, .gsi = SERIAL_COM1_GSI};
	const struct serial_host host = {host_put, host_has_room, host_want_input, &world};
	const struct bus_range range = {SERIAL_COM1_BASE, SERIAL_PORT_BYTES, 1,
					"serial0",        &serial_bus_ops,   &world.serial};
	struct error err;

	world = (struct world){.room = true};
	serial_init(&world.serial, &irq, &host);
	*state = &world;
	return bus_add(&world.bus, &range, &err);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	serial_destroy(&world->serial);
	return 0;
}

static u8 in(struct world *world, unsigned reg)
{
	return (u8)bus_read(&world->bus, SERIAL_COM1_BASE + reg, 1);
}

static void out(struct world *world, unsigned reg, u8 value)
{
	bus_write(&world->bus, SERIAL_COM1_BASE + reg, 1, value);
}

static size_t type(struct world *world, const char *text)
{
	return serial_input(&world->serial, (const u8 *)text, strlen(text));
}

static void check_reset_state(struct world *world)
{
	assert_int_equal(in(world, IER), 0);
	assert_int_equal(in(world, IIR_FCR), 0x01);
	assert_int_equal(in(world, LCR), 0);
	assert_int_equal(in(world, MCR), 0);
	assert_int_equal(in(world, LSR), 0x60);
	assert_int_equal(in(world, MSR), 0xb0);
	assert_int_equal(in(world, SCR), 0);
	assert_int_equal(in(world, DATA), 0);
	assert_false(world->level);
	assert_int_equal(world->sents, 0);
}

static void test_state_at_the_start(void **state)
{
	struct world *world = *state;

	check_reset_state(world);
	assert_int_equal(world->raised, 0);
}

/* What a machine that restarts does: nothing is left of the last guest. */
static void test_reset(void **state)
{
	struct world *world = *state;
	const unsigned wants = 1;

	out(world, IIR_FCR, 0x01);
	out(world, IER, 0x01);
	assert_int_equal(type(world, "abc"), 3);
	assert_int_equal(world->wants, wants);
	out(world, SCR, 0x5a);
	out(world, MCR, 0x0b);
	out(world, LCR, 0x83);
	assert_true(world->level);
	serial_reset(&world->serial);
	world->level = false; /* the interrupt controller was reset with it */
	check_reset_state(world);
	assert_int_equal(type(world, "d"), 0);
	out(world, IER, 0x01);
	assert_int_equal(world->wants, wants + 1);
	assert_int_equal(type(world, "d"), 1);
	assert_true(world->level);
	assert_int_equal(in(world, DATA), 'd');
}

/* Each register alone, at each of its bits, and none of its neighbours with it. */
static void test_registers_keep_what_they_have(void **state)
{
	static const struct {
		unsigned reg;
		u8 mask;
	} registers[] = {{IER, 0x0f}, {LCR, 0xff}, {MCR, 0x1f}, {SCR, 0xff}};
	struct world *world = *state;

	for (size_t r = 0; r < ARRAY_LEN(registers); r++) {
		for (unsigned value = 0; value < 0x100; value++) {
			out(world, registers[r].reg, (u8)value);
			assert_int_equal(in(world, registers[r].reg), value & registers[r].mask);
			for (size_t o = 0; o < ARRAY_LEN(registers); o++) {
				if (o != r && !(r == 1 && o == 0))
					assert_int_equal(in(world, registers[o].reg), 0);
			}
		}
		out(world, registers[r].reg, 0);
	}
	assert_int_equal(world->sents, 0);
}

static void test_status_registers_are_read_only(void **state)
{
	struct world *world = *state;

	for (unsigned value = 0; value < 0x100; value++) {
		out(world, LSR, (u8)value);
		out(world, MSR, (u8)value);
		assert_int_equal(in(world, LSR), 0x60);
		assert_int_equal(in(world, MSR), 0xb0);
	}
}

static void test_divisor_latch(void **state)
{
	struct world *world = *state;

	out(world, IER, 0x05);
	out(world, LCR, 0x83);
	assert_int_equal(in(world, DATA), 1);
	assert_int_equal(in(world, IER), 0);
	out(world, DATA, 0x34);
	out(world, IER, 0x12);
	assert_int_equal(in(world, DATA), 0x34);
	assert_int_equal(in(world, IER), 0x12);
	assert_int_equal(in(world, SCR), 0);
	assert_int_equal(world->sents, 0);
	out(world, LCR, 0x03);
	assert_int_equal(in(world, IER), 0x05);
	out(world, DATA, 'x');
	assert_int_equal(world->sents, 1);
	out(world, LCR, 0x83);
	assert_int_equal(in(world, DATA), 0x34);
	assert_int_equal(in(world, IER), 0x12);
	/* With DLAB set the data port gives no input away. */
	out(world, LCR, 0x03);
	out(world, IER, 0x01);
	assert_int_equal(type(world, "k"), 1);
	out(world, LCR, 0x83);
	assert_int_equal(in(world, DATA), 0x34);
	out(world, LCR, 0x03);
	assert_int_equal(in(world, DATA), 'k');
}

/* A wide access is as many byte accesses to the registers that it covers. */
static void test_wide_accesses(void **state)
{
	struct world *world = *state;

	bus_write(&world->bus, SERIAL_COM1_BASE + LCR, 2, 0x1b03); /* LCR and MCR */
	assert_int_equal(in(world, LCR), 0x03);
	assert_int_equal(in(world, MCR), 0x1b);
	out(world, MCR, 0);
	out(world, SCR, 0x5a);
	assert_int_equal(bus_read(&world->bus, SERIAL_COM1_BASE + LSR, 2), 0xb060);
	assert_int_equal(bus_read(&world->bus, SERIAL_COM1_BASE + MCR, 4), 0x5ab06000);
	assert_int_equal(bus_read(&world->bus, SERIAL_COM1_BASE, 4), 0x03010000);
	/* The scratch register is the last: behind it is nothing. */
	assert_int_equal(bus_read(&world->bus, SERIAL_COM1_BASE + SCR, 4), 0xffffff5a);
	assert_int_equal(bus_read(&world->bus, SERIAL_COM1_BASE, 8), 0x5ab0600003010000);
	bus_write(&world->bus, SERIAL_COM1_BASE, 2, 0x0041); /* 'A' and IER = 0 */
	assert_int_equal(world->sents, 1);
	assert_int_equal(world->sent[0], 'A');
	bus_write(&world->bus, SERIAL_COM1_BASE + 6, 4, 0x11223344);
	assert_int_equal(in(world, SCR), 0x33);
}

static void test_direct_accesses_of_any_width(void **state)
{
	static const unsigned widths[] = {1, 2, 4, 8};
	struct world *world = *state;

	for (u64 offset = 0; offset < 16; offset++) {
		for (size_t w = 0; w < ARRAY_LEN(widths); w++) {
			serial_bus_ops.write(&world->serial, offset, widths[w], 0);
			(void)serial_bus_ops.read(&world->serial, offset, widths[w]);
		}
	}
	assert_int_equal(serial_bus_ops.read(&world->serial, 8, 1) & 0xff, 0xff);
}

static void test_output_in_order(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(in(world, LSR), 0x60);
		out(world, DATA, (u8)(i * 7));
	}
	assert_int_equal(world->sents, 1000);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(world->sent[i], (u8)(i * 7));
	assert_int_equal(world->raised, 0);
}

static void test_thre_is_set_without_room(void **state)
{
	struct world *world = *state;

	world->room = false;
	for (unsigned i = 0; i < 100; i++) {
		out(world, DATA, 'x');
		assert_int_equal(in(world, LSR) & 0x60, 0x60);
	}
	assert_int_equal(world->sents, 100);
}

static void test_fifo_bits_in_iir(void **state)
{
	struct world *world = *state;

	out(world, IIR_FCR, 0x01);
	assert_int_equal(in(world, IIR_FCR), 0xc1);
	out(world, IIR_FCR, 0x06); /* the reset bits count only with the enable bit … */
	assert_int_equal(in(world, IIR_FCR), 0x01);
	out(world, IIR_FCR, 0xc0); /* … as do the trigger levels */
	assert_int_equal(in(world, IIR_FCR), 0x01);
	assert_int_equal(world->serial.regs.fcr, 0);
}

/* A driver that learns of THRE from IIR: one interrupt a refill. */
static void test_thre_interrupt_for_a_driver_that_reads_iir(void **state)
{
	struct world *world = *state;

	out(world, IER, 0x02);
	assert_int_equal(world->raised, 1);
	assert_int_equal(in(world, IIR_FCR), 0x02);
	assert_int_equal(world->lowered, 1);
	assert_int_equal(in(world, IIR_FCR), 0x01);
	for (unsigned i = 0; i < 5; i++) {
		out(world, DATA, 'a');
		assert_int_equal(world->raised, 2 + i);
		assert_true(world->level);
		out(world, DATA, 'b'); /* the rest of the refill: no more edges */
		out(world, DATA, 'c');
		assert_int_equal(world->raised, 2 + i);
		assert_int_equal(in(world, IIR_FCR), 0x02);
		assert_false(world->level);
	}
	/* Enabling what is enabled raises nothing; disabling lowers, enabling raises again. */
	out(world, IER, 0x02);
	assert_false(world->level);
	out(world, IER, 0x00);
	out(world, IER, 0x02);
	assert_true(world->level);
	out(world, IER, 0x00);
	assert_false(world->level);
}

/* One that never reads IIR must see an edge for each byte all the same. */
static void test_thre_interrupt_for_a_driver_that_never_reads_iir(void **state)
{
	struct world *world = *state;

	out(world, IER, 0x02);
	assert_int_equal(world->raised, 1);
	for (unsigned i = 0; i < 10; i++) {
		out(world, DATA, (u8)('0' + i));
		assert_int_equal(world->lowered, 1 + i);
		assert_int_equal(world->raised, 2 + i);
		assert_true(world->level);
	}
	assert_int_equal(world->sents, 10);
}

static void test_thre_interrupt_is_withheld_without_room(void **state)
{
	struct world *world = *state;

	out(world, IER, 0x02);
	assert_int_equal(in(world, IIR_FCR), 0x02);
	world->room = false;
	out(world, DATA, 'x');
	assert_int_equal(world->raised, 1);
	assert_int_equal(in(world, IIR_FCR), 0x01);
	serial_output_drained(&world->serial); /* a false alarm: still no room */
	assert_int_equal(world->raised, 1);
	world->room = true;
	serial_output_drained(&world->serial);
	assert_int_equal(world->raised, 2);
	assert_int_equal(in(world, IIR_FCR), 0x02);
	assert_false(world->level);
	/* Nobody waits: nothing comes. */
	serial_output_drained(&world->serial);
	assert_int_equal(world->raised, 2);
}

static void test_thre_interrupt_is_withheld_when_enabled_without_room(void **state)
{
	struct world *world = *state;

	world->room = false;
	out(world, IER, 0x02);
	assert_int_equal(world->raised, 0);
	world->room = true;
	serial_output_drained(&world->serial);
	assert_int_equal(world->raised, 1);
}

static void test_interrupt_priorities(void **state)
{
	struct world *world = *state;

	out(world, IIR_FCR, 0x41); /* FIFO on, trigger at 4 */
	out(world, MCR, 0x10);
	for (unsigned i = 0; i < SERIAL_FIFO_BYTES + 1; i++)
		out(world, DATA, (u8)i);
	out(world, IER, 0x07);
	assert_true(world->level);
	assert_int_equal(in(world, IIR_FCR), 0xc6); /* line status: the overrun */
	assert_int_equal(in(world, IIR_FCR), 0xc6);
	assert_int_equal(in(world, LSR), 0x63);
	assert_int_equal(in(world, LSR), 0x61);
	for (unsigned i = 0; i < SERIAL_FIFO_BYTES; i++) {
		assert_int_equal(in(world, IIR_FCR), i <= 12 ? 0xc4 : 0xcc); /* data, time-out */
		assert_int_equal(in(world, DATA), i);
	}
	assert_true(world->level);
	assert_int_equal(world->raised, 1); /* one level all the way down */
	assert_int_equal(in(world, IIR_FCR), 0xc2);
	assert_int_equal(in(world, IIR_FCR), 0xc1);
	assert_false(world->level);
}

static void test_disabled_interrupts_stay_away(void **state)
{
	struct world *world = *state;

	out(world, MCR, 0x10);
	out(world, DATA, 1);
	out(world, DATA, 2); /* an overrun: the FIFO is off */
	assert_int_equal(in(world, IIR_FCR), 0x01);
	out(world, IER, 0x08); /* modem status, which never changes */
	assert_int_equal(in(world, IIR_FCR), 0x01);
	out(world, IER, 0x04);
	assert_int_equal(in(world, IIR_FCR), 0x06);
	out(world, IER, 0x01);
	assert_int_equal(in(world, IIR_FCR), 0x04);
	out(world, IER, 0x00);
	assert_false(world->level);
	assert_int_equal(in(world, LSR), 0x63);
}

static void test_trigger_levels(void **state)
{
	static const u8 levels[] = {1, 4, 8, 14};
	struct world *world = *state;

	out(world, IER, 0x01);
	for (unsigned i = 0; i < ARRAY_LEN(levels); i++) {
		out(world, IIR_FCR, (u8)(0x01 | i << 6));
		for (unsigned n = 1; n <= SERIAL_FIFO_BYTES; n++) {
			assert_int_equal(type(world, "x"), 1);
			assert_int_equal(in(world, IIR_FCR), n >= levels[i] ? 0xc4 : 0xcc);
		}
		for (unsigned n = 0; n < SERIAL_FIFO_BYTES; n++)
			assert_int_equal(in(world, DATA), 'x');
		assert_int_equal(in(world, IIR_FCR), 0xc1);
	}
}

static void test_loopback_data(void **state)
{
	struct world *world = *state;

	out(world, IIR_FCR, 0x01);
	out(world, MCR, 0x10);
	for (unsigned i = 0; i < SERIAL_FIFO_BYTES; i++)
		out(world, DATA, (u8)(0x40 + i));
	assert_int_equal(in(world, LSR), 0x61);
	out(world, DATA, 0xee); /* one too many is lost, and LSR says so once */
	assert_int_equal(in(world, LSR), 0x63);
	assert_int_equal(in(world, LSR), 0x61);
	for (unsigned i = 0; i < SERIAL_FIFO_BYTES; i++)
		assert_int_equal(in(world, DATA), 0x40 + i);
	assert_int_equal(in(world, LSR), 0x60);
	assert_int_equal(in(world, DATA), 0);
	assert_int_equal(world->sents, 0);
	out(world, MCR, 0);
	out(world, DATA, 'z');
	assert_int_equal(world->sents, 1);
}

static void test_loopback_without_fifo(void **state)
{
	struct world *world = *state;

	out(world, MCR, 0x10);
	out(world, DATA, 1);
	assert_int_equal(in(world, LSR), 0x61);
	out(world, DATA, 2);
	assert_int_equal(in(world, LSR), 0x63);
	assert_int_equal(in(world, DATA), 1);
	assert_int_equal(in(world, LSR), 0x60);
}

/* RTS leads to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD. */
static void test_loopback_modem_lines(void **state)
{
	struct world *world = *state;

	for (u8 lines = 0; lines < 16; lines++) {
		const unsigned expected = (lines & 2 ? 0x10 : 0) | (lines & 1 ? 0x20 : 0) |
					  (lines & 4 ? 0x40 : 0) | (lines & 8 ? 0x80 : 0);

		out(world, MCR, (u8)(0x10 | lines));
		assert_int_equal(in(world, MSR), expected);
		out(world, MCR, lines);
		assert_int_equal(in(world, MSR), 0xb0);
	}
}

static void test_loopback_holds_the_hosts_input(void **state)
{
	struct world *world = *state;

	out(world, IIR_FCR, 0x01);
	out(world, IER, 0x01);
	assert_int_equal(type(world, "abc"), 3);
	out(world, MCR, 0x10);
	assert_int_equal(in(world, LSR), 0x60);
	assert_int_equal(in(world, DATA), 0);
	out(world, DATA, 'l');
	assert_int_equal(in(world, DATA), 'l');
	out(world, MCR, 0);
	assert_int_equal(in(world, LSR), 0x61);
	assert_int_equal(in(world, DATA), 'a');
	assert_int_equal(in(world, DATA), 'b');
	assert_int_equal(in(world, DATA), 'c');
}

static void test_fifo_reset(void **state)
{
	struct world *world = *state;

	out(world, IIR_FCR, 0x01);
	out(world, IER, 0x01);
	assert_int_equal(type(world, "abc"), 3);
	out(world, MCR, 0x10);
	out(world, DATA, 'l');
	out(world, IIR_FCR, 0x03); /* what loopback received is gone … */
	assert_int_equal(in(world, LSR), 0x60);
	out(world, DATA, 'm');
	out(world, IIR_FCR, 0x05); /* … but not by the transmitter's reset */
	assert_int_equal(in(world, LSR), 0x61);
	out(world, IIR_FCR, 0x00); /* turning FIFOs off empties them as well */
	assert_int_equal(in(world, LSR), 0x60);
	out(world, MCR, 0);
	out(world, IIR_FCR, 0x07);
	/* The host's bytes are all still there, in their order. */
	assert_int_equal(in(world, DATA), 'a');
	assert_int_equal(in(world, DATA), 'b');
	assert_int_equal(in(world, DATA), 'c');
	assert_int_equal(in(world, LSR), 0x60);
}

static void test_input_is_held_until_the_guest_listens(void **state)
{
	struct world *world = *state;

	assert_int_equal(type(world, "hello"), 0);
	assert_int_equal(in(world, LSR), 0x60);
	assert_int_equal(world->wants, 0);
	out(world, IER, 0x02); /* other interrupts aren't listening */
	out(world, IER, 0x0e);
	assert_int_equal(world->wants, 0);
	assert_int_equal(type(world, "hello"), 0);
	out(world, IER, 0x01);
	assert_int_equal(world->wants, 1);
	assert_int_equal(type(world, "hello"), 1); /* no FIFO, one byte */
	assert_true(world->level);
	assert_int_equal(in(world, IIR_FCR), 0x04);
	assert_int_equal(in(world, LSR), 0x61);
	assert_int_equal(type(world, "ello"), 0);
	assert_int_equal(in(world, DATA), 'h');
	assert_false(world->level);
	assert_int_equal(world->wants, 2);
	out(world, IIR_FCR, 0x01);
	assert_int_equal(type(world, "0123456789abcdefgh"), 16);
	assert_int_equal(type(world, "gh"), 0);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(world->wants, 2);
		assert_int_equal(in(world, DATA), "0123456789abcdef"[i]);
	}
	assert_int_equal(world->wants, 3);
	assert_int_equal(serial_input(&world->serial, (const u8 *)"", 0), 0);
}

static void test_input_in_the_fifo_waits_when_the_guest_stops_listening(void **state)
{
	struct world *world = *state;

	out(world, IIR_FCR, 0x01);
	out(world, IER, 0x01);
	assert_int_equal(type(world, "ab"), 2);
	out(world, IER, 0x00);
	assert_int_equal(in(world, LSR), 0x60);
	assert_int_equal(in(world, DATA), 0);
	assert_int_equal(type(world, "c"), 0);
	out(world, IER, 0x01);
	assert_true(world->level);
	assert_int_equal(in(world, DATA), 'a');
	assert_int_equal(in(world, DATA), 'b');
}

/* Polling LSR without ever sending means that the guest waits for a key. */
static void test_a_polling_guest_listens(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < 63; i++)
		assert_int_equal(in(world, LSR), 0x60);
	assert_int_equal(world->wants, 0);
	assert_int_equal(type(world, "k"), 0);
	assert_int_equal(in(world, LSR), 0x60);
	assert_int_equal(world->wants, 1);
	for (unsigned i = 0; i < 1000; i++)
		(void)in(world, LSR);
	assert_int_equal(world->wants, 1);
	assert_int_equal(type(world, "k"), 1);
	assert_int_equal(in(world, LSR), 0x61);
	assert_int_equal(in(world, DATA), 'k');
	assert_int_equal(world->wants, 2);
	assert_false(world->level);
}

/* One that polls for THRE sends in between, which must not look like listening. */
static void test_a_polling_sender_does_not_listen(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < 200; i++) {
		for (unsigned n = 0; n < 63; n++)
			(void)in(world, LSR);
		if (i % 2)
			out(world, DATA, 'x');
		else
			(void)in(world, IIR_FCR); /* nor does an interrupt handler */
	}
	assert_int_equal(world->wants, 0);
	assert_int_equal(type(world, "k"), 0);
}

static void test_rts_holds_input_back(void **state)
{
	struct world *world = *state;

	out(world, IIR_FCR, 0x01);
	out(world, IER, 0x01);
	assert_int_equal(type(world, "a"), 1); /* a driver that never touches RTS is served */
	assert_int_equal(in(world, DATA), 'a');
	out(world, MCR, 0x0b);
	assert_int_equal(type(world, "bc"), 2);
	out(world, MCR, 0x09);
	assert_int_equal(type(world, "d"), 0);
	out(world, MCR, 0x0b);
	assert_int_equal(in(world, DATA), 'b');
	assert_int_equal(in(world, DATA), 'c');
	out(world, MCR, 0x09);
	world->wants = 0;
	out(world, IER, 0x00);
	out(world, IER, 0x01);
	assert_int_equal(world->wants, 0);
	out(world, MCR, 0x0b);
	assert_int_equal(world->wants, 1);
	assert_int_equal(type(world, "d"), 1);
}

/* RTS in loopback mode is a self-test: its fall afterwards says nothing. */
static void test_rts_in_loopback_is_no_flow_control(void **state)
{
	struct world *world = *state;

	out(world, MCR, 0x1a);
	out(world, MCR, 0x00);
	out(world, IER, 0x01);
	assert_int_equal(type(world, "a"), 1);
}

/* linux/drivers/tty/serial/8250/8250_port.c, autoconfig(): is there a UART, and which? */
static void test_linux_autoconfig(void **state)
{
	struct world *world = *state;
	u8 saved_mcr, saved_lcr, scratch;

	/* The interrupt enable register test. */
	scratch = in(world, IER);
	out(world, IER, 0);
	assert_int_equal(in(world, IER) & 0x0f, 0);
	out(world, IER, 0x0f);
	assert_int_equal(in(world, IER) & 0x0f, 0x0f);
	out(world, IER, scratch);
	/* The loopback test: RTS and OUT2 come back as CTS and DCD. */
	saved_mcr = in(world, MCR);
	saved_lcr = in(world, LCR);
	out(world, MCR, 0x10 | 0x0a);
	assert_int_equal(in(world, MSR) & 0xf0, 0x90);
	out(world, MCR, saved_mcr);
	/* LCR 0xbf: an EFR there would be another chip's. It must not be taken for one. */
	out(world, LCR, 0xbf);
	out(world, IIR_FCR, 0);
	out(world, LCR, 0);
	out(world, IIR_FCR, 0x01);
	assert_int_equal(in(world, IIR_FCR) >> 6, 3); /* a 16550A */
	/* autoconfig_16550a(): DLL and DLM don't shadow EFR, IER bit 4 and 5 don't stay. */
	out(world, LCR, 0x80);
	scratch = in(world, IER);
	out(world, LCR, saved_lcr);
	out(world, IIR_FCR, 0x01 | 0x20); /* TI's 64-byte FIFO */
	assert_int_equal(in(world, IIR_FCR) >> 5, 6);
	out(world, LCR, 0x80);
	out(world, IIR_FCR, 0x01 | 0x20);
	assert_int_equal(in(world, IIR_FCR) >> 5, 6);
	out(world, LCR, saved_lcr);
	out(world, IIR_FCR, 0x01);
	out(world, IER, 0x10 | 0x40);
	assert_int_equal(in(world, IER), 0); /* no sleep mode, no XScale UUE */
	/* The scratch register, which an 8250 lacks. */
	out(world, SCR, 0xa5);
	assert_int_equal(in(world, SCR), 0xa5);
	out(world, SCR, 0x5a);
	assert_int_equal(in(world, SCR), 0x5a);
	/* The way out: FIFOs cleared, receiver read, interrupts off. */
	out(world, IIR_FCR, 0x07);
	out(world, IIR_FCR, 0);
	(void)in(world, DATA);
	out(world, IER, 0);
	assert_int_equal(world->sents, 0);
	assert_false(world->level);
}

/* serial8250_do_startup(): does the THRE interrupt come again when it is enabled again? */
static void test_linux_thre_test(void **state)
{
	struct world *world = *state;

	out(world, IIR_FCR, 0x01);
	assert_int_equal(in(world, LSR) & 0x20, 0x20);
	out(world, IER, 0x02);
	assert_int_equal(in(world, IIR_FCR) & 0x0f, 0x02);
	out(world, IER, 0x00);
	out(world, IER, 0x02);
	assert_int_equal(in(world, IIR_FCR) & 0x0f, 0x02);
	out(world, IER, 0x00);
	assert_int_equal(in(world, IIR_FCR) & 0x0f, 0x01);
	assert_int_equal(world->raised, 2);
	assert_int_equal(world->lowered, 2);
	/* And the quick test for UART_BUG_TXEN: LSR.TEMT with IIR.NO_INT would be the bug. */
	out(world, IER, 0x02);
	assert_int_equal(in(world, LSR) & 0x40, 0x40);
	assert_int_equal(in(world, IIR_FCR) & 0x01, 0);
	out(world, IER, 0x00);
}

/* Threads: one guest sends and reads, the host types and drains. What comes is all and in order. */
enum { STREAM = 3000 };

static void *host_thread(void *owner)
{
	struct world *world = owner;
	unsigned given = 0;

	while (given < STREAM) {
		u8 byte = (u8)given;

		given += (unsigned)serial_input(&world->serial, &byte, 1);
		serial_output_drained(&world->serial);
		sched_yield();
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct world *world = *state;
	pthread_t thread;

	out(world, IIR_FCR, 0x01);
	out(world, IER, 0x03);
	assert_int_equal(pthread_create(&thread, NULL, host_thread, world), 0);
	for (unsigned got = 0; got < STREAM;) {
		if (in(world, LSR) & 0x01) {
			assert_int_equal(in(world, DATA), (u8)got);
			got++;
			out(world, DATA, (u8)got);
		}
		(void)in(world, IIR_FCR);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(world->sents, STREAM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_state_at_the_start),
		TEST(test_reset),
		TEST(test_registers_keep_what_they_have),
		TEST(test_status_registers_are_read_only),
		TEST(test_divisor_latch),
		TEST(test_wide_accesses),
		TEST(test_direct_accesses_of_any_width),
		TEST(test_output_in_order),
		TEST(test_thre_is_set_without_room),
		TEST(test_fifo_bits_in_iir),
		TEST(test_thre_interrupt_for_a_driver_that_reads_iir),
		TEST(test_thre_interrupt_for_a_driver_that_never_reads_iir),
		TEST(test_thre_interrupt_is_withheld_without_room),
		TEST(test_thre_interrupt_is_withheld_when_enabled_without_room),
		TEST(test_interrupt_priorities),
		TEST(test_disabled_interrupts_stay_away),
		TEST(test_trigger_levels),
		TEST(test_loopback_data),
		TEST(test_loopback_without_fifo),
		TEST(test_loopback_modem_lines),
		TEST(test_loopback_holds_the_hosts_input),
		TEST(test_fifo_reset),
		TEST(test_input_is_held_until_the_guest_listens),
		TEST(test_input_in_the_fifo_waits_when_the_guest_stops_listening),
		TEST(test_a_polling_guest_listens),
		TEST(test_a_polling_sender_does_not_listen),
		TEST(test_rts_holds_input_back),
		TEST(test_rts_in_loopback_is_no_flow_control),
		TEST(test_linux_autoconfig),
		TEST(test_linux_thre_test),
		TEST(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
