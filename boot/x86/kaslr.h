/*
 * A bzImage's kernel that was unpacked on the host, put into memory as its own decompressor would: at
 * random addresses, where it was built for that ("kernel address space layout randomization").
 *
 * The image is an ELF file with the kernel's table of relocations behind it. As in the decompressor, two
 * addresses are chosen: where the kernel lies in physical memory, and by how much its virtual addresses
 * are moved, which is what the relocations are for. Both are multiples of the kernel's alignment.
 * `nokaslr` on the command line turns that off; `mem=` and `memmap=`, which take memory away from the
 * kernel, keep it at the physical address that it prefers.
 *
 * The kernel is then entered as the decompressor does it: in long mode, RSI pointing to boot_params,
 * whose header says whether addresses are random, for the kernel then does the same with its other areas.
 *
 * Nothing in the image is trusted. Limits: physical addresses are below the hole at 3 GiB; paging has
 * four levels (a kernel with five is fine with that).
 */
#ifndef BANTAM_BOOT_X86_KASLR_H
#define BANTAM_BOOT_X86_KASLR_H

#include "boot/kernel.h"

struct vmlinux {
	const struct boot_file *file;
	struct kernel_head head;
	struct elf_extent extent;
	u8 *relocations; /* the table as it is in the file, or NULL: the kernel can't be moved */
	u64 relocation_bytes;
};

/*
 * Looks at an image that wants to lie at gpa, and reads its table. vmlinux_close() is due when it
 * returns 0. Else -1 with err set: it is no kernel, or none whose table is understood.
 */
int vmlinux_open(struct vmlinux *vmlinux, const struct boot_file *file, u64 gpa, struct error *err);
void vmlinux_close(struct vmlinux *vmlinux);

/*
 * Puts it into memory and fills *kernel. hdr is the bzImage's header, in which the flag of random
 * addresses is set or cleared. initrd_bytes: what has to find room above the kernel. Returns 0, or -1
 * with err set.
 */
struct setup_header;
int vmlinux_load(const struct vmlinux *vmlinux, const struct boot_request *request,
		 u64 initrd_bytes, struct setup_header *hdr, struct place_map *map,
		 struct boot_kernel *kernel, struct error *err);

/*
 * Adds slide to what a table of relocations names in an image of image_bytes that was linked for the
 * physical address gpa. Nothing is changed when image is NULL. Returns 0, or -1 when the table isn't
 * understood or leads out of the image.
 */
int relocate(u8 *image, u64 image_bytes, u64 gpa, const u8 *table, u64 table_bytes, u64 slide);

#endif
