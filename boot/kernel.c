/*
 * Tells kernel images apart: see kernel.h.
 *
 * A file that is no kernel for this machine gets a line that says what it is: people hand a
 * monitor an arm64 Image, a compressed vmlinux or an EFI bundle far more often than random bytes.
 */
#include "boot/kernel.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

enum { SETUP_MAGIC_AT = 0x202, BOOT_FLAG_AT = 0x1fe };

struct signature {
	size_t at;
	const char *bytes;
	size_t count;
	const char *what; /* completes "it is …" */
};

/* What else people take for a kernel that boots here, most telling first. */
static const struct signature signatures[] = {
	{0x38, "ARM\x64", 4, "a kernel for arm64; bantam runs x86-64 guests"},
	{0x38, "RSC\x05", 4, "a kernel for RISC-V; bantam runs x86-64 guests"},
	{4, "zimg", 4, "a compressed EFI kernel; unpack the kernel in it first"},
	{0, "\x1f\x8b", 2, "compressed with gzip; unpack it first: gzip -dc"},
	{0, "\3757zXZ", 5, "compressed with xz; unpack it first: xz -dc"},
	{0, "\x28\xb5\x2f\xfd", 4, "compressed with zstd; unpack it first: zstd -dc"},
	{0, "\x02\x21\x4c\x18", 4, "compressed with lz4; unpack it first: lz4 -dc"},
	{0, "\x04\x22\x4d\x18", 4, "compressed with lz4; unpack it first: lz4 -dc"},
	{0, "070701", 6, "a cpio archive; give it with --initrd"},
	{0, "!<arch>\n", 8, "a package or an archive; unpack the kernel from it"},
	{0, "\x27\x05\x19\x56", 4, "a U-Boot image; unpack the kernel in it first"},
	{0, "QFI\xfb", 4, "a qcow2 disk image"},
	{0, "MZ", 2,
	 "an EFI program without a Linux boot header; a unified kernel image is unpacked with "
	 "'objcopy -O binary -j .linux'"},
};

static bool has_bytes(const struct kernel_head *head, size_t at, const void *bytes, size_t count)
{
	return at + count <= head->used && memcmp(head->bytes + at, bytes, count) == 0;
}

static int refuse(const struct kernel_head *head, struct error *err)
{
	char hex[3 * 8 + 1] = "";

	for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
		const struct signature *signature = &signatures[i];

		if (has_bytes(head, signature->at, signature->bytes, signature->count))
			return error_set(err, "it is %s", signature->what);
	}
	for (size_t i = 0; i < 8 && i < head->used; i++)
		snprintf(hex + 3 * i, 4, " %02x", head->bytes[i]);
	return error_set(err, "not a bzImage or an ELF kernel (it starts%s%s)", hex,
			 head->used > 8 ? " …" : "");
}

int kernel_recognise(const struct boot_file *file, struct kernel_head *head, enum boot_kind *kind,
		     struct error *err)
{
	memset(head, 0, sizeof(*head));
	head->used = file->bytes < KERNEL_HEAD_BYTES ? (size_t)file->bytes : KERNEL_HEAD_BYTES;
	if (file_read(file, 0, head->bytes, head->used, err))
		return -1;
	if (has_bytes(head, SETUP_MAGIC_AT, "HdrS", 4) &&
	    has_bytes(head, BOOT_FLAG_AT, "\x55\xaa", 2)) {
		*kind = BOOT_BZIMAGE;
		return 0;
	}
	if (has_bytes(head, 0, ELFMAG, SELFMAG)) {
		*kind = BOOT_ELF;
		return 0;
	}
	return refuse(head, err);
}

int kernel_release(const struct boot_file *file, char release[KERNEL_RELEASE_BYTES],
		   struct error *err)
{
	char version[KERNEL_VERSION_BYTES];
	struct kernel_head head;
	enum boot_kind kind = BOOT_ELF;
	size_t bytes;

	if (kernel_recognise(file, &head, &kind, err))
		return -1;
	if (kind == BOOT_BZIMAGE)
		bzimage_version(file, &head, version);
	else
		elf_version(file, version);
	/* It becomes a part of a path: a file that says "../.." says nothing. */
	bytes = strcspn(version, " /");
	if (version[0] < '0' || version[0] > '9' || bytes >= KERNEL_RELEASE_BYTES ||
	    (version[bytes] && version[bytes] != ' '))
		bytes = 0;
	memcpy(release, version, bytes);
	release[bytes] = '\0';
	return 0;
}
