/*
 * The file server under a guest with several threads that does whatever it likes: the same few names,
 * node ids and handles, its own and others', are made, moved, closed and forgotten all at once, with
 * hardly any descriptors, and reset now and then. It is ThreadSanitizer's to see what goes wrong; here
 * it is checked that every reply is one, that nothing is left, and that what can't be reached isn't.
 */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/unit/fuse_world.h"
#include "tests/unit/support.h"

enum { THREADS = 4, STEPS = 3000, NODES = 32, HANDLES = 8 };

/* What all of them were given last, of their own and of each other's. */
static atomic_ullong nodes[NODES], handles[HANDLES], openers[HANDLES];

struct guest {
	pthread_t id;
	struct fuse_client client;
	u32 seed;
	bool found_secret;
	bool lost_path; /* a descriptor was closed under a call that used it */
};

static u64 any_node(struct guest *guest)
{
	const u32 number = next_random(&guest->seed);

	return number & 1 << 20 ? FUSE_ROOT_ID : atomic_load(&nodes[number % NODES]);
}

/* A reply with an entry, and a handle behind it if it is one to FUSE_CREATE. */
static void note_entry(struct guest *guest, int error)
{
	const struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} *out = fuse_body(&guest->client);
	const u32 place = next_random(&guest->seed);

	guest->lost_path = guest->lost_path || error == -EBADF;
	if (error)
		return;
	atomic_store(&nodes[place % NODES], out->entry.nodeid);
	if (guest->client.bytes < sizeof(*out))
		return;
	atomic_store(&handles[place % HANDLES], out->open.fh);
	atomic_store(&openers[place % HANDLES], out->entry.nodeid);
}

static void note_opened(struct guest *guest, int error, u64 node)
{
	const struct fuse_open_out *out = fuse_body(&guest->client);
	const u32 place = next_random(&guest->seed) % HANDLES;

	guest->lost_path = guest->lost_path || error == -EBADF;
	if (error)
		return;
	atomic_store(&handles[place], out->fh);
	atomic_store(&openers[place], node);
}

static const char *any_name(struct guest *guest)
{
	static const char *const names[] = {"a", "b", "c", "d", "hidden", "secret"};

	return names[next_random(&guest->seed) % ARRAY_LEN(names)];
}

static void list(struct guest *guest, u64 nodeid, u64 fh)
{
	struct fuse_client *client = &guest->client;
	const struct fuse_read_in in = {.fh = fh, .size = 2000};
	const char *at;

	if (fuse_ask(client, FUSE_READDIRPLUS, nodeid, &in, sizeof(in), NULL, NULL))
		return;
	at = fuse_body(client);
	for (u32 i = 0; i + strlen("only here") <= client->bytes; i++) {
		if (memcmp(at + i, "only here", strlen("only here")) == 0)
			guest->found_secret = true;
	}
}

static void change_tree(struct guest *guest, u32 what)
{
	struct fuse_client *client = &guest->client;
	const u64 node = any_node(guest);
	const struct fuse_mkdir_in directory = {.mode = 0755};
	const struct fuse_create_in nameless = {.flags = O_RDWR, .mode = 0600};
	const char *name = any_name(guest);

	if (what == 0)
		(void)fuse_unlink(client, node, name);
	else if (what == 1)
		(void)fuse_ask(client, FUSE_RMDIR, node, NULL, 0, name, NULL);
	else if (what == 2)
		(void)fuse_rename(client, node, name, any_node(guest), any_name(guest),
				  next_random(&guest->seed) % 2 ? RENAME_EXCHANGE : 0);
	else if (what == 3)
		note_entry(guest, fuse_link(client, node, any_node(guest), name));
	else if (what == 4)
		note_entry(guest, fuse_ask(client, FUSE_TMPFILE, node, &nameless, sizeof(nameless),
					   "x", NULL));
	else if (what == 5)
		note_entry(guest, fuse_ask(client, FUSE_MKDIR, node, &directory, sizeof(directory),
					   name, NULL));
	else
		note_entry(guest, fuse_create_with(client, node, name, O_RDWR, 0644));
}

static void use_handle(struct guest *guest, u32 what)
{
	struct fuse_client *client = &guest->client;
	const u32 place = next_random(&guest->seed) % HANDLES;
	const u64 fh = atomic_load(&handles[place]), node = atomic_load(&openers[place]);

	if (what < 2)
		(void)fuse_release(client, node, fh);
	else if (what == 2)
		(void)fuse_write(client, node, fh, next_random(&guest->seed) % 1000, "text", 4);
	else if (what == 3)
		(void)fuse_read(client, node, fh, 0, 100);
	else if (what == 4)
		(void)fuse_setattr(client, node,
				   &(struct fuse_setattr_in){
					   .valid = FATTR_SIZE | FATTR_FH, .size = 10, .fh = fh});
	else if (what == 5)
		list(guest, any_node(guest), fh);
	else
		list(guest, node, fh);
}

static void use_node(struct guest *guest, u32 what)
{
	struct fuse_client *client = &guest->client;
	const struct fuse_open_in in = {.flags = O_RDWR};
	const u64 node = any_node(guest);
	struct fuse_attr attr;

	if (what == 0)
		fuse_forget(client, node, next_random(&guest->seed) % 3);
	else if (what == 1)
		note_opened(guest, fuse_open_with(client, node, O_RDWR), node);
	else if (what == 2)
		note_opened(guest,
			    fuse_ask(client, FUSE_OPENDIR, node, &in, sizeof(in), NULL, NULL),
			    node);
	else if (what == 3)
		(void)fuse_stat(client, node, &attr);
	else
		note_entry(guest, fuse_find(client, node, any_name(guest)));
	/* This name is in the hidden directory alone, and nobody makes it. */
	if (fuse_find(client, node, "only here") == 0)
		guest->found_secret = true;
}

static void *run(void *owner)
{
	struct guest *guest = owner;

	for (unsigned i = 0; i < STEPS; i++) {
		change_tree(guest, next_random(&guest->seed) % 8);
		use_node(guest, next_random(&guest->seed) % 7);
		use_handle(guest, next_random(&guest->seed) % 8);
		if (i % 1000 == 999)
			(void)fuse_ask(&guest->client, FUSE_DESTROY, 0, NULL, 0, NULL, NULL);
	}
	return NULL;
}

static void test_all_at_once(void **state)
{
	static struct guest guests[THREADS];
	static char home[320];
	static const char *const hidden[] = {home, NULL};
	struct fuse_export export = {.hidden = hidden, .descriptors = 64};
	struct fuse_world *world = *state;
	struct fuse_server *server;
	struct error err;
	unsigned open;

	strcpy(home, fuse_world_path(world, "hidden"));
	assert_int_equal(mkdir(home, 0755), 0);
	host_write(world, "hidden/only here", "");
	export.directory = world->export.directory;
	assert_int_equal(fuse_open(&server, &export, &err), 0);
	open = count_descriptors();
	for (unsigned i = 0; i < THREADS; i++) {
		fuse_client_make(&guests[i].client, server);
		guests[i].seed = i + 1;
		assert_int_equal(pthread_create(&guests[i].id, NULL, run, &guests[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(guests[i].id, NULL);
		assert_false(guests[i].found_secret);
		assert_false(guests[i].lost_path);
	}
	/* 32 open files, 16 paths, 8 unlinked files. */
	assert_true(count_descriptors() <= open + 32 + 16 + 8);
	fuse_reset(server);
	assert_int_equal(count_descriptors(), open);
	fuse_close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FUSE_TEST(test_all_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
