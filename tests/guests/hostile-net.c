/*
 * hostile-net - a network's driver that breaks one rule of virtio 1.2, 5.1, at a time: frames, their
 * headers, buffers, the order of things. After each the echo has to work (lib/peer.h), and so has a
 * disk, if there is one, because what is done to one device is nothing to another.
 *
 * Printed is one line a case, with WRONG in it if something is; before the last the number of frames
 * that the device can't have taken, which the host compares with what bantam has counted. On the
 * command line: mmio, event-index, case=N (that one alone).
 */
#include "lib/blk.h"
#include "lib/peer.h"

enum { RECEIVE = NET_RECEIVE, SEND = NET_SEND, QUEUES = 1 << RECEIVE | 1 << SEND };

static struct virtio disk;
static bool has_disk;
static u64 wanted;
static u32 refused;

static struct net_header header;
static u8 long_frame[256 << 10];

static void restart(void)
{
	begin(wanted, QUEUES);
	net_give_buffers(&v);
}

static void good_service(u32 number)
{
	static u32 data[SECTOR / 4];

	echo_works(number);
	if (has_disk && (blk_read(&disk, number % 64, data, 1) != BLK_OK ||
			 !blk_has_pattern(data, number % 64, 1, 0)))
		print(" WRONG: the disk suffers");
}

/* The chain at descriptor 0 of what is sent: it comes back, and nobody gets it. */
static void expect_refusal(void)
{
	refuse(SEND);
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
	prepare_echo();
	for (u16 n = 0; n < sizeof(header); n++)
		describe(SEND, n, (u8 *)&header + n, 1, DESC_NEXT, (u16)(n + 1));
	for (u16 n = sizeof(header); n < 30; n++)
		describe(SEND, n, frame + n - sizeof(header), 1, DESC_NEXT, (u16)(n + 1));
	describe(SEND, 30, frame + 30 - sizeof(header), PLAIN_SIZE, DESC_NEXT, 31);
	describe(SEND, 31, long_frame, 100, DESC_WRITE, 0); /* of no use to anybody */
	offer_to(SEND, 0);
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
	prepare_echo();
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
		if (offer_to(RECEIVE, n))
			print(" WRONG: buffer %u was used", n);
	}
	describe(RECEIVE, 0, (void *)HOLE, 2000, DESC_WRITE, 0);
	if (offer_to(RECEIVE, 0))
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
	wait_broken();
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

static const struct misuse cases[] = {
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
};

void guest_main(void)
{
	enum virtio_bus bus = cmdline_has("mmio") ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI;

	wanted = NET_F_MAC | NET_F_MERGEABLE | NET_F_CTRL_OFFLOADS;
	if (cmdline_has("event-index"))
		wanted |= FEATURE_EVENT_INDEX;
	has_disk = virtio_find(&disk, VIRTIO_BLOCK, 0, bus) && virtio_start(&disk, 0, VIRTIO_POLL);
	if (!net_find(&v, bus) || !net_start(&v, wanted, VIRTIO_POLL)) {
		print("no network\n");
		return;
	}
	good_service(0);
	misuse_run("hostile-net", cases, COUNT(cases), restart, good_service);
	print("refused: %u\n", refused);
}
