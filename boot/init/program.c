/* The guest's init as a file: see program.h. BANTAM_INIT is its path, from the build. */
#include "boot/init/program.h"

__asm__(".pushsection .rodata.init_program, \"a\"\n"
	".balign 8\n"
	".globl init_program, init_program_bytes\n"
	"init_program_bytes: .quad init_program_end - init_program\n"
	"init_program: .incbin \"" BANTAM_INIT "\"\n"
	"init_program_end:\n"
	".popsection\n");
