/*
 * Unpacked kernels, kept: see image_cache.h.
 */
#include "boot/image_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 32, WORDS = 4096 };

#define FNV_BASIS ((u64)0xcbf29ce484222325)
#define FNV_PRIME ((u64)0x100000001b3)

static bool is_ours(int fd, mode_t type, struct stat *status)
{
	return fstat(fd, status) == 0 && (status->st_mode & S_IFMT) == type &&
	       status->st_uid == geteuid() && !(status->st_mode & (S_IWGRP | S_IWOTH));
}

int image_cache_open(struct error *err)
{
	const char *const cache = getenv("XDG_CACHE_HOME"), *const home = getenv("HOME");
	const bool given = cache && cache[0] == '/';
	char path[PATH_MAX];
	struct stat status;
	int used, fd;

	/* With sudo, HOME may be another user's, who would find root's files there. */
	if (!given &&
	    (!home || home[0] != '/' || stat(home, &status) || status.st_uid != geteuid()))
		return error_set(err, "there is nowhere to keep it: HOME is not this user's");
	used = snprintf(path, sizeof(path), "%s%s", given ? cache : home, given ? "" : "/.cache");
	if (used > PATH_MAX - NAME_BYTES)
		return error_set(err, "the name of the cache's directory is too long");
	(void)mkdir(path, 0700);
	snprintf(path + used, sizeof(path) - (size_t)used, "/bantam");
	(void)mkdir(path, 0700);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "cannot keep it in '%s'", path);
	if (is_ours(fd, S_IFDIR, &status))
		return fd;
	close(fd);
	return error_set(err, "cannot keep it in '%s', which others may write to", path);
}

/* The FNV-1a hash of what tells kernels apart. */
static void make_name(const struct payload *payload, char name[NAME_BYTES])
{
	u64 hash = FNV_BASIS;

	for (const char *at = payload->version; *at; at++)
		hash = (hash ^ (u8)*at) * FNV_PRIME;
	hash = (hash ^ payload->bytes) * FNV_PRIME;
	hash = (hash ^ payload->image_bytes) * FNV_PRIME;
	snprintf(name, NAME_BYTES, "%016llx", hash);
}

/* Whether the file has the kernel's payload behind its image. */
static bool has_payload(const struct boot_file *file, const struct boot_file *kernel,
			const struct payload *payload)
{
	u64 one[WORDS] = {0}, other[WORDS] = {0};
	struct error ignored;

	for (u64 at = 0, bytes; at < payload->bytes; at += bytes) {
		u64 differs = 0;

		bytes = payload->bytes - at < sizeof(one) ? payload->bytes - at : sizeof(one);
		if (file_read(file, payload->image_bytes + at, one, bytes, &ignored) ||
		    file_read(kernel, payload->at + at, other, bytes, &ignored))
			return false;
		/* Behind a short piece, both have what they had in the one before. */
		for (unsigned i = 0; i < WORDS; i++)
			differs |= one[i] ^ other[i];
		if (differs)
			return false;
	}
	return true;
}

int image_cache_find(int cache, const struct boot_file *kernel, const struct payload *payload)
{
	const u64 bytes = payload->image_bytes + payload->bytes;
	struct boot_file file = {.bytes = bytes};
	char name[NAME_BYTES];
	struct stat status;

	make_name(payload, name);
	file.fd = openat(cache, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file.fd >= 0 && is_ours(file.fd, S_IFREG, &status) && (u64)status.st_size == bytes &&
	    has_payload(&file, kernel, payload)) {
		(void)futimens(file.fd, NULL); /* it was used now */
		return file.fd;
	}
	file_close(&file);
	return -1;
}

/* Removes the files that were not used for the longest time. */
static void prune(int cache)
{
	unsigned files;

	do {
		const int fd = openat(cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *const directory = fd < 0 ? NULL : fdopendir(fd);
		struct stat status, oldest = {.st_mode = 0};
		char name[NAME_MAX + 1] = "";
		const struct dirent *entry;

		files = 0;
		while (directory && (entry = readdir(directory))) {
			if (fstatat(cache, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) ||
			    !S_ISREG(status.st_mode))
				continue;
			if (files++ == 0 || status.st_mtime < oldest.st_mtime) {
				oldest = status;
				snprintf(name, sizeof(name), "%s", entry->d_name);
			}
		}
		if (directory)
			closedir(directory);
		else if (fd >= 0)
			close(fd);
		if (files > IMAGE_CACHE_FILES && unlinkat(cache, name, 0))
			return;
	} while (files > IMAGE_CACHE_FILES);
}

void image_cache_keep(int cache, const struct boot_file *kernel, const struct payload *payload,
		      int image)
{
	char name[NAME_BYTES], new_name[NAME_BYTES];
	u64 random = 0;
	bool kept;
	int fd;

	make_name(payload, name);
	/* In containers many processes have the same number; one may have left its file behind. */
	(void)getrandom(&random, sizeof(random), 0);
	snprintf(new_name, sizeof(new_name), "new-%016llx", random);
	fd = openat(cache, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	kept = file_copy(fd, image, 0, payload->image_bytes) == 0 &&
	       file_copy(fd, kernel->fd, payload->at, payload->bytes) == 0 && fdatasync(fd) == 0;
	kept = close(fd) == 0 && kept && renameat(cache, new_name, cache, name) == 0;
	if (!kept)
		unlinkat(cache, new_name, 0);
	prune(cache);
}
