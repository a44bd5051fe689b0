/*
 * hostile-block - requests to the disk that break rules of virtio 1.2, 5.2.6, in chains that are in
 * order. All of them come back, most with IOERR or UNSUPP. ro on the command line: the disk is
 * read-only, and writes are among what is refused.
 *
 * The host compares the image afterwards: nothing here may have changed it.
 */
#include "lib/hostile.h"

static void transfer(u32 type, u64 sector, u32 bytes)
{
	request.header.type = type;
	request.header.sector = sector;
	disk.queue[0].desc[1].length = bytes;
	if (!blk_type_reads(type))
		disk.queue[0].desc[1].flags = DESC_NEXT;
}

/* ---- types ---- */

static void unknown_types(void)
{
	static const u32 types[] = {2,  3,  5,  6,  7,   9,   10,         12,         14,
				    15, 16, 17, 26, 255, 256, 0x80000000, 0x80000001, 0xffffffff};

	for (unsigned i = 0; i < COUNT(types); i++) {
		struct outcome outcome;

		prepare_read();
		request.header.type = types[i];
		outcome = offer(0);
		judge(REFUSED, &outcome);
		if (outcome.status != BLK_UNSUPP)
			print(" WRONG: type %x", types[i]);
		print(" ");
	}
}

static void reserved_word(void) /* "ioprio" once; a device has nothing to do with it */
{
	request.header.reserved = ~0u;
}

/* ---- framing: how pieces are cut is the driver's business, 2.7.4 ---- */

static void short_headers(void)
{
	for (u32 bytes = 1; bytes < sizeof(request.header); bytes++) {
		struct outcome outcome;

		prepare_read();
		disk.queue[0].desc[0].length = bytes;
		outcome = offer(0);
		if (outcome.broken || (outcome.length && outcome.status == BLK_OK))
			print("WRONG: %u bytes are enough ", bytes);
		if (outcome.broken)
			return;
	}
}

static void no_header(void)
{
	head = 1;
}

static void header_in_pieces(void)
{
	set_desc(0, (u64)&request.header, 3, DESC_NEXT, 3);
	set_desc(3, (u64)&request.header + 3, 8, DESC_NEXT, 4);
	set_desc(4, (u64)&request.header + 11, 5, DESC_NEXT, 1);
}

static void data_in_odd_pieces(void)
{
	set_desc(1, (u64)request.data, 1, DESC_NEXT | DESC_WRITE, 3);
	set_desc(3, (u64)request.data + 1, 700, DESC_NEXT | DESC_WRITE, 4);
	set_desc(4, (u64)request.data + 701, 323, DESC_NEXT | DESC_WRITE, 2);
}

static void status_behind_data(void) /* in one piece: struct request has room for it there */
{
	struct outcome outcome;

	set_desc(1, (u64)request.data, sizeof(request.data) + 1, DESC_WRITE, 0);
	outcome = offer(0);
	if (outcome.broken || outcome.length != sizeof(request.data) + 1 ||
	    (u8)request.guard_behind[0] != BLK_OK ||
	    !blk_has_pattern(request.data, REQUEST_SECTOR, REQUEST_SECTORS, 0))
		print("WRONG: not served ");
}

static void no_status(void)
{
	set_desc(0, (u64)&request.header, sizeof(request.header), 0, 0);
}

static void no_status_of_a_write(void)
{
	transfer(BLK_OUT, REQUEST_SECTOR, SECTOR);
	disk.queue[0].desc[1].flags = 0;
}

static void status_alone(void)
{
	head = 2;
}

static void status_of_many_bytes(void) /* the last is the status, and the rest is data */
{
	disk.queue[0].desc[2].length = 13;
}

static void no_data(void)
{
	struct outcome outcome;

	disk.queue[0].desc[0].next = 2;
	outcome = offer(0);
	judge(ANY, &outcome);
	if (outcome.broken || outcome.status == BLK_NO_ANSWER)
		print(" WRONG: no answer");
}

static void not_a_multiple_of_512(void)
{
	transfer(BLK_IN, REQUEST_SECTOR, SECTOR + 1);
}

static void write_not_a_multiple_of_512(void)
{
	transfer(BLK_OUT, REQUEST_SECTOR, SECTOR - 1);
}

static void read_from_us(void) /* a read whose data the device may only read */
{
	disk.queue[0].desc[1].flags = DESC_NEXT;
}

static void write_to_us(void) /* a write whose data the device may only write */
{
	request.header.type = BLK_OUT;
}

/* ---- places ---- */

static void places(u32 type)
{
	const u64 wrong[] = {capacity,
			     capacity - 1,
			     capacity + 1,
			     1ull << 32,
			     1ull << 54,
			     (1ull << 55) - 1,
			     1ull << 55,
			     (1ull << 55) + REQUEST_SECTOR,
			     (1ull << 63) / SECTOR,
			     1ull << 63,
			     ~0ull,
			     ~0ull - 1};

	for (unsigned i = 0; i < COUNT(wrong); i++) {
		struct outcome outcome;

		prepare_read();
		transfer(type, wrong[i], sizeof(request.data));
		outcome = offer(0);
		judge(REFUSED, &outcome);
		if (outcome.status != BLK_IOERR)
			print(" WRONG: sector %lx", wrong[i]);
		print(" ");
	}
}

static void reads_beyond(void)
{
	places(BLK_IN);
}

static void writes_beyond(void)
{
	places(BLK_OUT);
}

static void write_to_read_only(void)
{
	struct outcome outcome;

	if (!(disk.features & BLK_F_RO)) {
		print("not here");
		return;
	}
	transfer(BLK_OUT, REQUEST_SECTOR, SECTOR);
	outcome = offer(0);
	judge(REFUSED, &outcome);
	if (outcome.status != BLK_IOERR)
		print(" WRONG: another error");
}

static void flush_with_data(void)
{
	request.header.type = BLK_FLUSH;
	request.header.sector = ~0ull;
}

static void flush_of_read_data(void)
{
	transfer(BLK_FLUSH, 0, SECTOR);
}

/* ---- the name, 5.2.6 ---- */

static void id_of(u32 bytes)
{
	struct outcome outcome;

	prepare_read();
	transfer(BLK_GET_ID, 0, bytes);
	outcome = offer(0);
	judge(ANY, &outcome);
	if (outcome.broken || outcome.length > bytes + 1)
		print(" WRONG: of %u bytes", bytes);
	if (bytes > BLK_ID_BYTES && outcome.length > BLK_ID_BYTES)
		print(" WRONG: the length counts what was not written");
	for (u32 i = bytes; i < sizeof(request.data); i++)
		if (((u8 *)request.data)[i] != 0xee) {
			print(" WRONG: touched %u", i);
			break;
		}
	print(" ");
}

static void id_of_all_lengths(void)
{
	id_of(1);
	id_of(BLK_ID_BYTES - 1);
	id_of(BLK_ID_BYTES);
	id_of(BLK_ID_BYTES + 1);
	id_of(SECTOR);
}

/* ---- discard and write zeroes, 5.2.6.2 ---- */

/* Sends `count` times the range, and `extra` bytes more; an answer other than `status` is wrong. */
static void range(u32 type, struct blk_range r, u32 count, u32 extra, u8 status)
{
	struct outcome outcome;

	prepare_read();
	for (u32 i = 0; i < count && (i + 1) * sizeof(r) <= sizeof(request.data); i++)
		memcpy((u8 *)request.data + i * sizeof(r), &r, sizeof(r));
	transfer(type, 0, count * (u32)sizeof(r) + extra);
	if (count == 0 && extra == 0)
		disk.queue[0].desc[0].next = 2;
	outcome = offer(0);
	if (outcome.broken || outcome.status == BLK_OK || outcome.status == BLK_NO_ANSWER)
		print("WRONG: type %u sector %lx sectors %x flags %x count %u: status %x ", type,
		      r.sector, r.sectors, r.flags, count, outcome.status);
	else if (status && outcome.status != status)
		print("WRONG: type %u flags %x: status %x ", type, r.flags, outcome.status);
}

static void absurd_ranges(u32 type)
{
	const struct blk_range wrong[] = {
		{capacity, 1, 0},      {capacity - 1, 2, 0}, {0, 0xffffffff, 0},
		{1, (u32)capacity, 0}, {~0ull, 1, 0},        {~0ull, 2, 0},
		{(1ull << 55), 8, 0},  {1ull << 63, 8, 0},   {0ull - 8, 8, 0},
		{0ull - 8, 16, 0},     {1ull << 32, 1, 0},   {(1ull << 55) + 8, 0x800000, 0},
	};

	for (unsigned i = 0; i < COUNT(wrong); i++)
		range(type, wrong[i], 1, 0, 0);
	for (unsigned bit = 1; bit < 32; bit++) /* "MUST set UNSUPP" for flags it doesn't know */
		range(type, (struct blk_range){8, 8, 1u << bit}, 1, 0,
		      disk.features & BLK_F_RO ? 0 : BLK_UNSUPP);
	range(type, (struct blk_range){8, 8, 0}, 0, 0, 0);
	range(type, (struct blk_range){8, 8, 0}, 0, 15, 0);
	range(type, (struct blk_range){8, 8, 0}, 1, 1, 0);
	range(type, (struct blk_range){8, 8, 0}, 60, 8, 0);
}

static void absurd_discards(void)
{
	absurd_ranges(BLK_DISCARD);
	range(BLK_DISCARD, (struct blk_range){8, 8, BLK_RANGE_UNMAP}, 1, 0,
	      disk.features & BLK_F_RO ? 0 : BLK_UNSUPP);
}

static void absurd_zeroes(void)
{
	absurd_ranges(BLK_WRITE_ZEROES);
}

/* The first ranges are good and the last is not: nothing of it is to be done. */
static void half_good_zeroes(void)
{
	struct blk_range ranges[2] = {{REQUEST_SECTOR, 1, 0}, {capacity, 1, 0}};
	struct outcome outcome;

	memcpy(request.data, ranges, sizeof(ranges));
	transfer(BLK_WRITE_ZEROES, 0, sizeof(ranges));
	outcome = offer(0);
	if (outcome.broken || outcome.status == BLK_OK || outcome.status == BLK_NO_ANSWER)
		print("WRONG: status %x ", outcome.status);
}

static void ranges_on_read_only(void)
{
	if (!(disk.features & BLK_F_RO)) {
		print("not here");
		return;
	}
	range(BLK_DISCARD, (struct blk_range){8, 8, 0}, 1, 0, 0);
	range(BLK_WRITE_ZEROES, (struct blk_range){8, 8, 0}, 1, 0, 0);
}

static const struct hostile_case cases[] = {
	{"unknown types", SELF, unknown_types},
	{"reserved word", SERVED, reserved_word},
	{"short headers", SELF, short_headers},
	{"no header", REFUSED, no_header},
	{"header in pieces", SERVED, header_in_pieces},
	{"data in odd pieces", SERVED, data_in_odd_pieces},
	{"status behind data", SELF, status_behind_data},
	{"no status", REFUSED, no_status},
	{"no status of a write", REFUSED, no_status_of_a_write},
	{"a status alone", REFUSED, status_alone},
	{"a status of many bytes", REFUSED, status_of_many_bytes},
	{"no data", SELF, no_data},
	{"not a multiple of 512", REFUSED, not_a_multiple_of_512},
	{"a write not a multiple of 512", REFUSED, write_not_a_multiple_of_512},
	{"a read from us", ANY, read_from_us},
	{"a write to us", ANY, write_to_us},
	{"reads beyond the end", SELF, reads_beyond},
	{"writes beyond the end", SELF, writes_beyond},
	{"a write to a read-only disk", SELF, write_to_read_only},
	{"a flush with data", ANY, flush_with_data},
	{"a flush of data", ANY, flush_of_read_data},
	{"ids of all lengths", SELF, id_of_all_lengths},
	{"absurd discards", SELF, absurd_discards},
	{"absurd write-zeroes", SELF, absurd_zeroes},
	{"half good write-zeroes", SELF, half_good_zeroes},
	{"ranges on a read-only disk", SELF, ranges_on_read_only},
};

void guest_main(void)
{
	hostile_run("hostile-block", cases, COUNT(cases));
}
