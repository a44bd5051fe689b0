/*
 * Reading and writing of descriptors: one pair of system calls for all that is done once the guest runs.
 *
 * preadv2(2) and pwritev2(2) do what read(2), write(2) and their relatives do, so that a filter
 * (sandbox.h) lets through two calls in the place of six. By their numbers, for not every C library has
 * them.
 */
#ifndef BANTAM_VMM_READWRITE_H
#define BANTAM_VMM_READWRITE_H

#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* readv(2) and writev(2) at an offset; -1: where the file is, or of what has no places. */
static inline ssize_t io_readv(int fd, const struct iovec *piece, unsigned pieces, long offset)
{
	return syscall(SYS_preadv2, fd, piece, pieces, offset, 0L, 0);
}

static inline ssize_t io_writev(int fd, const struct iovec *piece, unsigned pieces, long offset,
				int flags)
{
	return syscall(SYS_pwritev2, fd, piece, pieces, offset, 0L, flags);
}

/* read(2) and write(2). */
static inline ssize_t io_read(int fd, void *to, size_t bytes)
{
	return io_readv(fd, &(const struct iovec){to, bytes}, 1, -1);
}

static inline ssize_t io_write(int fd, const void *from, size_t bytes)
{
	return io_writev(fd, &(const struct iovec){(void *)(uintptr_t)from, bytes}, 1, -1, 0);
}

#endif
