/* A virtio console and what is behind it: see vconsole_world.h. */
#include "tests/unit/test.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/vconsole_world.h"

#define EVENTFD_FULL ((u64)0xfffffffffffffffe)

enum { MESSAGE_BYTES = sizeof(struct virtio_console_control) };

static const char *const names[PORTS] = {NULL, "bantam.stdio", NULL, "last"};

unsigned in_queue(unsigned port)
{
	return port ? 2 * port + 2 : 0;
}

unsigned out_queue(unsigned port)
{
	return in_queue(port) + 1;
}

/* ---- behind the ports ---- */

static void add_to(int fd, u64 number)
{
	assert_int_equal(write(fd, &number, sizeof(number)), sizeof(number));
}

static void empty(int fd)
{
	u64 number;

	(void)!read(fd, &number, sizeof(number));
}

static size_t total_of(const struct iovec *piece, unsigned pieces)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < pieces; i++)
		bytes += piece[i].iov_len;
	return bytes;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t take(void *owner, const struct iovec *piece, unsigned pieces)
{
	struct fake_port *port = owner;
	struct vconsole_world *world = port->world;
	const int fd = world->console.port[port - world->port].take_fd;
	size_t count = total_of(piece, pieces);

	pthread_mutex_lock(&world->lock);
	port->takes++;
	if (count > port->most)
		port->most = count;
	count = least(count, least(port->take_limit, port->room));
	if (port->taken < KEPT_BYTES)
		virtq_copy(piece, pieces, 0, port->out + port->taken,
			   (u32)least(count, KEPT_BYTES - port->taken), false);
	port->taken += count;
	port->room -= count;
	if (port->room == 0 && count && fd >= 0)
		add_to(fd, EVENTFD_FULL);
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
	return count;
}

static size_t give(void *owner, const struct iovec *piece, unsigned pieces)
{
	struct fake_port *port = owner;
	struct vconsole_world *world = port->world;
	struct pollfd ready = {.fd = world->console.port[port - world->port].give_fd,
			       .events = POLLIN};
	size_t count = total_of(piece, pieces);

	pthread_mutex_lock(&world->lock);
	port->gives++;
	port->unready += ready.fd >= 0 && poll(&ready, 1, 0) != 1;
	count = least(count, least(port->give_limit, port->in_bytes - port->given));
	virtq_copy(piece, pieces, 0, port->in + port->given, (u32)count, true);
	port->given += count;
	if (port->given == port->in_bytes && ready.fd >= 0)
		empty(ready.fd);
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
	return count;
}

/* ---- the worker, counted ---- */

static void count(struct vconsole_world *world, unsigned *number)
{
	pthread_mutex_lock(&world->lock);
	++*number;
	pthread_cond_broadcast(&world->changed);
	pthread_mutex_unlock(&world->lock);
}

static unsigned counted_serve(void *owner)
{
	struct vconsole_world *world = owner;
	unsigned chains;

	count(world, &world->begun);
	chains = world->serve(&world->console);
	count(world, &world->ended);
	return chains;
}

static void counted_wait(void *owner)
{
	struct vconsole_world *world = owner;

	count(world, &world->waits);
	world->wait(&world->console);
}

static void passed_halt(void *owner)
{
	struct vconsole_world *world = owner;

	world->halt(&world->console);
}

static void worker_failed(void *owner, const char *why)
{
	(void)owner;
	(void)why;
	abort();
}

static void watch_worker(struct vconsole_world *world)
{
	struct virtio_worker *worker = &world->console.worker;

	world->serve = worker->serve;
	world->wait = worker->wait;
	world->halt = worker->halt;
	worker->serve = counted_serve;
	worker->wait = counted_wait;
	worker->halt = world->halt ? passed_halt : NULL;
	worker->owner = world;
}

/* The worker does a whole round. */
static void go_round(struct vconsole_world *world)
{
	unsigned begun;

	pthread_mutex_lock(&world->lock);
	begun = world->begun;
	vconsole_wake(&world->console);
	while (world->ended <= begun)
		pthread_cond_wait(&world->changed, &world->lock);
	pthread_mutex_unlock(&world->lock);
}

void settle(struct vconsole_world *world)
{
	/* In the first it may find that it has to wait for a descriptor, which is ready. */
	go_round(world);
	go_round(world);
}

/* ---- making it ---- */

static void make_port(struct vconsole_world *world, unsigned index, bool descriptors)
{
	world->port[index] = (struct fake_port){
		.world = world, .room = SIZE_MAX, .take_limit = SIZE_MAX, .give_limit = SIZE_MAX};
	world->console.port[index] = (struct vconsole_port){
		.name = names[index],
		.take = take,
		.give = give,
		.take_fd = descriptors ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1,
		.give_fd = descriptors ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1,
		.owner = &world->port[index]};
}

void vconsole_world_init(struct vconsole_world *world, unsigned ports, bool descriptors)
{
	const struct thread_setup setup = {
		.sandbox = SANDBOX_OFF, .failed = worker_failed, .owner = world};
	struct error err = {.text = ""};

	world->console = (struct vconsole){.ports = ports};
	world->begun = world->ended = world->waits = 0;
	pthread_mutex_init(&world->lock, NULL);
	pthread_cond_init(&world->changed, NULL);
	rig_init(&world->rig, 16 * MIB);
	for (unsigned i = 0; i < ports; i++) {
		if (i != MISSING)
			make_port(world, i, descriptors);
	}
	memcpy(world->console.device.name, "virtio3", sizeof("virtio3"));
	if (vconsole_open(&world->console, ports, &err))
		fail_msg("%s", err.text);
	world->console.device.trace = &world->trace;
	rig_attach(&world->rig, &world->console.device);
	watch_worker(world);
	if (virtio_worker_open(&world->console.worker, &setup, NULL, &err))
		fail_msg("%s", err.text);
}

void vconsole_world_close(struct vconsole_world *world)
{
	const unsigned ports = world->console.ports;

	assert_true(virtio_device_close(&world->console.device, 3600 * 1000));
	for (unsigned i = 0; i < ports; i++) {
		const struct vconsole_port *port = &world->console.port[i];

		assert_int_equal(world->port[i].unready, 0);
		if (i != MISSING && port->take_fd >= 0) {
			close(port->take_fd);
			close(port->give_fd);
		}
	}
	pthread_cond_destroy(&world->changed);
	pthread_mutex_destroy(&world->lock);
	rig_destroy(&world->rig);
}

void vconsole_world_destroy(struct vconsole_world *world)
{
	rig_reset(&world->rig);
	vconsole_world_close(world);
}

void start_multiport(struct vconsole_world *world)
{
	rig_start(&world->rig, VCONSOLE_FEATURES | VCONSOLE_MULTIPORT, 2 * PORTS + 2);
	for (unsigned i = 0; i < PORTS; i++)
		say_message(world, VIRTIO_CONSOLE_PORT_OPEN, i, 1);
}

static struct vconsole_world the_world;

int vconsole_set_up_one(void **state)
{
	vconsole_world_init(&the_world, 1, true);
	rig_start(&the_world.rig, VCONSOLE_FEATURES, 2);
	*state = &the_world;
	return 0;
}

int vconsole_set_up_all(void **state)
{
	vconsole_world_init(&the_world, PORTS, true);
	start_multiport(&the_world);
	*state = &the_world;
	return 0;
}

int vconsole_tear_down(void **state)
{
	vconsole_world_destroy(*state);
	return 0;
}

/* ---- chains ---- */

u16 offer(struct vconsole_world *world, unsigned queue, const struct driver_buffer *buffer,
	  unsigned buffers)
{
	const u16 before = world->rig.driver[queue].next_available;
	const u16 head = driver_add(&world->rig.driver[queue], buffer, buffers);

	rig_kick(&world->rig, queue, before);
	return head;
}

u16 offer_one(struct vconsole_world *world, unsigned queue, u64 gpa, u32 bytes)
{
	return offer(world, queue, &(struct driver_buffer){gpa, bytes, queue % 2 == 0}, 1);
}

void expect_used(struct vconsole_world *world, unsigned queue, u16 head, u32 written)
{
	const struct driver_used used = rig_wait(&world->rig, queue);

	assert_int_equal(used.head, head);
	assert_int_equal(used.written, written);
}

unsigned used_of(struct vconsole_world *world, unsigned queue)
{
	const struct driver_queue *driver = &world->rig.driver[queue];

	return (u16)(driver_used_index(driver) - driver->last_used);
}

/* ---- streams ---- */

void put_pattern(struct vconsole_world *world, u32 bytes, u32 seed)
{
	fill_pattern(rig_at(&world->rig, OUT_AT, bytes), bytes, seed);
}

void wait_port_taken(struct vconsole_world *world, unsigned port, size_t bytes)
{
	size_t taken;

	pthread_mutex_lock(&world->lock);
	while (world->port[port].taken < bytes)
		pthread_cond_wait(&world->changed, &world->lock);
	taken = world->port[port].taken;
	pthread_mutex_unlock(&world->lock);
	assert_int_equal(taken, bytes);
}

void expect_taken(struct vconsole_world *world, unsigned port, size_t from, u32 bytes, u32 seed)
{
	static u8 is[KEPT_BYTES], pattern[KEPT_BYTES];

	assert_true(from + bytes <= KEPT_BYTES);
	wait_port_taken(world, port, from + bytes);
	pthread_mutex_lock(&world->lock);
	memcpy(is, world->port[port].out + from, bytes);
	pthread_mutex_unlock(&world->lock);
	fill_pattern(pattern, bytes, seed);
	assert_memory_equal(is, pattern, bytes);
}

void give_room(struct vconsole_world *world, unsigned port, size_t room)
{
	const int fd = world->console.port[port].take_fd;

	pthread_mutex_lock(&world->lock);
	if (fd >= 0) {
		empty(fd);
		if (room == 0)
			add_to(fd, EVENTFD_FULL);
	}
	world->port[port].room = room;
	pthread_mutex_unlock(&world->lock);
	if (fd < 0)
		vconsole_wake(&world->console);
}

void limit_port(struct vconsole_world *world, unsigned port, size_t take_limit, size_t give_limit)
{
	pthread_mutex_lock(&world->lock);
	world->port[port].take_limit = take_limit;
	world->port[port].give_limit = give_limit;
	pthread_mutex_unlock(&world->lock);
}

void bring(struct vconsole_world *world, unsigned port, u32 bytes, u32 seed)
{
	struct fake_port *fake = &world->port[port];
	const int fd = world->console.port[port].give_fd;

	/* in_bytes is the test's own. */
	assert_true(bytes <= KEPT_BYTES - fake->in_bytes);
	pthread_mutex_lock(&world->lock);
	fill_pattern(fake->in + fake->in_bytes, bytes, seed);
	fake->in_bytes += bytes;
	pthread_mutex_unlock(&world->lock);
	if (fd >= 0)
		add_to(fd, 1);
	else
		vconsole_wake(&world->console);
}

unsigned read_count(struct vconsole_world *world, const unsigned *number)
{
	unsigned value;

	pthread_mutex_lock(&world->lock);
	value = *number;
	pthread_mutex_unlock(&world->lock);
	return value;
}

void expect_stream(struct vconsole_world *world, unsigned port)
{
	struct fake_port *fake = &world->port[port];
	u8 line[300];
	size_t before;
	u16 head;

	pthread_mutex_lock(&world->lock);
	before = fake->taken;
	pthread_mutex_unlock(&world->lock);
	put_pattern(world, 200, 77);
	head = offer_one(world, out_queue(port), OUT_AT, 200);
	expect_used(world, out_queue(port), head, 0);
	expect_taken(world, port, before, 200, 77);
	bring(world, port, sizeof(line), 78);
	head = offer_one(world, in_queue(port), IN_AT, 4096);
	expect_used(world, in_queue(port), head, sizeof(line));
	fill_pattern(line, sizeof(line), 78);
	assert_memory_equal(rig_at(&world->rig, IN_AT, sizeof(line)), line, sizeof(line));
}

/* ---- messages ---- */

void say_message(struct vconsole_world *world, u16 event, u32 id, u16 value)
{
	const struct virtio_console_control message = {.id = id, .event = event, .value = value};
	u16 head;

	memcpy(rig_at(&world->rig, SAY_AT, MESSAGE_BYTES), &message, MESSAGE_BYTES);
	head = offer_one(world, MESSAGES_OUT, SAY_AT, MESSAGE_BYTES);
	expect_used(world, MESSAGES_OUT, head, 0);
}

void offer_messages(struct vconsole_world *world, unsigned buffers, u32 bytes)
{
	for (unsigned i = 0; i < buffers; i++) {
		const u16 next = world->rig.driver[MESSAGES_IN].next_available;

		offer_one(world, MESSAGES_IN, MESSAGES_AT + 0x100 * (u64)(next % RIG_QUEUE_SIZE),
			  bytes);
	}
}

void expect_message(struct vconsole_world *world, u16 event, u32 id, const char *name)
{
	const u16 number = world->rig.driver[MESSAGES_IN].last_used;
	const struct driver_used used = rig_wait(&world->rig, MESSAGES_IN);
	const size_t length = name ? strlen(name) : 0;
	const u8 *at =
		rig_at(&world->rig, MESSAGES_AT + 0x100 * (u64)(number % RIG_QUEUE_SIZE), 0x100);
	struct virtio_console_control message;

	memcpy(&message, at, sizeof(message));
	assert_int_equal(message.event, event);
	assert_int_equal(message.id, id);
	assert_int_equal(message.value, 1);
	assert_int_equal(used.written, MESSAGE_BYTES + length);
	if (name)
		assert_memory_equal(at + MESSAGE_BYTES, name, length);
}
