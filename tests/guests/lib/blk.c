/*
 * Block requests, see blk.h. One at a time: it always takes the first three descriptors.
 */
#include "blk.h"

u8 blk_request(struct virtio *v, u32 type, u64 sector, void *data, u32 bytes, u32 *written)
{
	struct virtq *q = &v->queue[0];
	static struct blk_header header;
	static volatile u8 status;
	u32 id, length;
	u16 n = 0, old = q->avail.index;

	header = (struct blk_header){.type = type, .sector = sector};
	status = BLK_NO_ANSWER;
	q->desc[n++] = (struct virtq_desc){(u64)&header, sizeof(header), DESC_NEXT, 1};
	if (bytes)
		q->desc[n++] = (struct virtq_desc){
			(u64)data, bytes,
			(u16)(DESC_NEXT | (blk_type_reads(type) ? DESC_WRITE : 0)), 2};
	q->desc[n] = (struct virtq_desc){(u64)&status, 1, DESC_WRITE, 0};
	virtq_offer(q, 0);
	if (virtq_wants_notify(q, old))
		virtio_notify(v, 0);
	virtq_wait(q, &id, &length);
	if (written)
		*written = length;
	if (id != 0)
		print("WRONG: descriptor %u came back, and %u was given\n", id, 0);
	return status;
}

void blk_pattern(u32 *data, u64 sector, u32 sectors, u32 salt)
{
	u32 first = (u32)sector * (SECTOR / 4);

	for (u32 i = 0; i < sectors * (SECTOR / 4); i++)
		data[i] = (first + i) ^ salt;
}

bool blk_has_pattern(const u32 *data, u64 sector, u32 sectors, u32 salt)
{
	u32 first = (u32)sector * (SECTOR / 4);

	for (u32 i = 0; i < sectors * (SECTOR / 4); i++)
		if (data[i] != ((first + i) ^ salt))
			return false;
	return true;
}
