/*
 * longmode - looks at the control registers that make up long mode, and does a piece of arithmetic
 * that can't come out right with 32-bit registers.
 */
#include "lib/lib.h"

#define MSR_EFER 0xc0000080
#define EFER_LME (1 << 8)  /* wanted */
#define EFER_LMA (1 << 10) /* and got */
#define CR0_PE   (1u << 0)
#define CR0_PG   (1u << 31)
#define CR4_PAE  (1u << 5)

void guest_main(void)
{
	u64 cr0, cr3, cr4, efer = rdmsr(MSR_EFER);
	volatile u64 a = 0x123456789ull,
		     b = 0x987654321ull; /* volatile: computed here, not by gcc */
	u16 cs;

	__asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	print("efer %lx cr0 %lx cr3 %lx cr4 %lx cs %x\n", efer, cr0, cr3, cr4, cs);
	print("lme %u lma %u pe %u pg %u pae %u\n", !!(efer & EFER_LME), !!(efer & EFER_LMA),
	      !!(cr0 & CR0_PE), !!(cr0 & CR0_PG), !!(cr4 & CR4_PAE));
	print("%lx * %lx = %lx\n", a, b, a * b);
	print("%lx / %lx = %lu\n", b, a, b / a);
	print("long mode %s\n", (efer & EFER_LMA) && a * b == 0xd77d742cce1833a9ull ? "ok" : "bad");
}
