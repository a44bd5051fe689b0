/*
 * The values of --net and --publish: see net_option.h.
 */
#include "vmm/net_option.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/disk_option.h"

/* A decimal number from least to most, with nothing behind it. */
static bool parse_number(const char *text, unsigned long least, unsigned long most,
			 unsigned *number)
{
	char *end;
	const unsigned long value = strtoul(text, &end, 10);

	*number = (unsigned)value;
	return isdigit((unsigned char)text[0]) && !*end && value >= least && value <= most;
}

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
		if (parse_number(word + sizeof(queues) - 1, 1, NET_PAIRS_MAX, &net->queues))
			return 0;
		return error_set(err, "--net: %s: 1 to %d are possible", word, NET_PAIRS_MAX);
	}
	return error_set(
		err, "--net: '%s' is not known; there are mac=MAC and, for a tap, queues=N", word);
}

static int apply_words(struct net_config *net, const char *at, struct error *err)
{
	while (*at) {
		const size_t length = strcspn(at + 1, ",");
		char word[64];

		if (length >= sizeof(word))
			return error_set(err, "--net: '%s' is not known", at + 1);
		snprintf(word, sizeof(word), "%.*s", (int)length, at + 1);
		if (apply_word(net, word, err))
			return -1;
		at += 1 + length;
	}
	return 0;
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
		if (net->kind == NET_FD && !parse_number(net->name, 3, INT32_MAX, &number))
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
	const char *words;

	*net = (struct net_config){.name = malloc(strlen(value) + 1), .fd = -1, .queues = 1};
	if (!net->name)
		return error_set(err, "no memory for the options");
	words = option_copy_path(net->name, value);
	if (apply_kind(net, value, err) == 0 && apply_words(net, words, err) == 0)
		return 0;
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
	    !parse_number(host, 1, 65535, &from) || !parse_number(guest, 1, 65535, &to))
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
