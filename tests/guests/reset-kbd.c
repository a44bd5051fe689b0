/*
 * reset-kbd - the oldest way: the keyboard controller's output port pulses the CPU's reset line
 * when command 0xfe is written to port 0x64. Linux does it with reboot=k.
 */
#include "lib/lib.h"

void guest_main(void)
{
	print("reset by the keyboard controller\n");
	outb(0x64, 0xfe);
	print("still here after 0x64\n");
	halt_forever();
}
