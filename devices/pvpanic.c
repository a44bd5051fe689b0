/*
 * pvpanic: see pvpanic.h.
 */
#include "devices/pvpanic.h"

#include "vmm/bits.h"

/* The kernel panicked; or it did and starts a crash kernel, which isn't the end. */
enum { EVENT_PANICKED = 0x01, EVENT_CRASH_LOADED = 0x02 };

static u64 read_events(void *device, u64 offset, unsigned width)
{
	(void)device, (void)offset, (void)width;
	return EVENT_PANICKED | EVENT_CRASH_LOADED;
}

static void write_event(void *device, u64 offset, unsigned width, u64 value)
{
	struct pvpanic *pvpanic = device;

	(void)offset, (void)width;
	if (value & EVENT_PANICKED)
		pvpanic->panicked(pvpanic->owner);
}

static const char *register_name(void *device, u64 offset, bool write)
{
	(void)device, (void)offset;
	return write ? "EVENT" : "EVENTS";
}

static void explain(void *device, u64 offset, bool write, u64 value, char *text, size_t bytes)
{
	static const struct bit_name names[] = {{EVENT_PANICKED, "panicked"},
						{EVENT_CRASH_LOADED, "crash-loaded"}};

	(void)device, (void)offset, (void)write;
	bit_names(value, names, ARRAY_LEN(names), text, bytes);
}

static const struct bus_ops pvpanic_ops = {
	.read = read_events, .write = write_event, .name = register_name, .explain = explain};

int pvpanic_attach(struct pvpanic *pvpanic, struct bus *pio, struct error *err)
{
	const struct bus_range range = {PVPANIC_PORT, 1, 1, "pvpanic", &pvpanic_ops, pvpanic};

	return bus_add(pio, &range, err);
}
