/*
 * serial - exercise 2: what is typed comes back in capitals; a newline ends it.
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
	movw	$0x3fd, %dx		/* line status register of COM1 */
receive:
	inb	%dx, %al
	testb	$0x01, %al		/* data ready? */
	jz	receive
	movw	$0x3f8, %dx		/* receiver buffer register */
	inb	%dx, %al
	movb	%al, %bl
	cmpb	$'a', %bl
	jb	send
	cmpb	$'z', %bl
	ja	send
	subb	$'a' - 'A', %bl
send:
	movw	$0x3fd, %dx
	inb	%dx, %al
	testb	$0x20, %al		/* transmitter holding register empty? */
	jz	send
	movw	$0x3f8, %dx		/* transmitter holding register */
	movb	%bl, %al
	outb	%al, %dx
	cmpb	$'\n', %bl
	jne	_start
	movw	$0x600, %dx		/* ACPI sleep control register */
	movb	$0x34, %al		/* SLP_EN | SLP_TYP 5: power off */
	outb	%al, %dx
stop:
	cli
	hlt
	jmp	stop

	.section .note.GNU-stack, "", @progbits
