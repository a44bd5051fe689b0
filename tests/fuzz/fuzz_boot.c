/*
 * What is put into guest memory before the first instruction (boot/): a kernel's image, all of it
 * input, with an initrd and COMMAND's archive behind it, and a command line.
 *
 * Input: the protocol that is asked for and flags, a byte; the initrd's size and the command
 * line's, two bytes each; entries of the archive, each a byte that isn't 0 (the lowest four bits
 * are how long its name is), a byte for the size of its content, and the name; a byte of 0; and
 * the image.
 *
 * Checked: places are RAM, sorted and apart, the kernel's above 1 MiB; outside of them not a byte is written; the first
 * instruction lies in what was loaded; what the kernel is handed leads to the command line and to
 * the initrd, with the archive behind it where the kernel looks for one, whose entries are read
 * back as a kernel reads them; a refusal gives its reason in a line; a release is good for a
 * path.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "boot/boot.h"
#include "boot/cpio.h"
#include "boot/kernel.h"
#include "boot/x86/handover.h"
#include "boot/x86/layout.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/support.h"

enum { PROTOCOL = 3, INITRD = 4, ARCHIVE = 8 };
enum { LOW_BYTES = 2 << 20, HIGH_BYTES = 1 << 16, ENTRIES_MAX = 16, NAME_MASK = 15 };
enum { CPIO_HEADER_BYTES = 110, CPIO_ALIGNMENT = 4 };

struct entry {
	char name[NAME_MASK + 1];
	u8 bytes;
};

/* Memory stays, and is zero between inputs. */
static struct arena arena;

/* What initrds and the archive's files are made of; a file begins with its own size. */
static u8 pattern[1 << 16];

static void describe_nothing(void *owner, struct aml *aml)
{
	(void)owner, (void)aml;
}

static void make_once(void)
{
	if (arena.mapping)
		return;
	arena_make(&arena, LOW_BYTES, HIGH_BYTES);
	fill_pattern(pattern, sizeof(pattern), 1);
}

static const u8 *guest(u64 gpa, u64 bytes)
{
	const u8 *host = memory_at(&arena.memory, gpa, bytes);

	FUZZ_CHECK(host);
	return host;
}

/* ---- the archive ---- */

static unsigned pack(struct input *input, struct cpio *archive, struct entry entries[ENTRIES_MAX])
{
	struct error err = {.text = ""};
	unsigned count = 0;
	u8 form;

	cpio_begin(archive);
	while (count < ENTRIES_MAX && (form = (u8)input_take(input, 1))) {
		struct entry *entry = &entries[count++];

		*entry = (struct entry){.bytes = (u8)input_take(input, 1)};
		for (unsigned i = 0; i < (form & NAME_MASK); i++)
			entry->name[i] = (char)input_take(input, 1);
		cpio_add(archive, entry->name, S_IFREG | 0644, pattern + entry->bytes,
			 entry->bytes);
	}
	FUZZ_CHECK(!cpio_end(archive, &err) && archive->count % CPIO_ALIGNMENT == 0);
	return count;
}

static u32 cpio_field(const char *header, unsigned which)
{
	char digits[9] = "";

	memcpy(digits, header + 6 + 8 * which, 8);
	return (u32)strtoul(digits, NULL, 16);
}

/* Reads an entry as a kernel does, and gives what is behind it. */
static u64 expect_entry(u64 gpa, const char *name, const u8 *bytes, u64 count)
{
	const char *header = (const char *)guest(gpa, CPIO_HEADER_BYTES);
	const u64 name_bytes = strlen(name) + 1;
	const u64 content = align_up(CPIO_HEADER_BYTES + name_bytes, CPIO_ALIGNMENT);

	FUZZ_CHECK(gpa % CPIO_ALIGNMENT == 0 && memcmp(header, "070701", 6) == 0);
	FUZZ_CHECK(cpio_field(header, 6) == count && cpio_field(header, 11) == name_bytes);
	FUZZ_CHECK(memcmp(guest(gpa + CPIO_HEADER_BYTES, name_bytes), name, name_bytes) == 0);
	if (count)
		FUZZ_CHECK(memcmp(guest(gpa + content, count), bytes, count) == 0);
	return gpa + align_up(content + count, CPIO_ALIGNMENT);
}

/* ---- what the kernel finds ---- */

struct found {
	u64 cmdline, initrd, initrd_bytes;
};

static struct found look(const struct boot_plan *plan)
{
	const void *const info = guest(plan->info_gpa, sizeof(struct boot_params));
	const struct boot_params *const params = info;
	const struct start_info_page *const page = info;

	if (plan->kernel.protocol == BOOT_LINUX) {
		FUZZ_CHECK(params->acpi_rsdp_addr == plan->rsdp_gpa);
		FUZZ_CHECK(params->e820_entries > 0 && params->e820_entries <= E820_MAX);
		return (struct found){
			params->hdr.cmd_line_ptr,
			params->hdr.ramdisk_image | (u64)params->ext_ramdisk_image << 32,
			params->hdr.ramdisk_size | (u64)params->ext_ramdisk_size << 32};
	}
	FUZZ_CHECK(page->info.rsdp_gpa == plan->rsdp_gpa && page->info.modules <= 1);
	return (struct found){page->info.cmdline_gpa, page->module.gpa, page->module.bytes};
}

static void check_places(const struct boot_plan *plan)
{
	const struct place_map *map = &plan->map;
	bool inside = false;

	for (unsigned i = 0; i < map->places; i++) {
		const struct place *place = &map->place[i];

		(void)guest(place->gpa, place->bytes);
		FUZZ_CHECK(i == 0 || place[-1].gpa + place[-1].bytes <= place->gpa);
		if (strncmp(place->name, "kernel", 6) != 0)
			continue;
		FUZZ_CHECK(place->gpa >= LAYOUT_HIGH_RAM);
		inside = inside || plan->kernel.entry - place->gpa < place->bytes;
	}
	FUZZ_CHECK(inside);
}

/* What has no place was not written to. Takes the places' content away. */
static void check_rest(const struct boot_plan *plan)
{
	for (unsigned i = 0; i < plan->map.places; i++) {
		const struct place *place = &plan->map.place[i];

		memset(memory_at(&arena.memory, place->gpa, place->bytes), 0, place->bytes);
	}
	FUZZ_CHECK(arena_is_zero(&arena));
}

static void check_loaded(const struct boot_request *request, const struct boot_plan *plan,
			 u64 initrd_bytes, const struct entry *entries, unsigned count)
{
	const struct found found = look(plan);
	u64 at = found.initrd;

	check_places(plan);
	FUZZ_CHECK(strcmp((const char *)guest(found.cmdline, strlen(request->cmdline) + 1),
			  request->cmdline) == 0);
	FUZZ_CHECK(strlen(request->cmdline) <= plan->kernel.cmdline_max_bytes);
	FUZZ_CHECK(found.initrd + found.initrd_bytes <= plan->kernel.initrd_limit);
	if (initrd_bytes)
		FUZZ_CHECK(memcmp(guest(at, initrd_bytes), pattern, initrd_bytes) == 0);
	at += initrd_bytes;
	if (!request->archive) {
		FUZZ_CHECK(found.initrd_bytes == initrd_bytes);
		return;
	}
	for (; at % CPIO_ALIGNMENT; at++)
		FUZZ_CHECK(*guest(at, 1) == 0);
	for (unsigned i = 0; i < count; i++) {
		const char *name = entries[i].name + (entries[i].name[0] == '/');

		at = expect_entry(at, name, pattern + entries[i].bytes, entries[i].bytes);
	}
	FUZZ_CHECK(expect_entry(at, "TRAILER!!!", NULL, 0) == found.initrd + found.initrd_bytes);
}

static void check_release(const struct temp_file *kernel)
{
	const struct boot_file file = temp_file_boot(kernel);
	char release[KERNEL_RELEASE_BYTES];
	struct error err = {.text = ""};

	if (kernel_release(&file, release, &err)) {
		FUZZ_CHECK(err.text[0]);
		return;
	}
	FUZZ_CHECK(memchr(release, '\0', sizeof(release)) && !strchr(release, '/'));
	FUZZ_CHECK(!release[0] || (release[0] >= '0' && release[0] <= '9'));
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	static char cmdline[1 << 16];
	struct input input = {bytes, count};
	const u8 flags = (u8)input_take(&input, 1);
	const u64 initrd_bytes = input_take(&input, 2);
	struct boot_request request = {
		.kernel = "kernel",
		.cmdline = cmdline,
		.protocol = (enum boot_protocol)((flags & PROTOCOL) % (BOOT_PVH + 1)),
		.acpi = {.cpus = 2, .describe_devices = describe_nothing}};
	struct temp_file kernel, initrd;
	struct entry entries[ENTRIES_MAX];
	struct error err = {.text = ""};
	struct boot_plan plan;
	struct cpio archive;
	unsigned entry_count;

	make_once();
	memset(cmdline, 'x', sizeof(cmdline));
	cmdline[input_take(&input, 2)] = '\0';
	entry_count = pack(&input, &archive, entries);
	temp_file_make(&kernel, input.bytes, input.left);
	temp_file_make(&initrd, pattern, initrd_bytes);
	request.kernel_fd = kernel.fd;
	if (flags & INITRD) {
		request.initrd = "initrd";
		request.initrd_fd = initrd.fd;
	}
	if (flags & ARCHIVE) {
		request.archive = archive.bytes;
		request.archive_bytes = archive.count;
	}
	if (boot_load(&request, &arena.memory, &plan, &err) == 0) {
		check_loaded(&request, &plan, flags & INITRD ? initrd_bytes : 0, entries,
			     entry_count);
	} else {
		FUZZ_CHECK(err.text[0] && !strchr(err.text, '\n'));
	}
	check_rest(&plan);
	check_release(&kernel);
	cpio_free(&archive);
	temp_file_free(&initrd);
	temp_file_free(&kernel);
	return 0;
}
