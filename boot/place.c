/*
 * What lies where in guest memory before the first instruction: see place.h.
 */
#include "boot/place.h"

#include <string.h>

/* The place that [gpa, gpa + bytes) runs into, or NULL. The range is RAM, so it doesn't wrap. */
static const struct place *overlapped(const struct place_map *map, u64 gpa, u64 bytes)
{
	for (unsigned i = 0; i < map->places; i++) {
		const struct place *place = &map->place[i];

		if (gpa < place->gpa + place->bytes && place->gpa < gpa + bytes)
			return place;
	}
	return NULL;
}

void *place_at(struct place_map *map, const char *name, u64 gpa, u64 bytes, struct error *err)
{
	void *host = memory_at(map->memory, gpa, bytes);
	const struct place *other;
	unsigned at = 0;

	if (!host) {
		error_set(err,
			  "the %s (%llu KiB at 0x%llx) doesn't fit into %llu MiB of memory; give "
			  "the guest more with --memory",
			  name, (bytes + KIB - 1) / KIB, gpa, map->memory->bytes / MIB);
		return NULL;
	}
	other = overlapped(map, gpa, bytes);
	if (other) {
		error_set(err, "the %s (0x%llx, %llu bytes) overlaps the %s (0x%llx, %llu bytes)",
			  name, gpa, bytes, other->name, other->gpa, other->bytes);
		return NULL;
	}
	if (map->places == PLACES_MAX) {
		error_set(err, "more than %d pieces to put into guest memory", PLACES_MAX);
		return NULL;
	}
	while (at < map->places && map->place[at].gpa < gpa)
		at++;
	memmove(&map->place[at + 1], &map->place[at], (map->places - at) * sizeof(map->place[0]));
	map->place[at] = (struct place){.name = name, .gpa = gpa, .bytes = bytes};
	map->places++;
	return host;
}

void *place_high(struct place_map *map, const char *name, u64 bytes, u64 floor, u64 limit, u64 *gpa,
		 struct error *err)
{
	u64 end = map->memory->region[0].bytes;

	if (end > limit)
		end = limit;
	while (end >= bytes && align_down(end - bytes, PAGE_BYTES) >= floor) {
		const u64 at = align_down(end - bytes, PAGE_BYTES);
		const struct place *other = overlapped(map, at, bytes);

		if (!other) {
			*gpa = at;
			return place_at(map, name, at, bytes, err);
		}
		end = other->gpa;
	}
	error_set(err,
		  "no room for the %s (%llu MiB) below 0x%llx in %llu MiB of memory; give the "
		  "guest more with --memory",
		  name, (bytes + MIB - 1) / MIB, limit, map->memory->bytes / MIB);
	return NULL;
}
