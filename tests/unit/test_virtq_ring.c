/*
 * devices/virtio/queue.c: the two rings. Indexes that wrap, who is told and when (virtio 1.2, 2.7.7
 * to 2.7.10), the position that is kept, and a driver and a device on two threads, neither of which
 * may miss the other's word.
 */
#include "tests/unit/test.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/driver.h"

enum { RINGS = 0x1000, DATA = 0x40000 };
#define LOW MIB

struct world {
	struct arena arena;
	struct driver_queue driver;
	struct virtq queue;
	struct virtq_chain chain;
};

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){0};
	arena_make(&world.arena, LOW, 0);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	arena_free(&world->arena);
	return 0;
}

/* An empty queue, both sides of which have come to `position`. */
static void start(struct world *world, u16 size, u16 position, bool event_index)
{
	struct virtq_regs regs;

	driver_make(&world->driver, &world->arena.memory, RINGS, size);
	driver_begin_at(&world->driver, position);
	world->driver.event_index = event_index;
	regs = driver_regs(&world->driver);
	world->queue.position = (struct virtq_position){position, position, position};
	assert_int_equal(
		virtq_start(&world->queue, &regs, &world->arena.memory, event_index, false), 0);
}

static u16 offer(struct world *world)
{
	const struct driver_buffer buffer = {DATA, 64, true};

	return driver_add(&world->driver, &buffer, 1);
}

static void take(struct world *world, u16 head)
{
	assert_int_equal(virtq_pop(&world->queue, &world->chain), VIRTQ_CHAIN);
	assert_int_equal(world->chain.head, head);
}

static const u16 places[] = {0, 1, 2, 1023, 32766, 32767, 32768, 65534, 65535};

/* Chains go round often enough for each index to wrap, in batches of every size up to 9. */
static void test_indexes_wrap(void **state)
{
	static const u16 sizes[] = {1, 2, 8, 256, 1024};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		u16 position = (u16)(65536 - 3 * sizes[i]);
		u32 batch = 1;

		start(world, sizes[i], position, false);
		for (u32 done = 0; done < 3000; done += batch) {
			u16 heads[9];

			batch = 1 + done % (sizes[i] < 9 ? sizes[i] : 9);
			for (u32 j = 0; j < batch; j++)
				heads[j] = offer(world);
			for (u32 j = 0; j < batch; j++)
				take(world, heads[j]);
			assert_int_equal(virtq_pop(&world->queue, &world->chain), VIRTQ_EMPTY);
			/* They come back in another order than they went. */
			for (u32 j = batch; j-- > 0;)
				virtq_push(&world->queue, heads[j], done + j);
			for (u32 j = batch; j-- > 0;)
				driver_expect(&world->driver, heads[j], done + j);
			position = (u16)(position + batch);
			assert_int_equal(driver_used_index(&world->driver), position);
			assert_int_equal(world->queue.position.next_available, position);
			assert_int_equal(world->queue.position.next_used, position);
		}
	}
}

/* As many as the queue holds, at places where the index wraps somewhere in the middle. */
static void test_full_rings(void **state)
{
	static const u16 sizes[] = {1, 2, 64, 1024};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(sizes) * ARRAY_LEN(places); i++) {
		const u16 size = sizes[i / ARRAY_LEN(places)];
		struct driver_used used;

		start(world, size, places[i % ARRAY_LEN(places)], false);
		for (unsigned j = 0; j < size; j++)
			assert_int_equal(offer(world), j);
		for (u16 j = 0; j < size; j++)
			take(world, j);
		assert_int_equal(virtq_pop(&world->queue, &world->chain), VIRTQ_EMPTY);
		for (u16 j = 0; j < size; j++)
			virtq_push(&world->queue, j, j);
		for (u16 j = 0; j < size; j++)
			driver_expect(&world->driver, j, j);
		assert_false(driver_collect(&world->driver, &used));
	}
}

/* An entry is written only to its own place: the neighbours and the ring's flags stay. */
static void test_used_entries_lie_in_their_places(void **state)
{
	enum { SIZE = 4 };
	struct world *world = *state;
	u32 ring[2 * SIZE], expected[2 * SIZE];

	for (u16 position = 65530; position != 6; position++) {
		start(world, SIZE, position, false);
		memset(driver_at(&world->arena.memory, world->driver.used + 4, 8 * SIZE), 0xaa,
		       8 * SIZE);
		memset(expected, 0xaa, sizeof(expected));
		virtq_push(&world->queue, 3, 0x12345678);
		expected[2 * (position % SIZE)] = 3;
		expected[2 * (position % SIZE) + 1] = 0x12345678;
		memcpy(ring, driver_at(&world->arena.memory, world->driver.used + 4, 8 * SIZE),
		       8 * SIZE);
		assert_memory_equal(ring, expected, sizeof(ring));
		assert_int_equal(driver_used_index(&world->driver), (u16)(position + 1));
		assert_int_equal(driver_used_flags(&world->driver), 0);
		assert_int_equal(driver_available_event(&world->driver), 0);
	}
}

/*
 * 2.7.7.2 and 2.7.10: interrupt when the entry that the driver named is among those that were
 * pushed since the last time. All names around it, for all small numbers of pushes, at the wrap
 * and elsewhere.
 */
static void test_interrupts_by_event_index(void **state)
{
	enum { SIZE = 8 };
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		for (unsigned pushed = 0; pushed <= SIZE; pushed++) {
			for (int ahead = -12; ahead <= 12; ahead++) {
				const bool wanted = ahead >= 0 && ahead < (int)pushed;

				start(world, SIZE, places[i], true);
				driver_set_used_event(&world->driver, (u16)(places[i] + ahead));
				for (unsigned j = 0; j < pushed; j++)
					virtq_push(&world->queue, 0, 0);
				assert_int_equal(virtq_wants_interrupt(&world->queue), wanted);
				/* Nothing was pushed since. */
				assert_false(virtq_wants_interrupt(&world->queue));
			}
			start(world, SIZE, places[i], true);
			driver_set_used_event(&world->driver, (u16)(places[i] + 32768));
			for (unsigned j = 0; j < pushed; j++)
				virtq_push(&world->queue, 0, 0);
			assert_false(virtq_wants_interrupt(&world->queue));
		}
	}
}

/* A driver that names an entry once is told once, however many steps lead there. */
static void test_an_event_index_is_passed_once(void **state)
{
	struct world *world = *state;

	for (u16 step = 1; step <= 5; step++) {
		unsigned told = 0;

		start(world, 256, 65500, true);
		driver_set_used_event(&world->driver, 20);
		for (u16 done = 0; done < 100; done = (u16)(done + step)) {
			for (u16 j = 0; j < step; j++)
				virtq_push(&world->queue, 0, 0);
			if (!virtq_wants_interrupt(&world->queue))
				continue;
			told++;
			/* Entry 20 is written: the index is behind it, by less than a step. */
			assert_in_range(driver_used_index(&world->driver), 21, 20 + step);
		}
		assert_int_equal(told, 1);
	}
}

static void test_event_indexes_make_flags_void(void **state)
{
	struct world *world = *state;

	start(world, 4, 10, true);
	driver_set_flags(&world->driver, 1);
	driver_set_used_event(&world->driver, 10);
	virtq_push(&world->queue, 0, 0);
	assert_true(virtq_wants_interrupt(&world->queue));
	virtq_push(&world->queue, 0, 0);
	assert_false(virtq_wants_interrupt(&world->queue));
	(void)virtq_ask_notify(&world->queue, false);
	assert_int_equal(driver_used_flags(&world->driver), 0);
	(void)virtq_ask_notify(&world->queue, true);
	assert_int_equal(driver_used_flags(&world->driver), 0);
}

static void test_interrupts_by_flag(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		start(world, 8, places[i], false);
		driver_set_used_event(&world->driver, (u16)(places[i] + 100)); /* means nothing */
		assert_false(virtq_wants_interrupt(&world->queue));
		virtq_push(&world->queue, 0, 0);
		assert_true(virtq_wants_interrupt(&world->queue));
		assert_false(virtq_wants_interrupt(&world->queue));
		driver_set_flags(&world->driver, 1);
		virtq_push(&world->queue, 0, 0);
		assert_false(virtq_wants_interrupt(&world->queue));
		/* What was pushed before the flag was cleared is not told any more. */
		driver_set_flags(&world->driver, 0);
		assert_false(virtq_wants_interrupt(&world->queue));
		virtq_push(&world->queue, 0, 0);
		virtq_push(&world->queue, 0, 0);
		assert_true(virtq_wants_interrupt(&world->queue));
		/* Only the lowest bit counts. */
		driver_set_flags(&world->driver, 0xfffe);
		virtq_push(&world->queue, 0, 0);
		assert_true(virtq_wants_interrupt(&world->queue));
		driver_set_flags(&world->driver, 0xffff);
		virtq_push(&world->queue, 0, 0);
		assert_false(virtq_wants_interrupt(&world->queue));
	}
}

/* The driver has to notify for the next chain, and only for it, until it is asked again. */
static void test_notifications_by_event_index(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		u16 before;

		start(world, 8, places[i], true);
		assert_false(virtq_ask_notify(&world->queue, true));
		assert_int_equal(driver_available_event(&world->driver), places[i]);
		before = world->driver.next_available;
		offer(world);
		assert_true(driver_must_kick(&world->driver, before));
		before = world->driver.next_available;
		offer(world);
		offer(world);
		assert_false(driver_must_kick(&world->driver, before));
		/* There are three: asking says so, and names the first that was not taken. */
		assert_true(virtq_ask_notify(&world->queue, true));
		assert_int_equal(driver_available_event(&world->driver), places[i]);
		take(world, 0);
		take(world, 1);
		assert_true(virtq_ask_notify(&world->queue, true));
		assert_int_equal(driver_available_event(&world->driver), (u16)(places[i] + 2));
		take(world, 2);
		assert_false(virtq_ask_notify(&world->queue, false));
		before = world->driver.next_available;
		/* The name is behind already: no notification. */
		offer(world);
		assert_false(driver_must_kick(&world->driver, before));
		assert_false(virtq_ask_notify(&world->queue, false));
		assert_true(virtq_ask_notify(&world->queue, true));
	}
}

static void test_notifications_by_flag(void **state)
{
	struct world *world = *state;

	start(world, 8, 65534, false);
	driver_set_available_event(&world->driver, 0x5555);
	for (unsigned i = 0; i < 8; i++) {
		const u16 before = world->driver.next_available;

		assert_false(virtq_ask_notify(&world->queue, false));
		assert_int_equal(driver_used_flags(&world->driver), 1);
		offer(world);
		assert_false(driver_must_kick(&world->driver, before));
		assert_false(virtq_ask_notify(&world->queue, false));
		assert_true(virtq_ask_notify(&world->queue, true));
		assert_int_equal(driver_used_flags(&world->driver), 0);
		assert_true(driver_must_kick(&world->driver, before));
		take(world, (u16)i);
		assert_false(virtq_ask_notify(&world->queue, true));
	}
	assert_int_equal(driver_available_event(&world->driver), 0x5555);
}

/* What quiesce and resume do: the queue stops with chains under way, and goes on where it was. */
static void test_the_position_is_kept(void **state)
{
	struct world *world = *state;
	struct virtq_regs regs;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		start(world, 8, places[i], true);
		regs = driver_regs(&world->driver);
		driver_set_used_event(&world->driver, (u16)(places[i] + 1));
		for (unsigned j = 0; j < 5; j++)
			offer(world);
		take(world, 0);
		take(world, 1);
		virtq_push(&world->queue, 0, 7);
		assert_false(virtq_wants_interrupt(&world->queue));
		virtq_push(&world->queue, 1, 8);
		virtq_stop(&world->queue);
		assert_int_equal(
			virtq_start(&world->queue, &regs, &world->arena.memory, true, false), 0);
		/* The interrupt for the second is still owed. */
		assert_true(virtq_wants_interrupt(&world->queue));
		assert_true(virtq_ask_notify(&world->queue, true));
		take(world, 2);
		virtq_push(&world->queue, 2, 9);
		driver_expect(&world->driver, 0, 7);
		driver_expect(&world->driver, 1, 8);
		driver_expect(&world->driver, 2, 9);
		take(world, 3);
		take(world, 4);
		assert_int_equal(virtq_pop(&world->queue, &world->chain), VIRTQ_EMPTY);
	}
}

/*
 * A device on a thread of its own, with queues so short that either side waits for the other all
 * the time. Each chain holds a number, which comes back doubled. A notification or an interrupt
 * that gets lost makes both wait for ever.
 */
enum { ROUNDS = 20000 };

struct race {
	struct world *world;
	int notify_fd, interrupt_fd;
	u32 served;
};

static void ring(int fd)
{
	const u64 one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		_exit(2);
}

static void wait_for(int fd)
{
	u64 rings;

	if (read(fd, &rings, sizeof(rings)) != sizeof(rings))
		_exit(2);
}

/* No assertion of cmocka's works on another thread: what is wrong is seen by the driver. */
static void *serve(void *argument)
{
	struct race *race = argument;
	struct virtq *queue = &race->world->queue;
	struct virtq_chain chain;
	u32 number;

	while (race->served < ROUNDS) {
		(void)virtq_ask_notify(queue, false);
		while (virtq_pop(queue, &chain) == VIRTQ_CHAIN) {
			if (virtq_read(&chain, 0, &number, sizeof(number)) != sizeof(number))
				number = 0;
			number *= 2;
			virtq_push(queue, chain.head,
				   virtq_write(&chain, 0, &number, sizeof(number)));
			race->served++;
		}
		if (virtq_wants_interrupt(queue))
			ring(race->interrupt_fd);
		if (race->served < ROUNDS && !virtq_ask_notify(queue, true))
			wait_for(race->notify_fd);
	}
	return NULL;
}

static void put_number(struct world *world, u32 number)
{
	const u64 at = DATA + 8 * (u64)(number % 16);
	const struct driver_buffer buffers[] = {{at, 4, false}, {at + 4, 4, true}};

	memcpy(driver_at(&world->arena.memory, at, 4), &number, 4);
	driver_add(&world->driver, buffers, 2);
}

static void run_race(struct world *world, u16 size, bool event_index)
{
	struct race race = {world, eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC), 0};
	u32 sent = 0, received = 0;
	struct driver_used used;
	pthread_t thread;

	start(world, size, 65000, event_index);
	assert_int_equal(pthread_create(&thread, NULL, serve, &race), 0);
	while (received < ROUNDS) {
		/* A chain takes two descriptors. */
		while (sent < ROUNDS && sent - received < size / 2U) {
			const u16 before = world->driver.next_available;

			put_number(world, sent++);
			driver_kick(&world->driver, before, race.notify_fd);
		}
		while (driver_collect(&world->driver, &used)) {
			u32 number;

			memcpy(&number,
			       driver_at(&world->arena.memory, DATA + 8 * (u64)(received % 16) + 4,
					 4),
			       4);
			assert_int_equal(used.written, 4);
			assert_int_equal(number, 2 * received);
			received++;
		}
		if (received == ROUNDS || (sent < ROUNDS && sent - received < size / 2U))
			continue;
		/* Ask to be told of the next one, look once more, sleep. */
		driver_set_flags(&world->driver, 0);
		driver_set_used_event(&world->driver, world->driver.last_used);
		atomic_thread_fence(memory_order_seq_cst);
		if (driver_used_index(&world->driver) == world->driver.last_used)
			wait_for(race.interrupt_fd);
		driver_set_flags(&world->driver, 1);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(race.served, ROUNDS);
	close(race.notify_fd);
	close(race.interrupt_fd);
}

static void test_two_threads_with_event_indexes(void **state)
{
	struct world *world = *state;

	run_race(world, 2, true);
	run_race(world, 16, true);
}

static void test_two_threads_with_flags(void **state)
{
	struct world *world = *state;

	run_race(world, 2, false);
	run_race(world, 16, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_indexes_wrap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_rings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_used_entries_lie_in_their_places, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_interrupts_by_event_index, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_event_index_is_passed_once, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_event_indexes_make_flags_void, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_interrupts_by_flag, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_notifications_by_event_index, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_notifications_by_flag, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_position_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_two_threads_with_event_indexes, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_two_threads_with_flags, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
