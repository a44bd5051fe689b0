/*
 * Limits of a device's rate: see limit.h.
 */
#include "devices/virtio/limit.h"

#include "vmm/loop.h"

#define SECOND_NS ((u64)1000000000)

/* Rounded up, so that the rate is never more than was asked for. */
static u64 cost_ns(const struct bucket *bucket, u64 tokens)
{
	return (tokens * SECOND_NS + bucket->rate - 1) / bucket->rate;
}

u64 bucket_wait_ns(const struct bucket *bucket, u64 now_ns)
{
	u64 token_ns; /* when there is one */

	if (!bucket->rate)
		return 0;
	token_ns = atomic_load(&bucket->full_ns) + cost_ns(bucket, 1);
	return token_ns > now_ns + SECOND_NS ? token_ns - now_ns - SECOND_NS : 0;
}

void bucket_take(struct bucket *bucket, u64 tokens, u64 now_ns)
{
	u64 full_ns = atomic_load(&bucket->full_ns), next_ns;

	if (!bucket->rate)
		return;
	do
		next_ns = (full_ns > now_ns ? full_ns : now_ns) + cost_ns(bucket, tokens);
	while (!atomic_compare_exchange_weak(&bucket->full_ns, &full_ns, next_ns));
}

u64 limit_wait_ns(const struct limit *limit)
{
	const u64 now_ns = limit_is_set(limit) ? clock_now_ns() : 0;
	const u64 requests_ns = bucket_wait_ns(&limit->requests, now_ns);
	const u64 bytes_ns = bucket_wait_ns(&limit->bytes, now_ns);

	return requests_ns > bytes_ns ? requests_ns : bytes_ns;
}

void limit_take(struct limit *limit, u64 requests, u64 bytes)
{
	const u64 now_ns = limit_is_set(limit) ? clock_now_ns() : 0;

	bucket_take(&limit->requests, requests, now_ns);
	bucket_take(&limit->bytes, bytes, now_ns);
}
