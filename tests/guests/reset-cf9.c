/*
 * reset-cf9 - the chipset's reset control register, port 0xcf9: bit 1 chooses a hard reset, bit 2
 * going from 0 to 1 does it. The port lies inside PCI's 32-bit address register at 0xcf8, a place
 * where a monitor that routes by address range alone goes wrong.
 */
#include "lib/lib.h"

void guest_main(void)
{
	print("reset by port 0xcf9\n");
	outb(0xcf9, 0x02);
	outb(0xcf9, 0x06);
	print("still here after 0xcf9\n");
	halt_forever();
}
