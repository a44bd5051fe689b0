/*
 * exits - reads a register of the serial port's 100,000 times, each an exit to bantam and no more.
 */
#include "lib/lib.h"

#define COM1_LSR 0x3fd
#define READS    100000

void guest_main(void)
{
	for (unsigned i = 0; i < READS; i++)
		(void)inb(COM1_LSR);
	print("read\n");
}
