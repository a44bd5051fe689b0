/*
 * hello64 - the same in long mode: lib/start.S has taken the CPU from 32-bit protected mode through
 * paging to 64-bit code. The image has both a PVH note and a 64-bit ELF entry, so it boots either
 * way and says which way it was.
 */
#include "lib/lib.h"

void guest_main(void)
{
	print("hello from a 64-bit %s guest\n", boot.protocol == BOOT_PVH ? "PVH" : "Linux");
}
