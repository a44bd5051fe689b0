/*
 * virtio-console: see console.h.
 *
 * Queues (5.3.2): 0 and 1 are port 0's, to the guest and from it; 2 and 3 carry the messages; from 4
 * on there are two for each further port.
 */
#include "devices/virtio/console.h"

#include <string.h>

enum { CONTROL_IN = 2, CONTROL_OUT = 3 };

/* So many chains of a queue before the others have their turn. */
enum { BUDGET = VCONSOLE_QUEUE_SIZE };

/* And so much of a chain for a port at once: more than drivers send. */
enum { TURN_BYTES = 64 << 10 };

/* A message's bit. */
#define EVENT(number) ((u32)1 << (number))

/* The queue to the guest; the one from it is the next. */
static unsigned queue_of(unsigned port)
{
	return port == 0 ? 0 : 2 * port + 2;
}

static bool exists(const struct vconsole *console, unsigned port)
{
	return port < console->ports && console->port[port].give;
}

static void give_back(struct vconsole *console, unsigned queue, u32 written, const char *what)
{
	const struct virtq_chain *chain = &console->chain;

	console->offset[queue] = 0;
	virtq_push(&console->device.queue[queue], chain->head, written);
	virtio_trace_chain(&console->device, queue, chain->head, "%s out %u, in %u → used %u", what,
			   chain->out_bytes, chain->in_bytes, written);
}

/*
 * Pops the queue's next chain; false when there is none. Chains that break a rule are given back.
 */
static bool next_chain(struct vconsole *console, unsigned queue)
{
	struct virtq *ring = &console->device.queue[queue];

	for (unsigned i = 0; i < BUDGET && virtq_started(ring); i++) {
		const enum virtq_result result =
			virtio_pop_or_ask(&console->device, queue, &console->chain);

		if (result != VIRTQ_BAD)
			return result == VIRTQ_CHAIN;
		console->chain.out_bytes = console->chain.in_bytes = 0;
		give_back(console, queue, 0, "a chain that breaks the rules:");
	}
	console->more = console->more || virtq_started(ring);
	return false;
}

/* What the guest has sent to a port goes to the host. Returns how many chains were done. */
static unsigned take_output(struct vconsole *console, unsigned index)
{
	struct vconsole_port *port = &console->port[index];
	const unsigned queue = queue_of(index) + 1;
	u32 *offset = &console->offset[queue];
	unsigned done = 0;

	while (done < BUDGET && next_chain(console, queue)) {
		struct iovec *piece = console->chain.piece;
		const unsigned pieces =
			virtq_cut(piece, piece, console->chain.out, *offset, TURN_BYTES);

		if (pieces) {
			const size_t taken = port->take(port->owner, piece, pieces);

			*offset += (u32)taken;
			if (*offset < console->chain.out_bytes) {
				virtq_unpop(&console->device.queue[queue], 1);
				port->take_waits = taken == 0;
				console->more = console->more || taken;
				return done;
			}
		}
		give_back(console, queue, 0, "from the guest:");
		done++;
	}
	console->more = console->more || done == BUDGET;
	return done;
}

/* What the host has for a port goes to the guest. */
static unsigned give_input(struct vconsole *console, unsigned index)
{
	struct vconsole_port *port = &console->port[index];
	const unsigned queue = queue_of(index);
	unsigned done = 0;

	while (done < BUDGET && next_chain(console, queue)) {
		const struct virtq_chain *chain = &console->chain;
		size_t filled = 0;

		if (chain->in_bytes && (port->give_fd < 0 || port->give_ready))
			filled = port->give(port->owner, &chain->piece[chain->out], chain->in);
		port->give_ready = false;
		if (chain->in_bytes && filled == 0) {
			virtq_unpop(&console->device.queue[queue], 1);
			port->give_waits = true;
			return done;
		}
		give_back(console, queue, (u32)filled, "to the guest:");
		done++;
	}
	console->more = console->more || done == BUDGET;
	return done;
}

/* Takes the next message that is due about a port: the name comes before a program can open it. */
static u32 next_message(struct vconsole_port *port, unsigned index, u8 *bytes, size_t room)
{
	static const u16 order[] = {VIRTIO_CONSOLE_PORT_ADD, VIRTIO_CONSOLE_CONSOLE_PORT,
				    VIRTIO_CONSOLE_PORT_NAME, VIRTIO_CONSOLE_PORT_OPEN};
	struct virtio_console_control message = {.id = index, .value = 1};
	size_t next = 0, length = 0;

	while (!(port->messages & EVENT(order[next])))
		next++;
	port->messages &= ~EVENT(order[next]);
	message.event = order[next];
	memcpy(bytes, &message, sizeof(message));
	if (message.event == VIRTIO_CONSOLE_PORT_NAME) {
		length = strnlen(port->name, room - sizeof(message));
		memcpy(bytes + sizeof(message), port->name, length);
	}
	return (u32)(sizeof(message) + length);
}

static unsigned send_messages(struct vconsole *console)
{
	unsigned sent = 0;
	u8 bytes[64];

	for (unsigned i = 0; i < console->ports; i++) {
		struct vconsole_port *port = &console->port[i];

		while (port->messages && next_chain(console, CONTROL_IN)) {
			const u32 length = next_message(port, i, bytes, sizeof(bytes));

			give_back(console, CONTROL_IN,
				  virtq_write(&console->chain, 0, bytes, length), "message:");
			sent++;
		}
	}
	return sent;
}

/* 5.3.6.2: what is answered to what the driver says. */
static void obey(struct vconsole *console, const struct virtio_console_control *message)
{
	if (message->event == VIRTIO_CONSOLE_PORT_OPEN && exists(console, message->id))
		console->port[message->id].opened = message->value == 1;
	if (message->value != 1)
		return;
	if (message->event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (unsigned i = 0; i < console->ports; i++)
			console->port[i].messages |=
				exists(console, i) ? EVENT(VIRTIO_CONSOLE_PORT_ADD) : 0;
	}
	if (message->event == VIRTIO_CONSOLE_PORT_READY && exists(console, message->id)) {
		struct vconsole_port *port = &console->port[message->id];

		port->messages |= EVENT(VIRTIO_CONSOLE_PORT_OPEN) |
				  (message->id == 0 ? EVENT(VIRTIO_CONSOLE_CONSOLE_PORT) : 0) |
				  (port->name ? EVENT(VIRTIO_CONSOLE_PORT_NAME) : 0);
	}
}

static unsigned receive_messages(struct vconsole *console)
{
	struct virtio_console_control message;
	unsigned done = 0;

	while (done < BUDGET && next_chain(console, CONTROL_OUT)) {
		if (virtq_read(&console->chain, 0, &message, sizeof(message)) == sizeof(message))
			obey(console, &message);
		give_back(console, CONTROL_OUT, 0, "message:");
		done++;
	}
	console->more = console->more || done == BUDGET;
	return done;
}

static unsigned serve(void *owner)
{
	struct vconsole *console = owner;
	unsigned done = 0;

	console->more = false;
	if (console->multiport)
		done += receive_messages(console) + send_messages(console);
	for (unsigned i = 0; i < console->ports; i++) {
		if (!exists(console, i))
			continue;
		console->port[i].take_waits = console->port[i].give_waits = false;
		done += take_output(console, i);
		/* Linux throws away what comes for a port that no program has open. */
		if (!console->multiport || console->port[i].opened)
			done += give_input(console, i);
	}
	return done;
}

static void wait_for_work(void *owner)
{
	struct vconsole *console = owner;
	/* Two for each port, and the queues'. */
	struct pollfd fds[2 * VCONSOLE_PORTS_MAX + VIRTIO_QUEUES_MAX];

	for (unsigned i = 0; i < console->ports; i++) {
		const struct vconsole_port *port = &console->port[i];

		fds[2 * i] = (struct pollfd){.fd = port->take_waits ? port->take_fd : -1,
					     .events = POLLOUT};
		fds[2 * i + 1] = (struct pollfd){.fd = port->give_waits ? port->give_fd : -1,
						 .events = POLLIN};
	}
	if (!virtio_worker_poll(&console->worker, fds, 2 * console->ports, console->more ? 0 : -1))
		return;
	for (unsigned i = 0; i < console->ports; i++)
		console->port[i].give_ready = fds[2 * i + 1].revents;
}

/* Until it runs again nothing is waited for but its bells. */
static void halt(void *owner)
{
	struct vconsole *console = owner;

	console->more = false;
	for (unsigned i = 0; i < console->ports; i++) {
		struct vconsole_port *port = &console->port[i];

		port->take_waits = port->give_waits = port->give_ready = false;
	}
}

static void vconsole_start(struct virtio_device *device)
{
	struct vconsole *console = CONTAINER_OF(device, struct vconsole, device);

	console->multiport = device->regs.driver_features & ((u64)1 << VIRTIO_CONSOLE_F_MULTIPORT);
	virtio_run_workers(device);
}

static void vconsole_was_reset(struct virtio_device *device)
{
	struct vconsole *console = CONTAINER_OF(device, struct vconsole, device);

	memset(console->offset, 0, sizeof(console->offset));
	for (unsigned i = 0; i < console->ports; i++) {
		struct vconsole_port *port = &console->port[i];

		port->opened = false;
		port->messages = 0;
	}
}

static const struct virtio_class vconsole_class = {
	.name = "console",
	.id = 3,
	.pci_class = 0x078000, /* a communication controller */
	.start = vconsole_start,
	.stop = virtio_stop_workers,
	.was_reset = vconsole_was_reset,
};

int vconsole_open(struct vconsole *console, unsigned ports, struct error *err)
{
	struct virtio_device *device = &console->device;

	console->ports = ports;
	console->config.max_nr_ports = ports;
	device->features = VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX;
	if (ports > 1)
		device->features |= (u64)1 << VIRTIO_CONSOLE_F_MULTIPORT;
	device->queues = ports > 1 ? 2 * ports + 2 : 2;
	device->queue_size_max = VCONSOLE_QUEUE_SIZE;
	device->config = (const u8 *)&console->config;
	device->config_bytes = offsetof(struct virtio_console_config, emerg_wr);
	console->worker.device = device;
	console->worker.queue = 1;
	atomic_store(&console->worker.others, ((u32)1 << device->queues) - 1);
	console->worker.sandbox = SANDBOX_STREAM;
	console->worker.serve = serve;
	console->worker.wait = wait_for_work;
	console->worker.halt = halt;
	console->worker.owner = console;
	return virtio_device_init(device, &vconsole_class, err);
}

void vconsole_wake(struct vconsole *console)
{
	virtio_notify(&console->device, console->worker.queue);
}
