/*
 * Kernels at random addresses: see kaslr.h.
 *
 * The table is made of words of 32 bits, each the low half of the virtual address of what is to be changed:
 * a zero, the fields of 64 bits; a zero, those of 32 bits from which the slide is taken away (which
 * Linux 6.15 dropped, with its per-CPU addresses); a zero, those of 32 bits. It reaches from the end of the ELF
 * file to the end of the image, so that how many lists there are can be counted.
 *
 * Source: Linux arch/x86/boot/compressed/kaslr.c, misc.c (handle_relocations), arch/x86/tools/relocs.c.
 */
#include "boot/x86/kaslr.h"

#include <asm/bootparam.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "boot/x86/layout.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(kaslr, CALL(getrandom, SANDBOX_RESTART, "where an unpacked kernel comes to lie"));

enum { WORD_BYTES = 4, LISTS_MAX = 3 };
enum { ALIGN_MIN = 2 * MIB, ALIGN_MAX = 16 * MIB };

/* The low half of the virtual address of physical address 0, and how far from there kernels may reach. */
#define KERNEL_MAP   ((u32)0x80000000)
#define KERNEL_SPACE GIB

static u32 load32(const u8 *at)
{
	u32 word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static void move(u8 *at, unsigned width, u64 by)
{
	u64 value = 0;

	memcpy(&value, at, width);
	value += by;
	memcpy(at, &value, width);
}

int relocate(u8 *image, u64 image_bytes, u64 gpa, const u8 *table, u64 table_bytes, u64 slide)
{
	unsigned lists = 0, list = 0;

	for (u64 at = 0; at + WORD_BYTES <= table_bytes; at += WORD_BYTES)
		lists += load32(table + at) == 0;
	if (table_bytes % WORD_BYTES || table_bytes == 0 || load32(table) != 0 ||
	    lists < LISTS_MAX - 1 || lists > LISTS_MAX)
		return -1;
	for (u64 at = 0; at < table_bytes; at += WORD_BYTES) {
		const u32 word = load32(table + at);
		const unsigned width = list == 1 ? sizeof(u64) : sizeof(u32);
		const u32 offset = word - KERNEL_MAP - (u32)gpa;

		if (word == 0)
			list++;
		else if (offset >= image_bytes || image_bytes - offset < width)
			return -1;
		else if (image)
			move(image + offset, width,
			     list == 2 && lists == LISTS_MAX ? -slide : slide);
	}
	return 0;
}

int vmlinux_open(struct vmlinux *vmlinux, const struct boot_file *file, u64 gpa, struct error *err)
{
	struct elf_extent *const extent = &vmlinux->extent;
	enum boot_kind kind;
	u64 bytes;

	*vmlinux = (struct vmlinux){.file = file};
	if (kernel_recognise(file, &vmlinux->head, &kind, err))
		return -1;
	if (kind != BOOT_ELF)
		return error_set(err, "what it unpacks to is no ELF file");
	if (elf_extent(file, &vmlinux->head, extent, err))
		return -1;
	if (extent->gpa != gpa || extent->bytes > KERNEL_SPACE)
		return error_set(err, "what it unpacks to wants to lie elsewhere than it says");
	bytes = extent->file_bytes < file->bytes ? file->bytes - extent->file_bytes : 0;
	if (bytes == 0)
		return 0;
	vmlinux->relocation_bytes = bytes;
	vmlinux->relocations = malloc((size_t)bytes);
	if (!vmlinux->relocations)
		return error_set(err, "no memory for its relocations");
	if (file_read(file, extent->file_bytes, vmlinux->relocations, bytes, err) == 0) {
		if (relocate(NULL, extent->bytes, gpa, vmlinux->relocations, bytes, 0) == 0)
			return 0;
		error_set(err, "its table of relocations is of an unknown kind");
	}
	vmlinux_close(vmlinux);
	return -1;
}

void vmlinux_close(struct vmlinux *vmlinux)
{
	free(vmlinux->relocations);
	vmlinux->relocations = NULL;
}

/* Whether the command line has a word that begins, or ends too, like this one. */
static bool has_word(const char *cmdline, const char *word)
{
	const size_t length = strlen(word);

	for (const char *at = cmdline; (at = strstr(at, word)); at++)
		if ((at == cmdline || at[-1] == ' ') &&
		    (word[length - 1] == '=' || at[length] == '\0' || at[length] == ' '))
			return true;
	return false;
}

/* A random multiple of align, such that bytes from there on end below the limit; 0 at the least. */
static int choose(u64 bytes, u64 limit, u64 align, u64 *chosen, struct error *err)
{
	u64 random = 0;

	if (limit > bytes && getrandom(&random, sizeof(random), 0) != sizeof(random))
		return error_errno(err, "no random numbers");
	*chosen = limit > bytes ? random % ((limit - bytes) / align + 1) * align : 0;
	return 0;
}

/* Chooses how far the kernel is moved in physical memory, and in its own. */
static int choose_both(const struct vmlinux *vmlinux, const struct boot_request *request,
		       u64 initrd_bytes, const struct setup_header *hdr,
		       const struct memory *memory, struct boot_kernel *kernel, u64 *moved,
		       struct error *err)
{
	const u64 align = hdr->kernel_alignment, bytes = vmlinux->extent.bytes;
	const u64 image = bytes > vmlinux->file->bytes ? bytes : vmlinux->file->bytes;
	const u64 low = memory->region[0].bytes, above = align_up(initrd_bytes, PAGE_BYTES);
	const u64 end = low < kernel->initrd_limit ? low : kernel->initrd_limit;
	const u64 pref = vmlinux->extent.gpa;

	*moved = kernel->slide = 0;
	kernel->random = vmlinux->relocations && !has_word(request->cmdline, "nokaslr") &&
			 align >= ALIGN_MIN && align <= ALIGN_MAX && (align & (align - 1)) == 0;
	if (!kernel->random)
		return 0;
	if (choose(pref + image, KERNEL_SPACE, align, &kernel->slide, err))
		return -1;
	if (has_word(request->cmdline, "mem=") || has_word(request->cmdline, "memmap="))
		return 0;
	return choose(pref + bytes + above, end, align, moved, err);
}

int vmlinux_load(const struct vmlinux *vmlinux, const struct boot_request *request,
		 u64 initrd_bytes, struct setup_header *hdr, struct place_map *map,
		 struct boot_kernel *kernel, struct error *err)
{
	const struct elf_extent *const extent = &vmlinux->extent;
	const u64 limit = kernel->initrd_limit, cmdline = kernel->cmdline_max_bytes;
	u8 *host;
	u64 moved;

	if (choose_both(vmlinux, request, initrd_bytes, hdr, map->memory, kernel, &moved, err) ||
	    elf_load(vmlinux->file, &vmlinux->head, BOOT_LINUX, moved, map, kernel, err))
		return -1;
	/* Those of a vmlinux are guesses. */
	kernel->initrd_limit = limit;
	kernel->cmdline_max_bytes = cmdline;
	hdr->loadflags = (u8)((hdr->loadflags & ~KASLR_FLAG) | (kernel->random ? KASLR_FLAG : 0));
	if (!kernel->slide)
		return 0;
	host = memory_at(map->memory, extent->gpa + moved, extent->bytes);
	if (host && relocate(host, extent->bytes, extent->gpa, vmlinux->relocations,
			     vmlinux->relocation_bytes, kernel->slide) == 0)
		return 0;
	return error_set(err, "its table of relocations is broken");
}
