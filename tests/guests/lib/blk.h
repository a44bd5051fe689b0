/*
 * A virtio block device's requests (virtio 1.2, 5.2.6): a header that the device reads, data in
 * one or the other direction, and one byte of status that the device writes.
 */
#ifndef GUEST_BLK_H
#define GUEST_BLK_H

#include "virtio.h"

#define SECTOR       512u
#define BLK_ID_BYTES 20u

/* Request types, 5.2.6. */
enum {
	BLK_IN = 0,
	BLK_OUT = 1,
	BLK_FLUSH = 4,
	BLK_GET_ID = 8,
	BLK_DISCARD = 11,
	BLK_WRITE_ZEROES = 13,
};

enum { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPP = 2, BLK_NO_ANSWER = 0xa5 };

/* Feature bits, 5.2.3. */
#define BLK_F_SEG_MAX      (1ull << 2)
#define BLK_F_RO           (1ull << 5)
#define BLK_F_BLK_SIZE     (1ull << 6)
#define BLK_F_FLUSH        (1ull << 9)
#define BLK_F_DISCARD      (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

/* Device configuration, 5.2.4. */
#define BLK_CONFIG_CAPACITY        0
#define BLK_CONFIG_SEG_MAX         12
#define BLK_CONFIG_MAX_DISCARD     36
#define BLK_CONFIG_MAX_DISCARD_SEG 40
#define BLK_CONFIG_MAX_ZEROES      48
#define BLK_CONFIG_MAX_ZEROES_SEG  52
#define BLK_CONFIG_UNMAP           56 /* write_zeroes_may_unmap, 8 bits */
#define BLK_CONFIG_BYTES           60

struct blk_header {
	u32 type, reserved;
	u64 sector;
};

struct blk_range { /* what a discard or a write-zeroes is about, 5.2.6.1 */
	u64 sector;
	u32 sectors, flags;
};
#define BLK_RANGE_UNMAP 1u

/* Sends one request and waits for its answer, BLK_…; `written`: what the used ring says of it. */
u8 blk_request(struct virtio *v, u32 type, u64 sector, void *data, u32 bytes, u32 *written);

static inline bool blk_type_reads(u32 type) /* the device writes to memory */
{
	return type == BLK_IN || type == BLK_GET_ID;
}

static inline u8 blk_read(struct virtio *v, u64 sector, void *data, u32 sectors)
{
	return blk_request(v, BLK_IN, sector, data, sectors * SECTOR, NULL);
}

static inline u8 blk_write(struct virtio *v, u64 sector, void *data, u32 sectors)
{
	return blk_request(v, BLK_OUT, sector, data, sectors * SECTOR, NULL);
}

/*
 * What the tests' images hold: the 32-bit words of the disk are numbered, and each holds its number
 * exclusive-or'ed with a salt (0: as the host made it).
 */
void blk_pattern(u32 *data, u64 sector, u32 sectors, u32 salt);
bool blk_has_pattern(const u32 *data, u64 sector, u32 sectors, u32 salt);

#endif
