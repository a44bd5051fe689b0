/*
 * A PCI host bridge with one bus: configuration space, and the windows of its devices' BARs.
 *
 * A function is 64 dwords of configuration space, of which the guest may change the bits that
 * `writable` has, and up to six BARs. The guest reaches the configuration by ECAM (memory-mapped)
 * or by the ports 0xcf8 and 0xcfc, and the BARs where it places them inside the bridge's windows: a BAR
 * that lies elsewhere, onto RAM or an interrupt controller, is just not there. BARs are placed
 * before the guest starts, as a firmware would, with their decoding off.
 *
 * INTx: each function has one pin, pin A; slot n leads to line n % 4.
 *
 * Locks: `lock` guards the configuration of all functions. Their hooks are called with it held; it
 * comes before a device's own lock. `intx_lock` guards the lines and comes last. A BAR's ops are
 * called without any of them, except by a function's own hook.
 *
 * Limits: bus 0 alone, single functions, 32-bit and I/O BARs; no PCI Express capability, so the
 * configuration beyond 256 bytes reads all-ones. "Bus master" is stored and means nothing.
 *
 * Source: PCI Local Bus 3.0, 3.2.2.3 and chapter 6; PCI Express 5.0, 7.2.2 "ECAM".
 */
#ifndef BANTAM_DEVICES_PCI_H
#define BANTAM_DEVICES_PCI_H

#include <pthread.h>
#include <stdatomic.h>

#include "boot/aml.h"
#include "vmm/bus.h"
#include "vmm/irq.h"

enum { PCI_BAR_DWORD = 4 }; /* the first BAR's place in the configuration */
enum { PCI_SLOTS = 32, PCI_BARS = 6, PCI_CONFIG_DWORDS = 64, PCI_LINES = 4 };

#define PCI_ADDRESS_PORT ((u64)0xcf8)
#define PCI_DATA_PORT    ((u64)0xcfc)

/* The window of I/O ports for BARs. */
#define PCI_PORTS_BASE  ((u64)0x1000)
#define PCI_PORTS_BYTES ((u64)0xf000)

#define PCI_ECAM_BYTES ((u64)1 << 20) /* one bus */

struct pci_bar {
	const char *name; /* the function's */
	u32 bytes;        /* a power of two; 0: there is none */
	bool io_port;
	u32 first; /* added to the offsets that ops get: two BARs may show the same registers */
	const struct bus_ops *ops;
	void *device;
};

/* All optional, and called with the host's lock held. */
struct pci_hooks {
	/* The guest reads dword `index`: what it gets instead of config[index]. */
	u32 (*read)(void *owner, unsigned index, u32 stored);
	/* The guest has written dword `index`. */
	void (*written)(void *owner, unsigned index);
	/* A BAR was moved, or its decoding switched: see pci_bar_address(). */
	void (*placed)(void *owner);
};

struct pci_function {
	const char *name;
	u32 config[PCI_CONFIG_DWORDS];
	u32 writable[PCI_CONFIG_DWORDS];
	struct pci_bar bar[PCI_BARS];
	const struct pci_hooks *hooks;
	void *owner;
	/* INTx is asserted while this isn't 0; NULL: never. */
	const atomic_uint *intx_source;
	atomic_bool intx_off; /* MSI-X is on */

	/* The host's own. */
	struct pci_host *host;
	unsigned slot;
	u8 last_capability, capabilities_end; /* offsets in the configuration space */
	u32 power_on[PCI_CONFIG_DWORDS];      /* config as it was before the guest */
	atomic_bool intx_disabled;            /* by the command register */
	atomic_bool intx_high;                /* changed under intx_lock */
};

/* A range of one of the buses in which BARs answer. */
struct pci_window {
	struct pci_host *host;
	bool io_port;
	u64 base, bytes;
	u64 next; /* where the next BAR is placed */
};

struct pci_host {
	pthread_mutex_t lock, intx_lock;
	u32 address; /* the register at 0xcf8 */
	struct pci_function bridge;
	struct pci_function *slot[PCI_SLOTS];
	unsigned slots; /* used, the bridge's included */
	struct pci_window memory, ports;
	struct irq_line line[PCI_LINES];
};

/* Where the host has its windows and lines. */
struct pci_layout {
	u64 ecam_base, memory_base, memory_bytes;
	struct irq_line line[PCI_LINES];
};

/* Prepares the host and puts it on the buses. Returns 0, or -1 with err set. */
int pci_init(struct pci_host *host, const struct pci_layout *layout, struct bus *pio,
	     struct bus *mmio, struct error *err);
void pci_destroy(struct pci_host *host);

/* Everything as at power-on. The guest doesn't run. */
void pci_reset(struct pci_host *host);

/* The address register, which is shared with the reset control (devices/power.h). */
u32 pci_read_address(void *host);
void pci_write_address(void *host, u32 value);

/* Starts a function's header: identity, and a pin. class: 24 bits. */
void pci_function_init(struct pci_function *function, const char *name, u16 vendor, u16 device,
		       u32 class);

/* Describes BAR `index`. bytes: a power of two, at least 16 (I/O: at least 4, at most 256). */
void pci_add_bar(struct pci_function *function, unsigned index, const struct pci_bar *bar);

/*
 * Adds a capability of `bytes` at the end of the list, its first two bytes left out of body.
 * Returns its offset in the configuration space. There is room for all that fit into 192 bytes.
 */
u8 pci_add_capability(struct pci_function *function, u8 id, const void *body, u8 bytes);

/* Puts the function into the next slot and places its BARs. Returns 0, or -1 with err set. */
int pci_add(struct pci_host *host, struct pci_function *function, struct error *err);

/* Where the BAR answers now, or 0: it isn't decoded, or lies outside the window. Lock held. */
u64 pci_bar_address(const struct pci_function *function, unsigned index);

/* Sets the function's INTx as its source and switches have it. */
void pci_update_intx(struct pci_function *function);

/* The GSI of a slot's interrupt pin. */
u32 pci_slot_gsi(const struct pci_host *host, unsigned slot);

/* Describes the bridge, its windows and the interrupts' routing, in the scope \_SB. */
void pci_describe(const struct pci_host *host, struct aml *aml, u64 ecam_base);

#endif
