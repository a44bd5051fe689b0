/*
 * A network behind a tap: see net_port.h.
 *
 * The kernel reads and writes virtio's header itself (IFF_VNET_HDR), so that a frame is one
 * readv(2) or writev(2) of the guest's own buffers, and segments of up to 64 KiB cross in one piece.
 * With several queues the kernel deals flows out to those that are attached.
 *
 * A tap that exists may be opened by its owner without any right; creating one takes CAP_NET_ADMIN.
 * One that was created here goes away with the process, and is switched on. Where one is deleted and
 * made anew by somebody else, its only queue joins it again; several don't.
 *
 * Source: Linux Documentation/networking/tuntap.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/if.h>

#include "devices/virtio/net_port.h"
#include "vmm/readwrite.h"
#include "vmm/sandbox.h"

SANDBOX_CALLS(net_tap, CALL(preadv2, SANDBOX_NET, "frames from a tap"),
	      CALL(pwritev2, SANDBOX_NET, "frames to a tap"),
	      CALL(ioctl, SANDBOX_ALL, "offloads", IS(1, TUNSETOFFLOAD)),
	      CALL(ioctl, SANDBOX_ALL, "queues", IS(1, TUNSETQUEUE)),
	      CALL(ioctl, SANDBOX_CONNECT, "is a tap there again", IS(1, SIOCGIFINDEX)),
	      CALL(ioctl, SANDBOX_CONNECT, "joins it", IS(1, TUNSETIFF)),
	      CALL(ioctl, SANDBOX_CONNECT, "joins it", IS(1, TUNSETVNETHDRSZ)));

/* By its number: C libraries differ in the type of ioctl(2)'s request. */
static int control(int fd, unsigned long request, const void *argument)
{
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

/* Returns an errno that means something to the caller; a tap that was deleted has none. */
static int result(ssize_t count)
{
	if (count >= 0)
		return (int)count;
	return errno == EINTR ? -EAGAIN : errno == EBADFD ? -ENOLINK : -errno;
}

static int receive(struct net_port *port, const struct iovec *piece, unsigned pieces)
{
	return result(io_readv(port->fd, piece, pieces, -1));
}

static int send_frame(struct net_port *port, const struct iovec *piece, unsigned pieces, u32 bytes)
{
	int sent;

	if (bytes > NET_HEADER_BYTES + (u32)NET_TAP_MAX)
		return -EMSGSIZE;
	sent = result(io_writev(port->fd, piece, pieces, -1, 0));
	return sent > 0 ? 0 : sent;
}

static void set_offloads(struct net_port *port, u32 offloads)
{
	atomic_store(&port->offloads, offloads);
	/* The kernel takes both or none. */
	if ((offloads & NET_TAP_USO) != NET_TAP_USO)
		offloads &= ~NET_TAP_USO;
	(void)syscall(SYS_ioctl, atomic_load(&port->fd), TUNSETOFFLOAD, (unsigned long)offloads);
}

static void attach(struct net_port *port, bool attach_it)
{
	struct ifreq request = {.ifr_flags =
					(short)(attach_it ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE)};

	(void)control(port->fd, TUNSETQUEUE, &request);
}

static const struct net_port_ops tap_ops = {
	.receive = receive, .send = send_frame, .set_offloads = set_offloads, .attach = attach};

/* A question about an interface. */
static bool ask(unsigned long what, struct ifreq *request)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const bool good = fd >= 0 && control(fd, what, request) == 0;
	const int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return good;
}

/* What the kernel can do for this tap. */
static int look(struct net_backend *backend, const char *name, struct error *err)
{
	static const u32 choices[] = {NET_TAP_OFFLOADS, NET_TAP_OFFLOADS & ~NET_TAP_USO, 0};
	struct ifreq request = {.ifr_name = ""};
	size_t choice = 0;

	memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	if (ask(SIOCGIFMTU, &request))
		backend->mtu = (u16)request.ifr_mtu;
	while (choices[choice] && syscall(SYS_ioctl, atomic_load(&backend->port[0].fd),
					  TUNSETOFFLOAD, (unsigned long)choices[choice]))
		choice++;
	backend->offloads = choices[choice];
	backend->header = true;
	for (unsigned i = 0; i < backend->pairs; i++) {
		const int bytes = NET_HEADER_BYTES, fd = backend->port[i].fd;

		set_offloads(&backend->port[i], 0);
		if (control(fd, TUNSETVNETHDRSZ, &bytes) || fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK))
			return error_set(err, "cannot set up the tap '%s': %s", name,
					 strerror(errno));
	}
	return 0;
}

static int explain(const char *name, unsigned queues, bool exists, struct error *err)
{
	const char *const multi = queues > 1 ? " multi_queue" : "";

	if (errno == EBUSY)
		return error_set(err, "tap '%s' is busy: another program has it open", name);
	if (errno == EINVAL && exists)
		return error_set(err,
				 "'%s' is no tap%s that can be opened so; make one with 'ip tuntap "
				 "add dev %s mode tap%s user $USER'",
				 name, queues > 1 ? " with several queues" : "", name, multi);
	if (errno == EPERM || errno == EACCES)
		return error_set(err,
				 "tap '%s' %s; as root, say 'ip tuntap add dev %s mode tap%s user "
				 "$USER' and 'ip link set %s up'",
				 name, exists ? "is not yours" : "doesn't exist", name, multi,
				 name);
	return error_set(err, "cannot open the tap '%s': %s", name, strerror(errno));
}

static int open_queue(struct net_port *port, struct ifreq *request)
{
	port->ops = &tap_ops;
	port->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return port->fd < 0 ? -1 : control(port->fd, TUNSETIFF, request);
}

int net_tap_open(struct net_backend *backend, const char *name, unsigned queues, struct error *err)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR}, flags;
	bool exists;

	if (strlen(name) >= IFNAMSIZ)
		return error_set(err, "tap '%s': a name has %d letters at most", name,
				 IFNAMSIZ - 1);
	memcpy(request.ifr_name, name, strlen(name));
	flags = request;
	exists = ask(SIOCGIFFLAGS, &flags);
	if (access("/dev/net/tun", R_OK | W_OK))
		return error_set(err, "no taps here: /dev/net/tun: %s", strerror(errno));
	backend->pairs = queues;
	if (queues > 1)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	for (unsigned i = 0; i < queues; i++) {
		struct net_port *port = &backend->port[i];

		if (open_queue(port, &request) == 0)
			continue;
		/* One queue of a tap that was made for several is opened like all of them. */
		request.ifr_flags |= IFF_MULTI_QUEUE;
		if (queues > 1 || errno != EINVAL || control(port->fd, TUNSETIFF, &request))
			return explain(name, queues, exists, err);
	}
	if (!exists && ask(SIOCGIFFLAGS, &request)) {
		request.ifr_flags |= IFF_UP;
		ask(SIOCSIFFLAGS, &request);
	}
	return look(backend, name, err);
}

bool net_tap_again(int asking, int fd, const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	struct ifreq question;
	const int bytes = NET_HEADER_BYTES;

	memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	question = request;
	return control(asking, SIOCGIFINDEX, &question) == 0 &&
	       control(fd, TUNSETIFF, &request) == 0 && control(fd, TUNSETVNETHDRSZ, &bytes) == 0;
}

bool net_tap_is(int fd)
{
	struct ifreq request = {.ifr_flags = 0};

	return control(fd, TUNGETIFF, &request) == 0;
}

int net_tap_adopt(struct net_backend *backend, int fd, struct error *err)
{
	const short wanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq request = {.ifr_flags = 0};

	backend->port[0].ops = &tap_ops;
	backend->port[0].fd = fd;
	if (control(fd, TUNGETIFF, &request) || (request.ifr_flags & wanted) != wanted)
		return error_set(err,
				 "the tap '%s' was not opened as IFF_TAP | IFF_NO_PI | "
				 "IFF_VNET_HDR",
				 request.ifr_name);
	return look(backend, request.ifr_name, err);
}
