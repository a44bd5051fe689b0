/*
 * devices/virtio/fs.c: requests by two queues and several threads. One that waits holds no other;
 * stops and resets wait for those under way, and for nothing else; rings that can't be read.
 *
 * A request is held by fdatasync(2), which this program has in the place of the C library's.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/virtio/fs.h"
#include "tests/unit/fuse_world.h"
#include "tests/unit/virtio_rig.h"

enum { URGENT, REQUESTS };
enum { SLOT_BYTES = 8192, REPLY_AT = 4096 };

#define FEATURES (VIRTIO_VERSION_1 | VIRTIO_INDIRECT_DESC | VIRTIO_EVENT_IDX)

/* How many calls are held, and whether they are to be. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned held;
	bool hold;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int fdatasync(int fd)
{
	(void)fd;
	pthread_mutex_lock(&gate.lock);
	gate.held++;
	pthread_cond_broadcast(&gate.changed);
	while (gate.hold)
		pthread_cond_wait(&gate.changed, &gate.lock);
	gate.held--;
	pthread_mutex_unlock(&gate.lock);
	return 0;
}

static void set_gate(bool hold)
{
	pthread_mutex_lock(&gate.lock);
	gate.hold = hold;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void wait_held(unsigned count)
{
	pthread_mutex_lock(&gate.lock);
	while (gate.held != count)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

struct world {
	struct fuse_world share;
	struct rig rig;
	struct fs fs;
	u64 file, fh; /* to be synchronized */
};

static void thread_failed(void *owner, const char *why)
{
	(void)owner;
	(void)why;
	abort();
}

/* The guest's side of a request: slot n has its bytes, and room for the reply. */
static u16 offer(struct world *world, unsigned queue, unsigned slot, u32 opcode, u64 nodeid,
		 const void *body, u32 bytes)
{
	const u64 gpa = RIG_DATA + (u64)slot * SLOT_BYTES;
	const struct fuse_in_header head = {.len = (u32)sizeof(head) + bytes,
					    .opcode = opcode,
					    .unique = 1000 + slot,
					    .nodeid = nodeid};
	const struct driver_buffer buffer[] = {{gpa, head.len, false},
					       {gpa + REPLY_AT, SLOT_BYTES - REPLY_AT, true}};
	struct driver_queue *driver = &world->rig.driver[queue];
	const u16 before = driver->next_available;
	u16 chain;

	memcpy(rig_at(&world->rig, gpa, sizeof(head)), &head, sizeof(head));
	if (bytes)
		memcpy(rig_at(&world->rig, gpa + sizeof(head), bytes), body, bytes);
	memset(rig_at(&world->rig, gpa + REPLY_AT, SLOT_BYTES - REPLY_AT), 0xee,
	       SLOT_BYTES - REPLY_AT);
	chain = driver_add(driver, buffer, opcode == FUSE_FORGET ? 1 : 2);
	/* A device that stands still is told when it goes on. */
	if (world->rig.doorbells)
		rig_kick(&world->rig, queue, before);
	return chain;
}

static void expect_reply(struct world *world, unsigned slot, u32 written, int error)
{
	struct fuse_out_header head;

	memcpy(&head,
	       rig_at(&world->rig, RIG_DATA + (u64)slot * SLOT_BYTES + REPLY_AT, sizeof(head)),
	       sizeof(head));
	assert_int_equal(head.len, written);
	assert_int_equal(head.error, error);
	assert_int_equal(head.unique, 1000 + slot);
}

static const u32 statfs_bytes = sizeof(struct fuse_out_header) + sizeof(struct fuse_statfs_out);

/* A request that needs no gate, there and back. */
static void expect_served(struct world *world, unsigned queue, unsigned slot)
{
	const u16 chain = offer(world, queue, slot, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0);
	const struct driver_used used = rig_wait(&world->rig, queue);

	assert_int_equal(used.head, chain);
	assert_int_equal(used.written, statfs_bytes);
	expect_reply(world, slot, statfs_bytes, 0);
}

/* One that is held; the fuse_client finds the file, as the guest would have. */
static u16 offer_held(struct world *world, unsigned slot)
{
	const struct fuse_fsync_in in = {.fh = world->fh, .fsync_flags = FUSE_FSYNC_FDATASYNC};

	return offer(world, REQUESTS, slot, FUSE_FSYNC, world->file, &in, sizeof(in));
}

static void start(struct world *world)
{
	rig_start(&world->rig, FEATURES, 2);
	world->file = fuse_create(&world->share.client, FUSE_ROOT_ID, "file", &world->fh);
}

static int set_up(void **state)
{
	static struct world world;
	const struct thread_setup setup = {.sandbox = SANDBOX_OFF, .failed = thread_failed};
	struct error err;

	world = (struct world){.file = 0};
	fuse_world_make(&world.share, NULL);
	rig_init(&world.rig, MIB);
	assert_int_equal(fs_open(&world.fs, &world.share.export, "tag", &err), 0);
	rig_attach(&world.rig, &world.fs.device);
	assert_int_equal(fs_start_threads(&world.fs, &setup, &err), 0);
	/* The client speaks to the device's own server. */
	fuse_close(world.share.client.server);
	fuse_client_make(&world.share.client, world.fs.server);
	start(&world);
	*state = &world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct error err;

	set_gate(false);
	assert_true(fs_close(&world->fs, 3600 * 1000));
	rig_destroy(&world->rig);
	assert_int_equal(fuse_open(&world->share.client.server, &world->share.export, &err), 0);
	expect_untouched(&world->share);
	fuse_world_free(&world->share);
	return 0;
}

static void test_what_it_is(void **state)
{
	struct world *world = *state;
	const struct virtio_fs_config *config = (const void *)world->fs.device.config;

	assert_int_equal(world->fs.device.class->id, 26);
	assert_int_equal(world->fs.device.queues, 2);
	assert_int_equal(world->fs.device.config_bytes, sizeof(*config));
	assert_int_equal(config->num_request_queues, 1);
	assert_memory_equal(config->tag, "tag\0\0", 5);
}

static void test_long_tag(void **state)
{
	static const char tag[] = "123456789012345678901234567890123456";
	static struct fs fs;
	struct world *world = *state;
	struct error err;

	assert_int_equal(fs_open(&fs, &world->share.export, tag, &err), 0);
	assert_memory_equal(fs.config.tag, tag, FS_TAG_BYTES);
	assert_int_equal(fs.config.num_request_queues, 1);
	assert_true(fs_close(&fs, 0));
	assert_true(fs_close(&fs, 0));
}

static void test_both_queues(void **state)
{
	struct world *world = *state;
	struct driver_used used;

	for (unsigned i = 0; i < 200; i++)
		expect_served(world, i % 3 ? REQUESTS : URGENT, i % 8);
	/* No reply: nothing was written. */
	offer(world, URGENT, 1, FUSE_FORGET, world->file, &(struct fuse_forget_in){1},
	      sizeof(struct fuse_forget_in));
	used = rig_wait(&world->rig, URGENT);
	assert_int_equal(used.written, 0);
	assert_int_equal(fuse_stat(&world->share.client, world->file, &(struct fuse_attr){0}),
			 -ENOENT);
	offer(world, REQUESTS, 1, 4000, 1, NULL, 0);
	assert_int_equal(rig_wait(&world->rig, REQUESTS).written, sizeof(struct fuse_out_header));
	expect_reply(world, 1, sizeof(struct fuse_out_header), -ENOSYS);
}

/* Many at once: each is served once. */
static void test_many(void **state)
{
	struct world *world = *state;

	for (unsigned round = 0; round < 50; round++) {
		u32 seen = 0;

		for (unsigned i = 0; i < 16; i++)
			offer(world, REQUESTS, i, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0);
		for (unsigned i = 0; i < 16; i++)
			seen += rig_wait(&world->rig, REQUESTS).written;
		assert_int_equal(seen, 16 * statfs_bytes);
		for (unsigned i = 0; i < 16; i++)
			expect_reply(world, i, statfs_bytes, 0);
	}
}

/* All threads but one are held, and it goes on; all, and the urgent queue does. */
static void test_held(void **state)
{
	struct world *world = *state;
	unsigned done = 0;

	set_gate(true);
	for (unsigned held = 1; held <= FS_THREADS; held++) {
		offer_held(world, held);
		wait_held(held);
		expect_served(world, URGENT, 0);
		if (held < FS_THREADS) {
			for (unsigned i = 0; i < 20; i++)
				expect_served(world, REQUESTS, 10 + i % 4);
		}
	}
	/* These wait for a thread. */
	offer(world, REQUESTS, 10, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0);
	offer(world, REQUESTS, 11, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0);
	expect_served(world, URGENT, 0);
	set_gate(false);
	while (done < FS_THREADS + 2) {
		(void)rig_wait(&world->rig, REQUESTS);
		done++;
	}
	for (unsigned i = 1; i <= FS_THREADS; i++)
		expect_reply(world, i, sizeof(struct fuse_out_header), 0);
	expect_reply(world, 10, statfs_bytes, 0);
	expect_reply(world, 11, statfs_bytes, 0);
}

/* Quiesced only when what is under way is done; what comes meanwhile waits until it goes on. */
static void test_quiesce(void **state)
{
	struct world *world = *state;

	set_gate(true);
	offer_held(world, 1);
	offer_held(world, 2);
	wait_held(2);
	assert_false(virtio_quiesce(&world->fs.device, 50));
	offer(world, REQUESTS, 3, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0);
	set_gate(false);
	assert_true(virtio_quiesce(&world->fs.device, 3600 * 1000));
	expect_reply(world, 1, sizeof(struct fuse_out_header), 0);
	expect_reply(world, 2, sizeof(struct fuse_out_header), 0);
	assert_int_equal(driver_used_index(&world->rig.driver[REQUESTS]), 2);
	/* What the guest has open stays. */
	virtio_resume(&world->fs.device);
	for (unsigned i = 0; i < 3; i++)
		(void)rig_wait(&world->rig, REQUESTS);
	expect_reply(world, 3, statfs_bytes, 0);
	assert_int_equal(fuse_write(&world->share.client, world->file, world->fh, 0, "x", 1), 1);
	/* Again and again, with nothing under way and with much. */
	for (unsigned i = 0; i < 50; i++) {
		for (unsigned j = 0; j < i % 8; j++)
			offer(world, REQUESTS, j, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0);
		assert_true(virtio_quiesce(&world->fs.device, 3600 * 1000));
		virtio_resume(&world->fs.device);
		for (unsigned j = 0; j < i % 8; j++)
			(void)rig_wait(&world->rig, REQUESTS);
	}
	expect_served(world, URGENT, 0);
}

/* The status reads 0 when nothing is under way any more; then nothing of the guest's is left. */
static void test_reset(void **state)
{
	struct world *world = *state;

	for (unsigned round = 0; round < 20; round++) {
		struct fuse_attr attr;

		set_gate(true);
		offer_held(world, 1);
		wait_held(1);
		rig_ask_reset(&world->rig);
		assert_int_not_equal(rig_status(&world->rig), 0);
		set_gate(false);
		rig_reset(&world->rig);
		assert_int_equal(fuse_stat(&world->share.client, world->file, &attr), -ENOENT);
		assert_int_equal(fuse_read(&world->share.client, world->file, world->fh, 0, 1),
				 -EBADF);
		start(world);
		expect_served(world, REQUESTS, 1);
	}
	/* Asked for in the midst of it. */
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 8; i++)
			offer(world, REQUESTS, i, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0);
		rig_reset(&world->rig);
		start(world);
	}
	expect_served(world, REQUESTS, 1);
}

/* Only one of the queues is there. */
static void test_one_queue(void **state)
{
	struct world *world = *state;

	rig_reset(&world->rig);
	rig_start(&world->rig, FEATURES, 1);
	expect_served(world, URGENT, 1);
	assert_true(virtio_quiesce(&world->fs.device, 3600 * 1000));
	virtio_resume(&world->fs.device);
	expect_served(world, URGENT, 2);
	rig_reset(&world->rig);
	rig_start(&world->rig, FEATURES, 0);
	rig_reset(&world->rig);
	rig_start(&world->rig, FEATURES, 2);
	expect_served(world, REQUESTS, 3);
}

/* Chains that are no requests come back empty; a ring that is none stops the device until a reset. */
static void test_broken(void **state)
{
	struct world *world = *state;
	const struct driver_buffer outside = {MIB, 4096, false};
	const struct driver_buffer empty = {RIG_DATA, 10, false};

	for (unsigned queue = 0; queue < 2; queue++) {
		struct driver_queue *driver = &world->rig.driver[queue];
		u16 before = driver->next_available;

		driver_add(driver, &outside, 1);
		driver_add(driver, &empty, 1);
		rig_kick(&world->rig, queue, before);
		assert_int_equal(rig_wait(&world->rig, queue).written, 0);
		assert_int_equal(rig_wait(&world->rig, queue).written, 0);
		expect_served(world, queue, 1);
		before = driver->next_available;
		driver_publish(driver, (u16)(before + RIG_QUEUE_SIZE + 1));
		rig_kick(&world->rig, queue, before);
		rig_wait_broken(&world->rig);
		rig_reset(&world->rig);
		start(world);
		expect_served(world, queue, 1);
	}
}

/* The threads don't end while one of them is held, and all do afterwards. */
static void test_close(void **state)
{
	struct world *world = *state;

	set_gate(true);
	offer_held(world, 1);
	wait_held(1);
	assert_false(fs_close(&world->fs, 50));
	/* The rest is the tear-down's. */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long_tag, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_both_queues, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_held, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_quiesce, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_one_queue, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_close, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
