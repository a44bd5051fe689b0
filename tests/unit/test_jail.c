/*
 * vmm/jail.c and landlock.c: what a process that has entered the jail can still reach.
 *
 * It is for good, so each test is a child process; the exit status is the first thing that was wrong.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/fuse_world.h"
#include "vmm/jail.h"
#include "vmm/loop.h"
#include "vmm/readwrite.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

enum { NOBODY = 65534 };

/* A child says what was wrong, and ends; by write(2), for it may be under a filter. */
#define NEED(what)                                                                                 \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			(void)!io_write(STDERR_FILENO, #what "\n", sizeof(#what));                 \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* The share is writable for the guest, and "beside" isn't. */
static void in_child(void (*body)(struct fuse_world *world), struct fuse_world *world, uid_t uid)
{
	const pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		NEED(setregid(uid, uid) == 0 && setreuid(uid, uid) == 0);
		body(world);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (status)
		fail_msg("wait status 0x%x", (unsigned)status);
}

/* Other than by `other`, root's paths stay, so that it is Landlock that is seen at work. */
static void enter_as(struct fuse_world *world, const struct jail *other)
{
	struct landlock_tree tree[1] = {{.fd = -1}};
	struct jail jail = other ? *other : (struct jail){.paths = true};
	enum sandbox_mode mode = SANDBOX_ON;
	struct error err;

	tree[0].fd = fuse_root(world->client.server, &tree[0].writable);
	jail.tree = tree;
	jail.trees = 1;
	NEED(sandbox_prepare(&mode, &err) == 0);
	NEED(jail_enter(&jail, &err) == 0);
}

static void enter(struct fuse_world *world)
{
	enter_as(world, NULL);
}

static bool is_refused(int result)
{
	return result < 0 && (errno == EACCES || errno == EPERM);
}

static void reach(struct fuse_world *world)
{
	const int null = open("/dev/null", O_RDWR);
	char text[320];

	snprintf(text, sizeof(text), "%s", world->place);
	enter(world);
	NEED(is_refused(open("/etc/passwd", O_RDONLY)));
	NEED(is_refused(open("/", O_RDONLY | O_DIRECTORY)));
	NEED(is_refused(open("/dev/null", O_RDWR)));
	NEED(is_refused(open(fuse_world_path(world, "../beside"), O_RDONLY)));
	NEED(is_refused(mkdir(fuse_world_path(world, "../new"), 0755)));
	NEED(is_refused(access("/bin/sh", F_OK)) || execl("/bin/sh", "sh", "-c", ":", NULL) < 0);
	/* What was open stays so. */
	NEED(write(null, "x", 1) == 1);
	NEED(open(fuse_world_path(world, "file"), O_RDONLY) >= 0);
}

static void test_no_path_but_the_shared_directory(void **state)
{
	struct fuse_world *world = *state;

	if (landlock_version() < 2)
		SKIP("this kernel has no Landlock, or an early one");
	host_write(world, "file", "text");
	in_child(reach, world, geteuid());
}

static void change(struct fuse_world *world)
{
	const char *file = "file";
	bool writable;

	fuse_root(world->client.server, &writable);
	enter(world);
	NEED(open(fuse_world_path(world, file), O_RDONLY) >= 0);
	errno = 0;
	NEED((open(fuse_world_path(world, file), O_WRONLY) >= 0) == writable);
	NEED(writable || errno == EACCES);
	NEED((mkdir(fuse_world_path(world, "directory"), 0755) == 0) == writable);
	NEED((mkfifo(fuse_world_path(world, "fifo"), 0600) == 0) == writable);
	NEED((unlink(fuse_world_path(world, file)) == 0) == writable);
}

static void test_what_may_be_changed(void **state)
{
	struct fuse_world *world = *state;
	struct fuse_world other;
	const struct fuse_export export = {.read_only = true};

	if (landlock_version() < 2)
		SKIP("this kernel has no Landlock, or an early one");
	host_write(world, "file", "text");
	in_child(change, world, geteuid());
	fuse_world_make(&other, &export);
	host_write(&other, "file", "text");
	in_child(change, &other, geteuid());
	fuse_world_free(&other);
}

/* Neither others' processes nor the network. */
static void leave_others_alone(struct fuse_world *world)
{
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	const struct sockaddr address = {.sa_family = AF_INET};

	enter(world);
	if (landlock_version() >= 4)
		NEED(fd < 0 || is_refused(bind(fd, &address, 16)));
	if (landlock_version() >= 6)
		NEED(is_refused(kill(getppid(), 0)));
	NEED(kill(getpid(), 0) == 0);
}

static void test_others_are_left_alone(void **state)
{
	in_child(leave_others_alone, *state, geteuid());
}

static void look_at_limits(struct fuse_world *world)
{
	struct rlimit limit;

	enter(world);
	NEED(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
	NEED(prctl(PR_GET_DUMPABLE) == 0);
}

static void test_no_core_dump(void **state)
{
	in_child(look_at_limits, *state, geteuid());
}

static u64 capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct half[2];

	NEED(syscall(SYS_capget, &header, half) == 0);
	return (u64)half[1].permitted << 32 | half[0].permitted;
}

static void lose_root(struct fuse_world *world)
{
	const u64 files = 1 << CAP_CHOWN | 1 << CAP_DAC_OVERRIDE | 1 << CAP_FOWNER |
			  1 << CAP_FSETID;
	const u64 before = capabilities();
	struct stat host, own;

	NEED(stat("/", &host) == 0);
	enter_as(world, &(struct jail){.child = true});
	NEED(capabilities() == ((files | 1 << CAP_KILL) & before));
	NEED(prctl(PR_CAPBSET_READ, CAP_CHOWN) == 0);
	NEED(prctl(PR_GET_SECUREBITS) ==
	     (SECURE_ALL_BITS | SECURE_ALL_LOCKS) - issecure_mask(SECURE_KEEP_CAPS));
	NEED(stat("/etc", &own) < 0 && errno == ENOENT);
	NEED(stat("/", &own) == 0 && own.st_dev != host.st_dev);
	NEED(stat("/..", &own) == 0 && own.st_dev != host.st_dev);
	NEED(setuid(NOBODY) < 0 && errno == EPERM);
}

static void test_root_loses_its_rights(void **state)
{
	if (geteuid())
		SKIP("the tests aren't run by root");
	in_child(lose_root, *state, 0);
}

static void become_nobody(struct fuse_world *world)
{
	gid_t groups[8] = {1, 2};
	const int fd = open(fuse_world_path(world, "secret"), O_RDONLY);

	NEED(setgroups(2, groups) == 0);
	enter_as(world, &(struct jail){.paths = true, .uid = NOBODY, .gid = NOBODY - 1});
	NEED(getuid() == NOBODY && geteuid() == NOBODY && getgid() == NOBODY - 1);
	NEED(getgroups(8, groups) == 0 && capabilities() == 0);
	NEED(setuid(0) < 0 && errno == EPERM);
	NEED(prctl(PR_GET_DUMPABLE) == 0);
	NEED(fd >= 0 && is_refused(open(fuse_world_path(world, "secret"), O_RDONLY)));
}

static void test_run_as_nobody(void **state)
{
	struct fuse_world *world = *state;

	if (geteuid())
		SKIP("the tests aren't run by root");
	host_write(world, "secret", "text");
	assert_int_equal(chmod(fuse_world_path(world, "secret"), 0600), 0);
	in_child(become_nobody, world, 0);
}

static void close_jail(struct fuse_world *world)
{
	struct pollfd sources[LOOP_SOURCES_MAX] = {{.fd = -1}};
	struct rlimit limit;
	int fd;

	(void)world;
	jail_close(false);
	NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == limit.rlim_max);
	/* The main loop waits for all that it has room for. */
	NEED(poll(sources, LOOP_SOURCES_MAX, 0) >= 0);
	for (fd = 0; fd >= 0 && fd < 1000;)
		fd = dup(STDERR_FILENO);
	NEED(fd < 0 && errno == EMFILE);
}

static void test_few_more_descriptors(void **state)
{
	in_child(close_jail, *state, geteuid());
}

static void fill_memory(struct fuse_world *world)
{
	const size_t much = 2 * GIB;

	NEED(munmap(mmap(NULL, much, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), much) == 0);
	enter(world);
	NEED(mmap(NULL, much, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
}

static void keep_a_lower_limit(struct fuse_world *world)
{
	const struct rlimit low = {800 * MIB, 800 * MIB};
	struct rlimit limit;

	NEED(setrlimit(RLIMIT_AS, &low) == 0);
	enter(world);
	NEED(getrlimit(RLIMIT_AS, &limit) == 0);
	NEED(limit.rlim_cur <= low.rlim_cur && limit.rlim_max <= low.rlim_max);
}

static void test_a_lower_limit_stays(void **state)
{
	if (SANITIZED)
		SKIP("the sanitizer's own memory is more than that");
	in_child(keep_a_lower_limit, *state, geteuid());
}

static void test_no_more_memory_than_is_needed(void **state)
{
	in_child(fill_memory, *state, geteuid());
}

/* All that a file server does, on its thread, in the jail and under its filter. */
static void serve(struct fuse_world *world)
{
	struct fuse_client *client = &world->client;
	const struct fuse_create_in in_tmpfile = {.flags = O_RDWR, .mode = 0600};
	struct fuse_setattr_in times = {.valid = FATTR_MODE | FATTR_SIZE | FATTR_MTIME,
					.mode = 0640};
	struct fuse_link_in link = {.oldnodeid = 0};
	struct fuse_attr attr;
	struct error err;
	struct fuse_server *server;
	u64 one, two, file, fh;

	/* This process's own: its descriptors are what the server names files by. */
	NEED(fuse_open(&server, &world->export, &err) == 0);
	fuse_client_make(client, server);
	enter_as(world, &(struct jail){.paths = false});
	NEED(sandbox_enter(SANDBOX_ON, SANDBOX_WORKER | SANDBOX_FILES | SANDBOX_CHANGE, &err) == 0);
	one = fuse_mkdir(client, FUSE_ROOT_ID, "one");
	two = fuse_mkdir(client, FUSE_ROOT_ID, "two");
	file = fuse_create(client, one, "file", &fh);
	NEED(fuse_ask(client, FUSE_SETATTR, file, &times, sizeof(times), NULL, NULL) == 0);
	NEED(fuse_rename(client, one, "file", two, "moved", 0) == 0);
	link.oldnodeid = file;
	NEED(fuse_ask(client, FUSE_LINK, one, &link, sizeof(link), "again", NULL) == 0);
	NEED(fuse_ask(client, FUSE_SYMLINK, one, "to\0where", 9, NULL, NULL) == 0);
	NEED(fuse_ask(client, FUSE_TMPFILE, one, &in_tmpfile, sizeof(in_tmpfile), "#1", NULL) == 0);
	NEED(fuse_stat(client, file, &attr) == 0 && attr.nlink == 2);
	NEED(fuse_open_with(client, file, O_RDWR) == 0);
	NEED(fuse_open_directory(client, two) != 0);
	for (unsigned i = 0; i < 3000; i++) {
		char name[32];

		/* Much memory, which comes and goes. */
		snprintf(name, sizeof(name), "%u", i);
		(void)fuse_create(client, two, name, &fh);
		NEED(fuse_release(client, fuse_lookup(client, two, name), fh) == 0);
		NEED(fuse_unlink(client, two, name) == 0);
	}
	NEED(fuse_unlink(client, one, "again") == 0);
	syscall(SYS_exit, 0); /* exit_group(2) is for the main thread */
}

static void test_a_file_server_works_in_it(void **state)
{
	if (SANITIZED)
		SKIP("the sanitizer makes calls of its own, which aren't listed");
	in_child(serve, *state, geteuid());
}

static void test_an_unprivileged_file_server_works_in_it(void **state)
{
	struct fuse_world *world = *state;

	if (SANITIZED || geteuid())
		SKIP("the tests aren't run by root, or a sanitizer makes calls of its own");
	assert_int_equal(chown(fuse_world_path(world, ""), NOBODY, NOBODY), 0);
	assert_int_equal(chmod(world->place, 0755), 0);
	in_child(serve, world, NOBODY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FUSE_TEST(test_no_path_but_the_shared_directory),
		FUSE_TEST(test_what_may_be_changed),
		FUSE_TEST(test_others_are_left_alone),
		FUSE_TEST(test_no_core_dump),
		FUSE_TEST(test_root_loses_its_rights),
		FUSE_TEST(test_run_as_nobody),
		FUSE_TEST(test_few_more_descriptors),
		FUSE_TEST(test_no_more_memory_than_is_needed),
		FUSE_TEST(test_a_lower_limit_stays),
		FUSE_TEST(test_a_file_server_works_in_it),
		FUSE_TEST(test_an_unprivileged_file_server_works_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
