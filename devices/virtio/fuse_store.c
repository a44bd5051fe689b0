/*
 * Memory for what the guest knows: see fuse_store.h.
 */
#include "devices/virtio/fuse_store.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "devices/virtio/fuse_server.h"

/* Names; inodes, handles and longer names; the longest; lists of a directory; requests and values. */
static const struct {
	u32 bytes, places;
} sizes[FUSE_STORE_SIZES] = {{32, FUSE_INODES_MAX},
			     {128, 2 * FUSE_INODES_MAX},
			     {FUSE_NAME_BYTES, FUSE_INODES_MAX},
			     {FUSE_LIST_BYTES, 1 << 16},
			     {FUSE_BODY_BYTES + 64, 64}};

static size_t range_bytes(unsigned size)
{
	return (size_t)sizes[size].bytes * sizes[size].places;
}

static size_t all_bytes(void)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < FUSE_STORE_SIZES; i++)
		bytes += range_bytes(i);
	return bytes;
}

int fuse_store_open(struct fuse_store *store)
{
	u8 *at = mmap(NULL, all_bytes(), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*store = (struct fuse_store){.memory = at == MAP_FAILED ? NULL : at};
	if (!store->memory)
		return -1;
	/* Two megabytes for the first name would be too much. */
	(void)madvise(at, all_bytes(), MADV_NOHUGEPAGE);
	pthread_mutex_init(&store->lock, NULL);
	for (unsigned i = 0; i < FUSE_STORE_SIZES; i++) {
		store->range[i].start = at;
		at += range_bytes(i);
	}
	return 0;
}

void fuse_store_close(struct fuse_store *store)
{
	if (!store->memory)
		return;
	munmap(store->memory, all_bytes());
	pthread_mutex_destroy(&store->lock);
	store->memory = NULL;
}

#ifdef __SANITIZE_ADDRESS__
/* It sees what is used too late or too far only in memory that it has given out itself. */
void *fuse_store_take(struct fuse_store *store, size_t bytes)
{
	(void)store;
	return malloc(bytes);
}

void fuse_store_give(struct fuse_store *store, void *place)
{
	(void)store;
	free(place);
}
#else
void *fuse_store_take(struct fuse_store *store, size_t bytes)
{
	unsigned size = 0;
	void *place;

	while (size < FUSE_STORE_SIZES && bytes > sizes[size].bytes)
		size++;
	if (size == FUSE_STORE_SIZES)
		return NULL;
	pthread_mutex_lock(&store->lock);
	place = store->range[size].free;
	if (place)
		store->range[size].free = *(void **)place;
	else if (store->range[size].used < sizes[size].places)
		place = store->range[size].start +
			(size_t)store->range[size].used++ * sizes[size].bytes;
	pthread_mutex_unlock(&store->lock);
	return place;
}

void fuse_store_give(struct fuse_store *store, void *place)
{
	unsigned size = FUSE_STORE_SIZES - 1;

	if (!place)
		return;
	while ((u8 *)place < store->range[size].start)
		size--;
	pthread_mutex_lock(&store->lock);
	*(void **)place = store->range[size].free;
	store->range[size].free = place;
	pthread_mutex_unlock(&store->lock);
}
#endif
