/*
 * poweroff - the orderly end: SLP_TYP 5 with SLP_EN into the sleep control register of a
 * hardware-reduced ACPI machine (ACPI 6.5, 4.8.3.7). Before it, the type without SLP_EN, which must
 * not end the machine.
 */
#include "lib/lib.h"

void guest_main(void)
{
	print("sleep status %02x\n", inb(0x601));
	outb(0x600, 5 << 2);
	print("a type alone does nothing\n");
	power_off();
}
