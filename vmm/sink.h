/*
 * A descriptor that is written to without ever blocking, and without harm to others.
 *
 * O_NONBLOCK on stdout would be seen by every process that shares it (the user's shell among
 * them). So a terminal or a pipe is opened anew through /proc/self/fd; where that fails, each write
 * is as small as poll's promise (PIPE_BUF for a pipe, else one byte) and is preceded by a poll
 * that says POLLOUT. Regular files never block and sockets have MSG_DONTWAIT.
 */
#ifndef BANTAM_VMM_SINK_H
#define BANTAM_VMM_SINK_H

#include <sys/types.h>

#include "vmm/types.h"

struct sink {
	int fd;     /* -1: none */
	bool owned; /* fd is closed with the sink */
	bool is_socket;
	bool polls;       /* each write is preceded by a poll */
	size_t max_bytes; /* the most that is written at once */
};

/* Makes a sink of somebody else's descriptor, which stays open and as it is. */
void sink_borrow(struct sink *sink, int fd);

/* Opens a file, created or emptied, as a sink. Returns 0, or -1 with errno set; a FIFO without a
 * reader is ENXIO. */
int sink_open(struct sink *sink, const char *path);

/* As write(2): fewer bytes than asked for are no error, and EAGAIN means that poll(2) may help. A
 * signal doesn't end it. */
ssize_t sink_write(const struct sink *sink, const void *bytes, size_t count);

void sink_close(struct sink *sink);

#endif
