/*
 * Linux's boot_params, "the zero page".
 *
 * The kernel finds in it the setup header (for a bzImage: its own, as it was in the file) with the
 * fields that a boot loader fills in, the e820 memory map, and the ACPI RSDP's address, which
 * spares it the search.
 *
 * Source: Linux Documentation/x86/boot.rst and zero-page.rst; struct boot_params is the kernel's
 * own, from its user-space headers.
 */
#include "boot/x86/handover.h"

#include <string.h>

#include "boot/x86/layout.h"

enum { BOOT_FLAG = 0xaa55, HEADER_MAGIC = 0x53726448 /* "HdrS" */, PROTOCOL_2_15 = 0x020f };
enum { LOADER_UNDEFINED = 0xff };
enum { VMLINUX_ALIGNMENT = 0x1000000 };

int boot_params_place(struct place_map *map, struct boot_params *params,
		      const struct handover *handover, struct error *err)
{
	struct setup_header *hdr = &params->hdr;
	void *host = place_at(map, "boot_params", LAYOUT_BOOT_PARAMS, sizeof(*params), err);

	if (!host)
		return -1;
	if (hdr->header != HEADER_MAGIC) {
		/* A vmlinux has no header of its own; it believes that its decompressor made one. */
		hdr->boot_flag = BOOT_FLAG;
		hdr->header = HEADER_MAGIC;
		hdr->version = PROTOCOL_2_15;
		hdr->kernel_alignment = VMLINUX_ALIGNMENT;
		hdr->loadflags = LOADED_HIGH;
	}
	hdr->type_of_loader = LOADER_UNDEFINED;
	hdr->cmd_line_ptr = (u32)handover->cmdline_gpa;
	hdr->ramdisk_image = (u32)handover->initrd_gpa;
	hdr->ramdisk_size = (u32)handover->initrd_bytes;
	params->ext_ramdisk_image = (u32)(handover->initrd_gpa >> 32);
	params->ext_ramdisk_size = (u32)(handover->initrd_bytes >> 32);
	params->acpi_rsdp_addr = handover->rsdp_gpa;
	memcpy(params->e820_table, handover->e820, sizeof(handover->e820));
	params->e820_entries = (u8)handover->e820_entries;
	memcpy(host, params, sizeof(*params));
	return 0;
}
