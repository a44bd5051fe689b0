/*
 * The virtio part of the board: see virtio_board.h.
 */
#include "vmm/virtio_board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot/x86/layout.h"
#include "vmm/board.h"
#include "vmm/machine.h"

/* Interrupts: PCI's four lines; and for virtio-mmio all pins that nobody else has. */
enum { PCI_FIRST_LINE = 16 };
static const u8 mmio_gsis[] = {5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};

/* How long is waited for I/O under way, and after how much of that people hear of it. */
enum { WORD_AFTER_MS = 1000, PATIENCE_MS = 5000 };

static bool by_pci(const struct virtio_board *board)
{
	return board->machine->config->transport == TRANSPORT_PCI;
}

static int attach_pci_host(struct virtio_board *board, struct error *err)
{
	struct machine *machine = board->machine;
	struct pci_layout layout = {.ecam_base = LAYOUT_ECAM,
				    .memory_base = LAYOUT_PCI_MEMORY,
				    .memory_bytes = LAYOUT_PCI_MEMORY_SIZE};

	for (u32 i = 0; i < PCI_LINES; i++)
		layout.line[i] = machine_irq_line(machine, PCI_FIRST_LINE + i);
	return pci_init(&board->pci, &layout, &machine->pio, &machine->mmio, err);
}

/* Joins one device to its transport. */
static int attach_slot(struct virtio_board *board, unsigned index, u32 first_message,
		       struct error *err)
{
	struct virtio_slot *slot = &board->slot[index];
	struct machine *machine = board->machine;

	slot->device->memory = &machine->memory;
	slot->device->trace = &machine->trace;
	if ((machine->report || trace_on(&machine->trace, TRACE_VIRTIO)) &&
	    virtio_device_measure(slot->device, err))
		return -1;
	if (by_pci(board))
		return virtio_pci_init(&slot->pci, slot->device, &board->pci, &board->wiring,
				       first_message, err);
	if (index >= ARRAY_LEN(mmio_gsis))
		return error_set(err,
				 "--transport mmio has room for %zu devices, of which one is "
				 "the entropy device; --transport pci takes more",
				 ARRAY_LEN(mmio_gsis));
	return virtio_mmio_init(&slot->mmio, slot->device, &machine->mmio, &board->wiring,
				LAYOUT_VIRTIO_MMIO + (u64)VIRTIO_MMIO_STRIDE * index,
				mmio_gsis[index], err);
}

static int attach_slots(struct virtio_board *board, struct error *err)
{
	u32 messages = 0;

	for (unsigned i = 0; i < board->slots; i++)
		messages += virtio_pci_vectors(board->slot[i].device);
	if (kvm_wiring_init(&board->kvm_wiring, &board->machine->vm_fd, messages,
			    &board->machine->trace, err))
		return -1;
	board->wiring = kvm_wiring(&board->kvm_wiring);
	messages = WIRING_FIRST_MESSAGE;
	for (unsigned i = 0; i < board->slots; i++) {
		if (attach_slot(board, i, messages, err))
			return -1;
		messages += virtio_pci_vectors(board->slot[i].device);
	}
	return 0;
}

static void add_device(struct virtio_board *board, struct virtio_device *device)
{
	snprintf(device->name, sizeof(device->name), "virtio%u", board->slots);
	board->slot[board->slots].mmio.interrupt_fd = -1;
	board->slot[board->slots++].device = device;
}

static int attach_console(struct virtio_board *board, struct error *err)
{
	struct machine *machine = board->machine;
	const struct config *config = machine->config;

	if (!config->command && !config->console_virtio)
		return 0;
	if (config->console_virtio)
		hvc_init(&board->hvc, &board->vconsole, &machine->board->console);
	if (config->command)
		command_open(&board->command, machine, &board->vconsole);
	if (vconsole_open(&board->vconsole, config->command ? COMMAND_PORTS : 1, err))
		return -1;
	add_device(board, &board->vconsole.device);
	return 0;
}

int virtio_board_attach(struct virtio_board *board, struct machine *machine, struct error *err)
{
	const struct config *config = machine->config;
	const unsigned devices = 3 + config->disks + config->nets + config->volumes;

	board->machine = machine;
	board->block = calloc(config->disks + 1, sizeof(*board->block));
	for (unsigned i = 0; board->block && i < config->disks; i++)
		block_init(&board->block[i]);
	board->slot = calloc(devices, sizeof(*board->slot));
	if (!board->block || !board->slot)
		return error_set(err, "no memory for the devices");
	if (rng_open(&board->rng, &machine->loop, err))
		return -1;
	add_device(board, &board->rng.device);
	for (unsigned i = 0; i < config->disks; i++) {
		if (block_open(&board->block[i], &config->disk[i], err))
			return -1;
		add_device(board, &board->block[i].device);
	}
	if (net_board_attach(&board->net, machine, err))
		return -1;
	for (unsigned i = 0; i < config->nets; i++)
		add_device(board, &board->net.net[i].device);
	if (share_board_attach(&board->share, config, err))
		return -1;
	for (unsigned i = 0; i < board->share.count; i++)
		add_device(board, &board->share.fs[i].device);
	if (attach_console(board, err))
		return -1;
	if (by_pci(board) && attach_pci_host(board, err))
		return -1;
	return attach_slots(board, err);
}

static void worker_failed(void *owner, const char *why)
{
	machine_end(owner, VERDICT_VMM_ERROR, 0, "%s", why);
}

int virtio_board_open(struct virtio_board *board, struct error *err)
{
	struct machine *machine = board->machine;
	const struct thread_setup setup = {
		.sandbox = machine->sandbox, .failed = worker_failed, .owner = machine};

	for (unsigned i = 0; i < machine->config->disks; i++) {
		const struct virtio_slot *slot = &board->slot[i + 1];
		const int *rings = by_pci(board) ? slot->pci.msix.fd : &slot->mmio.interrupt_fd;
		const unsigned count = by_pci(board) ? slot->pci.msix.vectors : 1;

		if (block_start_workers(&board->block[i], &setup, rings, count, err))
			return -1;
		if (machine->config->verbose && block_engine(&board->block[i]) == IO_THREADS)
			say("disk '%s': this host doesn't give io_uring; threads do its work",
			    machine->config->disk[i].path);
	}
	if (board->vconsole.device.class &&
	    virtio_worker_open(&board->vconsole.worker, &setup, NULL, err))
		return -1;
	if (share_board_open(&board->share, &setup, err))
		return -1;
	return net_board_open(&board->net, &setup, err);
}

void virtio_board_describe(const struct virtio_board *board, struct aml *aml)
{
	if (board->slots && by_pci(board)) {
		pci_describe(&board->pci, aml, LAYOUT_ECAM);
		return;
	}
	for (unsigned i = 0; i < board->slots; i++)
		virtio_mmio_describe(&board->slot[i].mmio, i, aml);
}

int virtio_board_gsi(const struct virtio_board *board, const char *device)
{
	for (unsigned i = 0; i < board->slots && !by_pci(board); i++) {
		if (strcmp(board->slot[i].device->name, device) == 0)
			return (int)board->slot[i].mmio.gsi;
	}
	return -1;
}

/* Asks all devices to stop, and waits until they have, timeout_ms at most for all of them. */
static bool all_quiesced(struct virtio_board *board, unsigned timeout_ms)
{
	const u64 deadline_ns = clock_now_ns() + (u64)timeout_ms * 1000000;
	bool all = true;

	for (unsigned i = 0; i < board->slots; i++) {
		struct virtio_device *device = board->slot[i].device;
		const u64 now_ns = clock_now_ns();
		const u64 left_ms = now_ns < deadline_ns ? (deadline_ns - now_ns) / 1000000 : 0;

		if (device->transport && !virtio_quiesce(device, (unsigned)left_ms))
			all = false;
	}
	return all;
}

bool virtio_board_quiesce(struct virtio_board *board)
{
	/* All are asked before any is waited for. */
	if (all_quiesced(board, 0) || all_quiesced(board, WORD_AFTER_MS))
		return true;
	say("waiting for the host: there is I/O under way");
	return all_quiesced(board, PATIENCE_MS - WORD_AFTER_MS);
}

void virtio_board_reset(struct virtio_board *board)
{
	for (unsigned i = 0; i < board->slots; i++) {
		struct virtio_slot *slot = &board->slot[i];

		virtio_power_on(slot->device);
		if (by_pci(board))
			virtio_pci_power_on(&slot->pci);
		else
			virtio_mmio_power_on(&slot->mmio);
	}
	if (by_pci(board))
		pci_reset(&board->pci);
	kvm_wiring_reset(&board->kvm_wiring);
}

bool virtio_board_close(struct virtio_board *board)
{
	const unsigned disks = board->machine ? board->machine->config->disks : 0;
	bool done = virtio_board_quiesce(board);

	for (unsigned i = 0; i < board->slots; i++)
		done = virtio_device_end(board->slot[i].device, done ? PATIENCE_MS : 0) && done;
	for (unsigned i = 0; board->block && i < disks; i++)
		done = block_close(&board->block[i], done ? PATIENCE_MS : 0) && done;
	done = net_board_close(&board->net, done ? PATIENCE_MS : 0) && done;
	done = share_board_close(&board->share, done ? PATIENCE_MS : 0) && done;
	done = virtio_device_close(&board->vconsole.device, done ? PATIENCE_MS : 0) && done;
	if (!done)
		return false;
	command_close(&board->command);
	hvc_close(&board->hvc);
	for (unsigned i = 0; i < board->slots; i++) {
		virtio_pci_destroy(&board->slot[i].pci);
		virtio_mmio_destroy(&board->slot[i].mmio);
	}
	rng_close(&board->rng);
	pci_destroy(&board->pci);
	kvm_wiring_destroy(&board->kvm_wiring);
	free(board->block);
	free(board->slot);
	*board = (struct virtio_board){.slots = 0};
	return true;
}
