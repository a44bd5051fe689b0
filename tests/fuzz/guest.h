/*
 * The guest's memory, and a watch over what devices do with it.
 *
 * The linker puts the functions here in front of virtq_pop(), virtq_push() and those beside them
 * (--wrap), so that whoever serves a queue is seen doing it: a fuzzer's own code, and the devices.
 * Checked is that
 *
 *	- a chain's pieces lie in RAM, none is empty, and their bytes add up
 *	- what is given back was taken, and each chain once; what is put back was taken last
 *	- nothing is under way any more when a queue is stopped
 *	- not a byte of memory changes but in buffers to be written of chains that are under way, and
 *	  in the used ring by the calls that write there
 *
 * For the last a shadow holds what memory should be. It follows the guest's own stores, the used
 * ring after each call, and a chain's buffers at the moment when it is given back.
 *
 * Memory is small, to be filled from an input: GUEST_LOW_BYTES at 0, GUEST_HIGH_BYTES at 4 GiB.
 */
#ifndef BANTAM_TESTS_FUZZ_GUEST_H
#define BANTAM_TESTS_FUZZ_GUEST_H

#include "devices/virtio/queue.h"

enum {
	GUEST_LOW_BYTES = 0x8000,
	GUEST_HIGH_BYTES = 0x2000,
	GUEST_BYTES = GUEST_LOW_BYTES + GUEST_HIGH_BYTES
};

/* There is one guest at a time. image: what memory begins with; the rest is zero. */
const struct memory *guest_begin(const u8 *image, size_t bytes);

/* An input's 32 bits as an address: its highest bit means the memory at 4 GiB. */
u64 guest_address(u32 value);

/* The guest stores and loads; both do nothing, and a load gives 0, where there is no RAM. */
void guest_store(u64 gpa, u64 value, unsigned width);
u64 guest_load(u64 gpa, unsigned width);
void guest_clear(u64 gpa, u64 bytes);

/* Nothing has changed but what may. */
void guest_check(void);

/* How many chains of a queue are taken and not given back. */
unsigned guest_under_way(const struct virtq *queue);

/* Whoever served the queue is gone. */
void guest_forget(const struct virtq *queue);

#endif
