/*
 * reset - the ACPI reset register: the FADT names a port and the value that resets (here 0x602 and
 * 1).
 */
#include "lib/lib.h"

void guest_main(void)
{
	outb(0x602, 0); /* not the value */
	print("reset by the ACPI reset register\n");
	reset();
}
