/*
 * An address bus: see bus.h.
 */
#include "vmm/bus.h"

#include <string.h>

#include "vmm/format.h"
#include "vmm/trace.h"

int bus_add(struct bus *bus, const struct bus_range *range, struct error *err)
{
	unsigned at = 0;
	u64 end;

	if (range->bytes == 0 || add_overflows(range->base, range->bytes, &end))
		return error_set(err, "device '%s' has an impossible address range", range->name);
	if (bus->ranges == BUS_RANGES_MAX)
		return error_set(err, "no room for device '%s': %d ranges are taken", range->name,
				 BUS_RANGES_MAX);
	while (at < bus->ranges && bus->range[at].base < range->base)
		at++;
	if ((at > 0 && range->base - bus->range[at - 1].base < bus->range[at - 1].bytes) ||
	    (at < bus->ranges && bus->range[at].base - range->base < range->bytes))
		return error_set(err, "device '%s' overlaps another at 0x%llx", range->name,
				 range->base);
	memmove(&bus->range[at + 1], &bus->range[at], (bus->ranges - at) * sizeof(*range));
	bus->range[at] = *range;
	bus->ranges++;
	return 0;
}

const struct bus_range *bus_find(const struct bus *bus, u64 addr)
{
	unsigned low = 0, high = bus->ranges;

	while (low < high) {
		const unsigned middle = (low + high) / 2;
		const struct bus_range *range = &bus->range[middle];

		if (addr < range->base)
			high = middle;
		else if (addr - range->base >= range->bytes)
			low = middle + 1;
		else
			return range;
	}
	return NULL;
}

static bool takes_whole(const struct bus_range *range, u64 addr, unsigned width)
{
	const bool power_of_two = (width & (width - 1)) == 0;

	return power_of_two && width <= range->max_width &&
	       width <= range->bytes - (addr - range->base);
}

u64 bus_read(const struct bus *bus, u64 addr, unsigned width)
{
	const struct bus_range *range = bus_find(bus, addr);
	u64 value = 0;

	if (range && takes_whole(range, addr, width))
		return range->ops->read(range->device, addr - range->base, width) &
		       (UINT64_MAX >> (64 - 8 * width));
	if (width == 1)
		return 0xff;
	for (unsigned i = 0; i < width; i++)
		value |= (bus_read(bus, addr + i, 1) & 0xff) << (8 * i);
	return value;
}

void bus_write(const struct bus *bus, u64 addr, unsigned width, u64 value)
{
	const struct bus_range *range = bus_find(bus, addr);

	if (range && takes_whole(range, addr, width)) {
		range->ops->write(range->device, addr - range->base, width, value);
		return;
	}
	if (width == 1)
		return;
	for (unsigned i = 0; i < width; i++)
		bus_write(bus, addr + i, 1, (value >> (8 * i)) & 0xff);
}

const char *bus_who(const struct bus *bus, u64 addr)
{
	const struct bus_range *range = bus_find(bus, addr);

	if (range && range->ops->who)
		return range->ops->who(range->device, addr - range->base);
	return range ? range->name : NULL;
}

void bus_trace(const struct bus *bus, struct trace *trace, u32 event,
	       const struct bus_access *access)
{
	const struct bus_range *range = bus_find(bus, access->address);
	const char *who = bus_who(bus, access->address);
	const char *direction = access->write ? "out" : "in";
	const u64 offset = range ? access->address - range->base : 0;
	char where[48] = "", words[96] = "";
	const char *name = "";

	if (who && range && range->ops->name && takes_whole(range, access->address, access->width))
		name = range->ops->name(range->device, offset, access->write);
	if (range && name[0] && range->ops->explain)
		range->ops->explain(range->device, offset, access->write, access->value, words,
				    sizeof(words));
	if (name[0])
		format_text(where, sizeof(where), "%s.%s", who, name);
	else
		format_text(where, sizeof(where), "0x%llx (%s)", access->address,
			    who ? who : "nothing");
	trace_line(trace, event, "%s %s = 0x%0*llx%s%s%s", direction, where,
		   (int)(2 * access->width), access->value, words[0] ? " (" : "", words,
		   words[0] ? ")" : "");
}
