/*
 * vmm/loop.c: sources, timers and bells. Times are checked with room for a slow machine: never
 * early, and not hours late. An alarm ends the program should the loop never stop.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "vmm/loop.h"

#define MS ((u64)1000000)

struct world {
	struct loop loop;
	struct loop_source source;
	struct loop_timer timer;
	struct error err;
	int ends[2];
	unsigned calls;
};

static int set_up(void **state)
{
	static struct world world;

	world = (struct world){0};
	*state = &world;
	alarm(60);
	return pipe2(world.ends, O_CLOEXEC | O_NONBLOCK);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	alarm(0);
	close(world->ends[0]);
	close(world->ends[1]);
	return 0;
}

static void stop(void *owner)
{
	struct world *world = owner;

	world->loop.stop = true;
}

/* Runs the loop for some time. */
static void run_for(struct world *world, u64 ns)
{
	if (!world->timer.fired) {
		loop_add_timer(&world->loop, &world->timer, stop, world);
	}
	world->loop.stop = false;
	loop_timer_set(&world->timer, ns);
	assert_int_equal(loop_run(&world->loop, &world->err), 0);
}

static void count_and_stop(void *owner)
{
	struct world *world = owner;

	world->calls++;
	world->loop.stop = true;
}

static void watch(struct world *world, int fd, short events)
{
	world->source = (struct loop_source){fd, events, count_and_stop, world};
	assert_int_equal(loop_add(&world->loop, &world->source, &world->err), 0);
}

static void test_a_stopped_loop_returns(void **state)
{
	struct world *world = *state;

	world->loop.stop = true;
	assert_int_equal(loop_run(&world->loop, &world->err), 0);
}

/* More than may be open is no wait that could be tried again. */
static void test_a_wait_that_fails_ends_it(void **state)
{
	struct world *world = *state;
	struct rlimit limit, none;

	watch(world, world->ends[0], POLLIN);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){0, limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(loop_run(&world->loop, &world->err), -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_says(world->err.text, "cannot wait for events");
}

static void test_a_source(void **state)
{
	struct world *world = *state;

	watch(world, world->ends[0], POLLIN);
	run_for(world, 5 * MS);
	assert_int_equal(world->calls, 0);
	assert_int_equal(write(world->ends[1], "x", 1), 1);
	run_for(world, 10000 * MS);
	assert_int_equal(world->calls, 1);
	run_for(world, 10000 * MS); /* a level, not an edge */
	assert_int_equal(world->calls, 2);
}

static void test_a_hang_up(void **state)
{
	struct world *world = *state;

	watch(world, world->ends[0], POLLIN);
	close(world->ends[1]);
	world->ends[1] = -1;
	run_for(world, 10000 * MS);
	world->source.events = 0; /* paused: not even that, or the loop would spin */
	run_for(world, 20 * MS);
	assert_int_equal(world->calls, 1);
}

static void test_a_paused_source(void **state)
{
	struct world *world = *state;

	assert_int_equal(write(world->ends[1], "x", 1), 1);
	watch(world, world->ends[0], 0);
	run_for(world, 5 * MS);
	assert_int_equal(world->calls, 0);
	world->source.events = POLLIN;
	run_for(world, 10000 * MS);
	assert_int_equal(world->calls, 1);
	world->source.fd = -1; /* one without a descriptor is ignored */
	run_for(world, 5 * MS);
	assert_int_equal(world->calls, 1);
}

static void test_a_regular_file_is_ready(void **state)
{
	struct world *world = *state;
	const int fd = memfd_create("file", MFD_CLOEXEC);

	watch(world, fd, POLLIN);
	run_for(world, 10000 * MS);
	assert_int_equal(world->calls, 1);
	close(fd);
}

/* The first source pauses the second, which was ready in the same round. */
static void pause_other(void *owner)
{
	struct world *world = owner;

	world->source.events = 0;
	world->loop.stop = true;
}

static void test_a_source_paused_by_another(void **state)
{
	struct world *world = *state;
	struct loop_source first = {world->ends[0], POLLIN, pause_other, world};

	assert_int_equal(write(world->ends[1], "x", 1), 1);
	assert_int_equal(loop_add(&world->loop, &first, &world->err), 0);
	watch(world, world->ends[0], POLLIN);
	run_for(world, 10000 * MS);
	assert_int_equal(world->calls, 0);
}

static void test_sources_run_out(void **state)
{
	struct world *world = *state;
	struct loop_source source = {-1, POLLIN, count_and_stop, world};
	struct loop_timer timer;

	for (unsigned i = 0; i < LOOP_SOURCES_MAX; i++)
		assert_int_equal(loop_add(&world->loop, &source, &world->err), 0);
	assert_int_equal(loop_add(&world->loop, &source, &world->err), -1);
	assert_says(world->err.text, "too many");
	loop_add_timer(&world->loop, &timer, stop, world);
	loop_timer_set(&timer, MS);
	assert_int_equal(loop_run(&world->loop, &world->err), 0);
	assert_true(world->loop.stop);
}

struct mark {
	struct loop_timer timer;
	u64 fired_at;
	unsigned fired;
};

static void mark_fired(void *owner)
{
	struct mark *mark = owner;

	mark->fired_at = clock_now_ns();
	mark->fired++;
}

static void test_timers(void **state)
{
	static const u64 delays[] = {30 * MS, 10 * MS, 20 * MS, 0};
	struct world *world = *state;
	struct mark marks[4] = {{.fired = 0}};
	const u64 start = clock_now_ns();

	for (unsigned i = 0; i < 4; i++) {
		loop_add_timer(&world->loop, &marks[i].timer, mark_fired, &marks[i]);
		if (i != 3)
			loop_timer_set(&marks[i].timer, delays[i]);
	}
	run_for(world, 60 * MS);
	assert_true(clock_now_ns() >= start + 60 * MS);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(marks[i].fired, 1); /* once */
		assert_true(marks[i].fired_at >= start + delays[i]);
		assert_int_equal(marks[i].timer.deadline_ns, 0);
	}
	assert_int_equal(marks[3].fired, 0); /* never set */
}

static void test_a_timer_set_again(void **state)
{
	struct world *world = *state;
	struct mark mark = {.fired = 0};

	loop_add_timer(&world->loop, &mark.timer, mark_fired, &mark);
	loop_timer_set(&mark.timer, MS);
	loop_timer_set(&mark.timer, 3600000 * MS);
	run_for(world, 20 * MS);
	assert_int_equal(mark.fired, 0);
	loop_timer_set(&mark.timer, 0);
	run_for(world, 20 * MS);
	assert_int_equal(mark.fired, 1);
	loop_timer_set(&mark.timer, MS);
	mark.timer.deadline_ns = 0; /* cancelled */
	run_for(world, 20 * MS);
	assert_int_equal(mark.fired, 1);
}

static void ignore_signal(int number)
{
	(void)number;
}

/* poll(2) is interrupted all the time; the loop waits on as if nothing had been. */
static void test_signals(void **state)
{
	struct sigaction action = {.sa_handler = ignore_signal}, old;
	const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
	struct world *world = *state;
	const u64 start = clock_now_ns();

	alarm(0); /* it shares its signal with the timer */
	assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	watch(world, world->ends[0], POLLIN);
	run_for(world, 50 * MS);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
	assert_int_equal(world->calls, 0);
	assert_true(clock_now_ns() >= start + 50 * MS);
}

/* Bells. */
struct bell {
	struct loop_wake wake;
	struct world *world;
	unsigned heard;
};

static void bell_woken(void *owner)
{
	struct bell *bell = owner;

	bell->heard++;
	bell->world->loop.stop = true;
}

static void test_many_rings_are_heard_as_one(void **state)
{
	struct world *world = *state;
	struct bell bell = {.world = world};

	assert_int_equal(loop_wake_init(&bell.wake, &world->loop, bell_woken, &bell, &world->err),
			 0);
	run_for(world, 5 * MS);
	assert_int_equal(bell.heard, 0);
	for (unsigned i = 0; i < 1000; i++)
		loop_wake_signal(&bell.wake);
	run_for(world, 10000 * MS);
	assert_int_equal(bell.heard, 1);
	run_for(world, 5 * MS);
	assert_int_equal(bell.heard, 1);
	loop_wake_signal(&bell.wake);
	run_for(world, 10000 * MS);
	assert_int_equal(bell.heard, 2);
	loop_wake_close(&bell.wake);
	assert_int_equal(bell.wake.source.fd, -1);
	loop_wake_close(&bell.wake);
	loop_wake_signal(&bell.wake); /* into the void */
}

static void test_a_bell_that_cannot_be_added_is_closed_by_its_owner(void **state)
{
	struct world *world = *state;
	struct loop_source source = {-1, POLLIN, count_and_stop, world};
	struct bell bell = {.world = world};

	while (loop_add(&world->loop, &source, &world->err) == 0)
		;
	assert_int_equal(loop_wake_init(&bell.wake, &world->loop, bell_woken, &bell, &world->err),
			 -1);
	loop_wake_close(&bell.wake);
}

/* Threads ring after each thing that they did; the loop must hear of the last one. */
enum { THREADS = 4, RINGS = 2000 };

struct crowd {
	struct loop_wake wake;
	struct world *world;
	pthread_mutex_t lock;
	unsigned done; /* guarded by lock */
};

static void *ring_often(void *owner)
{
	struct crowd *crowd = owner;

	for (unsigned i = 0; i < RINGS; i++) {
		pthread_mutex_lock(&crowd->lock);
		crowd->done++;
		pthread_mutex_unlock(&crowd->lock);
		loop_wake_signal(&crowd->wake);
	}
	return NULL;
}

static void crowd_woken(void *owner)
{
	struct crowd *crowd = owner;

	pthread_mutex_lock(&crowd->lock);
	crowd->world->loop.stop = crowd->done == THREADS * RINGS;
	pthread_mutex_unlock(&crowd->lock);
}

static void test_rings_of_many_threads(void **state)
{
	struct world *world = *state;
	struct crowd crowd = {.world = world, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t threads[THREADS];

	assert_int_equal(
		loop_wake_init(&crowd.wake, &world->loop, crowd_woken, &crowd, &world->err), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ring_often, &crowd), 0);
	assert_int_equal(loop_run(&world->loop, &world->err),
			 0); /* the alarm ends it if the last ring is lost */
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(crowd.done, THREADS * RINGS);
	loop_wake_close(&crowd.wake);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_stopped_loop_returns),
		TEST(test_a_wait_that_fails_ends_it),
		TEST(test_a_source),
		TEST(test_a_hang_up),
		TEST(test_a_paused_source),
		TEST(test_a_regular_file_is_ready),
		TEST(test_a_source_paused_by_another),
		TEST(test_sources_run_out),
		TEST(test_timers),
		TEST(test_a_timer_set_again),
		TEST(test_signals),
		TEST(test_many_rings_are_heard_as_one),
		TEST(test_a_bell_that_cannot_be_added_is_closed_by_its_owner),
		TEST(test_rings_of_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
