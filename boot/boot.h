/*
 * Puts a kernel and all that it needs into guest memory.
 *
 * boot_load() takes the numbered steps: recognise the kernel, read it, place the command line, the
 * initrd and the ACPI tables, and describe them to the kernel as its boot protocol wants it. What
 * comes out says where everything lies and in which state the first vCPU has to start. It needs no
 * KVM, which is what lets --dry-run and the tests look at all of it.
 */
#ifndef BANTAM_BOOT_BOOT_H
#define BANTAM_BOOT_BOOT_H

#include "boot/acpi.h"
#include "boot/place.h"
#include "vmm/error.h"
#include "vmm/memory.h"

enum boot_protocol {
	BOOT_AUTO,
	BOOT_LINUX, /* Linux's 64-bit boot protocol: boot_params */
	BOOT_PVH,   /* Xen's PVH: hvm_start_info */
};

enum boot_kind { BOOT_BZIMAGE, BOOT_ELF };

struct boot_request {
	const char *kernel; /* path */
	const char *initrd; /* path, or NULL */
	/* Descriptors of the two where they are open already (the caller keeps them); else 0. */
	int kernel_fd, initrd_fd;
	int image_fd; /* of the bzImage's kernel, unpacked (unpack_kernel()); 0: the guest does it */
	/* An archive that is put behind the initrd; or NULL. */
	const void *archive;
	u64 archive_bytes;
	const char *cmdline;
	enum boot_protocol protocol;
	struct acpi_machine acpi;
};

/* Descriptors of the files, to load them again later; 0: not open. */
struct boot_files {
	int kernel_fd, initrd_fd;
	int image_fd; /* as in boot_request */
};

enum { KERNEL_VERSION_BYTES = 128 };

/* What the loader of a kernel image found out. */
struct boot_kernel {
	enum boot_kind kind;
	enum boot_protocol protocol;        /* BOOT_LINUX or BOOT_PVH */
	u64 entry;                          /* gpa of the first instruction */
	u64 cmdline_max_bytes;              /* the longest command line, without its end */
	u64 initrd_limit;                   /* gpa that the initrd must end at or below */
	char version[KERNEL_VERSION_BYTES]; /* as a bzImage tells it, or empty */
	bool unpacked;                      /* a bzImage's kernel, not the bzImage, was loaded */
	bool random;                        /* … at random addresses: */
	u64 slide;                          /* so far its virtual addresses are moved */
};

/* All that boot_load() decided. */
struct boot_plan {
	struct boot_kernel kernel;
	u64 info_gpa; /* boot_params or hvm_start_info */
	u64 rsdp_gpa;
	struct place_map map;
};

/* Opens kernel and initrd, which may be NULL. Returns 0, or -1 with err set and nothing open. */
int boot_open_files(struct boot_files *files, const char *kernel, const char *initrd,
		    struct error *err);
void boot_close_files(struct boot_files *files);

/*
 * Loads everything into memory. Returns 0, or -1 with err set to a line that names the file.
 * After a failure the memory's content is of no use.
 */
int boot_load(const struct boot_request *request, const struct memory *memory,
	      struct boot_plan *plan, struct error *err);

#endif
