/*
 * devices/virtio/disk.c and its parts. What a host says only on bad days (short transfers, EINTR,
 * file systems that can't zero) is said by an engine of the test's own, which looks at each step;
 * the rest is done with real files, and compared with a model in memory.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/virtio/disk.h"
#include "tests/unit/support.h"
#include "vmm/io_engine.h"

enum { SECTOR = DISK_SECTOR_BYTES, IMAGE_BYTES = 256 * 1024 };

struct world {
	char directory[32];
	char path[64]; /* an image of IMAGE_BYTES in there */
	struct disk_config config;
	struct disk disk;
	struct error err;
	u8 image[IMAGE_BYTES]; /* as it was written */
};

static struct world world;

static void make_file(const char *path, const void *bytes, size_t count)
{
	const int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, count), count);
	close(fd);
}

static void set_up_in(const char *parent)
{
	alarm(60);
	memset(&world, 0, sizeof(world));
	snprintf(world.directory, sizeof(world.directory), "%s/test_disk.XXXXXX", parent);
	assert_non_null(mkdtemp(world.directory));
	snprintf(world.path, sizeof(world.path), "%s/disk.img", world.directory);
	fill_pattern(world.image, IMAGE_BYTES, 5);
	make_file(world.path, world.image, IMAGE_BYTES);
	world.config = (struct disk_config){.path = world.path, .queues = 1};
	disk_init(&world.disk);
}

/* On a file system on a disk rather than in memory, for direct I/O. */
static int set_up(void **state)
{
	(void)state;
	set_up_in("/var/tmp");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	disk_close(&world.disk);
	unlink(world.path);
	rmdir(world.directory);
	alarm(0);
	return 0;
}

/* ---- what is refused ---- */

/* Opening fails, in one line that names the file and says so. */
static void expect_refusal(const char *path, const char *words)
{
	const struct disk_config config = {
		.path = path,
		.read_only = world.config.read_only,
		.ephemeral = world.config.ephemeral,
		.direct = world.config.direct,
	};
	char start[128];

	assert_int_equal(disk_open(&world.disk, &config, &world.err), -1);
	snprintf(start, sizeof(start), "cannot use the disk '%s': ", path);
	assert_ptr_equal(strstr(world.err.text, start), world.err.text);
	assert_null(strchr(world.err.text, '\n'));
	assert_says(world.err.text, words);
	assert_int_equal(world.disk.fd, -1);
	assert_int_equal(world.disk.direct_fd, -1);
	assert_int_equal(world.disk.overlay_fd, -1);
}

static void expect_open(void)
{
	if (disk_open(&world.disk, &world.config, &world.err))
		fail_msg("%s", world.err.text);
}

static void test_refuses_what_is_no_disk(void **state)
{
	char fifo[64];

	(void)state;
	expect_refusal("/var/tmp/there/is/none", "No such file or directory");
	expect_refusal(world.directory, "it is a directory");
	snprintf(fifo, sizeof(fifo), "%s/fifo", world.directory);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	expect_refusal(fifo, "it is a FIFO");
	expect_refusal("/dev/null", "it is a character device");
	world.config.read_only = true;
	expect_refusal(world.directory, "it is a directory");
	expect_refusal(fifo, "it is a FIFO");
	unlink(fifo);
}

static void test_refuses_odd_sizes(void **state)
{
	static const u8 bytes[1000] = {1};
	char words[160];

	(void)state;
	make_file(world.path, bytes, 0);
	snprintf(words, sizeof(words), "it is empty; give it a size: truncate -s 1G '%s'",
		 world.path);
	expect_refusal(world.path, words);
	make_file(world.path, bytes, sizeof(bytes));
	snprintf(words, sizeof(words),
		 "1000 bytes, is no multiple of 512; round it up: truncate -s %%512 '%s'",
		 world.path);
	expect_refusal(world.path, words);
}

static const struct {
	const char *name, *magic;
	size_t bytes;
	long at; /* negative: from the end */
} formats[] = {
	{"qcow2", "QFI\xfb\0\0\0\3", 8, 0},
	{"qcow2", "QFI\xfb\0\0\0\2", 8, 0},
	{"qcow", "QFI\xfb\0\0\0\1", 8, 0},
	{"VMDK", "KDMV\1\0\0\0", 8, 0},
	{"VMDK", "# Disk DescriptorFile\nversion=1\n", 32, 0},
	{"VHDX", "vhdxfile", 8, 0},
	{"VHD", "conectix", 8, 0},
	{"VHD", "conectix", 8, -512},
	{"VDI", "\x7f\x10\xda\xbe", 4, 64},
	{"QED", "QED\0", 4, 0},
};

static void test_refuses_other_formats(void **state)
{
	static u8 bytes[64 * 1024];
	char words[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		const size_t at = formats[i].at < 0 ? sizeof(bytes) - 512 : (size_t)formats[i].at;

		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes + at, formats[i].magic, formats[i].bytes);
		make_file(world.path, bytes, sizeof(bytes));
		snprintf(words, sizeof(words),
			 "it is a %s image, and a disk must be a raw one; convert it: "
			 "qemu-img convert -O raw '%s' '%s.raw'",
			 formats[i].name, world.path, world.path);
		expect_refusal(world.path, words);
	}
	/* A small one, whose size isn't what matters. */
	make_file(world.path, formats[4].magic, formats[4].bytes);
	expect_refusal(world.path, "it is a VMDK image");
	/* What lies elsewhere is only data. */
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes + 1, "QFI\xfb", 4);
	memcpy(bytes + 512, "conectix", 8);
	make_file(world.path, bytes, sizeof(bytes));
	expect_open();
}

enum { GOOD = 7, SKIPPED = 8 };

/* Runs a function in a child; a failed assertion there fails here. */
static int in_child(int (*function)(void))
{
	const pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0)
		_exit(function());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Whether opening fails with these words; for children, which can't use assertions. */
static bool is_refused(const char *words)
{
	if (disk_open(&world.disk, &world.config, &world.err) == 0)
		return false;
	if (strstr(world.err.text, words))
		return true;
	fprintf(stderr, "%s\n", world.err.text);
	return false;
}

static int open_as_nobody(void)
{
	if (geteuid() == 0 && setresuid(65534, 65534, 65534))
		return SKIPPED;
	if (!is_refused(
		    "Permission denied; add ,ro if the guest shall only read it, or ,ephemeral"))
		return 1;
	world.config.read_only = true;
	if (disk_open(&world.disk, &world.config, &world.err))
		return 2;
	disk_close(&world.disk);
	return GOOD;
}

static int open_unreadable(void)
{
	if (geteuid() == 0 && setresuid(65534, 65534, 65534))
		return SKIPPED;
	if (!is_refused("Permission denied") || strstr(world.err.text, ",ro"))
		return 1;
	return GOOD;
}

static void test_a_file_that_may_not_be_written(void **state)
{
	int status;

	(void)state;
	assert_int_equal(chmod(world.directory, 0755), 0);
	assert_int_equal(chmod(world.path, 0444), 0);
	status = in_child(open_as_nobody);
	if (status == SKIPPED)
		SKIP("the superuser can't become another user here");
	assert_int_equal(status, GOOD);
	assert_int_equal(chmod(world.path, 0), 0);
	assert_int_equal(in_child(open_unreadable), GOOD);
}

/* Mounts a tmpfs over the directory, for this process only. */
static bool mount_here(unsigned long flags, const char *options)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", world.directory, "tmpfs", flags, options) == 0;
}

static int open_on_read_only_fs(void)
{
	int fd;

	if (!mount_here(0, "size=1m"))
		return SKIPPED;
	fd = open(world.path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, IMAGE_BYTES) || close(fd) ||
	    mount("none", world.directory, NULL, MS_REMOUNT | MS_RDONLY, NULL))
		return SKIPPED;
	if (!is_refused("Read-only file system; add ,ro"))
		return 1;
	world.config.ephemeral = true;
	return disk_open(&world.disk, &world.config, &world.err) ? 2 : GOOD;
}

static void test_a_file_system_that_may_not_be_written(void **state)
{
	const int status = in_child(open_on_read_only_fs);

	(void)state;
	if (status == SKIPPED)
		SKIP("mounting a file system needs to be root");
	assert_int_equal(status, GOOD);
}

/* ---- locks ---- */

static int open_other(struct disk *other, const struct disk_config *config)
{
	disk_init(other);
	return disk_open(other, config, &world.err);
}

static void test_two_writers_are_refused(void **state)
{
	const struct disk_config reader = {.path = world.path, .read_only = true};
	const struct disk_config throw_away = {.path = world.path, .ephemeral = true};
	const struct disk_config writer = {.path = world.path};
	struct disk other, third;

	(void)state;
	expect_open();
	assert_int_equal(open_other(&other, &writer), -1);
	assert_says(world.err.text, "it is in use by another bantam");
	assert_says(world.err.text, ",ro or ,ephemeral");
	assert_int_equal(open_other(&other, &reader), -1);
	assert_int_equal(open_other(&other, &throw_away), -1);
	disk_close(&world.disk);
	assert_int_equal(open_other(&other, &reader), 0);
	assert_int_equal(open_other(&third, &throw_away), 0);
	assert_int_equal(disk_open(&world.disk, &writer, &world.err), -1);
	assert_says(world.err.text, "in use");
	disk_close(&other);
	disk_close(&third);
	expect_open();
}

static void *close_late(void *argument)
{
	usleep(60000);
	disk_close(argument);
	return NULL;
}

/* One that is about to end is waited for. */
static void test_a_lock_is_waited_for(void **state)
{
	struct disk other;
	pthread_t thread;

	(void)state;
	assert_int_equal(open_other(&other, &world.config), 0);
	assert_int_equal(pthread_create(&thread, NULL, close_late, &other), 0);
	expect_open();
	pthread_join(thread, NULL);
}

/* ---- geometry ---- */

static void test_geometry_of_a_file(void **state)
{
	(void)state;
	expect_open();
	assert_int_equal(world.disk.bytes, IMAGE_BYTES);
	assert_int_equal(world.disk.block_bytes, 512);
	assert_true(world.disk.physical_bytes == 512 || world.disk.physical_bytes == 1024 ||
		    world.disk.physical_bytes == 2048 || world.disk.physical_bytes == 4096);
	assert_int_equal(world.disk.direct_fd, -1);
	assert_int_equal(world.disk.overlay_fd, -1);
	assert_int_equal(fcntl(world.disk.fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(world.disk.fd, F_GETFD), FD_CLOEXEC);
}

/* A block device whose content is the image; -1 where there can't be any. */
static int loop_make(char *path, size_t bytes, u32 block_bytes)
{
	const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	const int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	const int file = open(world.path, O_RDWR | O_CLOEXEC);
	struct loop_config config = {
		.fd = (u32)file, .block_size = block_bytes, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
	int loop = -1;

	if (number >= 0) {
		snprintf(path, bytes, "/dev/loop%d", number);
		loop = open(path, O_RDWR | O_CLOEXEC);
	}
	if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config)) {
		close(loop);
		loop = -1;
	}
	close(control);
	close(file);
	return loop;
}

static void test_a_block_device(void **state)
{
	char path[64];
	const int loop = loop_make(path, sizeof(path), 4096);
	int holder;

	(void)state;
	if (loop < 0)
		SKIP("no loop device can be made here");
	world.config.path = path;
	expect_open();
	assert_int_equal(world.disk.bytes, IMAGE_BYTES);
	assert_int_equal(world.disk.block_bytes, 4096);
	assert_int_equal(world.disk.physical_bytes, 4096);
	disk_close(&world.disk);
	/* As a file system on it holds it. */
	holder = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	assert_true(holder >= 0);
	expect_refusal(path, "the host uses this block device, is it mounted?");
	world.config.read_only = true;
	expect_open();
	disk_close(&world.disk);
	close(holder);
	close(loop);
}

static void test_direct(void **state)
{
	(void)state;
	world.config.direct = true;
	if (disk_open(&world.disk, &world.config, &world.err)) {
		assert_says(world.err.text, "doesn't take direct I/O");
		SKIP("the file system of /var/tmp doesn't take direct I/O");
	}
	assert_true(fcntl(world.disk.direct_fd, F_GETFL) & O_DIRECT);
	assert_false(fcntl(world.disk.fd, F_GETFL) & O_DIRECT);
	assert_true(world.disk.direct_align >= 1 && world.disk.direct_align <= 4096);
	assert_int_equal(world.disk.direct_align & (world.disk.direct_align - 1), 0);
}

/* Files of sysfs have a page's size and no direct I/O. */
static void test_direct_is_refused(void **state)
{
	static const char path[] = "/sys/kernel/uevent_seqnum";
	struct stat status;

	(void)state;
	if (stat(path, &status) || status.st_size == 0 || status.st_size % SECTOR)
		SKIP("no file of sysfs that looks like a disk");
	world.config.read_only = world.config.direct = true;
	expect_refusal(path, "its file system doesn't take direct I/O: leave out ,direct");
}

static void test_files_are_handed_on(void **state)
{
	struct io_setup setup = {.files = 0};

	(void)state;
	world.config.ephemeral = true;
	expect_open();
	disk_files(&world.disk, &setup);
	assert_int_equal(setup.files, 2);
	assert_int_equal(setup.file[0], world.disk.fd);
	assert_int_equal(setup.file[1], world.disk.overlay_fd);
	disk_close(&world.disk);
	setup.files = 0;
	disk_files(&world.disk, &setup);
	assert_int_equal(setup.files, 0);
}

/* ---- real I/O ---- */

/* One operation, and what became of it. */
struct trial {
	struct disk_op op;
	struct iovec piece[8];
	unsigned times;
	int error;
};

static void trial_done(struct disk_op *op, int error)
{
	struct trial *trial = (struct trial *)op;

	trial->times++;
	trial->error = error;
}

static int perform_op(struct io *io, struct trial *trial)
{
	trial->op.piece = trial->piece;
	trial->op.done = trial_done;
	trial->times = 0;
	disk_start(&world.disk, io, &trial->op);
	while (trial->times == 0)
		io_wait(io);
	assert_int_equal(trial->times, 1);
	return trial->error;
}

static int perform(struct io *io, enum disk_kind kind, u64 offset, void *bytes, u64 count)
{
	struct trial trial = {
		.op = {.kind = kind, .offset = offset, .bytes = count, .pieces = 1},
		.piece = {{bytes, count}},
	};

	return perform_op(io, &trial);
}

static struct io *open_io(void)
{
	struct io_setup setup = {.depth = 8, .sandbox = SANDBOX_OFF, .name = "test"};
	struct io *io;

	disk_files(&world.disk, &setup);
	if (io_open(&io, &setup, &world.err))
		fail_msg("%s", world.err.text);
	io_enter(io);
	return io;
}

static u8 model[IMAGE_BYTES];
static u8 buffer[IMAGE_BYTES + 4096] __attribute__((aligned(4096)));

/* Cuts the buffer into pieces, some of them odd. */
static void cut_at_random(struct trial *trial, u32 *random)
{
	u64 left = trial->op.bytes;
	u8 *at = buffer + (next_random(random) % 2 ? 0 : next_random(random) % 4096);

	trial->op.pieces = 0;
	while (left) {
		u64 bytes = left;

		if (trial->op.pieces < ARRAY_LEN(trial->piece) - 1) {
			bytes = next_random(random) % (left + 1);
			if (next_random(random) % 2)
				bytes = align_down(bytes, SECTOR);
		}
		trial->piece[trial->op.pieces++] = (struct iovec){at, bytes};
		at += bytes;
		left -= bytes;
	}
}

static void check_read(struct trial *trial)
{
	u64 at = trial->op.offset;

	for (unsigned i = 0; i < ARRAY_LEN(trial->piece); i++) {
		const struct iovec *piece = &trial->piece[i];

		if (piece->iov_base)
			assert_memory_equal(piece->iov_base, model + at, piece->iov_len);
		at += piece->iov_len;
	}
}

/*
 * Random operations on the disk and on a model of it. Nothing reads the buffer of a read but its
 * check, which is made of a copy of the pieces: disk_op changes them.
 */
static void compare_with_model(struct io *io, unsigned count, u32 random)
{
	static const enum disk_kind kinds[] = {DISK_READ, DISK_READ,    DISK_WRITE, DISK_WRITE,
					       DISK_ZERO, DISK_DISCARD, DISK_FLUSH};

	memcpy(model, world.image, IMAGE_BYTES);
	for (unsigned i = 0; i < count; i++) {
		const u64 sectors = IMAGE_BYTES / SECTOR;
		struct trial trial = {.op.kind = kinds[next_random(&random) % ARRAY_LEN(kinds)]};
		struct trial before;
		u64 first = next_random(&random) % sectors;
		u64 many = next_random(&random) % (next_random(&random) % 3 ? 9 : sectors);

		if (next_random(&random) % 2)
			first &= ~(u64)7, many = (many & ~(u64)7) + 8;
		if (many > sectors - first)
			many = sectors - first;
		trial.op.offset = first * SECTOR;
		trial.op.bytes = many * SECTOR;
		trial.op.durable = next_random(&random) % 8 == 0;
		trial.op.keep_room = next_random(&random) % 2;
		cut_at_random(&trial, &random);
		if (trial.op.kind == DISK_WRITE) {
			u8 *at = model + trial.op.offset;

			fill_pattern(at, trial.op.bytes, i);
			for (unsigned k = 0; k < trial.op.pieces; k++) {
				memcpy(trial.piece[k].iov_base, at, trial.piece[k].iov_len);
				at += trial.piece[k].iov_len;
			}
		} else if (trial.op.kind == DISK_ZERO || trial.op.kind == DISK_DISCARD) {
			memset(model + trial.op.offset, 0, trial.op.bytes);
		}
		before = trial;
		assert_int_equal(perform_op(io, &trial), 0);
		if (trial.op.kind == DISK_READ)
			check_read(&before);
	}
}

static void expect_image(const u8 *content)
{
	static u8 back[IMAGE_BYTES];
	const int fd = open(world.path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, back, IMAGE_BYTES, 0), IMAGE_BYTES);
	assert_memory_equal(back, content, IMAGE_BYTES);
	close(fd);
}

/* Whether discards of the image's file system leave zeroes. */
static bool can_punch(void)
{
	const int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	const bool can = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0;

	close(fd);
	return can;
}

static void run_model(u32 seed)
{
	struct io *io = open_io();

	compare_with_model(io, 1500, seed);
	assert_true(io_close(io, 1000));
}

static void test_like_a_model(void **state)
{
	(void)state;
	if (!can_punch())
		SKIP("the file system of /var/tmp can't punch holes");
	expect_open();
	run_model(11);
	expect_image(model);
}

static void test_like_a_model_directly(void **state)
{
	(void)state;
	world.config.direct = true;
	if (!can_punch() || disk_open(&world.disk, &world.config, &world.err))
		SKIP("the file system of /var/tmp can't punch holes, or not do direct I/O");
	run_model(12);
	expect_image(model);
}

/* The image's bytes stay as they were, and reads are put together of many runs. */
static void test_like_a_model_when_ephemeral(void **state)
{
	(void)state;
	world.config.ephemeral = true;
	expect_open();
	run_model(13);
	expect_image(world.image);
}

static void test_like_a_model_when_ephemeral_and_direct(void **state)
{
	(void)state;
	world.config.ephemeral = world.config.direct = true;
	if (disk_open(&world.disk, &world.config, &world.err))
		SKIP("the file system of /var/tmp doesn't take direct I/O");
	run_model(14);
	expect_image(world.image);
}

/* Every other sector lies in the overlay. */
static void test_reads_across_many_runs(void **state)
{
	static u8 sector[SECTOR];
	struct io *io;

	(void)state;
	world.config.ephemeral = true;
	expect_open();
	io = open_io();
	memcpy(model, world.image, IMAGE_BYTES);
	for (u64 at = 0; at < IMAGE_BYTES; at += (u64)2 * SECTOR) {
		fill_pattern(sector, SECTOR, (u32)at + 1);
		memcpy(model + at, sector, SECTOR);
		assert_int_equal(perform(io, DISK_WRITE, at, sector, SECTOR), 0);
	}
	assert_int_equal(perform(io, DISK_READ, 0, buffer, IMAGE_BYTES), 0);
	assert_memory_equal(buffer, model, IMAGE_BYTES);
	assert_true(io_close(io, 1000));
}

static void test_an_image_that_shrinks(void **state)
{
	struct io *io;

	(void)state;
	expect_open();
	io = open_io();
	assert_int_equal(truncate(world.path, 10000), 0);
	assert_int_equal(perform(io, DISK_READ, 0, buffer, 9728), 0);
	assert_memory_equal(buffer, world.image, 9728);
	assert_int_equal(perform(io, DISK_READ, 0, buffer, 20480), EIO);
	assert_int_equal(perform(io, DISK_READ, 20480, buffer, 512), EIO);
	assert_int_equal(perform(io, DISK_WRITE, 0, buffer, 512), 0);
	assert_true(io_close(io, 1000));
}

static int write_to_full_fs(void)
{
	struct io *io;
	int fd, error;

	if (!mount_here(0, "size=64k"))
		return SKIPPED;
	fd = open(world.path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, IMAGE_BYTES) || close(fd) ||
	    disk_open(&world.disk, &world.config, &world.err))
		return 1;
	io = open_io();
	error = perform(io, DISK_WRITE, 0, buffer, IMAGE_BYTES);
	if (error != ENOSPC || perform(io, DISK_READ, 0, buffer, 4096))
		return 2;
	/* The discard gives room back. */
	if (perform(io, DISK_DISCARD, 0, NULL, IMAGE_BYTES) ||
	    perform(io, DISK_WRITE, 8192, buffer, 8192))
		return 3;
	return io_close(io, 1000) ? GOOD : 4;
}

static int write_to_limit(void)
{
	const struct rlimit limit = {IMAGE_BYTES / 2, RLIM_INFINITY};
	struct io *io;

	signal(SIGXFSZ, SIG_IGN);
	expect_open();
	io = open_io();
	if (setrlimit(RLIMIT_FSIZE, &limit))
		return SKIPPED;
	if (perform(io, DISK_WRITE, 0, buffer, 4096) ||
	    perform(io, DISK_WRITE, IMAGE_BYTES / 2, buffer, 4096) != EFBIG)
		return 1;
	return io_close(io, 1000) ? GOOD : 2;
}

static void test_a_full_host(void **state)
{
	const int status = in_child(write_to_full_fs);

	(void)state;
	assert_int_equal(in_child(write_to_limit), GOOD);
	if (status == SKIPPED)
		SKIP("mounting a file system needs to be root");
	assert_int_equal(status, GOOD);
}

/* ---- bad days: an engine that answers as it is told ---- */

enum { STEPS_MAX = 64 };

/* What was asked, and the answers: a number of bytes, FULL, or a negative errno. */
#define FULL INT64_MAX

struct host {
	struct io io;
	struct io_op *waiting;
	int64_t answer[STEPS_MAX]; /* the last is given over and over */
	unsigned answers, steps;
	struct {
		enum io_kind kind;
		int fd;
		u64 offset, bytes; /* of all pieces, or of the range */
		unsigned pieces;
		void *base; /* of the first piece */
		bool durable;
	} step[STEPS_MAX];
};

static void host_start(struct io *io, struct io_op *op)
{
	struct host *host = (struct host *)io;
	const bool ranged = op->kind == IO_PUNCH || op->kind == IO_ZERO;
	u64 bytes = ranged ? op->bytes : 0;

	assert_null(host->waiting);
	assert_true(host->steps < STEPS_MAX);
	for (unsigned i = 0; !ranged && i < op->pieces; i++)
		bytes += op->piece[i].iov_len;
	host->waiting = op;
	host->step[host->steps].kind = op->kind;
	host->step[host->steps].fd = op->fd;
	host->step[host->steps].offset = op->offset;
	host->step[host->steps].bytes = bytes;
	host->step[host->steps].pieces = op->pieces;
	host->step[host->steps].base = op->pieces ? op->piece[0].iov_base : NULL;
	host->step[host->steps].durable = op->durable;
	host->steps++;
}

static u32 host_wait(struct io *io)
{
	struct host *host = (struct host *)io;
	struct io_op *op = host->waiting;
	const unsigned i = host->steps - 1;
	int64_t answer = host->answer[i < host->answers ? i : host->answers - 1];

	assert_non_null(op);
	host->waiting = NULL;
	if (answer == FULL)
		answer = op->kind == IO_READ || op->kind == IO_WRITE ? (int64_t)host->step[i].bytes
								     : 0;
	op->done(op, answer);
	return 0;
}

static const struct io_engine host_engine = {.start = host_start, .wait = host_wait};

#define HOST(...)                                                                                  \
	{                                                                                          \
		.io = {&host_engine}, .answer = {__VA_ARGS__},                                     \
		.answers = ARRAY_LEN(((int64_t[]){__VA_ARGS__}))                                   \
	}

/* A step moves so many bytes at this offset, by this descriptor. */
static void expect_step(const struct host *host, unsigned i, enum io_kind kind, int fd, u64 offset,
			u64 bytes)
{
	assert_true(i < host->steps);
	assert_int_equal(host->step[i].kind, kind);
	assert_int_equal(host->step[i].fd, fd);
	if (kind != IO_SYNC) {
		assert_int_equal(host->step[i].offset, offset);
		assert_int_equal(host->step[i].bytes, bytes);
	}
}

static void test_short_transfers_go_on(void **state)
{
	struct host host = HOST(100, 1948, 1, FULL);
	struct trial trial = {
		.op = {.kind = DISK_READ, .offset = 1024, .bytes = 4096, .pieces = 4},
		.piece = {{buffer, 1024},
			  {buffer, 0},
			  {buffer + 5000, 1024},
			  {buffer + 9000, 2048}},
	};

	(void)state;
	expect_open();
	assert_int_equal(perform_op(&host.io, &trial), 0);
	assert_int_equal(host.steps, 4);
	expect_step(&host, 0, IO_READ, world.disk.fd, 1024, 4096);
	expect_step(&host, 1, IO_READ, world.disk.fd, 1124, 3996);
	assert_ptr_equal(host.step[1].base, buffer + 100);
	expect_step(&host, 2, IO_READ, world.disk.fd, 3072, 2048);
	assert_ptr_equal(host.step[2].base, buffer + 9000);
	expect_step(&host, 3, IO_READ, world.disk.fd, 3073, 2047);
	assert_ptr_equal(host.step[3].base, buffer + 9001);
}

static void test_interrupted_steps_are_repeated(void **state)
{
	static const enum disk_kind kinds[] = {DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD,
					       DISK_ZERO};

	(void)state;
	expect_open();
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct host host = HOST(-EINTR, -EAGAIN, -EINTR, FULL);

		assert_int_equal(perform(&host.io, kinds[i], 512, buffer, 1024), 0);
		assert_int_equal(host.steps, 4);
		for (unsigned k = 1; k < 4; k++)
			assert_memory_equal(&host.step[k], &host.step[0], sizeof(host.step[0]));
	}
}

static void test_errors_end_it(void **state)
{
	static const enum disk_kind kinds[] = {DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD,
					       DISK_ZERO};

	(void)state;
	expect_open();
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct host host = HOST(-EIO);

		assert_int_equal(perform(&host.io, kinds[i], 512, buffer, 1024), EIO);
		assert_int_equal(host.steps, 1);
	}
	for (size_t i = 0; i < 2; i++) {
		struct host host = HOST(512, -ENOSPC);

		assert_int_equal(perform(&host.io, kinds[i], 512, buffer, 1024), ENOSPC);
		assert_int_equal(host.steps, 2);
	}
	for (size_t i = 0; i < 2; i++) {
		struct host host = HOST(512, 0);

		assert_int_equal(perform(&host.io, kinds[i], 512, buffer, 1024), EIO);
	}
}

/* Pieces that have less than the operation's bytes are the owner's mistake, and harm nobody. */
static void test_too_few_pieces(void **state)
{
	struct host host = HOST(FULL);
	struct trial trial = {
		.op = {.kind = DISK_WRITE, .bytes = 1024, .pieces = 1},
		.piece = {{buffer, 512}},
	};

	(void)state;
	expect_open();
	assert_int_equal(perform_op(&host.io, &trial), EIO);
}

static void test_what_lies_outside_is_refused(void **state)
{
	struct host host = HOST(FULL);

	(void)state;
	expect_open();
	assert_int_equal(perform(&host.io, DISK_READ, IMAGE_BYTES, buffer, 512), EINVAL);
	assert_int_equal(perform(&host.io, DISK_WRITE, IMAGE_BYTES - 512, buffer, 1024), EINVAL);
	assert_int_equal(perform(&host.io, DISK_ZERO, UINT64_MAX - 511, buffer, 1024), EINVAL);
	assert_int_equal(host.steps, 0);
	assert_int_equal(perform(&host.io, DISK_READ, IMAGE_BYTES, buffer, 0), 0);
	assert_int_equal(host.steps, 0);
}

static void test_durable_operations(void **state)
{
	struct trial write = {
		.op = {.kind = DISK_WRITE, .bytes = 512, .pieces = 1, .durable = true},
		.piece = {{buffer, 512}}};
	struct trial zero = {.op = {.kind = DISK_ZERO, .bytes = 512, .durable = true}};
	struct trial discard = {.op = {.kind = DISK_DISCARD, .bytes = 512, .durable = true}};
	struct host host = HOST(FULL), slow = HOST(FULL, -EINTR, FULL), bad = HOST(FULL, -EIO);

	(void)state;
	expect_open();
	assert_int_equal(perform_op(&host.io, &write), 0);
	assert_int_equal(host.steps, 1);
	assert_true(host.step[0].durable);
	host.steps = 0;
	assert_int_equal(perform_op(&host.io, &discard), 0);
	assert_int_equal(host.steps, 2);
	expect_step(&host, 0, IO_PUNCH, world.disk.fd, 0, 512);
	expect_step(&host, 1, IO_SYNC, world.disk.fd, 0, 0);
	assert_int_equal(perform_op(&slow.io, &zero), 0);
	assert_int_equal(slow.steps, 3);
	expect_step(&slow, 2, IO_SYNC, world.disk.fd, 0, 0);
	assert_int_equal(perform_op(&bad.io, &zero), EIO);
	host.steps = 0;
	assert_int_equal(perform(&host.io, DISK_FLUSH, 0, NULL, 0), 0);
	expect_step(&host, 0, IO_SYNC, world.disk.fd, 0, 0);
}

static void test_a_discard_is_a_hint(void **state)
{
	static const int errors[] = {EOPNOTSUPP, ENODEV, ENOSYS};

	(void)state;
	expect_open();
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		struct host host = HOST(-errors[i]);

		assert_int_equal(perform(&host.io, DISK_DISCARD, 0, NULL, 4096), 0);
		assert_int_equal(host.steps, 1);
	}
}

static void test_room_is_kept_or_given_back(void **state)
{
	struct trial trial = {.op = {.kind = DISK_ZERO, .bytes = 4096}};
	struct host host = HOST(FULL);

	(void)state;
	expect_open();
	assert_int_equal(perform_op(&host.io, &trial), 0);
	expect_step(&host, 0, IO_PUNCH, world.disk.fd, 0, 4096);
	trial.op.keep_room = true;
	assert_int_equal(perform_op(&host.io, &trial), 0);
	expect_step(&host, 1, IO_ZERO, world.disk.fd, 0, 4096);
}

/* The host can't zero: zeroes are written, a bounded number of them in a step. */
static void test_zeroes_by_hand(void **state)
{
	struct host host = HOST(-EOPNOTSUPP, FULL);
	struct trial trial = {
		.op = {.kind = DISK_ZERO, .offset = 512, .durable = true, .keep_room = true}};
	u64 at = 512;

	(void)state;
	assert_int_equal(truncate(world.path, 1024 * 1024), 0);
	expect_open();
	trial.op.bytes = (u64)700 * 1024 + 512;
	assert_int_equal(perform_op(&host.io, &trial), 0);
	expect_step(&host, 0, IO_ZERO, world.disk.fd, 512, trial.op.bytes);
	for (unsigned i = 1; i < host.steps - 1; i++) {
		expect_step(&host, i, IO_WRITE, world.disk.fd, at, host.step[i].bytes);
		assert_true(host.step[i].bytes <= 256 * 1024);
		assert_int_equal(*(u8 *)host.step[i].base, 0);
		at += host.step[i].bytes;
	}
	assert_int_equal(at, 512 + trial.op.bytes);
	expect_step(&host, host.steps - 1, IO_SYNC, world.disk.fd, 0, 0);
}

/* The same for real: where a file system can't zero a range, and where short writes happen. */
static void test_zeroes_by_hand_are_zero(void **state)
{
	struct host host = HOST(-EOPNOTSUPP, 100, 4000, FULL);
	struct io *io;

	(void)state;
	expect_open();
	assert_int_equal(perform(&host.io, DISK_ZERO, 1024, NULL, 10240), 0);
	expect_step(&host, 1, IO_WRITE, world.disk.fd, 1024, 8192);
	expect_step(&host, 2, IO_WRITE, world.disk.fd, 1124, 8192);
	expect_step(&host, 3, IO_WRITE, world.disk.fd, 5124, 4096);
	expect_step(&host, 4, IO_WRITE, world.disk.fd, 9220, 2044);
	assert_int_equal(host.steps, 5);
	io = open_io();
	assert_int_equal(perform(io, DISK_ZERO, 1024, NULL, 10240), 0);
	memset(world.image + 1024, 0, 10240);
	expect_image(world.image);
	assert_true(io_close(io, 1000));
}

static void test_a_disk_that_is_only_read(void **state)
{
	struct host host = HOST(FULL);

	(void)state;
	world.config.read_only = true;
	expect_open();
	assert_int_equal(fcntl(world.disk.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(perform(&host.io, DISK_WRITE, 0, buffer, 512), EROFS);
	assert_int_equal(perform(&host.io, DISK_DISCARD, 0, buffer, 512), EROFS);
	assert_int_equal(perform(&host.io, DISK_ZERO, 0, buffer, 512), EROFS);
	assert_int_equal(perform(&host.io, DISK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(host.steps, 0);
	assert_int_equal(perform(&host.io, DISK_READ, 0, buffer, 512), 0);
}

static void expect_reads_from(struct host *host, u64 offset, int fd)
{
	host->steps = 0;
	assert_int_equal(perform(&host->io, DISK_READ, offset, buffer, 512), 0);
	assert_int_equal(host->steps, 1);
	assert_int_equal(host->step[0].fd, fd);
}

/* A sector lies in the overlay when it was written there, and not before. */
static void test_only_what_is_written_is_marked(void **state)
{
	struct host bad = HOST(-ENOSPC), half = HOST(1300, -ENOSPC), good = HOST(FULL);
	struct host torn = HOST(300, FULL);
	struct disk *disk = &world.disk;

	(void)state;
	world.config.ephemeral = true;
	expect_open();
	assert_int_equal(perform(&bad.io, DISK_WRITE, 0, buffer, 4096), ENOSPC);
	expect_step(&bad, 0, IO_WRITE, disk->overlay_fd, 0, 4096);
	expect_reads_from(&good, 0, disk->fd);
	assert_int_equal(perform(&half.io, DISK_WRITE, 0, buffer, 4096), ENOSPC);
	expect_reads_from(&good, 512, disk->overlay_fd);
	expect_reads_from(&good, 1024, disk->fd);
	/* A sector in two steps. */
	assert_int_equal(perform(&torn.io, DISK_WRITE, 8192, buffer, 1024), 0);
	expect_reads_from(&good, 8192, disk->overlay_fd);
	expect_reads_from(&good, 8704, disk->overlay_fd);
	expect_reads_from(&good, 9216, disk->fd);
}

static void test_an_overlay_needs_no_syncs(void **state)
{
	struct trial write = {
		.op = {.kind = DISK_WRITE, .bytes = 512, .pieces = 1, .durable = true},
		.piece = {{buffer, 512}}};
	struct trial zero = {.op = {.kind = DISK_ZERO, .bytes = 512, .durable = true}};
	struct host host = HOST(FULL), unable = HOST(-EOPNOTSUPP, FULL);

	(void)state;
	world.config.ephemeral = true;
	expect_open();
	assert_int_equal(perform(&host.io, DISK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(host.steps, 0);
	assert_int_equal(perform_op(&host.io, &write), 0);
	assert_false(host.step[0].durable);
	assert_int_equal(perform_op(&host.io, &zero), 0);
	expect_step(&host, 1, IO_PUNCH, world.disk.overlay_fd, 0, 512);
	assert_int_equal(host.steps, 2);
	assert_int_equal(perform_op(&unable.io, &zero), 0);
	expect_step(&unable, 1, IO_WRITE, world.disk.overlay_fd, 0, 512);
	assert_int_equal(unable.steps, 2);
}

/* Which way a step goes that has these pieces. */
static int fd_for(u64 offset, size_t base, size_t one, size_t two)
{
	struct host host = HOST(FULL);
	struct trial trial = {
		.op = {.kind = DISK_WRITE, .offset = offset, .bytes = one + two, .pieces = 2},
		.piece = {{buffer + base, one}, {buffer + 8192, two}},
	};

	assert_int_equal(perform_op(&host.io, &trial), 0);
	return host.step[0].fd;
}

static void test_misaligned_pieces_take_the_other_way(void **state)
{
	struct disk *disk = &world.disk;

	(void)state;
	expect_open();
	disk->direct_fd = open(world.path, O_RDWR | O_CLOEXEC);
	disk->direct_align = 512;
	assert_int_equal(fd_for(512, 0, 512, 1024), disk->direct_fd);
	assert_int_equal(fd_for(512, 512, 512, 1024), disk->direct_fd);
	assert_int_equal(fd_for(512, 256, 512, 1024), disk->fd);
	assert_int_equal(fd_for(512, 0, 100, 924), disk->fd);
	disk->direct_align = 4096;
	assert_int_equal(fd_for(512, 0, 4096, 4096), disk->fd);
	assert_int_equal(fd_for(4096, 512, 4096, 4096), disk->fd);
	assert_int_equal(fd_for(4096, 0, 4096, 4096), disk->direct_fd);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD(test_refuses_what_is_no_disk),
		WORLD(test_refuses_odd_sizes),
		WORLD(test_refuses_other_formats),
		WORLD(test_a_file_that_may_not_be_written),
		WORLD(test_a_file_system_that_may_not_be_written),
		WORLD(test_two_writers_are_refused),
		WORLD(test_a_lock_is_waited_for),
		WORLD(test_geometry_of_a_file),
		WORLD(test_a_block_device),
		WORLD(test_direct),
		WORLD(test_direct_is_refused),
		WORLD(test_files_are_handed_on),
		WORLD(test_like_a_model),
		WORLD(test_like_a_model_directly),
		WORLD(test_like_a_model_when_ephemeral),
		WORLD(test_like_a_model_when_ephemeral_and_direct),
		WORLD(test_reads_across_many_runs),
		WORLD(test_an_image_that_shrinks),
		WORLD(test_a_full_host),
		WORLD(test_short_transfers_go_on),
		WORLD(test_interrupted_steps_are_repeated),
		WORLD(test_errors_end_it),
		WORLD(test_too_few_pieces),
		WORLD(test_what_lies_outside_is_refused),
		WORLD(test_durable_operations),
		WORLD(test_a_discard_is_a_hint),
		WORLD(test_room_is_kept_or_given_back),
		WORLD(test_zeroes_by_hand),
		WORLD(test_zeroes_by_hand_are_zero),
		WORLD(test_a_disk_that_is_only_read),
		WORLD(test_only_what_is_written_is_marked),
		WORLD(test_an_overlay_needs_no_syncs),
		WORLD(test_misaligned_pieces_take_the_other_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
