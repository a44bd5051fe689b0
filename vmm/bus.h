/*
 * An address bus: finds the device behind an address.
 *
 * The machine has two, one for I/O ports and one for memory-mapped registers; a bus doesn't know
 * which it is. Ranges are added while the machine is built and never change while vCPUs run, so
 * that look-ups need no lock. A device gets the offset into its range, never the address.
 *
 * What no range takes whole (wider than its max_width, or across its end) is split into bytes, as
 * the ISA bus does with a 16-bit access to an 8-bit device. An access to nothing reads all-ones
 * and writes nothing.
 */
#ifndef BANTAM_VMM_BUS_H
#define BANTAM_VMM_BUS_H

#include "vmm/error.h"
#include "vmm/types.h"

enum { BUS_RANGES_MAX = 64 };

/*
 * width: 1, 2, 4 or 8 bytes; offset + width lies within the range. A read's result beyond its
 * width is ignored. Called on vCPU threads, several at once: the device locks its own state.
 */
struct bus_ops {
	u64 (*read)(void *device, u64 offset, unsigned width);
	void (*write)(void *device, u64 offset, unsigned width, u64 value);

	/*
	 * For traces, all optional: who answers at the offset where that isn't the range's name
	 * (NULL: nobody does), the register's name, and what a value in it means in words.
	 */
	const char *(*who)(void *device, u64 offset);
	const char *(*name)(void *device, u64 offset, bool write);
	void (*explain)(void *device, u64 offset, bool write, u64 value, char *text, size_t bytes);
};

struct bus_range {
	u64 base;
	u64 bytes;
	unsigned max_width; /* 1, 2, 4 or 8: the widest access the device is asked for */
	const char *name;   /* for messages and traces; lives as long as the bus */
	const struct bus_ops *ops;
	void *device;
};

struct bus {
	struct bus_range range[BUS_RANGES_MAX]; /* sorted by base, disjoint */
	unsigned ranges;
};

/* Returns 0, or -1 with err set when the range is empty, wraps, overlaps another or is one too many. */
int bus_add(struct bus *bus, const struct bus_range *range, struct error *err);

/* The range that contains addr, or NULL. */
const struct bus_range *bus_find(const struct bus *bus, u64 addr);

/* The name of who answers at addr, or NULL. */
const char *bus_who(const struct bus *bus, u64 addr);

/* Adds a line on an access that was made to the trace, with names instead of numbers. */
struct trace;
struct bus_access {
	u64 address;
	unsigned width;
	bool write;
	u64 value; /* written or read */
};
void bus_trace(const struct bus *bus, struct trace *trace, u32 event,
	       const struct bus_access *access);

/* width: 1 to 8 bytes. */
u64 bus_read(const struct bus *bus, u64 addr, unsigned width);
void bus_write(const struct bus *bus, u64 addr, unsigned width, u64 value);

#endif
