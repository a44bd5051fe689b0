/*
 * The networks of the board: which host's end each has, and what becomes of it.
 *
 * A tap or a descriptor is taken when the devices are made, and passt started then; that it is ready
 * is waited for when the host's ends are opened. A socket that was given by its path is connected
 * to again each second when the connection is lost: the worker rings `lost`, and the main loop does
 * the rest.
 */
#ifndef BANTAM_VMM_NET_BOARD_H
#define BANTAM_VMM_NET_BOARD_H

#include "devices/virtio/net.h"
#include "vmm/config.h"
#include "vmm/loop.h"
#include "vmm/passt.h"

struct machine;

struct net_board {
	struct machine *machine;
	struct net *net;     /* config's nets of them */
	struct passt *passt; /* as many; only those of --net user are started */
	unsigned nets;
	struct loop_wake lost;
	struct loop_timer again;
	int asking; /* a socket of the taps' network namespace, to ask whether one is there again */
};

/* Makes the devices. Returns 0, or -1 with err set. */
int net_board_attach(struct net_board *board, struct machine *machine, struct error *err);

/* Waits for what was started, and starts the workers. As above. */
int net_board_open(struct net_board *board, const struct thread_setup *setup, struct error *err);

/* Kinds of calls that the main thread needs for them: SANDBOX_CHILD, SANDBOX_CONNECT. */
u32 net_board_sandbox(const struct config *config);

/* Whether a network's socket is connected to again by its path. */
bool net_board_has_path(const struct config *config);

/* For --stats, to stderr. */
void net_board_print(const struct net_board *board);

/* Returns false when a worker doesn't end: then the board and the guest's memory have to stay. */
bool net_board_close(struct net_board *board, unsigned timeout_ms);

#endif
