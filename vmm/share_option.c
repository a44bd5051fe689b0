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

/*
 * Makes an absolute path the shortest of its spellings, without empty components and ".". False when it
 * is none, leads to / or may lead up.
 */
static bool simplify(char *path)
{
	const char *from = path;
	char *to = path;

	while (*path == '/' && *from) {
		const size_t length = strcspn(from += strspn(from, "/"), "/");

		if (length == 2 && strncmp(from, "..", length) == 0)
			return false;
		if (length > 1 || (length == 1 && *from != '.')) {
			*to++ = '/';
			memmove(to, from, length);
			to += length;
		}
		from += length;
	}
	*to = '\0';
	return to > path;
}

int share_option_volume(struct share_config *share, const char *value, struct error *err)
{
	char *rest, *guest;

	*share = (struct share_config){.host = strdup(value)};
	if (!share->host)
		return error_set(err, "no memory for the options");
	rest = share->host;
	strsep(&rest, ":");
	guest = strsep(&rest, ":");
	share->guest = guest;
	if (!share->host[0] || !guest || !simplify(guest))
		return error_set(err,
				 "--volume '%s': it is HOST:GUEST[:ro], and GUEST an absolute "
				 "path without '..'",
				 value);
	return options_words(&words, share, rest, err);
}
