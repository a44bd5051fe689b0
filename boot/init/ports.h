/* The three ports of the virtio console that carry the run. */
#ifndef BOOT_INIT_PORTS_H
#define BOOT_INIT_PORTS_H

#include "vmm/types.h"

enum port { PORT_STDIO, PORT_STDERR, PORT_CONTROL, PORTS };

/*
 * Opens the ports, without waiting on reads and writes, when they have appeared and the host has
 * them open. Returns NULL, or what is missing: the
 * driver at once, a port by its name after PORTS_WAIT_MS.
 */
enum { PORTS_WAIT_MS = 10000 };
const char *ports_open(int fd[PORTS]);

/* The next pause of a wait in milliseconds: they grow, so that most waits are short. */
int pause_next(int pause_ms);

#endif
