/*
 * What may happen on a board, as actions of an input (fuzz.h), and the course of a board's fuzzer.
 *
 * `what`, modulo ACTIONS, chooses; `how`'s lowest bit is the device in most, and a queue stands in
 * its next two bits where one is needed (a network's, which has more of them, in bits 4 to 6):
 *
 *	0  the guest stores `value` at `where`           8  a device is reset by its status
 *	1  `value` chains more are available             9  a driver begins, all queues from `where` on
 *	2  a notification                               10  a whole request is put into a queue
 *	3  a round of all devices                       11  the device's configuration changes
 *	4  rounds until all are done                    12  the kernel will refuse wires
 *	5  how the host will answer                     13  an access to a BAR, or a register (MMIO)
 *	6  order of answers, patience of who waits      14  an access to configuration space by ECAM
 *	7  a device is quiesced, and goes on            15  the same by ports
 *
 * With a network, 10 is a frame, a buffer or a command, and 5 and 6 are what its peer does
 * (network.h).
 */
#ifndef BANTAM_TESTS_FUZZ_ACTIONS_H
#define BANTAM_TESTS_FUZZ_ACTIONS_H

#include "tests/fuzz/board.h"
#include "tests/fuzz/fuzz.h"

enum { ACTIONS = 16 };

void board_act(struct board *board, const struct action *action);

/*
 * Takes a number of actions from the input and fills memory with what stands behind them; memory
 * begins before the board is opened. Returns the memory.
 */
const struct memory *actions_begin(struct input *input, unsigned *actions);

/*
 * Does that many actions, with board_check() after each; then sees that the board is as good as
 * new, after resets by the driver or (anew) of the machine, and takes it down.
 */
void actions_run(struct board *board, struct input *input, unsigned actions, bool anew, bool msix);

#endif
