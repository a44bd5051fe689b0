/*
 * panic - what a Linux kernel says when it dies, without a Linux kernel. The command line chooses:
 *
 *   (nothing)  the panic line, then reset: what panic=-1 does
 *   end        the panic line, a panic's last line, then a CPU that stays halted: what panic=0 does
 *   false      a program's line that quotes the words; then power off. No panic at all.
 *   orderly    the panic line, but then an orderly restart's line and reset
 */
#include "lib/lib.h"

void guest_main(void)
{
	if (cmdline_has("false")) {
		print("user says Kernel panic - not syncing: no\n");
		power_off();
	}
	print("[    0.123456] Kernel panic - not syncing: test\n");
	if (cmdline_has("end")) {
		print("[    0.2] ---[ end Kernel panic - not syncing: test ]---\n");
		halt_forever();
	}
	if (cmdline_has("orderly"))
		print("[    0.3] reboot: Restarting system\n");
	reset();
}
