/* The guest's network; netdevice(7). */
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/in.h>
#include <linux/route.h>
#include <linux/sockios.h>
#include <string.h>

#include "boot/init/init.h"
#include "boot/init/sys.h"

enum { WAIT_MS = 5000, PAUSE_MS = 2 };

bool net_parse(char *text, u32 *address)
{
	u64 number = 0;

	*address = 0;
	for (int shift = 0; shift < 32; shift += 8) {
		const char *part = text_split(&text, '.');

		if (!part || !text_to_number(part, UINT8_MAX, &number))
			return false;
		*address |= (u32)number << shift;
	}
	return !text;
}

static struct sockaddr sockaddr_of(u32 address)
{
	const struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = address};
	struct sockaddr any;

	memcpy(&any, &in, sizeof(any));
	return any;
}

/* Starts an interface, which keeps its address when `address` is 0. */
static long start(int fd, const char *name, u32 address, u32 mask)
{
	struct ifreq request = {.ifr_addr = sockaddr_of(address)};
	long error = 0;

	text_join(request.ifr_name, sizeof(request.ifr_name), STRINGS(name));
	if (address)
		error = sys(ioctl, fd, SIOCSIFADDR, &request);
	request.ifr_netmask = sockaddr_of(mask);
	if (address && !error)
		error = sys(ioctl, fd, SIOCSIFNETMASK, &request);
	request.ifr_flags = IFF_UP;
	return error ? error : sys(ioctl, fd, SIOCSIFFLAGS, &request);
}

static long start_eth0(int fd, const struct init_config *config)
{
	struct rtentry route = {.rt_dst = sockaddr_of(0),
				.rt_genmask = sockaddr_of(0),
				.rt_flags = RTF_UP | RTF_GATEWAY};
	u32 address, gateway = 0, mask;
	char *bits = config->address;
	long error = -ENODEV;
	u64 length;

	text_split(&bits, '/');
	if (!bits || !text_to_number(bits, 32, &length) || !net_parse(config->address, &address) ||
	    (config->gateway && !net_parse(config->gateway, &gateway)))
		return -EINVAL;
	mask = length ? __builtin_bswap32(UINT32_MAX << (32 - length)) : 0;
	for (int ms = 0; error == -ENODEV && ms < WAIT_MS; ms += PAUSE_MS) {
		sys(poll, NULL, 0, ms ? PAUSE_MS : 0);
		error = start(fd, "eth0", address, mask);
	}
	route.rt_gateway = sockaddr_of(gateway);
	return error || !gateway ? error : sys(ioctl, fd, SIOCADDRT, &route);
}

void net_start(const struct init_config *config)
{
	const int fd = (int)sys(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char *hostname = config->hostname ? config->hostname : "";
	long error;

	directory_make("/etc");
	file_fill("/etc/hosts", STRINGS("127.0.0.1 localhost ", hostname, "\n::1 localhost\n"));
	if (config->hostname)
		file_fill("/etc/hostname", STRINGS(hostname, "\n"));
	/* The host's own may be one that only the host reaches. It is kept where it would be lost. */
	if (config->nameserver && root_is_in_memory(config))
		sys(unlinkat, AT_FDCWD, "/etc/resolv.conf", 0);
	if (config->nameserver)
		file_fill("/etc/resolv.conf", STRINGS("nameserver ", config->nameserver, "\n"));
	start(fd, "lo", 0, 0);
	error = config->address ? start_eth0(fd, config) : 0;
	if (error)
		NOTE("eth0: ", TEXT_ERROR(error));
	sys(close, fd);
}
