/*
 * A dry run's view of the ACPI tables, and their dump to files.
 *
 * The tables are found as a guest finds them: the RSDP leads to the XSDT, that to all others but
 * the DSDT, which the FADT names. Each must lie in RAM as a whole and have a checksum of 0; what
 * hasn't is shown as broken.
 *
 * Limits: TABLES_MAX tables. AML is not disassembled: iasl -d does that to a dump.
 * Source: ACPI 6.5, 5.2 "ACPI System Description Tables".
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "boot/acpi.h"
#include "vmm/dry_run_parts.h"

/* System calls: mkdir, and for files open, write, close. */

enum { TABLES_MAX = 32 };

/* Offsets. */
enum { RSDP_LENGTH = 20, RSDP_XSDT = 24, RSDP_REVISION = 15, RSDP_BYTES = 36 };
enum { HEADER_LENGTH = 4, HEADER_REVISION = 8 };
enum { FADT_DSDT = 40, FADT_X_DSDT = 140, FADT_BYTES = 276 };
enum { MADT_ENTRIES = 44 };

/* A table; bytes is NULL when it isn't in RAM, or shorter than its header. */
struct table {
	char name[5];
	u64 gpa, length;
	unsigned revision;
	const u8 *bytes;
	bool sum_ok;
};

struct tables {
	struct table table[TABLES_MAX];
	unsigned count;
};

static bool adds_up(const u8 *bytes, u64 count)
{
	u8 sum = 0;

	while (count-- > 0)
		sum = (u8)(sum + *bytes++);
	return sum == 0;
}

/* The table if it is there and has that many bytes at least, or NULL. */
static const struct table *find(const struct tables *tables, const char *name, u64 bytes)
{
	for (unsigned i = 0; i < tables->count; i++) {
		const struct table *table = &tables->table[i];

		if (strcmp(table->name, name) == 0 && table->bytes && table->length >= bytes)
			return table;
	}
	return NULL;
}

/* Adds the table at gpa. */
static void add(struct tables *tables, const struct memory *memory, u64 gpa)
{
	const u8 *header = memory_at(memory, gpa, ACPI_HEADER_BYTES);
	struct table *table = &tables->table[tables->count];

	if (tables->count == TABLES_MAX)
		return;
	tables->count++;
	*table = (struct table){.name = "????", .gpa = gpa};
	if (!header)
		return;
	for (unsigned i = 0; i < 4; i++)
		table->name[i] = (char)(isalnum(header[i]) ? header[i] : '_');
	table->length = sheet_load(header + HEADER_LENGTH, 4);
	table->revision = header[HEADER_REVISION];
	if (table->length >= ACPI_HEADER_BYTES)
		table->bytes = memory_at(memory, gpa, table->length);
	table->sum_ok = table->bytes && adds_up(table->bytes, table->length);
}

/* Finds all tables; the RSDP comes first. */
static void collect(struct tables *tables, const struct boot_plan *plan)
{
	const struct memory *memory = plan->map.memory;
	const u8 *rsdp = memory_at(memory, plan->rsdp_gpa, RSDP_BYTES);
	const struct table *from;

	*tables = (struct tables){.table[0] = {"RSDP", plan->rsdp_gpa, 0, 0, rsdp, false},
				  .count = 1};
	if (!rsdp)
		return;
	tables->table[0].length = RSDP_BYTES;
	tables->table[0].revision = rsdp[RSDP_REVISION];
	tables->table[0].sum_ok = memcmp(rsdp, "RSD PTR ", 8) == 0 && adds_up(rsdp, RSDP_LENGTH) &&
				  adds_up(rsdp, RSDP_BYTES);
	add(tables, memory, sheet_load(rsdp + RSDP_XSDT, 8));
	from = find(tables, "XSDT", ACPI_HEADER_BYTES);
	for (u64 at = ACPI_HEADER_BYTES; from && at + 8 <= from->length; at += 8)
		add(tables, memory, sheet_load(from->bytes + at, 8));
	from = find(tables, "FACP", FADT_BYTES);
	if (from) {
		const u64 dsdt = sheet_load(from->bytes + FADT_X_DSDT, 8);

		add(tables, memory, dsdt ? dsdt : sheet_load(from->bytes + FADT_DSDT, 4));
	}
}

static void show_list(struct sheet *sheet, const struct tables *tables)
{
	static const struct column columns[] = {
		{"address", 11}, {"signature", 9}, {"length", 6}, {"revision", 8}, {"checksum", 0}};

	sheet_open(sheet, "acpi", "tables, from the RSDP on; --dump-acpi writes them to files",
		   columns);
	for (unsigned i = 0; i < tables->count; i++) {
		const struct table *table = &tables->table[i];

		sheet_row(sheet, HEX(table->gpa), TEXT(table->name), COUNT(table->length),
			  COUNT(table->revision), TEXT(table->sum_ok ? "ok" : "broken"));
	}
}

static const struct bit_name boot_flags[] = {{1 << 0, "LEGACY_DEVICES"}, {1 << 1, "8042"},
					     {1 << 2, "NO_VGA"},         {1 << 3, "NO_MSI"},
					     {1 << 4, "NO_PCIE_ASPM"},   {1 << 5, "NO_CMOS_RTC"}};

static const struct bit_name fadt_flags[] = {
	{1 << 0, "WBINVD"},         {1 << 2, "PROC_C1"},     {1 << 4, "PWR_BUTTON"},
	{1 << 5, "SLP_BUTTON"},     {1 << 6, "FIX_RTC"},     {1 << 8, "TMR_VAL_EXT"},
	{1 << 10, "RESET_REG_SUP"}, {1 << 12, "HEADLESS"},   {1 << 18, "APIC_CLUSTER"},
	{1 << 19, "APIC_PHYSICAL"}, {1 << 20, "HW_REDUCED"}, {1 << 21, "LOW_POWER_S0_IDLE"}};

/* A register is 12 bytes: the space that it is in (0: memory, 1: ports) is the first, the address
 * is from the fifth on. */
static const struct field fadt_fields[] = {
	{"dsdt", 40, 4, CELL_HEX, 0, "the DSDT, below 4 GiB"},
	{"iapc_boot_arch", 109, 2, CELL_HEX, ARRAY_LEN(boot_flags), boot_flags},
	{"flags", 112, 4, CELL_HEX, ARRAY_LEN(fadt_flags), fadt_flags},
	{"reset_reg_space", 116, 1, CELL_HEX, 0, "1: I/O ports"},
	{"reset_reg", 120, 8, CELL_HEX, 0, "resets the machine"},
	{"reset_value", 128, 1, CELL_HEX, 0, "what to write there"},
	{"minor_version", 131, 1, CELL_COUNT, 0, "of ACPI; the major one is the revision"},
	{"x_dsdt", 140, 8, CELL_HEX, 0, "the DSDT"},
	{"sleep_control_reg_space", 244, 1, CELL_HEX, 0, "1: I/O ports"},
	{"sleep_control_reg", 248, 8, CELL_HEX, 0, "powers the machine off"},
	{"sleep_status_reg", 260, 8, CELL_HEX, 0, "tells of a wake-up"},
};

/* What is read of a MADT's entry: numbers of one to four bytes; 0 bytes: it has none. */
static const struct entry_kind {
	const char *name;
	u8 type, bytes;
	struct {
		u8 offset, bytes;
	} part[4]; /* id, address, GSI, flags */
} entry_kinds[] = {
	{"local APIC", 0, 8, {{3, 1}, {0, 0}, {0, 0}, {4, 4}}},
	{"I/O APIC", 1, 12, {{2, 1}, {4, 4}, {8, 4}, {0, 0}}},
	{"override", 2, 10, {{3, 1}, {0, 0}, {4, 4}, {8, 2}}},
	{"local x2APIC", 9, 16, {{4, 4}, {0, 0}, {0, 0}, {8, 4}}},
};

static void show_entry(struct sheet *sheet, const u8 *at)
{
	struct cell cell[6] = {COUNT(at[0]), TEXT("other")};

	for (size_t i = 0; i < ARRAY_LEN(entry_kinds); i++) {
		const struct entry_kind *kind = &entry_kinds[i];

		if (kind->type != at[0] || kind->bytes > at[1])
			continue;
		cell[1] = TEXT(kind->name);
		for (unsigned j = 0; j < ARRAY_LEN(kind->part); j++) {
			const u64 number =
				sheet_load(at + kind->part[j].offset, kind->part[j].bytes);

			if (kind->part[j].bytes)
				cell[2 + j] = j & 1 ? HEX(number) : COUNT(number);
		}
	}
	sheet_cells(sheet, cell);
}

static void show_madt(struct sheet *sheet, const struct table *madt)
{
	static const struct column columns[] = {{"type", 4},     {"entry", 14}, {"id", 4},
						{"address", 10}, {"gsi", 4},    {"flags", 0}};
	const u8 *end = madt->bytes + madt->length;

	sheet_open(sheet, "madt", "processors and interrupt controllers", columns);
	for (const u8 *at = madt->bytes + MADT_ENTRIES;
	     end - at >= 2 && at[1] >= 2 && at[1] <= end - at; at += at[1])
		show_entry(sheet, at);
}

void dry_run_acpi(struct sheet *sheet, const struct boot_plan *plan)
{
	const struct table *table;
	struct tables tables;

	collect(&tables, plan);
	show_list(sheet, &tables);
	table = find(&tables, "FACP", FADT_BYTES);
	if (table) {
		sheet_open(sheet, "fadt", "power and reset", sheet_field_columns);
		sheet_fields(sheet, plan->map.memory, table->bytes, fadt_fields,
			     ARRAY_LEN(fadt_fields));
	}
	table = find(&tables, "APIC", MADT_ENTRIES);
	if (table)
		show_madt(sheet, table);
}

/* ---- the dump */

/* dir/dsdt.dat; further tables of that name become dsdt1.dat, dsdt2.dat. */
static int dump_table(const struct tables *tables, unsigned index, const char *dir,
		      struct error *err)
{
	const struct table *table = &tables->table[index];
	char path[4096], name[5] = "";
	unsigned same = 0;
	FILE *out;
	bool ok;

	for (unsigned i = 0; i < index; i++)
		same += strcmp(tables->table[i].name, table->name) == 0;
	for (unsigned i = 0; i < 4; i++)
		name[i] = (char)tolower((unsigned char)table->name[i]);
	/* %.0u writes nothing for 0. */
	if (snprintf(path, sizeof(path), "%s/%s%.0u.dat", dir, name, same) >= (int)sizeof(path))
		return error_set(err, "the directory's name '%.60s...' is too long", dir);
	out = fopen(path, "we");
	ok = out && fwrite(table->bytes, 1, table->length, out) == table->length;
	if (out && fclose(out) == 0 && ok)
		return 0;
	return error_set(err, "cannot write '%s': %s", path, strerror(errno));
}

int dry_run_dump_acpi(const struct boot_plan *plan, const char *dir, struct error *err)
{
	struct tables tables;

	collect(&tables, plan);
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return error_set(err, "cannot make the directory '%s': %s", dir, strerror(errno));
	for (unsigned i = 0; i < tables.count; i++) {
		if (tables.table[i].bytes && dump_table(&tables, i, dir, err))
			return error_prefix(err, "cannot dump the ACPI tables");
	}
	return 0;
}
