/*
 * devices/virtio/pci.c: the registers of BAR 0, against a table made from virtio 1.2, 4.1.4.3 to
 * 4.1.4.6: every width at every offset.
 */
#include "tests/unit/test.h"

#include "tests/unit/virtio_pci_world.h"

enum { ISR = 0x100, CONFIG = 0x200, NOTIFY = 0x400 };

static const struct {
	unsigned offset, bytes;
	bool writable;
} fields[] = {
	{VP_DEVICE_FEATURE_SELECT, 4, true},
	{VP_DEVICE_FEATURE, 4, false},
	{VP_DRIVER_FEATURE_SELECT, 4, true},
	{VP_DRIVER_FEATURE, 4, true},
	{VP_CONFIG_VECTOR, 2, true},
	{VP_NUM_QUEUES, 2, false},
	{VP_STATUS, 1, true},
	{VP_GENERATION, 1, false},
	{VP_QUEUE_SELECT, 2, true},
	{VP_QUEUE_SIZE, 2, true},
	{VP_QUEUE_VECTOR, 2, true},
	{VP_QUEUE_ENABLE, 2, true},
	{VP_QUEUE_NOTIFY_OFFSET, 2, false},
	{VP_QUEUE_DESC, 8, true},
	{VP_QUEUE_DRIVER, 8, true},
	{VP_QUEUE_DEVICE, 8, true},
};

/* Whether a write is one that the specification wants a driver to make, and of which field. */
static bool is_natural(unsigned offset, unsigned width, size_t *field)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const bool half = fields[i].bytes == 8 && width == 4 &&
				  offset == fields[i].offset + 4;

		*field = i;
		if ((offset == fields[i].offset &&
		     (width == fields[i].bytes || (fields[i].bytes == 8 && width == 4))) ||
		    half)
			return fields[i].writable;
	}
	return false;
}

static void snapshot(struct virtio_pci_world *world, u8 *bytes)
{
	for (unsigned i = 0; i < VP_COMMON_BYTES; i++)
		bytes[i] = (u8)vp_read(world, i, 1);
}

static u64 at(const u8 *bytes, unsigned offset, unsigned width)
{
	u64 value = 0;

	memcpy(&value, bytes + offset, width);
	return value;
}

static void put(u8 *bytes, unsigned offset, unsigned width, u64 value)
{
	memcpy(bytes + offset, &value, width);
}

/* A device whose every field has a value of its own. */
static void fill_registers(struct virtio_pci_world *world, u8 *expected)
{
	vp_write(world, VP_DEVICE_FEATURE_SELECT, 4, 1);
	vp_write(world, VP_DRIVER_FEATURE_SELECT, 4, 1);
	vp_write(world, VP_DRIVER_FEATURE, 4, 0x98765432);
	vp_write(world, VP_CONFIG_VECTOR, 2, 3);
	vp_write(world, VP_STATUS, 1, 3);
	vp_write(world, VP_QUEUE_SELECT, 2, 2);
	vp_write(world, VP_QUEUE_SIZE, 2, 128);
	vp_write(world, VP_QUEUE_VECTOR, 2, 1);
	vp_write(world, VP_QUEUE_DESC, 8, 0x1122334455667788);
	vp_write(world, VP_QUEUE_DRIVER, 8, 0x99aabbccddeeff01);
	vp_write(world, VP_QUEUE_DEVICE, 8, 0x123456789abcdef0);
	virtio_config_changed(&world->virtio.device);
	put(expected, VP_DEVICE_FEATURE_SELECT, 4, 1);
	put(expected, VP_DEVICE_FEATURE, 4, WORLD_FEATURES >> 32);
	put(expected, VP_DRIVER_FEATURE_SELECT, 4, 1);
	put(expected, VP_DRIVER_FEATURE, 4, 0x98765432);
	put(expected, VP_CONFIG_VECTOR, 2, 3);
	put(expected, VP_NUM_QUEUES, 2, WORLD_QUEUES);
	put(expected, VP_STATUS, 1, 3);
	put(expected, VP_GENERATION, 1, 1);
	put(expected, VP_QUEUE_SELECT, 2, 2);
	put(expected, VP_QUEUE_SIZE, 2, 128);
	put(expected, VP_QUEUE_VECTOR, 2, 1);
	put(expected, VP_QUEUE_ENABLE, 2, 0);
	put(expected, VP_QUEUE_NOTIFY_OFFSET, 2, 2);
	put(expected, VP_QUEUE_DESC, 8, 0x1122334455667788);
	put(expected, VP_QUEUE_DRIVER, 8, 0x99aabbccddeeff01);
	put(expected, VP_QUEUE_DEVICE, 8, 0x123456789abcdef0);
}

static void test_reads(void **state)
{
	struct virtio_pci_world *world = *state;
	u8 expected[VP_COMMON_BYTES + 8];

	memset(expected, 0xff, sizeof(expected));
	fill_registers(world, expected);
	for (unsigned offset = 0; offset < VP_COMMON_BYTES; offset++) {
		for (unsigned width = 1; width <= 8; width *= 2)
			assert_true(vp_read(world, offset, width) == at(expected, offset, width));
	}
	/* Nothing reads all-ones. */
	for (unsigned offset = VP_COMMON_BYTES; offset + 8 <= ISR; offset++)
		assert_true(vp_read(world, offset, 8) == ~(u64)0);
}

static void test_power_on(void **state)
{
	struct virtio_pci_world *world = *state;
	u8 expected[VP_COMMON_BYTES] = {0}, got[VP_COMMON_BYTES];

	snapshot(world, got);
	put(expected, VP_DEVICE_FEATURE, 4, (u32)WORLD_FEATURES);
	put(expected, VP_CONFIG_VECTOR, 2, 0xffff);
	put(expected, VP_NUM_QUEUES, 2, WORLD_QUEUES);
	put(expected, VP_QUEUE_SIZE, 2, WORLD_QUEUE_SIZE);
	put(expected, VP_QUEUE_VECTOR, 2, 0xffff);
	assert_memory_equal(got, expected, sizeof(got));
	/* And again after a reset, whatever was there. */
	fill_registers(world, got);
	vp_write(world, VP_STATUS, 1, 0);
	vp_write(world, VP_QUEUE_SELECT, 2, 2);
	assert_int_equal(vp_read(world, VP_QUEUE_VECTOR, 2), 0xffff);
	assert_int_equal(vp_read(world, VP_QUEUE_SIZE, 2), WORLD_QUEUE_SIZE);
	vp_write(world, VP_QUEUE_SELECT, 2, 0);
	snapshot(world, got);
	got[VP_GENERATION] = 0;
	assert_memory_equal(got, expected, sizeof(got));
}

/*
 * Garbage at every offset and width of the common configuration. What is no field's own access
 * changes nothing; what is, changes that field alone. (Those that select show others in their
 * windows, and the status has tests of its own.)
 */
static void test_garbage(void **state)
{
	struct virtio_pci_world *world = *state;
	u8 before[VP_COMMON_BYTES], after[VP_COMMON_BYTES], unused[VP_COMMON_BYTES + 8];
	u32 random = 11;

	fill_registers(world, unused);
	for (unsigned offset = 0; offset < ISR; offset++) {
		for (unsigned width = 1; width <= 8; width *= 2) {
			const u64 value = (u64)next_random(&random) << 32 | next_random(&random);
			const struct virtio_regs regs = world->virtio.device.regs;
			size_t field;

			snapshot(world, before);
			if (is_natural(offset, width, &field)) {
				if (fields[field].offset == VP_STATUS)
					continue;
				vp_write(world, offset, width, value);
				snapshot(world, after);
				for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
					if (i == field ||
					    fields[field].offset == VP_DEVICE_FEATURE_SELECT ||
					    fields[field].offset == VP_DRIVER_FEATURE_SELECT ||
					    fields[field].offset == VP_QUEUE_SELECT)
						continue;
					assert_memory_equal(before + fields[i].offset,
							    after + fields[i].offset,
							    fields[i].bytes);
				}
				world->virtio.device.regs = regs;
				continue;
			}
			vp_write(world, offset, width, value);
			snapshot(world, after);
			assert_memory_equal(before, after, sizeof(before));
			assert_memory_equal(&regs, &world->virtio.device.regs, sizeof(regs));
		}
	}
	assert_int_equal(world->virtio.starts, 0);
}

static void test_fields_that_only_read(void **state)
{
	struct virtio_pci_world *world = *state;
	u8 before[VP_COMMON_BYTES], after[VP_COMMON_BYTES], unused[VP_COMMON_BYTES + 8];

	fill_registers(world, unused);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (fields[i].writable)
			continue;
		snapshot(world, before);
		vp_write(world, fields[i].offset, fields[i].bytes, 0);
		vp_write(world, fields[i].offset, fields[i].bytes, ~(u64)0);
		snapshot(world, after);
		assert_memory_equal(before, after, sizeof(before));
	}
}

static void test_addresses_by_halves(void **state)
{
	static const unsigned places[] = {VP_QUEUE_DESC, VP_QUEUE_DRIVER, VP_QUEUE_DEVICE};
	struct virtio_pci_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		vp_write(world, places[i], 8, 0x1122334455667788);
		assert_true(vp_read(world, places[i], 8) == 0x1122334455667788);
		vp_write(world, places[i], 4, 0xaabbccdd);
		assert_true(vp_read(world, places[i], 8) == 0x11223344aabbccdd);
		vp_write(world, places[i] + 4, 4, 0x99887766);
		assert_true(vp_read(world, places[i], 8) == 0x99887766aabbccdd);
		/* Halves that overlap two fields are no halves. */
		vp_write(world, places[i] + 4, 8, 0);
		vp_write(world, places[i] + 2, 4, 0);
		assert_true(vp_read(world, places[i], 8) == 0x99887766aabbccdd);
	}
	assert_true(world->virtio.device.regs.queue[0].descriptors == 0x99887766aabbccdd);
	assert_true(world->virtio.device.regs.queue[0].available == 0x99887766aabbccdd);
	assert_true(world->virtio.device.regs.queue[0].used == 0x99887766aabbccdd);
	assert_true(world->virtio.device.regs.queue[1].descriptors == 0);
}

/* 4.1.4.3.1: a queue that there isn't has the size 0, and takes nothing. */
static void test_queues_that_are_none(void **state)
{
	static const u16 none[] = {WORLD_QUEUES, 16, 17, 0x7fff, 0xffff};
	struct virtio_pci_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		struct virtio_regs before;

		vp_write(world, VP_QUEUE_SELECT, 2, none[i]);
		assert_int_equal(vp_read(world, VP_QUEUE_SELECT, 2), none[i]);
		before = world->virtio.device.regs;
		assert_int_equal(vp_read(world, VP_QUEUE_SIZE, 2), 0);
		assert_int_equal(vp_read(world, VP_QUEUE_ENABLE, 2), 0);
		for (unsigned offset = VP_QUEUE_SIZE; offset < VP_COMMON_BYTES; offset += 2)
			vp_write(world, offset, 2, 1);
		for (unsigned offset = VP_QUEUE_DESC; offset < VP_COMMON_BYTES; offset += 8)
			vp_write(world, offset, 8, 0x1000);
		assert_memory_equal(&before, &world->virtio.device.regs, sizeof(before));
	}
}

static void test_enabling_queues(void **state)
{
	static const u16 values[] = {0, 2, 3, 0x100, 0x101, 0xffff};
	struct virtio_pci_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		vp_write(world, VP_QUEUE_ENABLE, 2, values[i]);
		assert_int_equal(vp_read(world, VP_QUEUE_ENABLE, 2), 0);
	}
	vp_write(world, VP_QUEUE_ENABLE, 2, 1);
	assert_int_equal(vp_read(world, VP_QUEUE_ENABLE, 2), 1);
	/* In use: nothing of it changes but its vector. */
	vp_write(world, VP_QUEUE_SIZE, 2, 2);
	vp_write(world, VP_QUEUE_DESC, 8, 0x5000);
	vp_write(world, VP_QUEUE_DRIVER, 4, 0x5000);
	vp_write(world, VP_QUEUE_DEVICE + 4, 4, 0x5000);
	vp_write(world, VP_QUEUE_ENABLE, 2, 0);
	assert_int_equal(vp_read(world, VP_QUEUE_ENABLE, 2), 1);
	assert_int_equal(vp_read(world, VP_QUEUE_SIZE, 2), WORLD_QUEUE_SIZE);
	assert_int_equal(vp_read(world, VP_QUEUE_DESC, 8), 0);
	assert_int_equal(vp_read(world, VP_QUEUE_DRIVER, 8), 0);
	assert_int_equal(vp_read(world, VP_QUEUE_DEVICE, 8), 0);
	vp_write(world, VP_QUEUE_SELECT, 2, 1);
	assert_int_equal(vp_read(world, VP_QUEUE_ENABLE, 2), 0);
}

/* 4.1.5.1.2.1: a vector reads back as written, or as none when there isn't such a one. */
static void test_vectors(void **state)
{
	static const struct {
		u16 written, read;
	} table[] = {{0, 0},
		     {VP_VECTORS - 1, VP_VECTORS - 1},
		     {VP_VECTORS, 0xffff},
		     {1, 1},
		     {0x100, 0xffff},
		     {2, 2},
		     {0xfffe, 0xffff},
		     {1, 1},
		     {0xffff, 0xffff}};
	struct virtio_pci_world *world = *state;

	for (unsigned running = 0; running < 2; running++) {
		if (running)
			vp_start(world, WORLD_FEATURES);
		vp_write(world, VP_QUEUE_SELECT, 2, 1);
		for (size_t i = 0; i < ARRAY_LEN(table); i++) {
			vp_write(world, VP_QUEUE_VECTOR, 2, table[i].written);
			assert_int_equal(vp_read(world, VP_QUEUE_VECTOR, 2), table[i].read);
			vp_write(world, VP_CONFIG_VECTOR, 2, table[i].written);
			assert_int_equal(vp_read(world, VP_CONFIG_VECTOR, 2), table[i].read);
		}
	}
	vp_write(world, VP_QUEUE_SELECT, 2, 0);
	assert_int_equal(vp_read(world, VP_QUEUE_VECTOR, 2), 0xffff);
}

/* 4.1.4.3.2: a driver that resets waits until the status reads 0. */
static void test_the_status(void **state)
{
	struct virtio_pci_world *world = *state;

	vp_start(world, WORLD_FEATURES);
	assert_int_equal(world->virtio.starts, 1);
	vp_write(world, VP_STATUS, 1, 0);
	assert_int_equal(vp_read(world, VP_STATUS, 1), WORLD_STARTED);
	vp_write(world, VP_QUEUE_SELECT, 2, 0);
	vp_write(world, VP_QUEUE_VECTOR, 2, 1);
	vp_write(world, VP_CONFIG_VECTOR, 2, 1);
	assert_int_equal(vp_read(world, VP_QUEUE_VECTOR, 2), 0xffff);
	assert_int_equal(vp_read(world, VP_CONFIG_VECTOR, 2), 0xffff);
	stop_queues(&world->virtio);
	assert_int_equal(vp_read(world, VP_STATUS, 1), 0);
	assert_int_equal(vp_read(world, VP_QUEUE_VECTOR, 2), 0xffff);
	assert_int_equal(vp_read(world, VP_CONFIG_VECTOR, 2), 0xffff);
	vp_start(world, VIRTIO_VERSION_1);
	assert_int_equal(world->virtio.starts, 2);
}

static void test_the_isr(void **state)
{
	struct virtio_pci_world *world = *state;
	atomic_uint *isr = &world->virtio.device.isr;

	for (unsigned width = 1; width <= 8; width *= 2) {
		atomic_store(isr, 3);
		assert_int_equal(vp_read(world, ISR, width) & 0xff, 3);
		assert_int_equal(vp_read(world, ISR, width) & 0xff, 0);
	}
	/* Neither a write nor what lies beside it takes it away. */
	atomic_store(isr, 1);
	for (unsigned width = 1; width <= 8; width *= 2) {
		vp_write(world, ISR, width, ~(u64)0);
		vp_write(world, ISR, width, 0);
		(void)vp_read(world, ISR - 8, width);
		(void)vp_read(world, ISR + 1, width);
		(void)vp_read(world, ISR + 8, width);
	}
	assert_int_equal(atomic_load(isr), 1);
	assert_int_equal(vp_read(world, ISR, 1), 1);
}

static void test_the_device_configuration(void **state)
{
	struct virtio_pci_world *world = *state;
	unsigned writes = 0;
	u8 expected[WORLD_CONFIG_BYTES + 16];

	memset(expected, 0xff, sizeof(expected));
	memcpy(expected, world->virtio.config, WORLD_CONFIG_BYTES);
	for (unsigned offset = 0; offset < WORLD_CONFIG_BYTES + 8; offset++) {
		for (unsigned width = 1; width <= 8; width *= 2) {
			assert_true(vp_read(world, CONFIG + offset, width) ==
				    at(expected, offset, width));
			vp_write(world, CONFIG + offset, width, 0x55);
			writes += offset + width <= WORLD_CONFIG_BYTES;
			assert_int_equal(world->virtio.config_writes, writes);
			if (offset + width > WORLD_CONFIG_BYTES)
				continue;
			assert_int_equal(world->virtio.config_offset, offset);
			assert_int_equal(world->virtio.config_width, width);
		}
	}
}

/* Doorbells that aren't wired come by the bus. */
static void test_notifications(void **state)
{
	struct virtio_pci_world *world = *state;

	for (u16 i = 0; i < WORLD_QUEUES; i++) {
		vp_write(world, VP_QUEUE_SELECT, 2, i);
		for (unsigned io = 0; io < 2; io++) {
			const u64 place = 4 * vp_read(world, VP_QUEUE_NOTIFY_OFFSET, 2);

			if (io)
				bus_write(&world->pci.pio, world->io + place, 2, i);
			else
				vp_write(world, NOTIFY + place, 2, i);
			for (u32 j = 0; j < WORLD_QUEUES; j++)
				assert_int_equal(bell_rang(world->virtio.device.queue[j].notify_fd),
						 i == j);
		}
	}
	for (unsigned offset = 4 * WORLD_QUEUES; offset < 0xc00; offset += 4)
		vp_write(world, NOTIFY + offset, 2, 0);
	bus_write(&world->pci.pio, world->io + 4 * WORLD_QUEUES, 2, 0);
	(void)vp_read(world, NOTIFY, 2);
	(void)bus_read(&world->pci.pio, world->io, 2);
	for (u32 j = 0; j < WORLD_QUEUES; j++)
		assert_false(bell_rang(world->virtio.device.queue[j].notify_fd));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VP_TEST(test_reads),
		VP_TEST(test_power_on),
		VP_TEST(test_garbage),
		VP_TEST(test_fields_that_only_read),
		VP_TEST(test_addresses_by_halves),
		VP_TEST(test_queues_that_are_none),
		VP_TEST(test_enabling_queues),
		VP_TEST(test_vectors),
		VP_TEST(test_the_status),
		VP_TEST(test_the_isr),
		VP_TEST(test_the_device_configuration),
		VP_TEST(test_notifications),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
