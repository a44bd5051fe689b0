/* What may happen on a board: see actions.h. */
#include "tests/fuzz/actions.h"

#include <string.h>

#include "tests/fuzz/driver.h"
#include "tests/fuzz/guest.h"
#include "tests/fuzz/network.h"
#include "tests/fuzz/worker.h"

enum { ACTIONS_MAX = 64 };

/* Where the headers, statuses, indirect tables and data of whole requests lie. */
#define REQUEST_HEADERS ((u64)0x2800)
#define REQUEST_TABLES  ((u64)0x3000)
#define REQUEST_DATA    ((u64)0x4000)

static unsigned number_of(const struct board *board, const struct action *action)
{
	return board->setup.pairs ? action->how >> 4 & 7 : action->how >> 1 & 3;
}

static struct virtq_regs *queue_of(struct board *board, const struct action *action)
{
	struct virtio_device *device = board->device[action->how & 1];

	return &device->regs.queue[number_of(board, action) % device->queues];
}

static void publish(const struct virtq_regs *regs, u32 more)
{
	const u64 at = regs->available + 2;

	guest_store(at, guest_load(at, 2) + more, 2);
}

static void notify(struct board *board, const struct action *action)
{
	/* By what is laid now; a BAR that isn't decoded has no address, and nothing is there. */
	driver_notify(board, action->how & 1, (u16)number_of(board, action), action->how & 8);
}

/* All are idle: what runs and was notified has taken all that there is. */
static void drain(struct board *board, const struct action *action)
{
	struct virtio_device *device = board->device[action->how & 1];

	/* Again, because what one queue gives back may be written over another's ring. */
	for (unsigned round = 0; round < 2 * device->queues; round++) {
		for (unsigned q = 0; q < device->queues; q++)
			virtio_notify(device, q);
		if (!board_drain(board) || device->state != VIRTIO_RUNNING)
			return;
	}
	for (unsigned q = 0; q < device->queues; q++) {
		const struct virtq *queue = &device->queue[q];

		if (!virtq_started(queue))
			continue;
		FUZZ_CHECK((u16)(queue->position.next_available - queue->position.next_used) ==
				   guest_under_way(queue) ||
			   queue->broken);
		/* A network holds buffers for what comes, and leaves what its peer can't take. */
		if (device == &board->net.device)
			continue;
		FUZZ_CHECK(guest_under_way(queue) == 0);
		FUZZ_CHECK(queue->broken || guest_load(device->regs.queue[q].available + 2, 2) ==
						    queue->position.next_available);
		FUZZ_CHECK(!queue->broken || (device->regs.status & VIRTIO_NEEDS_RESET));
	}
}

static void begin(struct board *board, const struct action *action)
{
	const unsigned index = action->how & 1;
	struct virtq_regs regs[VIRTIO_QUEUES_MAX];
	const unsigned queues = board->device[index]->queues;
	const u16 size = (u16)(1 << (action->how >> 1 & 7));

	for (unsigned q = 0; q < queues; q++) {
		const u64 gpa = (action->where & ~15U) + 0x400 * (u64)q;

		regs[q] = (struct virtq_regs){.size = size,
					      .enabled = q == 0 || action->how & 0x80,
					      .descriptors = gpa,
					      .available = gpa + 16 * (u64)size,
					      .used = gpa + 16 * (u64)size + 0x108};
	}
	driver_begin(board, index, action->value | VIRTIO_VERSION_1, regs, queues);
}

struct piece {
	u64 gpa;
	u32 bytes;
	u16 flags;
};

/* Writes descriptors from `table` on, and returns how many. */
static unsigned describe(u64 table, unsigned first, const struct piece *piece, unsigned pieces)
{
	for (unsigned i = 0; i < pieces; i++) {
		const u64 at = table + 16 * (u64)(first + i);
		const u16 next = i + 1 < pieces ? 1 : 0;

		guest_store(at, piece[i].gpa, 8);
		guest_store(at + 8,
			    piece[i].bytes | (u64)(piece[i].flags | next) << 32 |
				    (u64)(first + i + 1) << 48,
			    8);
	}
	return pieces;
}

/* The body of a discard or write-zeroes; returns its length. */
static u32 put_ranges(u64 gpa, const struct action *action)
{
	const unsigned ranges = action->value >> 8 & 3;

	for (unsigned i = 0; i < ranges; i++) {
		guest_store(gpa + 16 * i, (u64)action->where + 8 * i, 8);
		guest_store(gpa + 16 * i + 8,
			    (action->value >> 10 & 63) | (u64)(action->value >> 16 & 1) << 32, 8);
	}
	return 16 * ranges;
}

/* Makes a chain available. cut: 4 indirect, 8 in silence. */
static void offer(struct board *board, const struct action *action, struct piece *piece,
		  unsigned pieces, unsigned cut)
{
	const struct virtq_regs *regs = queue_of(board, action);
	const u16 next = (u16)guest_load(regs->available + 2, 2);
	const unsigned first = 4U * next % regs->size;

	if (cut & 4) {
		const u64 table = REQUEST_TABLES + 256 * (u64)(next % 8);

		describe(table, 0, piece, pieces);
		piece[0] = (struct piece){table, 16 * pieces, 4};
		describe(regs->descriptors, first, piece, 1);
	} else {
		describe(regs->descriptors, first, piece, pieces);
	}
	guest_store(regs->available + 4 + 2 * (u64)(next % regs->size), first, 2);
	publish(regs, 1);
	if (!(cut & 8))
		notify(board, action);
}

/*
 * A request: value's bits 0 to 3 are the type, 4 to 7 how it is cut, 8 to 15 its sectors (odd
 * lengths: 16 to 23), 24 to 31 where its data lies.
 */
static void request(struct board *board, const struct action *action)
{
	static const u32 types[] = {VIRTIO_BLK_T_IN,      VIRTIO_BLK_T_OUT,
				    VIRTIO_BLK_T_FLUSH,   VIRTIO_BLK_T_GET_ID,
				    VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};
	const struct virtq_regs *regs = queue_of(board, action);
	const u16 next = (u16)guest_load(regs->available + 2, 2);
	const u32 type = (action->value & 15) < ARRAY_LEN(types) ? types[action->value & 15]
								 : action->value & 15;
	const unsigned cut = action->value >> 4 & 15;
	const u64 header = REQUEST_HEADERS + 64 * (u64)(next % 16);
	const bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	const u16 write = in ? 2 : 0;
	struct piece piece[16];
	unsigned pieces = 0;
	u64 data = REQUEST_DATA + 0x20 * (u64)(action->value >> 24);
	u32 bytes = (action->value >> 8 & 0xff) * DISK_SECTOR_BYTES + (action->value >> 16 & 0xff);

	guest_store(header, type, 4);
	guest_store(header + 8, action->where, 8);
	if (type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES)
		bytes = put_ranges(data, action);
	if (type == VIRTIO_BLK_T_FLUSH)
		bytes = 0;
	piece[pieces++] = (struct piece){header, 16, 0};
	for (u32 part = 7; cut & 1 && part < 1000 && bytes > part; part += 100) {
		piece[pieces++] = (struct piece){data, part, write};
		data += part, bytes -= part;
	}
	if (bytes)
		piece[pieces++] = (struct piece){data, bytes, write};
	/* The status: a byte of its own, or behind more that is written. */
	piece[pieces++] = (struct piece){header + 32, cut & 2 ? 9 : 1, 2};
	offer(board, action, piece, pieces, cut);
}

/*
 * A frame for a network, a buffer, or a command: value's bits 0 to 15 are its length, 16 to 19 how it
 * is cut, 20 to 23 a command's number, 24 to 31 where it lies, where there is something already.
 * `where` is the header's first bytes: a frame's flags and kind of segments, a command's class and
 * what it wants.
 */
static void network_request(struct board *board, const struct action *action)
{
	struct virtio_device *device = board->device[action->how & 1];
	const unsigned number = number_of(board, action) % device->queues;
	const bool control = number == board->net.control, in = !control && number % 2 == 0;
	const unsigned cut = action->value >> 16 & 15;
	u64 data = REQUEST_DATA + 0x20 * (u64)(action->value >> 24);
	u32 bytes = action->value & 0xffff;
	struct piece piece[16];
	unsigned pieces = 0;

	if (!in)
		guest_store(data, action->where, 2);
	if (control)
		guest_store(data + 2, action->value >> 20 & 15, 2);
	for (u32 part = 7; cut & 3 && pieces < 12 && bytes > part; part += cut & 2 ? 100 : 5) {
		piece[pieces++] = (struct piece){data, part, in ? 2 : 0};
		data += part, bytes -= part;
	}
	piece[pieces++] = (struct piece){data, bytes, in ? 2 : 0};
	/* The answer; a frame has none, and what can be written in its chain stays as it is. */
	if (control || cut == 3)
		piece[pieces++] = (struct piece){REQUEST_HEADERS, 1, 2};
	offer(board, action, piece, pieces, cut);
}

/* how: bit 0 the device, 1 write, 2 and 3 the width, 4 to 7 more. */
static void touch(struct board *board, const struct action *action, bool io_port, u64 address)
{
	const unsigned width = 1U << (action->how >> 2 & 3);

	if (action->how & 2)
		board_write(board, io_port, address, width,
			    action->value | (u64)action->value << 32);
	else
		board_read(board, io_port, address, width);
}

static void access_window(struct board *board, const struct action *action)
{
	const struct pci_function *function = &board->by_pci[action->how & 1].function;

	if (!board->setup.pci)
		touch(board, action, false,
		      board->by_mmio[action->how & 1].base + action->where % 0x208);
	else if (action->how & 16)
		touch(board, action, true, pci_bar_address(function, 1) + action->where % 0x48);
	else
		touch(board, action, false, pci_bar_address(function, 0) + action->where % 0x2008);
}

/* The function's offset in configuration space is the low byte; bit 5 of how: another slot. */
static void access_config(struct board *board, const struct action *action, bool by_ports)
{
	const u32 slot = action->how & 32 ? action->where >> 11 : (action->how & 1) + 1U;
	const u32 offset = action->how & 64 ? action->where & 0xfff : action->where & 0xff;

	if (!board->setup.pci)
		return;
	if (!by_ports) {
		touch(board, action, false, BOARD_ECAM + ((u64)slot << 15) + offset);
		return;
	}
	pci_write_address(&board->pci, (action->how & 128 ? 0 : 0x80000000) | slot << 11 | offset);
	(void)pci_read_address(&board->pci);
	touch(board, action, true, PCI_DATA_PORT + offset % 4);
}

void board_act(struct board *board, const struct action *action)
{
	struct virtio_device *device = board->device[action->how & 1];

	switch (action->what % ACTIONS) {
	case 0:
		guest_store(action->where | (action->how & 0x80 ? 4 * GIB : 0), action->value,
			    1U << (action->how & 3));
		break;
	case 1:
		publish(queue_of(board, action), action->value);
		break;
	case 2:
		notify(board, action);
		break;
	case 3:
		board_round(board, action->how);
		break;
	case 4:
		drain(board, action);
		break;
	case 5:
		if (board->setup.pairs)
			network_act(board, action);
		else
			workers_plan(action->value);
		break;
	case 6:
		if (board->setup.pairs)
			network_act(board, action);
		workers_last_first(action->how & 1);
		board->patient = action->how & 2;
		break;
	case 7:
		virtio_quiesce(device, 1);
		board_check(board);
		if (action->how & 2)
			virtio_resume(device);
		break;
	case 8:
		driver_write(board, action->how & 1, DRIVER_STATUS, 0);
		break;
	case 9:
		begin(board, action);
		break;
	case 10:
		if (board->setup.pairs)
			network_request(board, action);
		else
			request(board, action);
		break;
	case 11:
		virtio_config_changed(device);
		break;
	case 12:
		board->wires.refuse = action->value;
		break;
	case 13:
		access_window(board, action);
		break;
	default:
		access_config(board, action, action->what % ACTIONS == 15);
	}
}

const struct memory *actions_begin(struct input *input, unsigned *actions)
{
	struct input memory;

	*actions = (unsigned)input_take(input, 1) % (ACTIONS_MAX + 1);
	memory = *input;
	for (unsigned i = 0; i < *actions; i++)
		(void)input_action(&memory);
	return guest_begin(memory.bytes, memory.left);
}

void actions_run(struct board *board, struct input *input, unsigned actions, bool anew, bool msix)
{
	for (unsigned i = 0; i < actions; i++) {
		const struct action action = input_action(input);

		board_act(board, &action);
		board_check(board);
	}
	board->patient = true;
	if (anew)
		board_power_on(board);
	for (unsigned i = 0; i < BOARD_DEVICES; i++)
		driver_expect_service(board, i, msix);
	board_close(board);
}
