/*
 * hostile-fs - a file system's driver that breaks one rule of virtio 1.2, 2.7 and 5.11, or of the FUSE
 * protocol, at a time, with a directory that has "file" in it with the host's text. After each that
 * file has to be found, opened and read.
 *
 * Printed is one line a case, with WRONG in it if something is. On the command line: mmio, event-index,
 * case=N (that one alone).
 */
#include "lib/misuse.h"

enum { URGENT = 0, REQUESTS = 1, QUEUES = 1 << URGENT | 1 << REQUESTS };

/* Linux include/uapi/linux/fuse.h */
enum {
	LOOKUP = 1,
	FORGET = 2,
	GETATTR = 3,
	OPEN = 14,
	READ = 15,
	WRITE = 16,
	STATFS = 17,
	RELEASE = 18,
	INIT = 26,
	OPENDIR = 27,
	READDIR = 28,
	INTERRUPT = 36,
	BATCH_FORGET = 42,
	READDIRPLUS = 44,
	SYNCFS = 50,
	CALLS = 60, /* more than there are */
};

enum { ROOT = 1, BODY_BYTES = 4096, FRESH = 0xee };
enum { E_NOENT = -2, E_BADF = -9, E_INVAL = -22, E_RANGE = -34, E_NAME = -36, E_NOSYS = -38 };

struct in_header {
	u32 length, opcode;
	u64 unique, nodeid;
	u32 uid, gid, pid, unused;
};

struct out_header {
	u32 length;
	int32_t error;
	u64 unique;
};

static const char text[] = "what the host has written";

static u64 wanted, unique;
static struct {
	struct in_header head;
	u8 body[BODY_BYTES];
} request;
static struct {
	struct out_header head;
	u8 body[BODY_BYTES + 64];
} reply;

/* ---- requests ---- */

/* At descriptors 0 and 1: the request with the first bytes of its body, and room for a reply. */
static void prepare(u16 queue, u32 opcode, u64 nodeid, u32 bytes, u32 room)
{
	request.head = (struct in_header){
		.length = sizeof(request.head) + bytes,
		.opcode = opcode,
		.unique = ++unique,
		.nodeid = nodeid,
	};
	memset(&reply, FRESH, sizeof(reply));
	describe(queue, 0, &request, sizeof(request.head) + bytes, DESC_NEXT, 1);
	describe(queue, 1, &reply, room, DESC_WRITE, 0);
}

/* Looks at a reply of that length, and returns its error. */
static int judge(u32 length)
{
	for (u32 i = length; i < length + 64; i++)
		if (((u8 *)&reply)[i] != FRESH) {
			print(" WRONG: byte %u was written", i);
			break;
		}
	if (length == 0)
		return 0;
	if (length < sizeof(reply.head) || reply.head.length != length ||
	    reply.head.unique != unique || reply.head.error > 0 || reply.head.error <= -512 ||
	    (reply.head.error && length != sizeof(reply.head)))
		print(" WRONG: a reply of %u bytes, length %u, error %d", length, reply.head.length,
		      reply.head.error);
	return reply.head.error;
}

static int ask(u32 opcode, u64 nodeid, const void *body, u32 bytes)
{
	memcpy(request.body, body, bytes);
	prepare(REQUESTS, opcode, nodeid, bytes, sizeof(reply.head) + BODY_BYTES);
	return judge(offer_to(REQUESTS, 0));
}

static void expect(int error, u32 opcode, u64 nodeid, const void *body, u32 bytes)
{
	int found = ask(opcode, nodeid, body, bytes);

	if (found != error)
		print(" WRONG: call %u of %lx is %d, not %d", opcode, nodeid, found, error);
}

static u64 reply_u64(u32 at)
{
	u64 number;

	memcpy(&number, reply.body + at, sizeof(number));
	return number;
}

static u64 look_up(void)
{
	expect(0, LOOKUP, ROOT, "file", 5);
	return reply_u64(0);
}

static u64 open_file(u64 nodeid)
{
	expect(0, OPEN, nodeid, &(u64){0}, 8);
	return reply_u64(0);
}

static void forget(u64 nodeid, u64 count)
{
	memcpy(request.body, &count, sizeof(count));
	prepare(URGENT, FORGET, nodeid, sizeof(count), 0);
	describe(URGENT, 0, &request, request.head.length, 0, 0);
	refuse(URGENT);
}

/* A read of so many bytes; the arguments of a release begin the same way. */
static void read_args(u64 args[5], u64 fh, u64 offset, u32 bytes)
{
	memset(args, 0, 5 * sizeof(*args));
	args[0] = fh;
	args[1] = offset;
	args[2] = bytes;
}

static void restart(void)
{
	u32 version[16] = {7, 38};

	begin(wanted, QUEUES);
	expect(0, INIT, 0, version, sizeof(version));
}

static void good_service(u32 number)
{
	u64 nodeid = look_up(), fh = open_file(nodeid), args[5];

	(void)number;
	read_args(args, fh, 0, 100);
	expect(0, READ, nodeid, args, sizeof(args));
	if (reply.head.length != sizeof(reply.head) + strlen(text) ||
	    memcmp(reply.body, text, strlen(text)))
		print(" WRONG: another text");
	expect(0, RELEASE, nodeid, args, 24);
	forget(nodeid, ~0ull); /* the case may have looked it up, too */
	expect(E_NOENT, GETATTR, nodeid, args, 16);
}

/* ---- FUSE ---- */

static void headers_that_are_short(void)
{
	for (u32 bytes = 0; bytes < sizeof(request.head); bytes++) {
		prepare(REQUESTS, GETATTR, ROOT, 16, sizeof(reply.head) + BODY_BYTES);
		v.queue[REQUESTS].desc[0].length = bytes;
		refuse(REQUESTS);
	}
}

static void lengths_that_lie(void)
{
	static const u32 lengths[] = {0, 1, 39, 57, 0x7fffffff, 0x80000000, ~0u};

	for (u32 i = 0; i < COUNT(lengths); i++) {
		prepare(REQUESTS, GETATTR, ROOT, 16, sizeof(reply.head) + BODY_BYTES);
		request.head.length = lengths[i];
		if (judge(offer_to(REQUESTS, 0)) != E_INVAL)
			print(" WRONG: length %u is taken", lengths[i]);
	}
}

static void unknown_calls(void)
{
	static const u32 calls[] = {0, 7, 19, 53, 63, 64, 4096, 0x7fffffff, 0x80000001, ~0u};

	for (u32 i = 0; i < COUNT(calls); i++)
		expect(E_NOSYS, calls[i], ROOT, text, sizeof(text));
}

static void bodies_of_all_lengths(void)
{
	static u8 body[200];

	for (u32 fill = 0; fill < 2; fill++) {
		memset(body, fill ? 0xff : 0, sizeof(body));
		for (u32 opcode = 0; opcode < CALLS; opcode++)
			/* One SYNCFS is enough: it waits for the host's disk. */
			for (u32 bytes = 0; bytes < (opcode == SYNCFS ? 1 : sizeof(body));
			     bytes += bytes < 2 ? 1 : 22)
				ask(opcode, ROOT, body, bytes);
	}
}

static void nodes_never_given(void)
{
	static const u64 nodes[] = {
		0, 2, 77, 0xffffffff, 1ull << 32, (1ull << 32) + 1, ~0ull >> 1, ~0ull, HOLE};
	u64 args[5] = {0};

	for (u32 i = 0; i < COUNT(nodes); i++) {
		expect(E_NOENT, LOOKUP, nodes[i], "file", 5);
		expect(E_NOENT, GETATTR, nodes[i], args, 16);
		expect(E_NOENT, OPEN, nodes[i], args, 8);
		expect(E_NOENT, OPENDIR, nodes[i], args, 8);
		forget(nodes[i], ~0ull);
	}
}

static void handles_never_given(void)
{
	static const u64 handles[] = {0, 2, 77, 0xffffffff, 1ull << 32, ~0ull};
	static const u32 calls[] = {READ, READDIR, READDIRPLUS, RELEASE};
	u64 nodeid = look_up(), fh = open_file(nodeid), args[5];

	for (u32 i = 0; i < COUNT(handles); i++)
		for (u32 call = 0; call < COUNT(calls); call++) {
			read_args(args, handles[i], 0, 100);
			expect(E_BADF, calls[call], nodeid, args, sizeof(args));
		}
	/* Another inode's, and one that was given back. */
	read_args(args, fh, 0, 100);
	expect(E_BADF, READ, ROOT, args, sizeof(args));
	expect(0, RELEASE, nodeid, args, 24);
	expect(E_BADF, READ, nodeid, args, sizeof(args));
	expect(E_BADF, RELEASE, nodeid, args, 24);
}

static void forgotten_twice(void)
{
	u64 nodeid = look_up(), args[5] = {0};

	forget(nodeid, 1);
	forget(nodeid, 1);
	expect(E_NOENT, GETATTR, nodeid, args, 16);
	nodeid = look_up();
	forget(nodeid, ~0ull);
	expect(E_NOENT, GETATTR, nodeid, args, 16);
	forget(ROOT, ~0ull);
	expect(0, GETATTR, ROOT, args, 16);
	/* More than there are in the list, which is in the other queue besides. */
	nodeid = look_up();
	args[0] = 0xffffffff;
	args[1] = nodeid;
	args[2] = 1;
	expect(0, BATCH_FORGET, 0, args, 24);
	expect(E_NOENT, GETATTR, nodeid, args, 16);
}

static void interrupts(void)
{
	for (u64 number = 0; number < 200; number++) {
		const u16 queue = number % 2;

		memcpy(request.body, &(u64){number % 3 ? number : unique}, 8);
		prepare(queue, INTERRUPT, 0, number % 9, sizeof(reply.head));
		refuse(queue);
	}
}

static void names(void)
{
	static const char *const bad[] = {"", ".", "..", "/", "../beside", "x/y", "/etc/passwd"};
	char longest[300];

	for (u32 i = 0; i < COUNT(bad); i++)
		expect(E_INVAL, LOOKUP, ROOT, bad[i], (u32)strlen(bad[i]) + 1);
	expect(E_INVAL, LOOKUP, ROOT, "file", 4); /* it has no end */
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	expect(E_NAME, LOOKUP, ROOT, longest, sizeof(longest));
}

static void sizes_that_lie(void)
{
	static const u32 sizes[] = {17, 0x7fffffff, 0xfffffff0, ~0u};
	u64 nodeid = look_up(), fh = open_file(nodeid), args[7];

	memset(args, 0, sizeof(args));
	for (u32 i = 0; i < COUNT(sizes); i++) {
		read_args(args, fh, 0, sizes[i]);
		expect(E_INVAL, WRITE, nodeid, args, sizeof(args));
		expect(0, READ, nodeid, args, 40);
		read_args(args, fh, ~0ull - 5, sizes[i]);
		expect(E_INVAL, READ, nodeid, args, 40);
	}
	/* Read-only is how it is open. */
	read_args(args, fh, 0, 16);
	expect(E_BADF, WRITE, nodeid, args, sizeof(args));
}

static void urgent_requests(void)
{
	static const u32 calls[] = {LOOKUP, GETATTR, OPENDIR, STATFS, INIT, 0};

	for (u32 i = 0; i < COUNT(calls); i++) {
		memcpy(request.body, "file\0\0\0\0\0\0\0", 16);
		prepare(URGENT, calls[i], ROOT, 16, sizeof(reply.head) + BODY_BYTES);
		judge(offer_to(URGENT, 0));
	}
}

/* ---- replies ---- */

static void no_room_for_a_reply(void)
{
	for (u32 room = 0; room <= sizeof(reply.head) + 100; room++) {
		prepare(REQUESTS, GETATTR, ROOT, 16, room);
		if (room < sizeof(reply.head))
			refuse(REQUESTS);
		else if (judge(offer_to(REQUESTS, 0)) != (room < 120 ? E_RANGE : 0))
			print(" WRONG: a reply in %u bytes", room);
	}
	prepare(REQUESTS, LOOKUP, ROOT, 5, 0);
	describe(REQUESTS, 0, &request, request.head.length, 0, 0);
	refuse(REQUESTS);
}

static void replies_to_read(void)
{
	prepare(REQUESTS, GETATTR, ROOT, 16, sizeof(reply));
	v.queue[REQUESTS].desc[1].flags = 0;
	refuse(REQUESTS);
	describe(REQUESTS, 0, &reply, 200, DESC_NEXT | DESC_WRITE, 1); /* 2.7.4.2 */
	describe(REQUESTS, 1, &request, request.head.length, 0, 0);
	refuse(REQUESTS);
	judge(0);
}

static void replies_over_their_requests(void)
{
	for (u32 shift = 0; shift < 64; shift += 4) {
		prepare(REQUESTS, GETATTR, ROOT, 16, 0);
		describe(REQUESTS, 1, (u8 *)&request + shift, 200, DESC_WRITE, 0);
		offer_to(REQUESTS, 0);
	}
}

static void out_of_memory(u16 queue)
{
	static const u64 places[] = {HOLE, ~0ull - 5, 1ull << 63};
	struct virtq_desc *desc = v.queue[queue].desc;

	for (u32 end = 0; end < 2; end++) {
		for (u32 i = 0; i < COUNT(places); i++) {
			prepare(queue, GETATTR, ROOT, 16, 200);
			desc[end].address = places[i];
			refuse(queue);
		}
		prepare(queue, GETATTR, ROOT, 16, 200);
		desc[end].length = ~0u;
		refuse(queue);
		prepare(queue, GETATTR, ROOT, 16, 200);
		desc[end].flags |= DESC_NEXT;
		desc[end].next = (u16)end; /* a loop */
		refuse(queue);
		desc[end].next = RING_SIZE;
		refuse(queue);
	}
}

static void requests_out_of_memory(void)
{
	out_of_memory(REQUESTS);
}

static void urgent_ones_out_of_memory(void)
{
	out_of_memory(URGENT);
}

static void indirect_tables(void)
{
	static struct virtq_desc table[2];

	describe(REQUESTS, 0, table, sizeof(table), DESC_INDIRECT, 0);
	table[0] = (struct virtq_desc){(u64)table, sizeof(table), DESC_INDIRECT, 0};
	refuse(REQUESTS);
	table[0] = (struct virtq_desc){(u64)&request, 56, DESC_NEXT, 2};
	refuse(REQUESTS);
	describe(REQUESTS, 0, table, 15, DESC_INDIRECT, 0);
	refuse(REQUESTS);
	describe(REQUESTS, 0, (const void *)HOLE, sizeof(table), DESC_INDIRECT, 0);
	refuse(REQUESTS);
}

/* No rule is broken by that. */
static void in_crumbs(void)
{
	prepare(REQUESTS, LOOKUP, ROOT, 0, 0);
	memcpy(request.body, "file", 5);
	request.head.length += 5;
	for (u16 n = 0; n < 15; n++)
		describe(REQUESTS, n, (u8 *)&request + 3 * n, 3, DESC_NEXT, (u16)(n + 1));
	for (u16 n = 15; n < RING_SIZE; n++)
		describe(REQUESTS, n, (u8 *)&reply + n - 15, n + 1 < RING_SIZE ? 1 : 500,
			 DESC_WRITE | (n + 1 < RING_SIZE ? DESC_NEXT : 0), (u16)(n + 1));
	if (judge(offer_to(REQUESTS, 0)) || reply.head.length < 100)
		print(" WRONG: it isn't found");
}

/* ---- rings and life ---- */

static void one_chain_many_times(void)
{
	u32 id, length;

	prepare(REQUESTS, GETATTR, ROOT, 16, 200);
	for (u32 n = 0; n < RING_SIZE; n++)
		virtq_offer(&v.queue[REQUESTS], 0);
	virtio_notify(&v, REQUESTS);
	for (u32 n = 0; n < RING_SIZE; n++)
		virtq_wait(&v.queue[REQUESTS], &id, &length);
}

static void heads_that_are_none(void)
{
	for (u16 queue = 0; queue < 2; queue++) {
		restart();
		virtq_offer(&v.queue[queue], RING_SIZE);
		virtio_notify(&v, queue);
		wait_broken();
	}
}

static void too_many_requests(void)
{
	for (u16 queue = 0; queue < 2; queue++) {
		restart();
		*(volatile u16 *)&v.queue[queue].avail.index += 5000;
		virtio_notify(&v, queue);
		wait_broken();
	}
}

/* Replies overwrite the rings themselves: a reset helps. */
static void rings_as_replies(void)
{
	void *const places[] = {v.queue[REQUESTS].desc, &v.queue[REQUESTS].avail,
				&v.queue[REQUESTS].used, v.queue[URGENT].desc,
				&v.queue[URGENT].used};

	for (u32 i = 0; i < COUNT(places); i++) {
		restart();
		prepare(REQUESTS, GETATTR, ROOT, 16, 0);
		describe(REQUESTS, 1, places[i], 400, DESC_WRITE, 0);
		for (u32 n = 0; n < 8; n++)
			virtq_offer(&v.queue[REQUESTS], 0);
		virtio_notify(&v, REQUESTS);
		for (u32 spins = 0; spins < 1000; spins++)
			(void)is_broken();
	}
	spoilt = true;
}

static void resets_under_load(void)
{
	for (u32 round = 0; round < 30; round++) {
		u64 nodeid = look_up(), args[5];

		read_args(args, open_file(nodeid), 0, BODY_BYTES);
		memcpy(request.body, args, sizeof(args));
		prepare(REQUESTS, round % 3 ? READ : LOOKUP, nodeid, sizeof(args), sizeof(reply));
		describe(URGENT, 0, &request, request.head.length, 0, 0);
		for (u32 n = 0; n < RING_SIZE; n++) {
			virtq_offer(&v.queue[REQUESTS], 0);
			virtq_offer(&v.queue[URGENT], 0);
		}
		virtio_notify(&v, round % 2);
		virtio_notify(&v, 1 - round % 2);
		restart();
		expect(E_NOENT, GETATTR, nodeid, args, 16);
	}
}

static void some_queues(void)
{
	for (u32 queues = 0; queues < 4; queues++) {
		begin(wanted, queues);
		for (u16 n = 0; n < 4; n++)
			virtio_notify(&v, n % 2);
	}
	begin(wanted, 1 << REQUESTS);
	expect(0, GETATTR, ROOT, &(u64[2]){0}, 16);
	begin(wanted, 1 << URGENT);
	forget(ROOT, 1);
	spoilt = true;
}

static void queues_that_are_not_there(void)
{
	for (u32 n = 2; n < 0x10000; n += n < 20 ? 1 : 997) {
		virtio_write(&v, REG_QUEUE_SELECT, n);
		virtio_write(&v, REG_QUEUE_SIZE, 16);
		virtio_write_address(&v, REG_QUEUE_DESC, (u64)&request);
		virtio_write(&v, REG_QUEUE_ENABLE, 1);
	}
}

static void notify_storm(void)
{
	for (u32 n = 0; n < 10000; n++)
		virtio_notify(&v, n % 2);
}

static void writes_to_the_configuration(void)
{
	for (u32 n = 0; n < 64; n += 4)
		area_write(&v.config, n, 4, 'W');
	if (area_read(&v.config, 36, 4) != 1) /* 5.11.4: behind the tag */
		print(" WRONG: they are taken");
}

static const struct misuse cases[] = {
	{"headers that are short", headers_that_are_short},
	{"lengths that lie", lengths_that_lie},
	{"unknown calls", unknown_calls},
	{"bodies of all lengths", bodies_of_all_lengths},
	{"nodes never given", nodes_never_given},
	{"handles never given", handles_never_given},
	{"forgotten twice", forgotten_twice},
	{"interrupts", interrupts},
	{"names", names},
	{"sizes that lie", sizes_that_lie},
	{"urgent requests", urgent_requests},
	{"no room for a reply", no_room_for_a_reply},
	{"replies to read", replies_to_read},
	{"replies over their requests", replies_over_their_requests},
	{"requests out of memory", requests_out_of_memory},
	{"urgent ones out of memory", urgent_ones_out_of_memory},
	{"indirect tables", indirect_tables},
	{"in crumbs", in_crumbs},
	{"one chain many times", one_chain_many_times},
	{"heads that are none", heads_that_are_none},
	{"too many requests", too_many_requests},
	{"rings as replies", rings_as_replies},
	{"resets under load", resets_under_load},
	{"some queues", some_queues},
	{"queues that are not there", queues_that_are_not_there},
	{"a storm of notifications", notify_storm},
	{"writes to the configuration", writes_to_the_configuration},
};

void guest_main(void)
{
	wanted = FEATURE_INDIRECT | (cmdline_has("event-index") ? FEATURE_EVENT_INDEX : 0);
	if (!virtio_find(&v, VIRTIO_FS, 0, cmdline_has("mmio") ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI)) {
		print("no file system\n");
		return;
	}
	misuse_run("hostile-fs", cases, COUNT(cases), restart, good_service);
}
