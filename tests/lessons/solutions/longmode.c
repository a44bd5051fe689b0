/*
 * longmode - exercise 3: the guest's memory at a second address, and its code running there.
 */
#include "lib/lib.h"

#define ALIAS  (1ull << 39) /* what the second entry of the PML4 maps: 512 GiB and up */
#define NO_RAM 0xd0000000ull

extern u64 pml4[]; /* lib/start.S */

static __attribute__((noinline)) void elsewhere(void)
{
	void (*nowhere)(void) = (void (*)(void))(ALIAS + NO_RAM);
	u64 rip;

	__asm__ volatile("lea (%%rip), %0" : "=r"(rip));
	print("running at %lx\n", rip);
	nowhere();
}

void guest_main(void)
{
	pml4[1] = pml4[0];
	((void (*)(void))(ALIAS + (u64)elsewhere))();
}
