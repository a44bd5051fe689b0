/*
 * virtio-blk: see block.h.
 */
#include "devices/virtio/block.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/sandbox.h"

SANDBOX_CALLS(block, CALL(timerfd_settime, SANDBOX_LIMIT, "a disk's limit holds requests back"));

/* The most sectors that a discard's range may have: 2 GiB, so that bytes fit everywhere. */
enum { RANGE_SECTORS_MAX = 1 << 22 };

/* The longest piece of data: what the driver is told; longer ones are served all the same. */
enum { PIECE_BYTES_MAX = 4 << 20 };

#define FEATURE(name) ((u64)1 << VIRTIO_BLK_F_##name)

struct request {
	struct block_queue *queue;
	struct request *next_free;
	struct virtq_chain chain;
	struct disk_op op;
	u8 *status; /* in guest memory */
	u32 type;
	unsigned ranges, next_range; /* of a discard */
	struct virtio_blk_discard_write_zeroes range[BLOCK_RANGES];
	char words[96]; /* the chain as the trace shows it; only with a trace */
};

/* Belongs to the worker's thread. */
struct block_queue {
	struct virtio_worker worker;
	struct block *block;
	struct request *free; /* used before, and free again */
	unsigned fresh; /* requests from here on were never used: their pages aren't there yet */
	struct request *request; /* BLOCK_QUEUE_SIZE */
	int timer_fd; /* wakes the worker when the limit lets requests through again; 0: none does */
	bool held;    /* which it doesn't now */
};

/* There is one as long as fewer than BLOCK_QUEUE_SIZE are under way. */
static struct request *take_request(struct block_queue *queue)
{
	struct request *request = queue->free;

	if (request)
		queue->free = request->next_free;
	else
		request = &queue->request[queue->fresh++];
	request->queue = queue;
	return request;
}

static void free_request(struct request *request)
{
	request->next_free = request->queue->free;
	request->queue->free = request;
}

/* Gives the chain back. The rest is for the trace. */
static void give_back(struct request *request, u32 written, const char *words, const char *status)
{
	struct block_queue *queue = request->queue;
	struct virtio_device *device = &queue->block->device;

	virtq_push(&device->queue[queue->worker.queue], request->chain.head, written);
	virtio_trace_chain(device, queue->worker.queue, request->chain.head, "%s → %sused %u",
			   words, status, written);
	queue->worker.under_way--;
	free_request(request);
}

/* filled: how many bytes of data were written, from the first on. */
static void complete(struct request *request, u8 status, u32 filled)
{
	static const char *const names[] = {[VIRTIO_BLK_S_OK] = "ok, ",
					    [VIRTIO_BLK_S_IOERR] = "ioerr, ",
					    [VIRTIO_BLK_S_UNSUPP] = "unsupp, "};

	*(volatile u8 *)request->status = status;
	/* 2.7.8.2: the status counts only when nothing in front of it was left out. */
	give_back(request, filled + 1 == request->chain.in_bytes ? filled + 1 : filled,
		  request->words, names[status]);
}

static void start_range(struct request *request);

static void op_done(struct disk_op *op, int error)
{
	struct request *request = CONTAINER_OF(op, struct request, op);

	if (error)
		complete(request, VIRTIO_BLK_S_IOERR, 0);
	else if (++request->next_range < request->ranges)
		start_range(request);
	else
		complete(request, VIRTIO_BLK_S_OK,
			 request->type == VIRTIO_BLK_T_IN ? request->chain.in_bytes - 1 : 0);
}

static void start_op(struct request *request, enum disk_kind kind, u64 offset, u64 bytes)
{
	struct block_queue *queue = request->queue;

	request->op.kind = kind;
	request->op.offset = offset;
	request->op.bytes = bytes;
	request->op.done = op_done;
	if (kind != DISK_DISCARD)
		limit_take(&queue->block->limit, 0, bytes);
	disk_start(&queue->block->disk, queue->worker.io, &request->op);
}

static void start_range(struct request *request)
{
	const struct virtio_blk_discard_write_zeroes *range = &request->range[request->next_range];
	const bool zero = request->type == VIRTIO_BLK_T_WRITE_ZEROES;

	request->op.keep_room = !(range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	start_op(request, zero ? DISK_ZERO : DISK_DISCARD, range->sector * DISK_SECTOR_BYTES,
		 (u64)range->num_sectors * DISK_SECTOR_BYTES);
}

/* Whether sectors lie on the disk; nothing here can wrap. */
static bool on_disk(const struct block *block, u64 sector, u64 bytes)
{
	const u64 capacity = block->disk.bytes / DISK_SECTOR_BYTES;

	return sector <= capacity && bytes <= (capacity - sector) * DISK_SECTOR_BYTES;
}

static void transfer(struct request *request, u64 sector, bool write)
{
	const struct block *block = request->queue->block;
	const u64 bytes = write ? request->chain.out_bytes - sizeof(struct virtio_blk_outhdr)
				: request->chain.in_bytes - 1;

	if (bytes % DISK_SECTOR_BYTES || !on_disk(block, sector, bytes) ||
	    (write && block->disk.config->read_only)) {
		complete(request, VIRTIO_BLK_S_IOERR, 0);
		return;
	}
	if (bytes == 0) {
		complete(request, VIRTIO_BLK_S_OK, 0);
		return;
	}
	start_op(request, write ? DISK_WRITE : DISK_READ, sector * DISK_SECTOR_BYTES, bytes);
}

/* The status with which a discard's or write-zeroes' range is refused, or OK. */
static u8 check_range(const struct block *block, u32 type,
		      const struct virtio_blk_discard_write_zeroes *range)
{
	const u32 known = type == VIRTIO_BLK_T_DISCARD ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;

	if (range->flags & ~known)
		return VIRTIO_BLK_S_UNSUPP;
	if (range->num_sectors > RANGE_SECTORS_MAX ||
	    !on_disk(block, range->sector, (u64)range->num_sectors * DISK_SECTOR_BYTES))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

static void discard(struct request *request)
{
	const struct block *block = request->queue->block;
	const u32 header = sizeof(struct virtio_blk_outhdr);
	const u32 bytes = request->chain.out_bytes - header;
	u8 status = VIRTIO_BLK_S_OK;

	request->ranges = bytes / sizeof(request->range[0]);
	request->next_range = 0;
	if (block->disk.config->read_only || request->ranges == 0 ||
	    request->ranges > BLOCK_RANGES || bytes % sizeof(request->range[0]))
		status = VIRTIO_BLK_S_IOERR;
	else
		virtq_read(&request->chain, header, request->range, bytes);
	for (unsigned i = 0; i < request->ranges && status == VIRTIO_BLK_S_OK; i++)
		status = check_range(block, request->type, &request->range[i]);
	if (status == VIRTIO_BLK_S_OK)
		start_range(request);
	else
		complete(request, status, 0);
}

static void get_id(struct request *request)
{
	char id[VIRTIO_BLK_ID_BYTES] = {0};
	const u32 room = request->chain.in_bytes - 1;

	memcpy(id, request->queue->block->disk.config->serial,
	       strnlen(request->queue->block->disk.config->serial, sizeof(id)));
	complete(request, VIRTIO_BLK_S_OK,
		 virtq_write(&request->chain, 0, id, room < sizeof(id) ? room : (u32)sizeof(id)));
}

/* The word for one piece of a chain and how many equal ones follow it: "in 4096", "out 3×4096". */
static unsigned describe_pieces(const struct virtq_chain *chain, unsigned at, char *text,
				size_t bytes)
{
	const unsigned total = chain->out + chain->in, limit = at < chain->out ? chain->out : total;
	const char *direction = at < chain->out ? "out" : "in";
	const size_t length = chain->piece[at].iov_len;
	unsigned next = at + 1;

	while (next < limit && chain->piece[next].iov_len == length)
		next++;
	if (next - at > 1)
		snprintf(text, bytes, "%s %u×%zu", direction, next - at, length);
	else
		snprintf(text, bytes, "%s %zu", direction, length);
	return next;
}

/* Words for the trace: "out 16 (read sector 2048), in 4096, in 1". */
static void describe(struct request *request, u64 sector)
{
	static const char *const names[] = {
		[VIRTIO_BLK_T_IN] = "read",         [VIRTIO_BLK_T_OUT] = "write",
		[VIRTIO_BLK_T_FLUSH] = "flush",     [VIRTIO_BLK_T_GET_ID] = "get id",
		[VIRTIO_BLK_T_DISCARD] = "discard", [VIRTIO_BLK_T_WRITE_ZEROES] = "write zeroes",
	};
	const struct virtq_chain *chain = &request->chain;
	const char *name = request->type < ARRAY_LEN(names) ? names[request->type] : NULL;
	char piece[32], *words = request->words;
	const size_t bytes = sizeof(request->words);
	unsigned at = 0;
	size_t used;

	at = describe_pieces(chain, at, piece, sizeof(piece));
	used = (size_t)snprintf(words, bytes, "%s (%s sector %llu)", piece, name ? name : "unknown",
				sector);
	while (at < chain->out + chain->in && used < bytes) {
		at = describe_pieces(chain, at, piece, sizeof(piece));
		used += (size_t)snprintf(words + used, bytes - used, ", %s", piece);
	}
}

/* The data's pieces: all that is read but the header, or all that is written but the status. */
static void cut_data(struct request *request)
{
	struct virtq_chain *chain = &request->chain;
	const bool write = request->type == VIRTIO_BLK_T_OUT;
	struct iovec *piece = write ? chain->piece : chain->piece + chain->out;

	request->op.piece = piece;
	request->op.pieces = write ? virtq_cut(piece, piece, chain->out,
					       sizeof(struct virtio_blk_outhdr), chain->out_bytes)
				   : virtq_cut(piece, piece, chain->in, 0, chain->in_bytes - 1);
}

static void handle(struct request *request)
{
	struct block *block = request->queue->block;
	struct virtq_chain *chain = &request->chain;
	struct virtio_blk_outhdr header = {.type = 0};
	const u32 got = virtq_read(chain, 0, &header, sizeof(header));
	const struct iovec *last;

	if (chain->in_bytes == 0) {
		give_back(request, 0, "no room for a status", "");
		return;
	}
	last = &chain->piece[chain->out + chain->in - 1];
	request->status = (u8 *)last->iov_base + last->iov_len - 1;
	request->type = header.type;
	request->ranges = 0;
	if (virtio_traced(&block->device))
		describe(request, header.sector);
	if (got < sizeof(header)) {
		complete(request, VIRTIO_BLK_S_IOERR, 0);
		return;
	}
	request->op.durable = !atomic_load(&block->writeback);
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		cut_data(request);
		transfer(request, header.sector, header.type == VIRTIO_BLK_T_OUT);
		break;
	case VIRTIO_BLK_T_FLUSH:
		start_op(request, DISK_FLUSH, 0, 0);
		break;
	case VIRTIO_BLK_T_GET_ID:
		get_id(request);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		discard(request);
		break;
	default:
		complete(request, VIRTIO_BLK_S_UNSUPP, 0);
	}
}

/* Whether the limit lets nothing through now. */
static bool hold_back(struct block_queue *queue)
{
	const u64 wait_ns = limit_wait_ns(&queue->block->limit);
	const struct itimerspec until = {.it_value = {.tv_sec = (time_t)(wait_ns / 1000000000),
						      .tv_nsec = (long)(wait_ns % 1000000000)}};

	queue->held = wait_ns > 0;
	if (queue->held)
		(void)timerfd_settime(queue->timer_fd, 0, &until, NULL);
	return queue->held;
}

/*
 * Takes chains as long as there are some, requests to hold them, the limit lets them through, and no
 * more than a ring's worth; returns how many.
 */
static unsigned take_chains(struct block_queue *queue)
{
	unsigned taken = 0;

	while (taken < BLOCK_QUEUE_SIZE && queue->worker.under_way < BLOCK_QUEUE_SIZE &&
	       !hold_back(queue)) {
		struct request *request = take_request(queue);
		const enum virtq_result result =
			virtio_pop(&queue->block->device, queue->worker.queue, &request->chain);

		if (result == VIRTQ_EMPTY) {
			free_request(request);
			break;
		}
		taken++;
		queue->worker.under_way++;
		limit_take(&queue->block->limit, 1, 0);
		if (result == VIRTQ_BAD)
			give_back(request, 0, "a chain that breaks the rules", "");
		else
			handle(request);
	}
	return taken;
}

static unsigned serve(void *owner)
{
	struct block_queue *queue = owner;
	struct virtq *ring = &queue->block->device.queue[queue->worker.queue];
	unsigned taken = 0, took;
	bool more;

	do {
		virtq_ask_notify(ring, false);
		took = take_chains(queue);
		taken += took;
		/* Without a free request none can be taken: the next completion leads back here. */
		if (queue->held || queue->worker.under_way == BLOCK_QUEUE_SIZE)
			return taken;
		more = virtq_ask_notify(ring, true);
	} while (more && took && taken < BLOCK_QUEUE_SIZE);
	/*
	 * Back after the worker has looked whether it is to stop: there need be no end, where a guest
	 * has laid its rings over each other.
	 */
	if (more)
		virtio_notify(&queue->block->device, queue->worker.queue);
	return taken;
}

static void block_start(struct virtio_device *device)
{
	struct block *block = CONTAINER_OF(device, struct block, device);
	const bool flushes = device->regs.driver_features & FEATURE(FLUSH);
	const bool chooses = device->regs.driver_features & FEATURE(CONFIG_WCE);

	/* 5.2.5.2: who can't flush gets a disk that needs no flush. */
	if (!flushes)
		block->config.wce = 0;
	atomic_store(&block->writeback, flushes && (!chooses || block->config.wce));
	virtio_run_workers(device);
}

/* One field can be written: whether the disk may hold writes back until a flush. */
static void block_write_config(struct virtio_device *device, u64 offset, unsigned width, u64 value)
{
	struct block *block = CONTAINER_OF(device, struct block, device);
	const u64 features = device->regs.driver_features;

	if (offset != offsetof(struct virtio_blk_config, wce) || width != 1 ||
	    !(features & FEATURE(CONFIG_WCE)))
		return;
	/* 5.2.5.2: what can't be flushed isn't held back. */
	block->config.wce = value & 1 && features & FEATURE(FLUSH);
	if (device->state == VIRTIO_RUNNING)
		atomic_store(&block->writeback, block->config.wce);
}

static void block_was_reset(struct virtio_device *device)
{
	CONTAINER_OF(device, struct block, device)->config.wce = 1;
}

static const struct virtio_class block_class = {
	.name = "block",
	.id = 2,
	.pci_class = 0x010000, /* mass storage */
	.start = block_start,
	.stop = virtio_stop_workers,
	.write_config = block_write_config,
	.was_reset = block_was_reset,
};

static void describe_device(struct block *block)
{
	const struct disk *disk = &block->disk;
	const bool write = !disk->config->read_only;
	struct virtio_blk_config *config = &block->config;

	block->device.features = VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX |
				 FEATURE(SIZE_MAX) | FEATURE(SEG_MAX) | FEATURE(BLK_SIZE) |
				 FEATURE(TOPOLOGY) | FEATURE(FLUSH) | FEATURE(CONFIG_WCE);
	block->device.features |= disk->config->queues > 1 ? FEATURE(MQ) : 0;
	block->device.features |= write ? FEATURE(DISCARD) | FEATURE(WRITE_ZEROES) : FEATURE(RO);

	config->capacity = disk->bytes / DISK_SECTOR_BYTES;
	config->size_max = PIECE_BYTES_MAX;
	config->seg_max = BLOCK_SEGMENTS;
	config->blk_size = disk->block_bytes;
	while (disk->block_bytes << config->physical_block_exp < disk->physical_bytes)
		config->physical_block_exp++;
	config->min_io_size = (u16)(disk->physical_bytes / disk->block_bytes);
	config->wce = 1;
	config->num_queues = (u16)disk->config->queues;
	if (!write)
		return;
	config->max_discard_sectors = config->max_write_zeroes_sectors = RANGE_SECTORS_MAX;
	config->max_discard_seg = config->max_write_zeroes_seg = BLOCK_RANGES;
	config->discard_sector_alignment = disk->physical_bytes / DISK_SECTOR_BYTES;
	config->write_zeroes_may_unmap = 1;
}

void block_init(struct block *block)
{
	*block = (struct block){.queue = NULL};
	disk_init(&block->disk);
}

int block_open(struct block *block, const struct disk_config *config, struct error *err)
{
	struct virtio_device *device = &block->device;

	if (disk_open(&block->disk, config, err))
		return -1;
	describe_device(block);
	block->limit = config->limit;
	device->queues = config->queues;
	device->queue_size_max = BLOCK_QUEUE_SIZE;
	device->config = (const u8 *)&block->config;
	device->config_bytes =
		offsetof(struct virtio_blk_config, unused1) + sizeof(block->config.unused1);
	if (virtio_device_init(device, &block_class, err))
		return -1;
	block->queue = calloc(config->queues, sizeof(*block->queue));
	if (!block->queue)
		return error_set(err, "no memory for the disk '%s'", config->path);
	for (unsigned i = 0; i < config->queues; i++) {
		struct block_queue *queue = &block->queue[i];

		queue->block = block;
		queue->worker.device = device;
		queue->worker.queue = i;
		queue->worker.serve = serve;
		queue->worker.owner = queue;
		/* So large that the C library maps it: pages come as requests are used. */
		queue->request = calloc(BLOCK_QUEUE_SIZE, sizeof(*queue->request));
		if (!queue->request)
			return error_set(err, "no memory for the disk '%s'", config->path);
	}
	return 0;
}

int block_start_workers(struct block *block, const struct thread_setup *setup, const int *rings,
			unsigned count, struct error *err)
{
	for (unsigned i = 0; i < block->device.queues; i++) {
		struct io_setup io = {.engine = IO_AUTO, .depth = BLOCK_QUEUE_SIZE, .rings = count};

		memcpy(io.ring, rings, count * sizeof(*rings));
		if (limit_is_set(&block->limit)) {
			io.bell[io.bells++] =
				timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
			if (io.bell[0] < 0)
				return error_errno(err, "disk '%s': no timer",
						   block->disk.config->path);
			block->queue[i].timer_fd = io.bell[0];
			block->queue[i].worker.sandbox = SANDBOX_LIMIT;
		}
		disk_files(&block->disk, &io);
		if (virtio_worker_open(&block->queue[i].worker, setup, &io, err))
			return error_prefix(err, "disk '%s'", block->disk.config->path);
	}
	return 0;
}

enum io_engine_kind block_engine(const struct block *block)
{
	return io_engine(block->queue[0].worker.io);
}

bool block_close(struct block *block, unsigned timeout_ms)
{
	const unsigned queues = block->queue ? block->device.queues : 0;

	if (!virtio_device_close(&block->device, timeout_ms))
		return false;
	for (unsigned i = 0; i < queues; i++) {
		if (block->queue[i].timer_fd)
			close(block->queue[i].timer_fd);
		free(block->queue[i].request);
	}
	free(block->queue);
	disk_close(&block->disk);
	block_init(block);
	return true;
}
