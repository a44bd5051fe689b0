/*
 * The values of --net and --publish: see net_option.h.
 */
#include "vmm/net_option.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/options.h"

static int parse_mac(struct net_config *net, const char *text, struct error *err)
{
	const char *at = text;

	for (unsigned i = 0; i < sizeof(net->mac); i++) {
		char digits[3] = {at[0], at[0] ? at[1] : '\0', '\0'};

		if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]) ||
		    at[2] != (i + 1 < sizeof(net->mac) ? ':' : '\0'))
			return error_set(err,
					 "--net: mac=%s is no address; one looks like "
					 "02:00:5e:10:00:01",
					 text);
		net->mac[i] = (u8)strtoul(digits, NULL, 16);
		at += 3;
	}
	if (net->mac[0] & 1)
		return error_set(err,
				 "--net: mac=%s is a multicast address: the first byte of an "
				 "interface's is even",
				 text);
	if (memcmp(net->mac, (const u8[sizeof(net->mac)]){0}, sizeof(net->mac)) == 0)
		return error_set(err, "--net: mac=%s is no interface's address", text);
	net->has_mac = true;
	return 0;
}

static int apply_word(struct net_config *net, const char *word, struct error *err)
{
	static const char mac[] = "mac=", queues[] = "queues=";

	if (strncmp(word, mac, sizeof(mac) - 1) == 0)
		return parse_mac(net, word + sizeof(mac) - 1, err);
	if (strncmp(word, queues, sizeof(queues) - 1) == 0) {
		if (net->kind != NET_TAP)
			return error_set(err, "--net: only a tap has queues=N");
		if (options_number(word + sizeof(queues) - 1, 1, NET_PAIRS_MAX, &net->queues))
			return 0;
		return error_set(err, "--net: %s: 1 to %d are possible", word, NET_PAIRS_MAX);
	}
	return error_set(
		err, "--net: '%s' is not known; there are mac=MAC and, for a tap, queues=N", word);
}

/* What kind it is: net->name has "tap=NAME", and keeps the part behind '='. */
static int apply_kind(struct net_config *net, const char *value, struct error *err)
{
	static const char *const kinds[] = {[NET_USER] = "user",
					    [NET_TAP] = "tap=",
					    [NET_FD] = "fd=",
					    [NET_SOCKET] = "socket="};
	unsigned number;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const size_t length = strlen(kinds[i]);

		if (strncmp(net->name, kinds[i], length) != 0 ||
		    (i == NET_USER) != (net->name[length] == '\0'))
			continue;
		net->kind = (enum net_kind)i;
		memmove(net->name, net->name + length, strlen(net->name + length) + 1);
		if (net->kind == NET_FD && !options_number(net->name, 3, INT32_MAX, &number))
			return error_set(err,
					 "--net fd=%s: it is the number of a descriptor above 2",
					 net->name);
		if (net->kind == NET_FD)
			net->fd = (int)number;
		return 0;
	}
	return error_set(err, "--net '%s': it is user, tap=NAME, fd=N or socket=PATH", value);
}

int net_option_parse(struct net_config *net, const char *value, struct error *err)
{
	char *words;

	*net = (struct net_config){.name = strdup(value), .fd = -1, .queues = 1};
	if (!net->name)
		return error_set(err, "no memory for the options");
	words = options_split(net->name);
	if (apply_kind(net, value, err))
		goto free;
	while (words) {
		if (apply_word(net, strsep(&words, ","), err))
			goto free;
	}
	return 0;

free:
	net_option_free(net);
	return -1;
}

void net_option_free(struct net_config *net)
{
	free(net->name);
	net->name = NULL;
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
