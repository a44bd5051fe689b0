/*
 * COM1, a 16550A UART: see serial.h.
 */
#include "devices/serial.h"

#include <stdio.h>
#include <string.h>

#include "vmm/bits.h"

/* Registers by offset. RBR, THR and DLL share one, as do IER and DLM, IIR and FCR. */
enum { REG_DATA = 0, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

enum { IER_RECEIVE = 0x01, IER_THRE = 0x02, IER_MASK = 0x0f };
enum {
	IIR_NONE = 0x01,
	IIR_THRE = 0x02,
	IIR_RECEIVE = 0x04,
	IIR_LINE = 0x06,
	IIR_TIMEOUT = 0x0c,
	IIR_FIFO_ON = 0xc0,
};
enum { IER_LINE = 0x04 };
enum { FCR_ENABLE = 0x01, FCR_RESET_RECEIVE = 0x02, FCR_TRIGGER_SHIFT = 6 };
enum { LCR_DLAB = 0x80 };
enum { MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10 };
enum { MCR_MASK = 0x1f };
enum { LSR_READY = 0x01, LSR_OVERRUN = 0x02, LSR_THRE = 0x20, LSR_IDLE = 0x40 };
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RING = 0x40, MSR_CARRIER = 0x80 };

/*
 * So many LSR reads without a byte sent mean that the guest polls for input. A driver that polls
 * for THRE sends after each read, and an interrupt handler reads LSR once.
 */
enum { POLLS_MEAN_LISTENING = 64 };

static bool listens(const struct serial_regs *regs)
{
	if (regs->rts_seen && !(regs->mcr & MCR_RTS))
		return false;
	return (regs->ier & IER_RECEIVE) || regs->lsr_polls >= POLLS_MEAN_LISTENING;
}

/* Bytes that the guest could read from RBR now. */
static unsigned readable(const struct serial_regs *regs)
{
	if (regs->loop_used)
		return regs->loop_used;
	return listens(regs) && !(regs->mcr & MCR_LOOP) ? regs->input_used : 0;
}

static u8 fifo_depth(const struct serial_regs *regs)
{
	return regs->fcr & FCR_ENABLE ? SERIAL_FIFO_BYTES : 1;
}

/* The FIFO level that raises a receive interrupt at once, FCR bits 7:6; below it, the time-out does. */
static unsigned trigger_level(const struct serial_regs *regs)
{
	static const u8 levels[] = {1, 4, 8, 14};

	return regs->fcr & FCR_ENABLE ? levels[regs->fcr >> FCR_TRIGGER_SHIFT] : 1;
}

/* The highest pending interrupt as IIR shows it, in the data sheet's order of priority. */
static u8 pending_interrupt(const struct serial *serial)
{
	const struct serial_regs *regs = &serial->regs;
	const unsigned waiting = readable(regs);

	if ((regs->ier & IER_LINE) && regs->overrun)
		return IIR_LINE;
	if ((regs->ier & IER_RECEIVE) && waiting >= trigger_level(regs))
		return IIR_RECEIVE;
	if ((regs->ier & IER_RECEIVE) && waiting)
		return IIR_TIMEOUT;
	if ((regs->ier & IER_THRE) && regs->thre_pending &&
	    serial->host.has_room(serial->host.host))
		return IIR_THRE;
	return IIR_NONE;
}

static void update_irq(struct serial *serial)
{
	irq_line_set(&serial->irq, pending_interrupt(serial) != IIR_NONE);
}

/* Tells the host's end when the guest is ready for bytes and has none left. */
static void ask_for_input(struct serial *serial)
{
	if (serial->regs.input_used == 0 && listens(&serial->regs))
		serial->host.want_input(serial->host.host);
}

static u8 take_first(u8 *fifo, u8 *used)
{
	const u8 byte = fifo[0];

	memmove(fifo, fifo + 1, --*used);
	return byte;
}

static u8 read_data(struct serial *serial)
{
	struct serial_regs *regs = &serial->regs;
	u8 byte = 0;

	if (regs->loop_used) {
		byte = take_first(regs->loop, &regs->loop_used);
	} else if (readable(regs)) {
		byte = take_first(regs->input, &regs->input_used);
		ask_for_input(serial);
	}
	return byte;
}

static void write_data(struct serial *serial, u8 byte)
{
	struct serial_regs *regs = &serial->regs;

	/*
	 * THRE falls with the byte and rises again at once. A driver that reads IIR has seen it fall
	 * there; for one that doesn't, the line must fall here, or it sees no second edge.
	 */
	if (regs->thre_pending && !regs->iir_read) {
		regs->thre_pending = false;
		update_irq(serial);
	}
	regs->thre_pending = true;
	if (!(regs->mcr & MCR_LOOP))
		serial->host.put(serial->host.host, byte);
	else if (regs->loop_used < fifo_depth(regs))
		regs->loop[regs->loop_used++] = byte;
	else
		regs->overrun = LSR_OVERRUN;
}

static u8 read_iir(struct serial *serial)
{
	const u8 pending = pending_interrupt(serial);

	serial->regs.lsr_polls = 0;
	if (pending == IIR_THRE) {
		serial->regs.thre_pending = false;
		serial->regs.iir_read = true;
	}
	return pending | (serial->regs.fcr & FCR_ENABLE ? IIR_FIFO_ON : 0);
}

static u8 read_lsr(struct serial *serial)
{
	struct serial_regs *regs = &serial->regs;
	u8 lsr;

	if (regs->lsr_polls < POLLS_MEAN_LISTENING && ++regs->lsr_polls == POLLS_MEAN_LISTENING)
		ask_for_input(serial);
	lsr = LSR_THRE | LSR_IDLE | regs->overrun;
	if (readable(regs))
		lsr |= LSR_READY;
	regs->overrun = 0;
	return lsr;
}

/* In loopback mode the modem's inputs are wired to its outputs; else a modem is there and ready. */
static u8 read_msr(const struct serial_regs *regs)
{
	u8 msr = 0;

	if (!(regs->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_CARRIER;
	msr |= regs->mcr & MCR_RTS ? MSR_CTS : 0;
	msr |= regs->mcr & MCR_DTR ? MSR_DSR : 0;
	msr |= regs->mcr & MCR_OUT1 ? MSR_RING : 0;
	msr |= regs->mcr & MCR_OUT2 ? MSR_CARRIER : 0;
	return msr;
}

/* Enabling the THRE interrupt while THR is empty raises it: drivers start sending that way. */
static void write_ier(struct serial *serial, u8 value)
{
	struct serial_regs *regs = &serial->regs;

	if (~regs->ier & value & IER_THRE)
		regs->thre_pending = true;
	regs->ier = value & IER_MASK;
	ask_for_input(serial);
}

static void write_fcr(struct serial_regs *regs, u8 value)
{
	/* Turning the FIFOs on or off empties them as the reset bit does. */
	if ((value & FCR_RESET_RECEIVE) || ((value ^ regs->fcr) & FCR_ENABLE))
		regs->loop_used = 0;
	/* Without FCR_ENABLE the other bits aren't programmed. */
	regs->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | 3 << FCR_TRIGGER_SHIFT) : 0;
}

static void write_mcr(struct serial *serial, u8 value)
{
	struct serial_regs *regs = &serial->regs;

	regs->mcr = value & MCR_MASK;
	/* RTS in loopback mode is a self-test, not a word to the other side. */
	if ((regs->mcr & (MCR_RTS | MCR_LOOP)) == MCR_RTS)
		regs->rts_seen = true;
	ask_for_input(serial);
}

static u64 serial_read(void *device, u64 offset, unsigned width)
{
	struct serial *serial = device;
	struct serial_regs *regs = &serial->regs;
	bool divisor;
	u8 value = 0xff;

	(void)width;
	pthread_mutex_lock(&serial->lock);
	divisor = regs->lcr & LCR_DLAB;
	switch (offset) {
	case REG_DATA:
		value = divisor ? regs->divisor_low : read_data(serial);
		break;
	case REG_IER:
		value = divisor ? regs->divisor_high : regs->ier;
		break;
	case REG_IIR_FCR:
		value = read_iir(serial);
		break;
	case REG_LCR:
		value = regs->lcr;
		break;
	case REG_MCR:
		value = regs->mcr;
		break;
	case REG_LSR:
		value = read_lsr(serial);
		break;
	case REG_MSR:
		value = read_msr(regs);
		break;
	case REG_SCR:
		value = regs->scr;
		break;
	}
	update_irq(serial);
	pthread_mutex_unlock(&serial->lock);
	return value;
}

static void write_register(struct serial *serial, u64 offset, u8 value)
{
	struct serial_regs *regs = &serial->regs;
	const bool divisor = regs->lcr & LCR_DLAB;

	regs->lsr_polls = 0;
	switch (offset) {
	case REG_DATA:
		if (divisor)
			regs->divisor_low = value;
		else
			write_data(serial, value);
		break;
	case REG_IER:
		if (divisor)
			regs->divisor_high = value;
		else
			write_ier(serial, value);
		break;
	case REG_IIR_FCR:
		write_fcr(regs, value);
		break;
	case REG_LCR:
		regs->lcr = value;
		break;
	case REG_MCR:
		write_mcr(serial, value);
		break;
	case REG_SCR:
		regs->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

static void serial_write(void *device, u64 offset, unsigned width, u64 value)
{
	struct serial *serial = device;

	(void)width;
	pthread_mutex_lock(&serial->lock);
	write_register(serial, offset, (u8)value);
	update_irq(serial);
	pthread_mutex_unlock(&serial->lock);
}

static bool shows_divisor(struct serial *serial)
{
	bool divisor;

	pthread_mutex_lock(&serial->lock);
	divisor = serial->regs.lcr & LCR_DLAB;
	pthread_mutex_unlock(&serial->lock);
	return divisor;
}

static const char *serial_name(void *device, u64 offset, bool write)
{
	static const char *const names[] = {
		[REG_DATA] = "RBR", [REG_IER] = "IER", [REG_IIR_FCR] = "IIR", [REG_LCR] = "LCR",
		[REG_MCR] = "MCR",  [REG_LSR] = "LSR", [REG_MSR] = "MSR",     [REG_SCR] = "SCR"};

	if (offset <= REG_IER && shows_divisor(device))
		return offset == REG_DATA ? "DLL" : "DLM";
	if (write && offset == REG_DATA)
		return "THR";
	if (write && offset == REG_IIR_FCR)
		return "FCR";
	return offset < ARRAY_LEN(names) ? names[offset] : "";
}

static const char *iir_words(u64 value)
{
	static const char *const words[16] = {[IIR_NONE] = "none",
					      [IIR_THRE] = "thre",
					      [IIR_RECEIVE] = "rx",
					      [IIR_LINE] = "line",
					      [IIR_TIMEOUT] = "rx-timeout"};

	return words[value & 0x0f] ? words[value & 0x0f] : "?";
}

static void serial_explain(void *device, u64 offset, bool write, u64 value, char *text,
			   size_t bytes)
{
	static const struct bit_name ier[] = {
		{IER_RECEIVE, "rx"}, {IER_THRE, "thre"}, {IER_LINE, "line"}, {0x08, "modem"}};
	static const struct bit_name fcr[] = {
		{FCR_ENABLE, "fifo"}, {FCR_RESET_RECEIVE, "reset-rx"}, {0x04, "reset-tx"}};
	static const struct bit_name mcr[] = {{MCR_DTR, "dtr"},
					      {MCR_RTS, "rts"},
					      {MCR_OUT1, "out1"},
					      {MCR_OUT2, "out2"},
					      {MCR_LOOP, "loop"}};
	static const struct bit_name lsr[] = {{LSR_READY, "ready"},
					      {LSR_OVERRUN, "overrun"},
					      {LSR_THRE, "thre"},
					      {LSR_IDLE, "idle"}};
	static const struct bit_name msr[] = {
		{MSR_CTS, "cts"}, {MSR_DSR, "dsr"}, {MSR_RING, "ring"}, {MSR_CARRIER, "carrier"}};

	text[0] = '\0';
	if (offset <= REG_IER && shows_divisor(device))
		return;
	if (offset == REG_DATA && value > 0x20 && value < 0x7f)
		snprintf(text, bytes, "'%c'", (char)value);
	else if (offset == REG_IER)
		bit_names(value, ier, ARRAY_LEN(ier), text, bytes);
	else if (offset == REG_IIR_FCR && write)
		bit_names(value, fcr, ARRAY_LEN(fcr), text, bytes);
	else if (offset == REG_IIR_FCR)
		snprintf(text, bytes, "%s%s", iir_words(value), value & IIR_FIFO_ON ? ",fifo" : "");
	else if (offset == REG_LCR)
		snprintf(text, bytes, "%llu bits%s", 5 + (value & 3),
			 value & LCR_DLAB ? ",dlab" : "");
	else if (offset == REG_MCR)
		bit_names(value, mcr, ARRAY_LEN(mcr), text, bytes);
	else if (offset == REG_LSR)
		bit_names(value, lsr, ARRAY_LEN(lsr), text, bytes);
	else if (offset == REG_MSR)
		bit_names(value, msr, ARRAY_LEN(msr), text, bytes);
}

const struct bus_ops serial_bus_ops = {
	.read = serial_read, .write = serial_write, .name = serial_name, .explain = serial_explain};

void serial_reset(struct serial *serial)
{
	pthread_mutex_lock(&serial->lock);
	serial->regs = (struct serial_regs){.divisor_low = 1, .thre_pending = true};
	serial->irq.level = false;
	pthread_mutex_unlock(&serial->lock);
}

void serial_init(struct serial *serial, const struct irq_line *irq, const struct serial_host *host)
{
	*serial = (struct serial){.irq = *irq, .host = *host};
	pthread_mutex_init(&serial->lock, NULL);
	serial_reset(serial);
}

void serial_destroy(struct serial *serial)
{
	pthread_mutex_destroy(&serial->lock);
}

size_t serial_input(void *device, const u8 *bytes, size_t count)
{
	struct serial *serial = device;
	struct serial_regs *regs = &serial->regs;
	size_t room;

	pthread_mutex_lock(&serial->lock);
	room = listens(regs) ? fifo_depth(regs) : 0;
	room = room > regs->input_used ? room - regs->input_used : 0;
	if (count > room)
		count = room;
	memcpy(regs->input + regs->input_used, bytes, count);
	regs->input_used = (u8)(regs->input_used + count);
	update_irq(serial);
	pthread_mutex_unlock(&serial->lock);
	return count;
}

void serial_output_drained(void *device)
{
	struct serial *serial = device;

	pthread_mutex_lock(&serial->lock);
	update_irq(serial);
	pthread_mutex_unlock(&serial->lock);
}
