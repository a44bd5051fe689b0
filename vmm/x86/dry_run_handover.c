/*
 * A dry run's view of what an x86 kernel is handed: Linux's boot_params or PVH's hvm_start_info,
 * field by field, and the memory map in it.
 *
 * Both are read from where the plan says that the register points to; the tables below say what
 * each field means to a kernel that is started as bantam starts it. What belongs to the start from
 * real mode is "unused": no real-mode code runs.
 *
 * Source: Linux Documentation/x86/boot.rst and zero-page.rst; Xen public/arch-x86/hvm/start_info.h.
 */
#include <asm/bootparam.h>
#include <string.h>

#include "boot/x86/e820.h"
#include "boot/x86/layout.h"
#include "vmm/dry_run_parts.h"

/* Name, offset and size of a field of boot_params, and of the setup header in it. */
#define PARAM(field)                                                                               \
	.name = #field, .offset = offsetof(struct boot_params, field),                             \
	.bytes = sizeof(((struct boot_params *)NULL)->field)
#define HEADER(field)                                                                              \
	.name = #field, .offset = offsetof(struct boot_params, hdr.field),                         \
	.bytes = sizeof(((struct boot_params *)NULL)->hdr.field)

const struct dry_run_fixed *dry_run_fixed_ranges(unsigned *count)
{
	static const struct dry_run_fixed fixed[] = {
		{LAYOUT_IOAPIC, PAGE_BYTES, "I/O APIC", "takes devices' interrupts; in KVM"},
		{LAYOUT_LOCAL_APIC, PAGE_BYTES, "local APIC", "each vCPU's own; in KVM"},
		{LAYOUT_IDENTITY_MAP, 4 * PAGE_BYTES, "KVM", "its identity map and TSS, on Intel"},
	};

	*count = ARRAY_LEN(fixed);
	return fixed;
}

/* ---- words for values */

static void explain_size(const struct memory *memory, const u8 *at, u64 value, char *words,
			 size_t size)
{
	(void)memory;
	(void)at;
	if (value)
		sheet_size(value, words, size);
}

static void explain_setup_sects(const struct memory *memory, const u8 *at, u64 value, char *words,
				size_t size)
{
	(void)memory;
	(void)at;
	if (value)
		snprintf(words, size, "real-mode code: (1 + %llu) * 512 bytes of the file",
			 (unsigned long long)value);
}

static void explain_syssize(const struct memory *memory, const u8 *at, u64 value, char *words,
			    size_t size)
{
	char bytes[32];

	(void)memory;
	(void)at;
	if (value == 0)
		return;
	snprintf(words, size, "units of 16 bytes: %s of protected-mode code",
		 sheet_size(value * 16, bytes, sizeof(bytes)));
}

static void explain_version(const struct memory *memory, const u8 *at, u64 value, char *words,
			    size_t size)
{
	(void)memory;
	(void)at;
	snprintf(words, size, "boot protocol %llu.%02llu", (unsigned long long)value >> 8,
		 (unsigned long long)value & 0xff);
}

static void explain_min_alignment(const struct memory *memory, const u8 *at, u64 value, char *words,
				  size_t size)
{
	char bytes[32];

	(void)memory;
	(void)at;
	if (value == 0 || value > 63)
		return;
	snprintf(words, size, "2^%llu: %s", (unsigned long long)value,
		 sheet_size((u64)1 << value, bytes, sizeof(bytes)));
}

/* The text that value points to, as far as it is in RAM and there is room for it. */
static void explain_text(const struct memory *memory, const u8 *at, u64 value, char *words,
			 size_t size)
{
	size_t used = 0;
	u8 byte = 0;

	(void)at;
	if (!memory_read(memory, value, &byte, 1)) {
		snprintf(words, size, "not in RAM");
		return;
	}
	words[used++] = '"';
	while (used < size - 2 && memory_read(memory, value, &byte, 1) && byte) {
		words[used++] = (char)byte;
		value++;
	}
	words[used++] = '"';
	words[used] = '\0';
	if (byte)
		memcpy(words + size - 5, "...\"", 5);
}

/* ---- Linux */

static const struct bit_name loadflags[] = {
	{LOADED_HIGH, "LOADED_HIGH"},   {KASLR_FLAG, "KASLR_FLAG"},
	{QUIET_FLAG, "QUIET_FLAG"},     {KEEP_SEGMENTS, "KEEP_SEGMENTS"},
	{CAN_USE_HEAP, "CAN_USE_HEAP"}, {0, NULL},
};

static const struct bit_name xloadflags[] = {
	{XLF_KERNEL_64, "KERNEL_64"},
	{XLF_CAN_BE_LOADED_ABOVE_4G, "CAN_BE_LOADED_ABOVE_4G"},
	{XLF_EFI_HANDOVER_32, "EFI_HANDOVER_32"},
	{XLF_EFI_HANDOVER_64, "EFI_HANDOVER_64"},
	{XLF_EFI_KEXEC, "EFI_KEXEC"},
	{XLF_5LEVEL, "5LEVEL"},
	{XLF_5LEVEL_ENABLED, "5LEVEL_ENABLED"},
	{0, NULL},
};

static const struct sheet_field params_fields[] = {
	{PARAM(screen_info), .meaning = "zero: no screen that a firmware has set up"},
	{PARAM(apm_bios_info), .meaning = "zero: no APM BIOS"},
	{PARAM(tboot_addr), .meaning = "trusted boot's shared page; none"},
	{PARAM(ist_info), .meaning = "zero: no SpeedStep BIOS"},
	{PARAM(acpi_rsdp_addr), .meaning = "the ACPI tables' root; spares the kernel the search"},
	{PARAM(hd0_info), .meaning = "obsolete"},
	{PARAM(hd1_info), .meaning = "obsolete"},
	{PARAM(sys_desc_table), .meaning = "obsolete"},
	{PARAM(olpc_ofw_header), .meaning = "zero: no Open Firmware"},
	{PARAM(ext_ramdisk_image), .meaning = "the upper half of ramdisk_image"},
	{PARAM(ext_ramdisk_size), .meaning = "the upper half of ramdisk_size"},
	{PARAM(ext_cmd_line_ptr), .meaning = "the upper half of cmd_line_ptr"},
	{PARAM(cc_blob_address), .meaning = "confidential computing (SEV-SNP); none"},
	{PARAM(edid_info), .meaning = "zero: no monitor"},
	{PARAM(efi_info), .meaning = "zero: no EFI firmware"},
	{PARAM(alt_mem_k), .meaning = "memory by INT 15h, 0xe801; e820 is there instead"},
	{PARAM(e820_entries), .meaning = "how many entries e820_table has", .decimal = true},
	{PARAM(eddbuf_entries), .meaning = "no BIOS disks", .decimal = true},
	{PARAM(edd_mbr_sig_buf_entries), .meaning = "no BIOS disks", .decimal = true},
	{PARAM(kbd_status), .meaning = "the BIOS's keyboard flags"},
	{PARAM(secure_boot), .meaning = "EFI only; 0: unset"},
	{PARAM(sentinel), .meaning = "0: the loader has zeroed what it doesn't know"},
};

static const struct sheet_field header_fields[] = {
	{HEADER(setup_sects), .explain = explain_setup_sects},
	{HEADER(root_flags), .meaning = "1: mount the root read-only, unless told rw"},
	{HEADER(syssize), .explain = explain_syssize},
	{HEADER(ram_size), .meaning = "obsolete"},
	{HEADER(vid_mode), .meaning = "the video mode for real-mode code; unused"},
	{HEADER(root_dev), .meaning = "the root's device number; root= overrules it"},
	{HEADER(boot_flag), .meaning = "0xaa55 marks a boot sector"},
	{HEADER(jump), .meaning = "a jump over the header; tells how long it is"},
	{HEADER(header), .meaning = "0x53726448, \"HdrS\", marks this header"},
	{HEADER(version), .explain = explain_version},
	{HEADER(realmode_swtch), .meaning = "a real-mode loader's hook; unused"},
	{HEADER(start_sys_seg), .meaning = "obsolete"},
	{HEADER(kernel_version), .meaning = "the version text's offset in the file, less 0x200"},
	{HEADER(type_of_loader), .meaning = "0xff: a loader without a number of its own"},
	{HEADER(loadflags), .bits = loadflags},
	{HEADER(setup_move_size), .meaning = "obsolete"},
	{HEADER(code32_start), .meaning = "the 32-bit entry; unused: the 64-bit entry is taken"},
	{HEADER(ramdisk_image), .meaning = "the initrd's address; 0: there is none"},
	{HEADER(ramdisk_size), .explain = explain_size, .meaning = "the initrd's length"},
	{HEADER(bootsect_kludge), .meaning = "obsolete"},
	{HEADER(heap_end_ptr), .meaning = "the end of real-mode code's heap; unused"},
	{HEADER(ext_loader_ver), .meaning = "goes with type_of_loader"},
	{HEADER(ext_loader_type), .meaning = "goes with type_of_loader"},
	{HEADER(cmd_line_ptr), .explain = explain_text},
	{HEADER(initrd_addr_max), .meaning = "the highest address that an initrd may have"},
	{HEADER(kernel_alignment), .explain = explain_size,
	 .meaning = "it runs at multiples of it"},
	{HEADER(relocatable_kernel), .meaning = "1: it may run at other addresses too"},
	{HEADER(min_alignment), .explain = explain_min_alignment, .meaning = "the least alignment"},
	{HEADER(xloadflags), .bits = xloadflags},
	{HEADER(cmdline_size), .meaning = "the longest command line", .decimal = true},
	{HEADER(hardware_subarch), .meaning = "0: a PC"},
	{HEADER(hardware_subarch_data), .meaning = "goes with hardware_subarch"},
	{HEADER(payload_offset), .meaning = "the compressed kernel within the protected-mode code"},
	{HEADER(payload_length), .explain = explain_size, .meaning = "its length"},
	{HEADER(setup_data), .meaning = "a list of further data; 0: there is none"},
	{HEADER(pref_address), .meaning = "where the kernel wants to run"},
	{HEADER(init_size), .explain = explain_size,
	 .meaning = "room to unpack itself, from pref_address"},
	{HEADER(handover_offset), .meaning = "the entry for EFI firmware; unused"},
	{HEADER(kernel_info_offset), .meaning = "more about the kernel, within it"},
};

/* ---- PVH */

static void explain_flags(const struct memory *memory, const u8 *at, u64 value, char *words,
			  size_t size)
{
	(void)memory;
	(void)at;
	snprintf(words, size, "%s", value ? "SIF_*, see Xen's start_info.h" : "no Xen domain");
}

static const struct sheet_field start_info_fields[] = {
	{"magic", 0, 4, "0x336ec578, \"xEn3\", marks this structure", NULL, false, NULL},
	{"version", 4, 4, "1: has a memory map", NULL, true, NULL},
	{"flags", 8, 4, NULL, NULL, false, explain_flags},
	{"nr_modules", 12, 4, "how many modules; the first is the initrd", NULL, true, NULL},
	{"modlist_paddr", 16, 8, "the list of modules; 0: there is none", NULL, false, NULL},
	{"cmdline_paddr", 24, 8, NULL, NULL, false, explain_text},
	{"rsdp_paddr", 32, 8, "the ACPI tables' root", NULL, false, NULL},
	{"memmap_paddr", 40, 8, "the memory map", NULL, false, NULL},
	{"memmap_entries", 48, 4, "how many entries it has", NULL, true, NULL},
	{"reserved", 52, 4, "", NULL, false, NULL},
};

enum {
	START_INFO_BYTES = 56,
	START_INFO_MODULES = 12,
	START_INFO_MODLIST = 16,
	START_INFO_MEMMAP = 40,
	START_INFO_MEMMAP_ENTRIES = 48,
	MODULE_BYTES = 32,
	MEMMAP_BYTES = 24,
	ROWS_MAX = 128,
};

static void show_modules(struct sheet *sheet, const struct memory *memory, u64 gpa, u64 count)
{
	static const struct sheet_column columns[] = {{"address", SHEET_HEX, 11},
						      {"bytes", SHEET_BYTES, 10},
						      {"command_line", SHEET_HEX, 0}};

	sheet_open_table(sheet, "modules", "Modules of hvm_start_info", columns,
			 ARRAY_LEN(columns));
	for (u64 i = 0; i < count && i < ROWS_MAX; i++) {
		const u8 *module = memory_at(memory, gpa + i * MODULE_BYTES, MODULE_BYTES);

		if (!module)
			break;
		sheet_row(sheet,
			  (const struct sheet_cell[]){{.number = sheet_load(module, 8)},
						      {.number = sheet_load(module + 8, 8)},
						      {.number = sheet_load(module + 16, 8)}});
	}
	sheet_close_table(sheet);
}

/* ---- the memory map in either form: entries of `stride` bytes: address, length, type */

static const char *e820_name(u64 type)
{
	static const char *const names[] = {"", "RAM", "reserved", "ACPI data", "ACPI NVS", "bad"};

	return type < ARRAY_LEN(names) ? names[type] : "";
}

static void show_e820(struct sheet *sheet, const struct memory *memory, const char *title, u64 gpa,
		      u64 count, unsigned stride)
{
	static const struct sheet_column columns[] = {
		{"first", SHEET_HEX, 11},  {"last", SHEET_HEX, 11}, {"bytes", SHEET_BYTES, 10},
		{"type", SHEET_NUMBER, 4}, {"name", SHEET_TEXT, 0},
	};

	sheet_open_table(sheet, "e820", title, columns, ARRAY_LEN(columns));
	for (u64 i = 0; i < count && i < ROWS_MAX; i++) {
		const u8 *entry = memory_at(memory, gpa + i * stride, stride);
		u64 first, bytes, type;

		if (!entry)
			break;
		first = sheet_load(entry, 8);
		bytes = sheet_load(entry + 8, 8);
		type = sheet_load(entry + 16, 4);
		sheet_row(sheet, (const struct sheet_cell[]){{.number = first},
							     {.number = first + bytes - 1},
							     {.number = bytes},
							     {.number = type},
							     {.text = e820_name(type)}});
	}
	sheet_close_table(sheet);
}

static void show_boot_params(struct sheet *sheet, const struct boot_plan *plan)
{
	const struct memory *memory = plan->map.memory;
	const u8 *params = memory_at(memory, plan->info_gpa, sizeof(struct boot_params));

	if (!params) {
		sheet_none(sheet, "boot_params");
		return;
	}
	sheet_open(sheet, "boot_params", "boot_params: what Linux is told");
	sheet_hex(sheet, "address", plan->info_gpa, NULL);
	sheet_fields(sheet, memory, params, params_fields, ARRAY_LEN(params_fields));
	sheet_close(sheet);
	sheet_open(sheet, "setup_header",
		   "The setup header in boot_params: the kernel's own, and what a loader fills in");
	sheet_hex(sheet, "address", plan->info_gpa + offsetof(struct boot_params, hdr), NULL);
	sheet_fields(sheet, memory, params, header_fields, ARRAY_LEN(header_fields));
	sheet_close(sheet);
	sheet_none(sheet, "hvm_start_info");
	show_e820(sheet, memory, "e820: the memory map in boot_params",
		  plan->info_gpa + offsetof(struct boot_params, e820_table),
		  sheet_load(params + offsetof(struct boot_params, e820_entries), 1),
		  sizeof(struct boot_e820_entry));
}

static void show_start_info(struct sheet *sheet, const struct boot_plan *plan)
{
	const struct memory *memory = plan->map.memory;
	const u8 *info = memory_at(memory, plan->info_gpa, START_INFO_BYTES);

	sheet_none(sheet, "boot_params");
	sheet_none(sheet, "setup_header");
	if (!info) {
		sheet_none(sheet, "hvm_start_info");
		return;
	}
	sheet_open(sheet, "hvm_start_info", "hvm_start_info: what a PVH kernel is told");
	sheet_hex(sheet, "address", plan->info_gpa, NULL);
	sheet_fields(sheet, memory, info, start_info_fields, ARRAY_LEN(start_info_fields));
	show_modules(sheet, memory, sheet_load(info + START_INFO_MODLIST, 8),
		     sheet_load(info + START_INFO_MODULES, 4));
	sheet_close(sheet);
	show_e820(sheet, memory, "e820: the memory map that hvm_start_info points to",
		  sheet_load(info + START_INFO_MEMMAP, 8),
		  sheet_load(info + START_INFO_MEMMAP_ENTRIES, 4), MEMMAP_BYTES);
}

void dry_run_handover(struct sheet *sheet, const struct dry_run_input *input)
{
	if (input->plan->kernel.protocol == BOOT_PVH)
		show_start_info(sheet, input->plan);
	else
		show_boot_params(sheet, input->plan);
}
