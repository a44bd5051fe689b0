/* A virtio device behind PCI: see virtio_pci_world.h. */
#include "tests/unit/test.h"

#include "tests/unit/virtio_pci_world.h"

int vp_set_up(void **state)
{
	static struct virtio_pci_world world;
	struct error err;

	world_init(&world.virtio);
	pci_world_init(&world.pci);
	fake_wiring_init(&world.fake, VP_FIRST_GSI);
	if (virtio_pci_init(&world.transport, &world.virtio.device, &world.pci.host,
			    &world.fake.wiring, VP_FIRST_GSI, &err))
		fail_msg("%s", err.text);
	ecam_write(&world.pci, VP_SLOT, 0x04, 2, 7);
	world.memory = ecam_read(&world.pci, VP_SLOT, 0x10, 4) & 0xfffffff0;
	world.io = ecam_read(&world.pci, VP_SLOT, 0x14, 4) & 0xfffffffc;
	*state = &world;
	return 0;
}

int vp_tear_down(void **state)
{
	struct virtio_pci_world *world = *state;

	virtio_pci_destroy(&world->transport);
	pci_world_destroy(&world->pci);
	world_destroy(&world->virtio);
	return 0;
}

u64 vp_read(struct virtio_pci_world *world, u64 offset, unsigned width)
{
	return bus_read(&world->pci.mmio, world->memory + offset, width);
}

void vp_write(struct virtio_pci_world *world, u64 offset, unsigned width, u64 value)
{
	bus_write(&world->pci.mmio, world->memory + offset, width, value);
}

static void start_queue(struct virtio_pci_world *world, u16 i)
{
	struct driver_queue *driver = &world->virtio.driver[i];

	driver_make(driver, &world->virtio.arena.memory, 0x1000 + 0x8000 * (u64)i, (u16)(8 << i));
	vp_write(world, VP_QUEUE_SELECT, 2, i);
	vp_write(world, VP_QUEUE_SIZE, 2, driver->size);
	vp_write(world, VP_QUEUE_DESC, 4, driver->descriptors);
	vp_write(world, VP_QUEUE_DESC + 4, 4, 0);
	vp_write(world, VP_QUEUE_DRIVER, 4, driver->available);
	vp_write(world, VP_QUEUE_DRIVER + 4, 4, 0);
	vp_write(world, VP_QUEUE_DEVICE, 8, driver->used);
	vp_write(world, VP_QUEUE_ENABLE, 2, 1);
}

void vp_start(struct virtio_pci_world *world, u64 features)
{
	vp_write(world, VP_STATUS, 1, VIRTIO_ACKNOWLEDGE);
	vp_write(world, VP_STATUS, 1, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
	vp_write(world, VP_DRIVER_FEATURE_SELECT, 4, 0);
	vp_write(world, VP_DRIVER_FEATURE, 4, features & 0xffffffff);
	vp_write(world, VP_DRIVER_FEATURE_SELECT, 4, 1);
	vp_write(world, VP_DRIVER_FEATURE, 4, features >> 32);
	vp_write(world, VP_STATUS, 1, WORLD_STARTED & ~VIRTIO_DRIVER_OK);
	assert_int_equal(vp_read(world, VP_STATUS, 1), WORLD_STARTED & ~VIRTIO_DRIVER_OK);
	for (u16 i = 0; i < WORLD_QUEUES; i++)
		start_queue(world, i);
	vp_write(world, VP_STATUS, 1, WORLD_STARTED);
	assert_int_equal(vp_read(world, VP_STATUS, 1) & WORLD_STARTED, WORLD_STARTED);
}
