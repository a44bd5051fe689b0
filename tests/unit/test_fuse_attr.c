/*
 * devices/virtio/fuse_attr.c: attributes, and who owns what is made. Ids that are each other's image;
 * modes, sizes, times of all kinds of files; extended attributes of `user.` and no others.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/unit/fuse_world.h"

static struct stat status_of(struct fuse_world *world, const char *name)
{
	struct stat status;

	assert_int_equal(lstat(fuse_world_path(world, name), &status), 0);
	return status;
}

static void test_what_is_told(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const struct timespec times[] = {{1111, 22}, {-3333, 44}};
	struct fuse_attr attr;
	struct stat status;
	u64 file;

	host_write(world, "file", "text");
	assert_int_equal(utimensat(AT_FDCWD, fuse_world_path(world, "file"), times, 0), 0);
	status = status_of(world, "file");
	file = fuse_lookup(client, FUSE_ROOT_ID, "file");
	assert_int_equal(fuse_stat(client, file, &attr), 0);
	assert_int_equal(attr.ino, status.st_ino);
	assert_int_equal(attr.size, 4);
	assert_int_equal(attr.blocks, status.st_blocks);
	assert_int_equal(attr.mode, status.st_mode);
	assert_int_equal(attr.nlink, 1);
	assert_true(attr.uid == geteuid() && attr.gid == status.st_gid);
	assert_int_equal(attr.blksize, status.st_blksize);
	assert_true(attr.atime == 1111 && attr.atimensec == 22);
	assert_true((int64_t)attr.mtime == -3333 && attr.mtimensec == 44);
	assert_true(attr.ctime == (u64)status.st_ctim.tv_sec);
}

static void test_set_times(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_setattr_in in = {.valid = FATTR_ATIME | FATTR_MTIME,
				     .atime = 1000,
				     .atimensec = 1,
				     .mtime = 2000,
				     .mtimensec = 2};
	struct stat status;
	u64 nodeid;

	/* Of a link its own. */
	host_write(world, "file", "");
	assert_int_equal(symlink("file", fuse_world_path(world, "link")), 0);
	assert_int_equal(mkfifo(fuse_world_path(world, "fifo"), 0600), 0);
	for (const char *const *name = (const char *const[]){"link", "fifo", "file", NULL}; *name;
	     name++) {
		nodeid = fuse_lookup(client, FUSE_ROOT_ID, *name);
		in.valid = FATTR_ATIME | FATTR_MTIME;
		assert_int_equal(fuse_setattr(client, nodeid, &in), 0);
		status = status_of(world, *name);
		assert_true(status.st_atim.tv_sec == 1000 && status.st_atim.tv_nsec == 1);
		assert_true(status.st_mtim.tv_sec == 2000 && status.st_mtim.tv_nsec == 2);
		/* One of the two, and now. */
		in.valid = FATTR_MTIME | FATTR_MTIME_NOW;
		assert_int_equal(fuse_setattr(client, nodeid, &in), 0);
		status = status_of(world, *name);
		assert_true(status.st_atim.tv_sec == 1000 && status.st_mtim.tv_sec > 1000000000);
		if (*name[0] == 'l') {
			status = status_of(world, "file");
			assert_true(status.st_mtim.tv_sec > 1000000000);
		}
	}
}

static void test_set_mode_and_size(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_setattr_in in = {.valid = FATTR_MODE | FATTR_SIZE, .mode = 0640, .size = 100};
	u64 file, directory, link, fh;
	struct fuse_attr_out out;

	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	assert_int_equal(fuse_setattr(client, file, &in), 0);
	memcpy(&out, fuse_body(client), sizeof(out));
	assert_true(out.attr.size == 100 && out.attr.mode == (S_IFREG | 0640));
	assert_int_equal(status_of(world, "file").st_mode, S_IFREG | 0640);
	/* By a handle; by one that can't write; by none that there is. */
	in = (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_FH, .size = 50, .fh = fh};
	assert_int_equal(fuse_setattr(client, file, &in), 0);
	assert_int_equal(status_of(world, "file").st_size, 50);
	in.fh = fuse_open_file(client, file, O_RDONLY);
	assert_int_equal(fuse_setattr(client, file, &in), -EINVAL);
	in.fh = 9999;
	in.size = 20;
	assert_int_equal(fuse_setattr(client, file, &in), 0);
	assert_int_equal(status_of(world, "file").st_size, 20);
	errno = 0;
	in.size = UINT64_MAX;
	assert_int_equal(fuse_setattr(client, file, &in), -EINVAL);
	/* A directory's group may be handed on. */
	directory = fuse_mkdir(client, FUSE_ROOT_ID, "directory");
	in = (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 03775};
	assert_int_equal(fuse_setattr(client, directory, &in), 0);
	assert_int_equal(status_of(world, "directory").st_mode, S_IFDIR | 03775);
	in = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 1};
	assert_int_equal(fuse_setattr(client, directory, &in), -EISDIR);
	/* A link has no mode of its own, and hands none on. */
	assert_int_equal(symlink("file", fuse_world_path(world, "link")), 0);
	link = fuse_lookup(client, FUSE_ROOT_ID, "link");
	in = (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0777};
	(void)fuse_setattr(client, link, &in);
	assert_int_equal(status_of(world, "file").st_mode, S_IFREG | 0640);
}

/* The host's user is the guest's 1000, and the other way round. */
static void test_ids(void **state)
{
	const struct fuse_export export = {.host_uid = geteuid(),
					   .guest_uid = geteuid() + 1000,
					   .host_gid = getegid(),
					   .guest_gid = getegid() + 2000};
	struct fuse_setattr_in in = {.valid = FATTR_UID | FATTR_GID};
	static struct fuse_world world;
	struct fuse_client *client = &world.client;
	struct fuse_attr attr;
	u64 file, fh;

	(void)state;
	fuse_world_make(&world, &export);
	client->uid = export.guest_uid;
	client->gid = export.guest_gid;
	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	assert_int_equal(status_of(&world, "file").st_uid, geteuid());
	assert_int_equal(fuse_stat(client, file, &attr), 0);
	assert_true(attr.uid == export.guest_uid && attr.gid == export.guest_gid);
	/* To whom it belongs already it can be given by anybody. */
	in.uid = export.guest_uid;
	in.gid = export.guest_gid;
	assert_int_equal(fuse_setattr(client, file, &in), 0);
	assert_int_equal(status_of(&world, "file").st_uid, geteuid());
	if (geteuid() == 0) {
		in.uid = 0;
		in.gid = 0;
		assert_int_equal(fuse_setattr(client, file, &in), 0);
		assert_int_equal(status_of(&world, "file").st_uid, 1000);
		assert_int_equal(status_of(&world, "file").st_gid, 2000);
	} else {
		in.uid = geteuid();
		assert_int_equal(fuse_setattr(client, file, &in), -EPERM);
	}
	fuse_world_free(&world);
}

/* As root: whoever asks owns what is made, of every kind; and the group may be the directory's. */
static void test_owners(void **state)
{
	const struct fuse_mknod_in node = {.mode = S_IFIFO | 0600};
	const struct fuse_setattr_in own = {
		.valid = FATTR_UID | FATTR_GID | FATTR_MODE, .uid = 77, .gid = 88, .mode = 02775};
	static const char *const names[] = {"d", "f", "n", "l"};
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	u64 parents[2] = {FUSE_ROOT_ID, 0}, fh;
	char name[32];

	if (geteuid() != 0)
		SKIP("files can't be given away");
	parents[1] = fuse_mkdir(client, FUSE_ROOT_ID, "handed");
	assert_int_equal(fuse_setattr(client, parents[1], &own), 0);
	client->uid = 1234;
	client->gid = 5678;
	for (unsigned i = 0; i < 2; i++) {
		const struct stat parent = status_of(world, i ? "handed" : ".");

		fuse_mkdir(client, parents[i], "d");
		fuse_create(client, parents[i], "f", &fh);
		assert_int_equal(
			fuse_ask(client, FUSE_MKNOD, parents[i], &node, sizeof(node), "n", NULL),
			0);
		assert_int_equal(fuse_ask(client, FUSE_SYMLINK, parents[i], NULL, 0, "l", "f"), 0);
		for (size_t j = 0; j < ARRAY_LEN(names); j++) {
			struct stat status;

			strcpy(name, i ? "handed/" : "");
			status = status_of(world, strcat(name, names[j]));
			assert_int_equal(status.st_uid, 1234);
			assert_int_equal(status.st_gid, i ? parent.st_gid : 5678);
		}
	}
	assert_int_equal(status_of(world, "handed/d").st_mode & S_ISGID, S_ISGID);
	assert_int_equal(status_of(world, "d").st_mode & S_ISGID, 0);
}

/* What the guest can write to doesn't run with its owner's rights afterwards. */
static void test_set_uid_goes(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const struct fuse_setattr_in size = {.valid = FATTR_SIZE, .size = 2};
	u64 file, fh;

	host_write(world, "file", "text");
	for (unsigned way = 0; way < 4; way++) {
		assert_int_equal(chmod(fuse_world_path(world, "file"), 06755), 0);
		file = fuse_lookup(client, FUSE_ROOT_ID, "file");
		fh = fuse_open_file(client, file, O_RDONLY);
		assert_int_equal(status_of(world, "file").st_mode, S_IFREG | 06755);
		if (way == 0) {
			fh = fuse_open_file(client, file, O_WRONLY);
			assert_int_equal(fuse_write(client, file, fh, 0, "x", 1), 1);
		} else if (way == 1) {
			fuse_open_file(client, file, O_RDONLY | O_TRUNC);
			host_write(world, "file", "text");
		} else if (way == 2) {
			assert_int_equal(fuse_setattr(client, file, &size), 0);
		} else {
			assert_int_equal(fuse_create(client, FUSE_ROOT_ID, "file", &fh), file);
			assert_int_equal(fuse_write(client, file, fh, 0, "x", 1), 1);
		}
		assert_int_equal(status_of(world, "file").st_mode, S_IFREG | 0755);
	}
}

static void test_statfs(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_statfs_out out;
	struct statvfs status;

	assert_int_equal(fuse_ask(client, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0, NULL, NULL), 0);
	assert_int_equal(client->bytes, sizeof(out));
	memcpy(&out, fuse_body(client), sizeof(out));
	assert_int_equal(statvfs(fuse_world_path(world, ""), &status), 0);
	assert_int_equal(out.st.blocks, status.f_blocks);
	assert_int_equal(out.st.bsize, status.f_bsize);
	assert_int_equal(out.st.frsize, status.f_frsize);
	assert_int_equal(out.st.namelen, status.f_namemax);
	assert_int_equal(out.st.files, status.f_files);
}

/* Extended attributes. */

static int set(struct fuse_client *client, u64 nodeid, const char *name, const void *value,
	       u32 bytes, u32 flags)
{
	/* As it is without FUSE_SETXATTR_EXT. */
	const u32 head[] = {bytes, flags};
	const struct iovec part[] = {{(void *)(uintptr_t)head, sizeof(head)},
				     {(void *)(uintptr_t)name, strlen(name) + 1},
				     {(void *)(uintptr_t)value, bytes}};

	return fuse_send(client, FUSE_SETXATTR, nodeid, part, 3);
}

static int get(struct fuse_client *client, u64 nodeid, const char *name, u32 size)
{
	const struct fuse_getxattr_in in = {.size = size};

	return fuse_ask(client, name ? FUSE_GETXATTR : FUSE_LISTXATTR, nodeid, &in, sizeof(in),
			name, NULL);
}

static u32 size_told(struct fuse_client *client)
{
	const struct fuse_getxattr_out *out = fuse_body(client);

	assert_int_equal(client->bytes, sizeof(*out));
	return out->size;
}

static bool has_xattrs(struct fuse_world *world)
{
	host_write(world, "file", "");
	return setxattr(fuse_world_path(world, "file"), "user.there", "1", 1, 0) == 0;
}

static void test_xattrs(void **state)
{
	static const char *const others[] = {
		"security.capability",     "trusted.x", "user", "username",
		"system.posix_acl_access", "USER.x"};
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	static char value[2000];
	u64 file;

	if (!has_xattrs(world))
		SKIP("the file system of /tmp has no extended attributes of users");
	if (geteuid() == 0)
		assert_int_equal(
			setxattr(fuse_world_path(world, "file"), "trusted.secret", "1", 1, 0), 0);
	file = fuse_lookup(client, FUSE_ROOT_ID, "file");
	memset(value, 'v', sizeof(value));
	assert_int_equal(set(client, file, "user.long", value, sizeof(value), 0), 0);
	assert_int_equal(set(client, file, "user.long", value, 1, XATTR_CREATE), -EEXIST);
	assert_int_equal(set(client, file, "user.none", value, 1, XATTR_REPLACE), -ENODATA);
	assert_int_equal(get(client, file, "user.long", 0), 0);
	assert_int_equal(size_told(client), sizeof(value));
	assert_int_equal(get(client, file, "user.long", sizeof(value) - 1), -ERANGE);
	assert_int_equal(get(client, file, "user.long", sizeof(value)), 0);
	assert_memory_equal(fuse_body(client), value, sizeof(value));
	assert_int_equal(get(client, file, NULL, 0), 0);
	assert_int_equal(size_told(client), 21);
	assert_int_equal(get(client, file, NULL, 20), -ERANGE);
	assert_int_equal(get(client, file, NULL, 21), 0);
	assert_int_equal(client->bytes, 21);
	assert_int_equal(get(client, file, "user.none", 100), -ENODATA);
	assert_int_equal(fuse_ask(client, FUSE_REMOVEXATTR, file, NULL, 0, "user.long", NULL), 0);
	assert_int_equal(get(client, file, "user.long", 0), -ENODATA);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_int_equal(set(client, file, others[i], "x", 1, 0), -EOPNOTSUPP);
		assert_int_equal(get(client, file, others[i], 0), -EOPNOTSUPP);
		assert_int_equal(fuse_ask(client, FUSE_REMOVEXATTR, file, NULL, 0, others[i], NULL),
				 -EOPNOTSUPP);
	}
}

static void test_xattr_requests(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const u32 head[] = {100, 0};
	char name[300];
	u64 link, file;

	if (!has_xattrs(world))
		SKIP("the file system of /tmp has no extended attributes of users");
	file = fuse_lookup(client, FUSE_ROOT_ID, "file");
	/* A value that isn't there, names that are none. */
	assert_int_equal(fuse_ask(client, FUSE_SETXATTR, file, head, sizeof(head), "user.x", "x"),
			 -EINVAL);
	assert_int_equal(set(client, file, "", "x", 1, 0), -EINVAL);
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[256] = '\0';
	assert_int_equal(set(client, file, name, "x", 1, 0), -EINVAL);
	assert_int_equal(get(client, file, name, 0), -EINVAL);
	assert_int_equal(fuse_ask(client, FUSE_REMOVEXATTR, file, "user.there", 10, NULL, NULL),
			 -EINVAL);
	/* What has none is asked for them, too. */
	assert_int_equal(symlink("file", fuse_world_path(world, "link")), 0);
	link = fuse_lookup(client, FUSE_ROOT_ID, "link");
	assert_int_equal(set(client, link, "user.x", "x", 1, 0), -EOPNOTSUPP);
	assert_int_equal(get(client, link, "user.there", 0), -ENODATA);
	assert_int_equal(get(client, link, NULL, 0), 0);
	assert_int_equal(size_told(client), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FUSE_TEST(test_what_is_told),
		FUSE_TEST(test_set_times),
		FUSE_TEST(test_set_mode_and_size),
		cmocka_unit_test(test_ids),
		FUSE_TEST(test_owners),
		FUSE_TEST(test_set_uid_goes),
		FUSE_TEST(test_statfs),
		FUSE_TEST(test_xattrs),
		FUSE_TEST(test_xattr_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
