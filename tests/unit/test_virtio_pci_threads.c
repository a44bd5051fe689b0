/*
 * devices/virtio/pci.c and devices/pci.c with all that may happen at once: a vCPU that starts and
 * resets the device and switches its interrupts, another that moves its BAR and reads its
 * configuration, and a worker that interrupts and stops when it is asked. For ThreadSanitizer, and
 * for locks that are taken in two orders.
 */
#include "tests/unit/test.h"

#include <pthread.h>
#include <sched.h>

#include "tests/unit/virtio_pci_world.h"

enum { ROUNDS = 200 };

struct race {
	struct virtio_pci_world *world;
	atomic_bool done;
	unsigned pushed, stopped; /* the worker's */
};

static enum virtio_run_state state_of(struct virtio_device *device)
{
	enum virtio_run_state state;

	pthread_mutex_lock(&device->lock);
	state = device->state;
	pthread_mutex_unlock(&device->lock);
	return state;
}

static void *work(void *argument)
{
	struct race *race = argument;
	struct virtio_device *device = &race->world->virtio.device;

	while (!atomic_load(&race->done)) {
		const enum virtio_run_state state = state_of(device);

		for (unsigned i = 0; i < WORLD_QUEUES && state == VIRTIO_RUNNING; i++) {
			virtq_push(&device->queue[i], 0, 0);
			virtio_signal(device, i, NULL);
			race->pushed++;
		}
		if (state == VIRTIO_RUNNING && race->pushed % 7 == 0)
			virtio_config_changed(device);
		if (state == VIRTIO_RUNNING && race->pushed % 500 == 0)
			virtio_device_broken(device, "it is a test");
		for (unsigned i = 0; i < WORLD_QUEUES && state == VIRTIO_STOPPING; i++) {
			virtio_queue_stopped(device, i);
			race->stopped++;
		}
		sched_yield();
	}
	return NULL;
}

/* Moves the BAR of ports to and fro, and looks at everything. */
static void *move(void *argument)
{
	struct race *race = argument;
	struct pci_world *pci = &race->world->pci;
	const u32 io = (u32)race->world->io;
	unsigned round = 0;

	while (!atomic_load(&race->done)) {
		ecam_write(pci, VP_SLOT, 0x14, 4, io + (round % 3) * 0x100);
		ecam_write(pci, VP_SLOT, 0x04, 2, round % 5 ? 0x0007 : 0x0406);
		for (unsigned offset = 0; offset < 256; offset += 4)
			(void)ecam_read(pci, VP_SLOT, offset, 4);
		(void)bus_read(&pci->pio, io, 2);
		round++;
	}
	ecam_write(pci, VP_SLOT, 0x14, 4, io);
	ecam_write(pci, VP_SLOT, 0x04, 2, 7);
	return NULL;
}

static void wait_for_reset(struct virtio_pci_world *world)
{
	vp_write(world, VP_STATUS, 1, 0);
	while (vp_read(world, VP_STATUS, 1))
		sched_yield();
}

static void test_everything_at_once(void **state)
{
	struct virtio_pci_world *world = *state;
	struct race race = {.world = world};
	pthread_t worker, mover;
	unsigned capability = ecam_read(&world->pci, VP_SLOT, 0x34, 1);

	while (ecam_read(&world->pci, VP_SLOT, capability, 1) != 0x11)
		capability = ecam_read(&world->pci, VP_SLOT, capability + 1, 1);
	assert_int_equal(pthread_create(&worker, NULL, work, &race), 0);
	assert_int_equal(pthread_create(&mover, NULL, move, &race), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		vp_start(world, round % 2 ? WORLD_FEATURES : VIRTIO_VERSION_1);
		for (unsigned i = 0; i < 20; i++) {
			const unsigned v = i % VP_VECTORS;

			ecam_write(&world->pci, VP_SLOT, capability + 2, 2, i % 4 ? 0x8000 : 0);
			vp_write(world, 0x1000 + 16 * v, 4, 0xfee00000 + 0x1000 * v);
			vp_write(world, 0x1000 + 16 * v + 8, 4, 0x40 + v);
			vp_write(world, 0x1000 + 16 * v + 12, 4, i % 3 == 0);
			vp_write(world, VP_QUEUE_SELECT, 2, i % WORLD_QUEUES);
			vp_write(world, VP_QUEUE_VECTOR, 2, v);
			(void)vp_read(world, 0x100, 1);
			(void)vp_read(world, 0x1800, 8);
		}
		wait_for_reset(world);
	}
	atomic_store(&race.done, true);
	assert_int_equal(pthread_join(worker, NULL), 0);
	assert_int_equal(pthread_join(mover, NULL), 0);
	assert_int_equal(race.stopped, ROUNDS * WORLD_QUEUES);
	assert_int_equal(world->fake.bells, 0);
	expect_power_on(&world->virtio);
	/* No interrupt is left over on the line. */
	(void)vp_read(world, 0x100, 1);
	for (unsigned i = 0; i < PCI_LINES; i++)
		assert_false(world->pci.level[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VP_TEST(test_everything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
