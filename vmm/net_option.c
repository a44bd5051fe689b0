/*
 * The values of --net and --publish: see net_option.h.
 */
#include "vmm/net_option.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "vmm/options.h"

static int set_mac(void *into, const char *text, struct error *err)
{
	static const char form[] = "02:00:5e:10:00:01";
	struct net_config *net = into;
	u8 *mac = net->mac;
	int end = 0;

	/* sscanf() alone would take signs and spaces. */
	if (strspn(text, "0123456789abcdefABCDEF:") != sizeof(form) - 1 ||
	    sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5], &end) != sizeof(net->mac) ||
	    end != sizeof(form) - 1 || text[end])
		return error_set(err, "--net: mac=%s is no address; one looks like %s", text, form);
	if (mac[0] & 1)
		return error_set(err,
				 "--net: mac=%s is a multicast address: the first byte of an "
				 "interface's is even",
				 text);
	if (memcmp(mac, (const u8[sizeof(net->mac)]){0}, sizeof(net->mac)) == 0)
		return error_set(err, "--net: mac=%s is no interface's address", text);
	net->has_mac = true;
	return 0;
}

static const struct option_word table[] = {
	{"mac=", .set = set_mac},
	{"queues=", OPTION_FIELD(struct net_config, queues), .least = 1, .most = NET_PAIRS_MAX},
	{"bps=", OPTION_FIELD(struct net_config, limit.bytes.rate), .least = LIMIT_BYTES_MIN,
	 .rate = true},
	{"pps=", OPTION_FIELD(struct net_config, limit.requests.rate), .least = 1, .rate = true},
};

static const struct option_words words = {
	"--net", table, ARRAY_LEN(table),
	"there are mac=MAC, bps=N, pps=N and, for a tap, queues=N"};

const char *const net_kind_names[] = {
	[NET_USER] = "user", [NET_TAP] = "tap=", [NET_FD] = "fd=", [NET_SOCKET] = "socket="};

/* What kind it is: net->name has "tap=NAME", and keeps the part behind '='. */
static int set_kind(struct net_config *net, const char *value, struct error *err)
{
	unsigned number;

	for (unsigned i = 0; i <= NET_SOCKET; i++) {
		const size_t length = strlen(net_kind_names[i]);

		if (strncmp(net->name, net_kind_names[i], length) != 0 ||
		    (i == NET_USER) != (net->name[length] == '\0'))
			continue;
		net->kind = (enum net_kind)i;
		memmove(net->name, net->name + length, strlen(net->name + length) + 1);
		if (net->kind != NET_FD)
			return 0;
		if (!options_number(net->name, 3, INT32_MAX, &number))
			return error_set(err,
					 "--net fd=%s: it is the number of a descriptor above 2",
					 net->name);
		net->fd = (int)number;
		return 0;
	}
	return error_set(err, "--net '%s': it is user, tap=NAME, fd=N or socket=PATH", value);
}

int net_option_parse(struct net_config *net, const char *value, struct error *err)
{
	char *rest;

	*net = (struct net_config){.name = options_copy(value, &rest, err), .fd = -1, .queues = 1};
	if (!net->name || set_kind(net, value, err) || options_words(&words, net, rest, err))
		return -1;
	if (net->queues > 1 && net->kind != NET_TAP)
		return error_set(err, "--net: only a tap has queues=N");
	return 0;
}

/* Cuts the last part off, behind the last colon; NULL when there is none. */
static char *cut_last(char *text)
{
	char *colon = strrchr(text, ':');

	if (colon)
		*colon++ = '\0';
	return colon;
}

int net_publish_parse(struct net_publish *publish, const char *value, struct error *err)
{
	char text[80], *guest, *host, *slash;
	const char *address = "";
	struct in6_addr binary;
	unsigned from = 0, to = 0;

	*publish = (struct net_publish){.host = 0};
	snprintf(text, sizeof(text), "%s", value);
	slash = strchr(text, '/');
	if (slash)
		*slash++ = '\0';
	publish->udp = slash && strcmp(slash, "udp") == 0;
	guest = cut_last(text);
	host = guest ? cut_last(text) : NULL;
	if (host)
		address = text;
	else
		host = text;
	if (address[0] == '[' && address[strlen(address) - 1] == ']') {
		text[strlen(text) - 1] = '\0';
		address++;
	}
	if (strlen(value) >= sizeof(text) ||
	    (slash && !publish->udp && strcmp(slash, "tcp") != 0) || !guest ||
	    !options_number(host, 1, 65535, &from) || !options_number(guest, 1, 65535, &to))
		return error_set(err,
				 "--publish '%s': it is [ADDR:]HOST:GUEST[/udp], with ports of 1 "
				 "to 65535",
				 value);
	if (address[0] &&
	    inet_pton(strchr(address, ':') ? AF_INET6 : AF_INET, address, &binary) != 1)
		return error_set(err, "--publish '%s': '%s' is no address", value, address);
	publish->host = (u16)from;
	publish->guest = (u16)to;
	snprintf(publish->address, sizeof(publish->address), "%.45s", address);
	return 0;
}
