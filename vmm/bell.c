/*
 * A bell: see bell.h.
 */
#include "vmm/bell.h"

#include <sys/eventfd.h>

#include "vmm/readwrite.h"

int bell_open(struct error *err)
{
	const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd >= 0 ? fd : error_errno(err, "cannot create an event descriptor");
}

void bell_ring(int fd)
{
	const u64 one = 1;

	/* It fails only when the counter is full, and then the bell is ringing already. */
	(void)!io_write(fd, &one, sizeof(one));
}

bool bell_silence(int fd)
{
	u64 rings;

	return io_read(fd, &rings, sizeof(rings)) == sizeof(rings);
}
