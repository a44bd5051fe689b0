/*
 * speak - says what it is told, and ends as it is told. The command line up to the first `|` names
 * the end; behind it comes what is written to the console, with a line end for each further `|`:
 *
 *   --cmdline 'reset|[    0.1] Kernel panic - not syncing: why|'
 *
 * The ends: off, reset, fault (a triple fault), halt, panicked (the event of that name to the
 * pvpanic port, then halt), crash (pvpanic's "a crash kernel takes over", then power off). All that
 * a monitor believes of a guest's words can be tried with this.
 */
#include "lib/lib.h"

#define PVPANIC          0x505
#define PVPANIC_PANICKED 0x01
#define PVPANIC_CRASH    0x02

static bool end_is(const char *end)
{
	const size_t n = strlen(end);

	return strlen(boot.cmdline) >= n && !memcmp(boot.cmdline, end, n) &&
	       (boot.cmdline[n] == '|' || boot.cmdline[n] == 0);
}

void guest_main(void)
{
	const char *s = boot.cmdline;

	while (*s && *s != '|')
		s++;
	while (*s && *++s)
		putc(*s == '|' ? '\n' : *s);
	if (end_is("reset"))
		reset();
	if (end_is("fault"))
		triple_fault();
	if (end_is("halt"))
		halt_forever();
	if (end_is("panicked")) {
		print("events %02x\n", inb(PVPANIC));
		outb(PVPANIC, PVPANIC_PANICKED);
		halt_forever();
	}
	if (end_is("crash"))
		outb(PVPANIC, PVPANIC_CRASH);
}
