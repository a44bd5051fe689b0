/*
 * badio - runs code where no memory is. A data access to the MMIO hole goes to the monitor, which
 * answers it; an instruction fetch can't be answered like that. KVM has nothing to execute and
 * gives up with KVM_EXIT_INTERNAL_ERROR. The monitor has to report that and end; entering the guest
 * again would fail the same way for ever.
 */
#include "lib/lib.h"

void guest_main(void)
{
	void (*nowhere)(void) = (void (*)(void))0xd0000000ull;

	print("jumping to 0xd0000000\n");
	nowhere();
	print("came back\n");
}
