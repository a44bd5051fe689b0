/*
 * One stub for each of the 32 exception vectors, 16 bytes apart. The CPU pushes an error code for
 * some vectors only; the others push a 0 so that trap() always sees the same frame (struct
 * trap_frame).
 */
#define HAS_ERROR_CODE	0x60227d00	/* bit n: vector n pushes one (8, 10-14, 17, 21, 29, 30) */

	.text
	.code64
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	n, 0
	.rept	32
	.balign	16
	.if	((HAS_ERROR_CODE >> n) & 1) == 0
	pushq	$0
	.endif
	pushq	$n
	jmp	trap_common
	.set	n, n + 1
	.endr

trap_common:
	cld
	movq	%rsp, %rdi
	call	trap			/* prints and does not come back */

	.section .note.GNU-stack, "", @progbits
