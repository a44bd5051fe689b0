/*
 * The note that makes an ELF file a PVH kernel. Owner "Xen", type 18 (XEN_ELFNOTE_PHYS32_ENTRY),
 * and as its content the physical address where the monitor is to enter in 32-bit protected mode. A
 * guest that is linked without this file has only its ELF entry, _start: the Linux 64-bit boot
 * protocol.
 *
 * Xen: xen/include/public/elfnote.h; docs/misc/pvh.pandoc.
 */
	.section .note.Xen, "a", @note
	.balign	4
	.long	4			/* length of the owner's name, with its NUL */
	.long	4			/* length of the content */
	.long	18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	pvh_start

	.section .note.GNU-stack, "", @progbits
