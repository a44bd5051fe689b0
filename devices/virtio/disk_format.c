/*
 * Images that aren't raw: see disk.h. A guest would see such a file's tables for its disk, and write
 * over them.
 *
 * Sources: QEMU docs/interop/qcow2.rst and qed_spec.rst; VMware "Virtual Disk Format 5.0"; Microsoft
 * [MS-VHDX] 2.2.1 and "Virtual Hard Disk Image Format Specification"; VirtualBox VDICore.h.
 */
#include <string.h>
#include <unistd.h>

#include "devices/virtio/disk.h"

enum { HEAD_BYTES = 512 };

static const struct format {
	const char *name;
	const char *magic;
	unsigned bytes;
	unsigned at;
	bool from_end; /* in the last 512 bytes, where a copy of the head lies */
} formats[] = {
	{"qcow", "QFI\xfb\0\0\0\1", 8, 0, false},
	{"qcow2", "QFI\xfb", 4, 0, false},
	{"VMDK", "KDMV", 4, 0, false},
	{"VMDK", "# Disk DescriptorFile", 21, 0, false},
	{"VHDX", "vhdxfile", 8, 0, false},
	{"VHD", "conectix", 8, 0, false},
	{"VHD", "conectix", 8, 0, true},
	{"VDI", "\x7f\x10\xda\xbe", 4, 0x40, false},
	{"QED", "QED\0", 4, 0, false},
};

int disk_check_format(int fd, const char *path, u64 file_bytes, struct error *err)
{
	const u64 foot_at = file_bytes > HEAD_BYTES ? file_bytes - HEAD_BYTES : 0;
	/* What the file doesn't have is zero. */
	u8 head[HEAD_BYTES] = {0}, foot[HEAD_BYTES] = {0};

	(void)!pread(fd, head, HEAD_BYTES, 0);
	(void)!pread(fd, foot, HEAD_BYTES, (off_t)foot_at);
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		const struct format *format = &formats[i];
		const u8 *bytes = (format->from_end ? foot : head) + format->at;

		if (memcmp(bytes, format->magic, format->bytes) == 0)
			return error_set(err,
					 "it is a %s image, and a disk must be a raw one; convert "
					 "it: qemu-img convert -O raw '%s' '%s.raw'",
					 format->name, path, path);
	}
	return 0;
}
