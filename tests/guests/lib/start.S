/*
 * The way from the monitor's first instruction to C. A guest has two doors:
 *
 *   pvh_start  PVH: 32-bit protected mode, paging off, ebx = struct hvm_start_info. We go to long
 *              mode ourselves: page tables, CR4.PAE, EFER.LME, CR0.PG, a far jump into 64-bit code.
 *   _start     Linux 64-bit boot protocol (boot.rst, "64-bit Boot Protocol"): long mode already, on
 *              the monitor's page tables, rsi = struct boot_params. We move to tables and a GDT of
 *              our own, since the monitor's lie somewhere in RAM that the guest may want to use.
 *
 * Both end in boot_main(protocol, info). ap_start is the third way, for the other CPUs:
 * ap_trampoline is copied below 1 MiB, entered in real mode by a SIPI, and goes through the same
 * enter_long.
 *
 * The page tables are not computed but assembled: 2048 entries of 2 MiB map the first 4 GiB one to
 * one.
 */
#define SEL_CODE32	0x08
#define SEL_CODE64	0x10	/* the numbers are those of the Linux protocol's __BOOT_CS and */
#define SEL_DATA	0x18	/* __BOOT_DS: segments loaded by the monitor stay right */

#define CR4_PAE		0x20
#define CR0_PG_PE	0x80000001
#define CR0_CD_NW	0x60000000	/* set after INIT: caches off */
#define MSR_EFER	0xc0000080
#define EFER_LME	0x100

#define BOOT_PVH	1	/* as in lib.h */
#define BOOT_LINUX	2

	.text
	.code32
	.globl	pvh_start
pvh_start:
	cli
	cld
	lgdt	gdt_pointer
	movl	$1f, %edi		/* where enter_long is to go on, in 64-bit mode */
	jmp	enter_long
	.code64
1:	movl	%ebx, %esi
	movl	$BOOT_PVH, %edi
	jmp	boot64

	.globl	_start
_start:
	cli
	cld
	lgdt	gdt_pointer
	movl	$pml4, %eax
	movq	%rax, %cr3
	movl	$BOOT_LINUX, %edi	/* rsi already holds boot_params */
	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
boot64:
	movl	$stack_top, %esp
	xorl	%ebp, %ebp
	call	boot_main		/* does not come back */
	ud2

/*
 * enter_long: from 32-bit protected mode (flat segments of our GDT at hand) to 64-bit code at %edi.
 * Destroys eax, ecx, edx. The order is the architecture's: PAE and the tables before LME, LME
 * before PG (Intel SDM 3A, 10.8.5). After CR0.PG we are in compatibility mode; the far return
 * leaves it.
 */
	.code32
enter_long:
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	%cr0, %eax
	andl	$~CR0_CD_NW, %eax
	orl	$CR0_PG_PE, %eax
	movl	%eax, %cr0
	ljmp	$SEL_CODE64, $2f
	.code64
2:	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%edi, %edi		/* the upper half is not defined after the change of mode */
	jmp	*%rdi

/*
 * ap_trampoline: the only code here that runs in real mode. It is copied to a page below 1 MiB, so
 * it must not use an address of its own except relative to CS, which the SIPI has set to that page.
 */
	.code16
	.globl	ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline	/* the l: all 32 bits of the base */
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$SEL_CODE32, $ap_start
	.balign	4
ap_gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
ap_trampoline_end:

	.code32
ap_start:
	movl	$SEL_DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$3f, %edi
	jmp	enter_long
	.code64
3:	movl	ap_stack, %esp		/* set by the BSP, which starts one CPU at a time */
	xorl	%ebp, %ebp
	call	*ap_main
4:	cli
	hlt
	jmp	4b

	.data
	.balign	16
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 0x08: 32-bit code, base 0, limit 4 GiB */
	.quad	0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: data */
gdt_end:
	.balign	4
	.globl	gdt_pointer
gdt_pointer:				/* base: 32 bits are read in 32-bit mode, 64 in long mode */
	.word	gdt_end - gdt - 1
	.quad	gdt

	.globl	ap_stack, ap_main
	.balign	8
ap_stack:
	.quad	0
ap_main:
	.quad	0

	.balign	4096
	.globl	pml4, pdpt
pml4:	.quad	pdpt + 3		/* present, writable */
	.fill	511, 8, 0
pdpt:	.quad	pd + 3, pd + 0x1003, pd + 0x2003, pd + 0x3003
	.fill	508, 8, 0
pd:
	.set	i, 0
	.rept	2048
	.quad	(i << 21) | 0x83	/* present, writable, 2 MiB page */
	.set	i, i + 1
	.endr

	.bss
	.balign	16
	.skip	16384
stack_top:

	.section .note.GNU-stack, "", @progbits
