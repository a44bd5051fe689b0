/*
 * A disk of 1 MiB in a file without a name, behind virtio-blk, with workers of its own; and a guest
 * (virtio_rig.h) that sends it requests.
 *
 * The image's sector n begins with a pattern that n is the seed of, so that a sector at a wrong
 * place is seen.
 */
#ifndef BANTAM_TESTS_UNIT_BLOCK_WORLD_H
#define BANTAM_TESTS_UNIT_BLOCK_WORLD_H

#include "devices/virtio/block.h"
#include "tests/unit/virtio_rig.h"

enum { SECTORS = 2048, SECTOR = DISK_SECTOR_BYTES };

#define BLOCK_FEATURES                                                                             \
	(VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX |                              \
	 (u64)1 << VIRTIO_BLK_F_SEG_MAX | (u64)1 << VIRTIO_BLK_F_FLUSH |                           \
	 (u64)1 << VIRTIO_BLK_F_CONFIG_WCE)

/* Where a request's header and its status lie; data is at RIG_DATA. */
#define HEADER_AT ((u64)0x38000)
#define STATUS_AT ((u64)0x39000)
#define TABLE_AT  ((u64)0x3a000)

/* What the status byte is before the device writes it. */
enum { UNTOUCHED = 0xee };

struct block_world {
	struct rig rig;
	struct temp_file image;
	u64 image_bytes; /* set before: the image is longer, with a hole at its end; 0: 1 MiB */
	struct disk_config config;
	struct block block;
	struct trace trace; /* of the workers: off, unless the test opened it before */
};

/* config: but for the path; queues = 0 means one. The device isn't started. */
void block_world_init(struct block_world *world, const struct disk_config *config);
void block_world_destroy(struct block_world *world);

/* As cmocka's set-up and tear-down: a disk to read and write, with one queue, started. */
int block_set_up(void **state);
int block_tear_down(void **state);

/* What an image's sector has at first, and what it has now. */
void sector_pattern(u64 sector, u8 *bytes);
void image_read(struct block_world *world, u64 sector, u8 *bytes);
bool image_is_untouched(struct block_world *world, u64 sector, u64 sectors);

/* Puts a request's header to HEADER_AT, and makes the status UNTOUCHED. */
void put_header(struct block_world *world, u32 type, u64 sector);

/* The chain on queue 0 as it is; waits, and returns the status byte. */
u8 send_chain(struct block_world *world, const struct driver_buffer *buffer, unsigned buffers,
	      u32 *written);

/* A request as drivers make it: header, data at RIG_DATA if there is any, status. */
u8 request(struct block_world *world, u32 type, u64 sector, u32 bytes);

/* Whether this process gets an io_uring. */
bool has_io_uring(void);

/*
 * Runs the tests with io_uring, forbids it to this process, and runs them with the threads that take
 * its place. Returns how many failed.
 */
struct CMUnitTest;
int block_run_twice(const struct CMUnitTest *tests, size_t count);

#endif
