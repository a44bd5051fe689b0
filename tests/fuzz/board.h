/*
 * A board with two virtio devices, the entropy device and a disk or (network.h) a network, behind
 * PCI or MMIO, for fuzzers: the real devices and transports on real buses, in front of wires (wires.h), a guest's memory
 * (guest.h) and workers (worker.h) that are watched.
 *
 * board_check() is called between any two things that happen. It checks the guest's memory, and
 * that what is laid and joined in the kernel is just what the registers say: a doorbell for each
 * running queue at each place where the BARs put it, the vectors that may interrupt and their
 * messages, the levels of the interrupt lines.
 *
 * Who waits for a device to stop (pthread_cond_timedwait(3), which the linker replaces) either lets
 * the workers do rounds until it has, or runs out of time at once, as the input wants it.
 */
#ifndef BANTAM_TESTS_FUZZ_BOARD_H
#define BANTAM_TESTS_FUZZ_BOARD_H

#include "devices/pci.h"
#include "devices/virtio/block.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/net.h"
#include "devices/virtio/pci.h"
#include "devices/virtio/rng.h"
#include "tests/fuzz/wires.h"

enum { BOARD_RNG, BOARD_BLOCK, BOARD_DEVICES, BOARD_NET = BOARD_BLOCK };

#define BOARD_ECAM         ((u64)0xe0000000)
#define BOARD_MEMORY       ((u64)0xc0000000)
#define BOARD_MEMORY_BYTES ((u64)0x100000)
#define BOARD_MMIO         ((u64)0xd0000000)

enum { BOARD_FIRST_LINE = 16, BOARD_FIRST_MESSAGE = 24, BOARD_MMIO_GSI = 5 };
enum { BOARD_SECTORS = 64 };

struct board_setup {
	bool pci, read_only, ephemeral;
	bool direct; /* the disk has a second descriptor, for aligned I/O */
	bool trace;  /* each chain is put into words, for nobody */
	unsigned queues;
	unsigned pairs; /* of queues of a network, which then is there instead of the disk; or 0 */
	bool stream;    /* and it is behind a stream socket, not a tap */
	const struct memory *memory;
};

struct board {
	struct board_setup setup;
	struct bus pio, mmio;
	struct wires wires;
	struct loop loop;
	struct trace trace;
	struct pci_host pci;
	struct rng rng;
	struct disk_config config;
	struct block block;
	struct net net;
	struct virtio_device *device[BOARD_DEVICES];
	struct virtio_pci by_pci[BOARD_DEVICES];
	struct virtio_mmio by_mmio[BOARD_DEVICES];
	bool level[PCI_LINES];
	bool patient; /* who waits for a device to stop sees it stop */
};

/* There is one board at a time. */
struct board *board_open(const struct board_setup *setup);

/* Takes it down, with all that is under way done before, and checks the image. */
void board_close(struct board *board);

/* The guest's accesses. A write rings a doorbell if there is one, and reaches a device if not. */
u64 board_read(struct board *board, bool io_port, u64 address, unsigned width);
void board_write(struct board *board, bool io_port, u64 address, unsigned width, u64 value);

/* Each device that has a reason does something; `limit` operations of a disk are done at most. */
bool board_round(struct board *board, unsigned limit);

/* Rounds until nobody has a reason. Returns false when a guest keeps them busy by itself. */
bool board_drain(struct board *board);

void board_check(struct board *board);

/* The machine starts anew. */
void board_power_on(struct board *board);

#endif
