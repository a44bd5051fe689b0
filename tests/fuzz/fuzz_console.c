/*
 * The console (devices/virtio/console.c), driven by a hostile driver, with ports that take and give
 * as much as the input says, when it says so.
 *
 * Input: a byte of flags (ports, descriptors, trace), the features, where the queues lie, a number of
 * actions, the actions, and guest memory from address 0 on. The queues run from the start, on rings
 * that are input. An action's `what`, modulo ACTIONS, chooses; the lowest four bits of `how` are a
 * queue, or a port:
 *
 *	0  the guest stores `value` at `where`        6  a port has so much input more
 *	1  `value` chains more are available          7  how much it takes and gives at once
 *	2  a notification                             8  a pause
 *	3  a round of the worker                      9  a reset, and another driver begins
 *	4  rounds until all is done                  10  a message to the device
 *	5  a port has room for `value` bytes         11  a chain of a few pieces is offered
 *
 * Checked, besides what guest.h and worker.h do: ports are handed pieces of RAM, none of them empty;
 * input is asked for when the descriptor is ready, and not before the port is open; with room for
 * everything nothing is left; and after a reset the device is as good as new.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/console.h"
#include "tests/fuzz/actions.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/guest.h"
#include "tests/fuzz/worker.h"

enum { PORTS = 3, DESCRIPTORS = 4, TRACE = 8, NO_PORT_1 = 16, CONSOLE_ACTIONS = 12 };
enum { MESSAGES_IN = 2, MESSAGES_OUT = 3, ROUNDS_MAX = 300, GOT_BYTES = 64 };

#define EVENTFD_FULL ((u64)0xfffffffffffffffe)

struct fake_port {
	int take_fd, give_fd; /* open from the first input to the last */
	size_t room, take_limit, input, give_limit;
	u8 got[GOT_BYTES]; /* the first that was taken since the service began */
	size_t taken;
};

static struct {
	struct vconsole console;
	struct trace trace;
	struct loop loop;
	struct fake_port port[VCONSOLE_PORTS_MAX];
} world;

/* ---- behind the ports ---- */

static void set_ready(int fd, bool ready, u64 number)
{
	u64 before;

	(void)!read(fd, &before, sizeof(before));
	if (ready)
		FUZZ_CHECK(write(fd, &number, sizeof(number)) == sizeof(number));
}

static void show(struct fake_port *port)
{
	set_ready(port->take_fd, port->room == 0, EVENTFD_FULL);
	set_ready(port->give_fd, port->input > 0, 1);
}

static struct vconsole_port *port_of(const struct fake_port *fake)
{
	return &world.console.port[fake - world.port];
}

/* All of a piece is RAM. Returns how many bytes there are. */
static size_t check_pieces(const struct iovec *piece, unsigned pieces)
{
	const struct memory *memory = world.console.device.memory;
	size_t bytes = 0;

	FUZZ_CHECK(pieces > 0 && pieces <= VIRTQ_PIECES_MAX);
	for (unsigned i = 0; i < pieces; i++) {
		const u8 *host = piece[i].iov_base;
		bool found = false;

		for (unsigned r = 0; r < memory->regions; r++) {
			const struct memory_region *region = &memory->region[r];

			found = found ||
				(host >= region->host &&
				 host - region->host < (ptrdiff_t)region->bytes &&
				 piece[i].iov_len <= (u64)(region->host + region->bytes - host));
		}
		FUZZ_CHECK(found && piece[i].iov_len > 0);
		bytes += piece[i].iov_len;
	}
	return bytes;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t take(void *owner, const struct iovec *piece, unsigned pieces)
{
	struct fake_port *port = owner;
	const size_t count =
		least(check_pieces(piece, pieces), least(port->room, port->take_limit));

	if (port->taken < GOT_BYTES)
		virtq_copy(piece, pieces, 0, port->got + port->taken,
			   (u32)least(count, GOT_BYTES - port->taken), false);
	port->taken += count;
	port->room -= count;
	show(port);
	return count;
}

static size_t give(void *owner, const struct iovec *piece, unsigned pieces)
{
	static u8 bytes[4096];
	struct fake_port *port = owner;
	size_t count = least(check_pieces(piece, pieces), least(port->input, port->give_limit));

	FUZZ_CHECK(port_of(port)->give_fd < 0 || port->input > 0);
	FUZZ_CHECK(!world.console.multiport || port_of(port)->opened);
	count = least(count, sizeof(bytes));
	memset(bytes, 0x5a, sizeof(bytes));
	virtq_copy(piece, pieces, 0, bytes, (u32)count, true);
	port->input -= count;
	show(port);
	return count;
}

/* ---- the transport, which has nothing to do ---- */

static void doorbells(void *owner, bool lay)
{
	(void)owner, (void)lay;
}

static void interrupt(void *owner, int queue)
{
	(void)owner;
	FUZZ_CHECK(queue == VIRTIO_CONFIGURATION || (unsigned)queue < world.console.device.queues);
}

static void describe_interrupt(void *owner, unsigned queue, char *text, size_t bytes)
{
	(void)owner, (void)queue;
	memcpy(text, "irq", least(bytes, sizeof("irq")));
}

static const struct virtio_transport transport = {
	.doorbells = doorbells, .interrupt = interrupt, .describe_interrupt = describe_interrupt};

/* ---- making it ---- */

static void open_port(unsigned i, bool descriptors)
{
	static const char *const names[] = {
		NULL, "one", "", "a name of more bytes than there is room for in a message"};
	struct fake_port *fake = &world.port[i];
	const int take_fd = fake->take_fd, give_fd = fake->give_fd;

	*fake = (struct fake_port){.take_fd = take_fd,
				   .give_fd = give_fd,
				   .take_limit = SIZE_MAX,
				   .give_limit = SIZE_MAX};
	if (take_fd == 0) {
		fake->take_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		fake->give_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		FUZZ_CHECK(fake->take_fd > 0 && fake->give_fd > 0);
	}
	world.console.port[i] = (struct vconsole_port){.name = names[i],
						       .take = take,
						       .give = give,
						       .take_fd = descriptors ? fake->take_fd : -1,
						       .give_fd = descriptors ? fake->give_fd : -1,
						       .owner = fake};
	show(fake);
}

static void open_console(u8 flags, const struct memory *memory)
{
	const struct thread_setup setup = {.sandbox = SANDBOX_OFF};
	struct vconsole *console = &world.console;
	const unsigned ports = 1 + (flags & PORTS);
	struct error err = {.text = ""};

	memset(console, 0, sizeof(*console));
	memset(&world.trace, 0, sizeof(world.trace));
	memset(&world.loop, 0, sizeof(world.loop));
	for (unsigned i = 0; i < ports; i++) {
		if (i != 1 || !(flags & NO_PORT_1))
			open_port(i, flags & DESCRIPTORS);
	}
	workers_begin(NULL);
	FUZZ_CHECK(!trace_open(&world.trace, flags & TRACE ? TRACE_VIRTIO : 0, "/dev/null", 0,
			       &world.loop, &err));
	FUZZ_CHECK(!vconsole_open(console, ports, &err));
	console->device.memory = memory;
	console->device.trace = &world.trace;
	console->device.told = true;
	console->device.transport = &transport;
	for (unsigned i = 0; i < console->device.queues; i++)
		atomic_store(&console->device.queue[i].interrupt_fd, VIRTIO_BY_TRANSPORT);
	FUZZ_CHECK(!virtio_worker_open(&console->worker, &setup, NULL, &err));
}

/* ---- the driver ---- */

static struct virtio_device *device(void)
{
	return &world.console.device;
}

static void set_status(u8 status)
{
	pthread_mutex_lock(&device()->lock);
	virtio_set_status(device(), status);
	pthread_mutex_unlock(&device()->lock);
}

/* What was asked to stop will stop, whatever is under way. */
static void expect_stop(enum virtio_run_state state)
{
	for (unsigned i = 0; i < 4 && device()->state == VIRTIO_STOPPING; i++)
		FUZZ_CHECK(workers_round(0));
	FUZZ_CHECK(device()->state == state);
}

/* A driver takes the queues whose bits are set into use, all in the same form. */
static void begin(u64 features, u64 gpa, u32 stride, u16 size, u32 enabled)
{
	const u8 negotiated = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK;

	set_status(0);
	expect_stop(VIRTIO_IDLE);
	set_status(VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	features = (features | VIRTIO_VERSION_1) & device()->features;
	for (u32 half = 0; half < 2; half++) {
		device()->regs.driver_features_select = half;
		virtio_write_register(device(), VIRTIO_REG_DRIVER_FEATURES,
				      (u32)(features >> (32 * half)), ~(u64)0);
	}
	for (unsigned q = 0; q < device()->queues; q++) {
		struct virtq_regs *regs;

		device()->regs.queue_select = (u16)q;
		virtio_write_register(device(), VIRTIO_REG_QUEUE_SIZE, size, ~(u64)0);
		regs = virtio_selected_queue(device());
		regs->descriptors = gpa + stride * (u64)q;
		regs->available = regs->descriptors + 16 * (u64)size;
		regs->used = regs->available + 0x88;
		virtio_write_register(device(), VIRTIO_REG_QUEUE_ENABLE, enabled >> q & 1, ~(u64)0);
	}
	set_status(negotiated);
	set_status(negotiated | VIRTIO_DRIVER_OK);
}

static void publish(const struct virtq_regs *regs, u32 more)
{
	const u64 at = regs->available + 2;

	guest_store(at, guest_load(at, 2) + more, 2);
}

/* Offers a chain of `pieces` pieces of so many bytes each, with as much between them. */
static void offer(unsigned queue, u64 gpa, u32 bytes, unsigned pieces, bool write)
{
	const struct virtq_regs *regs = &device()->regs.queue[queue];
	const u16 next = (u16)guest_load(regs->available + 2, 2), size = regs->size;
	const unsigned first = 4U * next % size;

	for (unsigned i = 0; i < pieces; i++) {
		const u64 at = regs->descriptors + 16 * (u64)((first + i) % size);
		const u64 flags = (i + 1 < pieces ? 1 : 0) | (write ? 2 : 0);

		guest_store(at, gpa + 2 * bytes * (u64)i, 8);
		guest_store(at + 8, bytes | flags << 32 | (u64)((first + i + 1) % size) << 48, 8);
	}
	guest_store(regs->available + 4 + 2 * (u64)(next % size), first, 2);
	publish(regs, 1);
}

static void say_message(u64 gpa, u32 id, u16 event, u16 value)
{
	guest_store(gpa, id | (u64)event << 32 | (u64)value << 48, 8);
	if (device()->queues > MESSAGES_OUT)
		offer(MESSAGES_OUT, gpa, 8, 1, false);
}

/* ---- what has to hold ---- */

static bool served(unsigned queue)
{
	const unsigned port = queue < MESSAGES_IN ? 0 : queue / 2 - 1;

	if (queue == MESSAGES_IN || queue == MESSAGES_OUT)
		return queue == MESSAGES_OUT && world.console.multiport;
	return queue % 2 && world.console.port[port].take;
}

static bool rounds_until_idle(void)
{
	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		if (!workers_round(0))
			return true;
	}
	return false;
}

/* With room for everything, nothing that was sent is left. */
static void drain(void)
{
	for (unsigned i = 0; i < VCONSOLE_PORTS_MAX; i++) {
		world.port[i].room = world.port[i].take_limit = SIZE_MAX / 2;
		if (world.console.port[i].take)
			show(&world.port[i]);
	}
	/* Again, because what one queue gives back may be written over another's ring. */
	for (unsigned round = 0; round < 2 * device()->queues; round++) {
		vconsole_wake(&world.console);
		if (!rounds_until_idle() || device()->state != VIRTIO_RUNNING)
			return;
	}
	for (unsigned q = 0; q < device()->queues; q++) {
		const struct virtq *queue = &device()->queue[q];

		if (!virtq_started(queue) || !served(q))
			continue;
		FUZZ_CHECK(queue->broken || guest_load(device()->regs.queue[q].available + 2, 2) ==
						    queue->position.next_available);
		FUZZ_CHECK(!queue->broken || (device()->regs.status & VIRTIO_NEEDS_RESET));
	}
}

static void check(void)
{
	guest_check();
	for (unsigned q = 0; q < device()->queues; q++) {
		const struct virtq *queue = &device()->queue[q];

		FUZZ_CHECK(guest_under_way(queue) == 0);
		FUZZ_CHECK(queue->broken ||
			   queue->position.next_available == queue->position.next_used);
		FUZZ_CHECK(device()->state != VIRTIO_IDLE || world.console.offset[q] == 0);
	}
}

/* ---- the service ---- */

#define SERVICE_DATA ((u64)0x6000)

enum { SERVICE_BYTES = 40, PIECE_BYTES = 10, SERVICE_SIZE = 8 };

static void expect_used(unsigned queue, u16 index, u32 written)
{
	const u64 used = device()->regs.queue[queue].used;

	FUZZ_CHECK(guest_load(used + 2, 2) == index);
	FUZZ_CHECK(guest_load(used + 4 + 8 * (u64)((index - 1) % SERVICE_SIZE) + 4, 4) == written);
}

static void expect_message(u16 *index, u32 id, u16 event)
{
	virtio_notify(device(), MESSAGES_IN);
	guest_clear(SERVICE_DATA, 64);
	offer(MESSAGES_IN, SERVICE_DATA, 64, 1, true);
	FUZZ_CHECK(rounds_until_idle());
	FUZZ_CHECK(guest_load(device()->regs.queue[MESSAGES_IN].used + 2, 2) == ++*index);
	FUZZ_CHECK(guest_load(SERVICE_DATA, 8) == (id | (u64)event << 32 | (u64)1 << 48));
}

static void expect_stream(unsigned port)
{
	const unsigned in = port ? 2 * port + 2 : 0, out = in + 1;
	struct fake_port *fake = &world.port[port];

	fake->room = SERVICE_BYTES - 1;
	fake->take_limit = 7;
	fake->give_limit = SIZE_MAX;
	fake->taken = fake->input = 0;
	show(fake);
	for (u32 i = 0; i < SERVICE_BYTES; i++)
		guest_store(SERVICE_DATA + i + i / PIECE_BYTES * PIECE_BYTES, i + port, 1);
	offer(out, SERVICE_DATA, PIECE_BYTES, SERVICE_BYTES / PIECE_BYTES, false);
	virtio_notify(device(), out);
	FUZZ_CHECK(rounds_until_idle() && fake->taken == SERVICE_BYTES - 1);
	FUZZ_CHECK(guest_load(device()->regs.queue[out].used + 2, 2) == 0);
	fake->room = SIZE_MAX;
	fake->input = 11;
	show(fake);
	guest_clear(SERVICE_DATA + 0x100, 64);
	offer(in, SERVICE_DATA + 0x100, 16, 4, true);
	vconsole_wake(&world.console);
	FUZZ_CHECK(rounds_until_idle());
	check();
	expect_used(out, 1, 0);
	expect_used(in, 1, 11);
	for (u32 i = 0; i < SERVICE_BYTES; i++)
		FUZZ_CHECK(fake->got[i] == i + port);
	FUZZ_CHECK(guest_load(SERVICE_DATA + 0x10a, 2) == 0x5a);
}

static void expect_service(void)
{
	const unsigned ports = world.console.ports;
	u16 messages = 0;

	begin(UINT64_MAX, 0, 0x10, SERVICE_SIZE, 0);
	guest_clear(0, GUEST_LOW_BYTES);
	begin(UINT64_MAX, 0, 0x400, SERVICE_SIZE, (1U << device()->queues) - 1);
	for (unsigned i = 0; i < ports; i++) {
		if (!world.console.port[i].take)
			continue;
		if (ports > 1) {
			say_message(SERVICE_DATA + 0x200, i, VIRTIO_CONSOLE_PORT_READY, 1);
			virtio_notify(device(), MESSAGES_OUT);
			FUZZ_CHECK(rounds_until_idle());
			say_message(SERVICE_DATA + 0x200, i, VIRTIO_CONSOLE_PORT_OPEN, 1);
			virtio_notify(device(), MESSAGES_OUT);
			expect_message(&messages, i,
				       i ? VIRTIO_CONSOLE_PORT_NAME : VIRTIO_CONSOLE_CONSOLE_PORT);
			expect_message(&messages, i, VIRTIO_CONSOLE_PORT_OPEN);
		}
		expect_stream(i);
	}
}

/* ---- the course ---- */

static void act(const struct action *action)
{
	const unsigned queue = (action->how & 15) % device()->queues;
	struct fake_port *port = &world.port[(action->how & 15) % world.console.ports];
	const struct virtq_regs *regs = &device()->regs.queue[queue];

	switch (action->what % CONSOLE_ACTIONS) {
	case 0:
		guest_store(action->where | (action->how & 0x80 ? 4 * GIB : 0), action->value,
			    1U << (action->how & 3));
		break;
	case 1:
		publish(regs, action->value);
		break;
	case 2:
		virtio_notify(device(), queue);
		break;
	case 3:
		workers_round(0);
		break;
	case 4:
		drain();
		break;
	case 5:
		port->room = action->value;
		break;
	case 6:
		port->input += action->value & 0xffff;
		break;
	case 7:
		port->take_limit = action->where;
		port->give_limit = action->value;
		break;
	case 8:
		virtio_quiesce(device(), 1);
		if (device()->state != VIRTIO_IDLE)
			expect_stop(VIRTIO_QUIESCED);
		check();
		virtio_resume(device());
		break;
	case 9:
		begin(action->value & 0x3fffffff, action->where & 0xfff0,
		      (action->value >> 20 & 0x3f0), (u16)(1 << (action->how & 7)),
		      action->how & 8 ? UINT32_MAX : action->value);
		break;
	case 10:
		say_message(action->where & 0x7ff8, action->value & 0xff,
			    (u16)(action->value >> 8 & 0xff), (u16)(action->value >> 16));
		virtio_notify(device(), MESSAGES_OUT);
		break;
	default:
		offer(queue, action->where, action->value & 0xffff, 1 + (action->value >> 16 & 3),
		      (queue ^ action->value >> 31 ^ 1) & 1);
		if (!(action->how & 0x10))
			virtio_notify(device(), queue);
	}
	if (port_of(port)->take)
		show(port);
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	struct input input = {bytes, count};
	const u8 flags = (u8)input_take(&input, 1);
	const u64 features = input_take(&input, 4);
	const u16 where = (u16)input_take(&input, 2), stride = (u16)input_take(&input, 2);
	const u8 shift = (u8)input_take(&input, 1);
	const struct memory *memory;
	unsigned actions;

	memory = actions_begin(&input, &actions);
	open_console(flags, memory);
	begin(features, where & 0xfff0, stride & 0x3f0, (u16)(1 << (shift & 7)),
	      shift & 8 ? UINT32_MAX : 3);
	for (unsigned i = 0; i < actions; i++) {
		const struct action action = input_action(&input);

		act(&action);
		check();
	}
	expect_service();
	FUZZ_CHECK(virtio_device_close(&world.console.device, 1));
	trace_close(&world.trace);
	return 0;
}
