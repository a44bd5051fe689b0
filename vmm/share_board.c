/*
 * The directories that the guest shares with the host: see share_board.h.
 */
#include "vmm/share_board.h"

#include <ctype.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/fuse_inode.h"
#include "vmm/config.h"

void share_tag(char tag[SHARE_TAG_BYTES], unsigned volume)
{
	snprintf(tag, SHARE_TAG_BYTES, "volume%u", volume);
}

/* The root directory's /etc/passwd, whatever lies there: nothing is waited for, or followed out. */
static FILE *open_passwd(const char *root)
{
	const int directory = root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	int fd = -1;

	if (directory >= 0) {
		fd = fuse_open_beneath(directory, "etc/passwd", O_RDONLY | O_NONBLOCK, 0);
		close(directory);
	}
	return fd < 0 ? NULL : fdopen(fd, "r");
}

/* Whom the guest's init will find (boot/init/user.c), but for groups by name: the user's counts then. */
static void find_user(const struct config *config, u32 *uid, u32 *gid)
{
	const char *name = config->user;
	const size_t length = strcspn(name, ":");
	const bool by_number = strspn(name, "0123456789") == length;
	FILE *file = open_passwd(config->root.host);
	const struct passwd *entry = NULL;
	bool found = false;

	if (by_number)
		*uid = (u32)strtoul(name, NULL, 10);
	while (!found && file && (entry = fgetpwent(file)))
		found = (by_number && entry->pw_uid == *uid) ||
			(strlen(entry->pw_name) == length &&
			 strncmp(entry->pw_name, name, length) == 0);
	if (found) {
		*uid = entry->pw_uid;
		*gid = entry->pw_gid;
	}
	if (file)
		fclose(file);
	if (name[length] && isdigit((unsigned char)name[length + 1]))
		*gid = (u32)strtoul(name + length + 1, NULL, 10);
}

static void map_ids(struct fuse_export *export, const struct config *config)
{
	const u32 uid = config->run_as ? config->run_uid : geteuid();

	if (uid == 0)
		return;
	if (config->user)
		find_user(config, &export->guest_uid, &export->guest_gid);
	export->host_uid = uid;
	export->host_gid = config->run_as ? config->run_gid : getegid();
}

/* What a directory may have of the descriptors, besides what its device takes, and the rest of us. */
static int divide_descriptors(const struct config *config, u32 *each, struct error *err)
{
	enum { OTHERS = 64, DEVICE = 16, LEAST = 48, MOST = 1 << 17 };
	const u32 shares = config->volumes + config->root.is_directory;
	const u32 needed = OTHERS + shares * (DEVICE + LEAST);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > MOST)
		limit.rlim_cur = MOST;
	*each = shares ? ((u32)limit.rlim_cur - OTHERS) / shares - DEVICE : 0;
	if (shares == 0 || limit.rlim_cur >= needed)
		return 0;
	return error_set(
		err,
		"--rootfs and --volume take %u file descriptors, and this process may have "
		"%u: raise its hard limit (ulimit -Hn %u)",
		needed, (u32)limit.rlim_cur, needed);
}

static int open_share(struct share_board *board, const struct config *config,
		      const struct share_config *share, const char *tag, u32 descriptors,
		      struct error *err)
{
	const char *const homes[] = {"/home", "/root", getenv("HOME"), NULL};
	struct fuse_export export = {.directory = share->host,
				     .read_only = share->read_only,
				     .cache = share->cache,
				     .descriptors = descriptors};
	struct stat root, here;

	/* What is written to a copy-on-write root stays in the guest. */
	if (!share->guest && !share->write_through)
		export.read_only = true;
	if (!share->guest && !config->expose_home && stat("/", &root) == 0 &&
	    stat(share->host, &here) == 0 && root.st_dev == here.st_dev &&
	    root.st_ino == here.st_ino)
		export.hidden = homes;
	map_ids(&export, config);
	if (fs_open(&board->fs[board->count++], &export, tag, err))
		return error_prefix(err, share->guest ? "--volume" : "--rootfs");
	return 0;
}

int share_board_attach(struct share_board *board, const struct config *config, struct error *err)
{
	char tag[SHARE_TAG_BYTES] = SHARE_ROOT_TAG;
	u32 descriptors;

	board->fs = calloc(config->volumes + 1, sizeof(*board->fs));
	if (!board->fs)
		return error_set(err, "no memory for the shared directories");
	if (divide_descriptors(config, &descriptors, err))
		return -1;
	if (config->root.is_directory &&
	    open_share(board, config, &config->root, tag, descriptors, err))
		return -1;
	for (unsigned i = 0; i < config->volumes; i++) {
		share_tag(tag, i);
		if (open_share(board, config, &config->volume[i], tag, descriptors, err))
			return -1;
	}
	return 0;
}

void share_board_trees(const struct share_board *board, struct landlock_tree *tree)
{
	for (unsigned i = 0; i < board->count; i++)
		tree[i].fd = fuse_root(board->fs[i].server, &tree[i].writable);
}

int share_board_open(struct share_board *board, const struct thread_setup *setup, struct error *err)
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
