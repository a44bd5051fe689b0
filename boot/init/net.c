/* The guest's network: see net.h; netdevice(7). */
#include <errno.h>
#include <linux/in.h>
#include <linux/route.h>
#include <linux/sockios.h>
#include <string.h>

#include "boot/init/files.h"
#include "boot/init/net.h"
#include "boot/init/ports.h"
#include "boot/init/sys.h"
#include "boot/init/text.h"

bool net_parse(char *text, u32 *address)
{
	u8 bytes[4];
	u64 number;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		const char *part = text_split(&text, '.');

		if (!part || !text_to_number(part, UINT8_MAX, &number))
			return false;
		bytes[i] = (u8)number;
	}
	memcpy(address, bytes, sizeof(bytes));
	return !text;
}

static struct sockaddr sockaddr_of(u32 address)
{
	const struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = address};
	struct sockaddr any;

	memcpy(&any, &in, sizeof(any));
	return any;
}

/* An ioctl on one interface; the address is of no use to some. */
static long set(int fd, unsigned long what, const char *name, u32 address)
{
	struct ifreq request = {.ifr_addr = sockaddr_of(address)};

	if (what == SIOCSIFFLAGS)
		request.ifr_flags = IFF_UP;
	text_join(request.ifr_name, sizeof(request.ifr_name), name, NULL);
	return sys_ioctl(fd, what, &request);
}

static long start_eth0(int fd, const struct init_config *config)
{
	u32 address, gateway = 0, mask;
	char *bits = config->address;
	struct rtentry route;
	long error;
	u64 length;

	text_split(&bits, '/');
	if (!bits || !text_to_number(bits, 32, &length) || !net_parse(config->address, &address) ||
	    (config->gateway && !net_parse(config->gateway, &gateway)))
		return -EINVAL;
	mask = length ? __builtin_bswap32(UINT32_MAX << (32 - length)) : 0;
	for (int waited_ms = 0, pause_ms = 1; waited_ms < NET_WAIT_MS; waited_ms += pause_ms) {
		error = set(fd, SIOCSIFADDR, "eth0", address);
		if (error != -ENODEV)
			break;
		pause_ms = pause_next(pause_ms);
	}
	if (!error)
		error = set(fd, SIOCSIFNETMASK, "eth0", mask);
	if (!error)
		error = set(fd, SIOCSIFFLAGS, "eth0", 0);
	if (error || !config->gateway)
		return error;
	route = (struct rtentry){.rt_dst = sockaddr_of(0),
				 .rt_genmask = sockaddr_of(0),
				 .rt_gateway = sockaddr_of(gateway),
				 .rt_flags = RTF_UP | RTF_GATEWAY};
	return sys_ioctl(fd, SIOCADDRT, &route);
}

void net_start(const struct init_config *config)
{
	const int fd = (int)sys_socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char *hostname = config->hostname ? config->hostname : "";
	struct digits digits;
	char text[512];
	long error;

	directory_make("/etc");
	text_join(text, sizeof(text), "127.0.0.1 localhost ", hostname, "\n::1 localhost\n", NULL);
	file_fill("/etc/hosts", text);
	text_join(text, sizeof(text), hostname, "\n", NULL);
	if (config->hostname)
		file_fill("/etc/hostname", text);
	text_join(text, sizeof(text), "nameserver ", config->nameserver, "\n", NULL);
	if (config->nameserver)
		file_fill("/etc/resolv.conf", text);
	set(fd, SIOCSIFFLAGS, "lo", 0);
	error = config->address ? start_eth0(fd, config) : 0;
	if (error)
		note("eth0: ", text_error(&digits, error), NULL);
	sys_close(fd);
}
