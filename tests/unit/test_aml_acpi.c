/*
 * boot/aml.c and boot/acpi.c: the encoder against bytes worked out by hand from the specification,
 * the tables by their fields and check sums, and all of them by the reference disassembler, iasl,
 * which must have nothing to say about them.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "boot/acpi.h"
#include "boot/x86/layout.h"
#include "devices/power.h"
#include "tests/unit/support.h"
#include "vmm/board.h"
#include "vmm/machine.h"

#define ACPI_AT ((u64)0xe0000)

enum { ACPI_BYTES = 0x20000, FADT_BYTES = 276 };

static u32 get16(const u8 *at)
{
	return (u32)at[0] | (u32)at[1] << 8;
}

static u32 get32(const u8 *at)
{
	return get16(at) | get16(at + 2) << 16;
}

static u64 get64(const u8 *at)
{
	return get32(at) | (u64)get32(at + 4) << 32;
}

static u8 sum(const u8 *bytes, size_t count)
{
	u8 total = 0;

	while (count-- > 0)
		total = (u8)(total + *bytes++);
	return total;
}

static void assert_bytes(const struct aml *aml, const void *bytes, size_t count)
{
	assert_false(aml->full);
	assert_int_equal(aml->used, count);
	assert_memory_equal(aml->bytes, bytes, count);
}

#define ASSERT_AML(aml, literal) assert_bytes(aml, literal, sizeof(literal) - 1)

static void test_integers(void **state)
{
	static const struct {
		u64 value;
		const char *bytes;
		size_t count;
	} integers[] = {
		{0, "\x00", 1},
		{1, "\x01", 1},
		{2, "\x0a\x02", 2},
		{0xff, "\x0a\xff", 2},
		{0x100, "\x0b\x00\x01", 3},
		{0xffff, "\x0b\xff\xff", 3},
		{0x10000, "\x0c\x00\x00\x01\x00", 5},
		{0xffffffff, "\x0c\xff\xff\xff\xff", 5},
		{0x100000000, "\x0e\x00\x00\x00\x00\x01\x00\x00\x00", 9},
		{~(u64)0, "\x0e\xff\xff\xff\xff\xff\xff\xff\xff", 9},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(integers); i++) {
		u8 buffer[32];
		struct aml aml;

		aml_init(&aml, buffer, sizeof(buffer));
		aml_name_integer(&aml, "_UID", integers[i].value);
		assert_int_equal(aml.used, 5 + integers[i].count);
		assert_memory_equal(buffer, "\x08_UID", 5);
		assert_memory_equal(buffer + 5, integers[i].bytes, integers[i].count);
	}
}

/* PNP0501: P N P are 16, 14, 16 in five bits each: 0x41d0; then 0x0501; big-endian both. */
static void test_eisa_ids(void **state)
{
	u8 buffer[64];
	struct aml aml;

	(void)state;
	aml_init(&aml, buffer, sizeof(buffer));
	aml_name_eisa_id(&aml, "_HID", "PNP0501");
	ASSERT_AML(&aml, "\x08_HID\x0c\x41\xd0\x05\x01");
	aml_init(&aml, buffer, sizeof(buffer));
	aml_name_eisa_id(&aml, "_CID", "AZACDEF");
	/* 1, 26, 1: 0 00001 11010 00001 */
	ASSERT_AML(&aml, "\x08_CID\x0c\x07\x41\xcd\xef");
}

/* A PkgLength counts itself: three bytes, 0x80 | low nibble, then the next two bytes. */
static void test_scopes_and_devices(void **state)
{
	u8 buffer[64];
	struct aml aml;
	size_t scope, device;

	(void)state;
	aml_init(&aml, buffer, sizeof(buffer));
	scope = aml_open(&aml, AML_SCOPE, "\\_SB_");
	device = aml_open(&aml, AML_DEVICE, "COM1");
	aml_name_integer(&aml, "_UID", 0);
	aml_close(&aml, device);
	aml_close(&aml, scope);
	ASSERT_AML(&aml, "\x10\x87\x01\x00\\_SB_"
			 "\x5b\x82\x8d\x00\x00"
			 "COM1"
			 "\x08_UID\x00");
}

static void test_long_packages(void **state)
{
	static u8 buffer[0x21000];
	static const u8 zeros[0x20000];
	struct aml aml;
	size_t scope;

	(void)state;
	aml_init(&aml, buffer, sizeof(buffer));
	scope = aml_open(&aml, AML_SCOPE, "ABCD");
	aml_put(&aml, zeros, 0x12345 - 7);
	aml_close(&aml, scope);
	assert_int_equal(aml.used, 1 + 0x12345);
	assert_memory_equal(buffer,
			    "\x10\x85\x34\x12"
			    "ABCD",
			    8);
}

static void test_packages(void **state)
{
	static const u64 s5[] = {5, 0, 0, 0};
	u8 buffer[64];
	struct aml aml;

	(void)state;
	aml_init(&aml, buffer, sizeof(buffer));
	aml_package(&aml, "_S5_", s5, 4);
	ASSERT_AML(&aml, "\x08_S5_\x12\x89\x00\x00\x04\x0a\x05\x00\x00\x00");
}

/* ACPI 6.5, 6.4.3.4 and 6.4.3.5. */
static void test_windows(void **state)
{
	u8 buffer[128];
	struct aml aml;

	(void)state;
	aml_init(&aml, buffer, sizeof(buffer));
	aml_memory(&aml, 0xe0000000, 0x100000);
	ASSERT_AML(&aml, "\x86\x09\x00\x01\x00\x00\x00\xe0\x00\x00\x10\x00");
	aml_init(&aml, buffer, sizeof(buffer));
	aml_window(&aml, AML_WINDOW_MEMORY, 0xc0000000, 0x20000000);
	ASSERT_AML(&aml, "\x87\x17\x00\x00\x0c\x01\x00\x00\x00\x00\x00\x00\x00\xc0"
			 "\xff\xff\xff\xdf\x00\x00\x00\x00\x00\x00\x00\x20");
	aml_init(&aml, buffer, sizeof(buffer));
	aml_window(&aml, AML_WINDOW_IO, 0x1000, 0xf000);
	ASSERT_AML(&aml, "\x88\x0d\x00\x01\x0c\x03\x00\x00\x00\x10\xff\xff\x00\x00\x00\xf0");
	aml_init(&aml, buffer, sizeof(buffer));
	aml_window(&aml, AML_WINDOW_BUS, 0, 1);
	ASSERT_AML(&aml, "\x88\x0d\x00\x02\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00");
}

static void test_resources(void **state)
{
	u8 buffer[64];
	struct aml aml;
	size_t resources;

	(void)state;
	aml_init(&aml, buffer, sizeof(buffer));
	resources = aml_open_resources(&aml);
	aml_io(&aml, 0x3f8, 8);
	aml_interrupt_edge(&aml, 0x01020304);
	aml_close_resources(&aml, resources);
	ASSERT_AML(&aml, "\x08_CRS\x11\x89\x01\x00\x0b\x13\x00"
			 "\x47\x01\xf8\x03\xf8\x03\x01\x08"
			 "\x89\x06\x00\x03\x01\x04\x03\x02\x01"
			 "\x79\x00");
}

static void test_texts_and_methods(void **state)
{
	u8 buffer[64];
	struct aml aml;
	size_t method;

	(void)state;
	aml_init(&aml, buffer, sizeof(buffer));
	aml_name_text(&aml, "_HID", "ACPI0013");
	method = aml_open_method(&aml, "_EVT", 1);
	aml_notify(&aml, "PWRB", 0x80);
	aml_close(&aml, method);
	ASSERT_AML(&aml, "\x08_HID\x0d"
			 "ACPI0013\x00"
			 "\x14\x8f\x00\x00_EVT\x09"
			 "\x86PWRB\x0a\x80");
}

/* Whatever the room: nothing is written behind it, and `full` says that something is missing. */
static void write_everything(struct aml *aml)
{
	static const u64 values[] = {0, 300, 70000};
	size_t scope, device, resources;

	scope = aml_open(aml, AML_SCOPE, "\\_SB_");
	device = aml_open(aml, AML_DEVICE, "COM1");
	aml_name_eisa_id(aml, "_HID", "PNP0501");
	aml_name_integer(aml, "_UID", (u64)1 << 40);
	aml_package(aml, "ABCD", values, 3);
	resources = aml_open_resources(aml);
	aml_io(aml, 0x3f8, 8);
	aml_interrupt_edge(aml, 4);
	aml_close_resources(aml, resources);
	aml_close(aml, device);
	aml_close(aml, scope);
}

static void test_a_buffer_that_is_too_small(void **state)
{
	u8 whole[256], buffer[256];
	struct aml aml;
	size_t needed;

	(void)state;
	aml_init(&aml, whole, sizeof(whole));
	write_everything(&aml);
	assert_false(aml.full);
	needed = aml.used;
	for (size_t size = 0; size < sizeof(buffer); size++) {
		memset(buffer, 0xa5, sizeof(buffer));
		aml_init(&aml, buffer, size);
		write_everything(&aml);
		assert_int_equal(aml.full, size < needed);
		assert_true(aml.used <= size);
		for (size_t i = aml.used; i < sizeof(buffer); i++)
			assert_int_equal(buffer[i], 0xa5);
	}
	assert_memory_equal(buffer, whole, needed);
}

/* The tables, as the board makes them, in guest memory of 1 MiB. */
struct world {
	struct arena arena;
	struct place_map map;
	struct board board;
	struct machine machine;
	struct config config;
	u8 *host; /* of guest address 0 */
};

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){.host = NULL};
	arena_make(&world.arena, MIB, 0);
	world.map.memory = &world.arena.memory;
	world.host = world.arena.memory.region[0].host;
	world.machine.config = &world.config;
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	arena_free(&world->arena);
	return 0;
}

static void place(struct world *world, unsigned cpus)
{
	struct acpi_machine acpi;
	struct error err = {.text = ""};

	world->config.cpus = cpus;
	world->map.places = 0;
	memset(world->host + ACPI_AT, 0, ACPI_BYTES);
	acpi = board_acpi(&world->board, &world->machine);
	assert_int_equal(acpi_place(&world->map, ACPI_AT, ACPI_BYTES, &acpi, &err), 0);
}

/* The table at gpa, once it is one: inside the ACPI area, of this signature, adding up to 0. */
static const u8 *table_at(struct world *world, u64 gpa, const char *signature)
{
	const u8 *table = world->host + gpa;

	assert_in_range(gpa, ACPI_AT + 36, ACPI_AT + ACPI_BYTES - 36);
	assert_int_equal(gpa % 16, 0);
	assert_memory_equal(table, signature, 4);
	assert_true(get32(table + 4) >= 36 && gpa + get32(table + 4) <= ACPI_AT + ACPI_BYTES);
	assert_int_equal(sum(table, get32(table + 4)), 0);
	assert_memory_equal(table + 10, "BANTAM", 6);
	return table;
}

static const u8 *xsdt_of(struct world *world)
{
	return table_at(world, get64(world->host + ACPI_AT + 24), "XSDT");
}

static const u8 *fadt_of(struct world *world)
{
	return table_at(world, get64(xsdt_of(world) + 36), "FACP");
}

static const u8 *madt_of(struct world *world)
{
	return table_at(world, get64(xsdt_of(world) + 44), "APIC");
}

static void test_root_pointer(void **state)
{
	struct world *world = *state;
	const u8 *rsdp = world->host + ACPI_AT;

	place(world, 1);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(rsdp[15], 2);
	assert_int_equal(get32(rsdp + 16), 0); /* no RSDT */
	assert_int_equal(get32(rsdp + 20), 36);
	assert_int_equal(sum(rsdp, 36), 0);
	assert_int_equal(rsdp[33] | rsdp[34] | rsdp[35], 0);
}

static void test_links(void **state)
{
	struct world *world = *state;
	const u8 *fadt;

	place(world, 3);
	assert_int_equal(get32(xsdt_of(world) + 4), 36 + 3 * 8);
	fadt = fadt_of(world);
	(void)madt_of(world);
	assert_int_equal(get32(fadt + 40), get64(fadt + 140));
	(void)table_at(world, get64(fadt + 140), "DSDT");
}

/* One segment, one bus. PCI Firmware 3.3, 4.1.2. */
static void test_mcfg(void **state)
{
	struct world *world = *state;
	const u8 *mcfg;

	place(world, 1);
	mcfg = table_at(world, get64(xsdt_of(world) + 36 + 2 * 8), "MCFG");
	assert_int_equal(get32(mcfg + 4), 36 + 8 + 16);
	assert_int_equal(get64(mcfg + 44), LAYOUT_ECAM);
	assert_int_equal(get32(mcfg + 52), 0);
	assert_int_equal(get32(mcfg + 56), 0);
}

/* A generic address: system I/O, 8 bits wide, byte access. */
static void assert_io_register(const u8 *at, u64 port)
{
	assert_int_equal(at[0], 1);
	assert_int_equal(at[1], 8);
	assert_int_equal(at[2], 0);
	assert_int_equal(at[3], 1);
	assert_int_equal(get64(at + 4), port);
}

static void test_fadt(void **state)
{
	struct world *world = *state;
	const u8 *fadt;
	u32 flags, boot_flags;

	place(world, 1);
	fadt = fadt_of(world);
	assert_int_equal(get32(fadt + 4), FADT_BYTES);
	assert_int_equal(fadt[8], 6);   /* major */
	assert_int_equal(fadt[131], 5); /* and minor version */
	boot_flags = get16(fadt + 109);
	assert_int_equal(boot_flags & 0x03, 0);    /* no legacy devices, no 8042 */
	assert_int_equal(boot_flags & 0x20, 0x20); /* no CMOS clock */
	flags = get32(fadt + 112);
	assert_int_equal(flags & 1U << 20, 1U << 20); /* hardware-reduced */
	assert_int_equal(flags & 1U << 10, 1U << 10); /* the reset register is there */
	assert_int_equal(flags & 3U << 4, 3U << 4);   /* no fixed buttons */
	assert_int_equal(flags & 1, 1);
	assert_io_register(fadt + 116, 0x602);
	assert_int_equal(fadt[128], POWER_RESET_VALUE);
	assert_io_register(fadt + 244, 0x600);
	assert_io_register(fadt + 256, 0x601);
	/* No fixed hardware: no FACS, and all of its registers are absent. */
	assert_int_equal(get32(fadt + 36), 0);
	assert_int_equal(get64(fadt + 132), 0);
	for (unsigned i = 46; i < 109; i++)
		assert_int_equal(fadt[i], 0);
	for (unsigned i = 148; i < 244; i++)
		assert_int_equal(fadt[i], 0);
}

static void test_madt(void **state)
{
	struct world *world = *state;

	for (unsigned cpus = 1; cpus <= 254; cpus++) {
		const u8 *madt, *at;

		place(world, cpus);
		madt = madt_of(world);
		assert_int_equal(get32(madt + 4), 44 + 8 * cpus + 12 + 10);
		assert_int_equal(get32(madt + 36), 0xfee00000);
		assert_int_equal(get32(madt + 40), 0); /* no dual 8259 */
		at = madt + 44;
		for (unsigned i = 0; i < cpus; i++, at += 8) {
			assert_int_equal(at[0], 0);
			assert_int_equal(at[1], 8);
			assert_int_equal(at[2], i);
			assert_int_equal(at[3], i);
			assert_int_equal(get32(at + 4), 1);
		}
		assert_memory_equal(at, "\x01\x0c\x00\x00\x00\x00\xc0\xfe\x00\x00\x00\x00", 12);
		at += 12;
		assert_memory_equal(at, "\x02\x0a\x00\x00\x02\x00\x00\x00\x00\x00", 10);
	}
}

static void test_dsdt(void **state)
{
	static const char s5[] = "\x08_S5_\x12\x89\x00\x00\x04\x0a\x05\x00\x00\x00";
	struct world *world = *state;
	const u8 *dsdt;

	place(world, 1);
	dsdt = table_at(world, get64(fadt_of(world) + 140), "DSDT");
	assert_int_equal(dsdt[8], 2); /* integers have 64 bits */
	assert_memory_equal(dsdt + 36, s5, sizeof(s5) - 1);
	assert_memory_equal(dsdt + 36 + sizeof(s5) - 1, "\x10", 1);
	/* The scope reaches exactly to the table's end. */
	assert_int_equal((dsdt[52] & 0xf) | dsdt[53] << 4 | dsdt[54] << 12, get32(dsdt + 4) - 52);
}

static void test_tables_do_not_overlap(void **state)
{
	struct world *world = *state;
	u64 at[4], end[4];

	place(world, 254);
	at[0] = get64(world->host + ACPI_AT + 24);
	at[1] = get64(xsdt_of(world) + 36);
	at[2] = get64(xsdt_of(world) + 44);
	at[3] = get64(fadt_of(world) + 140);
	for (unsigned i = 0; i < 4; i++)
		end[i] = at[i] + get32(world->host + at[i] + 4);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned other = 0; other < 4; other++)
			assert_true(i == other || end[i] <= at[other] || end[other] <= at[i]);
	}
}

static void describe_nothing(void *owner, struct aml *aml)
{
	(void)owner, (void)aml;
}

static void describe_too_much(void *owner, struct aml *aml)
{
	static const u8 zeros[4096];

	(void)owner;
	for (unsigned i = 0; i < 64; i++)
		aml_put(aml, zeros, sizeof(zeros));
}

/* From no room to enough of it: an error in words, or tables; never a byte behind the room. */
static void test_a_room_that_is_too_small(void **state)
{
	struct world *world = *state;
	const struct acpi_machine acpi = {.cpus = 254, .describe_devices = describe_nothing};
	u64 needed = 0;

	for (u64 bytes = 1; bytes < 4096; bytes++) {
		struct error err = {.text = ""};
		u8 *behind = world->host + ACPI_AT + bytes;

		memset(world->host + ACPI_AT, 0xa5, 8192);
		world->map.places = 0;
		if (acpi_place(&world->map, ACPI_AT, bytes, &acpi, &err) == 0)
			needed = needed ? needed : bytes;
		else
			assert_says(err.text, "don't fit");
		assert_int_equal(*behind, 0xa5);
		assert_memory_equal(behind, behind + 1, 4000);
	}
	assert_in_range(needed, 44 + 254 * 8 + FADT_BYTES, 3000);
}

static void test_devices_that_are_too_many(void **state)
{
	struct world *world = *state;
	const struct acpi_machine acpi = {.cpus = 1, .describe_devices = describe_too_much};
	struct error err = {.text = ""};

	assert_int_equal(acpi_place(&world->map, ACPI_AT, ACPI_BYTES, &acpi, &err), -1);
	assert_says(err.text, "don't fit into 128 KiB");
}

/* iasl -d must take each table without a word of warning, and find in it what was meant. */
static void disassemble(const char *directory, const char *name, const u8 *table,
			const char *expected)
{
	static char text[1 << 20];
	char path[128], command[400];
	size_t count;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.aml", directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(table, 1, get32(table + 4), file), get32(table + 4));
	assert_int_equal(fclose(file), 0);
	snprintf(command, sizeof(command), "iasl -d '%s' 2>&1 && cat '%s/%s.dsl'", path, directory,
		 name);
	file = popen(command, "r");
	assert_non_null(file);
	count = fread(text, 1, sizeof(text) - 1, file);
	text[count] = '\0';
	assert_int_equal(pclose(file), 0);
	if (strcasestr(text, "warning") || strcasestr(text, "error") ||
	    strcasestr(text, "invalid") || strcasestr(text, "incorrect") ||
	    strcasestr(text, "**** "))
		fail_msg("iasl complains about %s:\n%s", name, text);
	assert_says(text, expected);
}

static void test_the_reference_disassembler(void **state)
{
	static const unsigned cpus[] = {1, 254};
	struct world *world = *state;
	char directory[] = "/tmp/bantam-test-XXXXXX", command[64];

	if (system("command -v iasl >/dev/null") != 0)
		SKIP("iasl isn't installed (Debian: acpica-tools)");
	assert_non_null(mkdtemp(directory));
	for (size_t i = 0; i < ARRAY_LEN(cpus); i++) {
		place(world, cpus[i]);
		disassemble(directory, "fadt", fadt_of(world), "Hardware Reduced (V5) : 1");
		disassemble(directory, "madt", madt_of(world),
			    cpus[i] == 1 ? "Local Apic ID : 00" : "Local Apic ID : FD");
		disassemble(directory, "xsdt", xsdt_of(world), "ACPI Table Address   1");
		disassemble(directory, "dsdt", table_at(world, get64(fadt_of(world) + 140), "DSDT"),
			    "EisaId (\"PNP0501\")");
	}
	snprintf(command, sizeof(command), "rm -r '%s'", directory);
	assert_int_equal(system(command), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_eisa_ids),
		cmocka_unit_test(test_scopes_and_devices),
		cmocka_unit_test(test_long_packages),
		cmocka_unit_test(test_packages),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_texts_and_methods),
		cmocka_unit_test(test_a_buffer_that_is_too_small),
		TEST(test_root_pointer),
		TEST(test_links),
		TEST(test_mcfg),
		TEST(test_fadt),
		TEST(test_madt),
		TEST(test_dsdt),
		TEST(test_tables_do_not_overlap),
		TEST(test_a_room_that_is_too_small),
		TEST(test_devices_that_are_too_many),
		TEST(test_the_reference_disassembler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
