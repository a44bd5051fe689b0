/*
 * idle - HLT with interrupts off: nothing but an NMI, INIT or reset can wake this CPU. It must cost
 * the host no time, and still be stoppable.
 */
#include "lib/lib.h"

void guest_main(void)
{
	print("idle\n");
	halt_forever();
}
