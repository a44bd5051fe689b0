/*
 * Guest RAM: see memory.h.
 *
 * The mapping is anonymous, private and not reserved: the host gives pages as the guest touches
 * them, in huge pages where it can (fewer faults during a boot, fewer TLB misses afterwards). A
 * huge page serves the guest only if its address has the same low bits in both worlds, so the
 * mapping is aligned; the first megabytes, where a few small tables lie, get small pages, because
 * zeroing huge ones for them would cost more than the rest of the start.
 * MADV_DONTDUMP keeps the guest's memory out of core dumps of the monitor.
 */
#include "vmm/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/sandbox.h"

SANDBOX_CALLS(memory, CALL(madvise, SANDBOX_RESTART, "memory is wiped for a new start",
			   IS(2, MADV_DONTNEED)));

#define HUGE_PAGE_BYTES   ((u64)2 << 20)
#define SMALL_PAGES_BELOW ((u64)4 << 20)

/* Maps bytes at an address that is a multiple of HUGE_PAGE_BYTES; MAP_FAILED when it can't. */
static u8 *map_aligned(u64 bytes)
{
	u8 *host, *aligned;
	u64 before;

	host = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (host == MAP_FAILED)
		return MAP_FAILED;
	before = align_up((u64)(uintptr_t)host, HUGE_PAGE_BYTES) - (u64)(uintptr_t)host;
	aligned = host + before;
	if (before)
		munmap(host, before);
	munmap(aligned + bytes, HUGE_PAGE_BYTES - before);
	return aligned;
}

int memory_create(struct memory *memory, u64 bytes, u64 hole_start, u64 hole_end, struct error *err)
{
	const u64 low = bytes < hole_start ? bytes : hole_start;
	u8 *host = map_aligned(bytes);

	if (host == MAP_FAILED) {
		return error_set(
			err, "cannot map %llu MiB of guest memory: %s; ask for less with --memory",
			bytes / MIB, strerror(errno));
	}
	/* Both are wishes: a kernel without them runs the guest just as well. */
	(void)madvise(host + SMALL_PAGES_BELOW, bytes - SMALL_PAGES_BELOW, MADV_HUGEPAGE);
	(void)madvise(host, bytes, MADV_DONTDUMP);

	*memory = (struct memory){.regions = 1, .bytes = bytes};
	memory->region[0] = (struct memory_region){.gpa = 0, .bytes = low, .host = host};
	if (bytes > low) {
		memory->region[1] = (struct memory_region){
			.gpa = hole_end, .bytes = bytes - low, .host = host + low};
		memory->regions = 2;
	}
	return 0;
}

void memory_destroy(struct memory *memory)
{
	if (memory->bytes)
		munmap(memory->region[0].host, memory->bytes);
	*memory = (struct memory){0};
}

int memory_clear(struct memory *memory, struct error *err)
{
	/* Private anonymous pages read as zero after this. */
	if (madvise(memory->region[0].host, memory->bytes, MADV_DONTNEED))
		return error_errno(err, "cannot wipe the guest's memory");
	return 0;
}

void *memory_at(const struct memory *memory, u64 gpa, u64 bytes)
{
	if (bytes == 0)
		return NULL;
	for (unsigned i = 0; i < memory->regions; i++) {
		const struct memory_region *region = &memory->region[i];
		u64 offset;

		if (gpa < region->gpa || gpa - region->gpa >= region->bytes)
			continue;
		offset = gpa - region->gpa;
		return bytes <= region->bytes - offset ? region->host + offset : NULL;
	}
	return NULL;
}

bool memory_read(const struct memory *memory, u64 gpa, void *to, u64 bytes)
{
	const void *from = memory_at(memory, gpa, bytes);

	if (!from)
		return false;
	memcpy(to, from, bytes);
	return true;
}

u64 memory_end(const struct memory *memory)
{
	const struct memory_region *last = &memory->region[memory->regions - 1];

	return last->gpa + last->bytes;
}
