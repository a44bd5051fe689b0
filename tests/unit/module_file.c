/* The file of a kernel module made by hand: see module_file.h. */
#include "tests/unit/module_file.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

void module_file_make(struct module_file *module, const char *depends)
{
	/* Padding between the strings, as the linker may leave it. */
	static const char before[] = "license=GPL\0\0\0name=it";
	size_t used = sizeof(before);

	*module = (struct module_file){
		.ehdr = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			 .e_type = ET_REL,
			 .e_machine = EM_X86_64,
			 .e_version = EV_CURRENT,
			 .e_shoff = offsetof(struct module_file, section),
			 .e_ehsize = sizeof(Elf64_Ehdr),
			 .e_shentsize = sizeof(Elf64_Shdr),
			 .e_shnum = 3,
			 .e_shstrndx = 2},
		.names = "\0.modinfo\0.shstrtab",
		.section = {{.sh_type = SHT_NULL},
			    {.sh_name = 1,
			     .sh_type = SHT_PROGBITS,
			     .sh_offset = offsetof(struct module_file, info)},
			    {.sh_name = 10,
			     .sh_type = SHT_STRTAB,
			     .sh_offset = offsetof(struct module_file, names),
			     .sh_size = sizeof("\0.modinfo\0.shstrtab")}},
	};
	memcpy(module->info, before, sizeof(before));
	used += (size_t)snprintf(module->info + used, sizeof(module->info) - used, "depends=%s",
				 depends) +
		1;
	module->section[1].sh_size = used;
}
