/*
 * Guest RAM: the one door to it.
 *
 * RAM is one host mapping, seen by the guest as one or two regions around the hole below 4 GiB in
 * which devices and the interrupt controllers live. Everybody who touches guest memory from user
 * space asks memory_at() with an address *and* a length and gets a pointer only when every byte of
 * the range is RAM. What backs the mapping (anonymous pages now) is known in memory.c alone.
 */
#ifndef BANTAM_VMM_MEMORY_H
#define BANTAM_VMM_MEMORY_H

#include "vmm/error.h"
#include "vmm/types.h"

/* The least RAM with which anything useful boots. */
#define MEMORY_MIN_BYTES (16 * MIB)

enum { MEMORY_REGIONS_MAX = 2 };

struct memory_region {
	u64 gpa;
	u64 bytes;
	u8 *host;
};

struct memory {
	struct memory_region region[MEMORY_REGIONS_MAX];
	unsigned regions;
	u64 bytes; /* of all regions together */
};

/*
 * Maps `bytes` of zeroed RAM; what lies at or above hole_start continues at hole_end.
 * bytes: MEMORY_MIN_BYTES or more, a multiple of 4 KiB (checked by the caller). Host memory is
 * taken only when the guest touches it. Returns 0, or -1 with err set when the host refuses.
 */
int memory_create(struct memory *memory, u64 bytes, u64 hole_start, u64 hole_end,
		  struct error *err);

/* Gives the mapping back; does nothing on an all-zero struct. */
void memory_destroy(struct memory *memory);

/* Makes all of it zero again, by giving the pages back to the host. Returns 0, or -1 with err set. */
int memory_clear(struct memory *memory, struct error *err);

/*
 * The host address of guest RAM [gpa, gpa + bytes), or NULL when bytes is 0 or any byte is not
 * RAM. The memory is shared with running vCPUs: copy, then check, then use.
 */
void *memory_at(const struct memory *memory, u64 gpa, u64 bytes);

/* Copies from guest RAM; false, with nothing copied, when the range isn't all RAM. */
bool memory_read(const struct memory *memory, u64 gpa, void *to, u64 bytes);

/* The first address behind the last byte of RAM. */
u64 memory_end(const struct memory *memory);

#endif
