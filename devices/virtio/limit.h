/*
 * Limits of a device's rate: so many requests and bytes a second.
 *
 * Each is a token bucket, which holds one second's worth, so that a guest that was quiet may do that
 * much at once. Whoever finds a token may go, and takes as many as the request has bytes: the bucket
 * goes into debt for the rest, which those who come later wait for. So a request that is larger than
 * the bucket passes, a large one waits no longer than a small one, and nothing need be known of a
 * request before it is taken from its ring. In any time T the requests but for the last one (of each
 * queue, where several share a bucket) come to rate × T and one bucket at most.
 *
 * A bucket is kept as the time at which it will be full again, on CLOCK_MONOTONIC: nothing has to
 * fill it, and a time long past is a full bucket, not more.
 */
#ifndef BANTAM_DEVICES_VIRTIO_LIMIT_H
#define BANTAM_DEVICES_VIRTIO_LIMIT_H

#include <stdatomic.h>

#include "vmm/types.h"

/* The least number of bytes a second: a debt of some requests stays a matter of days. */
enum { LIMIT_BYTES_MIN = 1024 };

/* For several threads. Zeroes are a full bucket without a limit. */
struct bucket {
	u64 rate; /* tokens a second; 0: no limit */
	_Atomic u64 full_ns;
};

/* How long until there is a token, in nanoseconds; 0: there is. */
u64 bucket_wait_ns(const struct bucket *bucket, u64 now_ns);

/* Takes tokens, whether they are there or not; 2^32 at most. */
void bucket_take(struct bucket *bucket, u64 tokens, u64 now_ns);

struct limit {
	struct bucket requests, bytes;
};

static inline bool limit_is_set(const struct limit *limit)
{
	return limit->requests.rate || limit->bytes.rate;
}

/* The same for both, now. Without limits the clock isn't read. */
u64 limit_wait_ns(const struct limit *limit);
void limit_take(struct limit *limit, u64 requests, u64 bytes);

#endif
