/*
 * devices/virtio/fuse.c: messages. What isn't a request gets an error reply or none, and nothing
 * else happens; node ids and handles that were never given are nothing; what was given is gone when
 * it was forgotten, released, or the device was reset.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/fuse_server.h"
#include "tests/unit/fuse_world.h"
#include "tests/unit/support.h"
#include "vmm/trace.h"

static int init(struct fuse_client *client, u32 major, u32 minor, u32 flags,
		struct fuse_init_out *out)
{
	const struct fuse_init_in in = {
		.major = major, .minor = minor, .max_readahead = 1 << 17, .flags = flags};
	const int error = fuse_ask(client, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL);

	if (!error)
		memcpy(out, fuse_body(client), sizeof(*out));
	return error;
}

static void test_init(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_init_out out;

	/* Twice is no crime. */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(init(client, 7, 38, UINT32_MAX, &out), 0);
		assert_int_equal(client->bytes, sizeof(out));
		assert_int_equal(out.major, 7);
		assert_int_equal(out.max_readahead, 1 << 17);
		assert_int_equal(out.max_write, 1 << 20);
		assert_int_equal(out.max_pages, 256);
		assert_true(out.flags & FUSE_HANDLE_KILLPRIV_V2 && out.flags & FUSE_ATOMIC_O_TRUNC);
		assert_false(out.flags & (FUSE_WRITEBACK_CACHE | FUSE_POSIX_LOCKS |
					  FUSE_SETXATTR_EXT | FUSE_EXPORT_SUPPORT));
	}
	/* What the guest doesn't know isn't asked of it. */
	assert_int_equal(init(client, 7, 31, 0, &out), 0);
	assert_int_equal(out.flags, 0);
	assert_int_equal(init(client, 7, 30, 0, &out), -EPROTO);
	assert_int_equal(init(client, 8, 0, 0, &out), -EPROTO);
}

static void test_caches(void **state)
{
	static const struct {
		enum fuse_cache cache;
		bool read_only;
		u32 init, open, directory;
		u64 valid;
	} rows[] = {
		{FUSE_CACHE_AUTO, false, 0, 0, 0, 1},
		{FUSE_CACHE_NONE, false, 0, FOPEN_DIRECT_IO, 0, 0},
		{FUSE_CACHE_ALWAYS, false, FUSE_WRITEBACK_CACHE | FUSE_CACHE_SYMLINKS,
		 FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR, 86400},
		{FUSE_CACHE_ALWAYS, true, FUSE_CACHE_SYMLINKS, FOPEN_KEEP_CACHE,
		 FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR, 86400},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct fuse_export export = {.cache = rows[i].cache,
						   .read_only = rows[i].read_only};
		static struct fuse_world world;
		struct fuse_client *client = &world.client;
		struct fuse_init_out out;
		struct fuse_entry_out entry;
		struct fuse_open_out open;
		u64 file;

		fuse_world_make(&world, &export);
		host_write(&world, "file", "text");
		assert_int_equal(init(client, 7, 38, UINT32_MAX, &out), 0);
		assert_int_equal(out.flags & (FUSE_WRITEBACK_CACHE | FUSE_CACHE_SYMLINKS),
				 rows[i].init);
		file = fuse_lookup(client, FUSE_ROOT_ID, "file");
		memcpy(&entry, fuse_body(client), sizeof(entry));
		assert_int_equal(entry.entry_valid, rows[i].valid);
		assert_int_equal(entry.attr_valid, rows[i].valid);
		fuse_open_file(client, file, O_RDONLY);
		memcpy(&open, fuse_body(client), sizeof(open));
		assert_int_equal(open.open_flags, rows[i].open);
		fuse_open_directory(client, FUSE_ROOT_ID);
		memcpy(&open, fuse_body(client), sizeof(open));
		assert_int_equal(open.open_flags, rows[i].directory);
		/* That there is none may be kept where nobody else changes anything. */
		if (rows[i].cache == FUSE_CACHE_ALWAYS) {
			assert_int_equal(fuse_find(client, FUSE_ROOT_ID, "none"), 0);
			memcpy(&entry, fuse_body(client), sizeof(entry));
			assert_true(entry.nodeid == 0 && entry.entry_valid == 86400);
		} else {
			assert_int_equal(fuse_find(client, FUSE_ROOT_ID, "none"), -ENOENT);
		}
		fuse_world_free(&world);
	}
}

/* Every opcode, with bodies of every length that hold nothing or all ones. */
static void test_lengths(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const unsigned before = count_descriptors();
	u8 body[160];

	host_write(world, "file", "text");
	for (u32 opcode = 0; opcode < 80; opcode++) {
		for (unsigned fill = 0; fill < 2; fill++) {
			memset(body, fill ? 0xff : 0, sizeof(body));
			for (u32 bytes = 0; bytes < sizeof(body); bytes++)
				fuse_ask(client, opcode, FUSE_ROOT_ID, body, bytes, NULL, NULL);
		}
	}
	fuse_reset(client->server);
	assert_int_equal(count_descriptors(), before);
	host_expect(world, "file", "text");
}

static void test_broken_headers(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_in_header head = {.len = sizeof(head), .opcode = FUSE_STATFS, .nodeid = 1};
	struct fuse_out_header reply;
	struct iovec in = {&head, sizeof(head)}, out = {&reply, sizeof(reply)};

	/* A length that isn't the pieces'. */
	client->lie = 1;
	assert_int_equal(fuse_find(client, FUSE_ROOT_ID, "none"), -EINVAL);
	client->lie = (u32) - (int)(strlen("none") + 2);
	assert_int_equal(fuse_find(client, FUSE_ROOT_ID, "none"), -EINVAL);
	client->lie = 0;
	assert_int_equal(fuse_find(client, FUSE_ROOT_ID, "none"), -ENOENT);
	assert_int_equal(fuse_ask(client, 0, FUSE_ROOT_ID, NULL, 0, NULL, NULL), -ENOSYS);
	assert_int_equal(fuse_ask(client, FUSE_IOCTL, FUSE_ROOT_ID, NULL, 0, NULL, NULL), -ENOSYS);
	assert_int_equal(fuse_ask(client, UINT32_MAX, FUSE_ROOT_ID, NULL, 0, NULL, NULL), -ENOSYS);
	/* No header, no room for one, room for that alone. */
	in.iov_len = sizeof(head) - 1;
	assert_int_equal(fuse_serve(client->server, &in, 1, &out, 1), 0);
	assert_int_equal(fuse_serve(client->server, NULL, 0, &out, 1), 0);
	in.iov_len = sizeof(head);
	out.iov_len--;
	assert_int_equal(fuse_serve(client->server, &in, 1, &out, 1), 0);
	assert_int_equal(fuse_serve(client->server, &in, 1, NULL, 0), 0);
	out.iov_len++;
	assert_int_equal(fuse_serve(client->server, &in, 1, &out, 1), sizeof(reply));
	assert_int_equal(reply.error, -ERANGE);
}

static void test_too_long(void **state)
{
	static u8 body[72 * 1024];
	struct fuse_world *world = *state;

	assert_int_equal(fuse_ask(&world->client, FUSE_SETXATTR, 1, body, sizeof(body), NULL, NULL),
			 -E2BIG);
}

/* A reply that doesn't fit is an error, one at a time, and nothing lies behind the room. */
static void test_room(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const struct fuse_getxattr_in list = {.size = 4096};
	u64 file, fh;

	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	assert_int_equal(fuse_write(client, file, fh, 0, "0123456789", 10), 10);
	client->room = 4;
	assert_int_equal(fuse_find(client, FUSE_ROOT_ID, "file"), -ERANGE);
	assert_int_equal(fuse_ask(client, FUSE_GETATTR, file, NULL, 0, NULL, NULL), -ERANGE);
	assert_int_equal(fuse_ask(client, FUSE_STATFS, file, NULL, 0, NULL, NULL), -ERANGE);
	assert_int_equal(fuse_open_with(client, file, O_RDONLY), -ERANGE);
	/* What is read is what there is room for. */
	assert_int_equal(fuse_read(client, file, fh, 3, UINT32_MAX), 4);
	assert_memory_equal(fuse_body(client), "3456", 4);
	assert_int_equal(fuse_ask(client, FUSE_LISTXATTR, file, &list, sizeof(list), NULL, NULL),
			 0);
}

static void test_unknown(void **state)
{
	static const u64 nobody[] = {0,         2, 3, UINT32_MAX, (u64)1 << 32, ((u64)1 << 32) + 1,
				     UINT64_MAX};
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;

	for (size_t i = 0; i < ARRAY_LEN(nobody); i++) {
		assert_int_equal(fuse_stat(client, nobody[i], &attr), -ENOENT);
		assert_int_equal(fuse_find(client, nobody[i], "file"), -ENOENT);
		assert_int_equal(fuse_open_with(client, nobody[i], O_RDONLY), -ENOENT);
		assert_int_equal(fuse_unlink(client, nobody[i], "file"), -ENOENT);
		assert_int_equal(fuse_rename(client, 1, "file", nobody[i], "new", 0), -ENOENT);
		assert_int_equal(fuse_link(client, nobody[i], 1, "new"), -ENOENT);
		fuse_forget(client, nobody[i], 1);
		assert_int_equal(fuse_read(client, 1, nobody[i], 0, 16), -EBADF);
		assert_int_equal(fuse_write(client, 1, nobody[i], 0, "x", 1), -EBADF);
		assert_int_equal(fuse_release(client, 1, nobody[i]), -EBADF);
	}
	assert_int_equal(fuse_stat(client, FUSE_ROOT_ID, &attr), 0);
	assert_true(S_ISDIR(attr.mode));
}

/* A node id is one as long as it isn't forgotten as often as it was found, and never again. */
static void test_forget(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	u64 file, directory, inside;

	assert_int_equal(mkdir(fuse_world_path(world, "directory"), 0755), 0);
	host_write(world, "directory/inside", "");
	host_write(world, "file", "");
	file = fuse_lookup(client, FUSE_ROOT_ID, "file");
	assert_int_equal(fuse_lookup(client, FUSE_ROOT_ID, "file"), file);
	fuse_forget(client, file, 1);
	assert_int_equal(fuse_stat(client, file, &attr), 0);
	fuse_forget(client, file, 1);
	assert_int_equal(fuse_stat(client, file, &attr), -ENOENT);
	fuse_forget(client, file, 1);
	assert_int_not_equal(fuse_lookup(client, FUSE_ROOT_ID, "file"), file);
	assert_int_equal(fuse_stat(client, file, &attr), -ENOENT);
	/* More than there were. */
	file = fuse_lookup(client, FUSE_ROOT_ID, "file");
	fuse_forget(client, file, UINT64_MAX);
	assert_int_equal(fuse_stat(client, file, &attr), -ENOENT);
	fuse_forget(client, FUSE_ROOT_ID, UINT64_MAX);
	assert_int_equal(fuse_stat(client, FUSE_ROOT_ID, &attr), 0);
	/* A parent stays as long as what is in it. */
	directory = fuse_lookup(client, FUSE_ROOT_ID, "directory");
	inside = fuse_lookup(client, directory, "inside");
	fuse_forget(client, directory, 1);
	assert_int_equal(fuse_stat(client, inside, &attr), 0);
	fuse_forget(client, inside, 1);
	assert_int_equal(fuse_stat(client, directory, &attr), -ENOENT);
}

static void test_batch_forget(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct {
		struct fuse_batch_forget_in in;
		struct fuse_forget_one one[3];
	} batch = {.in = {.count = 3}};
	struct fuse_attr attr;

	host_write(world, "a", "");
	host_write(world, "b", "");
	batch.one[0] = (struct fuse_forget_one){fuse_lookup(client, FUSE_ROOT_ID, "a"), 1};
	batch.one[1] = (struct fuse_forget_one){12345, 1};
	batch.one[2] = (struct fuse_forget_one){fuse_lookup(client, FUSE_ROOT_ID, "b"), 1};
	/* One that isn't there whole isn't there. */
	fuse_ask(client, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch) - 1, NULL, NULL);
	assert_int_equal(fuse_stat(client, batch.one[0].nodeid, &attr), -ENOENT);
	assert_int_equal(fuse_stat(client, batch.one[2].nodeid, &attr), 0);
	batch.in.count = UINT32_MAX;
	fuse_ask(client, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), NULL, NULL);
	assert_int_equal(fuse_stat(client, batch.one[2].nodeid, &attr), -ENOENT);
}

/* A handle is its inode's only, and none when it was released. */
static void test_handles(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	u64 a, b, fh_a, fh_b, again;

	a = fuse_create(client, FUSE_ROOT_ID, "a", &fh_a);
	b = fuse_create(client, FUSE_ROOT_ID, "b", &fh_b);
	assert_int_not_equal(fh_a, fh_b);
	assert_int_equal(fuse_write(client, a, fh_b, 0, "x", 1), -EBADF);
	assert_int_equal(fuse_read(client, b, fh_a, 0, 1), -EBADF);
	assert_int_equal(fuse_release(client, b, fh_a), -EBADF);
	assert_int_equal(fuse_write(client, a, fh_a, 0, "x", 1), 1);
	assert_int_equal(fuse_release(client, a, fh_a), 0);
	assert_int_equal(fuse_release(client, a, fh_a), -EBADF);
	assert_int_equal(fuse_write(client, a, fh_a, 0, "x", 1), -EBADF);
	/* Its place is taken again. */
	again = fuse_open_file(client, b, O_RDONLY);
	assert_int_equal(again, fh_a);
	assert_int_equal(fuse_release(client, b, fh_b), 0);
	assert_int_equal(fuse_read(client, b, again, 0, 1), 0);
}

/* A handle that is being used is closed when that is done, by whomever it was released. */
static void test_handle_in_use(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;

	for (unsigned way = 0; way < 2; way++) {
		struct fuse_handle *handle;
		u64 file, fh;

		file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
		handle = fuse_handle_get(client->server, file, fh);
		assert_non_null(handle);
		if (way == 0)
			assert_int_equal(fuse_release(client, file, fh), 0);
		else
			fuse_reset(client->server);
		assert_null(fuse_handle_get(client->server, file, fh));
		assert_int_equal(pwrite(handle->fd, "text", 4, 0), 4);
		assert_int_not_equal(fuse_open_file(client, fuse_lookup(client, 1, "file"), 0), fh);
		fuse_handle_put(client->server, handle);
		assert_int_equal(handle->fd, -1);
	}
}

/* Reset by the device or by the guest's unmounting: nothing is left. */
static void test_reset(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const unsigned before = count_descriptors();

	for (unsigned way = 0; way < 2; way++) {
		struct fuse_attr attr;
		u64 directory, file, fh;

		assert_int_equal(mkdir(fuse_world_path(world, "directory"), 0755), 0);
		directory = fuse_lookup(client, FUSE_ROOT_ID, "directory");
		file = fuse_create(client, directory, "file", &fh);
		fuse_open_directory(client, directory);
		assert_int_equal(fuse_unlink(client, directory, "file"), 0);
		if (way == 0)
			fuse_reset(client->server);
		else
			assert_int_equal(fuse_ask(client, FUSE_DESTROY, 0, NULL, 0, NULL, NULL), 0);
		assert_int_equal(count_descriptors(), before);
		assert_int_equal(fuse_stat(client, directory, &attr), -ENOENT);
		assert_int_equal(fuse_read(client, file, fh, 0, 1), -EBADF);
		assert_int_equal(rmdir(fuse_world_path(world, "directory")), 0);
	}
}

/* In the trace a request is a line, whatever its name is. */
static void test_trace(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct loop loop = {.sources = 0};
	char text[1024] = "";
	struct trace trace;
	struct error err;
	struct temp_file file;

	temp_file_make(&file, "", 0);
	assert_int_equal(trace_open(&trace, TRACE_FS, file.path, clock_now_ns(), &loop, &err), 0);
	fuse_trace(client->server, &trace);
	fuse_mkdir(client, FUSE_ROOT_ID, "a\nb'");
	assert_int_equal(fuse_ask(client, FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0, "nobody", NULL),
			 -ENOENT);
	assert_int_equal(fuse_ask(client, 4000, 7, NULL, 0, NULL, NULL), -ENOSYS);
	fuse_trace(client->server, NULL);
	fuse_mkdir(client, FUSE_ROOT_ID, "unseen");
	trace_close(&trace);
	assert_true(pread(file.fd, text, sizeof(text) - 1, 0) > 0);
	assert_says(text, "ms fs MKDIR inode 1 'a?b'' → ok, 128 bytes, ");
	assert_says(text, " us\nmain +");
	assert_says(text, "ms fs LOOKUP inode 1 'nobody' → No such file or directory, ");
	assert_says(text, "ms fs unknown inode 7 → Function not implemented, ");
	assert_null(strstr(text, "unseen"));
	temp_file_free(&file);
}

static void test_read_only(void **state)
{
	const struct fuse_export export = {.read_only = true};
	const struct fuse_setattr_in size = {.valid = FATTR_SIZE};
	const struct fuse_mkdir_in mode = {.mode = 0755};
	static struct fuse_world world;
	struct fuse_client *client = &world.client;
	u64 file, fh;

	(void)state;
	fuse_world_make(&world, &export);
	host_write(&world, "file", "text");
	file = fuse_lookup(client, FUSE_ROOT_ID, "file");
	assert_int_equal(fuse_open_with(client, file, O_WRONLY), -EROFS);
	assert_int_equal(fuse_open_with(client, file, O_RDWR), -EROFS);
	assert_int_equal(fuse_open_with(client, file, O_RDONLY | O_TRUNC), -EROFS);
	assert_int_equal(fuse_create_with(client, 1, "new", O_RDONLY, S_IFREG | 0644), -EROFS);
	assert_int_equal(fuse_unlink(client, 1, "file"), -EROFS);
	assert_int_equal(fuse_rename(client, 1, "file", 1, "new", 0), -EROFS);
	assert_int_equal(fuse_link(client, file, 1, "new"), -EROFS);
	assert_int_equal(fuse_setattr(client, file, &size), -EROFS);
	for (u32 opcode = 0; opcode < 60; opcode++) {
		if (opcode == FUSE_SYMLINK || opcode == FUSE_MKNOD || opcode == FUSE_MKDIR ||
		    opcode == FUSE_RMDIR || opcode == FUSE_SETXATTR || opcode == FUSE_REMOVEXATTR ||
		    opcode == FUSE_RENAME || opcode == FUSE_FALLOCATE ||
		    opcode == FUSE_COPY_FILE_RANGE || opcode == FUSE_TMPFILE ||
		    opcode == FUSE_WRITE)
			assert_int_equal(
				fuse_ask(client, opcode, 1, &mode, sizeof(mode), "file", "new"),
				-EROFS);
	}
	fh = fuse_open_file(client, file, O_RDONLY);
	assert_int_equal(fuse_read(client, file, fh, 0, 16), 4);
	host_expect(&world, "file", "text");
	expect_untouched(&world);
	fuse_world_free(&world);
}

static void test_no_directory(void **state)
{
	struct fuse_export export = {.directory = "/nowhere/at/all"};
	const unsigned before = count_descriptors();
	struct fuse_server *server;
	struct error err;

	(void)state;
	assert_int_equal(fuse_open(&server, &export, &err), -1);
	assert_says(err.text, "'/nowhere/at/all' can't be shared: No such file");
	export.directory = "/proc/self/exe";
	assert_int_equal(fuse_open(&server, &export, &err), -1);
	assert_says(err.text, "Not a directory");
	assert_int_equal(count_descriptors(), before);
	fuse_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FUSE_TEST(test_init),
		cmocka_unit_test(test_caches),
		FUSE_TEST(test_lengths),
		FUSE_TEST(test_broken_headers),
		FUSE_TEST(test_too_long),
		FUSE_TEST(test_room),
		FUSE_TEST(test_unknown),
		FUSE_TEST(test_forget),
		FUSE_TEST(test_batch_forget),
		FUSE_TEST(test_handles),
		FUSE_TEST(test_handle_in_use),
		FUSE_TEST(test_reset),
		FUSE_TEST(test_trace),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_no_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
