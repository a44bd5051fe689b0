/*
 * devices/virtio/pci.c: its capabilities (virtio 1.2, 4.1.4), the window to its registers in
 * configuration space (4.1.4.9), doorbells that follow its BARs, and interrupts by line and by
 * message.
 */
#include "tests/unit/test.h"

#include "tests/unit/virtio_pci_world.h"

enum { NOTIFY = 0x400, TABLE = 0x1000 };

static u32 config(struct virtio_pci_world *world, unsigned offset, unsigned width)
{
	return ecam_read(&world->pci, VP_SLOT, offset, width);
}

static void config_write(struct virtio_pci_world *world, unsigned offset, unsigned width, u32 value)
{
	ecam_write(&world->pci, VP_SLOT, offset, width, value);
}

/* The next capability with this id, and for virtio's own with this type; from = 0: the first. */
static unsigned find_capability(struct virtio_pci_world *world, unsigned from, u8 id, u8 type)
{
	unsigned at = config(world, from ? from + 1 : 0x34, 1);

	for (unsigned steps = 0; at && steps < 48; steps++) {
		assert_true(at >= 0x40 && at % 4 == 0);
		if (config(world, at, 1) == id && (id != 9 || config(world, at + 3, 1) == type))
			return at;
		at = config(world, at + 1, 1);
	}
	return 0;
}

static u32 bar_bytes(struct virtio_pci_world *world, unsigned bar)
{
	const unsigned at = 0x10 + 4 * bar;
	const u32 before = config(world, at, 4);
	u32 mask;

	config_write(world, at, 4, 0xffffffff);
	mask = config(world, at, 4);
	config_write(world, at, 4, before);
	return mask & 1 ? ~(mask & ~3U) + 1 : ~(mask & ~15U) + 1;
}

static void test_identity(void **state)
{
	struct virtio_pci_world *world = *state;

	assert_int_equal(config(world, 0x00, 2), 0x1af4);
	assert_int_equal(config(world, 0x02, 2), 0x1040 + 42);
	assert_true(config(world, 0x08, 1) >= 1);
	assert_int_equal(config(world, 0x08, 4) >> 8, 0x123456);
	assert_true(config(world, 0x2e, 2) >= 0x40);
}

/* Each structure lies whole in a BAR, aligned as 4.1.4 wants it, and none in another. */
static void test_capabilities(void **state)
{
	struct virtio_pci_world *world = *state;
	struct {
		unsigned bar;
		u32 start, end;
	} area[16];
	unsigned areas = 0, at = config(world, 0x34, 1), steps = 0, found = 0, notifies = 0;

	assert_true(config(world, 0x06, 2) & 0x10);
	for (; at; at = config(world, at + 1, 1)) {
		assert_true(++steps < 48);
		assert_true(at >= 0x40 && at % 4 == 0);
		if (config(world, at, 1) == 9) {
			const u8 type = (u8)config(world, at + 3, 1);
			const u32 offset = config(world, at + 8, 4);
			const u32 length = config(world, at + 12, 4);

			assert_in_range(type, 1, 5);
			found |= 1U << type;
			assert_int_equal(config(world, at + 2, 1),
					 type == 2 || type == 5 ? 20 : 16);
			assert_true(at + config(world, at + 2, 1) <= 256);
			assert_int_equal(config(world, at + 6, 2), 0);
			if (type == 5)
				continue;
			area[areas].bar = config(world, at + 4, 1);
			area[areas].start = offset;
			area[areas++].end = offset + length;
			if (type == 1) {
				assert_true(length >= VP_COMMON_BYTES && offset % 4 == 0);
			} else if (type == 2) {
				const u32 stride = config(world, at + 16, 4);

				notifies++;
				assert_int_equal(offset % 2, 0);
				assert_true(stride == 0 ||
					    (stride >= 2 && !(stride & (stride - 1))));
				assert_true(length >= (WORLD_QUEUES - 1) * stride + 2);
			} else if (type == 4) {
				assert_true(length >= WORLD_CONFIG_BYTES && offset % 4 == 0);
			}
		} else if (config(world, at, 1) == 0x11) {
			assert_int_equal(config(world, at + 2, 2), VP_VECTORS - 1);
			for (unsigned i = 0; i < 2; i++) {
				const u32 place = config(world, at + 4 + 4 * i, 4);

				area[areas].bar = place & 7;
				area[areas].start = place & ~7U;
				area[areas++].end = (place & ~7U) + (i ? 8 : 16 * VP_VECTORS);
			}
			found |= 1;
		}
	}
	assert_int_equal(found, 0x3f);
	assert_int_equal(notifies, 2);
	for (unsigned i = 0; i < areas; i++) {
		assert_true(area[i].bar < PCI_BARS);
		assert_true(area[i].end > area[i].start);
		assert_true(area[i].end <= bar_bytes(world, area[i].bar));
		for (unsigned j = 0; j < i; j++)
			assert_true(area[i].bar != area[j].bar || area[i].start >= area[j].end ||
				    area[j].start >= area[i].end);
	}
}

/* 4.1.4.1: of several, the first is the one the device prefers: the port, KVM's cheaper exit. */
static void test_ports_come_first(void **state)
{
	struct virtio_pci_world *world = *state;
	const unsigned at = find_capability(world, 0, 9, 2);

	assert_true(config(world, 0x10 + 4 * config(world, at + 4, 1), 1) & 1);
	assert_int_equal(config(world, at + 16, 4), 4);
}

/* ---- the window, 4.1.4.9 ---- */

static unsigned aim(struct virtio_pci_world *world, u8 bar, u32 offset, u32 length)
{
	const unsigned at = find_capability(world, 0, 9, 5);

	assert_true(at);
	config_write(world, at + 4, 1, bar);
	config_write(world, at + 8, 4, offset);
	config_write(world, at + 12, 4, length);
	return at + 16;
}

static void test_the_window_reads(void **state)
{
	struct virtio_pci_world *world = *state;

	vp_write(world, VP_QUEUE_DESC, 8, 0x1122334455667788);
	for (unsigned offset = 0; offset < VP_COMMON_BYTES; offset++) {
		for (unsigned width = 1; width <= 4; width *= 2) {
			if (offset % width)
				continue;
			assert_int_equal(config(world, aim(world, 0, offset, width), width),
					 vp_read(world, offset, width));
		}
	}
	for (unsigned offset = 0; offset < WORLD_CONFIG_BYTES; offset += 4)
		assert_int_equal(config(world, aim(world, 0, 0x200 + offset, 4), 4),
				 vp_read(world, 0x200 + offset, 4));
	/* It needs no decoding: that is what it is for. */
	config_write(world, 0x04, 2, 0);
	assert_int_equal(vp_read(world, VP_NUM_QUEUES, 2), 0xffff);
	assert_int_equal(config(world, aim(world, 0, VP_NUM_QUEUES, 2), 2), WORLD_QUEUES);
	/* By the ports, too. */
	assert_int_equal(port_read(&world->pci, VP_SLOT, aim(world, 0, VP_NUM_QUEUES, 2), 2),
			 WORLD_QUEUES);
	/* Reading takes the interrupt status, once. */
	atomic_store(&world->virtio.device.isr, 3);
	assert_int_equal(config(world, aim(world, 0, 0x100, 1), 1), 3);
	assert_int_equal(atomic_load(&world->virtio.device.isr), 0);
}

static void test_the_window_writes(void **state)
{
	struct virtio_pci_world *world = *state;

	config_write(world, 0x04, 2, 0);
	config_write(world, aim(world, 0, VP_QUEUE_SELECT, 2), 2, 2);
	assert_int_equal(world->virtio.device.regs.queue_select, 2);
	config_write(world, aim(world, 0, VP_QUEUE_DESC, 4), 4, 0x89abcdef);
	config_write(world, aim(world, 0, VP_QUEUE_DESC + 4, 4), 4, 0x01234567);
	assert_true(world->virtio.device.regs.queue[2].descriptors == 0x0123456789abcdef);
	config_write(world, aim(world, 0, VP_STATUS, 1), 1, 1);
	assert_int_equal(status(&world->virtio), 1);
	/* A wide write of a narrow field: the first byte of the data is the field's. */
	config_write(world, aim(world, 0, VP_STATUS, 1), 4, 0x44332203);
	assert_int_equal(status(&world->virtio), 3);
	assert_int_equal(world->virtio.device.regs.queue_select, 2);
	config_write(world, aim(world, 0, VP_CONFIG_VECTOR, 2), 4, 0x44330001);
	assert_int_equal(world->virtio.device.regs.config_vector, 1);
	config_write(world, aim(world, 0, 0x200 + 8, 4), 4, 0x77);
	assert_int_equal(world->virtio.config_offset, 8);
	assert_int_equal(world->virtio.config_value, 0x77);
	config_write(world, aim(world, 0, NOTIFY + 4, 2), 2, 1);
	assert_true(bell_rang(world->virtio.device.queue[1].notify_fd));
}

/* The window leads to every BAR, and so to the doorbells that the first capability names. */
static void test_the_window_to_the_ports(void **state)
{
	struct virtio_pci_world *world = *state;

	config_write(world, aim(world, 1, 8, 2), 2, 2);
	assert_true(bell_rang(world->virtio.device.queue[2].notify_fd));
	config_write(world, aim(world, 1, 64, 2), 2, 2);
	for (unsigned i = 0; i < WORLD_QUEUES; i++)
		assert_false(bell_rang(world->virtio.device.queue[i].notify_fd));
}

static void test_what_the_window_refuses(void **state)
{
	static const struct {
		u8 bar;
		u32 offset, length;
	} table[] = {
		{0, VP_QUEUE_SELECT, 0},
		{0, VP_QUEUE_SELECT, 3},
		{0, VP_QUEUE_SELECT, 5},
		{0, VP_QUEUE_SELECT, 8},
		{0, VP_QUEUE_SELECT, 0x100},
		{0, VP_QUEUE_SELECT, 0x80000002},
		{2, VP_QUEUE_SELECT, 2},
		{5, VP_QUEUE_SELECT, 2},
		{6, VP_QUEUE_SELECT, 2},
		{0xff, VP_QUEUE_SELECT, 2},
		{0, 0x2000, 2},
		{0, 0x2000 + VP_QUEUE_SELECT, 2},
		{0, 0xfffffffe, 2},
		{0, 0x80000000 + VP_QUEUE_SELECT, 2},
		{0, VP_QUEUE_SELECT - 1, 4},
		{0, 0x1fff, 4},
	};
	struct virtio_pci_world *world = *state;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct virtio_regs before = world->virtio.device.regs;
		const unsigned data = aim(world, table[i].bar, table[i].offset, table[i].length);

		config_write(world, data, 4, 0x00010001);
		/* No register is behind it: the data is what was written. */
		assert_int_equal(config(world, data, 4), 0x00010001);
		assert_memory_equal(&before, &world->virtio.device.regs, sizeof(before));
	}
}

/* ---- doorbells ---- */

/* Each queue is heard at both places, by an access as wide as a driver makes it. */
static void expect_doorbells(struct virtio_pci_world *world, u64 memory, u64 io)
{
	for (unsigned i = 0; i < WORLD_QUEUES; i++) {
		(void)bell_rang(world->virtio.device.queue[i].notify_fd);
		assert_int_equal(fake_ring(&world->fake, false, memory + NOTIFY + 4 * i, 2, i),
				 memory != 0);
		assert_int_equal(bell_rang(world->virtio.device.queue[i].notify_fd), memory != 0);
		assert_int_equal(fake_ring(&world->fake, true, io + 4 * i, 2, i), io != 0);
		assert_int_equal(bell_rang(world->virtio.device.queue[i].notify_fd), io != 0);
	}
	assert_int_equal(world->fake.bells, WORLD_QUEUES * ((memory != 0) + (io != 0)));
}

static void test_doorbells_while_it_runs(void **state)
{
	struct virtio_pci_world *world = *state;

	assert_int_equal(world->fake.bells, 0);
	for (unsigned i = 0; i < 3; i++) {
		vp_start(world, WORLD_FEATURES);
		expect_doorbells(world, world->memory, world->io);
		vp_write(world, VP_STATUS, 1, 0);
		assert_int_equal(world->fake.bells, 0);
		stop_queues(&world->virtio);
		assert_int_equal(world->fake.bells, 0);
	}
	/* While the machine is held, nobody rings. */
	world->virtio.stops_at_once = true;
	vp_start(world, WORLD_FEATURES);
	assert_true(virtio_quiesce(&world->virtio.device, 0));
	assert_int_equal(world->fake.bells, 0);
	virtio_resume(&world->virtio.device);
	expect_doorbells(world, world->memory, world->io);
}

static void test_doorbells_follow_their_bars(void **state)
{
	struct virtio_pci_world *world = *state;
	const u32 moved = (u32)world->memory + 0x8000, port = (u32)world->io + 0x400;
	unsigned calls;

	vp_start(world, WORLD_FEATURES);
	config_write(world, 0x10, 4, moved);
	expect_doorbells(world, moved, world->io);
	config_write(world, 0x14, 4, port);
	expect_doorbells(world, moved, port);
	config_write(world, 0x04, 2, 1);
	expect_doorbells(world, 0, port);
	config_write(world, 0x04, 2, 2);
	expect_doorbells(world, moved, 0);
	config_write(world, 0x04, 2, 0);
	expect_doorbells(world, 0, 0);
	config_write(world, 0x10, 4, 0x100000);
	config_write(world, 0x04, 2, 3);
	expect_doorbells(world, 0, port);
	/* Sizing, as Linux does it while the device decodes. */
	config_write(world, 0x10, 4, 0xffffffff);
	config_write(world, 0x10, 4, moved);
	expect_doorbells(world, moved, port);
	config_write(world, 0x04, 2, 7);
	expect_doorbells(world, moved, port);
	/* What moves no BAR costs no call. */
	calls = world->fake.calls;
	config_write(world, 0x04, 2, 3);
	config_write(world, 0x10, 4, moved);
	config_write(world, 0x14, 4, port);
	assert_int_equal(world->fake.calls, calls);
}

static void test_doorbells_of_a_device_that_breaks(void **state)
{
	struct virtio_pci_world *world = *state;

	for (unsigned i = 0; i < 3; i++) {
		vp_write(world, VP_DRIVER_FEATURE_SELECT, 4, 1);
		vp_write(world, VP_DRIVER_FEATURE, 4, VIRTIO_VERSION_1 >> 32);
		vp_write(world, VP_QUEUE_SELECT, 2, 0);
		vp_write(world, VP_QUEUE_DESC, 8, 5 * GIB);
		vp_write(world, VP_QUEUE_ENABLE, 2, 1);
		vp_write(world, VP_STATUS, 1, WORLD_STARTED);
		assert_int_equal(vp_read(world, VP_STATUS, 1), WORLD_STARTED | VIRTIO_NEEDS_RESET);
		assert_int_equal(world->fake.bells, 0);
		vp_write(world, VP_STATUS, 1, 0);
		assert_int_equal(vp_read(world, VP_STATUS, 1), 0);
	}
}

static void test_wires_that_fail(void **state)
{
	struct virtio_pci_world *world = *state;

	world->fake.refuse = true;
	vp_start(world, WORLD_FEATURES);
	(void)bell_rang(world->virtio.device.queue[1].notify_fd);
	/* The bus takes over. */
	vp_write(world, NOTIFY + 4, 2, 1);
	assert_true(bell_rang(world->virtio.device.queue[1].notify_fd));
	bus_write(&world->pci.pio, world->io + 4, 2, 1);
	assert_true(bell_rang(world->virtio.device.queue[1].notify_fd));
	vp_write(world, VP_STATUS, 1, 0);
	stop_queues(&world->virtio);
	assert_int_equal(vp_read(world, VP_STATUS, 1), 0);
}

/* ---- interrupts ---- */

static void push(struct virtio_pci_world *world, unsigned i)
{
	virtq_push(&world->virtio.device.queue[i], 0, 0);
	virtio_signal(&world->virtio.device, i, NULL);
	fake_deliver(&world->fake);
}

static void set_message_control(struct virtio_pci_world *world, u16 value)
{
	config_write(world, find_capability(world, 0, 0x11, 0) + 2, 2, value);
}

static void fill_vectors(struct virtio_pci_world *world)
{
	for (unsigned v = 0; v < VP_VECTORS; v++) {
		vp_write(world, TABLE + 16 * v, 4, 0xfee00000);
		vp_write(world, TABLE + 16 * v + 8, 4, 0x40 + v);
		vp_write(world, TABLE + 16 * v + 12, 4, 0);
	}
}

static void set_queue_vector(struct virtio_pci_world *world, u16 queue, u16 vector)
{
	vp_write(world, VP_QUEUE_SELECT, 2, queue);
	vp_write(world, VP_QUEUE_VECTOR, 2, vector);
}

static void test_interrupts_by_line(void **state)
{
	struct virtio_pci_world *world = *state;
	const unsigned line = VP_SLOT % PCI_LINES;

	vp_start(world, VIRTIO_VERSION_1);
	push(world, 0);
	push(world, 1);
	assert_true(world->pci.level[line]);
	assert_int_equal(config(world, 0x06, 1) & 8, 8);
	assert_int_equal(vp_read(world, 0x100, 1), VIRTIO_ISR_QUEUE);
	assert_false(world->pci.level[line]);
	virtio_config_changed(&world->virtio.device);
	push(world, 2);
	assert_true(world->pci.level[line]);
	assert_int_equal(vp_read(world, 0x100, 1), VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	assert_false(world->pci.level[line]);
	/* A reset takes it away. */
	push(world, 2);
	vp_write(world, VP_STATUS, 1, 0);
	stop_queues(&world->virtio);
	assert_false(world->pci.level[line]);
	assert_int_equal(vp_read(world, 0x100, 1), 0);
	assert_int_equal(world->fake.interrupt[0].joins, 0);
}

static void test_interrupts_by_message(void **state)
{
	struct virtio_pci_world *world = *state;
	const struct fake_interrupt *interrupt = world->fake.interrupt;

	fill_vectors(world);
	set_message_control(world, 0x8000);
	vp_start(world, VIRTIO_VERSION_1);
	/* Two queues share a vector, one has none. */
	set_queue_vector(world, 0, 1);
	set_queue_vector(world, 1, 1);
	vp_write(world, VP_CONFIG_VECTOR, 2, 3);
	push(world, 0);
	assert_int_equal(interrupt[1].delivered, 1);
	push(world, 1);
	assert_int_equal(interrupt[1].delivered, 2);
	push(world, 2);
	virtio_config_changed(&world->virtio.device);
	fake_deliver(&world->fake);
	assert_int_equal(interrupt[0].delivered, 0);
	assert_int_equal(interrupt[1].delivered, 2);
	assert_int_equal(interrupt[2].delivered, 0);
	assert_int_equal(interrupt[3].delivered, 1);
	assert_int_equal(interrupt[1].data, 0x41);
	assert_int_equal(interrupt[3].data, 0x43);
	for (unsigned i = 0; i < PCI_LINES; i++)
		assert_int_equal(world->pci.edges[i], 0);
	/* 4.1.4.5.1: queues leave the status alone, it is of the line. */
	assert_int_equal(vp_read(world, 0x100, 1) & VIRTIO_ISR_QUEUE, 0);
	/* Moved while it runs. */
	set_queue_vector(world, 0, 2);
	push(world, 0);
	assert_int_equal(interrupt[2].delivered, 1);
	set_queue_vector(world, 0, 0xffff);
	push(world, 0);
	assert_int_equal(interrupt[1].delivered, 2);
	assert_int_equal(interrupt[2].delivered, 1);
}

static void test_masked_messages(void **state)
{
	struct virtio_pci_world *world = *state;
	const struct fake_interrupt *interrupt = world->fake.interrupt;

	fill_vectors(world);
	set_message_control(world, 0x8000);
	vp_start(world, VIRTIO_VERSION_1);
	set_queue_vector(world, 0, 2);
	vp_write(world, TABLE + 32 + 12, 4, 1);
	push(world, 0);
	assert_int_equal(interrupt[2].delivered, 0);
	assert_int_equal(vp_read(world, 0x1800, 8), 4);
	assert_int_equal(vp_read(world, 0x1800, 1), 4);
	vp_write(world, TABLE + 32 + 12, 4, 0);
	fake_deliver(&world->fake);
	assert_int_equal(interrupt[2].delivered, 1);
	assert_int_equal(vp_read(world, 0x1800, 8), 0);
	/* The whole function. */
	set_message_control(world, 0xc000);
	push(world, 0);
	assert_int_equal(interrupt[2].delivered, 1);
	assert_int_equal(vp_read(world, 0x1800, 8), 4);
	set_message_control(world, 0x8000);
	fake_deliver(&world->fake);
	assert_int_equal(interrupt[2].delivered, 2);
	/* Pending bits can't be written. */
	vp_write(world, 0x1800, 8, ~(u64)0);
	assert_int_equal(vp_read(world, 0x1800, 8), 0);
	assert_int_equal(interrupt[2].messages, 1);
}

/* From the line to messages and back, with an interrupt up at the time. */
static void test_line_and_messages(void **state)
{
	struct virtio_pci_world *world = *state;
	const unsigned line = VP_SLOT % PCI_LINES;

	fill_vectors(world);
	vp_start(world, VIRTIO_VERSION_1);
	set_queue_vector(world, 0, 0);
	push(world, 0);
	assert_true(world->pci.level[line]);
	set_message_control(world, 0x8000);
	assert_false(world->pci.level[line]);
	push(world, 0);
	assert_false(world->pci.level[line]);
	assert_int_equal(world->fake.interrupt[0].delivered, 1);
	(void)vp_read(world, 0x100, 1);
	for (unsigned i = 0; i < 100; i++) {
		set_message_control(world, 0);
		push(world, 0);
		assert_true(world->pci.level[line]);
		assert_int_equal(vp_read(world, 0x100, 1), VIRTIO_ISR_QUEUE);
		set_message_control(world, 0x8000);
		push(world, 0);
		assert_false(world->pci.level[line]);
		assert_int_equal(world->fake.interrupt[0].delivered, 2 + i);
	}
	assert_int_equal(world->fake.interrupt[0].messages, 1);
	/* Reserved bits and the table's size are not the guest's. */
	set_message_control(world, 0xffff);
	assert_int_equal(config(world, find_capability(world, 0, 0x11, 0) + 2, 2),
			 0xc000 | (VP_VECTORS - 1));
}

/* A reset of the device leaves the table alone: that is PCI's. Vectors are the device's. */
static void test_messages_and_a_reset(void **state)
{
	struct virtio_pci_world *world = *state;

	fill_vectors(world);
	set_message_control(world, 0x8000);
	vp_start(world, VIRTIO_VERSION_1);
	set_queue_vector(world, 0, 1);
	push(world, 0);
	vp_write(world, VP_STATUS, 1, 0);
	stop_queues(&world->virtio);
	assert_int_equal(vp_read(world, TABLE + 16 + 8, 4), 0x41);
	assert_int_equal(vp_read(world, TABLE + 16 + 12, 4), 0);
	vp_start(world, VIRTIO_VERSION_1);
	push(world, 0);
	assert_int_equal(world->fake.interrupt[1].delivered, 1);
	set_queue_vector(world, 0, 1);
	push(world, 0);
	assert_int_equal(world->fake.interrupt[1].delivered, 2);
	assert_int_equal(world->fake.interrupt[1].messages, 1);
}

static void test_power_on(void **state)
{
	struct virtio_pci_world *world = *state;

	fill_vectors(world);
	set_message_control(world, 0x8000);
	world->virtio.stops_at_once = true;
	vp_start(world, VIRTIO_VERSION_1);
	assert_true(virtio_quiesce(&world->virtio.device, 0));
	/* The machine is made anew: its wires with it. */
	virtio_power_on(&world->virtio.device);
	virtio_pci_power_on(&world->transport);
	pci_reset(&world->pci.host);
	fake_wiring_init(&world->fake, VP_FIRST_GSI);
	expect_power_on(&world->virtio);
	config_write(world, 0x04, 2, 7);
	assert_int_equal(vp_read(world, TABLE + 16 + 8, 4), 0);
	assert_int_equal(vp_read(world, TABLE + 16 + 12, 4), 1);
	fill_vectors(world);
	vp_start(world, VIRTIO_VERSION_1);
	expect_doorbells(world, world->memory, world->io);
	push(world, 0);
	assert_true(world->pci.level[VP_SLOT % PCI_LINES]);
	set_message_control(world, 0x8000);
	set_queue_vector(world, 0, 2);
	push(world, 0);
	assert_int_equal(world->fake.interrupt[2].delivered, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VP_TEST(test_identity),
		VP_TEST(test_capabilities),
		VP_TEST(test_ports_come_first),
		VP_TEST(test_the_window_reads),
		VP_TEST(test_the_window_writes),
		VP_TEST(test_the_window_to_the_ports),
		VP_TEST(test_what_the_window_refuses),
		VP_TEST(test_doorbells_while_it_runs),
		VP_TEST(test_doorbells_follow_their_bars),
		VP_TEST(test_doorbells_of_a_device_that_breaks),
		VP_TEST(test_wires_that_fail),
		VP_TEST(test_interrupts_by_line),
		VP_TEST(test_interrupts_by_message),
		VP_TEST(test_masked_messages),
		VP_TEST(test_line_and_messages),
		VP_TEST(test_messages_and_a_reset),
		VP_TEST(test_power_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
