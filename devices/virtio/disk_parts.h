/*
 * What the files of disk.h have among themselves.
 */
#ifndef BANTAM_DEVICES_VIRTIO_DISK_PARTS_H
#define BANTAM_DEVICES_VIRTIO_DISK_PARTS_H

#include "devices/virtio/disk.h"

/*
 * disk_format.c: refuses an image that isn't raw, by its magic. Returns 0, or -1 with err set.
 * file_bytes: its size.
 */
int disk_check_format(int fd, const char *path, u64 file_bytes, struct error *err);

/*
 * disk_geometry.c. Sizes of a block device, which has no file's size; of a file whose file system
 * likes blocks of preferred_bytes. Returns 0, or -1 with errno.
 */
int disk_measure_device(struct disk *disk);
void disk_measure_file(struct disk *disk, u64 file_bytes, u64 preferred_bytes);
/* What fd, which was opened with O_DIRECT, wants addresses and lengths to be multiples of; 0 when it
 * doesn't take such I/O at all. */
u32 disk_direct_align(int fd);

/* disk_overlay.c. Returns 0, or -1 with err set. */
int disk_overlay_open(struct disk *disk, struct error *err);
void disk_overlay_close(struct disk *disk);
/* The sectors from the one that `from` is in to the one that `to` is in, this one left out, lie in
 * the overlay now. */
void disk_overlay_mark(struct disk *disk, u64 from, u64 to);
/* How many bytes from `at`, `limit` at most, lie where the first one does; and where that is. */
u64 disk_overlay_run(const struct disk *disk, u64 at, u64 limit, bool *overlaid);

#endif
