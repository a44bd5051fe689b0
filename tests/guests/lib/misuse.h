/*
 * What the hostile guests for consoles, networks and file systems share: one device, chains that are
 * offered to it and have to come back, and a table of cases. (hostile.h has disks', whose one request
 * is always the same.)
 *
 * Each case breaks one rule, and starts behind a reset. After it the device has to serve well at once,
 * or behind a reset if the case says that it spoilt something (`spoilt`), as wait_broken() does.
 *
 * Printed is one line a case; WRONG in it is what the host looks for. A chain that never comes back
 * hangs the guest, and the host's time-out ends it: the last line tells which case it was.
 */
#ifndef GUEST_MISUSE_H
#define GUEST_MISUSE_H

#include "virtio.h"

#define HOLE         0xd0000000ull /* no memory, no device */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct misuse {
	const char *name;
	void (*run)(void);
};

extern struct virtio v;
extern bool spoilt;

void describe(u16 queue, u16 n, const void *address, u32 length, u32 flags, u16 next);

/* From a reset to DRIVER_OK, with these queues (bits) and these features of those offered. */
void begin(u64 features, u32 queues);

bool is_broken(void);
void wait_broken(void);

/* Offers a chain and waits until it comes back: the length, or ~0 when the device is broken. */
u32 offer_to(u16 queue, u16 head);
/* The same with the chain at descriptor 0, of which nothing may be written. */
void refuse(u16 queue);

/*
 * Runs the cases, or with case=N on the command line that one, and says how many at the end.
 * restart: to a device that works; good_service: asks it for what it is there for.
 */
void misuse_run(const char *guest, const struct misuse *cases, u32 count, void (*restart)(void),
		void (*good_service)(u32 number));

#endif
