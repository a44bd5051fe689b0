/*
 * bzImage: the kernel file that distributions ship.
 *
 * A real-mode part of (setup_sects + 1) sectors, whose header tells how to load the rest, then the
 * protected-mode part: a decompressor with the compressed kernel inside. Here the real-mode code
 * is never run. The protected-mode part is read to the kernel's preferred address, its 64-bit
 * entry is 0x200 behind that, and the header is handed to it in boot_params.
 *
 * Where the host has unpacked the kernel already, that is loaded in the place of all this, as an ELF
 * file (boot/unpack.h, boot/x86/kaslr.h).
 *
 * The decompressor needs init_size bytes from the address it is loaded at, and x86-64 kernels move
 * themselves to their preferred address at least; so that room is asked for as a whole, and a
 * guest with too little memory is told so before it starts.
 *
 * Limits: 64-bit kernels of protocol 2.12 (Linux 3.8) or newer.
 * Source: Linux Documentation/x86/boot.rst, "The Real-Mode Kernel Header", "64-bit Boot Protocol".
 */
#include "boot/kernel.h"

#include <asm/bootparam.h>
#include <stddef.h>
#include <string.h>

#include "boot/x86/kaslr.h"
#include "boot/x86/layout.h"

enum { SECTOR_BYTES = 512, ENTRY_64_OFFSET = 0x200 };
enum { SETUP_SECTS_DEFAULT = 4, PROTOCOL_MIN = 0x20c };
enum { PARAGRAPH_BYTES = 16, LENGTH_BYTE_AT = 0x201, LENGTH_FROM = 0x202 };

#define HEADER_AT offsetof(struct boot_params, hdr)

/* Copies the setup header; how long it is, the jump at its start tells. Newer fields read 0. */
static int read_header(const struct kernel_head *head, struct setup_header *hdr, struct error *err)
{
	size_t end = (size_t)LENGTH_FROM + head->bytes[LENGTH_BYTE_AT];

	memset(hdr, 0, sizeof(*hdr));
	if (end > HEADER_AT + sizeof(*hdr))
		end = HEADER_AT + sizeof(*hdr);
	if (head->used < end)
		return error_set(err, "the file is truncated: it ends within the setup header");
	memcpy(hdr, head->bytes + HEADER_AT, end - HEADER_AT);
	return 0;
}

static int check_header(const struct setup_header *hdr, struct error *err)
{
	if (hdr->version < PROTOCOL_MIN)
		return error_set(err,
				 "its boot protocol is %d.%02d, and 2.12 is needed (Linux 3.8 or "
				 "newer)",
				 hdr->version >> 8, hdr->version & 0xff);
	if (!(hdr->loadflags & LOADED_HIGH))
		return error_set(err,
				 "it is a zImage, which loads below 1 MiB; a bzImage is needed");
	if (!(hdr->xloadflags & XLF_KERNEL_64))
		return error_set(err, "it is a 32-bit kernel; bantam runs 64-bit kernels");
	return 0;
}

void bzimage_version(const struct boot_file *file, const struct kernel_head *head,
		     char version[KERNEL_VERSION_BYTES])
{
	struct error ignored = {0};
	u64 room = KERNEL_VERSION_BYTES - 1, from;
	u16 at;

	memset(version, 0, KERNEL_VERSION_BYTES);
	memcpy(&at, head->bytes + HEADER_AT + offsetof(struct setup_header, kernel_version),
	       sizeof(at));
	from = (u64)at + SECTOR_BYTES;
	if (at == 0 || from >= file->bytes)
		return;
	if (room > file->bytes - from)
		room = file->bytes - from;
	if (file_read(file, from, version, room, &ignored))
		version[0] = '\0';
	text_clean(version);
}

static u64 setup_bytes_of(const struct setup_header *hdr)
{
	return ((hdr->setup_sects ? hdr->setup_sects : SETUP_SECTS_DEFAULT) + (u64)1) *
	       SECTOR_BYTES;
}

int bzimage_payload(const struct boot_file *file, const struct kernel_head *head,
		    struct payload *payload, struct error *err)
{
	struct setup_header hdr;
	u32 image_bytes = 0;

	if (read_header(head, &hdr, err) || check_header(&hdr, err))
		return -1;
	*payload = (struct payload){.at = setup_bytes_of(&hdr) + hdr.payload_offset,
				    .bytes = hdr.payload_length,
				    .gpa = hdr.pref_address};
	if (hdr.payload_length < sizeof(image_bytes))
		return error_set(err, "it doesn't tell where its payload is");
	/* The unpacked size is the payload's last word. */
	if (file_read(file, payload->at + payload->bytes - sizeof(image_bytes), &image_bytes,
		      sizeof(image_bytes), err))
		return -1;
	payload->image_bytes = image_bytes;
	bzimage_version(file, head, payload->version);
	return 0;
}

/* In the place of the bzImage, what it was unpacked to is loaded. */
static int load_unpacked(const struct payload *payload, const struct boot_request *request,
			 u64 initrd_bytes, struct setup_header *hdr, struct place_map *map,
			 struct boot_kernel *kernel, struct error *err)
{
	const struct boot_file image = {
		.fd = request->image_fd, .adopted = true, .bytes = payload->image_bytes};
	struct vmlinux vmlinux;
	int result;

	if (vmlinux_open(&vmlinux, &image, payload->gpa, err))
		return -1;
	result = vmlinux_load(&vmlinux, request, initrd_bytes, hdr, map, kernel, err);
	vmlinux_close(&vmlinux);
	kernel->unpacked = true;
	return result;
}

int bzimage_load(const struct boot_file *file, const struct kernel_head *head,
		 const struct boot_request *request, u64 initrd_bytes, struct place_map *map,
		 struct boot_kernel *kernel, struct boot_params *info, struct error *err)
{
	struct setup_header *hdr = &info->hdr;
	u64 setup_bytes, needed_bytes, image_bytes;
	struct payload payload;
	void *host;

	if (request->protocol == BOOT_PVH)
		return error_set(err,
				 "a bzImage has no PVH entry; give the uncompressed vmlinux, or "
				 "use --boot-protocol linux");
	if (read_header(head, hdr, err) || check_header(hdr, err))
		return -1;

	setup_bytes = setup_bytes_of(hdr);
	/* syssize is rounded up to paragraphs; the file may lack that padding. */
	needed_bytes = setup_bytes + (u64)hdr->syssize * PARAGRAPH_BYTES;
	if (hdr->syssize * (u64)PARAGRAPH_BYTES <= ENTRY_64_OFFSET)
		return error_set(err,
				 "its header is broken: syssize is %u, so there is no code at "
				 "the 64-bit entry",
				 hdr->syssize);
	if (file->bytes + PARAGRAPH_BYTES <= needed_bytes)
		return error_set(err,
				 "the file is truncated: it has %llu bytes, and its header "
				 "promises %llu",
				 file->bytes, needed_bytes);
	image_bytes = file->bytes - setup_bytes;
	if (hdr->init_size < image_bytes)
		return error_set(err,
				 "its header is broken: init_size is %u, less than the %llu bytes "
				 "to load",
				 hdr->init_size, image_bytes);

	if (hdr->pref_address < LAYOUT_HIGH_RAM || hdr->pref_address > UINT32_MAX)
		return error_set(err, "its header is broken: it wants to be loaded at 0x%llx",
				 hdr->pref_address);

	kernel->cmdline_max_bytes = hdr->cmdline_size;
	kernel->initrd_limit = (u64)hdr->initrd_addr_max + 1;
	bzimage_version(file, head, kernel->version);
	if (request->image_fd)
		return bzimage_payload(file, head, &payload, err) ||
				       load_unpacked(&payload, request, initrd_bytes, hdr, map,
						     kernel, err)
			       ? -1
			       : 0;
	kernel->protocol = BOOT_LINUX;
	kernel->entry = hdr->pref_address + ENTRY_64_OFFSET;
	host = place_at(map, "kernel", hdr->pref_address, hdr->init_size, err);
	return host ? file_read(file, setup_bytes, host, image_bytes, err) : -1;
}
