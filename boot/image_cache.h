/*
 * Unpacked kernels, kept for the next start: $XDG_CACHE_HOME/bantam, or ~/.cache/bantam.
 *
 * A file there is a kernel as it was unpacked, and behind it what it was unpacked from. The latter is
 * compared, byte by byte, with what is to be unpacked now: so a file is taken for what it is, whatever its
 * name, and no kernel can be made that passes for another. (Its name is a hash of the kernel's version
 * and sizes, so that a kernel that was built anew usually has another; where it hasn't, the newer one
 * takes its place.)
 *
 * A file appears whole, for it is written under another name, synchronized and then renamed; any number
 * of processes may do that at once. The directory holds the IMAGE_CACHE_FILES that were used last:
 * whoever adds one removes others. It can be removed at any time.
 *
 * Directory and files are trusted when they are the user's own and nobody else may write to them; else
 * there is no cache.
 */
#ifndef BANTAM_BOOT_IMAGE_CACHE_H
#define BANTAM_BOOT_IMAGE_CACHE_H

#include "boot/kernel.h"

enum { IMAGE_CACHE_FILES = 8 };

/* Opens the directory, which is made if it isn't there. Returns its descriptor, or -1 with err set. */
int image_cache_open(struct error *err);

/* A descriptor of what this payload of the kernel becomes, or -1 when that isn't there. */
int image_cache_find(int cache, const struct boot_file *kernel, const struct payload *payload);

/* Adds it: image is a descriptor of it. What can't be kept isn't. */
void image_cache_keep(int cache, const struct boot_file *kernel, const struct payload *payload,
		      int image);

#endif
