/*
 * hostile-queue - a driver whose descriptors and rings break the rules of virtio 1.2, 2.7.
 *
 * A chain that is wrong costs the driver this chain: it comes back, empty, and the next one is
 * served. Only a ring that can't be read at all needs a reset. hostile-setup.c has the rings that
 * are wrong from the start.
 */
#include "lib/hostile.h"

#define BEYOND_4G 0x7000000000ull

/* ---- buffers that are not (all) RAM ---- */

static void data_at(u64 address)
{
	disk.queue[0].desc[1].address = address;
}

static void data_in_hole(void)
{
	data_at(HOLE);
}

static void data_behind_ram(void)
{
	data_at(ram_end);
}

static void data_across_end_of_ram(void)
{
	data_at(ram_end - SECTOR);
}

static void data_wraps(void)
{
	data_at(~0ull - SECTOR + 1);
}

static void data_at_the_very_end(void)
{
	data_at(0ull - sizeof(request.data)); /* ends at 2^64 exactly */
}

static void data_far_away(void)
{
	data_at(BEYOND_4G);
}

static void data_high_bits(void)
{
	data_at((u64)request.data | 1ull << 63); /* right in the lower half */
}

static void data_in_the_device(void)
{
	data_at(disk.common.base); /* its own registers, when they are memory */
}

static void data_in_the_apic(void)
{
	data_at(MSI_ADDRESS); /* a device that writes there makes interrupts */
}

static void data_too_long(void)
{
	disk.queue[0].desc[1].length = 0xfffffe00;
}

static void header_in_hole(void)
{
	disk.queue[0].desc[0].address = HOLE;
}

static void header_across_end_of_ram(void)
{
	disk.queue[0].desc[0].address = ram_end - 8;
}

static void status_in_hole(void)
{
	disk.queue[0].desc[2].address = HOLE;
}

/* ---- chains ---- */

static void next_out_of_range(void)
{
	disk.queue[0].desc[1].next = disk.queue[0].size;
}

static void next_far_out_of_range(void)
{
	disk.queue[0].desc[0].next = 0xffff;
}

static void loop_of_one(void)
{
	set_desc(0, (u64)&request.header, sizeof(request.header), DESC_NEXT, 0);
}

static void loop_of_two(void)
{
	set_desc(2, (u64)&request.status, 1, DESC_WRITE | DESC_NEXT, 1);
}

static void loop_of_nothing(void) /* of zero-length descriptors: no sum ever grows */
{
	set_desc(0, (u64)&request.header, 0, DESC_NEXT, 1);
	set_desc(1, (u64)&request.header, 0, DESC_NEXT, 0);
}

static void writable_then_readable(void)
{
	set_desc(0, (u64)request.data, sizeof(request.data), DESC_WRITE | DESC_NEXT, 1);
	set_desc(1, (u64)&request.header, sizeof(request.header), DESC_NEXT, 2);
}

/* Whoever sorts buffers by their place and not by their flags would serve this, as one sector. */
static void directions_exchanged(void)
{
	set_desc(0, (u64)&request.header, SECTOR, DESC_NEXT | DESC_WRITE, 1);
	disk.queue[0].desc[1].flags = DESC_NEXT;
}

static void readable_behind_status(void)
{
	set_desc(2, (u64)&request.status, 1, DESC_WRITE | DESC_NEXT, 3);
	set_desc(3, (u64)&request.header, sizeof(request.header), 0, 0);
}

static void nothing_at_all(void)
{
	set_desc(0, (u64)&request.header, 0, 0, 0);
}

static void nothing_twice(void)
{
	set_desc(0, (u64)&request.header, 0, DESC_NEXT, 1);
	set_desc(1, (u64)request.data, 0, DESC_WRITE, 0);
}

static void empty_piece_within(void)
{
	set_desc(0, (u64)&request.header, sizeof(request.header), DESC_NEXT, 3);
	set_desc(3, (u64)&request.header, 0, DESC_NEXT, 1);
}

static void empty_piece_nowhere(void)
{
	set_desc(0, (u64)&request.header, sizeof(request.header), DESC_NEXT, 3);
	set_desc(3, HOLE, 0, DESC_NEXT, 1);
}

static void unknown_flags(void)
{
	disk.queue[0].desc[1].flags |= 0xfff8;
}

static void as_long_as_the_queue(void) /* every byte of the header is a piece; no rule is broken */
{
	u16 n = 0;

	for (; n < 16; n++)
		set_desc(n, (u64)&request.header + n, 1, DESC_NEXT, (u16)(n + 1));
	for (; n < disk.queue[0].size - 2; n++)
		set_desc(n, (u64)request.data + (n - 16u) * 4, 4, DESC_NEXT | DESC_WRITE,
			 (u16)(n + 1));
	set_desc(n, (u64)request.data + (n - 16u) * 4, (u32)sizeof(request.data) - (n - 16u) * 4,
		 DESC_NEXT | DESC_WRITE, (u16)(n + 1));
	set_desc((u16)(n + 1), (u64)&request.status, 1, DESC_WRITE, 0);
}

/* ---- indirect tables, 2.7.5.3 ---- */

/* The correct chain in an indirect table. */
static void indirect(u32 entries)
{
	memcpy(request.indirect, disk.queue[0].desc, 3 * sizeof(struct virtq_desc));
	set_desc(0, (u64)request.indirect, entries * 16, DESC_INDIRECT, 0);
}

static void indirect_correct(void)
{
	indirect(3);
}

static void indirect_write_flag(void) /* "the device MUST ignore" it there */
{
	indirect(3);
	disk.queue[0].desc[0].flags |= DESC_WRITE;
}

static void indirect_behind_direct(void) /* a header in the queue, the rest in a table */
{
	request.indirect[0] = disk.queue[0].desc[1];
	request.indirect[0].next = 1;
	request.indirect[1] = disk.queue[0].desc[2];
	set_desc(1, (u64)request.indirect, 32, DESC_INDIRECT, 0);
}

static void indirect_nested(void)
{
	indirect(3);
	request.indirect[3] = request.indirect[1];
	request.indirect[3].next = 0;
	request.indirect[4] = request.indirect[2];
	request.indirect[1] = (struct virtq_desc){(u64)&request.indirect[3], 32, DESC_INDIRECT, 0};
}

static void indirect_of_itself(void)
{
	indirect(3);
	request.indirect[0] = disk.queue[0].desc[0];
}

static void indirect_and_next(void)
{
	indirect(2);
	request.indirect[1].flags = DESC_WRITE;
	set_desc(0, (u64)request.indirect, 32, DESC_INDIRECT | DESC_NEXT, 2);
}

static void indirect_15_bytes(void)
{
	indirect(3);
	disk.queue[0].desc[0].length = 15;
}

static void indirect_49_bytes(void)
{
	indirect(3);
	disk.queue[0].desc[0].length = 49;
}

static void indirect_no_bytes(void)
{
	indirect(0);
}

static void indirect_huge(void)
{
	indirect(3);
	disk.queue[0].desc[0].length = 0xfffffff0;
}

static void indirect_in_hole(void)
{
	indirect(3);
	disk.queue[0].desc[0].address = HOLE;
}

static void indirect_across_end_of_ram(void)
{
	indirect(3);
	disk.queue[0].desc[0].address = ram_end - 32;
}

static void indirect_wraps(void)
{
	indirect(3);
	disk.queue[0].desc[0].address = 0ull - 16;
}

static void indirect_not_aligned(void) /* no rule of 2.7 is broken */
{
	indirect(3);
	memcpy((u8 *)&request.indirect[8] + 3, request.indirect, 48);
	disk.queue[0].desc[0].address += 8 * 16 + 3;
}

static void indirect_next_out_of_range(void)
{
	indirect(3);
	request.indirect[1].next = 3;
	request.indirect[3] = request.indirect[2]; /* right, had the table one entry more */
}

static void indirect_loop(void)
{
	indirect(3);
	request.indirect[2].flags |= DESC_NEXT;
	request.indirect[2].next = 1;
}

static void indirect_longer_than_queue(void) /* 2.7.5.3.1; many devices take it */
{
	const u32 entries = disk.queue[0].size + 8u, pieces = entries - 2;

	indirect(entries);
	request.indirect[entries - 1] = request.indirect[2];
	for (u32 i = 0; i < pieces; i++)
		request.indirect[1 + i] =
			(struct virtq_desc){(u64)request.data + i * 4,
					    i == pieces - 1 ? (u32)sizeof(request.data) - i * 4 : 4,
					    DESC_WRITE | DESC_NEXT, (u16)(i + 2)};
}

static void indirect_254_pieces(void)
{
	indirect(256);
	request.indirect[255] = request.indirect[2];
	for (u32 i = 0; i < 254; i++)
		request.indirect[1 + i] = (struct virtq_desc){(u64)request.data + i * 4,
							      i == 253 ? 12 : 4,
							      DESC_WRITE | DESC_NEXT, (u16)(i + 2)};
}

/*
 * A write of 4 GiB and 1 sector: who adds up the lengths in 32 bits sees a write of one sector, and
 * would find it in order. The disk must stay as it is, which good service finds out.
 */
static void lengths_over_4g(void)
{
	const u32 piece = 64 << 20;

	request.header.type = BLK_OUT;
	indirect(67);
	request.indirect[66] = request.indirect[2];
	for (u16 i = 1; i <= 64; i++)
		request.indirect[i] = (struct virtq_desc){1 << 20, piece, DESC_NEXT, (u16)(i + 1)};
	request.indirect[65] = (struct virtq_desc){1 << 20, SECTOR, DESC_NEXT, 66};
}

/* ---- rings ---- */

static void head_out_of_range(void)
{
	head = disk.queue[0].size;
}

static void head_far_out_of_range(void)
{
	head = 0xffff;
}

static void index_jump(u16 by)
{
	disk.queue[0].avail.index = (u16)(disk.queue[0].avail.index + by - 1);
}

static void index_jumps_by_32769(void)
{
	index_jump(32769);
}

static void index_jumps_by_one_too_many(void)
{
	index_jump((u16)(disk.queue[0].size + 1));
}

static void index_goes_back(void)
{
	index_jump(0xffff);
}

/* As far ahead as allowed: the same chain once for each entry of the ring. */
static void the_same_chain_everywhere(void)
{
	struct virtq *q = &disk.queue[0];
	struct outcome outcome;

	for (u16 i = 0; i < q->size; i++)
		virtq_offer(q, 0);
	virtio_notify(&disk, 0);
	for (u16 i = 0; i < q->size; i++) {
		outcome = wait_answer();
		if (outcome.broken || outcome.id != 0)
			print("WRONG: answer %u ", i);
		if (outcome.broken)
			return;
	}
	print("%u answers", q->size);
}

/* What the device reads from the disk goes where its rings are. It may do anything to itself. */
static void data_over_descriptors(void)
{
	data_at((u64)disk.queue[0].desc);
}

static void data_over_rings(void)
{
	data_at((u64)&disk.queue[0].avail);
}

static void status_over_used_index(void)
{
	disk.queue[0].desc[2].address = (u64)&disk.queue[0].used.index;
}

/* Whatever the device made of that: nothing in the rings can be trusted any more. */
static void spoil(void (*how)(void))
{
	how();
	virtq_offer(&disk.queue[0], head);
	virtio_notify(&disk, 0);
	for (u32 i = 0; i < 1000; i++)
		pause();
	virtio_reset(&disk);
	print("reset");
}

static void spoil_descriptors(void)
{
	spoil(data_over_descriptors);
}

static void spoil_rings(void)
{
	spoil(data_over_rings);
}

static void spoil_used_index(void)
{
	spoil(status_over_used_index);
}

static const struct hostile_case cases[] = {
	{"data in the hole", REFUSED, data_in_hole},
	{"data behind the end of RAM", REFUSED, data_behind_ram},
	{"data across the end of RAM", REFUSED, data_across_end_of_ram},
	{"data wraps around 2^64", REFUSED, data_wraps},
	{"data at the end of all addresses", REFUSED, data_at_the_very_end},
	{"data far away", REFUSED, data_far_away},
	{"data at a good address plus 2^63", REFUSED, data_high_bits},
	{"data in the device's registers", REFUSED, data_in_the_device},
	{"data in the APIC", REFUSED, data_in_the_apic},
	{"data of nearly 4 GiB", REFUSED, data_too_long},
	{"header in the hole", REFUSED, header_in_hole},
	{"header across the end of RAM", REFUSED, header_across_end_of_ram},
	{"status in the hole", REFUSED, status_in_hole},
	{"next out of range", REFUSED, next_out_of_range},
	{"next far out of range", REFUSED, next_far_out_of_range},
	{"loop of one", REFUSED, loop_of_one},
	{"loop of two", REFUSED, loop_of_two},
	{"loop of nothing", REFUSED, loop_of_nothing},
	{"writable, then readable", REFUSED, writable_then_readable},
	{"directions exchanged", REFUSED, directions_exchanged},
	{"readable behind the status", REFUSED, readable_behind_status},
	{"nothing", REFUSED, nothing_at_all},
	{"nothing twice", REFUSED, nothing_twice},
	{"an empty piece within", ANY, empty_piece_within},
	{"an empty piece nowhere", ANY, empty_piece_nowhere},
	{"unknown descriptor flags", ANY, unknown_flags},
	{"a chain as long as the queue", SERVED, as_long_as_the_queue},
	{"indirect, correct", SERVED, indirect_correct},
	{"indirect, WRITE set", SERVED, indirect_write_flag},
	{"indirect behind direct", SERVED, indirect_behind_direct},
	{"indirect, nested", REFUSED, indirect_nested},
	{"indirect, of itself", REFUSED, indirect_of_itself},
	{"indirect and NEXT", REFUSED, indirect_and_next},
	{"indirect, 15 bytes", REFUSED, indirect_15_bytes},
	{"indirect, 49 bytes", REFUSED, indirect_49_bytes},
	{"indirect, 0 bytes", REFUSED, indirect_no_bytes},
	{"indirect, nearly 4 GiB", REFUSED, indirect_huge},
	{"indirect in the hole", REFUSED, indirect_in_hole},
	{"indirect across the end of RAM", REFUSED, indirect_across_end_of_ram},
	{"indirect wraps around 2^64", REFUSED, indirect_wraps},
	{"indirect, not aligned", ANY, indirect_not_aligned},
	{"indirect, next out of range", REFUSED, indirect_next_out_of_range},
	{"indirect loop", REFUSED, indirect_loop},
	{"indirect, longer than the queue", ANY, indirect_longer_than_queue},
	{"indirect, 254 pieces", ANY, indirect_254_pieces},
	{"lengths over 4 GiB", REFUSED, lengths_over_4g},
	{"head out of range", RESET, head_out_of_range},
	{"head far out of range", RESET, head_far_out_of_range},
	{"available index jumps by 32769", RESET, index_jumps_by_32769},
	{"available index jumps by one too many", RESET, index_jumps_by_one_too_many},
	{"available index goes back", RESET, index_goes_back},
	{"the same chain everywhere", SELF, the_same_chain_everywhere},
	{"data over the descriptors", SELF, spoil_descriptors},
	{"data over the rings", SELF, spoil_rings},
	{"status over the used index", SELF, spoil_used_index},
};

void guest_main(void)
{
	hostile_run("hostile-queue", cases, COUNT(cases));
}
