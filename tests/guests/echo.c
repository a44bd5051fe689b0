/*
 * echo - the other direction: bytes from outside. Collects a line until a newline, shows it as
 * "line: ...", and powers off at "quit".
 *
 * The interrupt handler takes every byte that the UART has and puts it into a ring; the main loop
 * takes them out and sleeps when there are none. The handler reads until the UART is empty: only
 * then does the interrupt line fall, and only a line that has fallen can give the edge for the next
 * byte.
 *
 * When the ring is full, the handler turns its interrupt off and leaves the rest in the UART; the
 * main loop turns it on again once the ring is empty. So nothing is lost as long as whoever sends
 * waits for the UART to have room: a virtual one can make its sender wait, a real one has the RTS
 * line for that.
 *
 * Without the FIFOs, the UART holds a single byte, and nobody outside must send a second before
 * that one was read. The word `fifo` on the command line turns them on. That empties them, as on
 * real hardware: what came in earlier is lost, so a sender has to wait for "ready".
 */
#include "lib/lib.h"

#define VECTOR     0x40
#define RING_BYTES 4096 /* a power of two: the indexes run freely and are masked at use */
#define LINE_MAX   1023

static volatile u8 ring[RING_BYTES];
static volatile u32 head, tail; /* head: written by the handler alone; tail: by the main loop */
static volatile bool full;

IRQ_HANDLER static void uart(struct irq_frame *f)
{
	(void)f;
	(void)inb(UART_IIR);
	while (inb(UART_LSR) & LSR_DATA) {
		if (head - tail == RING_BYTES) {
			full = true;
			outb(UART_IER, 0);
			break;
		}
		ring[head++ % RING_BYTES] = inb(UART_DATA);
	}
	lapic_eoi();
}

static char next_byte(void)
{
	char c;

	irq_off();
	if (head == tail && full) {
		full = false;
		outb(UART_IER, IER_RX);
	}
	while (head == tail)
		sleep_until_irq();
	c = ring[tail++ % RING_BYTES];
	irq_on();
	return c;
}

void guest_main(void)
{
	static char line[LINE_MAX + 1];
	u32 n = 0;

	irq_init();
	irq_set_handler(VECTOR, uart);
	ioapic_route(COM1_GSI, VECTOR, lapic_id());
	if (cmdline_has("fifo"))
		outb(UART_FCR, 0x07); /* FIFOs on and empty, an interrupt from the first byte on */
	outb(UART_MCR, MCR_DTR_RTS | MCR_OUT2);
	outb(UART_IER, IER_RX);
	print("ready\n");
	for (;;) {
		char c = next_byte();

		if (c != '\n' && c != '\r') {
			if (n < LINE_MAX)
				line[n++] = c;
			continue;
		}
		line[n] = 0;
		print("line: %s\n", line);
		if (n == 4 && !memcmp(line, "quit", 4))
			break;
		n = 0;
	}
}
