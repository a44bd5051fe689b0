/*
 * A descriptor that is written to without ever blocking: see sink.h.
 */
#include "vmm/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/readwrite.h"
#include "vmm/sandbox.h"

/* Without a length there is no address; the address itself has more bits than a filter looks at. */
SANDBOX_CALLS(sink, CALL(pwritev2, SANDBOX_ALL, "the console, the trace, bells"),
	      CALL(sendto, SANDBOX_SOCKET, "the console or the trace, where it is one", IS(5, 0)),
	      CALL(poll, SANDBOX_VCPU | SANDBOX_WORKER, "a trace whose reader is slow"));

enum { WRITE_MAX_BYTES = 16384 };

void sink_borrow(struct sink *sink, int fd)
{
	struct stat status;
	char path[32];
	int own;

	*sink = (struct sink){.fd = fd, .max_bytes = WRITE_MAX_BYTES};
	if (fstat(fd, &status) || S_ISREG(status.st_mode))
		return;
	sink->is_socket = S_ISSOCK(status.st_mode);
	if (sink->is_socket)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own >= 0) {
		sink->fd = own;
		sink->owned = true;
		return;
	}
	sink->polls = true;
	sink->max_bytes = S_ISFIFO(status.st_mode) ? PIPE_BUF : 1;
}

int sink_open(struct sink *sink, const char *path)
{
	*sink = (struct sink){.owned = true, .max_bytes = WRITE_MAX_BYTES};
	sink->fd =
		open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
	return sink->fd < 0 ? -1 : 0;
}

ssize_t sink_write(const struct sink *sink, const void *bytes, size_t count)
{
	struct pollfd ready = {.fd = sink->fd, .events = POLLOUT};
	ssize_t done;

	if (count > sink->max_bytes)
		count = sink->max_bytes;
	do {
		errno = EAGAIN;
		if (sink->polls && poll(&ready, 1, 0) <= 0)
			done = -1;
		else if (sink->is_socket)
			done = send(sink->fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			done = io_write(sink->fd, bytes, count);
	} while (done < 0 && errno == EINTR);
	return done;
}

void sink_close(struct sink *sink)
{
	if (sink->owned && sink->fd >= 0)
		close(sink->fd);
	sink->fd = -1;
}
