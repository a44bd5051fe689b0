/*
 * interrupts - writes a text without ever asking the UART whether it is ready: the UART says so
 * itself.
 *
 * With IER.THRE on, the UART raises its interrupt whenever the transmitter holding register is
 * empty. Reading IIR takes that reason away (the line falls); writing the next byte and its leaving
 * the register gives a new one (the line rises). An edge-triggered IOAPIC input sees one edge a
 * byte. So this takes exactly one interrupt more than the text has bytes: the last one finds
 * nothing to send.
 *
 * What it proves of the monitor: IRQ 4 arrives at GSI 4 of the IOAPIC, THRE comes at once when IER
 * is enabled on an empty register, IIR names the reason and is cleared by reading.
 */
#include "lib/lib.h"

#define VECTOR 0x40

static const char text[] = "every byte of this line was asked for by an interrupt\n";

static volatile unsigned sent, count, other;
static volatile bool finished;

IRQ_HANDLER static void uart(struct irq_frame *f)
{
	u8 iir = inb(UART_IIR);

	(void)f;
	count++;
	if ((iir & 0x0f) != 0x02) { /* anything but "THR empty" */
		other++;
	} else if (sent < sizeof(text) - 1) {
		outb(UART_DATA, text[sent++]);
	} else {
		outb(UART_IER, 0);
		finished = true;
	}
	lapic_eoi();
}

void guest_main(void)
{
	irq_init();
	irq_set_handler(VECTOR, uart);
	ioapic_route(COM1_GSI, VECTOR, lapic_id());
	outb(UART_MCR, MCR_DTR_RTS | MCR_OUT2);
	outb(UART_IER, IER_THRE);
	while (!finished)
		sleep_until_irq();
	print("bytes %u interrupts %u other %u\n", sent, count, other);
}
