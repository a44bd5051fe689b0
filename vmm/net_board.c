/*
 * The networks of the board: see net_board.h.
 */
#include "vmm/net_board.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/machine.h"

#define AGAIN_NS ((u64)1000000000)

/* FNV-1a. */
static u64 hash(u64 so_far, const char *text)
{
	while (*text)
		so_far = (so_far ^ (u8)*text++) * 0x100000001b3U;
	return (so_far ^ 0xff) * 0x100000001b3U;
}

/*
 * An address that is the same in the next run and another one in another machine: made from what
 * tells machines apart, their names and those of their kernels, disks and taps, and from the
 * network's number.
 * 02 is the mark of addresses that no manufacturer gave out.
 */
static void make_mac(const struct config *config, unsigned index, u8 *mac)
{
	u64 value = hash(0xcbf29ce484222325U, config->kernel);

	if (config->name)
		value = hash(value, config->name);
	for (unsigned i = 0; i < config->disks; i++)
		value = hash(value, config->disk[i].path);
	value = hash(value, net_kind_names[config->net[index].kind]);
	value = hash(value, config->net[index].name) + index;
	value *= 0x9e3779b97f4a7c15U;
	mac[0] = 0x02;
	mac[1] = 0xba;
	for (unsigned i = 2; i < ETH_ALEN; i++)
		mac[i] = (u8)(value >> (8 * i + 8));
}

static int adopt_fd(struct net_backend *backend, int given, struct error *err)
{
	/* What was inherited is closed before the guest runs. */
	const int fd = fcntl(given, F_DUPFD_CLOEXEC, 0);
	socklen_t length = sizeof(int);
	int type = 0;

	if (fd < 0)
		return error_errno(err, "--net fd=%d", given);
	if (net_tap_is(fd))
		return net_tap_adopt(backend, fd, err);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM)
		return net_stream_adopt(backend, fd, err);
	close(fd);
	return error_set(err, "--net fd=%d: neither a tap nor a stream socket", given);
}

static int connect_socket(struct net_backend *backend, const char *path, struct error *err)
{
	const int fd = net_stream_connect(path);

	if (fd < 0)
		return error_set(err, "--net socket=%s: cannot connect: %s", path, strerror(-fd));
	return net_stream_adopt(backend, fd, err);
}

static int open_backend(struct net_board *board, unsigned index, struct error *err)
{
	const struct config *config = board->machine->config;
	const struct net_config *net = &config->net[index];
	struct net_backend *backend = &board->net[index].backend;
	struct passt *passt = &board->passt[index];
	bool first = true;
	int end;

	switch (net->kind) {
	case NET_TAP:
		return net_tap_open(backend, net->name, net->queues, err);
	case NET_FD:
		return adopt_fd(backend, net->fd, err);
	case NET_SOCKET:
		return connect_socket(backend, net->name, err);
	case NET_USER:
		break;
	}
	for (unsigned i = 0; i < index; i++)
		first = first && config->net[i].kind != NET_USER;
	if (passt_start(passt, config->command != NULL, config->publish,
			first ? config->publishes : 0, err))
		return -1;
	end = passt->socket;
	passt->socket = -1;
	return net_stream_adopt(backend, end, err);
}

/* What can be joined again when it was gone. */
static bool comes_again(const struct net_config *net)
{
	return net->kind == NET_SOCKET || (net->kind == NET_TAP && net->queues == 1);
}

static void connect_again(void *owner)
{
	struct net_board *board = owner;
	const struct config *config = board->machine->config;

	for (unsigned i = 0; i < board->nets; i++) {
		struct net *net = &board->net[i];
		int fd = atomic_load(&net->retired);

		if (!comes_again(&config->net[i]) || atomic_load(&net->link) ||
		    atomic_load(&net->newcomer) >= 0)
			continue;
		if (config->net[i].kind == NET_SOCKET)
			fd = net_stream_connect(config->net[i].name);
		else if (net_tap_again(board->asking, fd, config->net[i].name))
			atomic_store(&net->retired, -1);
		else
			fd = -1;
		if (fd >= 0)
			net_adopt(net, fd);
		else
			loop_timer_set(&board->again, AGAIN_NS);
	}
}

static void lost_woken(void *owner)
{
	struct net_board *board = owner;

	loop_timer_set(&board->again, AGAIN_NS);
}

static void lost(void *owner)
{
	loop_wake_signal(owner);
}

int net_board_attach(struct net_board *board, struct machine *machine, struct error *err)
{
	const struct config *config = machine->config;
	u8 mac[ETH_ALEN];

	board->machine = machine;
	board->lost.source.fd = -1;
	board->asking = -1;
	board->net = calloc(config->nets + 1, sizeof(*board->net));
	board->passt = calloc(config->nets + 1, sizeof(*board->passt));
	if (!board->net || !board->passt)
		return error_set(err, "no memory for the networks");
	for (unsigned i = 0; i < config->nets; i++) {
		net_init(&board->net[i]);
		passt_init(&board->passt[i]);
	}
	for (unsigned i = 0; i < config->nets; i++) {
		struct net *net = &board->net[i];

		board->nets = i + 1;
		/* What --dry-run shows needs nobody at the other end. */
		if (!config->dry_run && open_backend(board, i, err))
			return -1;
		make_mac(config, i, mac);
		net->receive_limit = net->send_limit = config->net[i].limit;
		if (net_open(net, config->net[i].has_mac ? config->net[i].mac : mac, err))
			return -1;
	}
	loop_add_timer(&machine->loop, &board->again, connect_again, board);
	if (!(net_board_sandbox(config) & SANDBOX_CONNECT) || config->dry_run)
		return 0;
	board->asking = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (board->asking < 0)
		return error_errno(err, "cannot open a socket");
	return loop_wake_init(&board->lost, &machine->loop, lost_woken, board, err);
}

static void describe(const struct net_board *board, unsigned index)
{
	const struct net_config *config = &board->machine->config->net[index];
	const struct net *net = &board->net[index];
	const u8 *mac = net->config.mac;

	say("network %s: %s%s, address %02x:%02x:%02x:%02x:%02x:%02x, %u pair%s of queues, MTU %u, "
	    "offloads 0x%x",
	    net->device.name, net_kind_names[config->kind], config->name, mac[0], mac[1], mac[2],
	    mac[3], mac[4], mac[5], net->backend.pairs, net->backend.pairs > 1 ? "s" : "",
	    net->backend.mtu ? net->backend.mtu : 1500U, net->backend.offloads);
}

int net_board_open(struct net_board *board, const struct thread_setup *setup, struct error *err)
{
	for (unsigned i = 0; i < board->nets; i++) {
		struct net *net = &board->net[i];

		if (board->passt[i].pid && passt_wait(&board->passt[i], &board->machine->loop, err))
			return -1;
		if (comes_again(&board->machine->config->net[i])) {
			net->lost = lost;
			net->owner = &board->lost;
		}
		if (net_start_workers(net, setup, err))
			return -1;
		if (board->machine->config->verbose)
			describe(board, i);
	}
	return 0;
}

u32 net_board_sandbox(const struct config *config)
{
	u32 kinds_of_calls = 0;

	for (unsigned i = 0; i < config->nets; i++) {
		if (config->net[i].kind == NET_USER)
			kinds_of_calls |= SANDBOX_CHILD;
		if (comes_again(&config->net[i]))
			kinds_of_calls |= SANDBOX_CONNECT;
	}
	return kinds_of_calls;
}

bool net_board_has_path(const struct config *config)
{
	for (unsigned i = 0; i < config->nets; i++) {
		if (config->net[i].kind == NET_SOCKET)
			return true;
	}
	return false;
}

static void print_totals(const char *way, const struct net_totals *totals)
{
	fprintf(stderr, "  %10llu  frames %s, %llu bytes, %llu dropped\n", totals->frames, way,
		totals->bytes, totals->drops);
}

void net_board_print(const struct net_board *board)
{
	for (unsigned i = 0; i < board->nets; i++) {
		const struct net_config *config = &board->machine->config->net[i];
		struct net_totals received = {0}, sent = {0};

		net_count(&board->net[i], &received, &sent);
		fprintf(stderr, "network %s (%s%s):\n", board->net[i].device.name,
			net_kind_names[config->kind], config->name);
		print_totals("to the guest", &received);
		print_totals("from the guest", &sent);
	}
}

bool net_board_close(struct net_board *board, unsigned timeout_ms)
{
	bool done = true;

	for (unsigned i = 0; i < board->nets; i++)
		done = net_close(&board->net[i], timeout_ms) && done;
	for (unsigned i = 0; i < board->nets; i++)
		passt_close(&board->passt[i]);
	if (!done)
		return false;
	if (board->machine) {
		loop_wake_close(&board->lost);
		if (board->asking >= 0)
			close(board->asking);
	}
	free(board->net);
	free(board->passt);
	*board = (struct net_board){.nets = 0};
	return true;
}
