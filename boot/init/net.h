/* The guest's network, as the configuration wants it. */
#ifndef BOOT_INIT_NET_H
#define BOOT_INIT_NET_H

#include "boot/init/config.h"

/*
 * Starts lo and, if there is an address, eth0 with it and the gateway; waits up to NET_WAIT_MS for
 * the device. Writes /etc/hostname, /etc/hosts and /etc/resolv.conf where they are missing. What
 * can't be done is noted: COMMAND runs all the same.
 */
enum { NET_WAIT_MS = 5000 };
void net_start(const struct init_config *config);

/* Whether text is A.B.C.D, an address that *address holds afterwards in network byte order. */
bool net_parse(char *text, u32 *address);

#endif
