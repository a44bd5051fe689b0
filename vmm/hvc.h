/*
 * The guest's console as port 0 of its virtio console (hvc0), joined to the host's end of it.
 *
 * Linux waits with interrupts off until the device has taken what it writes there, so nothing ever
 * waits here: what finds the host's end full is dropped and counted by it. Keys lie here until the
 * guest has room for them.
 */
#ifndef BANTAM_VMM_HVC_H
#define BANTAM_VMM_HVC_H

#include <pthread.h>

#include "devices/virtio/console.h"
#include "vmm/console.h"

enum { HVC_KEYS = 256 };

struct hvc {
	struct vconsole *device; /* NULL: not in use */
	struct console *console;
	pthread_mutex_t lock; /* guards what follows: the main thread fills, the worker empties */
	u8 key[HVC_KEYS];
	size_t keys;
	bool asked; /* the console knows that the guest takes keys */
};

/* Makes port 0 of the device, which isn't open yet. */
void hvc_init(struct hvc *hvc, struct vconsole *device, struct console *console);

/* For the console. */
struct console_device hvc_console_device(struct hvc *hvc);

void hvc_close(struct hvc *hvc);

#endif
