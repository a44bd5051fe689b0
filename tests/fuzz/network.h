/*
 * A network on a board (board.h) in the place of the disk, and the host's end of it.
 *
 * The end is a stream socket (devices/virtio/net_stream.c), whose peer the input plays; or what
 * stands in for a tap: datagrams of a header and a frame, ports that fail as the plan (worker.h) has
 * it, and switches.
 *
 * Checked: a stream's peer is never sent a frame of a length that no frame has, nor loses its place;
 * a tap is asked for no more offloads than it has and none behind a reset, and has just those queues
 * attached that the driver uses.
 */
#ifndef BANTAM_TESTS_FUZZ_NETWORK_H
#define BANTAM_TESTS_FUZZ_NETWORK_H

#include "tests/fuzz/board.h"
#include "tests/fuzz/fuzz.h"

/* Describes the device, with a peer at its other end. */
int network_open(struct board *board, struct error *err);
void network_close(struct board *board);

/*
 * The peer does something. how's bits 1 to 3 choose, its highest ones are the pair:
 *
 *	0  the next answers of a tap     4  it goes
 *	1  sends a frame                 5  another one comes
 *	2  sends anything                6  time passes
 *	3  takes all that there is       7  nobody takes anything: the socket is filled
 *
 * What is sent lies at `where` in the guest's memory, `value` bytes.
 */
void network_act(struct board *board, const struct action *action);

/* A peer that is new, and for which nothing waits. */
void network_renew(struct board *board);

/* It sends a frame of guest memory to the first pair; and finds it as what it is sent next. */
void network_send(u64 gpa, u32 bytes);
void network_expect(u64 gpa, u32 bytes);

void network_check(const struct board *board);

/* The course of a fuzzer: see fuzz_net.c. */
void network_fuzz(const u8 *bytes, size_t count, bool stream);

#endif
