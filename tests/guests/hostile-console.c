/*
 * hostile-console - a console's driver that breaks one rule of virtio 1.2, 2.7 and 5.3, at a time, on
 * a device with one port. After each a line has to reach the host by the console, and keys the guest.
 *
 * The host types the digits 0 to 9 over and over, without an end. What a case takes of them or loses
 * is its business; those that come in one buffer follow one another.
 *
 * Printed is one line a case, by the serial port, with WRONG in it if something is; "heard N" in it
 * comes by the console, N being the case's number. On the command line: mmio, event-index, case=N
 * (that one alone).
 */
#include "lib/misuse.h"

#define F_MULTIPORT  (1ull << 1)
#define CONFIG_PORTS 4 /* offsets, 5.3.4 */
#define CONFIG_WRITE 8

enum { RECEIVE = 0, SEND = 1, QUEUES = 1 << RECEIVE | 1 << SEND };

static u64 wanted;

static u8 buffer[4096], taken[64];

static void restart(void)
{
	begin(wanted, QUEUES);
}

/* ---- service ---- */

static void say(const char *text)
{
	describe(SEND, 0, text, (u32)strlen(text), 0, 0);
	refuse(SEND); /* a chain without room comes back with length 0 */
}

static void expect_digits(const u8 *digits, u32 length, u32 most)
{
	if (length == 0 || length > most)
		print(" WRONG: %u keys", length);
	for (u32 i = 0; i < length && i < most; i++)
		if (digits[i] < '0' || digits[i] > '9' ||
		    (i && digits[i] != '0' + (digits[i - 1] - '0' + 1) % 10))
			print(" WRONG: key %x", digits[i]);
}

static void good_service(u32 number)
{
	char text[] = " heard 00";

	text[7] = (char)('0' + number / 10);
	text[8] = (char)('0' + number % 10);
	say(text);
	memset(taken, 0xee, sizeof(taken));
	describe(RECEIVE, 0, taken, 16, DESC_WRITE, 0);
	expect_digits(taken, offer_to(RECEIVE, 0), 16);
	if (taken[16] != 0xee)
		print(" WRONG: behind the buffer");
}

/* ---- chains ---- */

static void nothing_to_send(void)
{
	describe(SEND, 0, buffer, 0, 0, 0);
	refuse(SEND);
	describe(SEND, 0, (const void *)HOLE, 0, DESC_NEXT, 1);
	describe(SEND, 1, buffer, 0, 0, 0);
	refuse(SEND);
}

static void out_of_memory(u16 queue, u32 flags)
{
	describe(queue, 0, (const void *)HOLE, 10, flags, 0);
	refuse(queue);
	describe(queue, 0, (const void *)(~0ull - 5), 10, flags, 0);
	refuse(queue);
	describe(queue, 0, buffer, ~0u, flags, 0);
	refuse(queue);
	describe(queue, 0, buffer, 10, flags | DESC_NEXT, 0); /* a loop */
	refuse(queue);
	describe(queue, 0, buffer, 10, flags | DESC_NEXT, RING_SIZE);
	refuse(queue);
}

static void output_out_of_memory(void)
{
	out_of_memory(SEND, 0);
}

static void input_out_of_memory(void)
{
	out_of_memory(RECEIVE, DESC_WRITE);
}

static void output_to_write(void)
{
	memset(buffer, 0xee, 100);
	describe(SEND, 0, buffer, 100, DESC_WRITE, 0);
	refuse(SEND);
	describe(SEND, 0, buffer, 100, DESC_NEXT | DESC_WRITE, 1); /* 2.7.4.2 */
	describe(SEND, 1, buffer, 100, 0, 0);
	refuse(SEND);
	for (u32 i = 0; i < 100; i++)
		if (buffer[i] != 0xee) {
			print(" WRONG: byte %u was written", i);
			break;
		}
}

static void input_to_read(void)
{
	for (u32 i = 0; i < 1000; i++) {
		describe(RECEIVE, 0, buffer, 100, 0, 0);
		refuse(RECEIVE);
		describe(RECEIVE, 0, buffer, 0, DESC_WRITE, 0);
		refuse(RECEIVE);
	}
}

/* No rule is broken by these: they have to be served. */
static void output_in_crumbs(void)
{
	static const char text[] = " in crumbs";

	for (u16 n = 0; n < sizeof(text) - 1; n++)
		describe(SEND, n, text + n, 1, DESC_NEXT, (u16)(n + 1));
	describe(SEND, sizeof(text) - 1, buffer, 100, DESC_WRITE, 0); /* of no use to anybody */
	refuse(SEND);
}

static void input_in_crumbs(void)
{
	describe(RECEIVE, 0, buffer, 7, DESC_NEXT, 1); /* the same */
	for (u16 n = 1; n < 21; n++)
		describe(RECEIVE, n, taken + n, 1, DESC_WRITE | (n < 20 ? DESC_NEXT : 0),
			 (u16)(n + 1));
	expect_digits(taken + 1, offer_to(RECEIVE, 0), 20);
}

static void indirect_tables(void)
{
	static struct virtq_desc table[2];

	describe(SEND, 0, table, sizeof(table), DESC_INDIRECT, 0);
	table[0] = (struct virtq_desc){(u64)table, sizeof(table), DESC_INDIRECT, 0};
	refuse(SEND);
	table[0] = (struct virtq_desc){(u64)buffer, 10, DESC_NEXT, 2};
	refuse(SEND);
	describe(SEND, 0, table, 15, DESC_INDIRECT, 0);
	refuse(SEND);
	describe(SEND, 0, (const void *)HOLE, sizeof(table), DESC_INDIRECT, 0);
	refuse(SEND);
	begin(wanted & ~FEATURE_INDIRECT, QUEUES); /* nobody has agreed to them */
	table[0] = (struct virtq_desc){(u64)buffer, 10, 0, 0};
	describe(SEND, 0, table, sizeof(table[0]), DESC_INDIRECT, 0);
	refuse(SEND);
	spoilt = true;
}

/* ---- rings ---- */

static void one_chain_many_times(void)
{
	u32 id, length;

	describe(SEND, 0, ".", 1, 0, 0);
	for (u32 n = 0; n < RING_SIZE; n++)
		virtq_offer(&v.queue[SEND], 0);
	virtio_notify(&v, SEND);
	for (u32 n = 0; n < RING_SIZE; n++)
		virtq_wait(&v.queue[SEND], &id, &length);
}

static void head_that_is_none(void)
{
	virtq_offer(&v.queue[SEND], RING_SIZE);
	virtio_notify(&v, SEND);
	wait_broken();
}

static void too_many_buffers(void)
{
	*(volatile u16 *)&v.queue[RECEIVE].avail.index += 5000;
	virtio_notify(&v, RECEIVE);
	wait_broken();
}

/* What comes overwrites the rings themselves, or they are sent: a reset helps. */
static void rings_as_buffers(void)
{
	void *const places[] = {v.queue[RECEIVE].desc, &v.queue[RECEIVE].avail,
				&v.queue[RECEIVE].used, v.queue[SEND].desc, &v.queue[SEND].used};

	for (u32 i = 0; i < COUNT(places); i++) {
		begin(wanted, QUEUES);
		describe(RECEIVE, 1, places[i], 200, DESC_WRITE, 0);
		describe(SEND, 1, places[i], 20, 0, 0);
		virtq_offer(&v.queue[RECEIVE], 1);
		virtq_offer(&v.queue[SEND], 1);
		virtio_notify(&v, RECEIVE);
		virtio_notify(&v, SEND);
		for (u32 spins = 0; spins < 1000; spins++)
			(void)is_broken();
	}
	spoilt = true;
}

/* ---- life ---- */

static void resets_while_it_waits(void)
{
	for (u32 round = 0; round < 20; round++) {
		describe(RECEIVE, 0, buffer, 1 + round, DESC_WRITE, 0);
		describe(SEND, 0, ".", 1, 0, 0);
		for (u32 n = 0; n < RING_SIZE; n++) {
			virtq_offer(&v.queue[RECEIVE], 0);
			virtq_offer(&v.queue[SEND], 0);
		}
		virtio_notify(&v, round % 2);
		begin(wanted, QUEUES);
	}
}

static void some_queues(void)
{
	for (u32 queues = 0; queues < 4; queues++) {
		begin(wanted, queues);
		for (u16 n = 0; n < 3; n++)
			virtio_notify(&v, n % 2);
	}
	begin(wanted, 1 << SEND);
	say(" alone");
	spoilt = true;
}

static void queues_that_are_not_there(void)
{
	for (u32 n = 2; n < 0x10000; n += n < 20 ? 1 : 997) {
		virtio_write(&v, REG_QUEUE_SELECT, n);
		virtio_write(&v, REG_QUEUE_SIZE, 16);
		virtio_write_address(&v, REG_QUEUE_DESC, (u64)buffer);
		virtio_write(&v, REG_QUEUE_ENABLE, 1);
	}
}

static void notify_storm(void)
{
	for (u32 n = 0; n < 10000; n++)
		virtio_notify(&v, n % 2);
}

static void ports_that_nobody_offered(void)
{
	if (virtio_device_features(&v) & F_MULTIPORT)
		print(" WRONG: they are offered");
	if (virtio_negotiate(&v, FEATURE_VERSION_1 | F_MULTIPORT))
		print(" WRONG: the device agrees");
	spoilt = true;
}

static void writes_to_the_configuration(void)
{
	for (u32 n = 0; n < 64; n += 4)
		area_write(&v.config, n, 4, 'W');
	if (area_read(&v.config, CONFIG_PORTS, 4) != 1 ||
	    area_read(&v.config, CONFIG_WRITE, 4) != ~0u)
		print(" WRONG: they are taken");
}

static const struct misuse cases[] = {
	{"nothing to send", nothing_to_send},
	{"output out of memory", output_out_of_memory},
	{"input out of memory", input_out_of_memory},
	{"output to write", output_to_write},
	{"input to read", input_to_read},
	{"output", output_in_crumbs},
	{"input in crumbs", input_in_crumbs},
	{"indirect tables", indirect_tables},
	{"one chain many times", one_chain_many_times},
	{"a head that is none", head_that_is_none},
	{"too many buffers", too_many_buffers},
	{"rings as buffers", rings_as_buffers},
	{"resets while it waits", resets_while_it_waits},
	{"some queues", some_queues},
	{"queues that are not there", queues_that_are_not_there},
	{"a storm of notifications", notify_storm},
	{"ports that nobody offered", ports_that_nobody_offered},
	{"writes to the configuration", writes_to_the_configuration},
};

void guest_main(void)
{
	wanted = FEATURE_INDIRECT | (cmdline_has("event-index") ? FEATURE_EVENT_INDEX : 0);
	if (!virtio_find(&v, VIRTIO_CONSOLE, 0,
			 cmdline_has("mmio") ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI)) {
		print("no console\n");
		return;
	}
	misuse_run("hostile-console", cases, COUNT(cases), restart, good_service);
}
