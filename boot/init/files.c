/* Files and directories, and the kernel's log. */
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <string.h>

#include "boot/init/init.h"
#include "boot/init/sys.h"

void note(const char *const *list)
{
	char line[512];
	const size_t length = text_join(line, sizeof(line), list);
	const int fd = file_take("/dev/kmsg", O_WRONLY);

	line[length] = '\n';
	/* Without a log: what the kernel has opened as the console. */
	sys(write, fd < 0 ? 2 : fd, line, length + 1);
	sys(close, fd);
}

int file_take(const char *path, int flags)
{
	return (int)sys(openat, AT_FDCWD, path, flags | O_CLOEXEC | O_NOCTTY, 0644);
}

void *memory_take(size_t bytes)
{
	const long at =
		sys(mmap, NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	return at < 0 ? NULL : (void *)at;
}

char *file_load(const char *path, size_t *bytes)
{
	size_t capacity = 64 * KIB;
	char *text = memory_take(capacity);
	const int fd = file_take(path, O_RDONLY);
	long count = -1, moved;

	*bytes = 0;
	while (text && (count = sys(read, fd, text + *bytes, capacity - 1 - *bytes)) > 0) {
		*bytes += (size_t)count;
		if (*bytes < capacity - 1)
			continue;
		moved = sys(mremap, text, capacity, capacity * 2, MREMAP_MAYMOVE);
		text = moved < 0 ? NULL : (char *)moved;
		capacity *= 2;
	}
	sys(close, fd);
	return count ? NULL : text;
}

void file_fill(const char *path, const char *const *list)
{
	char text[512];
	size_t bytes;
	int fd;

	if (file_load(path, &bytes) && bytes)
		return;
	sys(unlinkat, AT_FDCWD, path, 0);
	fd = file_take(path, O_WRONLY | O_CREAT);
	if (sys(write, fd, text, text_join(text, sizeof(text), list)) < 0)
		NOTE("can't write ", path);
	sys(close, fd);
}

bool directory_next(const char *path, char name[NAME_BYTES])
{
	/* struct linux_dirent64 of getdents64(2) */
	enum { RECORD_LENGTH_AT = 16, NAME_AT = 19 };
	char records[4096], next[NAME_BYTES] = "";
	const int fd = file_take(path, O_RDONLY | O_DIRECTORY);
	long count;
	u16 length;

	while ((count = sys(getdents64, fd, records, sizeof(records))) > 0) {
		for (long at = 0; at < count; at += length) {
			const char *found = records + at + NAME_AT;

			memcpy(&length, records + at + RECORD_LENGTH_AT, sizeof(length));
			if (strcmp(found, ".") != 0 && strcmp(found, "..") != 0 &&
			    strcmp(found, name) > 0 && (!*next || strcmp(found, next) < 0))
				text_join(next, sizeof(next), STRINGS(found));
		}
	}
	sys(close, fd);
	text_join(name, NAME_BYTES, STRINGS(next));
	return *next;
}

void directory_remove(const char *path)
{
	char name[NAME_BYTES] = "", file[PATH_BYTES];

	while (directory_next(path, name)) {
		text_join(file, sizeof(file), STRINGS(path, "/", name));
		sys(unlinkat, AT_FDCWD, file, 0);
	}
	sys(unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

void directory_make(const char *path)
{
	char part[PATH_BYTES];

	for (size_t i = 1; path[i - 1] && i < sizeof(part); i++)
		if (path[i] == '/' || !path[i]) {
			text_join(part, i + 1, STRINGS(path));
			sys(mkdirat, AT_FDCWD, part, 0755);
		}
}
