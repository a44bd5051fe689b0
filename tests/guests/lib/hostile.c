/*
 * The hostile guests' common part, see hostile.h.
 */
#include "hostile.h"

#define FRESH 0xee

struct virtio disk;
struct request request;
u16 head;
u64 ram_end, capacity;

static u64 wanted;

/* PVH's memory map: struct hvm_memmap_table_entry, 24 bytes each. */
static void find_ram_end(void)
{
	u64 map, start, size;
	u32 count, type;

	memcpy(&map, boot.info + 40, sizeof(map));
	memcpy(&count, boot.info + 48, sizeof(count));
	for (; count; count--, map += 24) {
		memcpy(&start, (const u8 *)map, sizeof(start));
		memcpy(&size, (const u8 *)map + 8, sizeof(size));
		memcpy(&type, (const u8 *)map + 16, sizeof(type));
		if (type == 1 && start < HOLE && start + size > ram_end)
			ram_end = start + size;
	}
}

void prepare_read(void)
{
	memset(&request, FRESH, offsetof(struct request, indirect));
	request.header = (struct blk_header){.type = BLK_IN, .sector = REQUEST_SECTOR};
	request.status = BLK_NO_ANSWER;
	set_desc(0, (u64)&request.header, sizeof(request.header), DESC_NEXT, 1);
	set_desc(1, (u64)request.data, sizeof(request.data), DESC_NEXT | DESC_WRITE, 2);
	set_desc(2, (u64)&request.status, 1, DESC_WRITE, 0);
	head = 0;
}

struct outcome wait_answer(void)
{
	struct outcome outcome = {.broken = false};

	for (u32 i = 1; !virtq_take(&disk.queue[0], &outcome.id, &outcome.length); i++) {
		pause();
		/* A register access costs an exit: the ring is looked at more often. */
		if (i % 512 == 0 && virtio_read(&disk, REG_STATUS) & STATUS_NEEDS_RESET) {
			outcome.broken = true;
			break;
		}
	}
	outcome.status = request.status;
	return outcome;
}

struct outcome offer(u16 chain)
{
	virtq_offer(&disk.queue[0], chain);
	virtio_notify(&disk, 0);
	return wait_answer();
}

static bool all_fresh(const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((const u8 *)p)[i] != FRESH)
			return false;
	return true;
}

static void judge_answer(enum expectation expect, const struct outcome *outcome)
{
	bool refused = outcome->length == 0 || outcome->status == BLK_IOERR ||
		       outcome->status == BLK_UNSUPP;

	print("length %u status %x", outcome->length, outcome->status);
	if (outcome->id != head)
		print(" WRONG: %u came back instead of %u", outcome->id, head);
	if (expect == RESET)
		print(" WRONG: no reset is asked for");
	if (expect == REFUSED && !refused)
		print(" WRONG: not refused");
	if (expect == REFUSED && !all_fresh(request.data, sizeof(request.data)))
		print(" WRONG: data was touched");
	/* 2.7.8.2: as many bytes as the device says it has written. */
	if (outcome->length >= sizeof(request.data) && all_fresh(request.data, SECTOR))
		print(" WRONG: the length counts what was not written");
	if (expect == SERVED && (outcome->length == 0 || outcome->status != BLK_OK))
		print(" WRONG: not served");
	if (expect == SERVED && !blk_has_pattern(request.data, REQUEST_SECTOR, REQUEST_SECTORS, 0))
		print(" WRONG: other data");
}

void judge(enum expectation expect, const struct outcome *outcome)
{
	if (!outcome->broken)
		judge_answer(expect, outcome);
	else
		print("needs reset%s", expect == RESET || expect == ANY ? "" : " WRONG: why?");
	if (!all_fresh(request.guard_before, sizeof(request.guard_before)) ||
	    !all_fresh(request.guard_behind, sizeof(request.guard_behind)))
		print(" WRONG: memory beside the data was touched");
}

void restart(void)
{
	if (!virtio_start(&disk, wanted, VIRTIO_POLL))
		print(" WRONG: the device does not agree to its features");
}

bool good_service(void)
{
	struct outcome outcome;

	prepare_read();
	outcome = offer(0);
	return !outcome.broken && outcome.id == 0 && outcome.status == BLK_OK &&
	       outcome.length == sizeof(request.data) + 1 &&
	       blk_has_pattern(request.data, REQUEST_SECTOR, REQUEST_SECTORS, 0) &&
	       all_fresh(request.guard_before, sizeof(request.guard_before)) &&
	       all_fresh(request.guard_behind, sizeof(request.guard_behind));
}

static void run_case(unsigned number, const struct hostile_case *c)
{
	struct outcome outcome;
	u32 status;

	print("case %u %s: ", number, c->name);
	prepare_read();
	c->prepare();
	if (c->expect != SELF) {
		outcome = offer(head);
		judge(c->expect, &outcome);
	}
	status = virtio_read(&disk, REG_STATUS);
	if (status & STATUS_NEEDS_RESET || !(status & STATUS_DRIVER_OK)) {
		print("; after a reset:");
		restart();
	}
	print("%s\n", good_service() ? " served" : " WRONG: no good service");
}

/* case=N on the command line: that one alone. mmio: the other transport. */
void hostile_run(const char *guest, const struct hostile_case *cases, unsigned count)
{
	enum virtio_bus bus = cmdline_has("mmio") ? VIRTIO_ON_MMIO : VIRTIO_ON_PCI;
	u64 only = cmdline_number("case", ~0ull);
	unsigned done = 0;

	find_ram_end();
	wanted = FEATURE_INDIRECT | BLK_F_FLUSH | BLK_F_RO | BLK_F_DISCARD | BLK_F_WRITE_ZEROES;
	if (cmdline_has("event-index"))
		wanted |= FEATURE_EVENT_INDEX;
	if (!virtio_find(&disk, VIRTIO_BLOCK, 0, bus)) {
		print("no disk\n");
		return;
	}
	restart();
	capacity = virtio_config64(&disk, BLK_CONFIG_CAPACITY);
	if (!good_service())
		print("WRONG: no good service before anything was done to the device\n");
	for (unsigned i = 0; i < count; i++)
		if (only == ~0ull || only == i) {
			run_case(i, &cases[i]);
			done++;
		}
	virtio_reset(&disk);
	print("%s: %u cases done\n", guest, done);
}
