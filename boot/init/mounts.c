/*
 * The mounts: those that a container has, with the same options. /tmp and /run are the archive's
 * own, which is in memory anyway, and are made only where they are missing.
 */
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <string.h>

#include "boot/init/init.h"
#include "boot/init/sys.h"

enum { QUIET = MS_NOSUID | MS_NODEV | MS_NOEXEC };

void mounts_make(void)
{
	static const struct {
		const char *kind, *path, *options;
		unsigned flags;
		bool optional; /* some kernels are without it */
	} table[] = {
		{"proc", "/proc", NULL, QUIET, false},
		{"sysfs", "/sys", NULL, QUIET, false},
		{"cgroup2", "/sys/fs/cgroup", NULL, QUIET, true},
		{"devtmpfs", "/dev", "mode=0755", MS_NOSUID, false},
		{"devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC,
		 true},
		{"tmpfs", "/dev/shm", "mode=1777", QUIET, true},
		{"mqueue", "/dev/mqueue", NULL, QUIET, true},
	};
	static const char *const links[][2] = {
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		long error;

		sys(mkdirat, AT_FDCWD, table[i].path, 0755);
		error = sys(mount, table[i].kind, table[i].path, table[i].kind, table[i].flags,
			    table[i].options);
		if (error && error != -EBUSY && !table[i].optional)
			NOTE("can't mount ", table[i].path, ": ", TEXT_ERROR(error));
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		sys(symlinkat, links[i][0], AT_FDCWD, links[i][1]);
	sys(mkdirat, AT_FDCWD, "/run", 0755);
	if (!sys(mkdirat, AT_FDCWD, "/tmp", 0755))
		sys(fchmodat, AT_FDCWD, "/tmp", 01777);
}

/*
 * The last mount first, because it may lie on an earlier one. A path with spaces stands escaped in
 * the list and isn't found: such a file system is written to the disk, but stays mounted.
 */
void mounts_leave(void)
{
	size_t bytes;
	char *mounts = file_load("/proc/mounts", &bytes);

	sys(sync, 0);
	while (mounts && bytes) {
		char *line, *path;

		mounts[--bytes] = '\0';
		while (bytes && mounts[bytes - 1] != '\n')
			bytes--;
		line = mounts + bytes;
		text_split(&line, ' ');
		path = text_split(&line, ' ');
		if (sys(umount2, path, 0))
			sys(mount, NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL);
	}
}
