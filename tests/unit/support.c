/*
 * What several unit tests share: see support.h. Whatever the host refuses here ends the test
 * program: nothing can be said about the code under test then.
 */
#include "tests/unit/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void must(bool fine, const char *what)
{
	if (fine)
		return;
	perror(what);
	abort();
}

void arena_make(struct arena *arena, u64 low_bytes, u64 high_bytes)
{
	const u64 bytes = low_bytes + high_bytes;
	u8 *mapping;

	arena->mapping_bytes = (size_t)(bytes + 2 * PAGE_BYTES);
	mapping = mmap(NULL, arena->mapping_bytes, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(mapping != MAP_FAILED, "mmap");
	must(mprotect(mapping + PAGE_BYTES, bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
	arena->mapping = mapping;
	arena->memory = (struct memory){.regions = high_bytes ? 2 : 1, .bytes = bytes};
	arena->memory.region[0] = (struct memory_region){0, low_bytes, mapping + PAGE_BYTES};
	if (high_bytes)
		arena->memory.region[1] = (struct memory_region){4 * GIB, high_bytes,
								 mapping + PAGE_BYTES + low_bytes};
}

void arena_free(struct arena *arena)
{
	munmap(arena->mapping, arena->mapping_bytes);
}

bool arena_is_zero(const struct arena *arena)
{
	const u8 *bytes = arena->memory.region[0].host;

	return bytes[0] == 0 && memcmp(bytes, bytes + 1, arena->memory.bytes - 1) == 0;
}

void temp_file_make(struct temp_file *file, const void *bytes, size_t count)
{
	file->fd = memfd_create("test", MFD_CLOEXEC);
	must(file->fd >= 0, "memfd_create");
	snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
	temp_file_set(file, bytes, count);
}

void temp_file_set(const struct temp_file *file, const void *bytes, size_t count)
{
	must(ftruncate(file->fd, (off_t)count) == 0, "ftruncate");
	must(pwrite(file->fd, bytes, count, 0) == (ssize_t)count, "pwrite");
}

void temp_file_free(struct temp_file *file)
{
	close(file->fd);
}

struct boot_file temp_file_boot(const struct temp_file *file)
{
	const off_t bytes = lseek(file->fd, 0, SEEK_END);

	must(bytes >= 0, "lseek");
	return (struct boot_file){.fd = file->fd, .bytes = (u64)bytes};
}

void bzimage_make(union bzimage *image)
{
	static const char version[] = "5.4.3-test (someone) #1 SMP";
	struct setup_header *hdr = &image->setup.hdr;

	memset(image, 0, sizeof(*image));
	memcpy(image->bytes, "MZ", 2);
	fill_pattern(image->bytes + BZ_SETUP_BYTES, BZ_PAYLOAD_BYTES, 1);
	memcpy(image->bytes + BZ_VERSION_AT, version, sizeof(version));
	*hdr = (struct setup_header){
		.setup_sects = BZ_SETUP_BYTES / 512 - 1,
		.syssize = (BZ_PAYLOAD_BYTES + 15) / 16,
		.boot_flag = 0xaa55,
		.jump = 0x6aeb, /* a jump over 0x6a bytes, from 0x202 to the header's end */
		.header = 0x53726448,
		.version = 0x020f,
		.kernel_version = BZ_VERSION_AT - 512,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.pref_address = BZ_PREFERRED,
		.init_size = BZ_INIT_BYTES,
	};
}

static struct elf_note pvh_note(void)
{
	return (struct elf_note){4, 4, 18, "Xen", {ELF_PVH_ENTRY}};
}

void elf64_make(struct elf64_image *image)
{
	*image = (struct elf64_image){
		.ehdr = {.e_type = ET_EXEC,
			 .e_machine = EM_X86_64,
			 .e_version = EV_CURRENT,
			 .e_entry = ELF_LINUX_ENTRY,
			 .e_phoff = offsetof(struct elf64_image, load),
			 .e_ehsize = sizeof(Elf64_Ehdr),
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_phnum = 3},
		/* Virtual addresses are high, as Linux has them, and mean nothing to a loader. */
		.load = {.p_type = PT_LOAD,
			 .p_offset = offsetof(struct elf64_image, text),
			 .p_vaddr = 0xffffffff81000000,
			 .p_paddr = ELF_TEXT_GPA,
			 .p_filesz = ELF_TEXT_BYTES,
			 .p_memsz = ELF_MEMORY_BYTES,
			 .p_align = 8},
		.note_header = {.p_type = PT_NOTE,
				.p_offset = offsetof(struct elf64_image, note),
				.p_filesz = 20,
				.p_memsz = 20,
				.p_align = 4},
		.other = {.p_type = PT_GNU_STACK},
		.note = pvh_note(),
	};
	memcpy(image->ehdr.e_ident,
	       "\x7f"
	       "ELF\x02\x01\x01",
	       7);
	fill_pattern(image->text, sizeof(image->text), 2);
}

void elf32_make(struct elf32_image *image)
{
	*image = (struct elf32_image){
		.ehdr = {.e_type = ET_EXEC,
			 .e_machine = EM_386,
			 .e_version = EV_CURRENT,
			 .e_entry = ELF_LINUX_ENTRY,
			 .e_phoff = offsetof(struct elf32_image, load),
			 .e_ehsize = sizeof(Elf32_Ehdr),
			 .e_phentsize = sizeof(Elf32_Phdr),
			 .e_phnum = 3},
		.load = {.p_type = PT_LOAD,
			 .p_offset = offsetof(struct elf32_image, text),
			 .p_vaddr = 0xc0000000,
			 .p_paddr = ELF_TEXT_GPA,
			 .p_filesz = ELF_TEXT_BYTES,
			 .p_memsz = ELF_MEMORY_BYTES,
			 .p_align = 8},
		.note_header = {.p_type = PT_NOTE,
				.p_offset = offsetof(struct elf32_image, note),
				.p_filesz = 20,
				.p_memsz = 20,
				.p_align = 4},
		.other = {.p_type = PT_GNU_STACK},
		.note = pvh_note(),
	};
	memcpy(image->ehdr.e_ident,
	       "\x7f"
	       "ELF\x01\x01\x01",
	       7);
	fill_pattern(image->text, sizeof(image->text), 2);
}

u32 next_random(u32 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

void fill_pattern(u8 *bytes, size_t count, u32 seed)
{
	u32 state = seed * 2654435761U + 1;

	for (size_t i = 0; i < count; i++)
		bytes[i] = (u8)(next_random(&state) | 1);
}
