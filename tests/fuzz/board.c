/* A board with two virtio devices: see board.h. */
#include "tests/fuzz/board.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/guest.h"
#include "tests/fuzz/network.h"
#include "tests/fuzz/worker.h"
#include "tests/unit/support.h"

enum { IMAGE_BYTES = BOARD_SECTORS * DISK_SECTOR_BYTES, ROUNDS_MAX = 300 };

/* The image stays from one input to the next, and is made anew when it was written to. */
static struct {
	struct temp_file file;
	u8 bytes[IMAGE_BYTES];
	bool made;
} image;

static struct board board_now;

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
				  const struct timespec *until);

int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
				  const struct timespec *until)
{
	bool any;

	(void)condition, (void)until;
	if (!board_now.patient)
		return ETIMEDOUT;
	pthread_mutex_unlock(mutex);
	any = board_round(&board_now, UINT32_MAX);
	pthread_mutex_lock(mutex);
	FUZZ_CHECK(any); /* what was asked to stop will stop */
	return 0;
}

/* ---- making it ---- */

static void make_image(void)
{
	if (image.made && !workers_wrote())
		return;
	if (!image.made) {
		/* Where an ephemeral disk's writes go: memory, for speed. */
		setenv("TMPDIR", "/dev/shm", 1);
		fill_pattern(image.bytes, IMAGE_BYTES, 7);
		temp_file_make(&image.file, image.bytes, IMAGE_BYTES);
		image.made = true;
	}
	temp_file_set(&image.file, image.bytes, IMAGE_BYTES);
}

static void deliver(void *controller, u32 gsi, bool level)
{
	struct board *board = controller;

	FUZZ_CHECK(gsi >= BOARD_FIRST_LINE && gsi < BOARD_FIRST_LINE + PCI_LINES);
	FUZZ_CHECK(board->level[gsi - BOARD_FIRST_LINE] != level);
	board->level[gsi - BOARD_FIRST_LINE] = level;
}

static int open_disk(struct board *board, struct error *err)
{
	board->config = (struct disk_config){.path = image.file.path,
					     .read_only = board->setup.read_only,
					     .ephemeral = board->setup.ephemeral,
					     .serial = "fuzzed",
					     .queues = board->setup.queues};
	block_init(&board->block);
	if (block_open(&board->block, &board->config, err))
		return -1;
	/* Memory files take no O_DIRECT; what matters here is who is sent which way. */
	if (board->setup.direct) {
		board->block.disk.direct_fd = dup(board->block.disk.fd);
		board->block.disk.direct_align = DISK_SECTOR_BYTES;
	}
	return 0;
}

static int open_devices(struct board *board, struct error *err)
{
	const bool network = board->setup.pairs;

	board->device[BOARD_RNG] = &board->rng.device;
	board->device[BOARD_BLOCK] = network ? &board->net.device : &board->block.device;
	rng_open(&board->rng, &board->loop, err);
	return network ? network_open(board, err) : open_disk(board, err);
}

static int attach(struct board *board, struct error *err)
{
	struct pci_layout layout = {.ecam_base = BOARD_ECAM,
				    .memory_base = BOARD_MEMORY,
				    .memory_bytes = BOARD_MEMORY_BYTES};
	u32 message = BOARD_FIRST_MESSAGE;

	for (u32 i = 0; i < PCI_LINES; i++)
		layout.line[i] = (struct irq_line){
			.deliver = deliver, .controller = board, .gsi = BOARD_FIRST_LINE + i};
	if (board->setup.pci && pci_init(&board->pci, &layout, &board->pio, &board->mmio, err))
		return -1;
	for (unsigned i = 0; i < BOARD_DEVICES; i++) {
		struct virtio_device *device = board->device[i];
		int error;

		device->memory = board->setup.memory;
		device->trace = &board->trace;
		/* People have been told already: it is silent when it is broken. */
		device->told = true;
		if (board->setup.pci)
			error = virtio_pci_init(&board->by_pci[i], device, &board->pci,
						&board->wires.wiring, message, err);
		else
			error = virtio_mmio_init(
				&board->by_mmio[i], device, &board->mmio, &board->wires.wiring,
				BOARD_MMIO + VIRTIO_MMIO_STRIDE * (u64)i, BOARD_MMIO_GSI + i, err);
		if (error)
			return -1;
		message += virtio_pci_vectors(device);
	}
	return 0;
}

static int open_workers(struct board *board, struct error *err)
{
	const struct thread_setup setup = {.sandbox = SANDBOX_OFF};
	const bool pci = board->setup.pci;
	const struct msix *msix = &board->by_pci[BOARD_BLOCK].msix;

	workers_begin(&board->block.disk);
	if (board->setup.pairs)
		return net_start_workers(&board->net, &setup, err);
	return block_start_workers(&board->block, &setup,
				   pci ? msix->fd : &board->by_mmio[BOARD_BLOCK].interrupt_fd,
				   pci ? msix->vectors : 1, err);
}

struct board *board_open(const struct board_setup *setup)
{
	struct board *board = &board_now;
	struct error err = {.text = ""};
	bool made;

	make_image();
	memset(board, 0, sizeof(*board));
	board->setup = *setup;
	wires_init(&board->wires);
	made = !trace_open(&board->trace, setup->trace ? TRACE_VIRTIO : 0, "/dev/null", 0,
			   &board->loop, &err) &&
	       !open_devices(board, &err) && !attach(board, &err) && !open_workers(board, &err);
	if (!made)
		fprintf(stderr, "%s\n", err.text);
	FUZZ_CHECK(made);
	return board;
}

static void check_image(const struct board *board)
{
	static u8 bytes[IMAGE_BYTES];
	struct stat status;

	FUZZ_CHECK(fstat(image.file.fd, &status) == 0 && status.st_size == IMAGE_BYTES);
	if (!board->setup.read_only && !board->setup.ephemeral)
		return;
	FUZZ_CHECK(pread(image.file.fd, bytes, IMAGE_BYTES, 0) == IMAGE_BYTES);
	FUZZ_CHECK(memcmp(bytes, image.bytes, IMAGE_BYTES) == 0);
}

void board_close(struct board *board)
{
	board->patient = true;
	for (unsigned i = 0; i < BOARD_DEVICES; i++)
		FUZZ_CHECK(virtio_quiesce(board->device[i], 1));
	board_check(board);
	if (board->setup.pairs) {
		network_close(board);
	} else {
		check_image(board);
		FUZZ_CHECK(block_close(&board->block, 1));
	}
	for (unsigned i = 0; i < BOARD_DEVICES; i++) {
		if (board->setup.pci)
			virtio_pci_destroy(&board->by_pci[i]);
		else
			virtio_mmio_destroy(&board->by_mmio[i]);
	}
	rng_close(&board->rng);
	trace_close(&board->trace);
	pci_destroy(&board->pci);
}

void board_power_on(struct board *board)
{
	board->patient = true;
	for (unsigned i = 0; i < BOARD_DEVICES; i++)
		FUZZ_CHECK(virtio_quiesce(board->device[i], 1));
	for (unsigned i = 0; i < BOARD_DEVICES; i++) {
		virtio_power_on(board->device[i]);
		if (board->setup.pci)
			virtio_pci_power_on(&board->by_pci[i]);
		else
			virtio_mmio_power_on(&board->by_mmio[i]);
	}
	if (board->setup.pci)
		pci_reset(&board->pci);
	FUZZ_CHECK(board->wires.bells == 0);
	wires_init(&board->wires);
	memset(board->level, 0, sizeof(board->level));
}

/* ---- what happens on it ---- */

/* What a trace would say of an access. */
static void name(const struct bus *bus, u64 address, bool write)
{
	const struct bus_range *range = bus_find(bus, address);

	if (range && range->ops->name)
		FUZZ_CHECK(range->ops->name(range->device, address - range->base, write));
}

u64 board_read(struct board *board, bool io_port, u64 address, unsigned width)
{
	const struct bus *bus = io_port ? &board->pio : &board->mmio;
	u64 value;

	name(bus, address, false);
	value = bus_read(bus, address, width);
	FUZZ_CHECK(width == 8 || value >> (8 * width) == 0);
	return value;
}

void board_write(struct board *board, bool io_port, u64 address, unsigned width, u64 value)
{
	const struct bus *bus = io_port ? &board->pio : &board->mmio;

	if (width < 8)
		value &= ((u64)1 << (8 * width)) - 1;
	if (wires_ring(&board->wires, io_port, address, width, value))
		return;
	name(bus, address, true);
	bus_write(bus, address, width, value);
}

/* The main loop, which serves the entropy device. */
static bool loop_round(struct board *board)
{
	struct loop_source *source = &board->rng.notified;
	struct pollfd fd = {.fd = source->fd, .events = source->events};

	if (poll(&fd, 1, 0) != 1)
		return false;
	source->ready(source->owner);
	return true;
}

bool board_round(struct board *board, unsigned limit)
{
	const bool served = loop_round(board);

	return workers_round(limit) || served;
}

bool board_drain(struct board *board)
{
	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		if (!board_round(board, UINT32_MAX))
			return true;
	}
	return false;
}

/* ---- what has to hold ---- */

/* Counts the doorbells that a queue must have, each of which has to be there. */
static unsigned check_bells(struct board *board, unsigned i, unsigned queue)
{
	const int fd = board->device[i]->queue[queue].notify_fd;
	const u64 offset = 4 * (u64)queue;
	u64 memory, io;

	if (!board->setup.pci) {
		FUZZ_CHECK(wires_has_bell(&board->wires, fd, false, board->by_mmio[i].base + 0x50));
		return 1;
	}
	memory = pci_bar_address(&board->by_pci[i].function, 0);
	io = pci_bar_address(&board->by_pci[i].function, 1);
	if (memory)
		FUZZ_CHECK(wires_has_bell(&board->wires, fd, false,
					  memory + VIRTIO_PCI_NOTIFY + offset));
	if (io)
		FUZZ_CHECK(wires_has_bell(&board->wires, fd, true, io + offset));
	return (memory ? 1U : 0) + (io ? 1U : 0);
}

static void check_messages(struct board *board, unsigned i)
{
	const struct msix *msix = &board->by_pci[i].msix;

	if (board->wires.refused)
		return;
	for (unsigned v = 0; v < msix->vectors; v++) {
		const struct msix_entry *entry = &msix->entry[v];
		const u32 gsi = msix->first_gsi + v;
		const bool open = msix->enabled && !msix->all_masked &&
				  !(entry->dword[PCI_MSIX_ENTRY_VECTOR_CTRL / 4] &
				    PCI_MSIX_ENTRY_CTRL_MASKBIT);

		FUZZ_CHECK(board->wires.interrupt[gsi].joined == open);
		if (!open)
			continue;
		FUZZ_CHECK(board->wires.interrupt[gsi].fd == msix->fd[v]);
		FUZZ_CHECK(board->wires.interrupt[gsi].data ==
			   entry->dword[PCI_MSIX_ENTRY_DATA / 4]);
		FUZZ_CHECK(board->wires.interrupt[gsi].address ==
			   ((u64)entry->dword[PCI_MSIX_ENTRY_UPPER_ADDR / 4] << 32 |
			    entry->dword[PCI_MSIX_ENTRY_LOWER_ADDR / 4]));
	}
}

static void check_lines(const struct board *board)
{
	bool level[PCI_LINES] = {false};

	for (unsigned i = 0; i < BOARD_DEVICES; i++) {
		const struct virtio_pci *pci = &board->by_pci[i];
		const bool off = pci->msix.enabled ||
				 (pci->function.config[PCI_COMMAND / 4] & PCI_COMMAND_INTX_DISABLE);

		if (!off && atomic_load(&board->device[i]->isr))
			level[pci->function.slot % PCI_LINES] = true;
	}
	for (unsigned i = 0; i < PCI_LINES; i++)
		FUZZ_CHECK(board->level[i] == level[i]);
}

static void check_device(const struct virtio_device *device)
{
	const u8 status = device->regs.status;

	FUZZ_CHECK(!(status & VIRTIO_DRIVER_OK) || (status & VIRTIO_FEATURES_OK));
	FUZZ_CHECK(device->state != VIRTIO_RUNNING || (status & VIRTIO_DRIVER_OK));
	FUZZ_CHECK(!(status & VIRTIO_FEATURES_OK) ||
		   !(device->regs.driver_features & ~device->features));
	for (unsigned q = 0; q < device->queues; q++) {
		const u16 size = device->regs.queue[q].size;

		FUZZ_CHECK(size && size <= device->queue_size_max && !(size & (size - 1)));
		FUZZ_CHECK(!virtq_started(&device->queue[q]) || device->regs.queue[q].enabled);
	}
}

void board_check(struct board *board)
{
	unsigned bells = 0;

	guest_check();
	if (board->setup.pairs)
		network_check(board);
	for (unsigned i = 0; i < BOARD_DEVICES; i++) {
		const struct virtio_device *device = board->device[i];

		check_device(device);
		for (unsigned q = 0; q < device->queues; q++) {
			if (device->state == VIRTIO_RUNNING && virtq_started(&device->queue[q]))
				bells += check_bells(board, i, q);
		}
		if (board->setup.pci)
			check_messages(board, i);
	}
	FUZZ_CHECK(board->wires.bells == bells);
	if (board->setup.pci)
		check_lines(board);
}
