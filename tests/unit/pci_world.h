/*
 * A PCI host on two buses, with functions whose BARs record what reaches them; and the two ways a
 * guest has to configuration space.
 */
#ifndef BANTAM_TESTS_UNIT_PCI_WORLD_H
#define BANTAM_TESTS_UNIT_PCI_WORLD_H

#include "devices/pci.h"

#define WORLD_ECAM         ((u64)0xe0000000)
#define WORLD_MEMORY       ((u64)0xc0000000)
#define WORLD_MEMORY_BYTES ((u64)0x100000)

enum { WORLD_FIRST_LINE = 16, WORLD_FUNCTIONS = 4 };
/* BARs 0 and 1 of each function of the world. */
enum { WORLD_BAR_MEMORY = 0x2000, WORLD_BAR_IO = 64 };

/* What a BAR saw last. */
struct bar_record {
	unsigned reads, writes;
	u64 offset, value;
	unsigned width;
	u64 answer;
};

extern const struct bus_ops bar_record_ops;

struct world_function {
	struct pci_function function;
	struct bar_record memory, io;
	atomic_uint source; /* of its INTx */
	unsigned placed, written;
	unsigned last_written;
};

struct pci_world {
	struct pci_host host;
	struct bus pio, mmio;
	struct world_function function[WORLD_FUNCTIONS]; /* in slots 1 … */
	bool level[PCI_LINES];
	unsigned edges[PCI_LINES];
};

/* The host alone, and with its functions. */
void pci_world_init(struct pci_world *world);
void pci_world_add_functions(struct pci_world *world);
void pci_world_destroy(struct pci_world *world);

/* As cmocka's set-up and tear-down, with functions. */
int pci_world_set_up(void **state);
int pci_world_tear_down(void **state);

#define PCI_TEST(test) cmocka_unit_test_setup_teardown(test, pci_world_set_up, pci_world_tear_down)

/* Configuration space by ECAM, and by the ports. width: 1, 2 or 4; slot: 5 bits and more. */
u32 ecam_read(struct pci_world *world, unsigned slot, unsigned offset, unsigned width);
void ecam_write(struct pci_world *world, unsigned slot, unsigned offset, unsigned width, u32 value);
u32 port_read(struct pci_world *world, unsigned slot, unsigned offset, unsigned width);
void port_write(struct pci_world *world, unsigned slot, unsigned offset, unsigned width, u32 value);

#endif
