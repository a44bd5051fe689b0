/*
 * restart - a guest for --on-reset restart: says in what state it finds the machine, then resets.
 * Nothing of a round may be left in the next: memory is zero again, the UART is as after power-on,
 * the other CPUs wait for their start-up message.
 *
 * The initrd, which only PVH's start info is asked for, is there in each round again.
 *
 *   cpus=N     starts N - 1 other CPUs first
 *   together   lets all of them reset at once
 */
#include "lib/lib.h"

#define TRAMPOLINE  0x70000
#define STACK_BYTES 2048
#define MAX_CPUS    16
#define MARK        0xe000000 /* where no loader of a machine of 256M puts anything */
#define MARK_VALUE  0x5a17ed5a17ed5a17

#define START_MODULES 12 /* offsets in struct hvm_start_info */
#define START_MODLIST 16

#define ICR_INIT 0x00004500
#define ICR_SIPI 0x00004600

extern u8 ap_trampoline[], ap_trampoline_end[];
extern volatile u64 ap_stack, ap_main;

static u8 stacks[MAX_CPUS][STACK_BYTES] __attribute__((aligned(16)));
static volatile u32 up = 1, go;

static void other_cpu(void)
{
	irq_init_ap();
	__asm__ volatile("lock incl %0" : "+m"(up)::"memory");
	while (!go)
		pause();
	reset();
}

static void start_cpu(u32 id)
{
	ap_stack = (u64)stacks[id] + STACK_BYTES;
	ap_main = (u64)other_cpu;
	lapic_write(LAPIC_ICR_HIGH, id << 24);
	lapic_write(LAPIC_ICR_LOW, ICR_INIT);
	delay_us(200);
	lapic_write(LAPIC_ICR_HIGH, id << 24);
	lapic_write(LAPIC_ICR_LOW, ICR_SIPI | TRAMPOLINE >> 12);
	while (up < id + 1)
		pause();
}

static void show_initrd(void)
{
	const u64 *module;
	u64 sum = 0;

	if (boot.protocol != BOOT_PVH || !*(const u32 *)(boot.info + START_MODULES))
		return;
	module = *(const u64 *const *)(boot.info + START_MODLIST); /* its address, its size, … */
	for (u64 i = 0; i < module[1]; i++)
		sum += ((const u8 *)module[0])[i];
	print("initrd %lu bytes sum %lu\n", module[1], sum);
}

void guest_main(void)
{
	volatile u64 *mark = (void *)MARK;
	u64 cpus = cmdline_number("cpus", 1);

	irq_init();
	print("round: memory %s, scratch %02x ier %02x lcr %02x\n", *mark ? "WRONG" : "zero",
	      inb(UART_SCR), inb(UART_IER), inb(UART_LCR));
	*mark = MARK_VALUE;
	outb(UART_SCR, 0x77);
	outb(UART_IER, IER_RX);
	outb(UART_LCR, 0x03);
	show_initrd();
	if (cpus > 1 && cpus <= MAX_CPUS) {
		memcpy((void *)TRAMPOLINE, ap_trampoline, ap_trampoline_end - ap_trampoline);
		for (u32 id = 1; id < cpus; id++)
			start_cpu(id);
		print("%u cpus up\n", up);
	}
	if (cmdline_has("together"))
		go = 1;
	reset();
}
