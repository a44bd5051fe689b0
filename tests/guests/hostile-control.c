/*
 * hostile-control - a network's driver that sends commands (virtio 1.2, 5.1.6.5) which are none, or
 * wrong, and one that has more pairs of queues than it serves. After each the echo has to work
 * (lib/peer.h).
 *
 * Printed is one line a case, with WRONG in it if something is. On the command line: mmio,
 * event-index, case=N (that one alone).
 */
#include "lib/peer.h"

enum { CONTROL = 2, QUEUES = 1 << NET_RECEIVE | 1 << NET_SEND };

/* 5.1.6.5: classes and commands, and what is answered. */
enum { CLASS_MAC = 1, CLASS_PAIRS = 4, CLASS_OFFLOADS = 5 };
enum { ACK_OK = 0, ACK_ERR = 1, ACK_NONE = 0xa5 };

static u64 wanted;

static void restart(void)
{
	begin(wanted, QUEUES | 1 << CONTROL);
	net_give_buffers(&v);
}

static u8 command[64];
static volatile u8 ack[64];

/* Sends `bytes` of `command` with room for an answer, and returns the answer. */
static u8 order(u32 bytes, u32 room)
{
	u32 length;

	memset((void *)ack, ACK_NONE, sizeof(ack));
	describe(CONTROL, 0, command, bytes, DESC_NEXT, 1);
	describe(CONTROL, 1, (const void *)ack, room, DESC_WRITE, 0);
	length = offer_to(CONTROL, 0);
	if (length != (room ? 1 : 0) || ack[1] != ACK_NONE)
		print(" WRONG: %u bytes of answer", length);
	return ack[0];
}

static u8 order_number(u8 class, u8 what, u64 number, u32 bytes)
{
	command[0] = class;
	command[1] = what;
	memcpy(command + 2, &number, sizeof(number));
	return order(2 + bytes, 1);
}

static void unknown_commands(void)
{
	for (u32 i = 0; i < 256 * 4; i++)
		if (order_number((u8)(i / 4), (u8)(i % 4), 0, i % 9) == ACK_OK &&
		    !(i / 4 == CLASS_OFFLOADS && i % 4 == 0))
			print(" WRONG: class %u command %u", i / 4, i % 4);
}

static void commands_of_wrong_lengths(void)
{
	for (u32 bytes = 0; bytes < 40; bytes++) {
		memset(command, 0, sizeof(command));
		command[0] = CLASS_OFFLOADS;
		if ((order(bytes, 1) == ACK_OK) != (bytes == 10))
			print(" WRONG: %u bytes", bytes);
	}
	order(10, 0);
	order(10, sizeof(ack));
	describe(CONTROL, 0, command, 10, DESC_WRITE, 0); /* all is for the answer */
	memset(command, 0xee, sizeof(command));
	if (offer_to(CONTROL, 0) != 1 || command[0] != ACK_ERR || command[1] != 0xee)
		print(" WRONG: it was obeyed");
	describe(CONTROL, 0, command, 10, 0, 0);
	if (offer_to(CONTROL, 0) != 0)
		print(" WRONG: an answer without room");
}

static void counts_of_addresses_that_lie(void)
{
	static const u32 counts[] = {0, 1, 2, 0x7fffffff, 0xfffffff0, 0xffffffff};

	for (u32 i = 0; i < COUNT(counts); i++)
		if (order_number(CLASS_MAC, 0, counts[i], 8) == ACK_OK)
			print(" WRONG: %x addresses", counts[i]);
}

static void offloads_that_nobody_offered(void)
{
	for (u32 bit = 0; bit < 64; bit++)
		if (order_number(CLASS_OFFLOADS, 0, 1ull << bit, 8) == ACK_OK)
			print(" WRONG: bit %u", bit);
}

static void pairs_that_are_not_there(void)
{
	for (u32 pairs = 0; pairs < 0x10000; pairs += pairs < 20 ? 1 : 509)
		if (order_number(CLASS_PAIRS, 0, pairs, 2) == ACK_OK)
			print(" WRONG: %u pairs", pairs);
}

/* Two pairs, whose second has no queues; and then they are not used, and frames come in them. */
static void pairs_without_queues(void)
{
	static const struct net_header header;

	if (!(virtio_device_features(&v) & NET_F_MQ)) {
		print(" not here");
		return;
	}
	begin(wanted | NET_F_MQ, QUEUES | 1 << 4);
	net_give_buffers(&v);
	command[0] = CLASS_PAIRS;
	command[1] = 0;
	memcpy(command + 2, &(u16){2}, 2);
	describe(4, 0, command, 4, DESC_NEXT, 1);
	describe(4, 1, (const void *)ack, 1, DESC_WRITE, 0);
	if (offer_to(4, 0) != 1 || ack[0] != ACK_OK)
		print(" WRONG: not two pairs");
	ask_for_frames(50, 100);
	begin(wanted | NET_F_MQ, QUEUES | 1 << 2 | 1 << 3);
	net_give_buffers(&v);
	describe(3, 0, &header, sizeof(header), DESC_NEXT, 1);
	describe(3, 1, frame, PLAIN_SIZE, 0, 0);
	for (u32 i = 0; i < 100; i++)
		refuse(3);
}

static const struct misuse cases[] = {
	{"unknown commands", unknown_commands},
	{"commands of wrong lengths", commands_of_wrong_lengths},
	{"counts of addresses that lie", counts_of_addresses_that_lie},
	{"offloads that nobody offered", offloads_that_nobody_offered},
	{"pairs that are not there", pairs_that_are_not_there},
	{"pairs without queues", pairs_without_queues},
};

void guest_main(void)
{
	enum virtio_bus bus = cmdline_has("mmio") ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI;

	wanted = NET_F_MAC | NET_F_MERGEABLE | NET_F_CTRL_VQ | NET_F_CTRL_OFFLOADS;
	if (cmdline_has("event-index"))
		wanted |= FEATURE_EVENT_INDEX;
	if (!net_find(&v, bus) || !(virtio_device_features(&v) & NET_F_CTRL_VQ)) {
		print("no network that takes commands\n");
		return;
	}
	misuse_run("hostile-control", cases, COUNT(cases), restart, echo_works);
}
