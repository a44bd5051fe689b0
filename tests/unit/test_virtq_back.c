/*
 * devices/virtio/queue.c: chains that are put back, and chains that the driver sees all at once.
 */
#include "tests/unit/test.h"

#include "tests/unit/driver.h"

enum { SIZE = 8, RINGS = 0x1000, DATA = 0x8000 };

struct world {
	struct arena arena;
	struct driver_queue driver;
	struct virtq queue;
	struct virtq_chain chain;
};

static int set_up(void **state)
{
	static struct world world;
	struct virtq_regs regs;

	world = (struct world){0};
	arena_make(&world.arena, MIB, 0);
	driver_make(&world.driver, &world.arena.memory, RINGS, SIZE);
	regs = driver_regs(&world.driver);
	assert_int_equal(virtq_start(&world.queue, &regs, &world.arena.memory, true, true), 0);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	arena_free(&world->arena);
	return 0;
}

static u16 offer(struct world *world, u32 bytes)
{
	const struct driver_buffer buffer = {DATA, bytes, true};

	return driver_add(&world->driver, &buffer, 1);
}

static void expect_chain(struct world *world, u16 head, u32 bytes)
{
	assert_int_equal(virtq_pop(&world->queue, &world->chain), VIRTQ_CHAIN);
	assert_int_equal(world->chain.head, head);
	assert_int_equal(world->chain.in_bytes, bytes);
}

/* Also where the index wraps. */
static void test_unpop(void **state)
{
	struct world *world = *state;

	driver_begin_at(&world->driver, 0xfffe);
	world->queue.position.next_available = world->queue.position.next_used = 0xfffe;
	for (u32 round = 0; round < 3; round++) {
		u16 head[4];

		for (u32 i = 0; i < 4; i++)
			head[i] = offer(world, 100 + i);
		for (u32 i = 0; i < 4; i++)
			expect_chain(world, head[i], 100 + i);
		assert_int_equal(virtq_pop(&world->queue, &world->chain), VIRTQ_EMPTY);
		virtq_unpop(&world->queue, 3);
		for (u32 i = 1; i < 4; i++)
			expect_chain(world, head[i], 100 + i);
		virtq_unpop(&world->queue, 0);
		assert_int_equal(virtq_pop(&world->queue, &world->chain), VIRTQ_EMPTY);
		for (u32 i = 0; i < 4; i++) {
			virtq_push(&world->queue, head[i], i);
			driver_expect(&world->driver, head[i], i);
		}
	}
}

/* What has changed meanwhile is seen: a chain that is put back is forgotten. */
static void test_it_is_read_anew(void **state)
{
	struct world *world = *state;
	const u16 head = offer(world, 100);

	expect_chain(world, head, 100);
	virtq_unpop(&world->queue, 1);
	driver_describe(&world->driver, head, DATA, 200, DRIVER_WRITE, 0);
	expect_chain(world, head, 200);
}

static void test_all_at_once(void **state)
{
	struct world *world = *state;
	u16 head[3];

	for (u32 i = 0; i < 3; i++)
		head[i] = offer(world, 100);
	for (u32 i = 0; i < 3; i++) {
		expect_chain(world, head[i], 100);
		virtq_place(&world->queue, head[i], i);
		assert_int_equal(driver_used_index(&world->driver), 0);
	}
	virtq_publish(&world->queue);
	assert_int_equal(driver_used_index(&world->driver), 3);
	for (u32 i = 0; i < 3; i++)
		driver_expect(&world->driver, head[i], i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unpop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_it_is_read_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_all_at_once, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
