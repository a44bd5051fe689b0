/*
 * net_ceiling - how fast the network device is on a tap, without a virtual machine.
 *
 *	net_ceiling BYTES FRAMES ROUNDS [thread]
 *
 * Frames of BYTES bytes cross a tap, in each direction FRAMES a round, once through the device and
 * its driver (ceiling.h), and once by a bare loop of readv(2) or writev(2) on the same descriptor;
 * the two take turns. The peer of both is the kernel alone: what is sent has a type that nobody
 * listens to, and ends in the kernel; what is received was put into the tap's queue before the clock
 * starts. The tap is in a network namespace of its own. With `thread`, the driver is a thread of its
 * own. At the end it prints, of each direction, the processor time of the median round, of all
 * threads together; and how often the device was rung for and rang in all rounds:
 *
 *	send device_ns=N bare_ns=N doorbells=N interrupts=N
 *	receive device_ns=N bare_ns=N doorbells=N interrupts=N
 *
 * Limits: needs root; one pair of queues; BYTES up to 1514; an error ends with a line on standard
 * error and status 1.
 */
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "devices/virtio/net.h"
#include "tests/bench/ceiling.h"

enum { RECEIVE, SEND, DIRECTIONS };
enum {
	BUFFER_BYTES = 2048,
	BUFFER_USED = 1536,
	FRAME_BYTES_MAX = 1514,
	BURST = 32,
	ROUNDS_MAX = 1000
};

/* IEEE's for local experiments. */
static const u8 FRAME_START[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
static const char TAP[] = "ceiling0";

struct bench {
	struct ceiling guest;
	struct net net;
	int fd;     /* the tap */
	int filler; /* a packet socket on it */
	u32 bytes;
	u64 frames;
	u64 to_offer; /* in this round */
	u64 device_ns[DIRECTIONS][ROUNDS_MAX], bare_ns[DIRECTIONS][ROUNDS_MAX];
};

static void die(const char *what)
{
	fprintf(stderr, "net_ceiling: %s: %s\n", what, strerror(errno));
	exit(1);
}

static u64 buffer(unsigned direction, u16 i)
{
	return CEILING_DATA + BUFFER_BYTES * (CEILING_QUEUE_SIZE * (u64)direction + i);
}

/* A namespace without IPv6, which would send frames of its own; the tap, with a long queue. */
static void open_tap(struct bench *bench)
{
	static const u8 mac[] = {2, 0, 0, 0, 0, 1};
	struct ifreq request = {.ifr_qlen = (int)bench->frames};
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	struct error err;
	FILE *file;

	if (unshare(CLONE_NEWNET))
		die("unshare");
	file = fopen("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w");
	if (file && (fputs("1\n", file) < 0 || fclose(file)))
		die("disable_ipv6");
	net_init(&bench->net);
	ceiling_init(&bench->guest, &bench->net.device);
	if (net_tap_open(&bench->net.backend, TAP, 1, &err) || net_open(&bench->net, mac, &err) ||
	    net_start_workers(&bench->net, ceiling_setup(), &err))
		ceiling_die(err.text);
	bench->fd = bench->net.backend.port[0].fd;
	bench->filler = socket(AF_PACKET, SOCK_RAW, 0);
	memcpy(request.ifr_name, TAP, sizeof(TAP));
	if (bench->filler < 0 || ioctl(bench->filler, SIOCSIFTXQLEN, &request))
		die("the tap's queue");
	address.sll_ifindex = (int)if_nametoindex(TAP);
	if (bind(bench->filler, (const struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(bench->filler, SOL_PACKET, PACKET_QDISC_BYPASS, &(int){1}, sizeof(int)))
		die("a packet socket");
}

/* Puts a round's frames into the tap's queue. */
static void fill(const struct bench *bench)
{
	u8 frame[FRAME_BYTES_MAX] = {0};
	struct iovec piece = {.iov_base = frame, .iov_len = bench->bytes};
	struct mmsghdr burst[BURST];

	memcpy(frame, FRAME_START, sizeof(FRAME_START));
	for (unsigned i = 0; i < BURST; i++)
		burst[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &piece, .msg_iovlen = 1}};
	for (u64 left = bench->frames; left;) {
		const unsigned count = left < BURST ? (unsigned)left : BURST;
		const int done = sendmmsg(bench->filler, burst, count, 0);

		if (done <= 0)
			die("the tap takes no frames");
		left -= (u64)done;
	}
}

/* With the same buffers in the same order. */
static void bare(struct bench *bench, unsigned direction)
{
	const ssize_t bytes = NET_HEADER_BYTES + bench->bytes;
	u8 *const buffers = ceiling_at(&bench->guest, buffer(direction, 0),
				       BUFFER_BYTES * (u64)CEILING_QUEUE_SIZE);

	for (u64 i = 0; i < bench->frames; i++) {
		struct iovec piece = {.iov_base = buffers + BUFFER_BYTES * (i % CEILING_QUEUE_SIZE),
				      .iov_len = (size_t)bytes};
		const ssize_t done = direction == SEND ? writev(bench->fd, &piece, 1)
						       : readv(bench->fd, &piece, 1);

		if (done != bytes)
			ceiling_die("not the frame that was expected");
	}
}

static void used(struct ceiling_queue *queue, u16 head, u32 written)
{
	struct bench *bench = queue->owner;

	if (written != (queue->index == SEND ? 0 : NET_HEADER_BYTES + bench->bytes))
		ceiling_die("not the frame that was expected");
	if (bench->to_offer) {
		bench->to_offer--;
		ceiling_offer(queue, head);
	}
}

/*
 * The driver offers as many buffers as a round has frames, so that the device is idle after it, and
 * the bare loop alone with the tap.
 */
static void device(struct bench *bench, unsigned direction)
{
	struct ceiling_queue *queue = &bench->guest.queue[direction];

	bench->to_offer = bench->frames;
	for (u16 i = 0; i < CEILING_QUEUE_SIZE && bench->to_offer; i++) {
		bench->to_offer--;
		ceiling_offer(queue, i);
	}
	ceiling_run(queue);
}

static u64 cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

static u64 clocked(struct bench *bench, unsigned direction, void (*run)(struct bench *, unsigned))
{
	u64 begin;

	if (direction == RECEIVE)
		fill(bench);
	begin = cpu_ns();
	run(bench, direction);
	return cpu_ns() - begin;
}

static void prepare(struct bench *bench, unsigned direction)
{
	struct ceiling_queue *queue = &bench->guest.queue[direction];

	queue->owner = bench;
	queue->used = used;
	/* As Linux: a sender is in no hurry to have its buffers back. */
	queue->quarters = direction == SEND ? 3 : 0;
	for (u16 i = 0; i < CEILING_QUEUE_SIZE; i++) {
		const u64 gpa = buffer(direction, i);
		u8 *frame = ceiling_at(&bench->guest, gpa, BUFFER_BYTES);

		memcpy(frame + NET_HEADER_BYTES, FRAME_START, sizeof(FRAME_START));
		if (direction == SEND)
			ceiling_describe(queue, i, gpa, NET_HEADER_BYTES + bench->bytes, 0);
		else
			ceiling_describe(queue, i, gpa, BUFFER_USED, CEILING_WRITE);
	}
}

static void work(struct bench *bench, u64 rounds)
{
	for (unsigned direction = 0; direction < DIRECTIONS; direction++)
		prepare(bench, direction);
	for (u64 i = 0; i < rounds; i++) {
		for (unsigned direction = 0; direction < DIRECTIONS; direction++) {
			bench->bare_ns[direction][i] = clocked(bench, direction, bare);
			bench->device_ns[direction][i] = clocked(bench, direction, device);
		}
	}
}

static int compare(const void *a, const void *b)
{
	const u64 left = *(const u64 *)a, right = *(const u64 *)b;

	return left < right ? -1 : left > right;
}

static unsigned long long median(u64 *values, u64 count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

static void tell(struct bench *bench, const char *what, unsigned direction, u64 rounds)
{
	const struct ceiling_queue *queue = &bench->guest.queue[direction];

	printf("%s device_ns=%llu bare_ns=%llu doorbells=%llu interrupts=%llu\n", what,
	       median(bench->device_ns[direction], rounds),
	       median(bench->bare_ns[direction], rounds), (unsigned long long)queue->doorbells,
	       (unsigned long long)queue->interrupts);
}

int main(int argc, char **argv)
{
	static struct bench bench;
	const bool right = argc == 4 || (argc == 5 && strcmp(argv[4], "thread") == 0);
	const u64 rounds = right ? strtoull(argv[3], NULL, 10) : 0;

	bench.bytes = right ? (u32)strtoul(argv[1], NULL, 10) : 0;
	bench.frames = right ? strtoull(argv[2], NULL, 10) : 0;
	if (rounds == 0 || rounds > ROUNDS_MAX || bench.frames == 0 ||
	    bench.bytes < NET_FRAME_MIN || bench.bytes > FRAME_BYTES_MAX) {
		fprintf(stderr, "usage: net_ceiling BYTES FRAMES ROUNDS [thread]\n");
		return 2;
	}
	bench.guest.threaded = argc == 5;
	open_tap(&bench);
	ceiling_start(&bench.guest, bench.net.device.features, DIRECTIONS);
	work(&bench, rounds);
	tell(&bench, "send", SEND, rounds);
	tell(&bench, "receive", RECEIVE, rounds);
	fflush(stdout);
	_exit(0);
}
