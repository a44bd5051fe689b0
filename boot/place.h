/*
 * What lies where in guest memory before the first instruction.
 *
 * Everything that is put into guest RAM takes its place here first: a place is all RAM and
 * overlaps no other place, so that a kernel that asks for the initrd's room is an error and not a
 * riddle. --dry-run prints the list.
 */
#ifndef BANTAM_BOOT_PLACE_H
#define BANTAM_BOOT_PLACE_H

#include "vmm/error.h"
#include "vmm/memory.h"

enum { PLACES_MAX = 64 };

struct place {
	const char *name; /* what lies there, in words; a literal */
	u64 gpa;
	u64 bytes;
};

struct place_map {
	const struct memory *memory;
	struct place place[PLACES_MAX]; /* sorted by gpa, disjoint */
	unsigned places;
};

/*
 * Takes [gpa, gpa + bytes). Returns its host address, or NULL with err set when a byte of it isn't
 * RAM or belongs to another place.
 */
void *place_at(struct place_map *map, const char *name, u64 gpa, u64 bytes, struct error *err);

/*
 * Takes the highest free page-aligned room for bytes that ends at or below limit (a gpa), in the
 * first RAM region, above floor. Stores where it is in *gpa and returns its host address, or NULL
 * with err set when there is no such room.
 */
void *place_high(struct place_map *map, const char *name, u64 bytes, u64 floor, u64 limit, u64 *gpa,
		 struct error *err);

#endif
