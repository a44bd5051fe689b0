/*
 * Init's first instructions. What the kernel has put on the stack (arguments, environment) is of no
 * use to init; the ABI wants the stack aligned to 16 bytes at a call.
 */
	.text
	.globl	_start
_start:
	xorl	%ebp, %ebp
	andq	$-16, %rsp
	call	init_main
	ud2

	.section .note.GNU-stack, "", @progbits
