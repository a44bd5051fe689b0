/*
 * initrd - exercise 8: finds the initial RAM disk as Linux does, by two fields of boot_params.
 */
#include "lib/lib.h"

#define RAMDISK_IMAGE 0x218
#define RAMDISK_SIZE  0x21c

void guest_main(void)
{
	u32 address, bytes;

	print("hello from a 64-bit %s guest\n", boot.protocol == BOOT_PVH ? "PVH" : "Linux");
	memcpy(&address, boot.info + RAMDISK_IMAGE, sizeof(address));
	memcpy(&bytes, boot.info + RAMDISK_SIZE, sizeof(bytes));
	print("%u bytes: ", bytes);
	for (u32 i = 0; i < bytes; i++)
		putc(((const char *)(u64)address)[i]);
}
