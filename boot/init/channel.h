/*
 * One direction of a stream: bytes from one descriptor to another, neither of which blocks.
 *
 * A channel holds what was read until it is written, and reads only when it holds nothing: so who
 * reads slowly slows down who writes, and nothing is lost. Both descriptors are the channel's own;
 * it closes them as soon as they are of no more use. When nobody reads, it goes on reading and
 * drops the bytes.
 */
#ifndef BOOT_INIT_CHANNEL_H
#define BOOT_INIT_CHANNEL_H

#include "vmm/types.h"

struct pollfd;

enum { CHANNEL_BYTES = 64 * KIB };

struct channel {
	int from, to; /* -1: closed */
	u64 limit;    /* of received: how many bytes come at all; UINT64_MAX while nobody knows */
	u64 received, passed;
	size_t at, held; /* what of `bytes` is to be written */
	bool ended;      /* nothing more is read */
	u8 bytes[CHANNEL_BYTES];
};

/* The descriptors have O_NONBLOCK; -1 for `from`: the channel has ended. */
void channel_open(struct channel *channel, int from, int to);

/* What the channel waits for, for poll(2): two entries. */
void channel_poll(const struct channel *channel, struct pollfd *wait);

/* Does what poll() found possible; one read at most, so that no channel keeps the others waiting. */
void channel_move(struct channel *channel, const struct pollfd *wait);

/* How many bytes come: perhaps all have been received already. */
void channel_limit(struct channel *channel, u64 bytes);

/* Nothing more is read; what is held is still written. */
void channel_end(struct channel *channel);

/* Nobody reads any more: what is held is dropped, and all that comes. */
void channel_drop(struct channel *channel);

/* Whether all was read, and written or dropped. */
bool channel_is_done(const struct channel *channel);

#endif
