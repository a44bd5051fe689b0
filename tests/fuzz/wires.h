/*
 * The kernel's wires (vmm/wiring.h) for fuzzers. As in KVM, a doorbell where another of the same
 * kind is laid is refused, and joining or parting an eventfd delivers what it counted. Whoever
 * lays a doorbell twice, takes away what he hasn't laid, joins what is joined or parts what isn't,
 * breaks a promise.
 *
 * An input may have single calls refused, as a kernel without memory would: a doorbell that was
 * refused is taken away all the same, an interrupt that was refused is not joined.
 */
#ifndef BANTAM_TESTS_FUZZ_WIRES_H
#define BANTAM_TESTS_FUZZ_WIRES_H

#include "vmm/wiring.h"

enum { WIRES_BELLS_MAX = 256, WIRES_GSIS = 64 };

struct wires {
	struct wiring wiring;
	/* Bit n: the n-th call from now on is refused. Gone after 32 calls. */
	u32 refuse;
	bool refused; /* one was */
	struct {
		struct doorbell bell;
		bool rings; /* it wasn't refused */
	} laid[WIRES_BELLS_MAX];
	unsigned bells;
	struct {
		bool joined;
		int fd;
		u64 address;
		u32 data;
		unsigned delivered;
	} interrupt[WIRES_GSIS];
};

void wires_init(struct wires *wires);

/* The guest writes there. Returns whether a doorbell rang: then nobody else hears of the write. */
bool wires_ring(const struct wires *wires, bool io_port, u64 address, unsigned width, u64 value);

/* Whether a doorbell for fd is laid (or was refused) there. */
bool wires_has_bell(const struct wires *wires, int fd, bool io_port, u64 address);

/* How many interrupts of a number have arrived since the last call. */
unsigned wires_delivered(struct wires *wires, u32 gsi);

#endif
