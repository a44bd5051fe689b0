/*
 * A network behind a stream socket: see net_port.h.
 *
 * The framing is that of passt, of QEMU's "-netdev stream" and of gvproxy: each frame stands behind
 * its length, 32 bits in network byte order. One readv(2) takes a frame straight into the guest's
 * buffers and the length of the next one with it, so that a frame in company costs one system call.
 *
 * A frame that the socket took in part must be finished, or the peer loses its place: its end is
 * copied, once and one frame at most, and goes first when there is room again. A peer that sends a
 * length that no frame has can't be followed any more, and counts as gone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/virtio/net_port.h"
#include "devices/virtio/queue.h"
#include "vmm/readwrite.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(net_stream, CALL(preadv2, SANDBOX_NET, "frames from a socket"),
	      CALL(pwritev2, SANDBOX_NET, "frames to a socket"),
	      CALL(close, SANDBOX_NET, "a connection whose peer is gone"),
	      CALL(socket, SANDBOX_CONNECT, "a connection is made again", IS(0, AF_UNIX)),
	      CALL(connect, SANDBOX_CONNECT, "for that"));

enum { PREFIX_BYTES = 4 };

/* What a read or write that gave `count` means when it isn't above 0. */
static int why(ssize_t count)
{
	return count < 0 && (errno == EAGAIN || errno == EINTR) ? -EAGAIN : -ENOLINK;
}

static int receive(struct net_port *port, const struct iovec *piece, unsigned pieces)
{
	struct iovec part[NET_PIECES_MAX + 1];
	u8 next[PREFIX_BYTES];
	u32 length;
	unsigned parts;
	ssize_t count;

	while (port->prefix_got < PREFIX_BYTES) {
		count = io_read(port->fd, port->prefix + port->prefix_got,
				PREFIX_BYTES - port->prefix_got);
		if (count <= 0)
			return why(count);
		port->prefix_got += (u32)count;
	}
	memcpy(&length, port->prefix, sizeof(length));
	length = ntohl(length);
	if (length < NET_FRAME_MIN || length > NET_FRAME_MAX)
		return -ENOLINK;
	parts = virtq_cut(part, piece, pieces, NET_HEADER_BYTES + (size_t)port->got,
			  length - port->got);
	part[parts++] = (struct iovec){.iov_base = next, .iov_len = sizeof(next)};
	count = io_readv(port->fd, part, parts, -1);
	if (count <= 0)
		return why(count);
	port->got += (u32)count;
	if (port->got < length)
		return -EAGAIN;
	port->prefix_got = port->got - length;
	memcpy(port->prefix, next, port->prefix_got);
	port->got = 0;
	return (int)(NET_HEADER_BYTES + length);
}

static int flush(struct net_port *port)
{
	while (port->kept) {
		const ssize_t count = io_write(port->fd, port->rest + port->rest_at, port->kept);

		if (count <= 0)
			return why(count);
		port->rest_at += (u32)count;
		port->kept -= (u32)count;
	}
	return 0;
}

static int send_frame(struct net_port *port, const struct iovec *piece, unsigned pieces, u32 bytes)
{
	const u32 length = bytes - NET_HEADER_BYTES, prefix = htonl(length);
	struct iovec part[NET_PIECES_MAX + 1];
	struct virtio_net_hdr_v1 header;
	unsigned parts;
	ssize_t count;
	int error;

	virtq_copy(piece, pieces, 0, &header, sizeof(header), false);
	/* Nobody behind a socket finishes a checksum or cuts segments, and nothing offered that. */
	if (length < NET_FRAME_MIN || length > NET_FRAME_MAX || header.flags || header.gso_type)
		return -EINVAL;
	error = flush(port);
	if (error)
		return error;
	part[0] = (struct iovec){.iov_base = (void *)(uintptr_t)&prefix, .iov_len = sizeof(prefix)};
	parts = 1 + virtq_cut(part + 1, piece, pieces, NET_HEADER_BYTES, length);
	count = io_writev(port->fd, part, parts, -1, 0);
	if (count <= 0)
		return why(count);
	port->kept = length + PREFIX_BYTES - (u32)count;
	port->rest_at = 0;
	virtq_copy(part, parts, (u32)count, port->rest, port->kept, false);
	return 0;
}

static const struct net_port_ops stream_ops = {
	.receive = receive, .send = send_frame, .flush = flush};

int net_stream_adopt(struct net_backend *backend, int fd, struct error *err)
{
	struct net_port *port = &backend->port[0];

	backend->pairs = 1;
	port->ops = &stream_ops;
	port->fd = fd;
	port->rest = malloc(NET_FRAME_MAX + PREFIX_BYTES);
	if (!port->rest)
		return error_set(err, "no memory for the network");
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK))
		return error_set(err, "cannot use descriptor %d: %s", fd, strerror(errno));
	return 0;
}

int net_stream_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

void net_port_hang_up(struct net_port *port)
{
	if (port->fd >= 0)
		close(port->fd);
	port->fd = -1;
	port->prefix_got = port->got = port->kept = 0;
}

void net_backend_init(struct net_backend *backend)
{
	*backend = (struct net_backend){.pairs = 1};
	for (unsigned i = 0; i < NET_PAIRS_MAX; i++)
		backend->port[i].fd = -1;
}

void net_backend_close(struct net_backend *backend)
{
	for (unsigned i = 0; i < NET_PAIRS_MAX; i++) {
		net_port_hang_up(&backend->port[i]);
		free(backend->port[i].rest);
	}
	net_backend_init(backend);
}
