/*
 * The mounts: those that a container has, with the same options. /tmp and /run are the archive's
 * own, which is in memory anyway, and are made only where they are missing.
 */
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <string.h>

#include "boot/init/files.h"
#include "boot/init/mounts.h"
#include "boot/init/sys.h"
#include "boot/init/text.h"

enum { QUIET = MS_NOSUID | MS_NODEV | MS_NOEXEC };

void mounts_make(void)
{
	static const struct {
		const char *kind, *path, *options;
		unsigned long flags;
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
	struct digits digits;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		long error;

		sys_mkdirat(AT_FDCWD, table[i].path, 0755);
		error = sys_mount(table[i].kind, table[i].path, table[i].kind, table[i].flags,
				  table[i].options);
		if (error && error != -EBUSY && !table[i].optional)
			note("can't mount ", table[i].path, ": ", text_error(&digits, error), NULL);
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		sys_symlinkat(links[i][0], AT_FDCWD, links[i][1]);
	sys_mkdirat(AT_FDCWD, "/run", 0755);
	if (!sys_mkdirat(AT_FDCWD, "/tmp", 0755))
		sys_chmod("/tmp", 01777);
}

/* Undoes the escapes of /proc/mounts: a backslash and three octal digits. */
static void unescape(char *path)
{
	char *to = path;

	for (; *path; path++) {
		if (*path == '\\') {
			*to++ = (char)((path[1] - '0') << 6 | (path[2] - '0') << 3 |
				       (path[3] - '0'));
			path += 3;
		} else {
			*to++ = *path;
		}
	}
	*to = '\0';
}

void mounts_leave(void)
{
	size_t bytes;
	char *mounts = file_load("/proc/mounts", &bytes);

	sys_sync();
	while (mounts && bytes) {
		char *line, *path;

		/* The last line first: what is mounted on another comes behind it. */
		mounts[--bytes] = '\0';
		while (bytes && mounts[bytes - 1] != '\n')
			bytes--;
		line = mounts + bytes;
		text_split(&line, ' ');
		path = text_split(&line, ' ');
		if (!path)
			continue;
		unescape(path);
		if (sys_umount2(path, 0))
			sys_mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL);
	}
}
