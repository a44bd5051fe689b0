/*
 * devices/virtio/fuse_file.c: open files. What is read and written, where, and by which flags the
 * file was opened; holes, room, copies; and what the guest's own cache needs.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/fuse_server.h"
#include "devices/virtio/queue.h"
#include "tests/unit/fuse_world.h"
#include "tests/unit/support.h"

/* As fuse_create(), for the handles in <linux/fuse.h>, whose type isn't u64 on every machine. */
static u64 create_file(struct fuse_client *client, const char *name, uint64_t *handle)
{
	u64 fh;
	const u64 file = fuse_create(client, FUSE_ROOT_ID, name, &fh);

	*handle = fh;
	return file;
}

static void test_read_and_write(void **state)
{
	static u8 data[60000];
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	u64 file, fh, other;

	fill_pattern(data, sizeof(data), 1);
	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	assert_int_equal(fuse_write(client, file, fh, 0, data, sizeof(data)), sizeof(data));
	assert_int_equal(fuse_read(client, file, fh, 0, sizeof(data) + 100), sizeof(data));
	assert_memory_equal(fuse_body(client), data, sizeof(data));
	assert_int_equal(fuse_read(client, file, fh, 12345, 100), 100);
	assert_memory_equal(fuse_body(client), data + 12345, 100);
	assert_int_equal(fuse_read(client, file, fh, sizeof(data), 100), 0);
	assert_int_equal(fuse_read(client, file, fh, 0, 0), 0);
	assert_int_equal(fuse_write(client, file, fh, 0, data, 0), 0);
	assert_int_equal(fuse_read(client, file, fh, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(fuse_write(client, file, fh, (u64)1 << 63, "x", 1), -EINVAL);
	/* Only what it was opened for. */
	other = fuse_open_file(client, file, O_RDONLY);
	assert_int_equal(fuse_write(client, file, other, 0, "x", 1), -EBADF);
	other = fuse_open_file(client, file, O_WRONLY);
	assert_int_equal(fuse_read(client, file, other, 0, 1), -EBADF);
	assert_int_equal(fuse_write(client, file, other, 0, "x", 1), 1);
}

/* A size that isn't what was sent. */
static void test_write_sizes(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_write_in in = {.size = 5};
	const struct iovec part[] = {{&in, sizeof(in)}, {(char[]){"text"}, 4}};
	u64 file;

	file = create_file(client, "file", &in.fh);
	assert_int_equal(fuse_send(client, FUSE_WRITE, file, part, 2), -EINVAL);
	assert_int_equal(fuse_send(client, FUSE_WRITE, file, part, 1), -EINVAL);
	in.size = UINT32_MAX;
	assert_int_equal(fuse_send(client, FUSE_WRITE, file, part, 2), -EINVAL);
	in.size = 3;
	assert_int_equal(fuse_send(client, FUSE_WRITE, file, part, 2), 0);
	host_expect(world, "file", "tex");
}

/* As many pieces as a chain may have, one of them empty. */
static void test_pieces(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_in_header head = {.opcode = FUSE_WRITE, .unique = 1};
	struct fuse_write_in in = {.size = VIRTQ_PIECES_MAX - 3};
	struct fuse_out_header reply;
	struct fuse_write_out written;
	struct iovec piece[VIRTQ_PIECES_MAX],
		out[] = {{&reply, sizeof(reply)}, {&written, sizeof(written)}};
	u8 data[VIRTQ_PIECES_MAX - 3];

	fill_pattern(data, sizeof(data), 2);
	head.nodeid = create_file(client, "file", &in.fh);
	head.len = sizeof(head) + sizeof(in) + sizeof(data);
	piece[0] = (struct iovec){&head, sizeof(head)};
	piece[1] = (struct iovec){&in, sizeof(in)};
	piece[2] = (struct iovec){data, 0};
	for (unsigned i = 0; i < sizeof(data); i++)
		piece[3 + i] = (struct iovec){data + i, 1};
	assert_int_equal(fuse_serve(client->server, piece, VIRTQ_PIECES_MAX, out, 2),
			 sizeof(reply) + sizeof(written));
	assert_true(reply.error == 0 && written.size == sizeof(data));
	assert_int_equal(fuse_read(client, head.nodeid, in.fh, 0, 4000), sizeof(data));
	assert_memory_equal(fuse_body(client), data, sizeof(data));
}

/* How many bytes of so many at the file's beginning the server says it wrote, or -errno. */
static int write_bytes(struct fuse_client *client, u64 nodeid, u64 fh, u32 bytes, u32 flags)
{
	static u8 data[4000];
	struct fuse_write_in in = {.fh = fh, .size = bytes, .write_flags = flags};
	const struct iovec part[] = {{&in, sizeof(in)}, {data, bytes}};
	const int error = fuse_send(client, FUSE_WRITE, nodeid, part, 2);
	struct fuse_write_out out;

	memcpy(&out, fuse_body(client), sizeof(out));
	return error ? error : (int)out.size;
}

/* The host takes a part: who waits for the write is told how much, the guest's cache that it failed. */
static void test_short_writes(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct rlimit before, limit;
	u64 file, fh;

	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 1000;
	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(write_bytes(client, file, fh, 4000, 0), 1000);
	assert_int_equal(write_bytes(client, file, fh, 4000, FUSE_WRITE_CACHE), -EFBIG);
	assert_int_equal(write_bytes(client, file, fh, 1000, FUSE_WRITE_CACHE), 1000);
	assert_int_equal(fuse_write(client, file, fh, 1000, "x", 1), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

static void test_append_and_truncate(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	u64 file, fh;

	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	assert_int_equal(fuse_write(client, file, fh, 0, "one", 3), 3);
	/* The host has written meanwhile: the guest's idea of the end is old. */
	host_write(world, "file", "the host's");
	fh = fuse_open_file(client, file, O_WRONLY | O_APPEND);
	assert_int_equal(fuse_write(client, file, fh, 3, " two", 4), 4);
	host_expect(world, "file", "the host's two");
	fuse_open_file(client, file, O_WRONLY | O_TRUNC);
	host_expect(world, "file", "");
}

static int flags_of(struct fuse_world *world, u64 fh)
{
	return fcntl(world->client.server->handle[fh - 1]->fd, F_GETFL) &
	       (O_ACCMODE | O_APPEND | O_SYNC | O_DIRECT | O_NONBLOCK | O_PATH);
}

static void test_flags(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	u64 file, fh;

	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	assert_int_equal(flags_of(world, fuse_open_file(client, file, O_RDONLY)), O_RDONLY);
	assert_int_equal(flags_of(world, fuse_open_file(client, file, O_WRONLY | O_APPEND)),
			 O_WRONLY | O_APPEND);
	assert_int_equal(flags_of(world, fuse_open_file(client, file, O_RDWR | O_SYNC)),
			 O_RDWR | O_SYNC);
	assert_int_equal(flags_of(world, fuse_open_file(client, file, O_RDWR | O_DSYNC)),
			 O_RDWR | O_DSYNC);
	/* What is the guest's own business, and what would make another thing of it. */
	assert_int_equal(flags_of(world, fuse_open_file(client, file,
							O_RDWR | O_DIRECT | O_NONBLOCK | O_PATH |
								O_NOATIME | O_ASYNC)),
			 O_RDWR);
	assert_int_equal(fuse_open_with(client, file, O_RDONLY | O_DIRECTORY), 0);
	assert_int_equal(fuse_open_with(client, FUSE_ROOT_ID, O_RDONLY), -EISDIR);
	assert_int_equal(fuse_ask(client, FUSE_OPENDIR, file, &(struct fuse_open_in){.flags = 0},
				  sizeof(struct fuse_open_in), NULL, NULL),
			 -ENOTDIR);
}

/* The guest holds its writes back: then it reads around them, and knows the end by itself. */
static void test_writeback(void **state)
{
	const struct fuse_export export = {.cache = FUSE_CACHE_ALWAYS};
	static struct fuse_world world;
	struct fuse_client *client = &world.client;
	u64 file, fh;

	(void)state;
	fuse_world_make(&world, &export);
	host_write(&world, "file", "old text");
	file = fuse_lookup(client, FUSE_ROOT_ID, "file");
	fh = fuse_open_file(client, file, O_WRONLY | O_APPEND);
	assert_int_equal(flags_of(&world, fh), O_RDWR);
	assert_int_equal(fuse_read(client, file, fh, 0, 16), 8);
	assert_int_equal(fuse_write(client, file, fh, 0, "new", 3), 3);
	host_expect(&world, "file", "new text");
	fuse_world_free(&world);
}

static long seek(struct fuse_client *client, u64 nodeid, u64 fh, u64 offset, u32 whence)
{
	const struct fuse_lseek_in in = {.fh = fh, .offset = offset, .whence = whence};
	const int error = fuse_ask(client, FUSE_LSEEK, nodeid, &in, sizeof(in), NULL, NULL);
	struct fuse_lseek_out out;

	memcpy(&out, fuse_body(client), sizeof(out));
	return error ? error : (long)out.offset;
}

static void test_holes(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	u64 file, fh;

	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	assert_int_equal(fuse_write(client, file, fh, 1 << 20, "data", 4), 4);
	assert_int_equal(seek(client, file, fh, 0, SEEK_DATA), 1 << 20);
	assert_int_equal(seek(client, file, fh, 1 << 20, SEEK_HOLE), (1 << 20) + 4);
	assert_int_equal(seek(client, file, fh, (1 << 20) + 4, SEEK_DATA), -ENXIO);
	assert_int_equal(seek(client, file, fh, UINT64_MAX, SEEK_DATA), -EINVAL);
	assert_int_equal(seek(client, file, fh, 0, SEEK_SET), -EINVAL);
	assert_int_equal(seek(client, file, fh, 0, SEEK_END), -EINVAL);
	assert_int_equal(fuse_stat(client, file, &attr), 0);
	assert_true(attr.size == (1 << 20) + 4 && attr.blocks < 100);
}

static int allocate(struct fuse_client *client, u64 file, u64 fh, u32 mode, u64 offset, u64 length)
{
	const struct fuse_fallocate_in in = {
		.fh = fh, .mode = mode, .offset = offset, .length = length};

	return fuse_ask(client, FUSE_FALLOCATE, file, &in, sizeof(in), NULL, NULL);
}

static void test_allocate(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	static u8 data[65536];
	u64 file, fh;

	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	assert_int_equal(allocate(client, file, fh, 0, 0, 1 << 20), 0);
	assert_int_equal(fuse_stat(client, file, &attr), 0);
	assert_true(attr.size == 1 << 20 && attr.blocks >= (1 << 20) / 512);
	memset(data, 1, sizeof(data));
	assert_int_equal(fuse_write(client, file, fh, 0, data, sizeof(data)), sizeof(data));
	assert_int_equal(
		allocate(client, file, fh, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 32768),
		0);
	assert_int_equal(fuse_read(client, file, fh, 32767, 2), 2);
	assert_memory_equal(fuse_body(client), "\0\1", 2);
	assert_int_equal(allocate(client, file, fh, 0, UINT64_MAX, 1), -EINVAL);
	assert_int_equal(allocate(client, file, fh, 0, 0, UINT64_MAX), -EINVAL);
	assert_int_equal(allocate(client, file, fh, 0, INT64_MAX, 1), -EFBIG);
	assert_int_equal(allocate(client, file, fh, UINT32_MAX, 0, 1), -EOPNOTSUPP);
	assert_int_equal(allocate(client, file, fh + 1, 0, 0, 1), -EBADF);
}

static void test_copy(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_copy_file_range_in in = {.off_in = 4, .off_out = 2, .len = UINT64_MAX};
	struct fuse_write_out out;
	u64 from;

	from = create_file(client, "from", &in.fh_in);
	in.nodeid_out = create_file(client, "to", &in.fh_out);
	assert_int_equal(fuse_write(client, from, in.fh_in, 0, "0123456789", 10), 10);
	assert_int_equal(fuse_write(client, in.nodeid_out, in.fh_out, 0, "abc", 3), 3);
	assert_int_equal(fuse_ask(client, FUSE_COPY_FILE_RANGE, from, &in, sizeof(in), NULL, NULL),
			 0);
	memcpy(&out, fuse_body(client), sizeof(out));
	assert_int_equal(out.size, 6);
	host_expect(world, "to", "ab456789");
	in.off_in = UINT64_MAX;
	assert_int_equal(fuse_ask(client, FUSE_COPY_FILE_RANGE, from, &in, sizeof(in), NULL, NULL),
			 -EINVAL);
	in.off_in = 0;
	in.flags = 1;
	assert_int_equal(fuse_ask(client, FUSE_COPY_FILE_RANGE, from, &in, sizeof(in), NULL, NULL),
			 -EINVAL);
	in.flags = 0;
	in.fh_out = 99;
	assert_int_equal(fuse_ask(client, FUSE_COPY_FILE_RANGE, from, &in, sizeof(in), NULL, NULL),
			 -EBADF);
}

static void test_sync(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_fsync_in in = {.fsync_flags = 0};
	const u64 directory_fh = fuse_open_directory(client, FUSE_ROOT_ID);
	u64 file;

	file = create_file(client, "file", &in.fh);
	for (in.fsync_flags = 0; in.fsync_flags < 2; in.fsync_flags++)
		assert_int_equal(fuse_ask(client, FUSE_FSYNC, file, &in, sizeof(in), NULL, NULL),
				 0);
	in.fh = directory_fh;
	assert_int_equal(fuse_ask(client, FUSE_FSYNC, file, &in, sizeof(in), NULL, NULL), -EBADF);
	assert_int_equal(fuse_ask(client, FUSE_FSYNCDIR, FUSE_ROOT_ID, &in, sizeof(in), NULL, NULL),
			 0);
	assert_int_equal(fuse_ask(client, FUSE_SYNCFS, FUSE_ROOT_ID, NULL, 0, NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FUSE_TEST(test_read_and_write),
		FUSE_TEST(test_write_sizes),
		FUSE_TEST(test_pieces),
		FUSE_TEST(test_short_writes),
		FUSE_TEST(test_append_and_truncate),
		FUSE_TEST(test_flags),
		cmocka_unit_test(test_writeback),
		FUSE_TEST(test_holes),
		FUSE_TEST(test_allocate),
		FUSE_TEST(test_copy),
		FUSE_TEST(test_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
