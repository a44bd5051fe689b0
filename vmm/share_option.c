/*
 * The values of --rootfs and --volume: see share_option.h.
 */
#include "vmm/share_option.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/options.h"

int share_option_root(struct share_config *share, const char *value, struct error *err)
{
	char *words;

	*share = (struct share_config){.host = strdup(value), .cache = FUSE_CACHE_ALWAYS};
	if (!share->host)
		return error_set(err, "no memory for the options");
	words = options_split(share->host);
	share->read_only = words && strcmp(words, "ro") == 0;
	share->write_through = words && strcmp(words, "rw") == 0;
	if (share->write_through)
		share->cache = FUSE_CACHE_AUTO;
	if (share->host[0] && (!words || share->read_only || share->write_through))
		return 0;
	error_set(err, "--rootfs '%s': it is a directory or a disk image, with ,ro or ,rw", value);
	share_option_free(share);
	return -1;
}

static bool apply_word(struct share_config *share, const char *word)
{
	static const char *const caches[] = {[FUSE_CACHE_AUTO] = "cache=auto",
					     [FUSE_CACHE_NONE] = "cache=none",
					     [FUSE_CACHE_ALWAYS] = "cache=always"};

	if (strcmp(word, "rw") == 0 || strcmp(word, "ro") == 0) {
		share->read_only = word[1] == 'o';
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(caches); i++) {
		if (strcmp(word, caches[i]) == 0) {
			share->cache = (enum fuse_cache)i;
			return true;
		}
	}
	return false;
}

/* An absolute path that leads to another place than /, and nowhere up. */
static bool is_mount_point(const char *path)
{
	const bool absolute = path[0] == '/';
	bool below = false;

	while (*path) {
		const size_t length = strcspn(path += strspn(path, "/"), "/");

		if (length == 2 && strncmp(path, "..", length) == 0)
			return false;
		below = below || length > 1 || (length == 1 && *path != '.');
		path += length;
	}
	return absolute && below;
}

int share_option_volume(struct share_config *share, const char *value, struct error *err)
{
	char *rest, *guest, *words;

	*share = (struct share_config){.host = strdup(value)};
	if (!share->host)
		return error_set(err, "no memory for the options");
	rest = share->host;
	strsep(&rest, ":");
	guest = strsep(&rest, ":");
	words = rest;
	share->guest = guest;
	if (!share->host[0] || !guest || !is_mount_point(guest)) {
		error_set(err,
			  "--volume '%s': it is HOST:GUEST[:ro], and GUEST an absolute path "
			  "without '..'",
			  value);
		goto free;
	}
	while (words) {
		if (!apply_word(share, strsep(&words, ","))) {
			error_set(err,
				  "--volume '%s': behind GUEST there are ro, rw and "
				  "cache=auto|none|always",
				  value);
			goto free;
		}
	}
	return 0;
free:
	share_option_free(share);
	return -1;
}

void share_option_free(struct share_config *share)
{
	free(share->host);
	share->host = NULL;
}
