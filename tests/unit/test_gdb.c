/*
 * vmm/gdb_packet.c, vmm/x86/gdb_registers.c, vmm/x86/breakpoints.c: what needs no client and no KVM.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/support.h"
#include "vmm/gdb_packet.h"
#include "vmm/x86/breakpoints.h"
#include "vmm/x86/gdb_registers.h"

enum { RAM_BYTES = 0x100000, INT3 = 0xcc };

/* Feeds all; returns the last event but GDB_NOTHING. */
static enum gdb_event feed(struct gdb_packet *packet, const char *bytes, size_t count)
{
	enum gdb_event last = GDB_NOTHING;

	for (size_t i = 0; i < count; i++) {
		const enum gdb_event event = gdb_packet_take(packet, (u8)bytes[i]);

		last = event == GDB_NOTHING ? last : event;
	}
	return last;
}

static enum gdb_event feed_text(struct gdb_packet *packet, const char *text)
{
	return feed(packet, text, strlen(text));
}

static void test_packets(void **state)
{
	static struct gdb_packet packet;

	(void)state;
	assert_int_equal(feed_text(&packet, "+++$g#67"), GDB_PACKET);
	assert_string_equal(packet.data, "g");
	assert_int_equal(feed_text(&packet, "$g#68"), GDB_DAMAGED);
	assert_int_equal(feed_text(&packet, "$g#x7"), GDB_DAMAGED);
	assert_int_equal(feed_text(&packet, "7"), GDB_NOTHING);
	assert_int_equal(feed_text(&packet, "$$$abc$g#6$g#67"), GDB_PACKET);
	assert_string_equal(packet.data, "g");
	assert_int_equal(feed_text(&packet, "$#00"), GDB_PACKET);
	assert_int_equal(packet.used, 0);
	assert_int_equal(feed_text(&packet, "\003"), GDB_INTERRUPT);
	assert_int_equal(feed_text(&packet, "-"), GDB_RESEND);
	/* In a packet they are data. */
	assert_int_equal(feed_text(&packet, "$\003-#30"), GDB_PACKET);
	assert_int_equal(packet.used, 2);
}

static void test_a_packet_has_an_end(void **state)
{
	static struct gdb_packet packet;
	static char most[GDB_PACKET_BYTES + 5];

	(void)state;
	most[0] = '$';
	most[GDB_PACKET_BYTES + 1] = '#';
	most[GDB_PACKET_BYTES + 2] = most[GDB_PACKET_BYTES + 3] = '0';
	assert_int_equal(feed(&packet, most, GDB_PACKET_BYTES + 4), GDB_PACKET);
	assert_int_equal(packet.used, GDB_PACKET_BYTES);
	most[GDB_PACKET_BYTES + 1] = '\0';
	assert_int_equal(feed(&packet, most, GDB_PACKET_BYTES + 2), GDB_NOTHING);
	assert_int_equal(feed_text(&packet, "#00"), GDB_TOO_LONG);
	assert_int_equal(feed_text(&packet, "$g#67"), GDB_PACKET);
}

static void test_numbers_and_bytes(void **state)
{
	char binary[] = "a}\x03}]}";
	const char *at = "ffffFFFFffffffff,";
	u8 bytes[4];
	u64 number;

	(void)state;
	assert_true(gdb_number(&at, &number));
	assert_true(number == UINT64_MAX && *at == ',');
	assert_false(gdb_number(&at, &number));
	at = "10000000000000000";
	assert_false(gdb_number(&at, &number));
	assert_int_equal(gdb_unhex("01fFg0", bytes, sizeof(bytes)), 2);
	assert_int_equal(bytes[1], 0xff);
	assert_int_equal(gdb_unhex("01020304050", bytes, sizeof(bytes)), 4);
	assert_int_equal(gdb_unhex("0", bytes, sizeof(bytes)), 0);
	assert_int_equal(gdb_unescape(binary, 6), 4);
	assert_memory_equal(binary, "a#}}", 4);
}

static void test_replies(void **state)
{
	static struct gdb_reply reply;

	(void)state;
	gdb_reply_byte(&reply, '+');
	gdb_reply_begin(&reply);
	gdb_reply_text(&reply, "%s", "O");
	gdb_reply_hex(&reply, "\x5a", 1);
	gdb_reply_end(&reply);
	assert_string_equal(reply.text, "+$O5a#e5");
	assert_int_equal(reply.start, 1);
	gdb_reply_begin(&reply);
	for (unsigned i = 0; i < 3 * GDB_PACKET_BYTES; i++)
		gdb_reply_byte(&reply, 'x');
	gdb_reply_end(&reply);
	assert_int_equal(reply.used, sizeof(reply.text) - 1);
	assert_int_equal(reply.text[reply.used - 3], '#');
}

/* Each number has a name and as many bytes as it says; all of them can be set and are then there. */
static void test_registers(void **state)
{
	struct gdb_registers registers, others;
	u8 bytes[GDB_REGISTER_BYTES_MAX], again[GDB_REGISTER_BYTES_MAX];
	char xml[12288];
	const size_t length = gdb_describe(xml, sizeof(xml));
	const char *at = xml;
	u64 number = 0;

	(void)state;
	assert_int_equal(length, strlen(xml));
	assert_null(strpbrk(xml, "#$*}"));
	assert_int_equal(gdb_describe(xml + length + 1, 16), 0);
	while ((at = strstr(at, "<reg name=")) != NULL) {
		unsigned bits = 0;

		assert_int_equal(sscanf(strstr(at, "bitsize="), "bitsize=\"%u\"", &bits), 1);
		assert_int_equal(bits, gdb_register_bytes(number) * 8);
		memset(&registers, 0, sizeof(registers));
		memset(bytes, 0x5a, sizeof(bytes));
		gdb_register_set(&registers, number, bytes);
		others = registers;
		gdb_register_get(&registers, number, again);
		assert_int_equal(again[0], 0x5a);
		gdb_register_set(&registers, number, again);
		assert_memory_equal(&registers, &others, sizeof(others));
		number++;
		at++;
	}
	assert_int_equal(gdb_register_bytes(number), 0);
	assert_int_equal(gdb_register_bytes(UINT64_MAX), 0);
	memset(&registers, 0, sizeof(registers));
	registers.general.rip = 0x1122334455667788;
	gdb_register_get(&registers, 16, bytes);
	assert_int_equal(bytes[0], 0x88);
}

static void test_software_breakpoints(void **state)
{
	static struct breakpoints all;
	const struct breakpoint one = {
		.kind = BREAKPOINT_SOFTWARE, .address = 5, .bytes = 1, .gpa = 5};
	const struct breakpoint alias = {
		.kind = BREAKPOINT_SOFTWARE, .address = 9, .bytes = 1, .gpa = 5};
	struct arena arena;
	u8 *code;

	(void)state;
	arena_make(&arena, RAM_BYTES, RAM_BYTES);
	code = memory_at(&arena.memory, 5, 1);
	*code = 0x90;
	assert_int_equal(breakpoint_set(&all, &one), 0);
	assert_int_equal(breakpoint_set(&all, &one), 0);
	assert_int_equal(breakpoint_set(&all, &alias), 0);
	assert_int_equal(all.count, 2);
	assert_int_equal(*code, 0x90);
	breakpoints_insert(&all, &arena.memory);
	assert_int_equal(*code, INT3);
	breakpoints_lift(&all, &arena.memory);
	assert_int_equal(*code, 0x90);
	/* The guest has put other code there. */
	breakpoints_insert(&all, &arena.memory);
	*code = 0x55;
	breakpoints_lift(&all, &arena.memory);
	assert_int_equal(*code, 0x55);
	breakpoint_clear(&all, &one);
	assert_int_equal(all.count, 1);
	breakpoint_clear(&all, &alias);
	breakpoints_insert(&all, &arena.memory);
	assert_int_equal(*code, 0x55);
	for (u64 i = 0; i < BREAKPOINTS_MAX; i++)
		assert_int_equal(breakpoint_set(&all, &(struct breakpoint){.address = i}), 0);
	assert_int_equal(breakpoint_set(&all, &(struct breakpoint){.address = 1 << 20}), ENOSPC);
	arena_free(&arena);
}

static void test_hardware_breakpoints(void **state)
{
	static const struct breakpoint four[] = {{BREAKPOINT_HARDWARE, 0x1001, 1, 0, 0},
						 {BREAKPOINT_WRITE, 0x2000, 8, 0, 0},
						 {BREAKPOINT_ACCESS, 0x3002, 2, 0, 0},
						 {BREAKPOINT_WRITE, 0x4004, 4, 0, 0}};
	static const struct breakpoint bad[] = {{BREAKPOINT_WRITE, 0x2001, 2, 0, 0},
						{BREAKPOINT_WRITE, 0x2000, 3, 0, 0},
						{BREAKPOINT_ACCESS, 0x2000, 0, 0, 0},
						{BREAKPOINT_ACCESS, 0x2000, 16, 0, 0}};
	struct kvm_debug_exit_arch debug = {.exception = 1};
	static struct breakpoints all;
	const struct breakpoint *hit;
	struct kvm_guest_debug asked;

	(void)state;
	assert_int_equal(breakpoints_debug(&all, 0).control, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(breakpoint_set(&all, &bad[i]), EINVAL);
	assert_int_equal(breakpoint_set(&all, &(struct breakpoint){.address = 0x5000, .bytes = 1}),
			 0);
	for (size_t i = 0; i < ARRAY_LEN(four); i++)
		assert_int_equal(breakpoint_set(&all, &four[i]), 0);
	assert_int_equal(
		breakpoint_set(&all, &(struct breakpoint){.kind = BREAKPOINT_HARDWARE, .bytes = 1}),
		ENOSPC);
	asked = breakpoints_debug(&all, KVM_GUESTDBG_SINGLESTEP);
	assert_int_equal(asked.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
						KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW_BP);
	for (size_t i = 0; i < ARRAY_LEN(four); i++)
		assert_int_equal(asked.arch.debugreg[i], four[i].address);
	/* LEN and R/W of 3 to 0, then G3 to G0 at the odd bits, and bit 10. */
	assert_int_equal(asked.arch.debugreg[7], 0xd79004aa);

	debug.dr6 = 1;
	assert_int_equal(breakpoints_cause(&all, &debug, false, &hit), CAUSE_HARDWARE);
	debug.dr6 = 4;
	assert_int_equal(breakpoints_cause(&all, &debug, true, &hit), CAUSE_WATCH);
	assert_int_equal(hit->address, 0x3002);
	debug.dr6 = 1 << 14;
	assert_int_equal(breakpoints_cause(&all, &debug, true, &hit), CAUSE_STEP);
	assert_int_equal(breakpoints_cause(&all, &debug, false, &hit), CAUSE_GUEST);
	assert_int_equal(breakpoints_pass_on(&debug), KVM_GUESTDBG_INJECT_DB);
	debug = (struct kvm_debug_exit_arch){.exception = 3, .pc = 0x5000};
	assert_int_equal(breakpoints_cause(&all, &debug, true, &hit), CAUSE_SOFTWARE);
	debug.pc = 0x6000;
	assert_int_equal(breakpoints_cause(&all, &debug, true, &hit), CAUSE_GUEST);
	assert_int_equal(breakpoints_pass_on(&debug), KVM_GUESTDBG_INJECT_BP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_a_packet_has_an_end),
		cmocka_unit_test(test_numbers_and_bytes),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_software_breakpoints),
		cmocka_unit_test(test_hardware_breakpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
