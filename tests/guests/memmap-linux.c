/*
 * memmap-linux - the same through the Linux boot protocol: struct boot_params (the "zero page"),
 * found in rsi at the 64-bit entry. This guest has no PVH note, so a monitor that tries PVH first
 * must fall back to the ELF entry. The offsets are those of Documentation/arch/x86/zero-page.rst
 * and boot.rst.
 */
#include "memmap.h"

#define ACPI_RSDP_ADDR     0x070
#define EXT_RAMDISK_IMAGE  0x0c0
#define EXT_RAMDISK_SIZE   0x0c4
#define E820_ENTRIES       0x1e8
#define HDR_BOOT_FLAG      0x1fe /* 0xaa55 */
#define HDR_HEADER         0x202 /* "HdrS" */
#define HDR_VERSION        0x206
#define HDR_TYPE_OF_LOADER 0x210
#define HDR_LOADFLAGS      0x211
#define HDR_RAMDISK_IMAGE  0x218
#define HDR_RAMDISK_SIZE   0x21c
#define HDR_CMD_LINE_PTR   0x228
#define E820_TABLE         0x2d0
#define E820_ENTRY_BYTES   20

static u64 field(u32 off, u32 bytes)
{
	u64 v = 0;

	memcpy(&v, boot.info + off, bytes);
	return v;
}

void guest_main(void)
{
	u64 initrd, initrd_bytes;

	if (boot.protocol != BOOT_LINUX) {
		print("not booted by the Linux protocol\n");
		return;
	}
	print("boot flag %s header %s\n", field(HDR_BOOT_FLAG, 2) == 0xaa55 ? "ok" : "bad",
	      memcmp(boot.info + HDR_HEADER, "HdrS", 4) ? "bad" : "ok");
	print("version %lx loader %lx loadflags %lx\n", field(HDR_VERSION, 2),
	      field(HDR_TYPE_OF_LOADER, 1), field(HDR_LOADFLAGS, 1));
	print("cmdline at %lx, %lu bytes: %s\n", field(HDR_CMD_LINE_PTR, 4), strlen(boot.cmdline),
	      boot.cmdline);

	for (u32 i = 0; i < field(E820_ENTRIES, 1); i++) {
		u32 off = E820_TABLE + i * E820_ENTRY_BYTES;

		add_entry(field(off, 8), field(off + 8, 8), field(off + 16, 4));
	}
	initrd = field(HDR_RAMDISK_IMAGE, 4) | field(EXT_RAMDISK_IMAGE, 4) << 32;
	initrd_bytes = field(HDR_RAMDISK_SIZE, 4) | field(EXT_RAMDISK_SIZE, 4) << 32;
	show_module("ramdisk", initrd, initrd_bytes);
	keep(initrd, initrd_bytes);
	keep((u64)boot.info, 4096);
	test_map();
}
