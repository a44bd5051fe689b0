/*
 * The value of --disk: FILE[,ro][,ephemeral][,direct][,serial=ID][,queues=N].
 *
 * A comma in the file's name is written twice, as QEMU has it.
 */
#ifndef BANTAM_VMM_DISK_OPTION_H
#define BANTAM_VMM_DISK_OPTION_H

#include "devices/virtio/disk.h"
#include "vmm/error.h"

/* Returns 0, or -1 with err set. disk_option_free() is due after 0. */
int disk_option_parse(struct disk_config *disk, const char *value, struct error *err);
void disk_option_free(struct disk_config *disk);

#endif
