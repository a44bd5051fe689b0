/*
 * vmm/dry_run*.c: what is shown of images made by hand, loaded into ordinary memory by boot_load();
 * and of memory that somebody has broken afterwards, which must end in words and not in a crash.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "boot/x86/layout.h"
#include "tests/unit/support.h"
#include "vmm/board.h"
#include "vmm/dry_run.h"
#include "vmm/machine.h"
#include "vmm/sheet.h"

enum { LOW_BYTES = 16 * 1024 * 1024, HIGH_BYTES = 2 * 1024 * 1024 };

/* A machine that was loaded, and the text that is shown of it. */
struct shown {
	struct arena arena;
	struct temp_file kernel, initrd;
	struct boot_plan plan;
	struct cpuid cpuid;
	struct dry_run_input input;
	char *text;
	size_t bytes;
};

static void no_devices(void *owner, struct aml *aml)
{
	(void)owner;
	(void)aml;
}

/* A board of one virtio-mmio device, and what of its machine is shown. */
static struct virtio_device virtio0 = {.name = "virtio0"};
static struct virtio_slot slot = {.device = &virtio0, .mmio.gsi = 5};
static struct config config = {
	.kernel = "the kernel's path", .initrd = "the initrd's path", .transport = TRANSPORT_MMIO};
static struct board board;
static struct machine machine = {
	.config = &config,
	.board = &board,
	.pio = {.range = {{.base = 0x3f8, .bytes = 8, .name = "serial0"},
			  {.base = 0x600, .bytes = 3, .name = "power"}},
		.ranges = 2},
	.mmio = {.range = {{.base = 0xd0000000, .bytes = 0x1000, .name = "virtio0"}}, .ranges = 1},
};

static void load(struct shown *shown, const void *image, size_t bytes, enum boot_protocol protocol,
		 unsigned cpus)
{
	struct boot_request request = {
		.cmdline = "console=ttyS0 quiet",
		.protocol = protocol,
		.acpi = {.cpus = cpus,
			 .sleep_control_port = 0x600,
			 .sleep_status_port = 0x601,
			 .reset_port = 0x602,
			 .reset_value = 1,
			 .s5_type = 5,
			 .describe_devices = no_devices},
	};
	struct error err = {.text = ""};

	*shown = (struct shown){.text = NULL};
	arena_make(&shown->arena, LOW_BYTES, HIGH_BYTES);
	temp_file_make(&shown->kernel, image, bytes);
	temp_file_make(&shown->initrd, "an initrd", 9);
	request.kernel = shown->kernel.path;
	request.initrd = shown->initrd.path;
	if (boot_load(&request, &shown->arena.memory, &shown->plan, &err))
		fail_msg("%s", err.text);
	config.cpus = cpus;
	board.virtio = (struct virtio_board){.machine = &machine, .slot = &slot, .slots = 1};
	shown->input = (struct dry_run_input){.machine = &machine,
					      .plan = &shown->plan,
					      .cpuid_missing = "/dev/kvm is not there"};
}

static void load_bzimage(struct shown *shown)
{
	union bzimage image;

	bzimage_make(&image);
	load(shown, &image, sizeof(image), BOOT_AUTO, 4);
}

static void load_pvh(struct shown *shown)
{
	struct elf64_image image;

	elf64_make(&image);
	load(shown, &image, sizeof(image), BOOT_AUTO, 1);
}

/* Shows it (anew). */
static const char *show(struct shown *shown, bool as_json)
{
	struct error err = {.text = ""};
	FILE *out;

	free(shown->text);
	shown->text = NULL;
	out = open_memstream(&shown->text, &shown->bytes);
	assert_non_null(out);
	assert_int_equal(dry_run(&shown->input, out, as_json, &err), 0);
	fclose(out);
	return shown->text;
}

static void unload(struct shown *shown)
{
	free(shown->text);
	temp_file_free(&shown->kernel);
	temp_file_free(&shown->initrd);
	arena_free(&shown->arena);
}

/* Guest memory at gpa, to read or to break. */
static u8 *at(struct shown *shown, u64 gpa)
{
	u8 *host = memory_at(&shown->arena.memory, gpa, 8);

	assert_non_null(host);
	return host;
}

static void put64(struct shown *shown, u64 gpa, u64 value)
{
	memcpy(at(shown, gpa), &value, sizeof(value));
}

static void assert_silent(const char *text, const char *words)
{
	if (strstr(text, words))
		fail_msg("\"%s\" says \"%s\"", text, words);
}

/* ---- what is shown */

static void test_a_bzimage(void **state)
{
	struct shown shown;
	const char *text;

	(void)state;
	load_bzimage(&shown);
	text = show(&shown, false);
	assert_says(text, "  memory_bytes           18 MiB\n");
	assert_says(text, "  file                   the kernel's path\n");
	assert_says(text, "5.4.3-test (someone) #1 SMP\n");
	assert_says(text, "  setup_sects              0x1f1   1             real-mode code: ");
	assert_says(text, "  version                  0x206   0x20f         of the boot protocol");
	assert_says(text, "  type_of_loader           0x210   0xff ");
	assert_says(text, "  loadflags                0x211   0x1           LOADED_HIGH\n");
	assert_says(text, "  xloadflags               0x236   0x1           KERNEL_64\n");
	assert_says(text, "  cmd_line_ptr             0x228   0x20000       console=ttyS0 quiet\n");
	assert_says(text, "  ramdisk_image            0x218   0xfff000 ");
	assert_says(text, "  ramdisk_size             0x21c   9 bytes       the initrd's length\n");
	assert_says(text, "  pref_address             0x258   0x100000 ");
	assert_says(text, "  init_size                0x260   64 KiB ");
	assert_says(text, "  screen_info              0x0     zero ");
	assert_says(text, "  acpi_rsdp_addr           0x70    0xe0000 ");
	assert_silent(text, "\nhvm_start_info: ");
	unload(&shown);
}

static void test_the_state_at_a_64_bit_entry(void **state)
{
	struct shown shown;
	const char *text;

	(void)state;
	load_bzimage(&shown);
	text = show(&shown, false);
	assert_says(text, "  rip                      0x80    0x100200 ");
	assert_says(text, "  rsi                      0x20    0x7000        boot_params");
	assert_says(text, "  cs.selector              0xc     0x10\n");
	assert_says(text, "  cs.l                     0x13    0x1           1: 64-bit code\n");
	assert_says(text, "  cr0                      0xe0    0x80000011    PE,ET,PG\n");
	assert_says(text, "  efer                     0x108   0x500         LME,LMA\n");
	unload(&shown);
}

static void test_a_pvh_kernel(void **state)
{
	struct shown shown;
	const char *text;

	(void)state;
	load_pvh(&shown);
	text = show(&shown, false);
	assert_says(text, "  magic                    0x0     0x336ec578 ");
	assert_says(text, "  nr_modules               0xc     1 ");
	assert_says(text, "  cmdline_paddr            0x18    0x20000       console=ttyS0 quiet\n");
	assert_says(text, "  paddr                    0x0     0xfff000\n");
	assert_says(text, "  size                     0x8     9 bytes\n");
	assert_says(text, "  rbx                      0x8     0x6000        hvm_start_info");
	assert_says(text, "  cr0                      0xe0    0x11          PE,ET\n");
	assert_says(text, "  cs.db                    0x11    0x1           1: 32-bit code\n");
	assert_says(text, "  entry                  0x100080\n");
	assert_silent(text, "setup_sects");
	unload(&shown);
}

static void test_the_memory_map_has_every_address_once(void **state)
{
	struct shown shown;
	unsigned long long first, last, next = 0;
	unsigned rows = 0;
	const char *line;

	(void)state;
	load_bzimage(&shown);
	line = strstr(show(&shown, false), "\nmemory_map: ");
	assert_non_null(line);
	line = strchr(strchr(line + 1, '\n') + 1, '\n') + 1;
	for (; *line && *line != '\n'; line = strchr(line, '\n') + 1) {
		if (sscanf(line, "  0x%llx  0x%llx ", &first, &last) != 2)
			continue; /* a wrapped line */
		assert_true(first == next && last >= first);
		next = last + 1;
		rows++;
	}
	assert_true(next == 4 * GIB + HIGH_BYTES);
	assert_true(rows > 15);
	assert_says(shown.text, "  0xfff000     0xfff008     9 bytes         placed  initrd ");
	assert_says(shown.text, "  0x1000000    0xcfffffff   3312 MiB        hole    - ");
	assert_says(shown.text, "  0xd0000000   0xd0000fff   4 KiB           device  virtio0 ");
	assert_says(shown.text,
		    "  0x100000000  0x1001fffff  2 MiB           ram     -               free\n");
	unload(&shown);
}

/* Whatever boot/ places has a reason. */
static void test_the_memory_map_has_a_reason_for_every_place(void **state)
{
	struct shown shown;
	const char *line;

	(void)state;
	load_bzimage(&shown);
	show(&shown, true);
	for (line = shown.text; (line = strstr(line, "\"placed\"")); line++)
		assert_true(strstr(line, "\"why\": \"\"") == NULL ||
			    strstr(line, "\"why\": \"\"") > strchr(line, '}'));
	unload(&shown);
}

static void test_e820_acpi_and_devices(void **state)
{
	struct shown shown;
	const char *text;

	(void)state;
	load_bzimage(&shown);
	text = show(&shown, false);
	assert_says(text, "  0x0          0x9fbff      639 KiB         1     RAM\n");
	assert_says(text, "  0x100000000  0x1001fffff  2 MiB           1     RAM\n");
	assert_says(text, "  0xe0000      0xe0023      36 bytes        placed  ACPI RSDP ");
	assert_says(text, "  276 bytes       placed  ACPI FACP ");
	assert_says(text, "  98 bytes        placed  ACPI APIC ");
	assert_says(text, "  serial0         port    0x3f8        0x3ff        4\n");
	assert_says(text, "  power           port    0x600        0x602        -\n");
	assert_says(text, "  virtio0         memory  0xd0000000   0xd0000fff   5\n");
	assert_says(text, "  unknown                /dev/kvm is not there\n");
	unload(&shown);
}

static void add_leaf(struct shown *shown, u32 function, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	shown->cpuid.entry[shown->cpuid.entries++] = (struct kvm_cpuid_entry2){
		.function = function, .eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx};
	shown->input.cpuid = &shown->cpuid;
}

static void test_cpuid(void **state)
{
	struct shown shown;
	const char *text;

	(void)state;
	load_pvh(&shown);
	add_leaf(&shown, 0x0, 0x10, 0x68747541, 0x444d4163, 0x69746e65);
	add_leaf(&shown, 0x1, 0x00a20f12, 0x00040800, 0x80000000, 0x00000001);
	add_leaf(&shown, 0x40000000, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	add_leaf(&shown, 0x80000002, 0x20202020, 0x204d4f53, 0x20555043, 0x20202020);
	add_leaf(&shown, 0x40000001, 0x9, 0, 0, 0);
	text = show(&shown, false);
	assert_says(text, "  features               fpu hypervisor\n");
	assert_says(text, "  kvm_features           kvmclock kvmclock2\n");
	assert_says(text, "  0x1         0      0xa20f12    0x40800     0x80000000  0x1\n");
	assert_silent(text, "unknown");
	unload(&shown);
}

/* All bits set: every name in its place, and room for all. */
static void test_all_features(void **state)
{
	static const char *const last[] = {" pbe sse3 ",     " hypervisor fsgsbase ",
					   " la57 rdpid ",   " spec_ctrl_ssbd xsaveopt ",
					   " lm lahf_lm ",   "nx pdpe1gb ",
					   " constant_tsc\n"};
	static const u32 leaves[] = {0x1, 0x7, 0x80000001, 0x80000007, 0x40000001};
	struct shown shown;
	char *text;

	(void)state;
	load_pvh(&shown);
	for (size_t i = 0; i < ARRAY_LEN(leaves); i++)
		add_leaf(&shown, leaves[i], ~0U, ~0U, ~0U, ~0U);
	add_leaf(&shown, 0xd, ~0U, 0, 0, 0);
	shown.cpuid.entry[shown.cpuid.entries - 1].index = 1;
	text = strstr(show(&shown, false), "  features  ");
	assert_non_null(text);
	/* Unwrap it. */
	for (char *line; (line = strstr(text, "\n                         "));)
		memmove(line, line + 25, strlen(line + 25) + 1);
	for (size_t i = 0; i < ARRAY_LEN(last); i++)
		assert_says(text, last[i]);
	assert_says(text, " msi_ext_dest_id kvmclock_stable\n");
	unload(&shown);
}

static void test_json(void **state)
{
	struct shown shown;
	const char *text;

	(void)state;
	load_bzimage(&shown);
	text = show(&shown, true);
	assert_int_equal(text[0], '{');
	assert_memory_equal(text + shown.bytes - 2, "}\n", 2);
	assert_says(text,
		    "\n  \"machine\": {\n    \"memory_bytes\": 18874368,\n    \"cpus\": 4\n  }");
	assert_says(text, "\n    \"pref_address\": {\n      \"offset\": \"0x258\",\n"
			  "      \"value\": \"0x100000\",\n"
			  "      \"meaning\": \"where the kernel wants to run\"\n    }");
	assert_says(text, "\"meaning\": \"PE,ET,PG\"");
	assert_says(text, "\"gsi\": null");
	assert_says(text, "\"unknown\": \"/dev/kvm is not there\"");
	assert_silent(text, "\n  \"hvm_start_info\"");
	unload(&shown);
	load_pvh(&shown);
	text = show(&shown, true);
	assert_says(text, "\n  \"hvm_start_info\": {\n");
	assert_silent(text, "\n  \"boot_params\"");
	assert_silent(text, "\n  \"setup_header\"");
	unload(&shown);
}

/* ---- memory that is not as it should be */

static void test_broken_handovers(void **state)
{
	struct shown shown;

	(void)state;
	load_bzimage(&shown);
	put64(&shown, LAYOUT_BOOT_PARAMS + offsetof(struct boot_params, hdr.cmd_line_ptr),
	      0x80000000);
	assert_says(show(&shown, false), "0x80000000    not in RAM\n");
	shown.plan.info_gpa = ~(u64)0;
	assert_silent(show(&shown, true), "\n  \"boot_params\"");
	unload(&shown);
	load_pvh(&shown);
	put64(&shown, LAYOUT_START_INFO + 40, ~(u64)0);
	memset(at(&shown, LAYOUT_START_INFO + 12), 0xff, 4);
	show(&shown, false);
	assert_says(shown.text, "  type  what\n\nregisters: "); /* no row of e820 */
	shown.plan.info_gpa = LOW_BYTES - 8;
	assert_silent(show(&shown, true), "\n  \"hvm_start_info\"");
	unload(&shown);
}

static void test_a_command_line_without_end(void **state)
{
	struct shown shown;
	const char *text;

	(void)state;
	load_bzimage(&shown);
	memset(at(&shown, LAYOUT_CMDLINE), 'a', 4000);
	memcpy(at(&shown, LAYOUT_CMDLINE), "\x1b[31m", 5);
	text = show(&shown, false);
	assert_says(text, "?[31maaaa");
	assert_says(text, "aaa\n");
	assert_null(strchr(text, '\x1b'));
	unload(&shown);
}

/* Nonsense in all that is read, or here and there in it: it comes to an end, and in RAM. */
static void test_nonsense(void **state)
{
	struct shown shown;
	u32 random = 1;

	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		const unsigned step = i < 8 ? 1 : 97 * i;

		if (i & 1)
			load_pvh(&shown);
		else
			load_bzimage(&shown);
		for (u64 gpa = i; gpa < LAYOUT_HIGH_RAM - 8; gpa += step) {
			random = random * 1103515245 + 12345;
			*at(&shown, gpa) = (u8)(random >> 16);
		}
		show(&shown, i & 2);
		unload(&shown);
	}
}

/* ---- the dump */

static void test_the_dump(void **state)
{
	static const char *const names[] = {"rsdp", "xsdt", "facp", "dsdt", "apic"};
	char dir[] = "/tmp/bantam-dry-run-XXXXXX", made[64], path[80];
	struct error err = {.text = ""};
	struct shown shown;
	u8 bytes[36];

	(void)state;
	assert_non_null(mkdtemp(dir));
	load_bzimage(&shown);
	snprintf(made, sizeof(made), "%s/new", dir);
	/* The second time the directory and the files are there. */
	assert_int_equal(dry_run_dump_acpi(&shown.plan, made, &err), 0);
	assert_int_equal(dry_run_dump_acpi(&shown.plan, made, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s.dat", made, names[i]);
		fd = open(path, O_RDONLY);
		assert_true(fd >= 0);
		assert_int_equal(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
		if (i == 0)
			assert_memory_equal(bytes, "RSD PTR ", 8);
		else
			assert_int_equal(lseek(fd, 0, SEEK_END), sheet_load(bytes + 4, 4));
		close(fd);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(made), 0);
	assert_int_equal(rmdir(dir), 0);
	unload(&shown);
}

static void test_a_dump_that_is_refused(void **state)
{
	struct error err = {.text = ""};
	struct shown shown;
	char *long_name;

	(void)state;
	load_bzimage(&shown);
	assert_int_equal(dry_run_dump_acpi(&shown.plan, "/nowhere/at/all", &err), -1);
	assert_says(err.text, "cannot make the directory '/nowhere/at/all': No such file");
	assert_int_equal(dry_run_dump_acpi(&shown.plan, "/dev/null", &err), -1);
	assert_says(err.text, "cannot dump the ACPI tables: cannot write '/dev/null/rsdp.dat'");
	long_name = malloc(5000);
	assert_non_null(long_name);
	memset(long_name, '/', 4999);
	long_name[4999] = '\0';
	assert_int_equal(dry_run_dump_acpi(&shown.plan, long_name, &err), -1);
	free(long_name);
	unload(&shown);
}

static void test_a_full_disk(void **state)
{
	struct error err = {.text = ""};
	struct shown shown;
	FILE *out = fopen("/dev/full", "w");

	(void)state;
	if (!out)
		SKIP("there is no /dev/full");
	load_bzimage(&shown);
	assert_int_equal(dry_run(&shown.input, out, false, &err), -1);
	assert_says(err.text, "cannot write the report: No space left");
	fclose(out);
	unload(&shown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_bzimage),
		cmocka_unit_test(test_the_state_at_a_64_bit_entry),
		cmocka_unit_test(test_a_pvh_kernel),
		cmocka_unit_test(test_the_memory_map_has_every_address_once),
		cmocka_unit_test(test_the_memory_map_has_a_reason_for_every_place),
		cmocka_unit_test(test_e820_acpi_and_devices),
		cmocka_unit_test(test_cpuid),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_all_features),
		cmocka_unit_test(test_broken_handovers),
		cmocka_unit_test(test_a_command_line_without_end),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_the_dump),
		cmocka_unit_test(test_a_dump_that_is_refused),
		cmocka_unit_test(test_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
