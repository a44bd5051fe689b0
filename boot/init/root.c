/*
 * Another root directory than the archives' own: one of the host's, by virtio-fs, or a disk's; and the
 * volumes in it.
 *
 * Copy-on-write is an overlay: the directory below, read-only, and a tmpfs above that takes what is
 * written. The change of roots is what switch_root(8) does: the new one is moved over the old, which
 * nobody reaches any more. Then the mounts are made anew, in the new root.
 */
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <string.h>

#include "boot/init/init.h"
#include "boot/init/sys.h"

#define ROOT  INIT_DIRECTORY "/root"
#define LOWER INIT_DIRECTORY "/lower"
#define UPPER INIT_DIRECTORY "/upper"

/* What went wrong in the last step is told in one line, which stays as long as init. */
static const char *wrong_with(const char *what, const char *name, long error)
{
	char *text = memory_take(PROTOCOL_LINE_BYTES);

	if (text)
		text_join(text, PROTOCOL_LINE_BYTES,
			  STRINGS(what, " ", name, ": ", TEXT_ERROR(error)));
	return text ? text : what;
}

static const char *mount_overlay(void)
{
	static const char options[] = "lowerdir=" LOWER ",upperdir=" UPPER "/files,workdir=" UPPER
				      "/work";
	long error;

	sys(mkdirat, AT_FDCWD, UPPER, 0755);
	error = sys(mount, "tmpfs", UPPER, "tmpfs", 0, "mode=0755");
	if (error)
		return wrong_with("mounting tmpfs over", "the root directory", error);
	sys(mkdirat, AT_FDCWD, UPPER "/files", 0755);
	sys(mkdirat, AT_FDCWD, UPPER "/work", 0755);
	error = sys(mount, "overlay", ROOT, "overlay", 0, options);
	return error ? wrong_with("mounting", "overlay over the root directory", error) : NULL;
}

static const char *mount_root(const char *words)
{
	char copy[PATH_BYTES], *record = copy;
	const char *type, *source;
	const char *place;
	bool cow;
	long error;

	text_join(copy, sizeof(copy), STRINGS(words));
	type = text_split(&record, ' ');
	source = text_split(&record, ' ');
	cow = record && strcmp(record, "cow") == 0;
	place = cow ? LOWER : ROOT;
	if (!record)
		return "the configuration's root has too few words";
	directory_make(ROOT);
	directory_make(LOWER);
	error = sys(mount, source, place, type, strcmp(record, "rw") == 0 ? 0 : MS_RDONLY, NULL);
	if (error)
		return wrong_with("mounting the root directory by", type, error);
	return cow ? mount_overlay() : NULL;
}

/*
 * Large files are read ahead by as much as the server takes at once, where the kernel's 128 KiB make
 * requests of that size: half as fast. The server isn't asked for the device number.
 */
static void read_ahead(const char *path)
{
	struct statx status = {.stx_mask = 0};
	char name[NAME_BYTES];
	int fd;

	if (sys(statx, AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &status))
		return;
	text_join(name, sizeof(name),
		  STRINGS("/sys/class/bdi/", TEXT_NUMBER(status.stx_dev_major), ":",
			  TEXT_NUMBER(status.stx_dev_minor), "/read_ahead_kb"));
	fd = file_take(name, O_WRONLY);
	sys(write, fd, "1024", 4);
	sys(close, fd);
}

static const char *mount_volume(char *record)
{
	const char *tag = text_split(&record, ' '), *mode = text_split(&record, ' ');
	long error;

	if (!record)
		return "the configuration's volume has too few words";
	directory_make(record);
	error = sys(mount, tag, record, "virtiofs", strcmp(mode, "ro") == 0 ? MS_RDONLY : 0, NULL);
	if (error)
		return wrong_with("mounting the volume", record, error);
	read_ahead(record);
	return NULL;
}

bool root_is_in_memory(const struct init_config *config)
{
	const char *how = config->root;

	while (how && strchr(how, ' '))
		how = strchr(how, ' ') + 1;
	return !how || strcmp(how, "cow") == 0;
}

const char *root_enter(const struct init_config *config)
{
	const char *wrong = config->root ? mount_root(config->root) : NULL;

	if (config->root && !wrong) {
		long error = sys(chdir, ROOT);

		if (!error)
			error = sys(mount, ".", "/", NULL, MS_MOVE, NULL);
		if (!error)
			error = sys(chroot, ".");
		sys(chdir, "/");
		if (error)
			return wrong_with("changing to", "the root directory", error);
		mounts_make();
	}
	for (size_t i = 0; i < config->volume_count && !wrong; i++)
		wrong = mount_volume(config->volume[i]);
	return wrong;
}
