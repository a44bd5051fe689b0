/*
 * Where a debugger connects: see gdb_address.h.
 */
#include "vmm/gdb_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "vmm/options.h"

int gdb_address_parse(const char *value, union gdb_address *address, struct error *err)
{
	const char *colon = strrchr(value, ':'), *port = colon ? colon + 1 : value;
	const bool brackets = value[0] == '[' && colon && colon[-1] == ']';
	char host[INET6_ADDRSTRLEN] = "";
	unsigned number;

	*address = (union gdb_address){.path.sun_family = AF_UNIX};
	if (strchr(value, '/')) {
		if (strlen(value) >= sizeof(address->path.sun_path))
			return error_set(err, "--gdb: the path is longer than %zu bytes",
					 sizeof(address->path.sun_path) - 1);
		memcpy(address->path.sun_path, value, strlen(value) + 1);
		return 0;
	}
	if (!options_number(port, 1, 65535, &number))
		return error_set(err, "--gdb '%s': it is [ADDR:]PORT, or a path with a '/'", value);
	if (colon && colon - value < (ptrdiff_t)sizeof(host))
		snprintf(host, sizeof(host), "%.*s", (int)(colon - value) - 2 * brackets,
			 value + brackets);
	if (brackets) {
		address->ip6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
						     .sin6_port = htons((u16)number)};
		if (inet_pton(AF_INET6, host, &address->ip6.sin6_addr) == 1)
			return 0;
	} else {
		address->ip4 = (struct sockaddr_in){.sin_family = AF_INET,
						    .sin_port = htons((u16)number),
						    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		if (!colon || inet_pton(AF_INET, host, &address->ip4.sin_addr) == 1)
			return 0;
	}
	return error_set(err, "--gdb '%s': '%.*s' is no address", value, (int)(port - value),
			 value);
}

socklen_t gdb_address_bytes(const union gdb_address *address)
{
	switch (address->any.sa_family) {
	case AF_UNIX:
		return sizeof(address->path);
	case AF_INET6:
		return sizeof(address->ip6);
	default:
		return sizeof(address->ip4);
	}
}
