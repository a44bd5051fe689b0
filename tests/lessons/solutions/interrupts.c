/*
 * interrupts - exercise 4: asleep until a key is pressed.
 */
#include "lib/lib.h"

#define VECTOR 0x40

static volatile u8 byte;
static volatile bool there;

IRQ_HANDLER static void uart(struct irq_frame *f)
{
	(void)f;
	if ((inb(UART_IIR) & 0x0f) == 0x04) { /* received data */
		byte = inb(UART_DATA);
		there = true;
	}
	lapic_eoi();
}

void guest_main(void)
{
	irq_init();
	irq_set_handler(VECTOR, uart);
	ioapic_route(COM1_GSI, VECTOR, lapic_id());
	outb(UART_MCR, MCR_DTR_RTS | MCR_OUT2);
	outb(UART_IER, IER_RX);
	do {
		there = false;
		while (!there)
			sleep_until_irq();
		print("got %c\n", byte);
	} while (byte != 'q');
}
