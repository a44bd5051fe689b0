/*
 * What the hostile-*.c guests share. Each of their cases breaks one rule that the specification
 * has for drivers, looks at what comes of it, and then asks for good service: a read that must
 * succeed, behind a reset only if the device has asked for one (DEVICE_NEEDS_RESET).
 *
 * A case starts from a healthy device, with a correct chain prepared at descriptor 0 (header, data,
 * status) to read REQUEST_SECTORS sectors at REQUEST_SECTOR. It spoils the chain, and what is
 * expected is in the table; or (SELF) it does all by itself.
 *
 * Printed is one line a case; WRONG in it is what the host looks for. A case that never gets an
 * answer hangs, and the host's time-out ends it: the last line tells which.
 */
#ifndef GUEST_HOSTILE_H
#define GUEST_HOSTILE_H

#include "blk.h"

#define HOLE            0xd0000000ull /* no memory, no device */
#define REQUEST_SECTOR  7
#define REQUEST_SECTORS 2
#define INDIRECT_MAX    256

enum expectation {
	REFUSED, /* the chain comes back with length 0 or an error, the data untouched */
	RESET,   /* DEVICE_NEEDS_RESET */
	SERVED,  /* it is odd, and no rule is broken: the data is read */
	ANY,     /* all the same to us; good service has to follow */
	SELF,    /* the case looks for itself */
};

struct hostile_case {
	const char *name;
	enum expectation expect;
	void (*prepare)(void);
};

struct outcome {
	bool broken; /* DEVICE_NEEDS_RESET; the rest means nothing then */
	u32 id, length;
	u8 status; /* what is in the request's status byte */
};

/* The memory of the case's one request. */
struct request {
	struct blk_header header;
	u32 guard_before[SECTOR / 4];
	u32 data[REQUEST_SECTORS * SECTOR / 4];
	u32 guard_behind[SECTOR / 4];
	volatile u8 status;
	struct virtq_desc indirect[INDIRECT_MAX] __attribute__((aligned(16)));
};

extern struct virtio disk;
extern struct request request;
extern u16 head;     /* the descriptor that the case offers; 0 if it says nothing */
extern u64 ram_end;  /* of the RAM below 4 GiB */
extern u64 capacity; /* of the disk, in sectors */

void hostile_run(const char *guest, const struct hostile_case *cases, unsigned count);

/* The steps of hostile_run, for cases that do it by themselves. */
void prepare_read(void);         /* the correct chain, fresh data, status and guards */
struct outcome offer(u16 chain); /* notifies, and waits for an answer or for NEEDS_RESET */
struct outcome wait_answer(void);
void judge(enum expectation expect, const struct outcome *outcome);
void restart(void); /* reset, and all of the start */
bool good_service(void);

static inline void set_desc(u16 n, u64 address, u32 length, u32 flags, u16 next)
{
	disk.queue[0].desc[n] = (struct virtq_desc){address, length, (u16)flags, next};
}

/* Asks for the interrupt of the next answer; the cases poll all the same. */
static inline void want_interrupt(void)
{
	disk.queue[0].avail.flags = 0;
	disk.queue[0].avail.used_event = disk.queue[0].taken;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
