/*
 * What hostile guests for one device share, see misuse.h.
 */
#include "misuse.h"

struct virtio v;
bool spoilt;

void describe(u16 queue, u16 n, const void *address, u32 length, u32 flags, u16 next)
{
	v.queue[queue].desc[n] = (struct virtq_desc){(u64)address, length, (u16)flags, next};
}

void begin(u64 features, u32 queues)
{
	if (!virtio_negotiate(&v, (virtio_device_features(&v) & features) | FEATURE_VERSION_1))
		print(" WRONG: the device does not agree to its features");
	for (u32 n = 0; n < VIRTIO_QUEUES_MAX; n++)
		if (queues & 1u << n) {
			virtq_describe(&v, n);
			virtq_enable(&v, n);
		}
	virtio_driver_ok(&v);
}

bool is_broken(void)
{
	return virtio_read(&v, REG_STATUS) & STATUS_NEEDS_RESET;
}

void wait_broken(void)
{
	while (!is_broken())
		pause();
	spoilt = true;
}

u32 offer_to(u16 queue, u16 head)
{
	u32 id, length;

	virtq_offer(&v.queue[queue], head);
	virtio_notify(&v, queue);
	for (u32 i = 1; !virtq_take(&v.queue[queue], &id, &length); i++) {
		pause();
		/* A register access costs an exit: the ring is looked at more often. */
		if (i % 512 == 0 && is_broken()) {
			print(" WRONG: the device wants a reset");
			return ~0u;
		}
	}
	if (id != head)
		print(" WRONG: chain %u came back as %u", head, id);
	return length;
}

void refuse(u16 queue)
{
	u32 length = offer_to(queue, 0);

	if (length)
		print(" WRONG: length %u", length);
}

void misuse_run(const char *guest, const struct misuse *cases, u32 count, void (*restart)(void),
		void (*good_service)(u32 number))
{
	u64 only = cmdline_number("case", ~0ull);
	u32 done = 0;

	for (u32 i = 0; i < count; i++) {
		if (only != ~0ull && only != i)
			continue;
		print("case %u %s:", i, cases[i].name);
		restart();
		spoilt = false;
		cases[i].run();
		if (is_broken() && !spoilt)
			print(" WRONG: the device wants a reset");
		if (spoilt)
			restart();
		good_service(i);
		print(" served\n");
		done++;
	}
	virtio_reset(&v);
	print("%s: %u cases done\n", guest, done);
}
