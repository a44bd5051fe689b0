/*
 * spin - a guest that hangs: interrupts off, one instruction for ever. Nothing inside leaves the
 * guest, so a time-out or a signal has to stop the vCPU from outside.
 */
#include "lib/lib.h"

void guest_main(void)
{
	print("spinning\n");
	for (;;)
		__asm__ volatile("jmp .");
}
