/*
 * ports - reads where nothing is, and reads what is there in unusual ways.
 *
 * On a PC an access that no device answers gives all-ones: the bus floats high. A monitor must do
 * the same for every width, and must not die of it: kernels probe. String instructions come to it
 * as one exit with a count; a 16 or 32-bit access to a device of 8-bit registers is, on the real
 * bus, a row of byte accesses to neighbouring ports.
 */
#include "lib/lib.h"

#define HOLE 0xd0000000ull

static void read_ports(u16 first, u16 last)
{
	print("in8 %x-%x:", first, last);
	for (u32 port = first; port <= last; port++)
		print(" %02x", inb(port));
	print("\n");
}

void guest_main(void)
{
	static const char text[] = "by rep outsb\n";
	const char *src = text;
	u8 bytes[4] = {0}, *dst = bytes;
	u64 n;

	read_ports(0x2f8, 0x2ff);
	read_ports(0x3e8, 0x3ef);
	read_ports(0x60, 0x60);
	read_ports(0x64, 0x64);
	read_ports(0x70, 0x71);
	print("in16 2f8: %04x in32 2f8: %08x\n", inw(0x2f8), inl(0x2f8));
	print("in16 ffff: %04x in32 fffe: %08x\n", inw(0xffff),
	      inl(0xfffe)); /* past the last port */
	outb(0x2f8, 1);
	outw(0x2f8, 2);
	outl(0x2f8, 3);

	read_ports(UART_IER, UART_SCR);
	outb(UART_SCR, 0x5a);
	print("scratch %02x\n", inb(UART_SCR));
	outw(UART_MSR, 0xa55a); /* modem status is read-only; scratch gets a5 */
	print("scratch after out16 %02x\n", inb(UART_SCR));
	print("in16 3fe: %04x in32 3fc: %08x in16 3ff: %04x\n", inw(UART_MSR), inl(UART_MCR),
	      inw(UART_SCR));

	n = sizeof(text) - 1;
	__asm__ volatile("rep outsb" : "+S"(src), "+c"(n) : "d"(UART_DATA) : "memory");
	n = sizeof(bytes);
	__asm__ volatile("rep insb" : "+D"(dst), "+c"(n) : "d"(0x2f8) : "memory");
	print("by rep insb ");
	hexdump(bytes, sizeof(bytes));
	print("\n");

	print("mmio8 %02x\n", *(volatile u8 *)HOLE);
	print("mmio16 %04x\n", *(volatile u16 *)HOLE);
	print("mmio32 %08x\n", *(volatile u32 *)HOLE);
	print("mmio64 %016lx\n", *(volatile u64 *)HOLE);
	*(volatile u32 *)HOLE = 0;
	*(volatile u64 *)(HOLE + 0x123) = 0; /* not aligned */
	print("mmio32 after writes %08x\n", *(volatile u32 *)HOLE);
}
