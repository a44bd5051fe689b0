/*
 * triplefault - an exception without a handler, and none for the double fault that follows. A real
 * PC resets; KVM ends KVM_RUN with KVM_EXIT_SHUTDOWN and lets the monitor decide. It is no orderly
 * end.
 */
#include "lib/lib.h"

void guest_main(void)
{
	print("an IDT without entries, then ud2\n");
	triple_fault();
}
