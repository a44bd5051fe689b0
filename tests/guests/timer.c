/*
 * timer - the local APIC's timer in its three modes.
 *
 *   one-shot      counts down once from a number to 0
 *   periodic      the same again and again
 *   TSC-deadline  fires when the time stamp counter reaches the number in an MSR; nothing to count
 *
 * With the APIC in the kernel, KVM keeps all of this by itself: a monitor never sees a tick. What
 * the monitor decides is CPUID.1:ECX[24], which says that the deadline mode exists.
 */
#include "lib/lib.h"

#define VECTOR         0x41
#define TICK_NS        1000000u /* KVM's timer counts at 1 GHz */
#define ROUNDS         5
#define CPUID_DEADLINE (1u << 24)

static volatile unsigned ticks;

IRQ_HANDLER static void tick(struct irq_frame *f)
{
	(void)f;
	ticks++;
	lapic_eoi();
}

static void wait_for(unsigned n)
{
	while (ticks < n)
		sleep_until_irq();
}

void guest_main(void)
{
	u64 tsc = rdtsc();

	irq_init();
	irq_set_handler(VECTOR, tick);

	for (unsigned i = 1; i <= ROUNDS; i++) {
		lapic_timer(LVT_ONE_SHOT | VECTOR, TICK_NS);
		wait_for(i);
	}
	print("one-shot ticks %u\n", ticks);

	ticks = 0;
	lapic_timer(LVT_PERIODIC | VECTOR, TICK_NS);
	wait_for(ROUNDS);
	lapic_timer(LVT_MASKED, 0);
	print("periodic ticks %u\n", ROUNDS); /* one more may have come before the mask */

	tsc = (rdtsc() - tsc) / (2 * ROUNDS); /* the TSC's way in about one tick */
	if (!(cpuid(1, 0).ecx & CPUID_DEADLINE)) {
		print("no TSC-deadline mode\n");
		return;
	}
	ticks = 0;
	lapic_write(LAPIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR);
	/* The mode is set through memory, the deadline through an MSR: keep the two in order. */
	__asm__ volatile("mfence" ::: "memory");
	for (unsigned i = 1; i <= ROUNDS; i++) {
		u64 deadline = rdtsc() + tsc;

		wrmsr(MSR_TSC_DEADLINE, deadline);
		wait_for(i);
		if (rdtsc() < deadline)
			print("EARLY by %lu\n", deadline - rdtsc());
	}
	print("tsc-deadline ticks %u\n", ticks);
}
