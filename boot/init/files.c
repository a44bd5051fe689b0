/* Files and directories: see files.h. */
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <stdarg.h>
#include <string.h>

#include "boot/init/files.h"
#include "boot/init/sys.h"
#include "boot/init/text.h"

void note(const char *first, ...)
{
	char line[512] = "<3>bantam: "; /* of priority "error" */
	int fd = file_take("/dev/kmsg", O_WRONLY);
	const char *more = first;
	va_list list;

	va_start(list, first);
	for (; more; more = va_arg(list, const char *))
		text_join(line + strlen(line), sizeof(line) - 1 - strlen(line), more, NULL);
	va_end(list);
	text_join(line + strlen(line), 2, "\n", NULL);
	if (fd < 0) {
		/* What the kernel has opened as the console, if anything. */
		sys_write(2, line, strlen(line));
		return;
	}
	sys_write(fd, line, strlen(line));
	sys_close(fd);
}

int file_take(const char *path, int flags)
{
	return (int)sys_openat(AT_FDCWD, path, flags | O_CLOEXEC | O_NOCTTY, 0644);
}

char *file_load(const char *path, size_t *bytes)
{
	size_t capacity = 64 * KIB;
	const int fd = file_take(path, O_RDONLY);
	long at = fd < 0 ? fd : sys_mmap_memory(capacity), count = -1;

	*bytes = 0;
	while (at >= 0 && (count = sys_read(fd, (char *)at + *bytes, capacity - 1 - *bytes)) > 0) {
		*bytes += (size_t)count;
		if (*bytes == capacity - 1) {
			at = sys_mremap((void *)at, capacity, capacity * 2, MREMAP_MAYMOVE);
			capacity *= 2;
		}
	}
	if (fd >= 0)
		sys_close(fd);
	return at >= 0 && count == 0 ? (char *)at : NULL;
}

void file_fill(const char *path, const char *text)
{
	char byte;
	int fd = file_take(path, O_RDONLY);
	const bool filled = fd >= 0 && sys_read(fd, &byte, 1) != 0;

	if (fd >= 0)
		sys_close(fd);
	if (filled)
		return;
	sys_unlinkat(AT_FDCWD, path, 0);
	fd = file_take(path, O_WRONLY | O_CREAT);
	if (fd < 0 || sys_write(fd, text, strlen(text)) < 0)
		note("can't write ", path, NULL);
	if (fd >= 0)
		sys_close(fd);
}

bool directory_next(const char *path, char name[NAME_BYTES])
{
	/* struct linux_dirent64 of getdents64(2) */
	enum { RECORD_LENGTH_AT = 16, NAME_AT = 19 };
	char records[4096], next[NAME_BYTES] = "";
	const int fd = file_take(path, O_RDONLY | O_DIRECTORY);
	long count;

	while (fd >= 0 && (count = sys_getdents64(fd, records, sizeof(records))) > 0) {
		u16 length;

		for (long at = 0; at < count; at += length) {
			const char *found = records + at + NAME_AT;

			memcpy(&length, records + at + RECORD_LENGTH_AT, sizeof(length));
			if (strcmp(found, ".") && strcmp(found, "..") && strcmp(found, name) > 0 &&
			    (!*next || strcmp(found, next) < 0))
				text_join(next, sizeof(next), found, NULL);
		}
	}
	if (fd >= 0)
		sys_close(fd);
	text_join(name, NAME_BYTES, next, NULL);
	return *next;
}

void directory_remove(const char *path)
{
	char name[NAME_BYTES] = "", file[PATH_BYTES];

	while (directory_next(path, name)) {
		text_join(file, sizeof(file), path, "/", name, NULL);
		sys_unlinkat(AT_FDCWD, file, 0);
	}
	sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

void directory_make(const char *path)
{
	char part[PATH_BYTES];

	text_join(part, sizeof(part), path, NULL);
	for (char *at = part; at && *at;) {
		at = strchr(at + 1, '/');
		if (at)
			*at = '\0';
		sys_mkdirat(AT_FDCWD, part, 0755);
		if (at)
			*at = '/';
	}
}
