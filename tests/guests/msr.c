/*
 * msr - model-specific registers that nobody has. RDMSR and WRMSR of an unknown one raise a general
 * protection fault (#GP, vector 13); kernels probe with a handler that steps over the instruction,
 * and so does this guest. A monitor that watches those accesses must leave the fault to the guest.
 */
#include "lib/lib.h"

#define VECTOR_GP   13
#define MSR_BYTES   2 /* the length of both instructions */
#define MSR_UNNAMED 0x4d5a1234
#define MSR_NAMED   0xc0010299 /* RAPL_POWER_UNIT: real processors have it */
#define MSR_PRESENT 0x1b       /* APIC_BASE: no fault, and nothing to see for a monitor */

static volatile unsigned faults;

/* The processor pushes an error code for this vector, which the compiler removes again. */
__attribute__((interrupt)) static void protection(struct irq_frame *f, u64 error)
{
	(void)error;
	faults++;
	f->rip += MSR_BYTES;
}

static void try_msr(u32 msr)
{
	const unsigned before = faults;

	(void)rdmsr(msr);
	print("rdmsr %x faults %u\n", msr, faults - before);
}

void guest_main(void)
{
	irq_init();
	irq_set_handler(VECTOR_GP, (irq_handler)(void *)protection);
	try_msr(MSR_UNNAMED);
	try_msr(MSR_NAMED);
	try_msr(MSR_PRESENT);
	wrmsr(MSR_UNNAMED, 0x1122334455667788);
	print("faults %u\n", faults);
}
