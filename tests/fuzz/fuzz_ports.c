/*
 * The devices at fixed I/O ports: the serial port (devices/serial.c), the registers that end or
 * restart the machine (power.c), pvpanic and PCI's configuration ports (pci.c), with a host at
 * the serial port's other end that types and that takes output, or doesn't.
 *
 * Input: a byte of flags and the actions. An action's `what`, modulo PORTS_ACTIONS, chooses:
 *
 *	0  a read of the serial port, from `where` on    4  the host types `where` bytes of `value`
 *	1  a write of `value` to it                      5  the host has room for `value` bytes more
 *	2  a read of a port near another device's        6  the machine starts anew
 *	3  a write to one                                7  a driver that starts up, as Linux's does
 *
 * `how`'s lowest two bits are the access's width: 1, 2, 4 or 8 bytes.
 *
 * Checked: a second serial port, built from the data sheet below and without a host, says what
 * each register reads and when the interrupt line is up; each byte comes to the other side once,
 * in order, and none that was taken is lost; input is asked for only when there is none left; the
 * machine ends and restarts when it was told to, and not otherwise.
 */
#include <string.h>

#include "devices/pci.h"
#include "devices/power.h"
#include "devices/pvpanic.h"
#include "devices/serial.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/trace.h"

enum { TRACE = 1, PORTS_ACTIONS = 8, DEEP = SERIAL_FIFO_BYTES, POLLS = 64 };

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

/* What the data sheet has, and what serial.h says besides. */
struct model {
	u8 ier, lcr, mcr, scr, divisor[2];
	bool fifo, overrun, thre, rts_seen;
	u8 trigger;
	unsigned polls;
	u8 input[DEEP], loop[DEEP];
	size_t inputs, loops;
};

static struct {
	struct bus pio, mmio;
	struct serial serial;
	struct power power;
	struct pvpanic pvpanic;
	struct pci_host pci;
	struct trace trace;
	struct loop loop;
	struct model model;
	bool line;
	u64 room;
	unsigned put; /* bytes that came out since this was set to 0; the last of them: */
	u8 last_put;
	unsigned wanted, off, reset, panicked;
} world;

/* ---- around the devices ---- */

static void deliver(void *controller, u32 gsi, bool level)
{
	(void)controller;
	if (gsi != SERIAL_COM1_GSI)
		return;
	FUZZ_CHECK(level != world.line);
	world.line = level;
}

static void put(void *host, u8 byte)
{
	(void)host;
	world.put++;
	world.last_put = byte;
	world.room -= world.room > 0;
}

static bool has_room(void *host)
{
	(void)host;
	return world.room > 0;
}

static void want_input(void *host)
{
	(void)host;
	world.wanted++;
}

static void panic(void *owner)
{
	(void)owner;
	world.panicked++;
}

/* Both registers have one owner. */
static void turn_off(void *owner)
{
	(void)owner;
	world.off++;
}

static void restart(void *owner)
{
	(void)owner;
	world.reset++;
}

/* ---- the serial port as it should be ---- */

static bool listens(const struct model *model)
{
	if (model->rts_seen && !(model->mcr & 0x02))
		return false;
	return (model->ier & 0x01) || model->polls >= POLLS;
}

static size_t waiting(const struct model *model)
{
	if (model->loops)
		return model->loops;
	return listens(model) && !(model->mcr & 0x10) ? model->inputs : 0;
}

/* The interrupt's number in IIR; 1: none. */
static u8 pending(const struct model *model)
{
	static const u8 triggers[] = {1, 4, 8, 14};
	const size_t level = model->fifo ? triggers[model->trigger] : 1;

	if ((model->ier & 0x04) && model->overrun)
		return 0x06;
	if ((model->ier & 0x01) && waiting(model))
		return waiting(model) >= level ? 0x04 : 0x0c;
	return (model->ier & 0x02) && model->thre && world.room ? 0x02 : 0x01;
}

static u8 shift(u8 *bytes, size_t *count)
{
	const u8 first = bytes[0];

	memmove(bytes, bytes + 1, --*count);
	return first;
}

static u8 model_data(struct model *model)
{
	if (model->loops)
		return shift(model->loop, &model->loops);
	return waiting(model) ? shift(model->input, &model->inputs) : 0;
}

static u8 model_msr(const struct model *model)
{
	const u8 mcr = model->mcr;

	if (!(mcr & 0x10))
		return 0xb0;
	return (u8)((mcr & 0x0c) << 4 | (mcr & 0x02) << 3 | (mcr & 0x01) << 5);
}

static u8 model_lsr(struct model *model)
{
	u8 lsr = model->overrun ? 0x62 : 0x60;

	if (model->polls < POLLS)
		model->polls++;
	model->overrun = false;
	return lsr | (waiting(model) > 0);
}

static u8 model_iir(struct model *model)
{
	const u8 number = pending(model);

	model->polls = 0;
	model->thre = model->thre && number != 0x02;
	return number | (model->fifo ? 0xc0 : 0);
}

static u8 model_read(struct model *model, u64 at)
{
	const bool divisor = model->lcr & 0x80;

	switch (at) {
	case DATA:
		return divisor ? model->divisor[0] : model_data(model);
	case IER:
		return divisor ? model->divisor[1] : model->ier;
	case IIR:
		return model_iir(model);
	case LCR:
		return model->lcr;
	case MCR:
		return model->mcr;
	case LSR:
		return model_lsr(model);
	case MSR:
		return model_msr(model);
	default:
		return model->scr;
	}
}

static void model_fcr(struct model *model, u8 value)
{
	const bool fifo = value & 0x01;

	if (fifo != model->fifo || (value & 0x02))
		model->loops = 0;
	model->fifo = fifo;
	model->trigger = fifo ? value >> 6 : 0;
}

/* Returns whether the byte goes out. */
static bool model_send(struct model *model, u8 value)
{
	model->thre = true;
	if (!(model->mcr & 0x10))
		return true;
	if (model->loops < (model->fifo ? DEEP : 1))
		model->loop[model->loops++] = value;
	else
		model->overrun = true;
	return false;
}

static bool model_write(struct model *model, u64 at, u8 value)
{
	model->polls = 0;
	if (at <= IER && (model->lcr & 0x80))
		model->divisor[at] = value;
	else if (at == DATA)
		return model_send(model, value);
	else if (at == IER) {
		model->thre = model->thre || (~model->ier & value & 0x02);
		model->ier = value & 0x0f;
	} else if (at == IIR)
		model_fcr(model, value);
	else if (at == LCR)
		model->lcr = value;
	else if (at == MCR) {
		model->mcr = value & 0x1f;
		model->rts_seen = model->rts_seen || (value & 0x12) == 0x02;
	} else if (at == SCR)
		model->scr = value;
	return false;
}

/* ---- the two side by side ---- */

static void check_serial(void)
{
	const struct serial_regs *regs = &world.serial.regs;
	const struct model *model = &world.model;

	FUZZ_CHECK(world.line == (pending(model) != 0x01));
	FUZZ_CHECK(regs->input_used == model->inputs &&
		   memcmp(regs->input, model->input, model->inputs) == 0);
	FUZZ_CHECK(!world.wanted || model->inputs == 0);
	world.wanted = 0;
}

static u64 watched_read(void *device, u64 offset, unsigned width)
{
	const u64 value = serial_bus_ops.read(device, offset, width);

	FUZZ_CHECK(width == 1 && offset < SERIAL_PORT_BYTES);
	FUZZ_CHECK(value == model_read(&world.model, offset));
	FUZZ_CHECK(world.put == 0);
	check_serial();
	return value;
}

static void watched_write(void *device, u64 offset, unsigned width, u64 value)
{
	bool out;

	world.put = 0;
	serial_bus_ops.write(device, offset, width, value);
	out = model_write(&world.model, offset, (u8)value);
	FUZZ_CHECK(world.put == (out ? 1 : 0) && (!out || world.last_put == (u8)value));
	world.put = 0;
	check_serial();
}

static void type(const u8 *bytes, size_t count)
{
	struct model *model = &world.model;
	const size_t depth = listens(model) ? model->fifo ? DEEP : 1 : 0;
	const size_t room = depth > model->inputs ? depth - model->inputs : 0;
	const size_t taken = serial_input(&world.serial, bytes, count);

	FUZZ_CHECK(taken == (count < room ? count : room));
	memcpy(model->input + model->inputs, bytes, taken);
	model->inputs += taken;
	check_serial();
}

/* ---- ports ---- */

static void trace_access(u64 port, unsigned width, bool write, u64 value)
{
	const struct bus_access access = {port, width, write, value};

	if (trace_on(&world.trace, TRACE_PIO))
		bus_trace(&world.pio, &world.trace, TRACE_PIO, &access);
}

/* What a write to any port has to do to the machine, byte by byte as the bus takes it apart. */
static void expect_write(u64 port, unsigned width, u64 value)
{
	const bool address = width > 1 && width <= 4 && port >= PCI_ADDRESS_PORT &&
			     port + width <= PCI_ADDRESS_PORT + 4;
	unsigned off = world.off, reset = world.reset, panicked = world.panicked;

	for (u64 i = 0; i < width; i++) {
		const u8 byte = (u8)(value >> 8 * i);
		const u64 at = port + i;

		off += at == POWER_SLEEP_CONTROL && (byte & 0x3c) == 0x34;
		reset += (at == POWER_RESET && byte == 1) || (at == 0x64 && byte == 0xfe) ||
			 (at == 0xcf9 && (byte & 0x04) && !address);
		panicked += at == PVPANIC_PORT && (byte & 0x01);
	}
	bus_write(&world.pio, port, width, value);
	FUZZ_CHECK(world.off == off && world.reset == reset && world.panicked == panicked);
	if (port == PCI_ADDRESS_PORT && width == 4)
		FUZZ_CHECK(bus_read(&world.pio, port, 4) == (value & 0x80fffffc));
}

/* Configuration space reads the same by the ports and by ECAM. */
static void expect_read(u64 port, unsigned width)
{
	const u64 value = bus_read(&world.pio, port, width), low = port - PCI_DATA_PORT;
	const u32 address = world.pci.address;

	FUZZ_CHECK(width == 8 || value >> 8 * width == 0);
	if (low < 4 && low + width <= 4 && (address & 0x80000000) && (address & 0xff0000) == 0)
		FUZZ_CHECK(value ==
			   bus_read(&world.mmio,
				    0xe0000000 + ((address & 0xff00) << 4) + (address & 0xff) + low,
				    width));
	trace_access(port, width, false, value);
}

/* A port at which something is, or beside. */
static u64 port_near(u16 where)
{
	static const u16 ports[] = {0x64, 0x505, 0x600, 0xcf8, 0xcfc, 0x3f8};

	return ports[(where & 0xff) % ARRAY_LEN(ports)] + (u64)(where >> 8 & 15) - 4;
}

/* ---- the course ---- */

static void power_on(void)
{
	serial_reset(&world.serial);
	pci_reset(&world.pci);
	world.line = false;
	world.model = (struct model){.divisor = {1}, .thre = true};
	check_serial();
}

static void open_ports(bool trace)
{
	static struct bus_ops watched;
	const struct irq_line line = {.deliver = deliver, .gsi = SERIAL_COM1_GSI};
	const struct serial_host host = {put, has_room, want_input, NULL};
	const struct pci_layout layout = {.ecam_base = 0xe0000000,
					  .memory_base = 0xc0000000,
					  .memory_bytes = 1 << 20,
					  .line = {{.deliver = deliver}}};
	const struct bus_range range = {SERIAL_COM1_BASE, SERIAL_PORT_BYTES, 1,
					"serial0",        &watched,          &world.serial};
	struct error err = {.text = ""};

	memset(&world, 0, sizeof(world));
	watched = serial_bus_ops;
	watched.read = watched_read;
	watched.write = watched_write;
	serial_init(&world.serial, &line, &host);
	world.pvpanic = (struct pvpanic){panic, NULL};
	world.power = (struct power){turn_off,         restart,           NULL,
				     pci_read_address, pci_write_address, &world.pci};
	FUZZ_CHECK(!bus_add(&world.pio, &range, &err));
	FUZZ_CHECK(!power_attach(&world.power, &world.pio, &err));
	FUZZ_CHECK(!pvpanic_attach(&world.pvpanic, &world.pio, &err));
	FUZZ_CHECK(!pci_init(&world.pci, &layout, &world.pio, &world.mmio, &err));
	FUZZ_CHECK(!trace_open(&world.trace, trace ? TRACE_PIO : 0, "/dev/null", 0, &world.loop,
			       &err));
	world.room = 1;
	power_on();
}

static void out(unsigned at, u8 value)
{
	bus_write(&world.pio, SERIAL_COM1_BASE + at, 1, value);
}

/* Linux's 8250 driver, as it starts up a port that it takes for a 16550A. */
static void probe(void)
{
	static const u8 steps[][2] = {{IER, 0},    {IIR, 1},   {IIR, 7},    {IIR, 0},
				      {LCR, 0x83}, {DATA, 1},  {IER, 0},    {LCR, 3},
				      {IIR, 0x81}, {MCR, 0xb}, {IER, 0x05}, {IER, 0x07}};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		out(steps[i][0], steps[i][1]);
}

static void act(const struct action *action)
{
	const unsigned width = 1U << (action->how & 3);
	const u64 serial = SERIAL_COM1_BASE + (action->where & 7);
	const u64 value = (action->value | (u64)action->value << 32) &
			  UINT64_MAX >> (64 - 8 * width);
	u8 bytes[2 * DEEP];

	switch (action->what % PORTS_ACTIONS) {
	case 0:
		expect_read(serial, width);
		break;
	case 1:
		trace_access(serial, width, true, value);
		bus_write(&world.pio, serial, width, value);
		break;
	case 2:
		expect_read(port_near(action->where), width);
		break;
	case 3:
		trace_access(port_near(action->where), width, true, value);
		expect_write(port_near(action->where), width, value);
		break;
	case 4:
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (u8)(action->value + i);
		type(bytes, action->where % (sizeof(bytes) + 1));
		break;
	case 5:
		world.room = action->value & 0xff;
		serial_output_drained(&world.serial);
		check_serial();
		break;
	case 6:
		power_on();
		break;
	default:
		probe();
	}
}

/* It is as good as new: a driver sends, is interrupted for input, and reads it. */
static void expect_service(void)
{
	power_on();
	world.room = 1000;
	probe();
	out(DATA, 'x');
	FUZZ_CHECK(world.last_put == 'x' && world.line);
	FUZZ_CHECK(bus_read(&world.pio, SERIAL_COM1_BASE + IIR, 1) == 0xc2 && !world.line);
	type((const u8 *)"abc", 3);
	FUZZ_CHECK(world.line && bus_read(&world.pio, SERIAL_COM1_BASE + LSR, 1) == 0x61);
	for (u64 byte = 'a'; byte <= 'c'; byte++)
		FUZZ_CHECK(bus_read(&world.pio, SERIAL_COM1_BASE, 1) == byte);
	FUZZ_CHECK(!world.line);
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	struct input input = {bytes, count};
	const u8 flags = (u8)input_take(&input, 1);

	open_ports(flags & TRACE);
	while (input.left) {
		const struct action action = input_action(&input);

		act(&action);
	}
	expect_service();
	trace_close(&world.trace);
	pci_destroy(&world.pci);
	serial_destroy(&world.serial);
	return 0;
}
