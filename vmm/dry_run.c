/*
 * `bantam run --dry-run`: see dry_run.h. Here are the machine, the kernel, the map of guest
 * physical memory and the devices; the other parts have files of their own.
 *
 * The map has a row for every address below the end of memory, or 4 GiB: what boot_load() placed,
 * the devices, what the architecture fixes, and between them free RAM and holes.
 */
#include "vmm/dry_run.h"

#include <string.h>

#include "vmm/dry_run_parts.h"

enum { RANGES_MAX = PLACES_MAX + BUS_RANGES_MAX + 8 };

struct range {
	u64 gpa, bytes;
	const char *kind, *name, *why; /* name: NULL for a gap */
};

struct ranges {
	struct range range[RANGES_MAX];
	unsigned count;
};

/* Why it lies there; by the names that boot/ gives its places. */
static const char *why_there(const char *name)
{
	static const struct {
		const char *name, *why;
	} reasons[] = {
		{"kernel", "where its header wants it (pref_address), with room to unpack itself "
			   "(init_size)"},
		{"kernel segment", "a PT_LOAD segment of the ELF file, at its physical address"},
		{"initrd", "as high as the kernel takes it"},
		{"boot_params", "all that Linux is told; RSI points here"},
		{"hvm_start_info", "all that PVH tells; EBX points here"},
		{"command line", "the handover structure points here"},
		{"ACPI tables", "where old kernels search for their root"},
		{"GDT", "the selectors that Linux's 64-bit protocol wants"},
		{"page tables", "map the first 4 GiB to themselves: 64-bit mode needs paging"},
	};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (strcmp(reasons[i].name, name) == 0)
			return reasons[i].why;
	}
	return "";
}

static void add(struct ranges *ranges, const struct range *range)
{
	if (ranges->count < RANGES_MAX && range->bytes > 0)
		ranges->range[ranges->count++] = *range;
}

static void collect(const struct dry_run_input *input, struct ranges *ranges)
{
	const struct place_map *map = &input->plan->map;
	const struct dry_run_fixed *fixed;
	unsigned count;

	for (unsigned i = 0; i < map->places; i++) {
		const struct place *place = &map->place[i];

		add(ranges, &(struct range){place->gpa, place->bytes, "placed", place->name,
					    why_there(place->name)});
	}
	for (unsigned i = 0; i < input->devices; i++) {
		const struct dry_run_device *device = &input->device[i];

		if (!device->is_port)
			add(ranges, &(struct range){device->base, device->bytes, "device",
						    device->name, "a device's registers"});
	}
	fixed = dry_run_fixed_ranges(&count);
	for (unsigned i = 0; i < count; i++)
		add(ranges, &(struct range){fixed[i].gpa, fixed[i].bytes, "device", fixed[i].name,
					    fixed[i].why});
}

/* The range that begins first at or above gpa, or NULL. */
static const struct range *next_range(const struct ranges *ranges, u64 gpa)
{
	const struct range *next = NULL;

	for (unsigned i = 0; i < ranges->count; i++) {
		const struct range *range = &ranges->range[i];

		if (range->gpa >= gpa && (!next || range->gpa < next->gpa))
			next = range;
	}
	return next;
}

static void show_range(struct sheet *sheet, const struct range *range)
{
	const struct sheet_cell cells[] = {{.number = range->gpa},
					   {.number = range->gpa + range->bytes - 1},
					   {.number = range->bytes},
					   {.text = range->kind},
					   {.text = range->name, .none = !range->name},
					   {.text = range->why}};

	sheet_row(sheet, cells);
}

/* What nobody has taken in [gpa, end): RAM for the guest, or nothing. */
static void show_gap(struct sheet *sheet, const struct memory *memory, u64 gpa, u64 end)
{
	while (gpa < end) {
		struct range row = {
			.gpa = gpa, .kind = "hole", .name = NULL, .why = "nothing: reads all-ones"};
		u64 stop = end;

		for (unsigned i = 0; i < memory->regions; i++) {
			const struct memory_region *region = &memory->region[i];

			if (gpa < region->gpa) {
				stop = region->gpa < stop ? region->gpa : stop;
			} else if (gpa - region->gpa < region->bytes) {
				stop = region->gpa + region->bytes;
				row.kind = "ram";
				row.why = "free";
				break;
			}
		}
		row.bytes = (stop < end ? stop : end) - gpa;
		show_range(sheet, &row);
		gpa += row.bytes;
	}
}

static void show_memory_map(struct sheet *sheet, const struct dry_run_input *input)
{
	static const struct sheet_column columns[] = {
		{"first", SHEET_HEX, 11}, {"last", SHEET_HEX, 11},  {"bytes", SHEET_BYTES, 10},
		{"kind", SHEET_TEXT, 6},  {"what", SHEET_TEXT, 14}, {"why", SHEET_TEXT, 0}};
	const struct memory *memory = input->plan->map.memory;
	const u64 ram_end = memory_end(memory);
	const u64 end = ram_end > 4 * GIB ? ram_end : 4 * GIB;
	struct ranges ranges = {.count = 0};
	const struct range *range;
	u64 gpa = 0;

	collect(input, &ranges);
	sheet_open_table(sheet, "memory_map", "Guest memory: what lies where, and why", columns,
			 ARRAY_LEN(columns));
	for (; (range = next_range(&ranges, gpa)); gpa = range->gpa + range->bytes) {
		show_gap(sheet, memory, gpa, range->gpa);
		show_range(sheet, range);
	}
	show_gap(sheet, memory, gpa, end);
	sheet_close_table(sheet);
}

/* The command line as it lies in memory; boot_load() has put a NUL at its end. */
static const char *command_line(const struct boot_plan *plan)
{
	for (unsigned i = 0; i < plan->map.places; i++) {
		const struct place *place = &plan->map.place[i];

		if (strcmp(place->name, "command line") == 0)
			return memory_at(plan->map.memory, place->gpa, place->bytes);
	}
	return NULL;
}

static void show_machine(struct sheet *sheet, const struct dry_run_input *input)
{
	sheet_open(sheet, "machine", "Machine");
	sheet_bytes(sheet, "memory_bytes", input->plan->map.memory->bytes);
	sheet_number(sheet, "cpus", input->cpus, NULL);
	sheet_close(sheet);
}

static void show_kernel(struct sheet *sheet, const struct dry_run_input *input)
{
	const struct boot_kernel *kernel = &input->plan->kernel;
	const bool pvh = kernel->protocol == BOOT_PVH;
	const char *cmdline = command_line(input->plan);

	sheet_open(sheet, "kernel", "Kernel");
	sheet_text(sheet, "file", input->kernel);
	sheet_text(sheet, "format", kernel->kind == BOOT_BZIMAGE ? "bzImage" : "ELF");
	if (kernel->version[0])
		sheet_text(sheet, "version", kernel->version);
	sheet_text(sheet, "boot_protocol", pvh ? "PVH" : "Linux 64-bit");
	sheet_hex(sheet, "entry", kernel->entry,
		  pvh ? "in 32-bit protected mode, without paging"
		      : "in 64-bit long mode, with paging");
	sheet_hex(sheet, "handover", input->plan->info_gpa,
		  pvh ? "hvm_start_info, to which EBX points" : "boot_params, to which RSI points");
	sheet_text(sheet, "command_line", cmdline ? cmdline : "");
	if (input->initrd)
		sheet_text(sheet, "initrd", input->initrd);
	sheet_close(sheet);
}

static void show_devices(struct sheet *sheet, const struct dry_run_input *input)
{
	static const struct sheet_column columns[] = {
		{"name", SHEET_TEXT, 20}, {"space", SHEET_TEXT, 6}, {"first", SHEET_HEX, 11},
		{"last", SHEET_HEX, 11},  {"gsi", SHEET_NUMBER, 0},
	};

	sheet_open_table(sheet, "devices", "Devices: registers and interrupts", columns,
			 ARRAY_LEN(columns));
	for (unsigned i = 0; i < input->devices; i++) {
		const struct dry_run_device *device = &input->device[i];
		const struct sheet_cell cells[] = {
			{.text = device->name},
			{.text = device->is_port ? "port" : "memory"},
			{.number = device->base},
			{.number = device->base + device->bytes - 1},
			{.number = (u64)(device->gsi < 0 ? 0 : device->gsi),
			 .none = device->gsi < 0}};

		sheet_row(sheet, cells);
	}
	sheet_close_table(sheet);
}

unsigned dry_run_list_bus(const struct bus *bus, bool is_port, struct dry_run_device *device,
			  unsigned room)
{
	unsigned count = 0;

	for (; count < bus->ranges && count < room; count++) {
		const struct bus_range *range = &bus->range[count];

		device[count] = (struct dry_run_device){.name = range->name,
							.base = range->base,
							.bytes = range->bytes,
							.is_port = is_port,
							.gsi = -1};
	}
	return count;
}

int dry_run(const struct dry_run_input *input, FILE *out, bool as_json, struct error *err)
{
	struct sheet sheet;

	sheet_start(&sheet, out, as_json);
	sheet_note(&sheet,
		   "A dry run: what would be put in guest memory, and where. Nothing runs.");
	show_machine(&sheet, input);
	show_kernel(&sheet, input);
	show_memory_map(&sheet, input);
	dry_run_handover(&sheet, input);
	dry_run_processor(&sheet, input);
	dry_run_acpi(&sheet, input->plan);
	show_devices(&sheet, input);
	dry_run_cpuid(&sheet, input);
	return sheet_finish(&sheet, err);
}
