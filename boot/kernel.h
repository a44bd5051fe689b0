/*
 * Kernel images: tells the kinds apart, tells which release of Linux they are, and loads them.
 */
#ifndef BANTAM_BOOT_KERNEL_H
#define BANTAM_BOOT_KERNEL_H

#include "boot/boot.h"
#include "boot/file.h"

enum { KERNEL_HEAD_BYTES = 4096, KERNEL_RELEASE_BYTES = 65 };

/* The first bytes of a kernel image; what the file doesn't have is zero. */
struct kernel_head {
	u8 bytes[KERNEL_HEAD_BYTES];
	size_t used;
};

/*
 * Reads head from the file and says which kind of kernel it is. Returns 0, or -1 with err set to
 * what the file is instead, as far as its first bytes tell.
 */
int kernel_recognise(const struct boot_file *file, struct kernel_head *head, enum boot_kind *kind,
		     struct error *err);

/*
 * Fills release with the name that this kernel's modules go by, as uname -r has it
 * ("6.1.0-56-cloud-amd64"): a digit first, and no '/'. It is empty when the image doesn't tell.
 * Returns 0, or -1 with err set when it is no kernel. The image isn't loaded for it.
 */
int kernel_release(const struct boot_file *file, char release[KERNEL_RELEASE_BYTES],
		   struct error *err);

/* Fill version with the image's own words, release first, or leave it empty. */
void bzimage_version(const struct boot_file *file, const struct kernel_head *head,
		     char version[KERNEL_VERSION_BYTES]);
void elf_version(const struct boot_file *file, char version[KERNEL_VERSION_BYTES]);

/*
 * Loads a bzImage, taking its places in map, and fills *kernel; from request come the protocol as the user
 * wants it and what becomes of an unpacked kernel. initrd_bytes: what will have to find room as well.
 * info is filled with what boot_params takes over, the setup header. Returns 0, or -1 with err set.
 */
struct boot_params;
int bzimage_load(const struct boot_file *file, const struct kernel_head *head,
		 const struct boot_request *request, u64 initrd_bytes, struct place_map *map,
		 struct boot_kernel *kernel, struct boot_params *info, struct error *err);

/* The compressed kernel in a bzImage. */
struct payload {
	u64 at, bytes;                      /* where it lies in the file */
	u64 image_bytes;                    /* how long it becomes, by its own word */
	u64 gpa;                            /* where the kernel wants to lie */
	char version[KERNEL_VERSION_BYTES]; /* bzimage_version() */
};

/* Finds it. Returns 0, or -1 with err set when the header is broken or tells nothing of it. */
int bzimage_payload(const struct boot_file *file, const struct kernel_head *head,
		    struct payload *payload, struct error *err);

/* Loads an ELF file in the same way; moved: so many bytes beyond where its segments want to lie. */
int elf_load(const struct boot_file *file, const struct kernel_head *head,
	     enum boot_protocol protocol, u64 moved, struct place_map *map,
	     struct boot_kernel *kernel, struct error *err);

/* What an ELF file takes. */
struct elf_extent {
	u64 gpa,
		bytes; /* from the lowest segment's beginning to the highest one's end, in memory */
	u64 file_bytes; /* what is behind these in the file isn't ELF's */
};

/* Finds it. Returns 0, or -1 with err set when there are no segments, or they wrap. */
int elf_extent(const struct boot_file *file, const struct kernel_head *head,
	       struct elf_extent *extent, struct error *err);

#endif
