/*
 * The network (devices/virtio/net.c, net_pair.c) behind what stands in for a tap: a hostile driver,
 * on a host whose tap fails, has no room, or is gone.
 *
 * Input: a byte of flags (transport, pairs of queues), the features, the registers of the first
 * pair's queues and of the control queue, a number of actions (actions.h), the actions, and guest
 * memory from address 0 on. The queues run from the start, on rings that are input.
 *
 * Checked is what board.h, guest.h, worker.h and network.h do.
 */
#include "tests/fuzz/network.h"

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	network_fuzz(bytes, count, false);
	return 0;
}
