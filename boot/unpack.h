/*
 * Unpacks on the host what a guest would unpack otherwise: the kernel in a bzImage, and modules.
 *
 * Nothing here can unpack by itself: the host's own tools do (gzip, xz, zstd, lz4, bzip2, lzop), each as
 * a child with `-dc`, from a descriptor into a file in memory that can't grow beyond what is expected,
 * and with a limit to its processor time. It is all done before the guest runs, and before the jail.
 *
 * What was unpacked of a kernel is kept in a cache: image_cache.h.
 */
#ifndef BANTAM_BOOT_UNPACK_H
#define BANTAM_BOOT_UNPACK_H

#include "vmm/error.h"
#include "vmm/types.h"

enum unpack_mode {
	UNPACK_AUTO, /* on the host where it can and the result can be kept, else in the guest */
	UNPACK_ON,   /* on the host, or not at all */
	UNPACK_OFF,  /* in the guest */
};

/* The most that becomes of a file. */
#define UNPACK_MAX_BYTES (256 * MIB)

/*
 * Has the tool unpack what *fd leads to, from where it stands, into most bytes at the most; *fd is closed
 * and becomes a file in memory, cut to what was written. Returns 0; 1 when there is no such tool, and
 * *fd is as it was; or -1 with err set, and *fd as well. A tool that isn't done in two minutes is ended,
 * and at once when a blocked signal waits that is to end us.
 */
int unpack_run(const char *tool, int *fd, u64 most, struct error *err);

/*
 * Finds the unpacked kernel of the bzImage at path in the cache, or unpacks it and keeps it there. With
 * UNPACK_AUTO it is not unpacked where it can't be kept. Returns a descriptor, the kernel from its
 * beginning (more may follow); 0 when the file is no bzImage; or -1 with err set to why the guest has to
 * do it.
 */
int unpack_kernel(const char *path, enum unpack_mode mode, struct error *err);

#endif
