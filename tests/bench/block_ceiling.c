/*
 * block_ceiling - how fast the disk device is without a virtual machine.
 *
 *	block_ceiling FILE SECONDS DEPTH [thread]
 *
 * The driver (ceiling.h) keeps DEPTH random reads of 4 KiB under way, with indirect descriptors,
 * and gives a new request for each that is done. It is told of every completion at once. With
 * `thread` it is a thread of its own, which the worker wakes, and which wakes the worker, for every
 * batch. At the end it prints
 *
 *	requests=N ns=N doorbells=N interrupts=N
 *
 * Limits: one queue; an error ends with a line on standard error and status 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/block.h"
#include "tests/bench/ceiling.h"
#include "vmm/loop.h"

enum { DEPTH_MAX = 128, REQUEST_BYTES = 4096 };

/* Where things are in the guest's memory. */
enum {
	TABLES = CEILING_DATA,            /* of request i: three descriptors, 64 bytes apart */
	HEADERS = CEILING_DATA + 0x10000, /* of request i: header, and its status; 64 apart */
	DATA = CEILING_DATA + 0x100000,
};

struct request {
	struct virtio_blk_outhdr header;
	u8 status;
};

struct bench {
	struct ceiling guest;
	struct block block;
	u64 blocks;
	u64 requests, end_ns;
};

static u64 random_number(void)
{
	static u64 state = 88172645463325252U;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void start(struct bench *bench, const char *path)
{
	static struct disk_config config = {.queues = 1, .read_only = true};
	struct ceiling *guest = &bench->guest;
	struct error err;

	config.path = path;
	block_init(&bench->block);
	ceiling_init(guest, &bench->block.device);
	if (block_open(&bench->block, &config, &err) ||
	    block_start_workers(&bench->block, ceiling_setup(), &guest->bell_fd, 1, &err))
		ceiling_die(err.text);
	bench->blocks = bench->block.disk.bytes / REQUEST_BYTES;
	ceiling_start(guest,
		      VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX |
			      1U << VIRTIO_BLK_F_FLUSH,
		      1);
}

static u64 request_gpa(unsigned i)
{
	return HEADERS + 64 * (u64)i;
}

static struct request *request(const struct bench *bench, unsigned i)
{
	return ceiling_at(&bench->guest, request_gpa(i), sizeof(struct request));
}

/* Request i's descriptors never change. */
static void describe(struct bench *bench, u16 i)
{
	const u64 table = TABLES + 64 * (u64)i, status = offsetof(struct request, status);
	const struct ceiling *guest = &bench->guest;

	ceiling_describe(&guest->queue[0], i, table, 3 * CEILING_DESCRIPTOR_BYTES,
			 CEILING_INDIRECT);
	ceiling_describe_at(guest, table, 0, request_gpa(i), (u32)status, CEILING_NEXT);
	ceiling_describe_at(guest, table, 1, DATA + (u64)REQUEST_BYTES * i, REQUEST_BYTES,
			    CEILING_NEXT | CEILING_WRITE);
	ceiling_describe_at(guest, table, 2, request_gpa(i) + status, 1, CEILING_WRITE);
}

static void offer(struct bench *bench, u16 i)
{
	*request(bench, i) =
		(struct request){.header = {.type = VIRTIO_BLK_T_IN,
					    .sector = random_number() % bench->blocks *
						      (REQUEST_BYTES / DISK_SECTOR_BYTES)},
				 .status = 0xff};
	ceiling_offer(&bench->guest.queue[0], i);
}

static void used(struct ceiling_queue *queue, u16 head, u32 written)
{
	struct bench *bench = queue->owner;

	if (request(bench, head)->status || written != REQUEST_BYTES + 1)
		ceiling_die("a request failed");
	bench->requests++;
	if (clock_now_ns() < bench->end_ns)
		offer(bench, head);
}

static void work(struct bench *bench, unsigned depth, u64 seconds)
{
	const u64 begin = clock_now_ns();
	struct ceiling_queue *queue = &bench->guest.queue[0];

	queue->used = used;
	queue->owner = bench;
	bench->end_ns = begin + seconds * 1000000000;
	for (u16 i = 0; i < depth; i++) {
		describe(bench, i);
		offer(bench, i);
	}
	ceiling_run(queue);
	printf("requests=%llu ns=%llu doorbells=%llu interrupts=%llu\n",
	       (unsigned long long)bench->requests, (unsigned long long)(clock_now_ns() - begin),
	       (unsigned long long)queue->doorbells, (unsigned long long)queue->interrupts);
}

int main(int argc, char **argv)
{
	static struct bench bench;
	const bool right = argc == 4 || (argc == 5 && strcmp(argv[4], "thread") == 0);
	const u64 seconds = right ? strtoull(argv[2], NULL, 10) : 0;
	const unsigned depth = right ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

	if (seconds == 0 || depth == 0 || depth > DEPTH_MAX) {
		fprintf(stderr, "usage: block_ceiling FILE SECONDS DEPTH [thread]\n");
		return 2;
	}
	bench.guest.threaded = argc == 5;
	start(&bench, argv[1]);
	work(&bench, depth, seconds);
	fflush(stdout);
	_exit(0);
}
