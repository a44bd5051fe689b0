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
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/acpi.h"
#include "vmm/dry_run_parts.h"

/* System calls: mkdir, open, write, close. */

enum { TABLES_MAX = 32 };

/* Offsets. */
enum { RSDP_LENGTH = 20, RSDP_XSDT = 24, RSDP_BYTES = 36 };
enum { HEADER_LENGTH = 4, HEADER_REVISION = 8 };
enum { FADT_DSDT = 40, FADT_X_DSDT = 140, FADT_BYTES = 276 };
enum { MADT_ENTRIES = 44 };
enum { GENERIC_ADDRESS_AT = 4 }; /* the address within a generic address structure */

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

static const struct table *find(const struct tables *tables, const char *name)
{
	for (unsigned i = 0; i < tables->count; i++) {
		if (strcmp(tables->table[i].name, name) == 0)
			return &tables->table[i];
	}
	return NULL;
}

static const struct table *add(struct tables *tables, const struct table *table)
{
	if (tables->count == TABLES_MAX)
		return NULL;
	tables->table[tables->count] = *table;
	return &tables->table[tables->count++];
}

/* Adds the table at gpa. Returns it when it is whole, or NULL. */
static const struct table *add_table(struct tables *tables, const struct memory *memory, u64 gpa)
{
	const u8 *header = memory_at(memory, gpa, ACPI_HEADER_BYTES);
	struct table table = {.name = "????", .gpa = gpa};
	const struct table *added;

	if (header) {
		for (unsigned i = 0; i < 4; i++)
			table.name[i] = (char)(isalnum(header[i]) ? header[i] : '_');
		table.length = sheet_load(header + HEADER_LENGTH, 4);
		table.revision = header[HEADER_REVISION];
		if (table.length >= ACPI_HEADER_BYTES)
			table.bytes = memory_at(memory, gpa, table.length);
	}
	table.sum_ok = table.bytes && adds_up(table.bytes, table.length);
	added = add(tables, &table);
	return added && added->bytes ? added : NULL;
}

/* Finds all tables; the RSDP comes first. */
static void collect(struct tables *tables, const struct boot_plan *plan)
{
	const struct memory *memory = plan->map.memory;
	const u8 *rsdp = memory_at(memory, plan->rsdp_gpa, RSDP_BYTES);
	struct table root = {.name = "RSDP", .gpa = plan->rsdp_gpa, .bytes = rsdp};
	const struct table *xsdt, *fadt;

	*tables = (struct tables){.count = 0};
	if (rsdp) {
		root.length = RSDP_BYTES;
		root.revision = rsdp[15];
		root.sum_ok = memcmp(rsdp, "RSD PTR ", 8) == 0 && adds_up(rsdp, RSDP_LENGTH) &&
			      adds_up(rsdp, RSDP_BYTES);
	}
	add(tables, &root);
	xsdt = rsdp ? add_table(tables, memory, sheet_load(rsdp + RSDP_XSDT, 8)) : NULL;
	if (!xsdt)
		return;
	for (u64 at = ACPI_HEADER_BYTES; at + 8 <= xsdt->length; at += 8)
		add_table(tables, memory, sheet_load(xsdt->bytes + at, 8));
	fadt = find(tables, "FACP");
	if (fadt && fadt->bytes && fadt->length >= FADT_BYTES) {
		const u64 dsdt = sheet_load(fadt->bytes + FADT_X_DSDT, 8);

		add_table(tables, memory, dsdt ? dsdt : sheet_load(fadt->bytes + FADT_DSDT, 4));
	}
}

static const char *what_is(const char *name)
{
	static const struct {
		const char *name, *what;
	} known[] = {
		{"RSDP", "the root: leads to the XSDT"},
		{"XSDT", "leads to all other tables"},
		{"FACP", "the FADT: power and reset"},
		{"DSDT", "devices, in byte code (AML)"},
		{"SSDT", "more devices, in byte code (AML)"},
		{"APIC", "the MADT: CPUs, interrupt controllers"},
		{"MCFG", "where PCI's configuration space is in memory"},
		{"HPET", "a timer"},
		{"SPCR", "which serial port is the console"},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(known[i].name, name) == 0)
			return known[i].what;
	}
	return "";
}

static void show_list(struct sheet *sheet, const struct tables *tables)
{
	static const struct sheet_column columns[] = {
		{"address", SHEET_HEX, 11},  {"signature", SHEET_TEXT, 9},
		{"length", SHEET_NUMBER, 6}, {"revision", SHEET_NUMBER, 8},
		{"checksum", SHEET_TEXT, 8}, {"what", SHEET_TEXT, 0}};

	sheet_open_table(sheet, "tables", NULL, columns, ARRAY_LEN(columns));
	for (unsigned i = 0; i < tables->count; i++) {
		const struct table *table = &tables->table[i];

		sheet_row(sheet,
			  (const struct sheet_cell[]){{.number = table->gpa},
						      {.text = table->name},
						      {.number = table->length},
						      {.number = table->revision},
						      {.text = table->sum_ok ? "ok" : "broken"},
						      {.text = what_is(table->name)}});
	}
	sheet_close_table(sheet);
	sheet_note(sheet, "--dump-acpi DIR writes them to files; iasl -d DIR/dsdt.dat disassembles "
			  "the DSDT.");
}

/* ---- FADT */

static const struct bit_name boot_flags[] = {
	{1 << 0, "LEGACY_DEVICES"}, {1 << 1, "8042"},        {1 << 2, "NO_VGA"}, {1 << 3, "NO_MSI"},
	{1 << 4, "NO_PCIE_ASPM"},   {1 << 5, "NO_CMOS_RTC"}, {0, NULL},
};

static const struct bit_name fadt_flags[] = {
	{1 << 0, "WBINVD"},
	{1 << 1, "WBINVD_FLUSH"},
	{1 << 2, "PROC_C1"},
	{1 << 4, "PWR_BUTTON"},
	{1 << 5, "SLP_BUTTON"},
	{1 << 6, "FIX_RTC"},
	{1 << 8, "TMR_VAL_EXT"},
	{1 << 10, "RESET_REG_SUP"},
	{1 << 12, "HEADLESS"},
	{1 << 18, "FORCE_APIC_CLUSTER"},
	{1 << 19, "FORCE_APIC_PHYSICAL"},
	{1 << 20, "HW_REDUCED_ACPI"},
	{1 << 21, "LOW_POWER_S0_IDLE"},
	{0, NULL},
};

/* The kind of address space and the register's width stand in front of the address. */
static void explain_generic_address(const struct memory *memory, const u8 *at, u64 value,
				    char *words, size_t size)
{
	static const char *const spaces[] = {"memory", "I/O port", "PCI configuration space"};
	const u8 space = at[-GENERIC_ADDRESS_AT];

	(void)memory;
	if (value)
		snprintf(words, size, "%s, %u bits wide",
			 space < ARRAY_LEN(spaces) ? spaces[space] : "another address space",
			 at[1 - GENERIC_ADDRESS_AT]);
}

static const struct sheet_field fadt_fields[] = {
	{.name = "facs", .offset = 36, .bytes = 4, .meaning = "none: hardware-reduced"},
	{.name = "dsdt", .offset = 40, .bytes = 4, .meaning = "the DSDT, below 4 GiB"},
	{.name = "fixed_hardware",
	 .offset = 44,
	 .bytes = 65,
	 .meaning = "a PC's power registers; none"},
	{.name = "iapc_boot_arch", .offset = 109, .bytes = 2, .bits = boot_flags},
	{.name = "flags",
	 .offset = 112,
	 .bytes = 4,
	 .bits = fadt_flags,
	 .meaning = "(*_BUTTON: it isn't fixed hardware)"},
	{.name = "reset_reg",
	 .offset = 116 + GENERIC_ADDRESS_AT,
	 .bytes = 8,
	 .explain = explain_generic_address,
	 .meaning = "resets the machine"},
	{.name = "reset_value", .offset = 128, .bytes = 1, .meaning = "what to write there"},
	{.name = "arm_boot_arch", .offset = 129, .bytes = 2, .meaning = "not on x86"},
	{.name = "minor_version",
	 .offset = 131,
	 .bytes = 1,
	 .decimal = true,
	 .meaning = "with the revision, the ACPI version that it follows"},
	{.name = "x_facs", .offset = 132, .bytes = 8, .meaning = "none: hardware-reduced"},
	{.name = "x_dsdt", .offset = 140, .bytes = 8, .meaning = "the DSDT"},
	{.name = "x_fixed_hardware",
	 .offset = 148,
	 .bytes = 96,
	 .meaning = "a PC's power registers; none"},
	{.name = "sleep_control_reg",
	 .offset = 244 + GENERIC_ADDRESS_AT,
	 .bytes = 8,
	 .explain = explain_generic_address,
	 .meaning = "powers the machine off"},
	{.name = "sleep_status_reg",
	 .offset = 256 + GENERIC_ADDRESS_AT,
	 .bytes = 8,
	 .explain = explain_generic_address,
	 .meaning = "tells of a wake-up"},
	{.name = "hypervisor_vendor", .offset = 268, .bytes = 8, .meaning = ""},
};

static void show_fadt(struct sheet *sheet, const struct memory *memory, const struct table *fadt)
{
	if (!fadt || !fadt->bytes || fadt->length < FADT_BYTES) {
		sheet_none(sheet, "fadt");
		return;
	}
	sheet_open(sheet, "fadt", "FADT: power and reset");
	sheet_fields(sheet, memory, fadt->bytes, fadt_fields, ARRAY_LEN(fadt_fields));
	sheet_close(sheet);
}

/* ---- MADT */

enum { LOCAL_APIC = 0, IO_APIC = 1, OVERRIDE = 2, LOCAL_X2APIC = 9 };
/* The bytes that each type has at least, as they are read below. */
enum { LOCAL_APIC_BYTES = 8, IO_APIC_BYTES = 12, OVERRIDE_BYTES = 10, LOCAL_X2APIC_BYTES = 16 };

struct processor {
	u64 uid, id;
	bool enabled;
};

/* Whether it is a processor's entry; fills *processor. */
static bool is_processor(const u8 *at, struct processor *processor)
{
	if (at[0] == LOCAL_APIC && at[1] >= LOCAL_APIC_BYTES)
		*processor = (struct processor){at[2], at[3], at[4] & 1};
	else if (at[0] == LOCAL_X2APIC && at[1] >= LOCAL_X2APIC_BYTES)
		*processor = (struct processor){sheet_load(at + 12, 4), sheet_load(at + 4, 4),
						at[8] & 1};
	else
		return false;
	return true;
}

/* The entry after the one at `at`, or NULL at the end, or where the list is broken. */
static const u8 *next_entry(const struct table *madt, const u8 *at)
{
	const u8 *end = madt->bytes + madt->length;

	at = at ? at + at[1] : madt->bytes + MADT_ENTRIES;
	return end - at >= 2 && at[1] >= 2 && at[1] <= end - at ? at : NULL;
}

/* How many entries from `at` on are processors with consecutive numbers; *last is the last. */
static unsigned processors_from(const struct table *madt, const u8 **last)
{
	const u8 *at = *last;
	struct processor one, next;
	unsigned count = 1;

	if (!is_processor(at, &one))
		return 1;
	while ((at = next_entry(madt, at)) && is_processor(at, &next) && next.uid == one.uid + 1 &&
	       next.id == one.id + 1 && next.enabled == one.enabled) {
		one = next;
		*last = at;
		count++;
	}
	return count;
}

static void describe_entry(const u8 *first, const u8 *last, char *words, size_t size)
{
	struct processor one, other;

	if (first == last && is_processor(first, &one))
		snprintf(words, size, "processor %llu, APIC id %llu, %s",
			 (unsigned long long)one.uid, (unsigned long long)one.id,
			 one.enabled ? "enabled" : "disabled");
	else if (is_processor(first, &one) && is_processor(last, &other))
		snprintf(words, size, "processors %llu to %llu, APIC ids %llu to %llu, %s",
			 (unsigned long long)one.uid, (unsigned long long)other.uid,
			 (unsigned long long)one.id, (unsigned long long)other.id,
			 one.enabled ? "enabled" : "disabled");
	else if (first[0] == IO_APIC && first[1] >= IO_APIC_BYTES)
		snprintf(words, size, "id %u at 0x%llx, its first input is GSI %llu", first[2],
			 (unsigned long long)sheet_load(first + 4, 4),
			 (unsigned long long)sheet_load(first + 8, 4));
	else if (first[0] == OVERRIDE && first[1] >= OVERRIDE_BYTES)
		snprintf(words, size, "ISA interrupt %u is GSI %llu, flags 0x%llx", first[3],
			 (unsigned long long)sheet_load(first + 4, 4),
			 (unsigned long long)sheet_load(first + 8, 2));
	else
		snprintf(words, size, "%u bytes", first[1]);
}

static const char *entry_name(u8 type)
{
	switch (type) {
	case LOCAL_APIC:
		return "local APIC";
	case IO_APIC:
		return "I/O APIC";
	case OVERRIDE:
		return "override";
	case 4:
		return "local APIC NMI";
	case LOCAL_X2APIC:
		return "local x2APIC";
	default:
		return "other";
	}
}

static void show_madt(struct sheet *sheet, const struct table *madt)
{
	static const struct sheet_column columns[] = {{"type", SHEET_NUMBER, 4},
						      {"name", SHEET_TEXT, 14},
						      {"entries", SHEET_NUMBER, 7},
						      {"what", SHEET_TEXT, 0}};

	if (!madt || !madt->bytes || madt->length < MADT_ENTRIES) {
		sheet_none(sheet, "madt");
		return;
	}
	sheet_open(sheet, "madt", "MADT: processors and interrupt controllers");
	sheet_hex(sheet, "local_apic", sheet_load(madt->bytes + 36, 4), "each processor's own");
	sheet_hex(sheet, "flags", sheet_load(madt->bytes + 40, 4), "bit 0: there is an 8259 pair");
	sheet_open_table(sheet, "entries", NULL, columns, ARRAY_LEN(columns));
	for (const u8 *at = next_entry(madt, NULL), *last; at; at = next_entry(madt, last)) {
		char words[120];
		unsigned count;

		last = at;
		count = processors_from(madt, &last);
		describe_entry(at, last, words, sizeof(words));
		sheet_row(sheet, (const struct sheet_cell[]){{.number = at[0]},
							     {.text = entry_name(at[0])},
							     {.number = count},
							     {.text = words}});
	}
	sheet_close_table(sheet);
	sheet_close(sheet);
}

void dry_run_acpi(struct sheet *sheet, const struct boot_plan *plan)
{
	struct tables tables;

	collect(&tables, plan);
	sheet_open(sheet, "acpi", "ACPI tables");
	show_list(sheet, &tables);
	show_fadt(sheet, plan->map.memory, find(&tables, "FACP"));
	show_madt(sheet, find(&tables, "APIC"));
	sheet_close(sheet);
}

/* ---- the dump */

static int write_file(const char *path, const u8 *bytes, u64 count, struct error *err)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int result = 0;

	if (fd < 0)
		return error_set(err, "cannot write '%s': %s", path, strerror(errno));
	while (count > 0 && result == 0) {
		const ssize_t written = write(fd, bytes, count);

		if (written < 0 && errno != EINTR)
			result = error_set(err, "cannot write '%s': %s", path, strerror(errno));
		else if (written > 0) {
			bytes += written;
			count -= (u64)written;
		}
	}
	close(fd);
	return result;
}

/* dir/dsdt.dat; a second table of that name becomes dsdt2.dat. */
static int dump_table(const struct tables *tables, unsigned index, const char *dir,
		      struct error *err)
{
	const struct table *table = &tables->table[index];
	char path[4096], name[5] = "", number[12] = "";
	unsigned same = 1;
	int length;

	for (unsigned i = 0; i < index; i++)
		same += strcmp(tables->table[i].name, table->name) == 0;
	for (unsigned i = 0; i < 4; i++)
		name[i] = (char)tolower((unsigned char)table->name[i]);
	if (same > 1)
		snprintf(number, sizeof(number), "%u", same);
	length = snprintf(path, sizeof(path), "%s/%s%s.dat", dir, name, number);
	if (length < 0 || (size_t)length >= sizeof(path))
		return error_set(err, "the directory's name '%.60s...' is too long", dir);
	return write_file(path, table->bytes, table->length, err);
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
