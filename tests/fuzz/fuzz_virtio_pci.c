/*
 * Two devices behind PCI (devices/pci.c, msix.c, virtio/pci.c): configuration space by ECAM and by
 * ports, BARs that move, MSI-X's table, the common configuration, the window in a capability.
 *
 * Input: a byte of flags, a number of actions (actions.h), the actions, and guest memory from
 * address 0 on. The devices begin as at power-on, with their BARs not decoded.
 */
#include "tests/fuzz/actions.h"

enum { PATIENT = 1, ANEW = 2, MSIX = 4, READ_ONLY = 8 };

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	struct input input = {bytes, count};
	const u8 flags = (u8)input_take(&input, 1);
	struct board_setup setup = {
		.pci = true, .read_only = flags & READ_ONLY, .queues = 1 + (flags >> 4 & 3)};
	struct board *board;
	unsigned actions;

	setup.memory = actions_begin(&input, &actions);
	board = board_open(&setup);
	board->patient = flags & PATIENT;
	board_check(board);
	actions_run(board, &input, actions, flags & ANEW, flags & MSIX);
	return 0;
}
