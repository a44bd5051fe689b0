/*
 * A dry run's view of what an x86 kernel is handed: Linux's boot_params or PVH's hvm_start_info,
 * field by field, and the memory map in it; and of the first vCPU at its first instruction. What the
 * GDT and the page tables are that it starts with, boot/x86/long_mode.c tells.
 *
 * Both are read from where the plan says that the register points to. Fields that are obsolete, or
 * for a start from real mode or EFI, are left out: no such code runs.
 *
 * Source: Linux Documentation/x86/boot.rst and zero-page.rst; Xen public/arch-x86/hvm/start_info.h.
 */
#include "boot/x86/handover.h"
#include "boot/x86/layout.h"
#include "vmm/dry_run.h"
#include "vmm/x86/entry.h"
#include "vmm/x86/registers.h"

enum { ROWS_MAX = 128 };

const struct dry_run_range dry_run_fixed[DRY_RUN_FIXED] = {
	{LAYOUT_IOAPIC, PAGE_BYTES, "device", "I/O APIC", "takes interrupts; in KVM"},
	{LAYOUT_LOCAL_APIC, PAGE_BYTES, "device", "local APIC", "a vCPU's own; in KVM"},
	{LAYOUT_IDENTITY_MAP, 4 * PAGE_BYTES, "device", "KVM", "what it needs on Intel"},
};

/* ---- Linux */

static const struct bit_name loadflags[] = {{1 << 0, "LOADED_HIGH"},
					    {1 << 1, "KASLR"},
					    {1 << 5, "QUIET"},
					    {1 << 6, "KEEP_SEGMENTS"},
					    {1 << 7, "CAN_USE_HEAP"}};

static const struct bit_name xloadflags[] = {
	{1 << 0, "KERNEL_64"},       {1 << 1, "ABOVE_4G"},  {1 << 2, "EFI_HANDOVER_32"},
	{1 << 3, "EFI_HANDOVER_64"}, {1 << 4, "EFI_KEXEC"}, {1 << 5, "5LEVEL"},
	{1 << 6, "5LEVEL_ENABLED"}};

/* A field of boot_params, and of the setup header in it. */
#define PARAM(field, kind, meaning)  FIELD(#field, struct boot_params, field, kind, meaning)
#define HEADER(field, kind, meaning) FIELD(#field, struct boot_params, hdr.field, kind, meaning)
#define HEADER_BITS(field)           FIELD_BITS(#field, struct boot_params, hdr.field, field)

static const struct field params_fields[] = {
	PARAM(screen_info, CELL_HEX, "a screen that a firmware has set up"),
	PARAM(tboot_addr, CELL_HEX, "trusted boot's shared page"),
	PARAM(acpi_rsdp_addr, CELL_HEX, "the ACPI tables' root; spares the search"),
	PARAM(ext_ramdisk_image, CELL_HEX, "the upper half of ramdisk_image"),
	PARAM(ext_ramdisk_size, CELL_HEX, "the upper half of ramdisk_size"),
	PARAM(ext_cmd_line_ptr, CELL_HEX, "the upper half of cmd_line_ptr"),
	PARAM(cc_blob_address, CELL_HEX, "confidential computing (SEV-SNP)"),
	PARAM(edid_info, CELL_HEX, "a monitor"),
	PARAM(e820_entries, CELL_COUNT, "how many entries e820_table has"),
	PARAM(eddbuf_entries, CELL_COUNT, "BIOS disks"),
	PARAM(edd_mbr_sig_buf_entries, CELL_COUNT, "BIOS disks"),
	PARAM(sentinel, CELL_HEX, "0: the loader has zeroed what it doesn't know"),
};

static const struct field header_fields[] = {
	HEADER(setup_sects, CELL_COUNT, "real-mode code: sectors of 512 bytes, but the first"),
	HEADER(root_flags, CELL_HEX, "1: mount the root read-only, unless told rw"),
	HEADER(syssize, CELL_HEX, "protected-mode code, in units of 16 bytes"),
	HEADER(root_dev, CELL_HEX, "the root's device number; root= overrules it"),
	HEADER(boot_flag, CELL_HEX, "0xaa55 marks a boot sector"),
	HEADER(jump, CELL_HEX, "a jump over the header; tells how long it is"),
	HEADER(header, CELL_HEX, "0x53726448, \"HdrS\", marks this header"),
	HEADER(version, CELL_HEX, "of the boot protocol; 0x20f: 2.15"),
	HEADER(kernel_version, CELL_HEX, "the version text's offset in the file, less 0x200"),
	HEADER(type_of_loader, CELL_HEX, "0xff: a loader without a number of its own"),
	HEADER_BITS(loadflags),
	HEADER(code32_start, CELL_HEX, "the 32-bit entry, which isn't used"),
	HEADER(ramdisk_image, CELL_HEX, "the initrd's address; 0: there is none"),
	HEADER(ramdisk_size, CELL_SIZE, "the initrd's length"),
	HEADER(cmd_line_ptr, CELL_TEXT, NULL),
	HEADER(initrd_addr_max, CELL_HEX, "the highest address that an initrd may have"),
	HEADER(kernel_alignment, CELL_SIZE, "it runs at multiples of it"),
	HEADER(relocatable_kernel, CELL_HEX, "1: it may run at other addresses too"),
	HEADER(min_alignment, CELL_COUNT, "the least alignment, as a power of 2"),
	HEADER_BITS(xloadflags),
	HEADER(cmdline_size, CELL_COUNT, "the longest command line"),
	HEADER(hardware_subarch, CELL_HEX, "0: a PC"),
	HEADER(payload_offset, CELL_HEX, "the compressed kernel within protected-mode code"),
	HEADER(payload_length, CELL_SIZE, "its length"),
	HEADER(setup_data, CELL_HEX, "a list of further data; 0: there is none"),
	HEADER(pref_address, CELL_HEX, "where the kernel wants to run"),
	HEADER(init_size, CELL_SIZE, "room to unpack itself, from pref_address"),
	HEADER(kernel_info_offset, CELL_HEX, "more about the kernel, within it"),
};

/* ---- PVH */

#define INFO(name, field, kind, meaning) FIELD(name, struct start_info, field, kind, meaning)
#define MODULE(name, field, kind)        FIELD(name, struct start_info_module, field, kind, NULL)

static const struct field start_info_fields[] = {
	INFO("magic", magic, CELL_HEX, "0x336ec578, \"xEn3\", marks this structure"),
	INFO("version", version, CELL_COUNT, "1: has a memory map"),
	INFO("flags", flags, CELL_HEX, "0: no Xen domain"),
	INFO("nr_modules", modules, CELL_COUNT, "how many modules; the first is the initrd"),
	INFO("modlist_paddr", module_list_gpa, CELL_HEX, "the list of modules; 0: there is none"),
	INFO("cmdline_paddr", cmdline_gpa, CELL_TEXT, NULL),
	INFO("rsdp_paddr", rsdp_gpa, CELL_HEX, "the ACPI tables' root"),
	INFO("memmap_paddr", memory_map_gpa, CELL_HEX, "the memory map"),
	INFO("memmap_entries", memory_map_entries, CELL_COUNT, "how many entries it has"),
	INFO("reserved", reserved, CELL_HEX, NULL),
};

static const struct field module_fields[] = {
	MODULE("paddr", gpa, CELL_HEX),
	MODULE("size", bytes, CELL_SIZE),
	MODULE("cmdline_paddr", cmdline_gpa, CELL_HEX),
};

/* The memory map in either form: entries of `stride` bytes that begin in the same way. */
static void show_e820(struct sheet *sheet, const struct memory *memory, u64 gpa, u64 count,
		      unsigned stride)
{
	static const char *const names[] = {"", "RAM", "reserved", "ACPI data", "ACPI NVS", "bad"};
	static const struct column columns[] = {
		{"first", 11}, {"last", 11}, {"bytes", 14}, {"type", 4}, {"what", 0}};
	struct boot_e820_entry entry;

	sheet_open(sheet, "e820", "the memory map that the kernel is told", columns);
	for (u64 i = 0; i < count && i < ROWS_MAX; i++) {
		if (!memory_read(memory, gpa + i * stride, &entry, sizeof(entry)))
			break;
		sheet_row(sheet, HEX(entry.addr), HEX(entry.addr + entry.size - 1),
			  SIZE(entry.size), COUNT(entry.type),
			  TEXT(entry.type < ARRAY_LEN(names) ? names[entry.type] : ""));
	}
}

static void show_boot_params(struct sheet *sheet, const struct memory *memory, u64 gpa)
{
	const u8 *params = memory_at(memory, gpa, sizeof(struct boot_params));

	if (!params)
		return;
	sheet_open(sheet, "boot_params", "what Linux is told", sheet_field_columns);
	sheet_fields(sheet, memory, params, params_fields, ARRAY_LEN(params_fields));
	sheet_open(sheet, "setup_header", "in boot_params, from the kernel's file",
		   sheet_field_columns);
	sheet_fields(sheet, memory, params, header_fields, ARRAY_LEN(header_fields));
	show_e820(sheet, memory, gpa + offsetof(struct boot_params, e820_table),
		  params[offsetof(struct boot_params, e820_entries)],
		  sizeof(struct boot_e820_entry));
}

static void show_start_info(struct sheet *sheet, const struct memory *memory, u64 gpa)
{
	const u8 *bytes = memory_at(memory, gpa, sizeof(struct start_info)), *module;
	struct start_info info;

	if (!memory_read(memory, gpa, &info, sizeof(info)))
		return;
	sheet_open(sheet, "hvm_start_info", "what a PVH kernel is told", sheet_field_columns);
	sheet_fields(sheet, memory, bytes, start_info_fields, ARRAY_LEN(start_info_fields));
	module = memory_at(memory, info.module_list_gpa, sizeof(struct start_info_module));
	if (module && info.modules) {
		sheet_open(sheet, "hvm_modlist_entry", "the first module: the initrd",
			   sheet_field_columns);
		sheet_fields(sheet, memory, module, module_fields, ARRAY_LEN(module_fields));
	}
	show_e820(sheet, memory, info.memory_map_gpa, info.memory_map_entries,
		  sizeof(struct start_info_memory));
}

/* ---- the first vCPU at its first instruction */

#define REG(member, meaning)    FIELD(#member, struct kvm_regs, member, CELL_HEX, meaning)
#define SREG(member, meaning)   FIELD(#member, struct kvm_sregs, member, CELL_HEX, meaning)
#define SREG_BITS(member, bits) FIELD_BITS(#member, struct kvm_sregs, member, bits)

/* The offsets are those in KVM's structures. */
static const struct field regs_fields[] = {
	REG(rip, "the kernel's entry"),
	FIELD_BITS("rflags", struct kvm_regs, rflags, rflags_bits),
	REG(rsi, "boot_params, for Linux"),
	REG(rbx, "hvm_start_info, for PVH"),
	REG(rsp, "the kernel brings its own stack"),
};

static const struct field sregs_fields[] = {
	SREG(cs.selector, NULL),
	SREG(cs.base, NULL),
	SREG(cs.limit, NULL),
	SREG(cs.l, "1: 64-bit code"),
	SREG(cs.db, "1: 32-bit code"),
	SREG(ds.selector, "and es, fs, gs, ss"),
	SREG(ds.limit, NULL),
	SREG(gdt.base, NULL),
	SREG(gdt.limit, "0: segments are loaded already; the kernel brings its own GDT"),
	SREG(idt.base, NULL),
	SREG(idt.limit, "0: an exception now is fatal"),
	SREG_BITS(cr0, cr0_bits),
	SREG(cr3, "the page tables' root"),
	SREG_BITS(cr4, cr4_bits),
	SREG_BITS(efer, efer_bits),
};

static void show_registers(struct sheet *sheet, const struct boot_plan *plan)
{
	const struct memory *memory = plan->map.memory;
	struct kvm_sregs sregs = {.cr0 = 0};
	struct kvm_regs regs;

	entry_registers(plan, &regs, &sregs);
	sheet_open(sheet, "registers", "the first vCPU's, at its first instruction",
		   sheet_field_columns);
	sheet_fields(sheet, memory, &regs, regs_fields, ARRAY_LEN(regs_fields));
	sheet_fields(sheet, memory, &sregs, sregs_fields, ARRAY_LEN(sregs_fields));
}

void dry_run_handover(struct sheet *sheet, const struct boot_plan *plan)
{
	if (plan->kernel.protocol == BOOT_PVH)
		show_start_info(sheet, plan->map.memory, plan->info_gpa);
	else
		show_boot_params(sheet, plan->map.memory, plan->info_gpa);
	show_registers(sheet, plan);
}
