/*
 * race - changes what the device reads, while it reads it.
 *
 * A device may look at memory that the driver shares with it only once: what it has checked must
 * be what it then uses (2.7.14 lets the driver touch a chain only until it is offered, so a guest
 * that does more attacks). Here a second CPU rewrites descriptors, an indirect table and a request
 * header without pause, right and wrong by turns, while the first CPU offers them. Each chain has
 * to come back, served or refused; nothing but its own data may be touched; and a chain that is
 * left alone is served afterwards.
 *
 * Wants two CPUs: smp.c tells how the other is woken. rounds=N on the command line: chains a case.
 */
#include "lib/hostile.h"

#define TRAMPOLINE 0x70000
#define ICR_INIT   0x00004500u
#define ICR_SIPI   0x00004600u

extern u8 ap_trampoline[], ap_trampoline_end[];
extern volatile u64 ap_stack, ap_main;

static u8 stack[4096] __attribute__((aligned(16)));
static volatile bool up;
static volatile unsigned wish, done; /* odd: spoil; the other CPU repeats what it has understood */
static void (*volatile spoil)(unsigned n);

/* The other CPU: while it may, it spoils what the case has for it. */
static void other_cpu(void)
{
	up = true;
	for (unsigned n = 0;; n++) {
		const unsigned now = wish;

		if (now & 1)
			spoil(n);
		else
			pause();
		done = now;
	}
}

static void send_ipi(u32 apic_id, u32 what)
{
	lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
	lapic_write(LAPIC_ICR_LOW, what);
}

static bool start_other_cpu(void)
{
	memcpy((void *)TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
	ap_stack = (u64)stack + sizeof(stack);
	ap_main = (u64)other_cpu;
	send_ipi(1, ICR_INIT);
	delay_us(200);
	for (unsigned tries = 0; tries < 2 && !up; tries++) {
		send_ipi(1, ICR_SIPI | TRAMPOLINE >> 12);
		for (u32 ms = 3000; ms && !up; ms--)
			delay_us(1000);
	}
	return up;
}

/* ---- what is spoiled: wrong values in turns, and behind each the right one ---- */

static volatile struct virtq_desc *desc(u16 n)
{
	return &disk.queue[0].desc[n];
}

static void spoil_address(unsigned n)
{
	const u64 wrong[] = {HOLE, ram_end - 16, MSI_ADDRESS, ~0ull};

	desc(1)->address = wrong[n % COUNT(wrong)];
	desc(1)->address = (u64)request.data;
}

static void spoil_length(unsigned n)
{
	desc(1)->length = n & 1 ? 0xffffffff : 0x10000000;
	desc(1)->length = sizeof(request.data);
}

static void spoil_flags(unsigned n)
{
	const u16 wrong[] = {DESC_INDIRECT, DESC_NEXT, 0, DESC_INDIRECT | DESC_NEXT};

	desc(1)->flags = wrong[n % COUNT(wrong)];
	desc(1)->flags = DESC_NEXT | DESC_WRITE;
}

static void spoil_next(unsigned n)
{
	desc(1)->next = n & 1 ? 1 : 0xffff;
	desc(1)->next = 2;
}

static void spoil_status_place(unsigned n)
{
	desc(2)->address = n & 1 ? HOLE : ram_end - 1;
	desc(2)->length = n & 2 ? 0 : 0x7fffffff;
	desc(2)->length = 1;
	desc(2)->address = (u64)&request.status;
}

static void spoil_table(unsigned n)
{
	volatile struct virtq_desc *entry = &request.indirect[1];

	desc(0)->length = n & 1 ? 0xfffffff0 : 16;
	entry->address = HOLE;
	entry->length = 0xffffffff;
	entry->next = 0xffff;
	entry->next = 2;
	entry->length = sizeof(request.data);
	entry->address = (u64)request.data;
	desc(0)->length = 48;
}

/* Types and places that must be checked and used as one; a write is never among them. */
static void spoil_header(unsigned n)
{
	volatile struct blk_header *header = &request.header;

	header->sector = n & 1 ? capacity - 1 : ~0ull;
	header->type = n & 2 ? BLK_GET_ID : 99;
	header->type = BLK_IN;
	header->sector = REQUEST_SECTOR;
}

/* ---- the cases ---- */

static void race(void (*how)(unsigned n), bool in_table)
{
	const u64 rounds = cmdline_number("rounds", 300);
	unsigned served = 0, refused = 0;

	spoil = how;
	wish++;
	for (u64 i = 0; i < rounds; i++) {
		struct outcome outcome;

		prepare_read(); /* races, too: the right values stand in both */
		if (in_table) {
			memcpy(request.indirect, disk.queue[0].desc, 48);
			set_desc(0, (u64)request.indirect, 48, DESC_INDIRECT, 0);
		}
		outcome = offer(0);
		if (outcome.broken) {
			print("WRONG: needs reset ");
			break;
		}
		if (outcome.id != 0)
			print("WRONG: %u came back ", outcome.id);
		for (unsigned j = 0; j < COUNT(request.guard_before); j++)
			if (request.guard_before[j] != 0xeeeeeeee ||
			    request.guard_behind[j] != 0xeeeeeeee) {
				print("WRONG: memory beside the data was touched ");
				break;
			}
		if (outcome.length && outcome.status == BLK_OK)
			served++;
		else
			refused++;
	}
	wish++;
	while (done != wish) /* what it wrote last were the right values */
		pause();
	/* How many of each is a matter of chance. */
	print("%lu answers", (u64)served + refused);
}

static void address(void)
{
	race(spoil_address, false);
}

static void length(void)
{
	race(spoil_length, false);
}

static void flags(void)
{
	race(spoil_flags, false);
}

static void next(void)
{
	race(spoil_next, false);
}

static void status(void)
{
	race(spoil_status_place, false);
}

static void table(void)
{
	race(spoil_table, true);
}

static void header(void)
{
	race(spoil_header, false);
}

static const struct hostile_case cases[] = {
	{"address", SELF, address}, {"length", SELF, length}, {"flags", SELF, flags},
	{"next", SELF, next},       {"status", SELF, status}, {"indirect table", SELF, table},
	{"header", SELF, header},
};

void guest_main(void)
{
	irq_init();
	if (!start_other_cpu()) {
		print("no second cpu\n");
		return;
	}
	hostile_run("race", cases, COUNT(cases));
}
