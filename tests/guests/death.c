/*
 * death - ways to die of one's page tables and stack; all end in a triple fault. There is an IDT
 * with a handler for each exception, which is no help:
 *
 *   stack    a stack pointer into unmapped memory: a push faults, and so does the processor's own
 *            push of the handler's frame, and that of the double fault
 *   tables   page tables without an entry: not even the next instruction can be fetched
 *   outside  page tables where no RAM is
 */
#include "lib/lib.h"

#define UNMAPPED 0x7000123450ull /* beyond the 4 GiB that lib/start.S maps */
#define NO_RAM   0xd0000000ull

static u8 empty[4096] __attribute__((aligned(4096)));

void guest_main(void)
{
	irq_init();
	if (cmdline_has("stack")) {
		print("a stack nowhere\n");
		__asm__ volatile("mov %0, %%rsp; push %%rax" ::"r"(UNMAPPED) : "memory");
	}
	if (cmdline_has("tables")) {
		print("tables at %lx\n", (u64)empty);
		__asm__ volatile("mov %0, %%cr3" ::"r"(empty) : "memory");
	}
	if (cmdline_has("outside")) {
		print("tables outside\n");
		__asm__ volatile("mov %0, %%cr3" ::"r"(NO_RAM) : "memory");
	}
	print("still alive\n");
}
