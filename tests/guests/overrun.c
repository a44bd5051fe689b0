/*
 * overrun - writes as fast as the UART says it may, `kib=N` KiB (64 without it), in numbered lines
 * of 64 bytes. A reader who finds a number missing has found a byte lost between the register and
 * the pipe.
 */
#include "lib/lib.h"

#define LINE_BYTES 64

void guest_main(void)
{
	u64 lines = cmdline_number("kib", 64) * 1024 / LINE_BYTES;

	for (u64 i = 0; i < lines; i++) {
		print("%07lu ", i);
		for (unsigned col = 8; col < LINE_BYTES - 1; col++)
			putc('a' + (i + col) % 26);
		putc('\n');
	}
	print("done\n");
}
