/*
 * The file of a kernel module made by hand: an ELF file with a .modinfo and no code.
 */
#ifndef BANTAM_TESTS_UNIT_MODULE_FILE_H
#define BANTAM_TESTS_UNIT_MODULE_FILE_H

#include <elf.h>

struct module_file {
	Elf64_Ehdr ehdr;
	char info[256]; /* of it, section[1].sh_size bytes */
	char names[32];
	Elf64_Shdr section[3]; /* none, .modinfo, the sections' names */
};

/* One that is good and depends on these, names with commas between. */
void module_file_make(struct module_file *module, const char *depends);

#endif
