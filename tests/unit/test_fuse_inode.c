/*
 * devices/virtio/fuse_inode.c: what a node id stands for, with far fewer descriptors than inodes.
 * Files are found again by parent and name, wherever the guest has moved them, and nothing else is
 * taken for them; those without a name are kept, as many as may be.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/fuse_server.h"
#include "tests/unit/fuse_world.h"
#include "tests/unit/support.h"

/* 64 descriptors: 32 for open files, 16 for paths, 8 for unlinked files. */
enum { DESCRIPTORS = 64, OPEN_MAX = 32, PATHS_MAX = 16, PINS_MAX = 8 };

enum { DIRECTORIES = 40, FILES = 50 };

static int few_set_up(void **state)
{
	const struct fuse_export export = {.descriptors = DESCRIPTORS};
	static struct fuse_world world;

	fuse_world_make(&world, &export);
	*state = &world;
	return 0;
}

#define FEW_TEST(test) cmocka_unit_test_setup_teardown(test, few_set_up, fuse_tear_down)

/* So many files are looked at that no other descriptor stays. */
static void use_all_paths(struct fuse_world *world)
{
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	char name[32];

	for (unsigned i = 0; i < 2 * PATHS_MAX; i++) {
		snprintf(name, sizeof(name), "filler-%u", i);
		host_write(world, name, "");
		/* A file that was only looked up has no descriptor yet. */
		assert_int_equal(fuse_stat(client, fuse_lookup(client, FUSE_ROOT_ID, name), &attr),
				 0);
	}
}

static u64 ino_of(struct fuse_world *world, const char *name)
{
	struct stat status;

	assert_int_equal(lstat(fuse_world_path(world, name), &status), 0);
	return status.st_ino;
}

/* The node id is that file's. */
static void expect_is(struct fuse_world *world, u64 nodeid, const char *name)
{
	struct fuse_attr attr;

	assert_int_equal(fuse_stat(&world->client, nodeid, &attr), 0);
	assert_int_equal(attr.ino, ino_of(world, name));
}

/* Two thousand files in directories in directories, all of them known, and used at random. */
static void test_many(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const unsigned open = count_descriptors();
	static u64 nodeid[DIRECTORIES * FILES];
	u64 parent = FUSE_ROOT_ID;
	char path[200] = "", name[260];
	u32 seed = 1;

	for (unsigned i = 0; i < DIRECTORIES; i++) {
		parent = fuse_mkdir(client, i % 8 ? parent : FUSE_ROOT_ID,
				    i % 8 ? "d" : (char[]){(char)('a' + i / 8), 0});
		for (unsigned j = 0; j < FILES; j++) {
			u64 fh;

			snprintf(name, sizeof(name), "file-%u", i * FILES + j);
			nodeid[i * FILES + j] = fuse_create(client, parent, name, &fh);
			assert_int_equal(fuse_release(client, nodeid[i * FILES + j], fh), 0);
		}
	}
	assert_true(count_descriptors() <= open + PATHS_MAX);
	for (unsigned i = 0; i < 4000; i++) {
		const u32 which = next_random(&seed) % (DIRECTORIES * FILES);
		const unsigned directory = which / FILES;

		snprintf(path, sizeof(path), "%c/%.*sfile-%u", (char)('a' + directory / 8),
			 (int)(directory % 8 * 2), "d/d/d/d/d/d/d/d/", which);
		expect_is(world, nodeid[which], path);
		assert_true(count_descriptors() <= open + PATHS_MAX);
	}
	fuse_reset(client->server);
	assert_int_equal(count_descriptors(), open);
}

/* A long way down, with every directory on it closed again. */
static void test_deep(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	u64 nodeid = FUSE_ROOT_ID;
	struct fuse_attr first, last;

	for (unsigned i = 0; i < 200; i++)
		nodeid = fuse_mkdir(client, nodeid, "deeper");
	assert_int_equal(fuse_stat(client, nodeid, &first), 0);
	use_all_paths(world);
	assert_int_equal(fuse_stat(client, nodeid, &last), 0);
	assert_int_equal(first.ino, last.ino);
}

/* What the guest moves is found below its new name; descendants as well. */
static void test_moved(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	u64 a, b, inner, file, other, fh;

	a = fuse_mkdir(client, FUSE_ROOT_ID, "a");
	b = fuse_mkdir(client, FUSE_ROOT_ID, "b");
	inner = fuse_mkdir(client, a, "inner");
	file = fuse_create(client, inner, "file", &fh);
	other = fuse_create(client, b, "other", &fh);
	use_all_paths(world);
	assert_int_equal(fuse_rename(client, FUSE_ROOT_ID, "a", b, "a2", 0), 0);
	use_all_paths(world);
	expect_is(world, file, "b/a2/inner/file");
	use_all_paths(world);
	assert_int_equal(fuse_rename(client, a, "inner", b, "other", RENAME_EXCHANGE), 0);
	use_all_paths(world);
	expect_is(world, file, "b/other/file");
	use_all_paths(world);
	expect_is(world, other, "b/a2/inner");
	expect_is(world, inner, "b/other");
}

static u64 found(struct fuse_world *world, const char *name, const struct statx *status)
{
	struct fuse_inodes *inodes = &world->client.server->inodes;
	struct fuse_inode *parent = fuse_inode_get(inodes, FUSE_ROOT_ID);
	struct fuse_inode *inode = fuse_inode_found(inodes, parent, name, status, -1, false);
	const u64 nodeid = inode->nodeid;

	fuse_inode_put(inodes, inode);
	fuse_inode_put(inodes, parent);
	return nodeid;
}

/* A number that is used again: another file, unless it was held all the time. */
static void test_number_used_again(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	struct statx status;
	u64 file, old;

	host_write(world, "file", "");
	file = fuse_lookup(client, FUSE_ROOT_ID, "file");
	assert_int_equal(fuse_stat(client, file, &attr), 0); /* now there is a descriptor */
	assert_int_equal(fuse_status(AT_FDCWD, fuse_world_path(world, "file"), &status), 0);
	status.stx_btime.tv_sec--;
	assert_int_equal(found(world, "file", &status), file);
	use_all_paths(world);
	assert_int_equal(fuse_stat(client, file, &attr), -ESTALE);
	status.stx_btime.tv_nsec ^= 1;
	old = found(world, "file", &status);
	assert_int_not_equal(old, file);
	assert_int_equal(found(world, "file", &status), old);
	assert_int_equal(fuse_stat(client, old, &attr), -ESTALE);
	assert_int_not_equal(fuse_lookup(client, FUSE_ROOT_ID, "file"), old);
	assert_int_equal(fuse_stat(client, old, &attr), -ESTALE);
	status.stx_mode = S_IFIFO;
	assert_int_not_equal(found(world, "file", &status), old);
}

/* What the host moves or replaces is lost until it is looked up, and nothing else taken for it. */
static void test_moved_by_host(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	char from[320];
	u64 file, fh;

	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	use_all_paths(world);
	strcpy(from, fuse_world_path(world, "file"));
	assert_int_equal(rename(from, fuse_world_path(world, "new")), 0);
	assert_int_equal(fuse_stat(client, file, &attr), -ESTALE);
	host_write(world, "file", "another one");
	assert_int_equal(fuse_stat(client, file, &attr), -ESTALE);
	assert_int_equal(unlink(from), 0);
	assert_int_equal(symlink("new", from), 0);
	assert_int_equal(fuse_stat(client, file, &attr), -ESTALE);
	assert_int_equal(fuse_lookup(client, FUSE_ROOT_ID, "new"), file);
	use_all_paths(world);
	expect_is(world, file, "new");
}

/* What is only looked up is what a name leads to; a directory will be one that names are looked up in. */
static void test_opened_when_needed(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const unsigned open = count_descriptors();
	struct fuse_attr attr;
	u64 file;

	host_write(world, "file", "");
	assert_int_equal(mkdir(fuse_world_path(world, "directory"), 0755), 0);
	file = fuse_lookup(client, FUSE_ROOT_ID, "file");
	assert_int_equal(count_descriptors(), open);
	assert_int_equal(fuse_stat(client, file, &attr), 0);
	assert_int_equal(count_descriptors(), open + 1);
	fuse_lookup(client, FUSE_ROOT_ID, "directory");
	assert_int_equal(count_descriptors(), open + 2);
}

/* A FIFO that has got the number of a file that is gone isn't opened in its place: it would wait. */
static void test_type_changed(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_inodes *inodes = &client->server->inodes;
	struct fuse_inode *inode;
	ino_t number;
	u64 file;

	host_write(world, "file", "");
	file = fuse_lookup(client, FUSE_ROOT_ID, "file");
	assert_int_equal(unlink(fuse_world_path(world, "file")), 0);
	assert_int_equal(mkfifo(fuse_world_path(world, "file"), 0644), 0);
	inode = fuse_inode_get(inodes, file);
	number = inode->ino;
	inode->ino = ino_of(world, "file");
	assert_int_equal(fuse_open_with(client, file, O_RDWR), -ESTALE);
	inode->ino = number;
	fuse_inode_put(inodes, inode);
}

/* The host turns a path round: what was above is below. Nothing becomes its own ancestor. */
static void test_turned_round(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	char from[320];
	struct fuse_attr attr;
	u64 a, b;

	a = fuse_mkdir(client, FUSE_ROOT_ID, "a");
	b = fuse_mkdir(client, a, "b");
	strcpy(from, fuse_world_path(world, "a/b"));
	assert_int_equal(rename(from, fuse_world_path(world, "b")), 0);
	strcpy(from, fuse_world_path(world, "a"));
	assert_int_equal(rename(from, fuse_world_path(world, "b/a")), 0);
	assert_int_equal(fuse_lookup(client, b, "a"), a);
	use_all_paths(world);
	(void)fuse_stat(client, a, &attr);
	assert_int_equal(fuse_lookup(client, FUSE_ROOT_ID, "b"), b);
	assert_int_equal(fuse_lookup(client, b, "a"), a);
	use_all_paths(world);
	expect_is(world, a, "b/a");
}

static void test_deleted_while_open(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	u64 file, over, directory, fh, over_fh;

	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	over = fuse_create(client, FUSE_ROOT_ID, "over", &over_fh);
	directory = fuse_mkdir(client, FUSE_ROOT_ID, "directory");
	use_all_paths(world);
	assert_int_equal(fuse_unlink(client, FUSE_ROOT_ID, "file"), 0);
	host_write(world, "new", "");
	assert_int_equal(fuse_rename(client, FUSE_ROOT_ID, "new", FUSE_ROOT_ID, "over", 0), 0);
	assert_int_equal(fuse_ask(client, FUSE_RMDIR, FUSE_ROOT_ID, NULL, 0, "directory", NULL), 0);
	use_all_paths(world);
	assert_int_equal(fuse_write(client, file, fh, 0, "text", 4), 4);
	assert_int_equal(fuse_stat(client, file, &attr), 0);
	assert_true(attr.nlink == 0 && attr.size == 4);
	assert_int_equal(fuse_stat(client, over, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(fuse_stat(client, directory, &attr), 0);
	assert_int_equal(fuse_find(client, FUSE_ROOT_ID, "file"), -ENOENT);
}

/* Another name is as good: the file is found by it, and its descriptor isn't kept. */
static void test_hard_links(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const unsigned open = count_descriptors();
	struct fuse_attr attr;
	u64 file, fh;

	for (unsigned i = 0; i < 4 * PINS_MAX; i++) {
		char name[32], second[32];

		snprintf(name, sizeof(name), "name-%u", i);
		snprintf(second, sizeof(second), "second-%u", i);
		file = fuse_create(client, FUSE_ROOT_ID, name, &fh);
		assert_int_equal(fuse_release(client, file, fh), 0);
		/* Known by the second name, then by the first; the other one goes. */
		assert_int_equal(fuse_link(client, file, FUSE_ROOT_ID, second), 0);
		if (i & 1) {
			assert_int_equal(fuse_unlink(client, FUSE_ROOT_ID, name), 0);
		} else {
			assert_int_equal(fuse_unlink(client, FUSE_ROOT_ID, second), 0);
			assert_int_equal(fuse_stat(client, file, &attr), 0);
			assert_int_equal(fuse_lookup(client, FUSE_ROOT_ID, name), file);
		}
		use_all_paths(world);
		expect_is(world, file, i & 1 ? second : name);
	}
	use_all_paths(world);
	assert_true(count_descriptors() <= open + PATHS_MAX);
	/* To rename one name of a file over another does nothing. */
	assert_int_equal(fuse_link(client, file, FUSE_ROOT_ID, "x"), 0);
	assert_int_equal(fuse_rename(client, FUSE_ROOT_ID, "x", FUSE_ROOT_ID, "second-31", 0), 0);
	use_all_paths(world);
	expect_is(world, file, "x");
	expect_is(world, file, "second-31");
}

/* An unlink that fails keeps nothing. */
static void test_failed_removal(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const unsigned open = count_descriptors();
	char name[32];

	for (unsigned i = 0; i < 4 * PINS_MAX; i++) {
		u64 directory;

		snprintf(name, sizeof(name), "directory-%u", i);
		directory = fuse_mkdir(client, FUSE_ROOT_ID, name);
		fuse_mkdir(client, directory, "inside");
		assert_int_equal(fuse_ask(client, FUSE_RMDIR, FUSE_ROOT_ID, NULL, 0, name, NULL),
				 -ENOTEMPTY);
		assert_int_equal(fuse_unlink(client, FUSE_ROOT_ID, name), -EISDIR);
		assert_int_equal(fuse_rename(client, directory, "inside", FUSE_ROOT_ID, name,
					     RENAME_NOREPLACE),
				 -EEXIST);
	}
	use_all_paths(world);
	assert_true(count_descriptors() <= open + PATHS_MAX);
	/* What can still be unlinked and kept is as much as before. */
	test_deleted_while_open(state);
}

/* Unlinked files take descriptors, and not without bound. */
static void test_many_deleted(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const unsigned open = count_descriptors();
	u64 file[4 * PINS_MAX], fh;
	struct fuse_attr attr;
	unsigned kept = 0;
	char name[32];

	/* No file is made later: it could get the number of one that is gone. */
	use_all_paths(world);
	for (unsigned i = 0; i < ARRAY_LEN(file); i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		file[i] = fuse_create(client, FUSE_ROOT_ID, name, &fh);
		assert_int_equal(fuse_release(client, file[i], fh), 0);
		assert_int_equal(fuse_unlink(client, FUSE_ROOT_ID, name), 0);
	}
	use_all_paths(world);
	assert_int_equal(count_descriptors(), open + PATHS_MAX + PINS_MAX);
	for (unsigned i = 0; i < ARRAY_LEN(file); i++) {
		const int error = fuse_stat(client, file[i], &attr);

		assert_true(error == 0 || error == -ESTALE);
		kept += error == 0;
	}
	assert_int_equal(kept, PINS_MAX);
	/* Forgotten, they make room for others. */
	for (unsigned i = 0; i < ARRAY_LEN(file); i++)
		fuse_forget(client, file[i], 1);
	assert_int_equal(count_descriptors(), open + PATHS_MAX);
	test_deleted_while_open(state);
}

static u64 tmpfile_in(struct fuse_client *client, u64 parent, u64 *fh)
{
	const struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0600};
	const struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} *out = fuse_body(client);

	assert_int_equal(fuse_ask(client, FUSE_TMPFILE, parent, &in, sizeof(in), "#1", NULL), 0);
	assert_int_equal(client->bytes, sizeof(*out));
	*fh = out->open.fh;
	return out->entry.nodeid;
}

/* O_TMPFILE: a file that has no name, and gets one. */
static void test_nameless(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const unsigned open = count_descriptors();
	struct fuse_attr attr;
	u64 directory, file, fh;

	directory = fuse_mkdir(client, FUSE_ROOT_ID, "directory");
	for (unsigned i = 0; i < 2 * PINS_MAX; i++) {
		char name[32];

		file = tmpfile_in(client, directory, &fh);
		assert_int_equal(fuse_write(client, file, fh, 0, "text", 4), 4);
		use_all_paths(world);
		assert_int_equal(fuse_stat(client, file, &attr), 0);
		assert_true(attr.nlink == 0 && attr.size == 4);
		snprintf(name, sizeof(name), "name-%u", i);
		assert_int_equal(fuse_link(client, file, FUSE_ROOT_ID, name), 0);
		assert_int_equal(fuse_release(client, file, fh), 0);
		use_all_paths(world);
		expect_is(world, file, name);
		host_expect(world, name, "text");
	}
	use_all_paths(world);
	assert_true(count_descriptors() <= open + PATHS_MAX);
	file = tmpfile_in(client, directory, &fh);
	assert_int_equal(fuse_release(client, file, fh), 0);
	fuse_forget(client, file, 1);
	assert_int_equal(fuse_stat(client, file, &attr), -ENOENT);
	assert_true(count_descriptors() <= open + PATHS_MAX);
}

/* Open files end at a number that leaves descriptors for everybody else. */
static void test_open_files(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const unsigned open = count_descriptors();
	u64 file, fh;
	unsigned count = 1;

	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	while (fuse_open_with(client, file, O_RDONLY) == 0)
		count++;
	assert_int_equal(count, OPEN_MAX);
	assert_int_equal(fuse_open_with(client, file, O_RDONLY), -ENFILE);
	assert_int_equal(fuse_create_with(client, FUSE_ROOT_ID, "new", O_RDWR, 0644), -ENFILE);
	use_all_paths(world);
	assert_int_equal(count_descriptors(), open + OPEN_MAX + PATHS_MAX);
	assert_int_equal(fuse_release(client, file, fh), 0);
	assert_int_equal(fuse_open_file(client, file, O_RDONLY), fh);
}

/* Some file systems have names that are longer than the guest can ask for. */
static void test_long_name(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_server *server = world->client.server;
	struct fuse_inodes *inodes = &server->inodes;
	const unsigned open = count_descriptors();
	struct fuse_inode *parent = fuse_inode_get(inodes, FUSE_ROOT_ID), *inode;
	struct statx status;
	char name[1000];
	u64 file, fh;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	file = fuse_create(&world->client, FUSE_ROOT_ID, "file", &fh);
	assert_int_equal(fuse_status(AT_FDCWD, fuse_world_path(world, "file"), &status), 0);
	inode = fuse_inode_found(inodes, parent, name, &status, -1, false);
	assert_true(inode && inode->nodeid == file);
	fuse_inode_put(inodes, inode);
	use_all_paths(world);
	expect_is(world, file, "file");
	status.stx_ino = 1;
	assert_null(fuse_inode_found(inodes, parent, name, &status, -1, false));
	fuse_inode_put(inodes, parent);
	fuse_reset(server);
	assert_int_equal(count_descriptors(), open);
}

/* The table is full: there is nothing more to be found, until the guest forgets. */
static void test_full(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_inodes *inodes = &world->client.server->inodes;
	struct fuse_inode *parent = fuse_inode_get(inodes, FUSE_ROOT_ID), *inode;
	struct statx status = {.stx_mode = S_IFREG};

	for (u32 i = 0; i < FUSE_INODES_MAX - 1; i++) {
		status.stx_ino = i;
		inode = fuse_inode_found(inodes, parent, "name", &status, -1, false);
		assert_non_null(inode);
		fuse_inode_put(inodes, inode);
	}
	status.stx_ino = FUSE_INODES_MAX;
	for (unsigned i = 0; i < 3; i++)
		assert_null(fuse_inode_found(inodes, parent, "name", &status, -1, false));
	fuse_inode_forget(inodes, 12345, 1);
	inode = fuse_inode_found(inodes, parent, "name", &status, -1, false);
	assert_true(inode && inode->nodeid == ((u64)1 << 32) + 12345);
	fuse_inode_put(inodes, inode);
	fuse_inode_put(inodes, parent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FEW_TEST(test_many),
		FEW_TEST(test_deep),
		FEW_TEST(test_moved),
		FEW_TEST(test_moved_by_host),
		FEW_TEST(test_opened_when_needed),
		FEW_TEST(test_deleted_while_open),
		FEW_TEST(test_number_used_again),
		FEW_TEST(test_type_changed),
		FEW_TEST(test_turned_round),
		FEW_TEST(test_hard_links),
		FEW_TEST(test_failed_removal),
		FEW_TEST(test_many_deleted),
		FEW_TEST(test_nameless),
		FEW_TEST(test_open_files),
		FEW_TEST(test_long_name),
		FUSE_TEST(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
