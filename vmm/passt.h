/*
 * passt: the program behind `--net user`, which gives a guest the host's network without any right.
 *
 * It is started with one end of a pair of stream sockets, before bantam locks itself in, and gets
 * ready while the kernel is loaded. What it says on stderr is kept: it is the reason when it refuses
 * to start, and the last word when it ends while the guest runs on. It says that it is ready by
 * writing its process id to its stdout, which is a pipe of ours.
 *
 * It ends when its socket is closed, by whatever way bantam goes; a signal makes that sooner.
 *
 * Ports are published by passt. bantam tries them first: passt takes it for enough when a port is
 * free for one of IPv4 and IPv6.
 */
#ifndef BANTAM_VMM_PASST_H
#define BANTAM_VMM_PASST_H

#include <sys/types.h>

#include "vmm/loop.h"
#include "vmm/net_option.h"

struct passt {
	pid_t pid;   /* 0: not started */
	int process; /* it, by a descriptor: no other can get that; -1 */
	int socket;  /* our end; -1 when somebody else has it */
	int ready;   /* its stdout, until it is ready */
	struct loop_source stderr_source;
	char said[400]; /* since it is ready */
};

void passt_init(struct passt *passt);

/*
 * Starts it with these ports. fixed_address: the guest has the addresses of net_option.h, and its
 * gateway doesn't lead to the host's loopback; else it has those of the host, by DHCP, and the gateway
 * does. Returns 0, or -1 with err set; passt_close() is due in both cases.
 */
int passt_start(struct passt *passt, bool fixed_address, const struct net_publish *publish,
		unsigned publishes, struct error *err);

/* Waits until it is ready, and lets the loop hear what it says from now on. As above. */
int passt_wait(struct passt *passt, struct loop *loop, struct error *err);

/* Ends it. */
void passt_close(struct passt *passt);

#endif
