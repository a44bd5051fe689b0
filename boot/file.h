/*
 * A file that is read into guest memory: the kernel or the initrd.
 *
 * It is a regular file that is open from the first check to the last byte, and is read with
 * pread(2) straight to where it belongs. It is never mapped: truncating a mapped file would turn
 * the next access into SIGBUS.
 */
#ifndef BANTAM_BOOT_FILE_H
#define BANTAM_BOOT_FILE_H

#include "vmm/error.h"
#include "vmm/types.h"

struct boot_file {
	int fd;       /* -1 when closed */
	bool adopted; /* fd is the caller's */
	u64 bytes;
};

/*
 * Opens path for reading. fd: where it is open already, and stays so; else 0. Returns 0, or -1 with
 * err set: missing, not readable, empty, or not a regular file.
 */
int file_open(struct boot_file *file, const char *path, int fd, struct error *err);

/* Reads exactly bytes from offset; -1 with err set when the file ends before that or on an error. */
int file_read(const struct boot_file *file, u64 offset, void *to, u64 bytes, struct error *err);

/* Appends bytes from the offset at of one descriptor to another. Returns 0, or -1 with errno set. */
int file_copy(int to, int from, u64 at, u64 bytes);

void file_close(struct boot_file *file);

#endif
