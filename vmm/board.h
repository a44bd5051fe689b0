/*
 * The board: which devices the machine has, and where they sit.
 *
 * This is the one place that knows both the machine and its devices. It joins them: addresses on
 * the buses, interrupt lines, the host's end of the console, and what the ACPI tables say of it.
 */
#ifndef BANTAM_VMM_BOARD_H
#define BANTAM_VMM_BOARD_H

#include "boot/acpi.h"
#include "devices/button.h"
#include "devices/power.h"
#include "devices/pvpanic.h"
#include "devices/serial.h"
#include "vmm/console.h"
#include "vmm/virtio_board.h"

struct machine;

struct board {
	struct serial com1;
	struct power power;
	struct pvpanic pvpanic;
	struct irq_line button;
	struct console console;
	struct virtio_board virtio;
};

/* Makes a board that board_close() can close, of memory that is all zero: most of it stays untouched. */
void board_init(struct board *board);

/* Puts the devices on the machine's buses. Returns 0, or -1 with err set. */
int board_attach(struct board *board, struct machine *machine, struct error *err);

/*
 * Opens the host's end of the console; stdin and files are touched only here. virtio_board_open()
 * starts the threads, later. As above.
 */
int board_open(struct board *board, struct machine *machine, struct error *err);

/* What the ACPI tables have to say of the board. */
struct acpi_machine board_acpi(struct board *board, const struct machine *machine);

/* Puts the devices into the state of a machine that was just switched on. */
void board_reset(struct board *board);

/* The interrupt that the device of this name raises, or -1. */
int board_gsi(const struct board *board, const char *device);

/*
 * Stops what devices have under way, so that nothing touches guest memory any more. The vCPUs don't
 * run. Returns 0, or -1 with err set when the host doesn't finish.
 */
int board_quiesce(struct board *board, struct error *err);

/* Returns false when I/O hangs that may still touch guest memory, which has to stay then. */
bool board_close(struct board *board);

#endif
