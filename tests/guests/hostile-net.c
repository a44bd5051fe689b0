/*
 * hostile-net - a network's driver that breaks one rule of virtio 1.2, 5.1, at a time: frames, their
 * headers, buffers, commands, the order of things. After each the echo has to work: a frame goes to
 * the peer, which sends it back; and so has a disk, if there is one, because what is done to one
 * device is nothing to another.
 *
 * What the peer does is asked of it by frames of type 0x88b5, the host's program (net.py) is it: one
 * that begins with "e" comes back; "s" and two 16-bit numbers ask for so many frames that long.
 *
 * Printed is one line a case, with WRONG in it if something is; at the end the number of frames that
 * the device can't have taken, which the host compares with what bantam has counted. On the command
 * line: mmio, event-index, case=N (that one alone).
 */
#include "lib/blk.h"
#include "lib/net.h"

#define HOLE         0xd0000000ull /* no memory, no device */
#define PLAIN_SIZE   60u
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { RECEIVE = NET_RECEIVE, SEND = NET_SEND, CONTROL = 2, QUEUES = 1 << RECEIVE | 1 << SEND };

/* 5.1.6.5: classes and commands, and what is answered. */
enum { CLASS_MAC = 1, CLASS_PAIRS = 4, CLASS_OFFLOADS = 5 };
enum { ACK_OK = 0, ACK_ERR = 1, ACK_NONE = 0xa5 };

static struct virtio v, disk;
static bool has_disk;
static u64 wanted;
static u32 serial, refused;
static u8 mac[6];
static bool spoilt; /* what the case did to the queues takes a reset, before any good service */

static struct net_header header;
static u8 frame[NET_FRAME_MAX + 1], taken[NET_FRAME_MAX + 1];
static u8 long_frame[256 << 10];

/* ---- the device ---- */

static void describe(u16 queue, u16 n, const void *address, u32 length, u32 flags, u16 next)
{
	v.queue[queue].desc[n] = (struct virtq_desc){(u64)address, length, (u16)flags, next};
}

/* From a reset to DRIVER_OK, with these queues (bits) and these features of those offered. */
static void begin(u64 features, u32 queues)
{
	if (!virtio_negotiate(&v, (virtio_device_features(&v) & features) | FEATURE_VERSION_1))
		print(" WRONG: the device does not agree to its features");
	for (u32 n = 0; n < VIRTIO_QUEUES_MAX; n++)
		if (queues & 1u << n) {
			virtq_describe(&v, n);
			virtq_enable(&v, n);
		}
	virtio_driver_ok(&v);
}

static void restart(void)
{
	begin(wanted, QUEUES | (virtio_device_features(&v) & NET_F_CTRL_VQ ? 1 << CONTROL : 0));
	net_give_buffers(&v);
}

static bool is_broken(void)
{
	return virtio_read(&v, REG_STATUS) & STATUS_NEEDS_RESET;
}

/* Offers a chain and waits until it comes back: the length, or ~0 when the device is broken. */
static u32 offer(u16 queue, u16 head)
{
	u32 id, length;

	virtq_offer(&v.queue[queue], head);
	virtio_notify(&v, queue);
	for (u32 i = 1; !virtq_take(&v.queue[queue], &id, &length); i++) {
		pause();
		/* A register access costs an exit: the ring is looked at more often. */
		if (i % 512 == 0 && is_broken()) {
			print(" WRONG: the device wants a reset");
			return ~0u;
		}
	}
	if (id != head)
		print(" WRONG: chain %u came back as %u", head, id);
	return length;
}

/* ---- frames ---- */

static void prepare_frame(char what, u32 one, u32 two)
{
	struct net_ethernet *ethernet = (struct net_ethernet *)frame;

	memset(frame, 0, PLAIN_SIZE);
	memset(ethernet->to, 0xff, sizeof(ethernet->to));
	memcpy(ethernet->from, mac, sizeof(mac));
	ethernet->type[0] = NET_TYPE_HIGH;
	ethernet->type[1] = NET_TYPE_LOW;
	frame[14] = (u8)what;
	memcpy(frame + 15, &one, 2);
	memcpy(frame + 17, &two, 2);
}

/* Waits for a frame whose payload begins so; others are thrown away. */
static void wait_for(char what, u32 one)
{
	u16 number;

	do {
		while (!net_take(&v, taken))
			pause();
		memcpy(&number, taken + 15, sizeof(number));
	} while (taken[12] != NET_TYPE_HIGH || taken[13] != NET_TYPE_LOW || taken[14] != what ||
		 number != (u16)one);
}

static void ask_for_frames(u32 count, u32 bytes)
{
	prepare_frame('s', count, bytes);
	net_send(&v, NULL, frame, PLAIN_SIZE);
}

static void expect_echo(void)
{
	wait_for('e', serial);
	if (memcmp(taken, mac, sizeof(mac)))
		print(" WRONG: an echo for somebody else");
}

static void good_service(void)
{
	static u32 data[SECTOR / 4];

	prepare_frame('e', ++serial, 0);
	net_send(&v, NULL, frame, PLAIN_SIZE);
	expect_echo();
	if (has_disk && (blk_read(&disk, serial % 64, data, 1) != BLK_OK ||
			 !blk_has_pattern(data, serial % 64, 1, 0)))
		print(" WRONG: the disk suffers");
	print(" served\n");
}

/* The chain at descriptor 0 of what is sent: it comes back, and nobody gets it. */
static void expect_refusal(void)
{
	u32 length = offer(SEND, 0);

	if (length)
		print(" WRONG: %u bytes were written", length);
	refused++;
}

static void refuse_frame(const void *bytes, u32 length)
{
	describe(SEND, 0, &header, sizeof(header), DESC_NEXT, 1);
	describe(SEND, 1, bytes, length, 0, 0);
	expect_refusal();
}

static void short_frames(void)
{
	static const u32 lengths[] = {0, 1, 12, 13};

	for (u32 i = 0; i < COUNT(lengths); i++)
		refuse_frame(frame, lengths[i]);
}

static void short_headers(void)
{
	for (u32 bytes = 0; bytes < sizeof(header); bytes++) {
		describe(SEND, 0, &header, bytes, 0, 0);
		expect_refusal();
	}
}

static void long_frames(void)
{
	static const u32 lengths[] = {NET_FRAME_MAX + 19, 2 * NET_FRAME_MAX, sizeof(long_frame)};

	for (u32 i = 0; i < COUNT(lengths); i++)
		refuse_frame(long_frame, lengths[i]);
	/* And as many pieces as there are descriptors: 4 MiB, the same memory again and again. */
	describe(SEND, 0, &header, sizeof(header), DESC_NEXT, 1);
	for (u16 n = 1; n < RING_SIZE; n++)
		describe(SEND, n, long_frame, 128 << 10, n + 1 < RING_SIZE ? DESC_NEXT : 0,
			 (u16)(n + 1));
	expect_refusal();
}

static void frames_out_of_memory(void)
{
	refuse_frame((const void *)HOLE, PLAIN_SIZE);
	refuse_frame((const void *)(~0ull - 10), PLAIN_SIZE);
	refuse_frame(frame, ~0u);
	describe(SEND, 0, &header, sizeof(header), DESC_NEXT, 0); /* a loop */
	expect_refusal();
}

static void frames_to_write(void)
{
	memset(long_frame, 0xee, PLAIN_SIZE);
	describe(SEND, 0, long_frame, PLAIN_SIZE, DESC_WRITE, 0);
	expect_refusal();
	describe(SEND, 0, &header, sizeof(header), DESC_NEXT, 1);
	describe(SEND, 1, long_frame, PLAIN_SIZE, DESC_WRITE, 0);
	expect_refusal();
	describe(SEND, 0, long_frame, PLAIN_SIZE, DESC_NEXT | DESC_WRITE, 1); /* 2.7.4.2 */
	describe(SEND, 1, &header, sizeof(header), 0, 0);
	expect_refusal();
	for (u32 i = 0; i < PLAIN_SIZE; i++)
		if (long_frame[i] != 0xee) {
			print(" WRONG: byte %u was written", i);
			break;
		}
}

/* No rule is broken by that: it has to go out. */
static void frame_in_crumbs(void)
{
	prepare_frame('e', ++serial, 0);
	for (u16 n = 0; n < sizeof(header); n++)
		describe(SEND, n, (u8 *)&header + n, 1, DESC_NEXT, (u16)(n + 1));
	for (u16 n = sizeof(header); n < 30; n++)
		describe(SEND, n, frame + n - sizeof(header), 1, DESC_NEXT, (u16)(n + 1));
	describe(SEND, 30, frame + 30 - sizeof(header), PLAIN_SIZE, DESC_NEXT, 31);
	describe(SEND, 31, long_frame, 100, DESC_WRITE, 0); /* of no use to anybody */
	offer(SEND, 0);
	expect_echo();
}

/* ---- headers: 5.1.6.2 ---- */

static void send_with(struct net_header lie)
{
	prepare_frame('x', 0, 0);
	header = lie;
	net_send(&v, &header, frame, PLAIN_SIZE);
	header = (struct net_header){.flags = 0};
}

/* Nobody has agreed to do such work. A tap lets its kernel decide; a stream has nobody to do it. */
static void work_that_nobody_offered(void)
{
	static const u8 types[] = {NET_GSO_TCP4,
				   2,
				   NET_GSO_UDP,
				   NET_GSO_TCP6,
				   NET_GSO_UDP_L4,
				   6,
				   NET_GSO_ECN,
				   NET_GSO_ECN | NET_GSO_TCP4,
				   0xff};
	bool stream = !(virtio_device_features(&v) & NET_F_CTRL_VQ);

	for (u32 i = 0; i < COUNT(types); i++)
		send_with((struct net_header){.gso_type = types[i], .gso_size = 500});
	for (u32 flag = 1; flag < 256; flag *= 2)
		send_with((struct net_header){.flags = (u8)flag, .checksum_start = 14});
	refused += stream ? COUNT(types) + 8 : 0;
}

static void headers_that_lie(void)
{
	static const u8 types[] = {0,
				   NET_GSO_TCP4,
				   2,
				   NET_GSO_UDP,
				   NET_GSO_TCP6,
				   NET_GSO_UDP_L4,
				   NET_GSO_ECN,
				   NET_GSO_ECN | NET_GSO_TCP6,
				   0x7f};
	static const u16 numbers[] = {0, 14, PLAIN_SIZE + 1, 0x7fff, 0xffff};

	if (!(virtio_device_features(&v) & NET_F_CSUM)) {
		print(" not here");
		return;
	}
	begin(wanted | NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6, QUEUES);
	net_give_buffers(&v);
	for (u32 type = 0; type < COUNT(types); type++)
		for (u32 i = 0; i < 5 * 5 * 5; i++)
			send_with((struct net_header){.flags = i & 1,
						      .gso_type = types[type],
						      .gso_size = numbers[i % 5],
						      .header_length = numbers[i / 5 % 5],
						      .checksum_start = numbers[i / 25],
						      .checksum_offset = numbers[(i + type) % 5]});
}

static void number_of_buffers(void) /* means nothing in what is sent */
{
	prepare_frame('e', ++serial, 0);
	header.buffers = 0xffff;
	net_send(&v, &header, frame, PLAIN_SIZE);
	header.buffers = 0;
	expect_echo();
}

/* ---- buffers: 5.1.6.3 ---- */

/* A device without buffers. */
static void begin_empty(u64 features)
{
	begin(features, QUEUES);
	spoilt = true;
}

static void give(u16 n, const void *address, u32 bytes, u32 flags)
{
	describe(RECEIVE, n, address, bytes, flags, 0);
	virtq_offer(&v.queue[RECEIVE], n);
}

static void buffers_of_no_use(void)
{
	const u32 bytes[] = {100, 0, 1, sizeof(header) - 1};

	begin_empty(wanted);
	for (u16 n = 0; n < COUNT(bytes); n++) {
		describe(RECEIVE, n, long_frame, bytes[n], n == 0 ? 0 : DESC_WRITE, 0);
		if (offer(RECEIVE, n))
			print(" WRONG: buffer %u was used", n);
	}
	describe(RECEIVE, 0, (void *)HOLE, 2000, DESC_WRITE, 0);
	if (offer(RECEIVE, 0))
		print(" WRONG: nowhere was used");
	net_give_buffers(&v);
	spoilt = false;
}

static void wait_used(u32 *id, u32 *length)
{
	while (!virtq_take(&v.queue[RECEIVE], id, length))
		pause();
}

static void thousands_of_small_buffers(void)
{
	u32 id, length;

	begin_empty(wanted);
	for (u32 i = 0; i < 200; i++) {
		for (u16 n = 0; n < RING_SIZE; n++)
			give(n, long_frame, 1 + n % (sizeof(header) - 1), DESC_WRITE);
		virtio_notify(&v, RECEIVE);
		for (u16 n = 0; n < RING_SIZE; n++) {
			wait_used(&id, &length);
			if (id != n || length)
				print(" WRONG: %u bytes in buffer %u", length, id);
		}
	}
	net_give_buffers(&v);
	spoilt = false;
}

/* The first buffer takes what it can, and the rest waits for others. */
static void frame_longer_than_its_buffers(void)
{
	u32 id, length, at = 0;

	begin_empty(wanted);
	memset(long_frame, 0, 2000);
	give(0, long_frame, 100, DESC_WRITE);
	virtio_notify(&v, RECEIVE);
	ask_for_frames(1, 1000);
	for (u32 i = 0; i < 2000; i++)
		(void)is_broken(); /* each is an exit: time for the frame to come */
	for (u16 n = 1; n < 12; n++)
		give(n, long_frame + 100 * n, 100, DESC_WRITE);
	virtio_notify(&v, RECEIVE);
	for (; at < sizeof(header) + 1000; at += length)
		wait_used(&id, &length);
	if (at != sizeof(header) + 1000 || ((struct net_header *)long_frame)->buffers != 11)
		print(" WRONG: %u bytes", at);
	for (u32 i = sizeof(header) + 17; i < at; i++)
		if (long_frame[i] != '.') {
			print(" WRONG: byte %u is another", i);
			break;
		}
}

/* All that there are hold 384 bytes: longer frames are lost, and others come in pieces of 12. */
static void buffers_of_a_header(void)
{
	u32 id, length;

	begin_empty(wanted);
	for (u16 n = 0; n < RING_SIZE; n++)
		give(n, long_frame + sizeof(header) * n, sizeof(header), DESC_WRITE);
	virtio_notify(&v, RECEIVE);
	ask_for_frames(1, 1000);
	ask_for_frames(1, PLAIN_SIZE);
	for (u16 n = 0; n < 6; n++) {
		wait_used(&id, &length);
		if (id != n || length != sizeof(header))
			print(" WRONG: %u bytes in buffer %u", length, id);
	}
	if (((struct net_header *)long_frame)->buffers != 6)
		print(" WRONG: in %u buffers", ((struct net_header *)long_frame)->buffers);
}

static void small_buffers_that_stay_alone(void)
{
	u32 id, length;

	begin_empty(wanted & ~NET_F_MERGEABLE);
	for (u16 n = 0; n < 4; n++)
		give(n, long_frame + 100 * n, 100, DESC_WRITE);
	virtio_notify(&v, RECEIVE);
	ask_for_frames(5, 1000);
	ask_for_frames(1, PLAIN_SIZE);
	wait_used(&id, &length);
	if (id != 0 || length != sizeof(header) + PLAIN_SIZE)
		print(" WRONG: %u bytes in buffer %u", length, id);
}

static void late_buffers(void)
{
	begin_empty(wanted);
	ask_for_frames(40, 1000);
	net_give_buffers(&v);
	for (u32 i = 0; i < 40; i++)
		wait_for('d', i);
	spoilt = false;
}

static void one_buffer_many_times(void)
{
	begin_empty(wanted);
	for (u16 n = 0; n < RING_SIZE; n++)
		give(0, long_frame, 500, DESC_WRITE);
	virtio_notify(&v, RECEIVE);
	ask_for_frames(100, 1400);
	ask_for_frames(100, 100);
}

static void too_many_buffers(void)
{
	begin_empty(wanted);
	*(volatile u16 *)&v.queue[RECEIVE].avail.index += 5000;
	virtio_notify(&v, RECEIVE);
	while (!is_broken())
		pause();
}

/* What comes overwrites the rings themselves: whatever becomes of it, a reset helps. */
static void rings_as_buffers(void)
{
	struct virtq *q = &v.queue[RECEIVE];
	void *const places[] = {q->desc, &q->avail, &q->used, v.queue[SEND].desc,
				&v.queue[SEND].used};

	for (u32 i = 0; i < COUNT(places); i++) {
		begin_empty(wanted);
		ask_for_frames(20, 300);
		for (u16 n = 0; n < 8; n++)
			give(n, places[i], 400, DESC_WRITE);
		virtio_notify(&v, RECEIVE);
		for (u32 spins = 0; spins < 1000 && *(volatile u16 *)&q->used.index == 0; spins++)
			(void)is_broken();
	}
}

static void garbage_in_buffers(void) /* the device writes all of the header: see net_take() */
{
	begin_empty(wanted);
	memset(long_frame, 0xff, sizeof(long_frame));
	for (u16 n = 0; n < 4; n++)
		give(n, long_frame + 2000 * n, 2000, DESC_WRITE);
	virtio_notify(&v, RECEIVE);
	ask_for_frames(1, PLAIN_SIZE);
	while (!*(volatile u16 *)&v.queue[RECEIVE].used.index)
		pause();
	memcpy(&header, long_frame, sizeof(header));
	if (header.flags || header.gso_type || header.buffers != 1)
		print(" WRONG: the header is flags %x type %x buffers %x", header.flags,
		      header.gso_type, header.buffers);
	header = (struct net_header){.flags = 0};
}

/* ---- life ---- */

static void resets_in_traffic(void)
{
	for (u32 round = 0; round < 10; round++) {
		ask_for_frames(30, 20 + 140 * round);
		for (u32 i = 0; i < round;)
			i += net_take(&v, taken) != 0;
		restart();
	}
}

static void resets_while_sending(void)
{
	for (u32 round = 0; round < 20; round++) {
		prepare_frame('x', 0, 0);
		describe(SEND, 0, &header, sizeof(header), DESC_NEXT, 1);
		describe(SEND, 1, frame, PLAIN_SIZE + 70 * round, 0, 0);
		for (u32 n = 0; n < RING_SIZE; n++)
			virtq_offer(&v.queue[SEND], 0);
		virtio_notify(&v, SEND);
		restart();
	}
}

static void some_queues(void)
{
	for (u32 queues = 0; queues < 4; queues++) {
		begin(wanted, queues);
		for (u16 n = 0; n < 3; n++)
			virtio_notify(&v, n);
	}
	spoilt = true;
}

static void queues_that_are_not_there(void)
{
	for (u32 n = 3; n < 0x10000; n += n < 20 ? 1 : 997) {
		virtio_write(&v, REG_QUEUE_SELECT, n);
		virtio_write(&v, REG_QUEUE_SIZE, 16);
		virtio_write_address(&v, REG_QUEUE_DESC, (u64)long_frame);
		virtio_write(&v, REG_QUEUE_ENABLE, 1);
	}
}

static void odd_order(void)
{
	virtio_negotiate(&v, (virtio_device_features(&v) & wanted) | FEATURE_VERSION_1);
	for (u32 n = 3; n-- > 0;)
		virtq_describe(&v, n);
	virtq_enable(&v, SEND);
	virtq_enable(&v, RECEIVE);
	virtio_driver_ok(&v);
	virtq_enable(&v, SEND); /* again, and too late */
	net_give_buffers(&v);
}

static void buffers_before_it_runs(void)
{
	virtio_negotiate(&v, (virtio_device_features(&v) & wanted) | FEATURE_VERSION_1);
	virtq_describe(&v, SEND);
	virtq_describe(&v, RECEIVE);
	virtq_enable(&v, RECEIVE);
	net_give_buffers(&v); /* and a notification, 3.1.1 */
	virtio_notify(&v, SEND);
	virtq_enable(&v, SEND);
	virtio_driver_ok(&v);
	virtio_notify(&v, RECEIVE);
}

/* ---- commands: 5.1.6.5 ---- */

static u8 command[64];
static volatile u8 ack[64];

/* Sends `bytes` of `command` with room for an answer, and returns the answer. */
static u8 order(u32 bytes, u32 room)
{
	u32 length;

	memset((void *)ack, ACK_NONE, sizeof(ack));
	describe(CONTROL, 0, command, bytes, DESC_NEXT, 1);
	describe(CONTROL, 1, (const void *)ack, room, DESC_WRITE, 0);
	length = offer(CONTROL, 0);
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

static bool no_commands(void)
{
	if (virtio_device_features(&v) & NET_F_CTRL_VQ)
		return false;
	print(" not here");
	return true;
}

static void unknown_commands(void)
{
	if (no_commands())
		return;
	for (u32 i = 0; i < 256 * 4; i++)
		if (order_number((u8)(i / 4), (u8)(i % 4), 0, i % 9) == ACK_OK &&
		    !(i / 4 == CLASS_OFFLOADS && i % 4 == 0))
			print(" WRONG: class %u command %u", i / 4, i % 4);
}

static void commands_of_wrong_lengths(void)
{
	if (no_commands())
		return;
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
	if (offer(CONTROL, 0) != 1 || command[0] != ACK_ERR || command[1] != 0xee)
		print(" WRONG: it was obeyed");
	describe(CONTROL, 0, command, 10, 0, 0);
	if (offer(CONTROL, 0) != 0)
		print(" WRONG: an answer without room");
}

static void counts_of_addresses_that_lie(void)
{
	static const u32 counts[] = {0, 1, 2, 0x7fffffff, 0xfffffff0, 0xffffffff};

	if (no_commands())
		return;
	for (u32 i = 0; i < COUNT(counts); i++)
		if (order_number(CLASS_MAC, 0, counts[i], 8) == ACK_OK)
			print(" WRONG: %x addresses", counts[i]);
}

static void offloads_that_nobody_offered(void)
{
	if (no_commands())
		return;
	for (u32 bit = 0; bit < 64; bit++)
		if (order_number(CLASS_OFFLOADS, 0, 1ull << bit, 8) == ACK_OK)
			print(" WRONG: bit %u", bit);
}

static void pairs_that_are_not_there(void)
{
	if (no_commands())
		return;
	for (u32 pairs = 0; pairs < 0x10000; pairs += pairs < 20 ? 1 : 509)
		if (order_number(CLASS_PAIRS, 0, pairs, 2) == ACK_OK)
			print(" WRONG: %u pairs", pairs);
}

/* Two pairs, whose second has no queues; and then they are not used, and frames come in them. */
static void pairs_without_queues(void)
{
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
	if (offer(4, 0) != 1 || ack[0] != ACK_OK)
		print(" WRONG: not two pairs");
	ask_for_frames(50, 100);
	begin(wanted | NET_F_MQ, QUEUES | 1 << 2 | 1 << 3);
	net_give_buffers(&v);
	describe(3, 0, &header, sizeof(header), DESC_NEXT, 1);
	describe(3, 1, frame, PLAIN_SIZE, 0, 0);
	for (u32 i = 0; i < 100; i++)
		if (offer(3, 0) != 0)
			print(" WRONG: written to");
	refused += 100;
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{"short frames", short_frames},
	{"short headers", short_headers},
	{"long frames", long_frames},
	{"frames out of memory", frames_out_of_memory},
	{"frames to write", frames_to_write},
	{"a frame in crumbs", frame_in_crumbs},
	{"work that nobody offered", work_that_nobody_offered},
	{"headers that lie", headers_that_lie},
	{"a number of buffers", number_of_buffers},
	{"buffers of no use", buffers_of_no_use},
	{"thousands of small buffers", thousands_of_small_buffers},
	{"a frame longer than its buffers", frame_longer_than_its_buffers},
	{"buffers of a header", buffers_of_a_header},
	{"small buffers that stay alone", small_buffers_that_stay_alone},
	{"late buffers", late_buffers},
	{"one buffer many times", one_buffer_many_times},
	{"too many buffers", too_many_buffers},
	{"rings as buffers", rings_as_buffers},
	{"garbage in buffers", garbage_in_buffers},
	{"resets in traffic", resets_in_traffic},
	{"resets while sending", resets_while_sending},
	{"some queues", some_queues},
	{"queues that are not there", queues_that_are_not_there},
	{"odd order", odd_order},
	{"buffers before it runs", buffers_before_it_runs},
	{"unknown commands", unknown_commands},
	{"commands of wrong lengths", commands_of_wrong_lengths},
	{"counts of addresses that lie", counts_of_addresses_that_lie},
	{"offloads that nobody offered", offloads_that_nobody_offered},
	{"pairs that are not there", pairs_that_are_not_there},
	{"pairs without queues", pairs_without_queues},
};

static void run_case(u32 number)
{
	print("case %u %s:", number, cases[number].name);
	restart();
	spoilt = false;
	cases[number].run();
	if (is_broken() && !spoilt)
		print(" WRONG: the device wants a reset");
	if (spoilt)
		restart();
	good_service();
}

void guest_main(void)
{
	enum virtio_bus bus = cmdline_has("mmio") ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI;
	u64 only = cmdline_number("case", ~0ull);
	u32 done = 0;

	wanted = NET_F_MAC | NET_F_MERGEABLE | NET_F_CTRL_VQ | NET_F_CTRL_OFFLOADS;
	if (cmdline_has("event-index"))
		wanted |= FEATURE_EVENT_INDEX;
	has_disk = virtio_find(&disk, VIRTIO_BLOCK, 0, bus) && virtio_start(&disk, 0, VIRTIO_POLL);
	if (!net_find(&v, bus) || !net_start(&v, wanted, VIRTIO_POLL)) {
		print("no network\n");
		return;
	}
	net_read_mac(&v, mac);
	print("before:");
	good_service();
	for (u32 i = 0; i < COUNT(cases); i++)
		if (only == ~0ull || only == i) {
			run_case(i);
			done++;
		}
	virtio_reset(&v);
	print("refused: %u\nhostile-net: %u cases done\n", refused, done);
}
