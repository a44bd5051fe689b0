/*
 * hlt - how a CPU waits. HLT stops it until an interrupt; with the APIC in the kernel the vCPU
 * thread sleeps inside KVM_RUN, uses no time of the host, and its monitor never hears of it.
 *
 * An interrupt with the handler's return is one wake-up: the instruction after HLT runs next. Ten
 * times.
 */
#include "lib/lib.h"

#define VECTOR  0x41
#define TICK_NS 2000000u

static volatile unsigned ticks;

IRQ_HANDLER static void tick(struct irq_frame *f)
{
	(void)f;
	ticks++;
	lapic_eoi();
}

void guest_main(void)
{
	irq_init();
	irq_set_handler(VECTOR, tick);
	for (unsigned i = 1; i <= 10; i++) {
		lapic_timer(LVT_ONE_SHOT | VECTOR, TICK_NS);
		sleep_until_irq();
		print("woken %u, ticks %u\n", i, ticks);
	}
}
