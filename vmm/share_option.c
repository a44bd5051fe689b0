/*
 * The values of --rootfs and --volume: see share_option.h.
 */
#include "vmm/share_option.h"

#include <string.h>

#include "vmm/options.h"

#define IN(member) OPTION_FIELD(struct share_config, member)

static const struct option_word table[] = {
	{"ro", IN(read_only), .number = true},
	{"rw", IN(read_only), .number = false},
	{"cache=auto", IN(cache), .number = FUSE_CACHE_AUTO},
	{"cache=none", IN(cache), .number = FUSE_CACHE_NONE},
	{"cache=always", IN(cache), .number = FUSE_CACHE_ALWAYS},
};

static const struct option_words words = {
	"--volume", table, ARRAY_LEN(table),
	"behind GUEST there are ro, rw and cache=auto|none|always"};

int share_option_root(struct share_config *share, const char *value, struct error *err)
{
	char *word;

	*share = (struct share_config){.host = options_copy(value, &word, err)};
	if (!share->host)
		return -1;
	share->read_only = word && strcmp(word, "ro") == 0;
	share->write_through = word && strcmp(word, "rw") == 0;
	share->cache = share->write_through ? FUSE_CACHE_AUTO : FUSE_CACHE_ALWAYS;
	if (share->host[0] && (!word || share->read_only || share->write_through))
		return 0;
	return error_set(err, "--rootfs '%s': it is a directory or a disk image, with ,ro or ,rw",
			 value);
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
	char *rest;

	*share = (struct share_config){.host = strdup(value)};
	if (!share->host)
		return error_set(err, "no memory for the options");
	rest = share->host;
	strsep(&rest, ":");
	share->guest = strsep(&rest, ":");
	if (!share->host[0] || !share->guest || !is_mount_point(share->guest))
		return error_set(err,
				 "--volume '%s': it is HOST:GUEST[:ro], and GUEST an absolute "
				 "path without '..'",
				 value);
	return options_words(&words, share, rest, err);
}
