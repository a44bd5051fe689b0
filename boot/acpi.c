/*
 * ACPI tables: see acpi.h.
 */
#include "boot/acpi.h"

#include <string.h>

/* FADT flags: ACPI 6.5, table 5.10. */
enum {
	FADT_WBINVD = 1 << 0,
	FADT_POWER_BUTTON_IS_DEVICE = 1 << 4, /* no fixed power button … */
	FADT_SLEEP_BUTTON_IS_DEVICE = 1 << 5, /* … and no sleep button */
	FADT_RESET_REGISTER = 1 << 10,
	FADT_HARDWARE_REDUCED = 1 << 20,
};

/* FADT boot flags, table 5.11. No 8042, no legacy devices: those bits are 0. */
enum { BOOT_NO_VGA = 1 << 2, BOOT_NO_CMOS_CLOCK = 1 << 5 };

enum { SPACE_IO = 1, ACCESS_BYTE = 1 };

enum {
	FADT_REVISION = 6,
	MADT_REVISION = 5,
	DSDT_REVISION = 2,
	XSDT_REVISION = 1,
	MCFG_REVISION = 1,
};
enum { TABLE_ALIGN = 16, XSDT_ENTRIES = 3 };

struct generic_address {
	u8 space;
	u8 bits;
	u8 bit_offset;
	u8 access;
	u64 address;
} PACKED;

struct rsdp {
	char signature[8];
	u8 checksum; /* of the first 20 bytes */
	char oem_id[6];
	u8 revision;
	u32 rsdt_address;
	u32 length;
	u64 xsdt_address;
	u8 extended_checksum;
	u8 reserved[3];
} PACKED;

/*
 * The tables' content behind their headers. What a hardware-reduced machine leaves 0 is here in
 * groups, by what it would be.
 */
struct fadt {
	u32 facs;
	u32 dsdt;
	u8 fixed_hardware_1[65];
	u16 boot_flags;
	u8 reserved;
	u32 flags;
	struct generic_address reset_register;
	u8 reset_value;
	u16 arm_boot_flags;
	u8 minor_revision;
	u64 x_facs;
	u64 x_dsdt;
	struct generic_address fixed_hardware_2[8];
	struct generic_address sleep_control;
	struct generic_address sleep_status;
	u64 hypervisor_vendor;
} PACKED;

/* PCI Firmware Specification 3.3, table 4-2 and 4-3: one range of buses, and it has one bus. */
struct mcfg {
	u64 reserved;
	u64 base;
	u16 segment;
	u8 first_bus, last_bus;
	u32 reserved_2;
} PACKED;

_Static_assert(sizeof(struct acpi_header) == ACPI_HEADER_BYTES, "ACPI 6.5, table 5.4");
_Static_assert(offsetof(struct fadt, boot_flags) == 109 - ACPI_HEADER_BYTES, "ACPI 6.5, table 5.9");
_Static_assert(offsetof(struct fadt, x_dsdt) == 140 - ACPI_HEADER_BYTES, "ACPI 6.5, table 5.9");
_Static_assert(sizeof(struct fadt) == 276 - ACPI_HEADER_BYTES, "ACPI 6.5, table 5.9");

/* The tables under construction: a piece of guest memory that fills up, each with its own place. */
struct tables {
	struct place_map *map;
	u8 *host;
	u64 gpa;
	u64 bytes;
	u64 used;
	bool full; /* one of them did not fit */
};

static u8 checksum(const void *bytes, size_t count)
{
	const u8 *at = bytes;
	u8 sum = 0;

	while (count-- > 0)
		sum = (u8)(sum + *at++);
	return (u8)-sum;
}

/* Starts a table at the next aligned address; the writer ends where the room does. */
static void table_open(struct tables *tables, struct aml *writer)
{
	static const struct acpi_header room;

	tables->used = align_up(tables->used, TABLE_ALIGN);
	if (tables->used > tables->bytes)
		tables->used = tables->bytes;
	aml_init(writer, tables->host + tables->used, (size_t)(tables->bytes - tables->used));
	aml_put(writer, &room, sizeof(room));
}

/*
 * Fills in the header of a finished table and takes its place. name: "ACPI " and the signature.
 * Returns the table's address.
 */
static u64 table_close(struct tables *tables, const struct aml *writer, const char *name,
		       u8 revision)
{
	struct acpi_header header = {
		.length = (u32)writer->used,
		.revision = revision,
		.oem_id = {'B', 'A', 'N', 'T', 'A', 'M'},
		.oem_table_id = {'B', 'A', 'N', 'T', 'A', 'M', 'V', 'M'},
		.oem_revision = 1,
		.creator_id = {'B', 'N', 'T', 'M'},
		.creator_revision = 1,
	};
	const u64 gpa = tables->gpa + tables->used;
	struct error err;

	if (writer->full || !place_at(tables->map, name, gpa, writer->used, &err)) {
		tables->full = true;
		return 0;
	}
	memcpy(header.signature, name + strlen(ACPI_PLACE), sizeof(header.signature));
	memcpy(writer->bytes, &header, sizeof(header));
	header.checksum = checksum(writer->bytes, writer->used);
	memcpy(writer->bytes, &header, sizeof(header));
	tables->used += writer->used;
	return gpa;
}

/* A table whose content is plain. */
static u64 table_add(struct tables *tables, const void *content, size_t bytes, const char *name,
		     u8 revision)
{
	struct aml writer;

	table_open(tables, &writer);
	aml_put(&writer, content, bytes);
	return table_close(tables, &writer, name, revision);
}

static u64 add_dsdt(struct tables *tables, const struct acpi_machine *machine)
{
	const u64 s5[] = {machine->s5_type, 0, 0, 0};
	struct aml writer;
	size_t scope;

	table_open(tables, &writer);
	aml_package(&writer, "_S5_", s5, ARRAY_LEN(s5));
	scope = aml_open(&writer, AML_SCOPE, "\\_SB_");
	machine->describe_devices(machine->owner, &writer);
	aml_close(&writer, scope);
	return table_close(tables, &writer, ACPI_PLACE "DSDT", DSDT_REVISION);
}

static struct generic_address io_register(u16 port)
{
	return (struct generic_address){
		.space = SPACE_IO, .bits = 8, .access = ACCESS_BYTE, .address = port};
}

static u64 add_fadt(struct tables *tables, const struct acpi_machine *machine, u64 dsdt)
{
	const struct fadt fadt = {
		.dsdt = (u32)dsdt,
		.x_dsdt = dsdt,
		.boot_flags = BOOT_NO_VGA | BOOT_NO_CMOS_CLOCK,
		.flags = FADT_WBINVD | FADT_POWER_BUTTON_IS_DEVICE | FADT_SLEEP_BUTTON_IS_DEVICE |
			 FADT_RESET_REGISTER | FADT_HARDWARE_REDUCED,
		.reset_register = io_register(machine->reset_port),
		.reset_value = machine->reset_value,
		.minor_revision = 5,
		.sleep_control = io_register(machine->sleep_control_port),
		.sleep_status = io_register(machine->sleep_status_port),
	};

	return table_add(tables, &fadt, sizeof(fadt), ACPI_PLACE "FACP", FADT_REVISION);
}

static u64 add_madt(struct tables *tables, unsigned cpus)
{
	struct aml writer;

	table_open(tables, &writer);
	acpi_madt_body(&writer, cpus);
	return table_close(tables, &writer, ACPI_PLACE "APIC", MADT_REVISION);
}

static u64 add_mcfg(struct tables *tables, u64 ecam_base)
{
	const struct mcfg mcfg = {.base = ecam_base};

	return table_add(tables, &mcfg, sizeof(mcfg), ACPI_PLACE "MCFG", MCFG_REVISION);
}

static void write_rsdp(u8 *host, u64 xsdt)
{
	struct rsdp rsdp = {
		.signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
		.oem_id = {'B', 'A', 'N', 'T', 'A', 'M'},
		.revision = 2,
		.length = sizeof(rsdp),
		.xsdt_address = xsdt,
	};

	rsdp.checksum = checksum(&rsdp, offsetof(struct rsdp, length));
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	memcpy(host, &rsdp, sizeof(rsdp));
}

int acpi_place(struct place_map *map, u64 at, u64 bytes, const struct acpi_machine *machine,
	       struct error *err)
{
	struct tables tables = {.map = map, .gpa = at, .bytes = bytes, .used = sizeof(struct rsdp)};
	u64 entry[XSDT_ENTRIES] = {0};
	const size_t entries = machine->ecam_base ? XSDT_ENTRIES : XSDT_ENTRIES - 1;
	u64 dsdt, xsdt_gpa;

	tables.host = memory_at(map->memory, at, bytes);
	if (!tables.host || !place_at(map, ACPI_PLACE "RSDP", at, sizeof(struct rsdp), err))
		return error_set(err, "there is no room for the ACPI tables");
	dsdt = add_dsdt(&tables, machine);
	entry[0] = add_fadt(&tables, machine, dsdt);
	entry[1] = add_madt(&tables, machine->cpus);
	if (machine->ecam_base)
		entry[2] = add_mcfg(&tables, machine->ecam_base);
	xsdt_gpa = table_add(&tables, entry, entries * sizeof(entry[0]), ACPI_PLACE "XSDT",
			     XSDT_REVISION);
	if (tables.full)
		return error_set(err, "the ACPI tables don't fit into %llu KiB", bytes / KIB);
	write_rsdp(tables.host, xsdt_gpa);
	return 0;
}
