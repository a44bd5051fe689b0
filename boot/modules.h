/*
 * Finds the kernel modules that a guest needs on the host, and packs them for init to load.
 *
 * A distribution's kernel has few of its virtio drivers built in; the others lie in files, in a
 * directory with the kernel's release for a name. What depends on what is told by modules.dep
 * there. A package that was unpacked and never installed has no modules.dep: then the directory is
 * searched for files, and each says itself what it depends on. What modules.builtin names needs no
 * file. Modules are packed as they are loaded, without compression, by gzip, xz or zstd of the
 * host; where that isn't installed, they stay compressed, for the kernel of the guest.
 *
 * Nothing in the directory is trusted: no link is followed out of it, depth and numbers are
 * bounded, and 256 MiB are read at most. It is all done before the guest runs.
 *
 * Limits: Linux 5.6 (openat2); `softdep` isn't followed; of two files with the same name in a
 * directory without modules.dep, one is taken.
 * Source: modules.dep(5); System V ABI, "Sections"; Linux scripts/mod/modpost.c (.modinfo).
 */
#ifndef BANTAM_BOOT_MODULES_H
#define BANTAM_BOOT_MODULES_H

#include "boot/cpio.h"
#include "vmm/error.h"

struct modules_request {
	const char *release; /* of the kernel: kernel_release(); may be empty */
	/*
	 * The directory with the modules, or one with lib/modules/RELEASE or usr/lib/modules/RELEASE
	 * in it: tried in this order. NULL: the host's own.
	 */
	const char *directory;
	const char *const *wanted; /* names; '-' is as good as '_' */
	size_t wanted_count;
};

enum { MODULES_NO_DIRECTORY = 1 };

/*
 * Appends the wanted modules and all that they need to the archive, each once, in the order to
 * load: INIT_MODULES/NNN-NAME.ko, and the suffix of what is still compressed. INIT_DIRECTORY comes
 * before it. Returns 0; MODULES_NO_DIRECTORY when request->directory is NULL and the host has no
 * modules of this release, which is fine for a kernel that needs none (err tells where it was
 * looked for); or -1 with err set.
 */
int modules_pack(const struct modules_request *request, struct cpio *archive, struct error *err);

/*
 * What a module depends on, by its own word: names with commas between, in the count bytes of its
 * file and ended by a NUL. Returns 0, or -1 with err set when it is no module.
 */
int modules_depends(const void *module, size_t count, const char **depends, struct error *err);

#endif
