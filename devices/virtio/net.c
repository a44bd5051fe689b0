/*
 * virtio-net, the device: features, configuration, control queue, life. See net.h.
 *
 * Which queue is the control queue depends on what was negotiated (5.1.2): the third without
 * VIRTIO_NET_F_MQ, the last with it. So the workers learn at the start which queues are theirs.
 */
#include "devices/virtio/net.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/net_pair.h"

#define FEATURE(name) ((u64)1 << VIRTIO_NET_F_##name)

/* Linux's headers may be older. */
#define USO_FEATURE(bit) ((u64)1 << (bit))
enum { F_GUEST_USO4 = 54, F_GUEST_USO6 = 55, F_HOST_USO = 56 };

/* Work that a tap leaves to the guest, and work that it takes from the guest when it can do that. */
static const struct {
	u32 tap;
	u64 guest, host;
} offloads[] = {
	{TUN_F_CSUM, FEATURE(GUEST_CSUM), FEATURE(CSUM)},
	{TUN_F_TSO4, FEATURE(GUEST_TSO4), FEATURE(HOST_TSO4)},
	{TUN_F_TSO6, FEATURE(GUEST_TSO6), FEATURE(HOST_TSO6)},
	{TUN_F_TSO_ECN, FEATURE(GUEST_ECN), FEATURE(HOST_ECN)},
	{TUN_F_USO4, USO_FEATURE(F_GUEST_USO4), USO_FEATURE(F_HOST_USO)},
	{TUN_F_USO6, USO_FEATURE(F_GUEST_USO6), USO_FEATURE(F_HOST_USO)},
};

/* The bits of TUNSETOFFLOAD for a driver's features. */
static u32 tap_offloads(u64 features)
{
	u32 bits = 0;

	for (size_t i = 0; i < ARRAY_LEN(offloads); i++) {
		if (features & offloads[i].guest)
			bits |= offloads[i].tap;
	}
	return bits;
}

static void set_offloads(struct net *net, u32 bits)
{
	for (unsigned i = 0; i < net->backend.pairs; i++) {
		struct net_port *port = &net->backend.port[i];

		if (port->ops && port->ops->set_offloads)
			port->ops->set_offloads(port, bits);
	}
}

/* Frames are dealt out to so many pairs. */
static void set_active(struct net *net, unsigned pairs)
{
	const unsigned before = atomic_load(&net->active);

	/* More than one: they are a tap's. */
	for (unsigned i = before; i < pairs; i++)
		net->backend.port[i].ops->attach(&net->backend.port[i], true);
	atomic_store(&net->active, pairs);
	for (unsigned i = pairs; i < before; i++)
		net->backend.port[i].ops->attach(&net->backend.port[i], false);
	for (unsigned i = before; i < pairs; i++)
		virtio_notify(&net->device, 2 * i + 1);
}

void net_set_link(struct net *net, bool up)
{
	if (atomic_exchange(&net->link, up) == up)
		return;
	pthread_mutex_lock(&net->device.lock);
	net->config.status = up ? VIRTIO_NET_S_LINK_UP : 0;
	pthread_mutex_unlock(&net->device.lock);
	if (!up && net->lost)
		net->lost(net->owner);
	virtio_config_changed(&net->device);
}

void net_adopt(struct net *net, int fd)
{
	const int unused = atomic_exchange(&net->newcomer, fd);

	if (unused >= 0)
		close(unused);
	virtio_notify(&net->device, 1);
}

/* One command: 5.1.6.5. */
static u8 obey(struct net *net, const struct virtq_chain *chain)
{
	struct {
		struct virtio_net_ctrl_hdr header;
		u64 value; /* 16 bits: how many pairs; or 64: features */
	} PACKED command = {.value = 0};
	const u32 bytes = chain->out_bytes - (u32)sizeof(command.header);
	u8 class, number;

	if (virtq_read(chain, 0, &command, sizeof(command)) < sizeof(command.header))
		return VIRTIO_NET_ERR;
	class = command.header.class;
	number = command.header.cmd;
	if (class == VIRTIO_NET_CTRL_MQ && number == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET &&
	    bytes == sizeof(u16) && command.value >= 1 && command.value <= net->multi) {
		set_active(net, (unsigned)command.value);
		return VIRTIO_NET_OK;
	}
	if (class == VIRTIO_NET_CTRL_GUEST_OFFLOADS &&
	    number == VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET && bytes == sizeof(u64) &&
	    !(command.value & ~net->guest_features)) {
		set_offloads(net, tap_offloads(command.value));
		return VIRTIO_NET_OK;
	}
	return VIRTIO_NET_ERR;
}

bool net_serve_control(struct net *net, struct virtq_chain *chain)
{
	struct virtq *ring = &net->device.queue[net->control];

	if (net->control == NET_CONTROL_NONE || !virtq_started(ring))
		return false;
	for (unsigned i = 0; i < ring->size; i++) {
		const enum virtq_result result =
			virtio_pop_or_ask(&net->device, net->control, chain);
		u8 answer = VIRTIO_NET_ERR;

		if (result == VIRTQ_EMPTY)
			return false;
		if (result == VIRTQ_CHAIN && chain->in_bytes)
			answer = obey(net, chain);
		virtq_push(ring, chain->head,
			   result == VIRTQ_CHAIN ? virtq_write(chain, 0, &answer, sizeof(answer))
						 : 0);
		virtio_trace_chain(&net->device, net->control, chain->head, "control → %s",
				   answer == VIRTIO_NET_OK ? "ok" : "err");
	}
	return true;
}

/* The worker that a queue belongs to. */
static unsigned owner_of(const struct net *net, unsigned queue)
{
	const unsigned pairs = net->backend.pairs;

	return queue == net->control || queue == 2 * pairs ? 0 : queue / 2;
}

static void net_start(struct virtio_device *device)
{
	struct net *net = CONTAINER_OF(device, struct net, device);
	const u64 features = device->regs.driver_features;

	net->mergeable = features & FEATURE(MRG_RXBUF);
	net->checksums = features & FEATURE(GUEST_CSUM);
	net->multi = (features & FEATURE(MQ)) ? net->backend.pairs : 0;
	net->control = NET_CONTROL_NONE;
	if (features & FEATURE(CTRL_VQ))
		net->control = net->multi ? 2 * net->multi : 2;
	net->guest_features = 0;
	for (size_t i = 0; i < ARRAY_LEN(offloads); i++)
		net->guest_features |= features & offloads[i].guest;
	set_offloads(net, tap_offloads(features));
	for (unsigned i = 0; i < net->backend.pairs; i++) {
		u32 queues = 0;

		for (unsigned j = 0; j < device->queues; j++)
			queues |= owner_of(net, j) == i ? (u32)1 << j : 0;
		atomic_store(&net->pair[i].worker.others, queues);
		net_pair_start(&net->pair[i]);
	}
	virtio_run_workers(device);
}

static void net_was_reset(struct virtio_device *device)
{
	struct net *net = CONTAINER_OF(device, struct net, device);

	set_offloads(net, 0);
	set_active(net, 1);
}

static const struct virtio_class net_class = {
	.name = "network",
	.id = 1,
	.pci_class = 0x020000, /* an Ethernet controller */
	.start = net_start,
	.stop = virtio_stop_workers,
	.was_reset = net_was_reset,
};

static void describe_device(struct net *net, const u8 *mac)
{
	const struct net_backend *backend = &net->backend;

	net->device.features = VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX |
			       FEATURE(MAC) | FEATURE(STATUS) | FEATURE(MRG_RXBUF);
	if (backend->mtu)
		net->device.features |= FEATURE(MTU);
	if (backend->pairs > 1)
		net->device.features |= FEATURE(MQ);
	if (backend->header)
		net->device.features |= FEATURE(CTRL_VQ) | FEATURE(CTRL_GUEST_OFFLOADS);
	for (size_t i = 0; i < ARRAY_LEN(offloads); i++) {
		if (backend->offloads & offloads[i].tap)
			net->device.features |= offloads[i].guest | offloads[i].host;
	}
	memcpy(net->config.mac, mac, sizeof(net->config.mac));
	net->config.status = VIRTIO_NET_S_LINK_UP;
	net->config.max_virtqueue_pairs = (u16)backend->pairs;
	net->config.mtu = backend->mtu;
}

void net_init(struct net *net)
{
	*net = (struct net){
		.control = NET_CONTROL_NONE, .newcomer = -1, .retired = -1, .link = true};
	net_backend_init(&net->backend);
}

int net_open(struct net *net, const u8 *mac, struct error *err)
{
	struct virtio_device *device = &net->device;
	const unsigned pairs = net->backend.pairs;

	describe_device(net, mac);
	device->queues = 2 * pairs + ((device->features & FEATURE(CTRL_VQ)) ? 1 : 0);
	device->queue_size_max = NET_QUEUE_SIZE;
	device->config = (const u8 *)&net->config;
	device->config_bytes = offsetof(struct virtio_net_config, speed);
	atomic_store(&net->active, pairs); /* as they were opened; the reset makes it one */
	net->pair = calloc(pairs, sizeof(*net->pair));
	if (!net->pair)
		return error_set(err, "no memory for the network");
	for (unsigned i = 0; i < pairs; i++) {
		if (net_pair_init(&net->pair[i], net, i))
			return error_set(err, "no memory for the network");
	}
	return virtio_device_init(device, &net_class, err);
}

int net_start_workers(struct net *net, const struct thread_setup *setup, struct error *err)
{
	for (unsigned i = 0; i < net->backend.pairs; i++) {
		if (virtio_worker_open(&net->pair[i].worker, setup, NULL, err))
			return -1;
	}
	return 0;
}

static void add(struct net_totals *totals, const struct net_counts *counts)
{
	totals->frames += atomic_load(&counts->frames);
	totals->bytes += atomic_load(&counts->bytes);
	totals->drops += atomic_load(&counts->drops);
}

void net_count(const struct net *net, struct net_totals *received, struct net_totals *sent)
{
	for (unsigned i = 0; net->pair && i < net->backend.pairs; i++) {
		add(received, &net->pair[i].received);
		add(sent, &net->pair[i].sent);
	}
}

bool net_close(struct net *net, unsigned timeout_ms)
{
	if (!virtio_device_close(&net->device, timeout_ms))
		return false;
	for (unsigned i = 0; net->pair && i < net->backend.pairs; i++)
		free(net->pair[i].spill);
	free(net->pair);
	if (net->newcomer >= 0)
		close(net->newcomer);
	if (net->retired >= 0)
		close(net->retired);
	net_backend_close(&net->backend);
	net_init(net);
	return true;
}
