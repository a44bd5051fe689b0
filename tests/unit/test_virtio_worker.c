/*
 * devices/virtio/worker.c: a thread that serves when it may, stops when it is asked and nothing is
 * under way any more, and says so once.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "devices/virtio/worker.h"
#include "tests/unit/virtio_rig.h"

struct world {
	struct rig rig;
	struct virtio_device device;
	struct virtio_worker worker;
	atomic_uint serves;
	void *failed_owner;
};

static struct world world;

/* The device's side: each chain is given back at once. No assertion works on this thread. */
static unsigned serve(void *owner)
{
	struct virtq *ring = &world.device.queue[0];
	struct virtq_chain chain;

	if (owner != &world)
		abort();
	atomic_fetch_add(&world.serves, 1);
	do {
		while (virtq_pop(ring, &chain) == VIRTQ_CHAIN)
			virtq_push(ring, chain.head, 4);
	} while (virtq_ask_notify(ring, true));
	return 1;
}

static void class_start(struct virtio_device *device)
{
	(void)device;
	virtio_worker_run(&world.worker);
}

static bool class_stop(struct virtio_device *device)
{
	(void)device;
	virtio_worker_stop(&world.worker);
	return false;
}

static const struct virtio_class class = {
	.name = "test", .id = 42, .start = class_start, .stop = class_stop};

static void failed(void *owner, const char *why)
{
	(void)why;
	world.failed_owner = owner;
}

static void open_worker(enum sandbox_mode sandbox)
{
	const struct thread_setup setup = {.sandbox = sandbox, .failed = failed, .owner = &world};
	struct io_setup io = {.depth = 1, .ring = {world.rig.interrupt_fd[0]}, .rings = 1};
	struct error err = {.text = ""};

	if (virtio_worker_open(&world.worker, &setup, &io, &err))
		fail_msg("%s", err.text);
}

static int set_up(void **state)
{
	struct error err;

	world = (struct world){.device = {.name = "virtio1",
					  .features = VIRTIO_VERSION_1,
					  .queues = 1,
					  .queue_size_max = RIG_QUEUE_SIZE}};
	rig_init(&world.rig, MIB);
	assert_int_equal(virtio_device_init(&world.device, &class, &err), 0);
	rig_attach(&world.rig, &world.device);
	world.worker.device = &world.device;
	world.worker.serve = serve;
	world.worker.owner = &world;
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_true(virtio_worker_close(&world.worker, 3600 * 1000));
	virtio_device_destroy(&world.device);
	rig_destroy(&world.rig);
	return 0;
}

static void test_it_serves_and_stops(void **state)
{
	const struct driver_buffer buffer = {RIG_DATA, 4, true};

	(void)state;
	open_worker(SANDBOX_OFF);
	for (unsigned round = 0; round < 200; round++) {
		rig_start(&world.rig, VIRTIO_VERSION_1, 1);
		for (unsigned i = 0; i < round % 4; i++) {
			const u16 before = world.rig.driver[0].next_available;

			driver_add(&world.rig.driver[0], &buffer, 1);
			rig_kick(&world.rig, 0, before);
			assert_int_equal(rig_wait(&world.rig, 0).written, 4);
		}
		rig_reset(&world.rig);
	}
}

/* It serves nobody before it is told to, and nobody after: notifications or not. */
static void test_it_waits(void **state)
{
	unsigned serves;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		virtio_notify(&world.device, 0);
	open_worker(SANDBOX_OFF);
	rig_start(&world.rig, VIRTIO_VERSION_1, 1);
	rig_reset(&world.rig);
	serves = atomic_load(&world.serves);
	for (unsigned i = 0; i < 100; i++)
		virtio_notify(&world.device, 0);
	/* Its end comes behind everything that it was told before. */
	assert_true(virtio_worker_close(&world.worker, 3600 * 1000));
	assert_int_equal(atomic_load(&world.serves), serves);
}

/* It ends in the middle of its work, too. */
static void test_it_ends_while_it_serves(void **state)
{
	(void)state;
	open_worker(SANDBOX_OFF);
	rig_start(&world.rig, VIRTIO_VERSION_1, 1);
	assert_true(virtio_worker_close(&world.worker, 3600 * 1000));
}

/* From now on no thread of this process gets another filter. False: that can't be had. */
static bool forbid_filters(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_prctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_SECCOMP, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_LEN(filter), filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* A thread that can't be locked in tells the one who asked for it, as the setup names him. */
static void test_who_is_told_of_a_failure(void **state)
{
	(void)state;
	if (!forbid_filters())
		SKIP("seccomp filters can't be forbidden here");
	open_worker(SANDBOX_ON);
	thread_join(&world.worker.thread);
	assert_ptr_equal(world.failed_owner, &world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_it_serves_and_stops, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_it_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_it_ends_while_it_serves, set_up, tear_down),
		/* The last: it leaves a filter behind. */
		cmocka_unit_test_setup_teardown(test_who_is_told_of_a_failure, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
