/*
 * The network behind a stream socket (devices/virtio/net_pair.c, net_stream.c): a hostile driver and
 * a peer that sends anything, takes nothing, goes and comes.
 *
 * Input as in fuzz_net.c, without a control queue, which a stream's device doesn't have. What the
 * peer sends is input, too: it lies in guest memory.
 */
#include "tests/fuzz/network.h"

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	network_fuzz(bytes, count, true);
	return 0;
}
