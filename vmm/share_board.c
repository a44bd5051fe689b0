/*
 * The directories that the guest shares with the host: see share_board.h.
 */
#include "vmm/share_board.h"

#include <ctype.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/config.h"

void share_tag(char tag[SHARE_TAG_BYTES], unsigned volume)
{
	snprintf(tag, SHARE_TAG_BYTES, "volume%u", volume);
}

bool share_root_is_directory(const struct config *config)
{
	struct stat status;

	return config->root.host && stat(config->root.host, &status) == 0 &&
	       S_ISDIR(status.st_mode);
}

/* A user of the guest's, by the name that its root directory knows. */
static void find_user(const struct config *config, u32 *uid, u32 *gid)
{
	const size_t length = strcspn(config->user, ":");
	char path[4096];
	struct passwd *entry;
	FILE *file;

	snprintf(path, sizeof(path), "%s/etc/passwd", config->root.host ? config->root.host : "");
	file = config->root.host ? fopen(path, "re") : NULL;
	while (file && (entry = fgetpwent(file))) {
		if (strlen(entry->pw_name) == length &&
		    strncmp(entry->pw_name, config->user, length) == 0) {
			*uid = entry->pw_uid;
			*gid = entry->pw_gid;
		}
	}
	if (file)
		fclose(file);
}

static void map_ids(struct fuse_export *export, const struct config *config)
{
	const char *group;
	u32 uid = 0, gid = 0;

	export->host_uid = export->guest_uid = export->host_gid = export->guest_gid = 0;
	if (geteuid() == 0)
		return;
	if (config->user && isdigit((unsigned char)config->user[0]))
		uid = (u32)strtoul(config->user, NULL, 10);
	else if (config->user)
		find_user(config, &uid, &gid);
	group = config->user ? strchr(config->user, ':') : NULL;
	if (group && isdigit((unsigned char)group[1]))
		gid = (u32)strtoul(group + 1, NULL, 10);
	export->host_uid = geteuid();
	export->host_gid = getegid();
	export->guest_uid = uid;
	export->guest_gid = gid;
}

static int open_share(struct fs *fs, const struct config *config, const struct share_config *share,
		      const char *tag, unsigned number, struct error *err)
{
	const char *const homes[] = {"/home", "/root", getenv("HOME"), NULL};
	struct fuse_export export = {.directory = share->host,
				     .read_only = share->read_only,
				     .cache = share->cache,
				     .shares = config->volumes + 1};
	struct stat root, here;
	char name[20];

	/* What is written to a copy-on-write root stays in the guest. */
	if (!share->guest && !share->write_through)
		export.read_only = true;
	if (!share->guest && !config->expose_home && stat("/", &root) == 0 &&
	    stat(share->host, &here) == 0 && root.st_dev == here.st_dev &&
	    root.st_ino == here.st_ino)
		export.hidden = homes;
	map_ids(&export, config);
	snprintf(name, sizeof(name), "virtio%u", number);
	if (fs_open(fs, &export, tag, name, err))
		return error_prefix(err, share->guest ? "--volume" : "--rootfs");
	return 0;
}

int share_board_attach(struct share_board *board, const struct config *config, unsigned number,
		       struct error *err)
{
	char tag[SHARE_TAG_BYTES] = SHARE_ROOT_TAG;

	board->fs = calloc(config->volumes + 1, sizeof(*board->fs));
	if (!board->fs)
		return error_set(err, "no memory for the shared directories");
	if (share_root_is_directory(config) &&
	    open_share(&board->fs[board->count++], config, &config->root, tag, number, err))
		return -1;
	for (unsigned i = 0; i < config->volumes; i++) {
		share_tag(tag, i);
		if (open_share(&board->fs[board->count], config, &config->volume[i], tag,
			       number + board->count, err))
			return -1;
		board->count++;
	}
	return 0;
}

int share_board_open(struct share_board *board, const struct worker_setup *setup, struct error *err)
{
	for (unsigned i = 0; i < board->count; i++) {
		if (fs_start_threads(&board->fs[i], setup, err))
			return -1;
	}
	return 0;
}

bool share_board_close(struct share_board *board, unsigned timeout_ms)
{
	bool done = true;

	for (unsigned i = 0; i < board->count; i++)
		done = fs_close(&board->fs[i], done ? timeout_ms : 0) && done;
	if (done)
		free(board->fs);
	return done;
}
