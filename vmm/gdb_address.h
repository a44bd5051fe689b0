/*
 * Where a debugger connects: --gdb's [ADDR:]PORT, or a path, which has a slash. Without ADDR it is the
 * loopback; an IPv6 address stands in brackets. Names aren't looked up.
 */
#ifndef BANTAM_VMM_GDB_ADDRESS_H
#define BANTAM_VMM_GDB_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmm/error.h"

union gdb_address {
	struct sockaddr any;
	struct sockaddr_in ip4;
	struct sockaddr_in6 ip6;
	struct sockaddr_un path;
};

/* Returns 0, or -1 with err set: value is neither, or the port isn't from 1 to 65535. */
int gdb_address_parse(const char *value, union gdb_address *address, struct error *err);

/* How many bytes of it bind(2) looks at. */
socklen_t gdb_address_bytes(const union gdb_address *address);

#endif
