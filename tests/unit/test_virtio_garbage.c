/*
 * Guests that write anything anywhere, the same in every run: registers of both transports, and
 * rings full of garbage in front of real devices. Nothing breaks but the device itself, its wires
 * stay in order (fake_wiring.h looks at that), and a reset makes it as good as new.
 */
#include "tests/unit/test.h"

#include <poll.h>

#include "devices/virtio/mmio.h"
#include "devices/virtio/rng.h"
#include "tests/unit/block_world.h"
#include "tests/unit/virtio_pci_world.h"

/* ---- registers ---- */

/* Values that mean something more often than chance would have it. */
static u64 any_value(u32 *random)
{
	static const u64 likely[] = {0,      1,          2,          3,      4,      7,
				     8,      0xf,        0x80,       0xffff, 0x1000, 0x8000,
				     0xc000, 0xfee00000, 0xffffffff, ~(u64)0};

	switch (next_random(random) % 3) {
	case 0:
		return likely[next_random(random) % ARRAY_LEN(likely)];
	case 1:
		return next_random(random) & 0xff;
	default:
		return (u64)next_random(random) << 32 | next_random(random);
	}
}

/* The workers' answer, when they were asked to stop. */
static void answer(struct virtio_world *world)
{
	if (world->device.state == VIRTIO_STOPPING)
		stop_queues(world);
}

/* Now and then the device's side does what it can. */
static void any_work(struct virtio_world *world, u32 *random)
{
	struct virtio_device *device = &world->device;
	const unsigned i = next_random(random) % WORLD_QUEUES;
	struct virtq_chain chain;

	world->stops_at_once = next_random(random) % 2;
	switch (next_random(random) % 8) {
	case 0:
		virtio_config_changed(device);
		break;
	case 1:
		virtio_device_broken(device, "it is a test");
		break;
	case 2:
		if (virtio_quiesce(device, 0))
			virtio_resume(device);
		break;
	case 3:
		answer(world);
		break;
	default:
		if (device->state != VIRTIO_RUNNING)
			break;
		if (virtq_pop(&device->queue[i], &chain) == VIRTQ_CHAIN)
			virtq_push(&device->queue[i], chain.head, 0);
		virtio_signal(device, i, NULL);
	}
}

/* Whatever was done to it: a reset, and the device starts. */
static void reset_world(struct virtio_world *world)
{
	answer(world);
	/* It may have been held, and go on now. */
	virtio_resume(&world->device);
	world->stops_at_once = true;
	set_status(world, 0);
	expect_power_on(world);
}

static void test_registers_of_pci(void **state)
{
	struct virtio_pci_world *world = *state;
	u32 random = 101;

	for (unsigned round = 0; round < 60000; round++) {
		const unsigned width = 1U << next_random(&random) % 4;
		const u64 value = any_value(&random);
		const bool write = next_random(&random) % 4;
		u64 offset;

		switch (next_random(&random) % 8) {
		case 0: /* configuration space, mostly where something can be written */
			offset = next_random(&random) % 256;
			if (write)
				ecam_write(&world->pci, VP_SLOT, (unsigned)offset, 1U << round % 3,
					   (u32)value);
			else
				(void)port_read(&world->pci, VP_SLOT, (unsigned)offset & ~3U, 4);
			break;
		case 1:
			offset = next_random(&random) % 64;
			bus_write(&world->pci.pio, world->io + offset, width, value);
			break;
		case 2: /* vectors */
			offset = 0x1000 + next_random(&random) % 0x1000;
			if (write)
				vp_write(world, offset, width, value);
			else
				(void)vp_read(world, offset, width);
			break;
		case 3:
			offset = next_random(&random) % 0x2000;
			if (write)
				vp_write(world, offset, width, value);
			else
				(void)vp_read(world, offset, width);
			break;
		case 4: /* a queue that may even be good, mostly after a reset */
			if (next_random(&random) % 4)
				vp_write(world, VP_STATUS, 1, 0);
			answer(&world->virtio);
			vp_write(world, VP_QUEUE_SELECT, 2, next_random(&random) % 4);
			vp_write(world, VP_QUEUE_DESC, 8, 0x1000);
			vp_write(world, VP_QUEUE_DRIVER, 8, 0x3000);
			vp_write(world, VP_QUEUE_DEVICE, 8, 0x5000);
			vp_write(world, VP_QUEUE_ENABLE, 2, 1);
			vp_write(world, VP_DRIVER_FEATURE_SELECT, 4, 1);
			vp_write(world, VP_DRIVER_FEATURE, 4, 1);
			vp_write(world, VP_STATUS, 1, WORLD_STARTED);
			break;
		case 5:
			ecam_write(&world->pci, VP_SLOT, 0x04, 2, 7);
			ecam_write(&world->pci, VP_SLOT, 0x10, 4, (u32)world->memory);
			ecam_write(&world->pci, VP_SLOT, 0x14, 4, (u32)world->io);
			break;
		case 6:
			any_work(&world->virtio, &random);
			break;
		default:
			offset = next_random(&random) % VP_COMMON_BYTES;
			vp_write(world, offset, width, value);
		}
		assert_true(world->virtio.device.running_queues <= WORLD_QUEUES);
	}
	/* It was alive in between. */
	assert_true(world->virtio.starts > 100);
	reset_world(&world->virtio);
	assert_int_equal(world->fake.bells, 0);
	ecam_write(&world->pci, VP_SLOT, 0x04, 2, 7);
	ecam_write(&world->pci, VP_SLOT, 0x10, 4, (u32)world->memory);
	vp_start(world, WORLD_FEATURES);
}

struct mmio_world {
	struct virtio_world virtio; /* first */
	struct virtio_mmio mmio;
	struct fake_wiring fake;
	struct bus bus;
};

static void test_registers_of_mmio(void **state)
{
	static struct mmio_world world;
	const u64 base = 0xd0000000;
	struct error err;
	u32 random = 103;

	(void)state;
	world_init(&world.virtio);
	fake_wiring_init(&world.fake, 0);
	assert_int_equal(virtio_mmio_init(&world.mmio, &world.virtio.device, &world.bus,
					  &world.fake.wiring, base, 7, &err),
			 0);
	for (unsigned round = 0; round < 60000; round++) {
		const u64 value = any_value(&random);
		const unsigned what = next_random(&random) % 8;

		if (what == 0) {
			any_work(&world.virtio, &random);
			/* A driver's write to the status would wait for the workers. */
			world.virtio.stops_at_once = true;
			answer(&world.virtio);
		} else if (what == 1) {
			(void)bus_read(&world.bus, base + next_random(&random) % 0x200,
				       1U << round % 4);
		} else if (what == 2) {
			bus_write(&world.bus, base + next_random(&random) % 0x200, 1U << round % 4,
				  value);
		} else if (what == 3) {
			if (next_random(&random) % 4)
				bus_write(&world.bus, base + 0x70, 4, 0);
			bus_write(&world.bus, base + 0x30, 4, next_random(&random) % 4);
			bus_write(&world.bus, base + 0x80, 4, 0x1000);
			bus_write(&world.bus, base + 0x90, 4, 0x3000);
			bus_write(&world.bus, base + 0xa0, 4, 0x5000);
			bus_write(&world.bus, base + 0x44, 4, 1);
			bus_write(&world.bus, base + 0x24, 4, 1);
			bus_write(&world.bus, base + 0x20, 4, 1);
			bus_write(&world.bus, base + 0x70, 4, WORLD_STARTED);
		} else {
			bus_write(&world.bus, base + 4 * (next_random(&random) % 0x40), 4, value);
		}
	}
	assert_true(world.virtio.starts > 100);
	reset_world(&world.virtio);
	assert_int_equal(world.fake.bells, 0);
	start_world(&world.virtio, WORLD_FEATURES);
	assert_int_equal(world.fake.bells, WORLD_QUEUES);
	virtio_mmio_destroy(&world.mmio);
	world_destroy(&world.virtio);
}

/* ---- rings ---- */

/* A descriptor that is good in some of its parts. */
static void any_descriptor(struct rig *rig, u64 table, u16 index, u32 *random)
{
	static const u64 places[] = {RIG_DATA, HEADER_AT, STATUS_AT, TABLE_AT};
	const u64 gpa = next_random(random) % 8 ? places[next_random(random) % ARRAY_LEN(places)]
						: any_value(random);
	const u32 bytes = next_random(random) % 8 ? next_random(random) % 1025
						  : (u32)any_value(random);
	const u16 flags =
		(u16)(next_random(random) % 8 ? next_random(random) % 4 : next_random(random) % 8);

	driver_describe_at(&rig->driver[0], table, index, gpa, bytes, flags,
			   (u16)(next_random(random) % 70));
}

/* What may be taken for a request's header. */
static void any_header(struct rig *rig, u64 gpa, u32 *random)
{
	const struct virtio_blk_outhdr header = {.type = next_random(random) % 16,
						 .sector = next_random(random) % 8
								   ? next_random(random) % SECTORS
								   : any_value(random)};

	memcpy(rig_at(rig, gpa, sizeof(header)), &header, sizeof(header));
}

static void any_rings(struct rig *rig, u32 *random)
{
	struct driver_queue *driver = &rig->driver[0];

	for (u16 i = 0; i < RIG_QUEUE_SIZE; i++)
		any_descriptor(rig, driver->descriptors, i, random);
	for (u16 i = 0; i < 16; i++)
		any_descriptor(rig, TABLE_AT, i, random);
	for (unsigned i = next_random(random) % RIG_QUEUE_SIZE; i > 0; i--)
		driver_offer_head(driver, (u16)(next_random(random) % RIG_QUEUE_SIZE));
	if (next_random(random) % 8 == 0)
		driver_offer_head(driver, (u16)any_value(random));
	if (next_random(random) % 8 == 0)
		driver_publish(driver, (u16)any_value(random));
	driver_set_flags(driver, (u16)any_value(random));
	driver_set_used_event(driver, (u16)any_value(random));
	any_header(rig, HEADER_AT, random);
	any_header(rig, RIG_DATA, random);
}

static void test_rings_of_rng(void **state)
{
	static struct rng rng;
	struct loop loop = {.sources = 0};
	struct rig rig;
	struct error err;
	u32 random = 107;

	(void)state;
	rig_init(&rig, MIB);
	assert_int_equal(rng_open(&rng, &loop, &err), 0);
	rig_attach(&rig, &rng.device);
	for (unsigned round = 0; round < 1000; round++) {
		struct pollfd bell = {.fd = rng.notified.fd, .events = POLLIN};

		rig_start(&rig, round % 2 ? rng.device.features : VIRTIO_VERSION_1, 1);
		any_rings(&rig, &random);
		virtio_notify(&rng.device, 0);
		while (poll(&bell, 1, 0) == 1)
			rng.notified.ready(rng.notified.owner);
		rig_reset(&rig);
	}
	rng_close(&rng);
	rig_destroy(&rig);
}

static void test_rings_of_block(void **state)
{
	struct block_world *world = *state;
	u32 random = 109;

	for (unsigned round = 0; round < 1000; round++) {
		rig_reset(&world->rig);
		rig_start(&world->rig, round % 2 ? BLOCK_FEATURES : VIRTIO_VERSION_1, 1);
		any_rings(&world->rig, &random);
		virtio_notify(&world->block.device, 0);
	}
	rig_reset(&world->rig);
	rig_start(&world->rig, BLOCK_FEATURES, 1);
	memset(rig_at(&world->rig, RIG_DATA, SECTOR), 0x42, SECTOR);
	assert_int_equal(request(world, VIRTIO_BLK_T_OUT, 1, SECTOR), VIRTIO_BLK_S_OK);
	memset(rig_at(&world->rig, RIG_DATA, SECTOR), 0, SECTOR);
	assert_int_equal(request(world, VIRTIO_BLK_T_IN, 1, SECTOR), VIRTIO_BLK_S_OK);
	assert_int_equal(*rig_at(&world->rig, RIG_DATA + SECTOR - 1, 1), 0x42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VP_TEST(test_registers_of_pci),
		cmocka_unit_test(test_registers_of_mmio),
		cmocka_unit_test(test_rings_of_rng),
		cmocka_unit_test_setup_teardown(test_rings_of_block, block_set_up, block_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
