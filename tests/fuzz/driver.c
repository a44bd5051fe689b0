/* A driver that does everything right: see driver.h. */
#include "tests/fuzz/driver.h"

#include <linux/pci_regs.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/guest.h"
#include "tests/fuzz/network.h"
#include "tests/fuzz/worker.h"

/* virtio 1.2, 4.1.4.3 and 4.2.2. */
static const struct {
	u16 pci, mmio;
	u8 pci_width;
	bool wide;
} registers[] = {
	[DRIVER_STATUS] = {0x14, 0x70, 1, false},
	[DRIVER_DEVICE_SELECT] = {0x00, 0x14, 4, false},
	[DRIVER_DEVICE_FEATURES] = {0x04, 0x10, 4, false},
	[DRIVER_SELECT] = {0x08, 0x24, 4, false},
	[DRIVER_FEATURES] = {0x0c, 0x20, 4, false},
	[DRIVER_QUEUE] = {0x16, 0x30, 2, false},
	[DRIVER_QUEUE_SIZE] = {0x18, 0x38, 2, false},
	[DRIVER_QUEUE_ENABLE] = {0x1c, 0x44, 2, false},
	[DRIVER_DESCRIPTORS] = {0x20, 0x80, 4, true},
	[DRIVER_AVAILABLE] = {0x28, 0x90, 4, true},
	[DRIVER_USED] = {0x30, 0xa0, 4, true},
};

enum { STARTED = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK };

/* The service's place in memory: the first queue's, and so much further on the next one's. */
enum { SERVICE_QUEUE_SIZE = 8, SERVICE_BYTES = 0x2000 };
#define SERVICE_DESCRIPTORS ((u64)0x1000)
#define SERVICE_AVAILABLE   ((u64)0x1100)
#define SERVICE_USED        ((u64)0x1200)
#define SERVICE_HEADER      ((u64)0x1300)
#define SERVICE_STATUS      ((u64)0x1340)
#define SERVICE_DATA        ((u64)0x1400)

enum { SECTOR = 3, FRAME_BYTES = 60 };

static u64 register_at(const struct board *board, unsigned device, enum driver_register which)
{
	if (!board->setup.pci)
		return board->by_mmio[device].base + registers[which].mmio;
	return pci_bar_address(&board->by_pci[device].function, 0) + registers[which].pci;
}

static unsigned width_of(const struct board *board, enum driver_register which)
{
	return board->setup.pci ? registers[which].pci_width : 4;
}

u64 driver_read(struct board *board, unsigned device, enum driver_register which)
{
	return board_read(board, false, register_at(board, device, which), width_of(board, which));
}

void driver_write(struct board *board, unsigned device, enum driver_register which, u64 value)
{
	const u64 address = register_at(board, device, which);

	board_write(board, false, address, width_of(board, which), value);
	if (registers[which].wide)
		board_write(board, false, address + 4, 4, value >> 32);
}

void driver_notify(struct board *board, unsigned device, u16 queue, bool by_port)
{
	const struct pci_function *function = &board->by_pci[device].function;

	if (!board->setup.pci)
		board_write(board, false, board->by_mmio[device].base + 0x50, 4, queue);
	else if (by_port)
		board_write(board, true, pci_bar_address(function, 1) + 4 * (u64)queue, 2, queue);
	else
		board_write(board, false,
			    pci_bar_address(function, 0) + VIRTIO_PCI_NOTIFY + 4 * (u64)queue, 2,
			    queue);
}

static u64 offered(struct board *board, unsigned device)
{
	u64 features;

	driver_write(board, device, DRIVER_DEVICE_SELECT, 1);
	features = driver_read(board, device, DRIVER_DEVICE_FEATURES) << 32;
	driver_write(board, device, DRIVER_DEVICE_SELECT, 0);
	return features | driver_read(board, device, DRIVER_DEVICE_FEATURES);
}

void driver_begin(struct board *board, unsigned device, u64 features, const struct virtq_regs *regs,
		  unsigned queues)
{
	driver_write(board, device, DRIVER_STATUS, 0);
	driver_write(board, device, DRIVER_STATUS, VIRTIO_ACKNOWLEDGE);
	driver_write(board, device, DRIVER_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	features &= offered(board, device);
	driver_write(board, device, DRIVER_SELECT, 0);
	driver_write(board, device, DRIVER_FEATURES, (u32)features);
	driver_write(board, device, DRIVER_SELECT, 1);
	driver_write(board, device, DRIVER_FEATURES, features >> 32);
	driver_write(board, device, DRIVER_STATUS, STARTED & ~VIRTIO_DRIVER_OK);
	for (unsigned q = 0; q < queues; q++) {
		if (!regs[q].enabled)
			continue;
		driver_write(board, device, DRIVER_QUEUE, q);
		driver_write(board, device, DRIVER_QUEUE_SIZE, regs[q].size);
		driver_write(board, device, DRIVER_DESCRIPTORS, regs[q].descriptors);
		driver_write(board, device, DRIVER_AVAILABLE, regs[q].available);
		driver_write(board, device, DRIVER_USED, regs[q].used);
		if (board->setup.pci) /* queue_msix_vector */
			board_write(board, false, register_at(board, device, DRIVER_QUEUE_SIZE) + 2,
				    2, q + 1);
		driver_write(board, device, DRIVER_QUEUE_ENABLE, 1);
	}
	driver_write(board, device, DRIVER_STATUS, STARTED);
}

void driver_place(struct board *board, bool msix)
{
	for (unsigned i = 0; i < BOARD_DEVICES; i++) {
		const struct virtio_pci *pci = &board->by_pci[i];
		const u64 config = BOARD_ECAM + ((u64)pci->function.slot << 15);

		board_write(board, false, config + PCI_COMMAND, 2, 0);
		for (unsigned b = 0; b < 2; b++)
			board_write(board, false, config + PCI_BASE_ADDRESS_0 + 4 * b, 4,
				    pci->function.power_on[PCI_BASE_ADDRESS_0 / 4 + b]);
		board_write(board, false, config + PCI_COMMAND, 2,
			    PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		board_write(board, false, config + pci->msix_capability + PCI_MSIX_FLAGS, 2,
			    msix ? PCI_MSIX_FLAGS_ENABLE : 0);
		for (unsigned v = 0; msix && v < pci->msix.vectors; v++)
			board_write(board, false,
				    pci_bar_address(&pci->function, 0) + VIRTIO_PCI_MSIX_TABLE +
					    16 * v + PCI_MSIX_ENTRY_VECTOR_CTRL,
				    4, 0);
	}
}

/* ---- service ---- */

/* What all queues have, where one of a number has it. */
static u64 of_slot(unsigned slot, u64 gpa)
{
	return gpa + SERVICE_BYTES * (u64)slot;
}

static void describe(unsigned slot, unsigned index, u64 gpa, u32 bytes, u16 flags)
{
	const u64 at = of_slot(slot, SERVICE_DESCRIPTORS) + 16 * (u64)index;

	guest_store(at, gpa, 8);
	guest_store(at + 8, bytes | (u64)flags << 32 | (u64)(index + 1) << 48, 8);
}

/* Looks for the interrupt and answers it. */
static void expect_interrupt(struct board *board, unsigned device, unsigned queue, bool msix)
{
	const struct virtio_pci *pci = &board->by_pci[device];
	const u64 base = board->by_mmio[device].base;

	if (!board->setup.pci) {
		FUZZ_CHECK(board->wires.refused ||
			   wires_delivered(&board->wires, BOARD_MMIO_GSI + device) > 0);
		FUZZ_CHECK(board_read(board, false, base + 0x60, 4) == VIRTIO_ISR_QUEUE);
		board_write(board, false, base + 0x64, 4, VIRTIO_ISR_QUEUE);
	} else if (msix) {
		FUZZ_CHECK(board->wires.refused ||
			   wires_delivered(&board->wires, pci->msix.first_gsi + queue + 1) > 0);
	} else {
		FUZZ_CHECK(board->level[pci->function.slot % PCI_LINES]);
		FUZZ_CHECK(board_read(board, false,
				      pci_bar_address(&pci->function, 0) + VIRTIO_PCI_ISR,
				      1) == VIRTIO_ISR_QUEUE);
	}
}

/* A queue that serves, and where in memory its slot is. */
struct service {
	struct board *board;
	unsigned device, queue, slot;
	bool msix;
};

/* Offers the chain of descriptors that was laid out, as the n-th, and sees it come back. */
static void expect_chain(const struct service *service, unsigned n, u32 written)
{
	const u64 available = of_slot(service->slot, SERVICE_AVAILABLE);
	const u64 used = of_slot(service->slot, SERVICE_USED), entry = used + 4 + 8 * (u64)n;

	guest_store(available + 4 + 2 * (u64)n, 0, 2);
	guest_store(available + 2, n + 1, 2);
	driver_notify(service->board, service->device, (u16)service->queue, n & 1);
	FUZZ_CHECK(board_drain(service->board));
	board_check(service->board);
	FUZZ_CHECK(guest_load(used + 2, 2) == n + 1);
	FUZZ_CHECK(guest_load(entry, 4) == 0 && guest_load(entry + 4, 4) == written);
	expect_interrupt(service->board, service->device, service->queue, service->msix);
}

static void expect_entropy(struct board *board, bool msix)
{
	const struct service service = {.board = board, .device = BOARD_RNG, .msix = msix};

	describe(0, 0, SERVICE_DATA, 64, 2);
	expect_chain(&service, 0, 64);
	/* One random byte may well be zero; eight are not. */
	FUZZ_CHECK(guest_load(SERVICE_DATA, 8) && guest_load(SERVICE_DATA + 56, 8));
}

/* A request for one sector, or a flush. */
static void expect_request(struct board *board, unsigned n, u32 type, u16 flags, bool msix)
{
	const struct service service = {.board = board, .device = BOARD_BLOCK, .msix = msix};
	const bool data = type != VIRTIO_BLK_T_FLUSH;

	guest_store(SERVICE_HEADER, type, 4);
	guest_store(SERVICE_HEADER + 8, SECTOR, 8);
	guest_store(SERVICE_STATUS, 0xee, 1);
	describe(0, 0, SERVICE_HEADER, 16, 1);
	if (data)
		describe(0, 1, SERVICE_DATA, DISK_SECTOR_BYTES, flags | 1);
	describe(0, data ? 2 : 1, SERVICE_STATUS, 1, 2);
	expect_chain(&service, n, type == VIRTIO_BLK_T_IN ? DISK_SECTOR_BYTES + 1 : 1);
	FUZZ_CHECK(guest_load(SERVICE_STATUS, 1) == VIRTIO_BLK_S_OK);
}

static void expect_disk(struct board *board, bool msix)
{
	const u64 last = SERVICE_DATA + DISK_SECTOR_BYTES - 8;

	guest_store(SERVICE_DATA, 0x0123456789abcdef, 8);
	guest_store(last, 0xfedcba9876543210, 8);
	if (board->setup.read_only) {
		expect_request(board, 0, VIRTIO_BLK_T_IN, 2, msix);
		FUZZ_CHECK(guest_load(SERVICE_DATA, 8) != 0x0123456789abcdef);
		return;
	}
	expect_request(board, 0, VIRTIO_BLK_T_OUT, 0, msix);
	expect_request(board, 1, VIRTIO_BLK_T_FLUSH, 0, msix);
	guest_store(SERVICE_DATA, 0, 8);
	guest_store(last, 0, 8);
	expect_request(board, 2, VIRTIO_BLK_T_IN, 2, msix);
	FUZZ_CHECK(guest_load(SERVICE_DATA, 8) == 0x0123456789abcdef);
	FUZZ_CHECK(guest_load(last, 8) == 0xfedcba9876543210);
}

/* The slots of the queues for receiving and sending are the queues' numbers. */
enum { CONTROL_SLOT = 2 };

/* A frame comes, and one goes. */
static void expect_frames(struct board *board, bool msix)
{
	struct service service = {.board = board, .device = BOARD_NET, .msix = msix};
	const u64 in = SERVICE_DATA, out = of_slot(1, SERVICE_DATA);

	guest_store(out + NET_HEADER_BYTES, 0x0123456789abcdef, 8);
	guest_store(out + NET_HEADER_BYTES + FRAME_BYTES - 8, 0xfedcba9876543210, 8);
	network_send(out + NET_HEADER_BYTES, FRAME_BYTES);
	describe(0, 0, in, 0x400, 2);
	expect_chain(&service, 0, NET_HEADER_BYTES + FRAME_BYTES);
	FUZZ_CHECK(guest_load(in, 8) == 0 && guest_load(in + 8, 4) == 1 << 16);
	for (u32 i = NET_HEADER_BYTES; i < NET_HEADER_BYTES + FRAME_BYTES; i++)
		FUZZ_CHECK(guest_load(in + i, 1) == guest_load(out + i, 1));
	service.queue = service.slot = 1;
	describe(1, 0, out, NET_HEADER_BYTES + FRAME_BYTES, 0);
	expect_chain(&service, 0, 0);
	network_expect(out + NET_HEADER_BYTES, FRAME_BYTES);
}

/* All offloads off, which a driver may ask for at any time. */
static void expect_command(struct board *board, bool msix)
{
	const struct service service = {.board = board,
					.device = BOARD_NET,
					.queue = 2 * board->setup.pairs,
					.slot = CONTROL_SLOT,
					.msix = msix};
	const u64 command = of_slot(CONTROL_SLOT, SERVICE_DATA);

	guest_store(command, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 1);
	guest_store(command + 1, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, 1);
	guest_store(command + 16, 0xee, 1);
	describe(CONTROL_SLOT, 0, command, 2 + 8, 1);
	describe(CONTROL_SLOT, 1, command + 16, 1, 2);
	expect_chain(&service, 0, 1);
	FUZZ_CHECK(guest_load(command + 16, 1) == VIRTIO_NET_OK);
}

static void reset(struct board *board, unsigned device)
{
	driver_write(board, device, DRIVER_STATUS, 0);
	board_drain(board);
	FUZZ_CHECK(driver_read(board, device, DRIVER_STATUS) == 0);
	for (unsigned q = 0; q < board->device[device]->queues; q++)
		FUZZ_CHECK(guest_under_way(&board->device[device]->queue[q]) == 0);
	board_check(board);
}

/* What was to be told of before is told. */
static void forget_interrupts(struct board *board, unsigned device)
{
	if (board->setup.pci)
		(void)board_read(
			board, false,
			pci_bar_address(&board->by_pci[device].function, 0) + VIRTIO_PCI_ISR, 1);
	else
		board_write(board, false, board->by_mmio[device].base + 0x64, 4,
			    VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	for (u32 gsi = 0; gsi < WIRES_GSIS; gsi++)
		(void)wires_delivered(&board->wires, gsi);
}

static void expect_service(struct board *board, unsigned device, bool msix)
{
	if (device == BOARD_RNG) {
		expect_entropy(board, msix);
	} else if (!board->setup.pairs) {
		expect_disk(board, msix);
	} else {
		/* With a peer that is new: the driver hears of it, if the old one was gone. */
		FUZZ_CHECK(board_drain(board));
		forget_interrupts(board, device);
		expect_frames(board, msix);
		if (!board->setup.stream)
			expect_command(board, msix);
	}
}

void driver_expect_service(struct board *board, unsigned device, bool msix)
{
	const bool network = device == BOARD_NET && board->setup.pairs;
	const unsigned slots = network ? board->setup.stream ? 2 : 3 : 1;
	struct virtq_regs regs[VIRTIO_QUEUES_MAX] = {{.size = 0}};

	workers_forget_plan();
	board->wires.refuse = 0;
	if (board->setup.pci)
		driver_place(board, msix);
	if (board->setup.pairs)
		network_renew(board);
	/* Both, for the other may have this one's memory for its rings. */
	for (unsigned i = 0; i < BOARD_DEVICES; i++)
		reset(board, i);
	for (unsigned slot = 0; slot < slots; slot++) {
		guest_clear(of_slot(slot, SERVICE_DESCRIPTORS),
			    SERVICE_DATA + FRAME_BYTES - SERVICE_DESCRIPTORS);
		regs[slot == CONTROL_SLOT ? 2 * board->setup.pairs : slot] =
			(struct virtq_regs){.size = SERVICE_QUEUE_SIZE,
					    .enabled = true,
					    .descriptors = of_slot(slot, SERVICE_DESCRIPTORS),
					    .available = of_slot(slot, SERVICE_AVAILABLE),
					    .used = of_slot(slot, SERVICE_USED)};
	}
	/* What was joined before may have delivered. */
	for (u32 gsi = 0; gsi < WIRES_GSIS; gsi++)
		(void)wires_delivered(&board->wires, gsi);
	driver_begin(board, device, UINT64_MAX & ~VIRTIO_EVENT_IDX, regs,
		     board->device[device]->queues);
	FUZZ_CHECK(driver_read(board, device, DRIVER_STATUS) == STARTED);
	board_check(board);
	expect_service(board, device, msix);
}
