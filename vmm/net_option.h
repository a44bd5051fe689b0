/*
 * The values of --net and --publish.
 *
 *	user
 *	tap=NAME[,queues=N]
 *	fd=N
 *	socket=PATH
 *
 * each with [,mac=MAC][,bps=N][,pps=N].
 *
 * A comma in a path is written twice, as in --disk.
 */
#ifndef BANTAM_VMM_NET_OPTION_H
#define BANTAM_VMM_NET_OPTION_H

#include <linux/if_ether.h>

#include "devices/virtio/limit.h"
#include "devices/virtio/net_port.h"
#include "vmm/error.h"

/* What a guest of --net user that runs a COMMAND is told to be, by our init. */
#define NET_USER_ADDRESS    "10.0.2.15"
#define NET_USER_BITS       "24"
#define NET_USER_GATEWAY    "10.0.2.2"
#define NET_USER_NAMESERVER "10.0.2.3"

enum net_kind { NET_USER, NET_TAP, NET_FD, NET_SOCKET };

/* What the user asked for. */
struct net_config {
	enum net_kind kind;
	char *name;      /* of the tap, the socket or the descriptor; "" for the user's */
	int fd;          /* of NET_FD */
	unsigned queues; /* pairs of them */
	bool has_mac;
	u8 mac[ETH_ALEN];
	struct limit limit; /* of frames and their bytes, each way */
};

/* A port of the host that leads to one of the guest's. */
struct net_publish {
	char address[46]; /* as text, IPv4 or IPv6; "": all of the host's */
	u16 host, guest;
	bool udp;
};

/* How each kind begins in the option. */
extern const char *const net_kind_names[];

/* Returns 0, or -1 with err set. net->name is to be freed in both cases. */
int net_option_parse(struct net_config *net, const char *value, struct error *err);

/* [ADDR:]HOST:GUEST[/udp], or /tcp; an IPv6 address in brackets. Returns 0, or -1 with err set. */
int net_publish_parse(struct net_publish *publish, const char *value, struct error *err);

#endif
