/*
 * smp - exercise 5: all CPUs count in one variable, and none of their steps is lost.
 */
#include "lib/lib.h"

#define TRAMPOLINE  0x70000 /* conventional memory that nothing here uses any more */
#define STACK_BYTES 2048
#define MAX_CPUS    256

#define ICR_INIT    0x00004500 /* delivery mode INIT, assert */
#define ICR_SIPI    0x00004600
#define ICR_PENDING 0x00001000

#define MADT_ENTRIES 44 /* header 36, local APIC address 4, flags 4 */
#define MADT_LAPIC   0
#define MADT_X2APIC  9
#define CPU_ENABLED  1

extern u8 ap_trampoline[], ap_trampoline_end[];
extern volatile u64 ap_stack, ap_main;

static u8 stacks[MAX_CPUS][STACK_BYTES] __attribute__((aligned(16)));
static volatile u32 up = 1; /* the first CPU */
static volatile u32 counter, done;

#define STEPS 100000

static void count(void)
{
	for (u32 i = 0; i < STEPS; i++)
		__asm__ volatile("lock incl %0" : "+m"(counter)::"memory");
	__asm__ volatile("lock incl %0" : "+m"(done)::"memory");
}

/* CPUID tells each CPU who it is: a kernel relies on the local APIC saying the same. */
static void check_identity(void)
{
	u32 id = lapic_id(), in_leaf_1 = cpuid(1, 0).ebx >> 24, in_leaf_b = id;

	if (cpuid(0, 0).eax >= 0xb && cpuid(0xb, 0).ecx >> 8 & 0xff)
		in_leaf_b = cpuid(0xb, 0).edx;
	if (in_leaf_1 != id || in_leaf_b != id)
		print("WRONG: apic id %u, CPUID leaf 1 says %u, leaf b %u\n", id, in_leaf_1,
		      in_leaf_b);
}

/* What each of the other CPUs does; when it returns, start.S halts it. */
static void other_cpu(void)
{
	irq_init_ap();
	check_identity();
	print("cpu with apic id %u is up\n", lapic_id());
	__asm__ volatile("lock incl %0" : "+m"(up)::"memory"); /* the first CPU goes on now */
	count();
}

static void send_ipi(u32 apic_id, u32 what)
{
	lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
	lapic_write(LAPIC_ICR_LOW, what); /* this write sends */
	while (lapic_read(LAPIC_ICR_LOW) & ICR_PENDING)
		pause();
}

static bool wait_until_up(u32 n, u32 ms)
{
	for (; ms && up < n; ms--)
		delay_us(1000);
	return up >= n;
}

static void start_cpu(u32 apic_id, u32 n)
{
	ap_stack = (u64)stacks[n] + STACK_BYTES;
	ap_main = (u64)other_cpu;
	send_ipi(apic_id, ICR_INIT);
	delay_us(200); /* 10 ms by the book, for CPUs made before 2010 */
	send_ipi(apic_id, ICR_SIPI | TRAMPOLINE >> 12);
	if (wait_until_up(n + 1, 200))
		return;
	send_ipi(apic_id, ICR_SIPI | TRAMPOLINE >> 12); /* the book's second try */
	if (!wait_until_up(n + 1, 3000))
		print("cpu with apic id %u does NOT come up\n", apic_id);
}

void guest_main(void)
{
	const u8 *madt;
	u32 length, cpus = 0, started = 0;

	irq_init();
	check_identity();
	if (!acpi_rsdp()) {
		print("no RSDP\n");
		return;
	}
	madt = acpi_table("APIC");
	if (!madt) {
		print("no MADT, or a wrong checksum\n");
		return;
	}
	memcpy((void *)TRAMPOLINE, ap_trampoline, ap_trampoline_end - ap_trampoline);
	memcpy(&length, madt + 4, sizeof(length));
	for (u32 off = MADT_ENTRIES; off + 2 <= length && madt[off + 1] >= 2;
	     off += madt[off + 1]) {
		const u8 *e = madt + off;
		u32 id, flags;

		if (e[0] == MADT_LAPIC) {
			id = e[3];
			memcpy(&flags, e + 4, sizeof(flags));
		} else if (e[0] == MADT_X2APIC) {
			memcpy(&id, e + 4, sizeof(id));
			memcpy(&flags, e + 8, sizeof(flags));
		} else {
			continue;
		}
		if (!(flags & CPU_ENABLED))
			continue;
		cpus++;
		if (id != lapic_id() && id < 255 && started + 1 < MAX_CPUS)
			start_cpu(id, ++started);
	}
	print("madt lists %u cpus\n", cpus);
	print("%u cpus up\n", up);
	count();
	while (done < up)
		pause();
	print("counted %u\n", counter);
}
