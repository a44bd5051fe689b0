/*
 * A writer of cpio archives: see cpio.h.
 */
#include "boot/cpio.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { HEADER_BYTES = 110, ALIGNMENT = 4 };

void cpio_begin(struct cpio *cpio)
{
	*cpio = (struct cpio){.used = 0};
	cpio->out = open_memstream(&cpio->bytes, &cpio->count);
}

static void put(struct cpio *cpio, const void *bytes, size_t count)
{
	cpio->used += count;
	/* The stream itself would take what memory there is. */
	if (cpio->out && cpio->used <= CPIO_MAX_BYTES && count)
		fwrite(bytes, 1, count, cpio->out);
}

static void put_padding(struct cpio *cpio)
{
	static const char zeroes[ALIGNMENT];

	put(cpio, zeroes, (size_t)(align_up(cpio->used, ALIGNMENT) - cpio->used));
}

void cpio_add(struct cpio *cpio, const char *path, unsigned mode, const void *bytes, size_t count)
{
	const char *const name = path + (*path == '/');
	const size_t name_bytes = strlen(name) + 1;
	char header[HEADER_BYTES + 1];

	/*
	 * Magic, inode, mode, user and group, links, time, size, four device numbers, size of the
	 * name with its end, check sum. Each inode number comes once, with one link: files that
	 * share one would be unpacked as the same.
	 */
	snprintf(header, sizeof(header), "070701%08X%08X%016X%08X%08X%08X%032X%08X%08X",
		 ++cpio->entries, mode, 0, S_ISDIR(mode) ? 2 : 1, 0, (unsigned)count, 0,
		 (unsigned)name_bytes, 0);
	put(cpio, header, HEADER_BYTES);
	put(cpio, name, name_bytes);
	put_padding(cpio);
	put(cpio, bytes, count);
	put_padding(cpio);
}

int cpio_end(struct cpio *cpio, struct error *err)
{
	bool failed = !cpio->out;

	cpio_add(cpio, "TRAILER!!!", 0, NULL, 0);
	if (cpio->out) {
		failed = ferror(cpio->out);
		failed = fclose(cpio->out) || failed;
	}
	cpio->out = NULL;
	if (failed || cpio->used > CPIO_MAX_BYTES)
		return error_set(err,
				 "what is sent into the guest is larger than %llu MiB, or than "
				 "the memory for it",
				 CPIO_MAX_BYTES / MIB);
	return 0;
}

void cpio_free(struct cpio *cpio)
{
	if (cpio->out)
		fclose(cpio->out);
	free(cpio->bytes);
	*cpio = (struct cpio){.used = 0};
}
