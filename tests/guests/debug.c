/*
 * debug - a guest for a debugger (tests/guests/gdb.py): counts, by calling tick(), until somebody
 * from outside stores 1 at `stop`, and says then what tick()'s first byte is: nothing of a breakpoint
 * may be left.
 *
 *   fault, reset   ends that way instead of powering off
 *   panic          says that it panicked, as Linux does
 */
#include "lib/lib.h"

extern volatile u64 counter, stop;
void tick(void);

volatile u64 counter, stop;

__attribute__((noinline)) void tick(void)
{
	counter++;
}

void guest_main(void)
{
	const u8 first = *(const volatile u8 *)tick;

	print("ready\n");
	while (!stop)
		tick();
	print("tick() is %s, stop is at %lx\n",
	      *(const volatile u8 *)tick == first ? "whole" : "BROKEN", (u64)&stop);
	if (cmdline_has("fault"))
		triple_fault();
	if (cmdline_has("reset"))
		reset();
	if (cmdline_has("panic"))
		print("Kernel panic - not syncing: as asked\n---[ end Kernel panic - not syncing ]---\n");
}
