/*
 * The values of --rootfs and --volume: directories of the host's in the guest.
 *
 *	--rootfs DIR[,ro|,rw]            a comma in DIR is written twice
 *	--volume HOST:GUEST[:WORDS]      WORDS: ro, rw, cache=auto|none|always, with commas between
 */
#ifndef BANTAM_VMM_SHARE_OPTION_H
#define BANTAM_VMM_SHARE_OPTION_H

#include "devices/virtio/fuse.h"
#include "vmm/error.h"

struct share_config {
	char *host;        /* path; owns what guest points into, too */
	const char *guest; /* absolute path, each in one spelling; or NULL: the root directory */
	bool read_only;
	bool is_directory;  /* the root: not a disk image */
	bool write_through; /* the root: not copy-on-write */
	enum fuse_cache cache;
};

/* Return 0, or -1 with err set. share->host is to be freed in both cases. */
int share_option_root(struct share_config *share, const char *value, struct error *err);
int share_option_volume(struct share_config *share, const char *value, struct error *err);

#endif
