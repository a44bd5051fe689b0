/*
 * ELF kernels: an uncompressed vmlinux, a unikernel, Xen, a bare-metal lesson.
 *
 * Each PT_LOAD segment is read to its physical address; what it has in memory beyond the file is
 * zero already. Which protocol starts it is told by a note: one of name "Xen", type 18, gives the
 * 32-bit PVH entry. Without it a 64-bit file is started by Linux's 64-bit protocol at e_entry,
 * which in a vmlinux is a physical address. Debian's vmlinux has both ways in; with BOOT_AUTO the
 * note wins, since other systems' kernels have nothing else.
 *
 * Every number in the file is somebody else's: sums are checked for wrap, counts are bounded, and
 * segments must lie in RAM, above 1 MiB and apart.
 *
 * Source: System V ABI, "Object Files"; Xen docs/misc/pvh.pandoc and public/elfnote.h.
 */
#include "boot/kernel.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "boot/x86/layout.h"

enum { SEGMENTS_MAX = 48 };
enum { NOTE_PVH_ENTRY = 18 }; /* XEN_ELFNOTE_PHYS32_ENTRY */
enum { NOTES_MAX_BYTES = 4096, NOTE_HEADER_BYTES = 12 };

/* What vmlinux has no header to tell: Linux's COMMAND_LINE_SIZE, and the customary limit. */
enum { VMLINUX_CMDLINE_BYTES = 2047 };
enum { VERSION_PIECE_BYTES = 65536 };
#define VERSION_MAX_OFFSET   (64 * MIB)
#define VMLINUX_INITRD_LIMIT ((u64)0x80000000)

/* A field of a header that 32-bit files have in a form of their own; is64 is the file's. */
#define FIELD(header, name) (elf->is64 ? (header).wide.name : (header).narrow.name)

struct elf {
	const struct boot_file *file;
	bool is64;
	u16 machine, segments;
	u64 entry, table; /* where the program headers begin */
	u64 sections_end; /* where the section headers end */
	u64 moved;        /* so far segments and entry lie behind where they want to */
	Elf64_Phdr segment[SEGMENTS_MAX];
};

static const char *machine_name(u16 machine)
{
	return machine == EM_AARCH64 ? "arm64"
	       : machine == EM_RISCV ? "RISC-V"
	       : machine == EM_PPC64 ? "POWER"
	       : machine == EM_S390  ? "s390"
	       : machine == EM_ARM   ? "arm"
				     : "another architecture";
}

static int parse_header(struct elf *elf, const struct kernel_head *head, struct error *err)
{
	union {
		Elf32_Ehdr narrow;
		Elf64_Ehdr wide;
	} header;
	u16 type, entry_bytes;

	memcpy(&header, head->bytes, sizeof(header));
	elf->is64 = head->bytes[EI_CLASS] == ELFCLASS64;
	if (head->used < sizeof(Elf32_Ehdr) || (elf->is64 && head->used < sizeof(Elf64_Ehdr)))
		return error_set(err, "the file is truncated: it ends within the ELF header");
	if (!elf->is64 && head->bytes[EI_CLASS] != ELFCLASS32)
		return error_set(err, "its ELF header is broken: class %u", head->bytes[EI_CLASS]);
	if (head->bytes[EI_DATA] != ELFDATA2LSB)
		return error_set(err, "it is a big-endian ELF file; bantam runs x86-64 guests");
	type = FIELD(header, e_type);
	entry_bytes = FIELD(header, e_phentsize);
	elf->machine = FIELD(header, e_machine);
	elf->segments = FIELD(header, e_phnum);
	elf->entry = FIELD(header, e_entry) + elf->moved;
	elf->table = FIELD(header, e_phoff);
	elf->sections_end =
		FIELD(header, e_shoff) + (u64)FIELD(header, e_shnum) * FIELD(header, e_shentsize);
	if (elf->machine != EM_X86_64 && elf->machine != EM_386)
		return error_set(err, "it is an ELF file for %s; bantam runs x86-64 guests",
				 machine_name(elf->machine));
	if (type != ET_EXEC && type != ET_DYN)
		return error_set(err, "it is an ELF file that can't be run (an object file or a "
				      "core dump)");
	if (elf->segments == 0 || elf->segments > SEGMENTS_MAX)
		return error_set(err, "its ELF header is broken: %u segments (1 to %d are taken)",
				 elf->segments, SEGMENTS_MAX);
	if (entry_bytes != (elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return error_set(err, "its ELF header is broken: program headers of %u bytes",
				 entry_bytes);
	return 0;
}

static int read_segments(struct elf *elf, struct error *err)
{
	const u64 bytes = elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

	for (unsigned i = 0; i < elf->segments; i++) {
		union {
			Elf32_Phdr narrow;
			Elf64_Phdr wide;
		} header;

		if (file_read(elf->file, elf->table + i * bytes, &header, bytes, err))
			return -1;
		elf->segment[i] = (Elf64_Phdr){.p_type = FIELD(header, p_type),
					       .p_offset = FIELD(header, p_offset),
					       .p_paddr = FIELD(header, p_paddr) + elf->moved,
					       .p_filesz = FIELD(header, p_filesz),
					       .p_memsz = FIELD(header, p_memsz),
					       .p_align = FIELD(header, p_align)};
	}
	return 0;
}

/* Looks for the PVH entry in a note segment's bytes; true and *entry when it is there. */
static bool find_pvh_note(const u8 *notes, size_t bytes, u64 align, u64 *entry)
{
	size_t at = 0;

	while (bytes - at >= NOTE_HEADER_BYTES) {
		u32 header[3]; /* name bytes, descriptor bytes, type */
		size_t name_at, descriptor_at;

		memcpy(header, notes + at, sizeof(header));
		if (header[0] > bytes || header[1] > bytes)
			return false;
		name_at = at + NOTE_HEADER_BYTES;
		descriptor_at = (size_t)align_up(name_at + header[0], align);
		if (descriptor_at > bytes || header[1] > bytes - descriptor_at)
			return false;
		if (header[2] == NOTE_PVH_ENTRY && header[0] == sizeof("Xen") &&
		    memcmp(notes + name_at, "Xen", sizeof("Xen")) == 0 &&
		    (header[1] == 4 || header[1] == 8)) {
			*entry = 0;
			memcpy(entry, notes + descriptor_at, header[1]);
			return true;
		}
		at = (size_t)align_up(descriptor_at + header[1], align);
		if (at > bytes)
			return false;
	}
	return false;
}

/* 1 with *entry when the file has a PVH entry, 0 when not, -1 with err set when it can't be read. */
static int pvh_entry(const struct elf *elf, u64 *entry, struct error *err)
{
	for (unsigned i = 0; i < elf->segments; i++) {
		const Elf64_Phdr *segment = &elf->segment[i];
		u8 notes[NOTES_MAX_BYTES];
		u64 left = segment->p_filesz, from = segment->p_offset;

		if (segment->p_type != PT_NOTE || left == 0)
			continue;
		/* Notes of a kernel are a few hundred bytes; a longer table is read in part. */
		if (left > sizeof(notes))
			left = sizeof(notes);
		if (file_read(elf->file, from, notes, left, err))
			return -1;
		if (find_pvh_note(notes, (size_t)left, segment->p_align == 8 ? 8 : 4, entry))
			return 1;
	}
	return 0;
}

static int load_segment(const struct elf *elf, const Elf64_Phdr *segment, struct place_map *map,
			struct error *err)
{
	u8 *host;

	if (segment->p_filesz > segment->p_memsz)
		return error_set(err, "its ELF header is broken: a segment has more bytes in the "
				      "file than in memory");
	if (segment->p_paddr < LAYOUT_HIGH_RAM)
		return error_set(err,
				 "it has a segment at 0x%llx; the first MiB belongs to the boot "
				 "data and the firmware tables",
				 (u64)segment->p_paddr);
	host = place_at(map, "kernel segment", segment->p_paddr, segment->p_memsz, err);
	if (!host)
		return -1;
	if (segment->p_filesz == 0)
		return 0;
	return file_read(elf->file, segment->p_offset, host, segment->p_filesz, err);
}

static bool entry_is_loaded(const struct elf *elf, u64 entry)
{
	for (unsigned i = 0; i < elf->segments; i++) {
		const Elf64_Phdr *segment = &elf->segment[i];

		if (segment->p_type == PT_LOAD && entry >= segment->p_paddr &&
		    entry - segment->p_paddr < segment->p_memsz)
			return true;
	}
	return false;
}

static int choose_protocol(const struct elf *elf, enum boot_protocol wanted,
			   struct boot_kernel *kernel, struct error *err)
{
	u64 entry = elf->entry;
	const int pvh = wanted == BOOT_LINUX ? 0 : pvh_entry(elf, &entry, err);

	if (pvh < 0)
		return -1;
	if (!pvh && wanted == BOOT_PVH)
		return error_set(err, "it has no PVH note; use --boot-protocol linux if it is a "
				      "64-bit vmlinux");
	if (!pvh && (!elf->is64 || elf->machine != EM_X86_64))
		return error_set(err, "it is a 32-bit ELF file without a PVH note; bantam runs "
				      "64-bit kernels and PVH kernels");
	if (entry > UINT32_MAX)
		return error_set(err, "its entry 0x%llx lies above 4 GiB", entry);
	if (!entry_is_loaded(elf, entry))
		return error_set(err, "its entry 0x%llx lies in no segment", entry);
	kernel->protocol = pvh ? BOOT_PVH : BOOT_LINUX;
	kernel->entry = entry;
	return 0;
}

int elf_extent(const struct boot_file *file, const struct kernel_head *head,
	       struct elf_extent *extent, struct error *err)
{
	struct elf elf = {.file = file};
	u64 end = 0;

	if (parse_header(&elf, head, err) || read_segments(&elf, err))
		return -1;
	*extent = (struct elf_extent){.gpa = UINT64_MAX, .file_bytes = elf.sections_end};
	for (unsigned i = 0; i < elf.segments; i++) {
		const Elf64_Phdr *segment = &elf.segment[i];
		u64 file_end, segment_end;

		if (segment->p_type != PT_LOAD)
			continue;
		if (add_overflows(segment->p_offset, segment->p_filesz, &file_end) ||
		    add_overflows(segment->p_paddr, segment->p_memsz, &segment_end))
			return error_set(err, "its ELF header is broken: a segment wraps");
		if (segment->p_paddr < extent->gpa)
			extent->gpa = segment->p_paddr;
		if (segment_end > end)
			end = segment_end;
		if (file_end > extent->file_bytes)
			extent->file_bytes = file_end;
	}
	if (end <= extent->gpa)
		return error_set(err, "its ELF header is broken: there is nothing to load");
	extent->bytes = end - extent->gpa;
	return 0;
}

int elf_load(const struct boot_file *file, const struct kernel_head *head,
	     enum boot_protocol protocol, u64 moved, struct place_map *map,
	     struct boot_kernel *kernel, struct error *err)
{
	struct elf elf = {.file = file, .moved = moved};

	if (parse_header(&elf, head, err) || read_segments(&elf, err) ||
	    choose_protocol(&elf, protocol, kernel, err))
		return -1;
	kernel->cmdline_max_bytes = VMLINUX_CMDLINE_BYTES;
	kernel->initrd_limit = VMLINUX_INITRD_LIMIT;
	for (unsigned i = 0; i < elf.segments; i++) {
		const Elf64_Phdr *segment = &elf.segment[i];

		if (segment->p_type == PT_LOAD && (segment->p_memsz || segment->p_filesz) &&
		    load_segment(&elf, segment, map, err))
			return -1;
	}
	return 0;
}

/*
 * Where Linux's banner is looked for first: it lies at the front of the read-only data, and those are
 * the first section that isn't code. Returns 0 where there are no sections.
 */
static u64 first_data(const struct boot_file *file)
{
	Elf64_Ehdr header;
	Elf64_Shdr section;
	struct error ignored;

	if (file_read(file, 0, &header, sizeof(header), &ignored) ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_shentsize != sizeof(section))
		return 0;
	for (u64 i = 0; i < header.e_shnum; i++) {
		if (file_read(file, header.e_shoff + i * sizeof(section), &section, sizeof(section),
			      &ignored))
			return 0;
		if (section.sh_type == SHT_PROGBITS && !(section.sh_flags & SHF_EXECINSTR))
			return section.sh_offset;
	}
	return 0;
}

static bool find_version(const struct boot_file *file, u64 at, char version[KERNEL_VERSION_BYTES])
{
	static const char banner[] = "Linux version ";
	struct error ignored;

	for (; at < file->bytes && at < VERSION_MAX_OFFSET; at += VERSION_PIECE_BYTES) {
		/* Pieces overlap, so that one of them has all of it. */
		char piece[VERSION_PIECE_BYTES + sizeof(banner) + KERNEL_VERSION_BYTES] = "";
		const u64 left = file->bytes - at, most = sizeof(piece) - 1;
		const char *found;

		if (file_read(file, at, piece, left < most ? left : most, &ignored))
			return false;
		found = memmem(piece, sizeof(piece), banner, strlen(banner));
		if (found && found < piece + VERSION_PIECE_BYTES) {
			snprintf(version, KERNEL_VERSION_BYTES, "%s", found + strlen(banner));
			return true;
		}
	}
	return false;
}

void elf_version(const struct boot_file *file, char version[KERNEL_VERSION_BYTES])
{
	version[0] = '\0';
	if (!find_version(file, first_data(file), version))
		(void)find_version(file, 0, version);
}
