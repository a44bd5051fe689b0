/*
 * `bantam run --dry-run`: see dry_run.h. Here are the machine, the kernel, the map of guest
 * physical memory and the devices; the other parts have files of their own.
 *
 * The map has a row for every address below the end of memory, or 4 GiB: what boot_load() placed,
 * the devices, what the architecture fixes, and between them free RAM and holes.
 */
#include "vmm/dry_run.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/board.h"
#include "vmm/machine.h"

/* Why it lies there; by the names that boot/ gives its places. */
static const char *why_there(const char *name)
{
	static const struct {
		const char *name, *why;
	} reasons[] = {
		{"kernel", "where its header wants it, with room to unpack itself"},
		{"kernel segment",
		 "where the ELF file's program header wants it, or as far behind"},
		{"initrd", "as high as the kernel takes it"},
		{"boot_params", "all that Linux is told; RSI points here"},
		{"hvm_start_info", "all that PVH tells; EBX points here"},
		{"command line", "the handover structure points here"},
		{"BIOS entry", "a reset's first instruction; ends the machine, or starts it anew"},
		{"ACPI RSDP", "leads to the other tables; where old kernels search for it"},
		{"ACPI XSDT", "the list of the other tables"},
		{"ACPI FACP", "power and reset; leads to the DSDT"},
		{"ACPI APIC", "processors and interrupt controllers"},
		{"ACPI MCFG", "where PCI's configuration space is"},
		{"ACPI DSDT", "the devices; --dump-acpi and iasl -d show the tables' content"},
		{"GDT", "the selectors that Linux's 64-bit protocol wants"},
		{"page tables", "64-bit mode needs them: the first 4 GiB, each address itself"},
	};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (strcmp(reasons[i].name, name) == 0)
			return reasons[i].why;
	}
	return "";
}

/* Makes *here, which begins at the address in question, end where the range begins, or be it. */
static void consider(struct dry_run_range *here, struct dry_run_range range)
{
	const bool inside = here->gpa - range.gpa < range.bytes;
	const u64 left = range.gpa + (inside ? range.bytes : 0) - here->gpa;

	if (inside)
		*here = (struct dry_run_range){here->gpa, here->bytes, range.kind, range.name,
					       range.why};
	if ((inside || range.gpa > here->gpa) && left < here->bytes)
		here->bytes = left;
}

/* What is at gpa, up to where something else begins. */
static struct dry_run_range range_at(const struct dry_run_input *input, u64 gpa, u64 end)
{
	struct dry_run_range here = {gpa, end - gpa, "hole", NULL, "nothing: reads all-ones"};
	const struct place_map *map = &input->plan->map;
	const struct memory_region *ram = map->memory->region;
	const struct place *place = map->place;
	const struct bus *mmio = &input->machine->mmio;

	for (unsigned i = 0; i < map->memory->regions; i++, ram++)
		consider(&here, (struct dry_run_range){ram->gpa, ram->bytes, "ram", NULL, "free"});
	for (unsigned i = 0; i < map->places; i++, place++)
		consider(&here, (struct dry_run_range){place->gpa, place->bytes, "placed",
						       place->name, why_there(place->name)});
	for (unsigned i = 0; i < mmio->ranges; i++)
		consider(&here, (struct dry_run_range){mmio->range[i].base, mmio->range[i].bytes,
						       "device", mmio->range[i].name, "registers"});
	for (unsigned i = 0; i < DRY_RUN_FIXED; i++)
		consider(&here, dry_run_fixed[i]);
	return here;
}

static void show_memory_map(struct sheet *sheet, const struct dry_run_input *input)
{
	static const struct column columns[] = {{"first", 11}, {"last", 11}, {"bytes", 14},
						{"kind", 6},   {"what", 14}, {"why", 0}};
	const u64 ram_end = memory_end(input->plan->map.memory);
	const u64 end = ram_end > 4 * GIB ? ram_end : 4 * GIB;
	struct dry_run_range here;

	sheet_open(sheet, "memory_map", "what lies where, and why", columns);
	for (u64 gpa = 0; gpa < end; gpa += here.bytes) {
		here = range_at(input, gpa, end);
		sheet_row(sheet, HEX(gpa), HEX(gpa + here.bytes - 1), SIZE(here.bytes),
			  TEXT(here.kind), here.name ? TEXT(here.name) : NONE, TEXT(here.why));
	}
}

static void show_machine(struct sheet *sheet, const struct dry_run_input *input)
{
	const struct boot_kernel *kernel = &input->plan->kernel;
	const struct config *config = input->machine->config;
	const bool pvh = kernel->protocol == BOOT_PVH;

	sheet_open(sheet, "machine", "nothing runs; this is what would be", NULL);
	sheet_fact(sheet, "memory_bytes", SIZE(input->plan->map.memory->bytes));
	sheet_fact(sheet, "cpus", COUNT(config->cpus));
	sheet_open(sheet, "kernel", "what runs first", NULL);
	sheet_fact(sheet, "file", TEXT(config->kernel));
	sheet_fact(sheet, "format", TEXT(kernel->kind == BOOT_BZIMAGE ? "bzImage" : "ELF"));
	sheet_fact(sheet, "version", kernel->version[0] ? TEXT(kernel->version) : NONE);
	sheet_fact(sheet, "boot_protocol",
		   TEXT(pvh ? "PVH: 32-bit, without paging" : "Linux: 64-bit, with paging"));
	sheet_fact(sheet, "unpacked_by",
		   kernel->kind == BOOT_BZIMAGE ? TEXT(kernel->unpacked ? "host" : "guest") : NONE);
	sheet_fact(sheet, "virtual_slide", kernel->random ? HEX(kernel->slide) : NONE);
	sheet_fact(sheet, "entry", HEX(kernel->entry));
	sheet_fact(sheet, pvh ? "hvm_start_info" : "boot_params", HEX(input->plan->info_gpa));
	sheet_fact(sheet, "initrd", config->initrd ? TEXT(config->initrd) : NONE);
}

static void show_bus(struct sheet *sheet, const struct board *board, const struct bus *bus,
		     const char *space)
{
	for (unsigned i = 0; i < bus->ranges; i++) {
		const struct bus_range *range = &bus->range[i];
		const int gsi = board_gsi(board, range->name);

		sheet_row(sheet, TEXT(range->name), TEXT(space), HEX(range->base),
			  HEX(range->base + range->bytes - 1), gsi < 0 ? NONE : COUNT((u64)gsi));
	}
}

/* PCI's devices, where they are placed before the guest moves them. */
static void show_pci(struct sheet *sheet, const struct pci_host *pci)
{
	for (unsigned slot = 1; slot < pci->slots; slot++) {
		const struct pci_function *function = pci->slot[slot];
		const u64 memory = function->power_on[PCI_BAR_DWORD] & ~(u64)0xf;
		const u64 ports = function->power_on[PCI_BAR_DWORD + 1] & ~(u64)0x3;
		const struct cell gsi = COUNT(pci_slot_gsi(pci, slot));

		sheet_row(sheet, TEXT(function->name), TEXT("memory"), HEX(memory),
			  HEX(memory + VIRTIO_PCI_MEMORY_BYTES - 1), gsi);
		sheet_row(sheet, TEXT(function->name), TEXT("port"), HEX(ports),
			  HEX(ports + VIRTIO_PCI_IO_BYTES - 1), gsi);
	}
}

int dry_run(const struct dry_run_input *input, FILE *out, bool as_json, struct error *err)
{
	static const struct column columns[] = {
		{"device", 14}, {"space", 6}, {"first", 11}, {"last", 11}, {"gsi", 0}};
	const struct machine *machine = input->machine;
	struct sheet sheet;

	sheet_start(&sheet, out, as_json);
	show_machine(&sheet, input);
	show_memory_map(&sheet, input);
	dry_run_handover(&sheet, input->plan);
	sheet_open(&sheet, "devices", "registers and interrupts", columns);
	show_bus(&sheet, machine->board, &machine->pio, "port");
	show_bus(&sheet, machine->board, &machine->mmio, "memory");
	show_pci(&sheet, &machine->board->virtio.pci);
	dry_run_cpuid(&sheet, input);
	return sheet_finish(&sheet, err);
}

/* --dump-acpi: each table as it lies in guest memory. System calls: mkdir, open, write, close. */

/* dir/dsdt.dat */
static int dump_table(const struct memory *memory, const struct place *place, const char *dir,
		      struct error *err)
{
	const char *signature = place->name + strlen(ACPI_PLACE);
	char path[4096], name[5] = "";
	FILE *out;
	bool ok;

	for (size_t i = 0; i < strlen(signature) && i < sizeof(name) - 1; i++)
		name[i] = (char)tolower((unsigned char)signature[i]);
	if (snprintf(path, sizeof(path), "%s/%s.dat", dir, name) >= (int)sizeof(path))
		return error_set(err, "the directory's name '%.60s...' is too long", dir);
	out = fopen(path, "we");
	ok = out && fwrite(memory_at(memory, place->gpa, place->bytes), place->bytes, 1, out) == 1;
	if (out && fclose(out) == 0 && ok)
		return 0;
	return error_errno(err, "cannot write '%s'", path);
}

int dry_run_dump_acpi(const struct boot_plan *plan, const char *dir, struct error *err)
{
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return error_errno(err, "cannot make the directory '%s'", dir);
	for (unsigned i = 0; i < plan->map.places; i++) {
		const struct place *place = &plan->map.place[i];

		if (strncmp(place->name, ACPI_PLACE, strlen(ACPI_PLACE)) == 0 &&
		    dump_table(plan->map.memory, place, dir, err))
			return error_prefix(err, "cannot dump the ACPI tables");
	}
	return 0;
}
