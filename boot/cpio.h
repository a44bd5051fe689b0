/*
 * A writer of cpio archives in the form that the kernel unpacks as initial file system ("newc").
 *
 * Entries are appended to a buffer that grows; what can't be appended is noted and the rest
 * dropped, so that callers check once, in cpio_end(). Everything belongs to root and has no times,
 * so that the same entries always make the same archive.
 *
 * Limits: directories and regular files; 256 MiB.
 * Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 */
#ifndef BANTAM_BOOT_CPIO_H
#define BANTAM_BOOT_CPIO_H

#include <stdio.h>

#include "vmm/error.h"

#define CPIO_MAX_BYTES (256 * MIB)

struct cpio {
	FILE *out; /* writes to bytes; NULL when the archive has ended or couldn't begin */
	char *bytes;
	size_t count; /* of bytes, valid behind cpio_end() */
	u64 used;
	u32 entries;
};

void cpio_begin(struct cpio *cpio);

/*
 * Appends a directory (mode has S_IFDIR) or a file (S_IFREG) with count bytes; the directory that
 * it is in comes before it. A '/' at the path's beginning is left out.
 */
void cpio_add(struct cpio *cpio, const char *path, unsigned mode, const void *bytes, size_t count);

/*
 * Ends the archive, a multiple of 4 bytes long, as are all its entries: where it is put behind
 * another archive, it begins at such a multiple too. Returns 0, or -1 with err set when an entry
 * couldn't be appended.
 */
int cpio_end(struct cpio *cpio, struct error *err);

/* Frees what cpio_begin() and the others made; can be called at any time behind it. */
void cpio_free(struct cpio *cpio);

#endif
