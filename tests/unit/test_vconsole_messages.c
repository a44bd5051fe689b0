/*
 * devices/virtio/console.c: what is offered and negotiated, and the messages by which ports are made
 * known (virtio 1.2, 5.3.6.2), in the order that Linux' driver has them and in others.
 */
#include "tests/unit/test.h"

#include "tests/unit/vconsole_world.h"

static u64 read_config(struct vconsole_world *world, u64 offset, unsigned width)
{
	return virtio_read_config(&world->console.device, offset, width);
}

static void test_offer(void **state)
{
	static struct vconsole_world world;

	(void)state;
	for (unsigned ports = 1; ports <= PORTS; ports++) {
		const struct virtio_device *device = &world.console.device;

		vconsole_world_init(&world, ports, true);
		assert_int_equal(device->class->id, 3);
		assert_int_equal(device->queues, ports == 1 ? 2 : 2 * ports + 2);
		assert_int_equal(device->features,
				 VCONSOLE_FEATURES | (ports == 1 ? 0 : VCONSOLE_MULTIPORT));
		assert_int_equal(read_config(&world, 0, 4), 0);
		assert_int_equal(read_config(&world, 4, 4), ports);
		/* There is no emergency write. */
		assert_int_equal(read_config(&world, 8, 4), 0xffffffff);
		vconsole_world_destroy(&world);
	}
}

/* A driver that knows of no other ports, at a device that has some. */
static void test_without_multiport(void **state)
{
	static struct vconsole_world world;

	(void)state;
	vconsole_world_init(&world, PORTS, true);
	rig_start(&world.rig, VCONSOLE_FEATURES, 2);
	for (unsigned i = 0; i < 200; i++) {
		expect_stream(&world, 0);
		world.port[0].in_bytes = world.port[0].given = world.port[0].taken = 0;
	}
	rig_reset(&world.rig);
	/* And if it enables the others all the same, nobody speaks to it there. */
	rig_start(&world.rig, VCONSOLE_FEATURES, 2 * PORTS + 2);
	offer_messages(&world, 4, 64);
	offer_one(&world, MESSAGES_OUT, SAY_AT, 8);
	expect_stream(&world, 0);
	settle(&world);
	assert_int_equal(used_of(&world, MESSAGES_IN), 0);
	assert_int_equal(used_of(&world, MESSAGES_OUT), 0);
	vconsole_world_destroy(&world);
}

/* Buffers, READY, and for each port that is added another READY. */
static void test_linux_order(void **state)
{
	static struct vconsole_world world;

	(void)state;
	vconsole_world_init(&world, PORTS, true);
	for (unsigned round = 0; round < 3; round++) {
		rig_start(&world.rig, VCONSOLE_FEATURES | VCONSOLE_MULTIPORT, 2 * PORTS + 2);
		offer_messages(&world, 32, 64);
		settle(&world);
		assert_int_equal(used_of(&world, MESSAGES_IN), 0);
		say_message(&world, VIRTIO_CONSOLE_DEVICE_READY, VIRTIO_CONSOLE_BAD_ID, 1);
		expect_message(&world, VIRTIO_CONSOLE_PORT_ADD, 0, NULL);
		expect_message(&world, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
		expect_message(&world, VIRTIO_CONSOLE_PORT_ADD, 3, NULL);
		say_message(&world, VIRTIO_CONSOLE_PORT_READY, 0, 1);
		expect_message(&world, VIRTIO_CONSOLE_CONSOLE_PORT, 0, NULL);
		expect_message(&world, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
		say_message(&world, VIRTIO_CONSOLE_PORT_OPEN, 0, 1);
		say_message(&world, VIRTIO_CONSOLE_PORT_READY, 1, 1);
		expect_message(&world, VIRTIO_CONSOLE_PORT_NAME, 1, "bantam.stdio");
		expect_message(&world, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
		say_message(&world, VIRTIO_CONSOLE_PORT_READY, 3, 1);
		expect_message(&world, VIRTIO_CONSOLE_PORT_NAME, 3, "last");
		expect_message(&world, VIRTIO_CONSOLE_PORT_OPEN, 3, NULL);
		say_message(&world, VIRTIO_CONSOLE_PORT_OPEN, 3, 1);
		expect_stream(&world, 0);
		expect_stream(&world, 3);
		settle(&world);
		assert_int_equal(used_of(&world, MESSAGES_IN), 0);
		rig_reset(&world.rig);
	}
	vconsole_world_destroy(&world);
}

/* One buffer, one message; and the order stays. */
static void test_messages_wait_for_buffers(void **state)
{
	struct vconsole_world *world = *state;
	static const struct {
		u16 event;
		u32 id;
		const char *name;
	} due[] = {
		{VIRTIO_CONSOLE_PORT_ADD, 0, NULL},  {VIRTIO_CONSOLE_CONSOLE_PORT, 0, NULL},
		{VIRTIO_CONSOLE_PORT_OPEN, 0, NULL}, {VIRTIO_CONSOLE_PORT_ADD, 1, NULL},
		{VIRTIO_CONSOLE_PORT_ADD, 3, NULL},  {VIRTIO_CONSOLE_PORT_NAME, 3, "last"},
		{VIRTIO_CONSOLE_PORT_OPEN, 3, NULL},
	};

	say_message(world, VIRTIO_CONSOLE_PORT_READY, 3, 1);
	say_message(world, VIRTIO_CONSOLE_PORT_READY, 0, 1);
	say_message(world, VIRTIO_CONSOLE_DEVICE_READY, 0, 1);
	for (unsigned i = 0; i < ARRAY_LEN(due); i++) {
		offer_messages(world, 1, 64);
		expect_message(world, due[i].event, due[i].id, due[i].name);
		settle(world);
		assert_int_equal(used_of(world, MESSAGES_IN), 0);
	}
	offer_messages(world, 1, 64);
	settle(world);
	assert_int_equal(used_of(world, MESSAGES_IN), 0);
}

/* Neither does the host remember how often it was asked, nor the guest hear it. */
static void test_messages_again_and_again(void **state)
{
	struct vconsole_world *world = *state;

	for (unsigned i = 0; i < 3000; i++) {
		say_message(world, VIRTIO_CONSOLE_DEVICE_READY, i, 1);
		say_message(world, VIRTIO_CONSOLE_PORT_READY, 1, 1);
	}
	offer_messages(world, 20, 64);
	expect_message(world, VIRTIO_CONSOLE_PORT_ADD, 0, NULL);
	expect_message(world, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
	expect_message(world, VIRTIO_CONSOLE_PORT_NAME, 1, "bantam.stdio");
	expect_message(world, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
	expect_message(world, VIRTIO_CONSOLE_PORT_ADD, 3, NULL);
	settle(world);
	assert_int_equal(used_of(world, MESSAGES_IN), 0);
	for (unsigned i = 0; i < 3000; i++) {
		say_message(world, VIRTIO_CONSOLE_PORT_READY, 0, 1);
		offer_messages(world, 2, 64);
		expect_message(world, VIRTIO_CONSOLE_CONSOLE_PORT, 0, NULL);
		expect_message(world, VIRTIO_CONSOLE_PORT_OPEN, 0, NULL);
	}
}

/* Says a READY of so many bytes, of which the first 8 are the message. */
static void say_long(struct vconsole_world *world, u32 bytes)
{
	const struct virtio_console_control message = {
		.id = 0, .event = VIRTIO_CONSOLE_DEVICE_READY, .value = 1};
	u16 head;

	memset(rig_at(&world->rig, SAY_AT, 0x10000), 1, 0x10000);
	memcpy(rig_at(&world->rig, SAY_AT, sizeof(message)), &message, sizeof(message));
	head = offer_one(world, MESSAGES_OUT, SAY_AT, bytes);
	expect_used(world, MESSAGES_OUT, head, 0);
}

static void test_messages_to_be_ignored(void **state)
{
	static const u32 ids[] = {MISSING, PORTS, PORTS + 1, 31, 0x10000, 0x80000000, UINT32_MAX};
	static const u16 values[] = {0, 2, 0x100, 0xffff};
	struct vconsole_world *world = *state;

	offer_messages(world, 8, 64);
	for (u32 bytes = 0; bytes < sizeof(struct virtio_console_control); bytes++)
		say_long(world, bytes);
	for (unsigned event = 0; event < 300; event++) {
		/* A driver says these of the device's, and these the test says below. */
		if (event != VIRTIO_CONSOLE_DEVICE_READY && event != VIRTIO_CONSOLE_PORT_READY)
			say_message(world, (u16)event, 1, 1);
	}
	say_message(world, 0xffff, 1, 1);
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		say_message(world, VIRTIO_CONSOLE_PORT_READY, ids[i], 1);
		say_message(world, VIRTIO_CONSOLE_PORT_OPEN, ids[i], 1);
	}
	for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
		say_message(world, VIRTIO_CONSOLE_PORT_READY, 1, values[i]);
		say_message(world, VIRTIO_CONSOLE_DEVICE_READY, 1, values[i]);
	}
	settle(world);
	assert_int_equal(used_of(world, MESSAGES_IN), 0);
	say_message(world, VIRTIO_CONSOLE_PORT_READY, 3, 1);
	expect_message(world, VIRTIO_CONSOLE_PORT_NAME, 3, "last");
	expect_message(world, VIRTIO_CONSOLE_PORT_OPEN, 3, NULL);
}

/* However a message is cut and whatever stands behind it, it is one. */
static void test_messages_in_odd_chains(void **state)
{
	struct vconsole_world *world = *state;
	struct driver_buffer bytes[8], far[] = {{0x7fffffff, 8, false}}, in[] = {{SAY_AT, 8, true}};

	say_long(world, 0x10000);
	offer_messages(world, 3, 64);
	for (unsigned i = 0; i < 3; i++)
		expect_message(world, VIRTIO_CONSOLE_PORT_ADD, i < 2 ? i : 3, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(bytes); i++)
		bytes[i] = (struct driver_buffer){SAY_AT + i, 1, false};
	expect_used(world, MESSAGES_OUT, offer(world, MESSAGES_OUT, bytes, ARRAY_LEN(bytes)), 0);
	offer_messages(world, 4, 64);
	for (unsigned i = 0; i < 3; i++)
		expect_message(world, VIRTIO_CONSOLE_PORT_ADD, i < 2 ? i : 3, NULL);
	/* Chains without one. */
	expect_used(world, MESSAGES_OUT, offer(world, MESSAGES_OUT, far, 1), 0);
	expect_used(world, MESSAGES_OUT, offer(world, MESSAGES_OUT, in, 1), 0);
	settle(world);
	assert_int_equal(used_of(world, MESSAGES_IN), 0);
	assert_false(rig_is_broken(&world->rig));
}

/* A buffer that is too short costs the driver the message, or a part of it. */
static void test_odd_buffers_for_messages(void **state)
{
	struct vconsole_world *world = *state;
	const struct driver_buffer far = {0x7fffffff, 64, true}, out = {MESSAGES_AT, 64, false};
	u16 head;

	say_message(world, VIRTIO_CONSOLE_PORT_READY, 1, 1);
	memset(rig_at(&world->rig, MESSAGES_AT, 64), 0xee, 64);
	head = offer_one(world, MESSAGES_IN, MESSAGES_AT, 8 + 6);
	expect_used(world, MESSAGES_IN, head, 8 + 6);
	assert_memory_equal(rig_at(&world->rig, MESSAGES_AT + 8, 7), "bantam\xee", 7);
	head = offer_one(world, MESSAGES_IN, MESSAGES_AT, 3);
	expect_used(world, MESSAGES_IN, head, 3);
	say_message(world, VIRTIO_CONSOLE_PORT_READY, 1, 1);
	expect_used(world, MESSAGES_IN, offer(world, MESSAGES_IN, &out, 1), 0);
	/* One that isn't in memory costs nothing but itself. */
	expect_used(world, MESSAGES_IN, offer(world, MESSAGES_IN, &far, 1), 0);
	offer_messages(world, 1, 64);
	expect_message(world, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
}

/* What comes before a program in the guest has opened the port stays with the host. */
static void open_and_close(struct vconsole_world *world, unsigned port)
{
	for (unsigned round = 0; round < 3; round++) {
		const unsigned gives = PORT_READ(world, port, gives);
		u16 head;

		say_message(world, VIRTIO_CONSOLE_PORT_OPEN, port, 0);
		head = offer_one(world, in_queue(port), IN_AT, 64);
		bring(world, port, 20, 5);
		settle(world);
		assert_int_equal(PORT_READ(world, port, gives), gives);
		/* Output goes on, and so does another port's input. */
		expect_stream(world, 3);
		put_pattern(world, 40, 3);
		expect_used(world, out_queue(port), offer_one(world, out_queue(port), OUT_AT, 40),
			    0);
		say_message(world, VIRTIO_CONSOLE_PORT_OPEN, port, 1);
		expect_used(world, in_queue(port), head, 20);
	}
}

static void test_input_when_it_is_open(void **state)
{
	open_and_close(*state, 0);
	open_and_close(*state, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_without_multiport),
		cmocka_unit_test(test_linux_order),
		ALL_PORTS(test_messages_wait_for_buffers),
		ALL_PORTS(test_messages_again_and_again),
		ALL_PORTS(test_messages_to_be_ignored),
		ALL_PORTS(test_messages_in_odd_chains),
		ALL_PORTS(test_odd_buffers_for_messages),
		ALL_PORTS(test_input_when_it_is_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
