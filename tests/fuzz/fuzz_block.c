/*
 * The disk (devices/virtio/block.c, disk*.c), driven by a hostile driver, on a host whose answers
 * are short, late, out of order or errors.
 *
 * Input: a header (what disk it is, the features, the first queue's registers), a number of actions
 * (actions.h), the actions, and guest memory from address 0 on. The queue runs from the start, on
 * rings that are input.
 *
 * Checked, besides what board.h, guest.h and worker.h do: an image that is read-only or under an
 * ephemeral disk stays as it is.
 */
#include "tests/fuzz/actions.h"
#include "tests/fuzz/driver.h"
#include "tests/fuzz/guest.h"

enum {
	PCI = 1,
	READ_ONLY = 2,
	EPHEMERAL = 4,
	DIRECT = 8,
	MSIX = 16,
	ANEW = 32,
	PATIENT = 64,
	TRACE = 128
};

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	struct input input = {bytes, count};
	const u8 flags = (u8)input_take(&input, 1);
	struct virtq_regs regs = {.enabled = true};
	struct board_setup setup = {.pci = flags & PCI,
				    .read_only = flags & READ_ONLY,
				    .ephemeral = flags & EPHEMERAL && !(flags & READ_ONLY),
				    .direct = flags & DIRECT,
				    .trace = flags & TRACE};
	struct board *board;
	unsigned actions;
	u32 features;

	setup.queues = 1 + input_take(&input, 1) % 4;
	features = (u32)input_take(&input, 4);
	regs.size = (u16)input_take(&input, 2);
	regs.descriptors = guest_address((u32)input_take(&input, 4));
	regs.available = guest_address((u32)input_take(&input, 4));
	regs.used = guest_address((u32)input_take(&input, 4));
	setup.memory = actions_begin(&input, &actions);
	board = board_open(&setup);
	board->patient = flags & PATIENT;
	if (setup.pci)
		driver_place(board, flags & MSIX);
	driver_begin(board, BOARD_BLOCK, features | VIRTIO_VERSION_1, &regs, 1);
	board_check(board);
	actions_run(board, &input, actions, flags & ANEW, flags & MSIX);
	return 0;
}
