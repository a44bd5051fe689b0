/*
 * A virtio console with a worker of its own, a guest (virtio_rig.h), and ports behind which the test
 * says how much is taken and given.
 *
 * A port's descriptors are eventfds: give_fd can be read while there is input, take_fd can be written
 * to while there is room. give() without a ready descriptor is counted, and must not happen.
 */
#ifndef BANTAM_TESTS_UNIT_VCONSOLE_WORLD_H
#define BANTAM_TESTS_UNIT_VCONSOLE_WORLD_H

#include "devices/virtio/console.h"
#include "tests/unit/virtio_rig.h"

enum { PORTS = VCONSOLE_PORTS_MAX, MISSING = 2 }; /* there is no port 2 */
enum { MESSAGES_IN = 2, MESSAGES_OUT = 3 };       /* queues */

#define VCONSOLE_FEATURES  (VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX)
#define VCONSOLE_MULTIPORT ((u64)1 << VIRTIO_CONSOLE_F_MULTIPORT)

/* Where the guest's output, its buffers for input, and those for messages lie. */
#define OUT_AT      ((u64)0x100000)
#define IN_AT       ((u64)0x200000)
#define MESSAGES_AT ((u64)0x300000)
#define SAY_AT      ((u64)0x310000)
#define TABLE_AT    ((u64)0x320000)

enum { KEPT_BYTES = 0x10000 };

/* Guarded by the world's lock. */
struct fake_port {
	struct vconsole_world *world;
	u8 out[KEPT_BYTES]; /* the first bytes that were taken */
	size_t taken;
	size_t most;       /* bytes that it was offered at once */
	size_t room;       /* so many are taken yet … */
	size_t take_limit; /* … and so many at once */
	u8 in[KEPT_BYTES];
	size_t in_bytes, given;
	size_t give_limit;
	unsigned takes, gives, unready; /* calls */
};

struct vconsole_world {
	struct rig rig;
	struct vconsole console;
	struct trace trace; /* off, unless the test opened it before */
	struct fake_port port[PORTS];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned begun, ended; /* rounds of the worker's serve() */
	unsigned waits;        /* … and of its wait() */
	unsigned (*serve)(void *owner);
	void (*wait)(void *owner);
	void (*halt)(void *owner);
};

/* A console with so many ports, and with descriptors behind them or without. Not started. */
void vconsole_world_init(struct vconsole_world *world, unsigned ports, bool descriptors);
/* Closes it as it is; and with a reset before. */
void vconsole_world_close(struct vconsole_world *world);
void vconsole_world_destroy(struct vconsole_world *world);

/* Starts with all queues and MULTIPORT, and opens all ports. */
void start_multiport(struct vconsole_world *world);

/* As cmocka's set-up and tear-down: port 0 alone, started; and all of them with MULTIPORT. */
int vconsole_set_up_one(void **state);
int vconsole_set_up_all(void **state);
int vconsole_tear_down(void **state);

#define ONE_PORT(test)                                                                             \
	cmocka_unit_test_setup_teardown(test, vconsole_set_up_one, vconsole_tear_down)
#define ALL_PORTS(test)                                                                            \
	cmocka_unit_test_setup_teardown(test, vconsole_set_up_all, vconsole_tear_down)

unsigned in_queue(unsigned port);
unsigned out_queue(unsigned port);

/* The worker has looked at everything that was there before the call. */
void settle(struct vconsole_world *world);

/* Offers a chain and notifies as a driver does. Returns the head. */
u16 offer(struct vconsole_world *world, unsigned queue, const struct driver_buffer *buffer,
	  unsigned buffers);
u16 offer_one(struct vconsole_world *world, unsigned queue, u64 gpa, u32 bytes);

/* Waits for the queue's next used entry, and the test ends unless it is this one. */
void expect_used(struct vconsole_world *world, unsigned queue, u16 head, u32 written);
/* How many entries of the used ring haven't been waited for. */
unsigned used_of(struct vconsole_world *world, unsigned queue);

/* Puts a pattern to OUT_AT; and waits for it as what a port has taken from `from` on, to the end. */
void put_pattern(struct vconsole_world *world, u32 bytes, u32 seed);
void expect_taken(struct vconsole_world *world, unsigned port, size_t from, u32 bytes, u32 seed);

/* Waits until a port has taken so many bytes altogether. */
void wait_port_taken(struct vconsole_world *world, unsigned port, size_t bytes);

/* Gives a port room, and says so: by its descriptor, or vconsole_wake(). */
void give_room(struct vconsole_world *world, unsigned port, size_t room);
void limit_port(struct vconsole_world *world, unsigned port, size_t take, size_t give);

/* A pattern more comes from the host. */
void bring(struct vconsole_world *world, unsigned port, u32 bytes, u32 seed);

/* Reads one of the numbers in a port. */
#define PORT_READ(world, index, member) read_count(world, &(world)->port[index].member)
unsigned read_count(struct vconsole_world *world, const unsigned *number);

/* A message to the device, and the wait for its return. */
void say_message(struct vconsole_world *world, u16 event, u32 id, u16 value);
/* Offers so many buffers for messages. */
void offer_messages(struct vconsole_world *world, unsigned count, u32 bytes);
/* Waits for one. name: what stands behind it, or NULL. */
void expect_message(struct vconsole_world *world, u16 event, u32 id, const char *name);

/* A line of output and of input goes through. */
void expect_stream(struct vconsole_world *world, unsigned port);

#endif
