/*
 * The value of --disk: FILE[,ro][,ephemeral][,direct][,serial=ID][,queues=N].
 *
 * A comma in the file's name is written twice, as QEMU has it.
 */
#ifndef BANTAM_VMM_DISK_OPTION_H
#define BANTAM_VMM_DISK_OPTION_H

#include "devices/virtio/disk.h"
#include "vmm/error.h"

/* Returns 0, or -1 with err set. disk->path is to be freed in both cases. */
int disk_option_parse(struct disk_config *disk, const char *value, struct error *err);

#endif
