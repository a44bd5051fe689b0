/*
 * What the guests share: the few lines of code between "the CPU runs" and "the lesson begins".
 * There is no operating system under it and none in it: one flat address space, no allocator, no
 * libc.
 *
 * A guest is one C file with a guest_main(); when that returns, the machine is powered off.
 */
#ifndef GUEST_LIB_H
#define GUEST_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

void guest_main(void);

/* ---- instructions that C has no word for ---- */

static inline void outb(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outw(u16 port, u16 v)
{
	__asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outl(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}

static inline u8 inb(u16 port)
{
	u8 v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline u16 inw(u16 port)
{
	u16 v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline u32 inl(u16 port)
{
	u32 v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
	return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 v)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u64)hi << 32 | lo;
}

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid c;

	__asm__ volatile("cpuid"
			 : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx)
			 : "a"(leaf), "c"(subleaf));
	return c;
}

static inline void irq_off(void)
{
	__asm__ volatile("cli" ::: "memory");
}
static inline void irq_on(void)
{
	__asm__ volatile("sti" ::: "memory");
}
static inline void pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

/*
 * Sleep until an interrupt. STI takes effect one instruction later, so an interrupt that is waiting
 * can't slip in between the two and leave us asleep: the caller tests its condition with interrupts
 * off, and goes to sleep here without losing the wake-up. Comes back with interrupts off.
 */
static inline void sleep_until_irq(void)
{
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}

static inline void halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}

/* ---- text: lib.c ---- */

void putc(char c);
void puts(const char *s); /* adds no newline */
/* A printf of its own: %s %c %d %u %x, l for 64 bits, a width padded with 0 (%08x) or blanks. */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void hexdump(const void *p, size_t n);

void *memcpy(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

/* ---- the end: lib.c ---- */

_Noreturn void power_off(void); /* ACPI sleep control register, S5 */
_Noreturn void reset(void);     /* ACPI reset register */
_Noreturn void triple_fault(void);

/* ---- how we were booted: boot.c ---- */

enum boot_protocol { BOOT_PVH = 1, BOOT_LINUX = 2 };

extern struct boot {
	enum boot_protocol protocol;
	const u8 *info;      /* hvm_start_info or boot_params, raw */
	const char *cmdline; /* never NULL */
	u64 rsdp;            /* physical address from the boot information, 0 if it gave none */
} boot;

bool cmdline_has(const char *word);
u64 cmdline_number(const char *key, u64 otherwise); /* key=N, decimal */

extern u8 image_start[], image_end[]; /* this guest in memory, from the linker script */

/* ---- page tables: paging.c ---- */

void *map_page(u64 gpa); /* any physical address below 512 GiB; holds until the next call */

/* ---- ACPI: acpi.c ---- */

bool checksum_ok(const void *p, size_t n);
const u8 *acpi_rsdp(void);                   /* NULL: none found */
const u8 *acpi_table(const char *signature); /* NULL: none, or a wrong checksum */
/*
 * The DSDT is byte code for an interpreter, which nobody here is. What is sought in it has a shape
 * that can be searched for: behind_bytes() finds the place behind those bytes, or NULL.
 */
const u8 *acpi_dsdt(const u8 **end);
const u8 *behind_bytes(const u8 *p, const u8 *end, const void *bytes, size_t n);

/* ---- interrupts: irq.c ---- */

struct irq_frame {
	u64 rip, cs, rflags, rsp, ss;
};

/* A handler is void f(struct irq_frame *) with this attribute: the compiler saves what it uses. */
#define IRQ_HANDLER __attribute__((interrupt))

typedef void (*irq_handler)(struct irq_frame *);

void irq_init(void);    /* IDT with trap reports, the 8259s masked, the local APIC on */
void irq_init_ap(void); /* the same for another CPU */
void irq_set_handler(u8 vector, irq_handler handler);
void ioapic_route(u32 gsi, u8 vector, u32 apic_id);       /* edge, active high */
void ioapic_route_level(u32 gsi, u8 vector, u32 apic_id); /* level, active high */

/* ---- local APIC: irq.c ---- */

#define LAPIC_ID            0x020
#define LAPIC_VERSION       0x030
#define LAPIC_EOI           0x0b0
#define LAPIC_SVR           0x0f0
#define LAPIC_ICR_LOW       0x300
#define LAPIC_ICR_HIGH      0x310
#define LAPIC_LVT_TIMER     0x320
#define LAPIC_LVT_LINT0     0x350
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE  0x3e0

#define LVT_MASKED       0x10000
#define LVT_ONE_SHOT     (0 << 17)
#define LVT_PERIODIC     (1 << 17)
#define LVT_TSC_DEADLINE (2 << 17)
#define MSR_TSC_DEADLINE 0x6e0

u32 lapic_read(u32 reg);
void lapic_write(u32 reg, u32 v);
u32 lapic_id(void);
static inline void lapic_eoi(void)
{
	lapic_write(LAPIC_EOI, 0);
}
void lapic_timer(u32 mode_and_vector, u32 count); /* KVM's timer counts nanoseconds */
void delay_us(u32 us);                            /* polls the same timer */

/* ---- the UART, for the guests that drive it themselves ---- */

#define COM1      0x3f8
#define UART_DATA (COM1 + 0) /* RBR when read, THR when written */
#define UART_IER  (COM1 + 1)
#define UART_IIR  (COM1 + 2) /* FCR when written */
#define UART_FCR  (COM1 + 2)
#define UART_LCR  (COM1 + 3)
#define UART_MCR  (COM1 + 4)
#define UART_LSR  (COM1 + 5)
#define UART_MSR  (COM1 + 6)
#define UART_SCR  (COM1 + 7)

#define IER_RX      0x01
#define IER_THRE    0x02
#define IIR_NONE    0x01
#define LSR_DATA    0x01
#define LSR_THRE    0x20
#define MCR_DTR_RTS 0x03
#define MCR_OUT2    0x08 /* on a PC this bit is the gate between the UART and its IRQ line */
#define COM1_GSI    4

#endif
