/*
 * hello - the smallest guest there is: what a virtual machine is, without anything else.
 *
 * PVH boot leaves the CPU in 32-bit protected mode with flat segments and paging off, so code can
 * run and reach all memory at once: no stack is used, no table set up. Each `out` leaves the guest
 * (a VM exit): the monitor sees "port 0x3f8, one byte" and prints it. The last `out` ends the
 * machine.
 */
	.section .note.Xen, "a", @note
	.balign	4
	.long	4, 4, 18		/* name and content sizes, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	_start

	.text
	.code32
	.globl	_start
_start:
	movl	$text, %esi
next:
	movw	$0x3fd, %dx		/* line status register of COM1 */
wait:
	inb	%dx, %al
	testb	$0x20, %al		/* transmitter holding register empty? */
	jz	wait
	movb	(%esi), %al
	testb	%al, %al
	jz	off
	movw	$0x3f8, %dx		/* transmitter holding register */
	outb	%al, %dx
	incl	%esi
	jmp	next
off:
	movw	$0x600, %dx		/* ACPI sleep control register */
	movb	$0x34, %al		/* SLP_EN | SLP_TYP 5: power off */
	outb	%al, %dx
stop:
	cli
	hlt
	jmp	stop

	.data
text:	.asciz	"hello from a 32-bit PVH guest\n"

	.section .note.GNU-stack, "", @progbits
