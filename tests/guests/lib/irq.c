/*
 * The way of an interrupt on a PC: a device raises its line; the IOAPIC looks up the line's entry
 * and sends a message (vector, target CPU); the target's local APIC holds the vector until the CPU
 * takes it; the CPU finds the handler in the IDT; the handler tells the local APIC that it is done
 * (EOI).
 *
 * The older 8259 pair is there, too, and would raise the same lines a second time, with vectors
 * that nobody has programmed: it gets masked, and the local APIC's LINT0 input, where it arrives,
 * as well.
 */
#include "lib.h"

#define LAPIC_BASE   0xfee00000
#define IOAPIC_BASE  0xfec00000
#define IOAPIC_INDEX 0x00
#define IOAPIC_DATA  0x10
#define IOAPIC_LEVEL 0x8000

#define SVR_ENABLE         0x100
#define SPURIOUS_VECTOR    0xff
#define SEL_CODE64         0x10
#define IDT_INTERRUPT_GATE 0x8e

struct idt_gate {
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_mid;
	u32 offset_high, zero;
} __attribute__((packed));

struct trap_frame {
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

extern u8 trap_stubs[]; /* trap.S: 32 stubs, 16 bytes each */

static struct idt_gate idt[256] __attribute__((aligned(16)));

static void set_gate(u8 vector, u64 address)
{
	idt[vector] = (struct idt_gate){
		.offset_low = address,
		.offset_mid = address >> 16,
		.offset_high = address >> 32,
		.selector = SEL_CODE64,
		.type = IDT_INTERRUPT_GATE,
	};
}

void irq_set_handler(u8 vector, irq_handler handler)
{
	set_gate(vector, (u64)handler);
}

/* From trap.S: an exception that no guest expects. Says what is known and ends the machine hard. */
_Noreturn void trap(const struct trap_frame *f)
{
	u64 cr2;

	__asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
	print("\nTRAP vector %lu error %lx rip %lx rsp %lx cr2 %lx\n", f->vector, f->error, f->rip,
	      f->rsp, cr2);
	triple_fault();
}

/* The local APIC's answer when an interrupt went away before it was taken. Wants no EOI. */
IRQ_HANDLER static void spurious(struct irq_frame *f)
{
	(void)f;
}

u32 lapic_read(u32 reg)
{
	return *(volatile u32 *)(u64)(LAPIC_BASE + reg);
}

void lapic_write(u32 reg, u32 v)
{
	*(volatile u32 *)(u64)(LAPIC_BASE + reg) = v;
}

u32 lapic_id(void)
{
	return lapic_read(LAPIC_ID) >> 24;
}

void irq_init_ap(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idtr = {sizeof(idt) - 1, (u64)idt};

	__asm__ volatile("lidt %0" ::"m"(idtr));
	lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
	lapic_write(LAPIC_SVR, SVR_ENABLE | SPURIOUS_VECTOR);
}

void irq_init(void)
{
	for (unsigned i = 0; i < 32; i++)
		set_gate(i, (u64)trap_stubs + 16 * i);
	set_gate(SPURIOUS_VECTOR, (u64)spurious);
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	irq_init_ap();
}

/* The IOAPIC has two registers in memory: which of its own registers, and that one's content. */
static void ioapic_write(u32 index, u32 v)
{
	*(volatile u32 *)(IOAPIC_BASE + IOAPIC_INDEX) = index;
	*(volatile u32 *)(IOAPIC_BASE + IOAPIC_DATA) = v;
}

void ioapic_route(u32 gsi, u8 vector, u32 apic_id)
{
	ioapic_write(0x10 + 2 * gsi + 1, apic_id << 24); /* first the target: still masked */
	ioapic_write(0x10 + 2 * gsi, vector); /* fixed, physical, active high, edge, not masked */
}

void ioapic_route_level(u32 gsi, u8 vector, u32 apic_id)
{
	ioapic_route(gsi, vector, apic_id);
	ioapic_write(0x10 + 2 * gsi, IOAPIC_LEVEL | vector);
}

void lapic_timer(u32 mode_and_vector, u32 count)
{
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb); /* divide by 1 */
	lapic_write(LAPIC_LVT_TIMER, mode_and_vector);
	lapic_write(LAPIC_TIMER_INITIAL, count);
}

void delay_us(u32 us)
{
	lapic_timer(LVT_MASKED | LVT_ONE_SHOT, us * 1000);
	while (lapic_read(LAPIC_TIMER_CURRENT))
		pause();
}
