/*
 * devices/virtio/fuse_tree.c: names. What can be made, moved and removed; what directories list,
 * while they change, too; and what can't be reached: anything outside, by whatever name, anything
 * behind a symbolic link, hidden directories, and the kernel's own file systems.
 */
#include "tests/unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/fuse_world.h"

static int mknod_with(struct fuse_client *client, const char *name, u32 mode)
{
	const struct fuse_mknod_in in = {.mode = mode, .rdev = (1 << 8) | 3};

	return fuse_ask(client, FUSE_MKNOD, FUSE_ROOT_ID, &in, sizeof(in), name, NULL);
}

static int symlink_to(struct fuse_client *client, const char *name, const char *target)
{
	return fuse_ask(client, FUSE_SYMLINK, FUSE_ROOT_ID, NULL, 0, name, target);
}

static int remove_directory(struct fuse_client *client, u64 parent, const char *name)
{
	return fuse_ask(client, FUSE_RMDIR, parent, NULL, 0, name, NULL);
}

static u32 mode_of(struct fuse_world *world, const char *name)
{
	struct stat status;

	assert_int_equal(lstat(fuse_world_path(world, name), &status), 0);
	return status.st_mode;
}

/* Names that are none: nothing happens in the share, nor beside it. */
static void test_bad_names(void **state)
{
	static const char *const bad[] = {
		"",    ".",     "..", "../beside", "/etc/passwd",
		"a/b", "file/", "//", "/..",       "directory/../../beside"};
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const struct fuse_mkdir_in mode = {.mode = 0755};
	u64 directory, file, fh;
	char name[300];

	directory = fuse_mkdir(client, FUSE_ROOT_ID, "directory");
	file = fuse_create(client, directory, "file", &fh);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(fuse_find(client, directory, bad[i]), -EINVAL);
		assert_int_equal(fuse_create_with(client, directory, bad[i], O_RDWR, 0644),
				 -EINVAL);
		assert_int_equal(
			fuse_ask(client, FUSE_MKDIR, directory, &mode, sizeof(mode), bad[i], NULL),
			-EINVAL);
		assert_int_equal(mknod_with(client, bad[i], S_IFIFO | 0644), -EINVAL);
		assert_int_equal(symlink_to(client, bad[i], "x"), -EINVAL);
		assert_int_equal(fuse_link(client, file, directory, bad[i]), -EINVAL);
		assert_int_equal(fuse_unlink(client, directory, bad[i]), -EINVAL);
		assert_int_equal(remove_directory(client, directory, bad[i]), -EINVAL);
		assert_int_equal(fuse_rename(client, directory, bad[i], directory, "x", 0),
				 -EINVAL);
		assert_int_equal(fuse_rename(client, directory, "file", directory, bad[i], 0),
				 -EINVAL);
	}
	/* No NUL at the end; and the longest name, and one longer. */
	assert_int_equal(fuse_ask(client, FUSE_LOOKUP, directory, "file", 4, NULL, NULL), -EINVAL);
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	assert_int_equal(fuse_find(client, directory, name), -ENOENT);
	fuse_mkdir(client, directory, name);
	memset(name, 'n', 256);
	name[256] = '\0';
	assert_int_equal(fuse_find(client, directory, name), -ENAMETOOLONG);
	assert_int_equal(fuse_unlink(client, directory, name), -ENAMETOOLONG);
	/* What stands behind a NUL is no part of a name. */
	assert_int_equal(fuse_ask(client, FUSE_LOOKUP, directory, "file\0/../..", 12, NULL, NULL),
			 0);
}

static void test_what_is_made(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	u64 directory, file, fh;

	umask(0);
	directory = fuse_mkdir(client, FUSE_ROOT_ID, "directory");
	file = fuse_create(client, directory, "file", &fh);
	assert_int_equal(mode_of(world, "directory/file"), S_IFREG | 0644);
	assert_int_equal(fuse_create_with(client, directory, "file", O_RDWR | O_EXCL, 0644),
			 -EEXIST);
	/* What is there already is opened, and cut if that is wanted. */
	assert_int_equal(fuse_write(client, file, fh, 0, "text", 4), 4);
	assert_int_equal(fuse_create(client, directory, "file", &fh), file);
	host_expect(world, "directory/file", "text");
	assert_int_equal(fuse_create_with(client, directory, "file", O_RDWR | O_TRUNC, 0644), 0);
	host_expect(world, "directory/file", "");
	assert_int_equal(fuse_create_with(client, FUSE_ROOT_ID, "directory", O_RDWR, 0644),
			 -EINVAL);
	assert_int_equal(fuse_create_with(client, file, "x", O_RDWR, 0644), -ENOTDIR);

	assert_int_equal(mknod_with(client, "plain", S_IFREG | 0640), 0);
	assert_int_equal(mode_of(world, "plain"), S_IFREG | 0640);
	assert_int_equal(mknod_with(client, "fifo", S_IFIFO | 0600), 0);
	assert_int_equal(mode_of(world, "fifo"), S_IFIFO | 0600);
	assert_int_equal(mknod_with(client, "socket", S_IFSOCK | 0600), 0);
	assert_int_equal(mode_of(world, "socket"), S_IFSOCK | 0600);
	assert_int_equal(mknod_with(client, "plain", S_IFREG | 0640), -EEXIST);
	assert_int_equal(symlink_to(client, "link", "/etc/passwd"), 0);
	assert_int_equal(mode_of(world, "link") & S_IFMT, S_IFLNK);
	assert_int_equal(symlink_to(client, "empty", ""), -ENOENT);
	assert_int_equal(fuse_link(client, file, FUSE_ROOT_ID, "hard"), 0);
	assert_int_equal(fuse_lookup(client, FUSE_ROOT_ID, "hard"), file);
	assert_int_equal(fuse_stat(client, file, &attr), 0);
	assert_int_equal(attr.nlink, 2);
	assert_int_equal(fuse_link(client, directory, FUSE_ROOT_ID, "loop"), -EPERM);
}

/* What the host would act on is refused: devices, and rights that come with execution. */
static void test_what_is_refused(void **state)
{
	static const u32 modes[] = {S_IFREG | S_ISUID | 0755, S_IFREG | S_ISGID | 0755};
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct stat status;
	u64 file, fh;

	assert_int_equal(mknod_with(client, "memory", S_IFCHR | 0666), -EPERM);
	assert_int_equal(mknod_with(client, "disk", S_IFBLK | 0666), -EPERM);
	file = fuse_create(client, FUSE_ROOT_ID, "file", &fh);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		const struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = modes[i]};

		assert_int_equal(mknod_with(client, "plain", modes[i]), -EPERM);
		assert_int_equal(fuse_create_with(client, 1, "new", O_RDWR, modes[i]), -EPERM);
		assert_int_equal(fuse_setattr(client, file, &in), -EPERM);
	}
	assert_int_equal(mode_of(world, "file"), S_IFREG | 0644);
	assert_int_equal(lstat(fuse_world_path(world, "plain"), &status), -1);
	assert_int_equal(lstat(fuse_world_path(world, "new"), &status), -1);
}

/* Special files are seen and named, and never opened: a FIFO's other end would hear of it. */
static void test_special_files(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct fuse_setattr_in size = {.valid = FATTR_SIZE};
	static const char *const names[] = {"fifo", "socket", "link"};
	struct fuse_attr attr;
	int writing;

	assert_int_equal(mkfifo(fuse_world_path(world, "fifo"), 0644), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s",
		 fuse_world_path(world, "socket"));
	assert_int_equal(bind(listening, (void *)&address, sizeof(address)), 0);
	close(listening);
	assert_int_equal(symlink("../beside", fuse_world_path(world, "link")), 0);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const u64 nodeid = fuse_lookup(client, FUSE_ROOT_ID, names[i]);

		assert_int_equal(fuse_stat(client, nodeid, &attr), 0);
		assert_int_equal(attr.mode, mode_of(world, names[i]));
		assert_int_equal(fuse_open_with(client, nodeid, O_RDONLY), -ENXIO);
		assert_int_equal(fuse_open_with(client, nodeid, O_RDWR), -ENXIO);
		assert_int_equal(fuse_create_with(client, 1, names[i], O_RDWR, 0644), -EINVAL);
		assert_int_equal(fuse_setattr(client, nodeid, &size), -EOPNOTSUPP);
		assert_int_equal(fuse_find(client, nodeid, "x"), -ENOTDIR);
		assert_int_equal(fuse_rename(client, 1, names[i], 1, "moved", 0), 0);
		assert_int_equal(fuse_rename(client, 1, "moved", 1, names[i], 0), 0);
	}
	/* Nobody reads. */
	writing = open(fuse_world_path(world, "fifo"), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(writing < 0 && errno == ENXIO);
}

static void test_devices(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	u64 nodeid;

	if (mknod(fuse_world_path(world, "null"), S_IFCHR | 0666, makedev(1, 3)))
		SKIP("device nodes can't be made here");
	nodeid = fuse_lookup(client, FUSE_ROOT_ID, "null");
	assert_int_equal(fuse_stat(client, nodeid, &attr), 0);
	assert_true(S_ISCHR(attr.mode) && attr.rdev == ((1 << 8) | 3));
	assert_int_equal(fuse_open_with(client, nodeid, O_RDWR), -ENXIO);
	assert_int_equal(fuse_create_with(client, 1, "null", O_RDWR, 0644), -EINVAL);
}

/* A symbolic link is text: nothing is reached through it, in the share or out of it. */
static void test_links(void **state)
{
	static const char *const targets[] = {"/", "..", "directory", "../beside"};
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	u64 directory, fh;

	directory = fuse_mkdir(client, FUSE_ROOT_ID, "directory");
	fuse_create(client, directory, "inside", &fh);
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		const struct fuse_mkdir_in mode = {.mode = 0755};
		u64 link;

		assert_int_equal(symlink_to(client, "link", targets[i]), 0);
		link = fuse_lookup(client, FUSE_ROOT_ID, "link");
		assert_int_equal(fuse_ask(client, FUSE_READLINK, link, NULL, 0, NULL, NULL), 0);
		assert_int_equal(client->bytes, strlen(targets[i]));
		assert_memory_equal(fuse_body(client), targets[i], client->bytes);
		assert_int_equal(fuse_find(client, link, "inside"), -ENOTDIR);
		assert_int_equal(fuse_find(client, link, "etc"), -ENOTDIR);
		assert_int_equal(fuse_ask(client, FUSE_MKDIR, link, &mode, sizeof(mode), "x", NULL),
				 -ENOTDIR);
		assert_int_equal(
			fuse_ask(client, FUSE_OPENDIR, link, &mode, sizeof(mode), NULL, NULL),
			-ENOTDIR);
		/* Another name of the link itself, not of what it leads to. */
		assert_int_equal(fuse_link(client, link, FUSE_ROOT_ID, "second"), 0);
		assert_int_equal(mode_of(world, "second") & S_IFMT, S_IFLNK);
		assert_int_equal(fuse_unlink(client, FUSE_ROOT_ID, "second"), 0);
		assert_int_equal(fuse_unlink(client, FUSE_ROOT_ID, "link"), 0);
	}
	assert_int_equal(fuse_ask(client, FUSE_READLINK, directory, NULL, 0, NULL, NULL), -ENOENT);
}

/* The host (or another guest) puts a link where a directory was: it isn't followed. */
static void test_directory_becomes_link(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	char from[320];
	u64 directory;

	directory = fuse_mkdir(client, FUSE_ROOT_ID, "directory");
	host_write(world, "directory/inside", "in");
	strcpy(from, fuse_world_path(world, "directory"));
	assert_int_equal(rename(from, fuse_world_path(world, "moved")), 0);
	assert_int_equal(symlink("..", from), 0);
	/* Found again by its descriptor, while it has one; what it was, in any case. */
	assert_int_equal(fuse_find(client, directory, "beside"), -ENOENT);
	assert_int_equal(fuse_find(client, directory, "inside"), 0);
	assert_int_not_equal(fuse_lookup(client, FUSE_ROOT_ID, "directory"), directory);
	assert_int_equal(fuse_lookup(client, FUSE_ROOT_ID, "moved"), directory);
}

static void test_rename(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const struct fuse_rename_in in = {.newdir = FUSE_ROOT_ID};
	u64 directory, file, fh, other, other_fh;

	directory = fuse_mkdir(client, FUSE_ROOT_ID, "directory");
	file = fuse_create(client, directory, "file", &fh);
	other = fuse_create(client, FUSE_ROOT_ID, "other", &other_fh);
	assert_int_equal(fuse_write(client, file, fh, 0, "file", 4), 4);
	assert_int_equal(fuse_write(client, other, other_fh, 0, "other", 5), 5);
	assert_int_equal(fuse_rename(client, directory, "file", 1, "other", RENAME_NOREPLACE),
			 -EEXIST);
	assert_int_equal(fuse_rename(client, directory, "file", 1, "other", RENAME_EXCHANGE), 0);
	assert_int_equal(fuse_lookup(client, FUSE_ROOT_ID, "other"), file);
	assert_int_equal(fuse_lookup(client, directory, "file"), other);
	host_expect(world, "other", "file");
	/* Over what is there, which lives on as long as it is open. */
	assert_int_equal(fuse_ask(client, FUSE_RENAME, directory, &in, sizeof(in), "file", "other"),
			 0);
	host_expect(world, "other", "other");
	assert_int_equal(fuse_lookup(client, FUSE_ROOT_ID, "other"), other);
	assert_int_equal(fuse_read(client, file, fh, 0, 16), 4);
	assert_memory_equal(fuse_body(client), "file", 4);
	assert_int_equal(fuse_rename(client, directory, "none", 1, "x", 0), -ENOENT);
	assert_int_equal(fuse_rename(client, 1, "directory", directory, "x", 0), -EINVAL);
	assert_int_equal(fuse_rename(client, 1, "other", 1, "x", RENAME_WHITEOUT), -EINVAL);
	assert_int_equal(fuse_rename(client, 1, "other", file, "x", 0), -ENOTDIR);
}

static void test_removal(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	u64 directory, file, fh;

	directory = fuse_mkdir(client, FUSE_ROOT_ID, "directory");
	file = fuse_create(client, directory, "file", &fh);
	assert_int_equal(remove_directory(client, 1, "directory"), -ENOTEMPTY);
	assert_int_equal(fuse_unlink(client, 1, "directory"), -EISDIR);
	assert_int_equal(remove_directory(client, directory, "file"), -ENOTDIR);
	assert_int_equal(fuse_unlink(client, directory, "none"), -ENOENT);
	assert_int_equal(fuse_unlink(client, directory, "file"), 0);
	assert_int_equal(remove_directory(client, 1, "directory"), 0);
	/* Both are gone, and live. */
	assert_int_equal(fuse_find(client, FUSE_ROOT_ID, "directory"), -ENOENT);
	assert_int_equal(fuse_write(client, file, fh, 0, "text", 4), 4);
	assert_int_equal(fuse_stat(client, file, &attr), 0);
	assert_true(attr.nlink == 0 && attr.size == 4);
	assert_int_equal(fuse_stat(client, directory, &attr), 0);
	assert_int_equal(fuse_create_with(client, directory, "x", O_RDWR, 0644), -ENOENT);
}

/* Lists. */

struct list {
	struct fuse_client *client;
	u64 directory;
	unsigned count, dots, known;
	bool changes; /* the host makes and removes files meanwhile */
	struct fuse_world *world;
	bool seen[1000];
};

static void saw(void *owner, const struct fuse_direntplus *entry, const char *name)
{
	struct list *list = owner;
	unsigned number;

	if (sscanf(name, "file-%u", &number) == 1) {
		assert_true(number < ARRAY_LEN(list->seen) && !list->seen[number]);
		assert_int_equal(entry->dirent.type, S_IFREG >> 12);
		list->seen[number] = true;
		list->count++;
	} else if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		list->dots++;
		assert_int_equal(entry->entry_out.nodeid, 0);
	}
	/* What is hidden isn't known by a list as if it were any directory. */
	if (strcmp(name, "home") == 0)
		assert_int_equal(entry->entry_out.attr.mode, S_IFDIR | 0555);
	if (entry->entry_out.nodeid) {
		assert_int_equal(entry->entry_out.attr.ino, entry->dirent.ino);
		list->known++;
	}
	if (list->changes) {
		char text[32];

		snprintf(text, sizeof(text), "other-%u", list->count);
		host_write(list->world, text, "");
		snprintf(text, sizeof(text), "other-%u", list->count / 2);
		(void)!unlink(fuse_world_path(list->world, text));
	}
}

static void test_lists(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	char name[32];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		host_write(world, name, "");
	}
	for (unsigned way = 0; way < 4; way++) {
		struct list list = {.client = client, .changes = way >= 2, .world = world};
		const u64 fh = fuse_open_directory(client, FUSE_ROOT_ID);

		fuse_list(client, FUSE_ROOT_ID, fh, way & 1, saw, &list);
		assert_int_equal(list.count, 1000);
		assert_int_equal(list.dots, 2);
		if (way == 1)
			assert_int_equal(list.known, 1000);
		assert_int_equal(fuse_release(client, FUSE_ROOT_ID, fh), 0);
	}
	fuse_reset(client->server);
}

/* One reply of a list, from a place on. Returns how many bytes, and where the next one begins. */
static u32 list_from(struct fuse_client *client, u64 fh, u64 offset, u8 *reply, u64 *next)
{
	const struct fuse_read_in in = {.fh = fh, .offset = offset, .size = 1024};
	struct fuse_dirent entry;

	assert_int_equal(fuse_ask(client, FUSE_READDIR, FUSE_ROOT_ID, &in, sizeof(in), NULL, NULL),
			 0);
	memcpy(reply, fuse_body(client), client->bytes);
	for (u32 at = 0; at < client->bytes; at += (u32)FUSE_DIRENT_SIZE(&entry)) {
		memcpy(&entry, reply + at, FUSE_NAME_OFFSET);
		*next = entry.off;
	}
	return client->bytes;
}

/* What was read ahead serves only who goes on where it begins. */
static void test_lists_again(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	const u64 fh = fuse_open_directory(client, FUSE_ROOT_ID);
	struct list list = {.client = client};
	u8 one[1024], two[1024];
	u64 middle = 0, end = 0;
	char name[32];
	u32 bytes;

	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		host_write(world, name, "");
	}
	bytes = list_from(client, fh, 0, one, &middle);
	assert_true(bytes > 0 && list_from(client, fh, middle, two, &end) > 0 && end != middle);
	assert_int_equal(list_from(client, fh, 0, two, &end), bytes);
	assert_memory_equal(one, two, bytes);
	assert_true(end == middle);
	bytes = list_from(client, fh, middle, one, &end);
	assert_int_equal(list_from(client, fh, middle, two, &end), bytes);
	assert_memory_equal(one, two, bytes);
	while (list_from(client, fh, end, one, &end))
		;
	assert_int_equal(list_from(client, fh, end, one, &end), 0);
	/* From the start: what is new is in it. */
	host_write(world, "file-200", "");
	fuse_list(client, FUSE_ROOT_ID, fh, false, saw, &list);
	assert_int_equal(list.count, 201);
}

static void remove_seen(void *owner, const struct fuse_direntplus *entry, const char *name)
{
	(void)entry;
	if (name[0] != '.')
		assert_int_equal(fuse_unlink(owner, FUSE_ROOT_ID, name), 0);
}

/* Nothing is left out where what was listed is removed before the rest is asked for. */
static void test_removed_while_listed(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct list list = {.client = client};
	char name[32];
	u64 fh;

	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		host_write(world, name, "");
	}
	fh = fuse_open_directory(client, FUSE_ROOT_ID);
	fuse_list(client, FUSE_ROOT_ID, fh, true, remove_seen, client);
	fuse_list(client, FUSE_ROOT_ID, fh, true, saw, &list);
	assert_int_equal(list.count, 0);
}

static void test_lists_are_lookups(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_client *client = &world->client;
	struct fuse_attr attr;
	struct list list = {.client = client};
	u64 file, fh;

	host_write(world, "file-1", "");
	fh = fuse_open_directory(client, FUSE_ROOT_ID);
	fuse_list(client, FUSE_ROOT_ID, fh, true, saw, &list);
	file = fuse_lookup(client, FUSE_ROOT_ID, "file-1");
	fuse_forget(client, file, 1);
	assert_int_equal(fuse_stat(client, file, &attr), 0);
	fuse_forget(client, file, 1);
	assert_int_equal(fuse_stat(client, file, &attr), -ENOENT);
	/* A file isn't listed, nor a directory by another's handle. */
	file = fuse_lookup(client, FUSE_ROOT_ID, "file-1");
	assert_int_equal(fuse_ask(client, FUSE_READDIR, file,
				  &(struct fuse_read_in){.fh = fh, .size = 1024},
				  sizeof(struct fuse_read_in), NULL, NULL),
			 -EBADF);
}

/* What the guest isn't to see. */

static void expect_empty(struct fuse_client *client, u64 parent, const char *name,
			 const char *inside)
{
	const u64 hidden = fuse_lookup(client, parent, name);
	const u64 fh = fuse_open_directory(client, hidden);
	const u64 root_fh = fuse_open_directory(client, FUSE_ROOT_ID);
	const struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 0777};
	const struct fuse_read_in list = {.fh = fh, .size = 1024};
	struct fuse_attr attr;

	assert_int_equal(fuse_stat(client, hidden, &attr), 0);
	assert_int_equal(attr.mode, S_IFDIR | 0555);
	assert_int_equal(fuse_find(client, hidden, inside), -ENOENT);
	assert_false(fuse_lists(client, hidden, inside));
	assert_int_equal(fuse_create_with(client, hidden, "x", O_RDWR, 0644), -EACCES);
	assert_int_equal(fuse_create_with(client, hidden, inside, O_RDWR, 0644), -EACCES);
	assert_int_equal(fuse_unlink(client, hidden, inside), -EACCES);
	assert_int_equal(fuse_rename(client, hidden, inside, 1, "x", 0), -EACCES);
	assert_int_equal(fuse_setattr(client, hidden, &mode), -EPERM);
	/* Its handle with another directory's node id, and the other way round. */
	assert_int_equal(fuse_ask(client, FUSE_READDIR, 1, &list, sizeof(list), NULL, NULL),
			 -EBADF);
	assert_int_equal(fuse_ask(client, FUSE_READDIRPLUS, hidden,
				  &(struct fuse_read_in){.fh = root_fh, .size = 1024}, sizeof(list),
				  NULL, NULL),
			 -EBADF);
	/* Found by a list it stays what it is. */
	fuse_list(client, FUSE_ROOT_ID, root_fh, true, saw, &(struct list){.client = client});
	assert_int_equal(fuse_find(client, hidden, inside), -ENOENT);
}

static void test_hidden(void **state)
{
	static char home[320];
	static const char *const hidden[] = {"/nowhere", home, NULL};
	struct fuse_export export = {.hidden = hidden, .descriptors = 64};
	struct fuse_world *world = *state;
	struct fuse_server *server;
	struct error err;

	strcpy(home, fuse_world_path(world, "home"));
	assert_int_equal(mkdir(home, 0755), 0);
	host_write(world, "home/secret", "");
	export.directory = world->export.directory;
	assert_int_equal(fuse_open(&server, &export, &err), 0);
	fuse_close(world->client.server);
	world->client.server = server;
	fuse_list(&world->client, FUSE_ROOT_ID, fuse_open_directory(&world->client, FUSE_ROOT_ID),
		  true, saw, &(struct list){.client = &world->client});
	expect_empty(&world->client, FUSE_ROOT_ID, "home", "secret");
	/* By another name, too. */
	assert_int_equal(fuse_rename(&world->client, 1, "home", 1, "moved", 0), 0);
	expect_empty(&world->client, FUSE_ROOT_ID, "moved", "secret");
	host_expect(world, "moved/secret", "");
}

/* With mounts, in a process of its own that may make them. */
static void check_mounts(struct fuse_world *world)
{
	struct fuse_client *client = &world->client;
	struct fuse_attr one, two, proc;
	struct list list = {.client = client};
	char shown[64], options[200];
	u64 fh;

	assert_int_equal(mkdir(fuse_world_path(world, "proc"), 0755), 0);
	assert_int_equal(mount("proc", fuse_world_path(world, "proc"), "proc", 0, NULL), 0);
	expect_empty(client, FUSE_ROOT_ID, "proc", "self");
	assert_int_equal(fuse_stat(client, fuse_lookup(client, 1, "proc"), &proc), 0);
	/* A file of such a file system isn't there. */
	host_write(world, "version", "");
	assert_int_equal(
		mount("/proc/version", fuse_world_path(world, "version"), NULL, MS_BIND, NULL), 0);
	assert_int_equal(fuse_find(client, FUSE_ROOT_ID, "version"), -ENOENT);
	/* Two file systems that number alike. */
	for (char name[] = "a"; name[0] <= 'b'; name[0]++) {
		assert_int_equal(mkdir(fuse_world_path(world, name), 0755), 0);
		assert_int_equal(mount("tmpfs", fuse_world_path(world, name), "tmpfs", 0, NULL), 0);
		snprintf(shown, sizeof(shown), "%s/file-1", name);
		host_write(world, shown, name);
	}
	assert_int_equal(
		fuse_stat(client, fuse_lookup(client, fuse_lookup(client, 1, "a"), "file-1"), &one),
		0);
	assert_int_equal(
		fuse_stat(client, fuse_lookup(client, fuse_lookup(client, 1, "b"), "file-1"), &two),
		0);
	assert_true(one.ino != two.ino);
	/* Their lists have the numbers that stat tells. */
	fh = fuse_open_directory(client, fuse_lookup(client, 1, "a"));
	fuse_list(client, fuse_lookup(client, 1, "a"), fh, true, saw, &list);
	assert_true(list.known == 1 && list.count == 1);
	/* From one to the other there are no renames and no links. */
	assert_int_equal(fuse_rename(client, fuse_lookup(client, 1, "a"), "file-1",
				     fuse_lookup(client, 1, "b"), "new", 0),
			 -EXDEV);
	assert_int_equal(remove_directory(client, FUSE_ROOT_ID, "a"), -EBUSY);
	/* A file of an overlay is on another device than its directory, and known all the same. */
	list = (struct list){.client = client};
	assert_int_equal(mkdir(fuse_world_path(world, "overlay"), 0755), 0);
	snprintf(options, sizeof(options), "xino=off,lowerdir=%s/share/a:%s/share/b", world->place,
		 world->place);
	if (mount("overlay", fuse_world_path(world, "overlay"), "overlay", 0, options))
		_exit(77);
	fh = fuse_open_directory(client, fuse_lookup(client, 1, "overlay"));
	fuse_list(client, fuse_lookup(client, 1, "overlay"), fh, true, saw, &list);
	assert_true(list.known == 1 && list.count == 1);
}

static void test_mounts(void **state)
{
	struct fuse_world *world = *state;
	struct error err;
	pid_t child;
	int status = -1;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
			_exit(77);
		/* The server's descriptors are of the mounts as they were. */
		fuse_close(world->client.server);
		assert_int_equal(fuse_open(&world->client.server, &world->export, &err), 0);
		check_mounts(world);
		fflush(NULL);
		_exit(0);
	}
	assert_true(child > 0 && waitpid(child, &status, 0) == child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("mounts can't be made here");
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FUSE_TEST(test_bad_names),
		FUSE_TEST(test_what_is_made),
		FUSE_TEST(test_what_is_refused),
		FUSE_TEST(test_special_files),
		FUSE_TEST(test_devices),
		FUSE_TEST(test_links),
		FUSE_TEST(test_directory_becomes_link),
		FUSE_TEST(test_rename),
		FUSE_TEST(test_removal),
		FUSE_TEST(test_lists),
		FUSE_TEST(test_lists_again),
		FUSE_TEST(test_removed_while_listed),
		FUSE_TEST(test_lists_are_lookups),
		FUSE_TEST(test_hidden),
		FUSE_TEST(test_mounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
