/*
 * A kernel's wires (vmm/wiring.h) that only remember: which doorbells are laid, which descriptors
 * are joined to which interrupts, what their messages are, and how often somebody asked. What no
 * caller may do (laying a doorbell twice, parting what isn't joined) ends the test.
 */
#ifndef BANTAM_TESTS_UNIT_FAKE_WIRING_H
#define BANTAM_TESTS_UNIT_FAKE_WIRING_H

#include "vmm/wiring.h"

enum { FAKE_BELLS_MAX = 64, FAKE_GSIS = 32 };

/* The interrupt with the number first_gsi + index. */
struct fake_interrupt {
	bool joined;
	int fd;
	u64 address;
	u32 data;
	unsigned messages;  /* how often the message was set */
	unsigned joins;     /* and the descriptor joined */
	u64 stale;          /* what the descriptor counted when it was joined */
	unsigned delivered; /* interrupts that arrived, as far as fake_deliver() has looked */
};

struct fake_wiring {
	struct wiring wiring;
	u32 first_gsi;
	bool refuse; /* whatever is asked for */
	struct doorbell bell[FAKE_BELLS_MAX];
	unsigned bells;
	unsigned calls; /* of any kind */
	struct fake_interrupt interrupt[FAKE_GSIS];
};

void fake_wiring_init(struct fake_wiring *fake, u32 first_gsi);

/* Takes what was written to joined descriptors: each that was is one interrupt. */
void fake_deliver(struct fake_wiring *fake);

/* What KVM does with a guest's write: rings the doorbell that is laid there. False: there is none. */
bool fake_ring(struct fake_wiring *fake, bool io_port, u64 address, unsigned width, u64 value);

#endif
