/* A disk and a guest: see block_world.h. */
#include "tests/unit/test.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/block_world.h"

void sector_pattern(u64 sector, u8 *bytes)
{
	fill_pattern(bytes, SECTOR, (u32)sector + 1);
}

static void fill_image(struct block_world *world)
{
	u8 *bytes = malloc((size_t)SECTORS * SECTOR);

	assert_non_null(bytes);
	for (u64 sector = 0; sector < SECTORS; sector++)
		sector_pattern(sector, bytes + sector * SECTOR);
	temp_file_make(&world->image, bytes, (size_t)SECTORS * SECTOR);
	if (world->image_bytes)
		assert_int_equal(ftruncate(world->image.fd, (off_t)world->image_bytes), 0);
	free(bytes);
}

static void worker_failed(void *owner, const char *why)
{
	(void)owner;
	(void)why;
	abort();
}

void block_world_init(struct block_world *world, const struct disk_config *config)
{
	const struct thread_setup setup = {
		.sandbox = SANDBOX_OFF, .failed = worker_failed, .owner = world};
	struct error err = {.text = ""};

	rig_init(&world->rig, 16 * MIB);
	fill_image(world);
	world->config = *config;
	world->config.path = world->image.path;
	if (!world->config.queues)
		world->config.queues = 1;
	block_init(&world->block);
	memcpy(world->block.device.name, "virtio1", sizeof("virtio1"));
	if (block_open(&world->block, &world->config, &err))
		fail_msg("%s", err.text);
	rig_attach(&world->rig, &world->block.device);
	if (block_start_workers(&world->block, &setup, world->rig.interrupt_fd,
				world->config.queues, &err))
		fail_msg("%s", err.text);
}

void block_world_destroy(struct block_world *world)
{
	rig_reset(&world->rig);
	assert_true(block_close(&world->block, 3600 * 1000));
	temp_file_free(&world->image);
	rig_destroy(&world->rig);
}

int block_set_up(void **state)
{
	static struct block_world world;

	block_world_init(&world, &(struct disk_config){.serial = "a serial number"});
	rig_start(&world.rig, BLOCK_FEATURES, 1);
	*state = &world;
	return 0;
}

int block_tear_down(void **state)
{
	block_world_destroy(*state);
	return 0;
}

void image_read(struct block_world *world, u64 sector, u8 *bytes)
{
	assert_int_equal(pread(world->image.fd, bytes, SECTOR, (off_t)(sector * SECTOR)), SECTOR);
}

bool image_is_untouched(struct block_world *world, u64 sector, u64 sectors)
{
	u8 is[SECTOR], was[SECTOR];

	for (u64 i = sector; i < sector + sectors; i++) {
		image_read(world, i, is);
		sector_pattern(i, was);
		if (memcmp(is, was, SECTOR))
			return false;
	}
	return true;
}

void put_header(struct block_world *world, u32 type, u64 sector)
{
	const struct virtio_blk_outhdr header = {.type = type, .ioprio = 0, .sector = sector};

	memcpy(rig_at(&world->rig, HEADER_AT, sizeof(header)), &header, sizeof(header));
	*rig_at(&world->rig, STATUS_AT, 1) = UNTOUCHED;
}

u8 send_chain(struct block_world *world, const struct driver_buffer *buffer, unsigned buffers,
	      u32 *written)
{
	const u16 before = world->rig.driver[0].next_available;
	const u16 head = driver_add(&world->rig.driver[0], buffer, buffers);
	struct driver_used used;

	rig_kick(&world->rig, 0, before);
	used = rig_wait(&world->rig, 0);
	assert_int_equal(used.head, head);
	*written = used.written;
	return *rig_at(&world->rig, STATUS_AT, 1);
}

u8 request(struct block_world *world, u32 type, u64 sector, u32 bytes)
{
	const bool write = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	const struct driver_buffer buffers[] = {
		{HEADER_AT, 16, false}, {RIG_DATA, bytes, write}, {STATUS_AT, 1, true}};
	const struct driver_buffer bare[] = {{HEADER_AT, 16, false}, {STATUS_AT, 1, true}};
	u32 written;
	u8 answer;

	put_header(world, type, sector);
	answer = bytes ? send_chain(world, buffers, 3, &written)
		       : send_chain(world, bare, 2, &written);
	if (answer == VIRTIO_BLK_S_OK)
		assert_int_equal(written, write ? bytes + 1 : 1);
	return answer;
}

static int try_io_uring(void)
{
	/* Without parameters it is a bad address, where it is a call at all. */
	syscall(__NR_io_uring_setup, 1, NULL);
	return errno;
}

bool has_io_uring(void)
{
	const int error = try_io_uring();

	return error != ENOSYS && error != EPERM && error != EACCES;
}

/* Workers that are made from now on in this process get none. False: it can't be done. */
static bool forbid_io_uring(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {ARRAY_LEN(filter), filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
	       try_io_uring() == ENOSYS;
}

int block_run_twice(const struct CMUnitTest *tests, size_t count)
{
	int failed = 0;

	if (has_io_uring())
		failed += _cmocka_run_group_tests("io_uring", tests, count, NULL, NULL);
	else
		print_message("skipped: %s: there is no io_uring here\n", __func__);
	if (!has_io_uring() || forbid_io_uring())
		failed += _cmocka_run_group_tests("threads", tests, count, NULL, NULL);
	else
		print_message("skipped: %s: io_uring can't be forbidden here\n", __func__);
	return failed;
}
