/* A share, its server and a client: see fuse_world.h. */
#include "tests/unit/fuse_world.h"

#include "tests/unit/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char beside_text[] = "not the guest's business";

void fuse_client_make(struct fuse_client *client, struct fuse_server *server)
{
	*client = (struct fuse_client){
		.server = server, .uid = geteuid(), .gid = getegid(), .room = FUSE_CLIENT_BYTES};
}

void fuse_world_make(struct fuse_world *world, const struct fuse_export *export)
{
	static char directory[64];
	struct fuse_server *server;
	struct error err;

	strcpy(world->place, "/tmp/bantam-fuse-XXXXXX");
	assert_non_null(mkdtemp(world->place));
	assert_int_equal(mkdir(fuse_world_path(world, ""), 0755), 0);
	host_write(world, "../beside", beside_text);
	world->export = export ? *export : (struct fuse_export){.descriptors = 0};
	if (!world->export.descriptors)
		world->export.descriptors = 1024;
	snprintf(directory, sizeof(directory), "%s", fuse_world_path(world, ""));
	world->export.directory = directory;
	if (fuse_open(&server, &world->export, &err))
		fail_msg("%s", err.text);
	fuse_client_make(&world->client, server);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

void fuse_world_free(struct fuse_world *world)
{
	fuse_close(world->client.server);
	assert_int_equal(nftw(world->place, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int fuse_set_up(void **state)
{
	static struct fuse_world world;

	fuse_world_make(&world, NULL);
	*state = &world;
	return 0;
}

int fuse_tear_down(void **state)
{
	expect_untouched(*state);
	fuse_world_free(*state);
	return 0;
}

const char *fuse_world_path(struct fuse_world *world, const char *name)
{
	snprintf(world->path, sizeof(world->path), "%s/share/%s", world->place, name);
	return world->path;
}

void host_write(struct fuse_world *world, const char *name, const char *text)
{
	FILE *file = fopen(fuse_world_path(world, name), "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

void host_expect(struct fuse_world *world, const char *name, const char *text)
{
	char found[256] = "";
	FILE *file = fopen(fuse_world_path(world, name), "re");

	if (!file)
		fail_msg("there is no %s", name);
	(void)!fread(found, 1, sizeof(found) - 1, file);
	fclose(file);
	assert_string_equal(found, text);
}

void expect_untouched(struct fuse_world *world)
{
	unsigned entries = 0;
	DIR *place = opendir(world->place);

	assert_non_null(place);
	while (readdir(place))
		entries++;
	closedir(place);
	assert_int_equal(entries, 4); /* two directories' dots, share and beside */
	host_expect(world, "../beside", beside_text);
}

unsigned count_descriptors(void)
{
	unsigned count = 0;
	DIR *own = opendir("/proc/self/fd");

	assert_non_null(own);
	while (readdir(own))
		count++;
	closedir(own);
	return count;
}

/* Requests. */

enum { UNTOUCHED = 0xee, PARTS = 8 };

void *fuse_body(struct fuse_client *client)
{
	return client->reply + sizeof(struct fuse_out_header);
}

static int check_reply(struct fuse_client *client, u32 opcode, size_t length)
{
	struct fuse_out_header head;

	memcpy(&head, client->reply, sizeof(head));
	for (size_t i = length; i < length + 64; i++)
		assert_int_equal(client->reply[i], UNTOUCHED);
	client->bytes = 0;
	if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT) {
		assert_int_equal(length, 0);
		return 0;
	}
	assert_int_equal(head.len, length);
	assert_true(length >= sizeof(head) && length <= sizeof(head) + client->room);
	assert_true(head.unique == client->unique);
	assert_true(head.error <= 0 && head.error > -512);
	if (head.error)
		assert_int_equal(length, sizeof(head));
	client->bytes = (u32)(length - sizeof(head));
	return head.error;
}

int fuse_send(struct fuse_client *client, u32 opcode, u64 nodeid, const struct iovec *part,
	      unsigned parts)
{
	struct fuse_in_header head = {.len = (u32)sizeof(head),
				      .opcode = opcode,
				      .unique = ++client->unique,
				      .nodeid = nodeid,
				      .uid = client->uid,
				      .gid = client->gid};
	/* The header in two pieces, and the reply's, too. */
	struct iovec in[PARTS] = {{&head, 20}, {(u8 *)&head + 20, sizeof(head) - 20}};
	const struct iovec out[] = {
		{client->reply, 10},
		{client->reply + 10, sizeof(struct fuse_out_header) - 10 + client->room}};
	size_t length;

	assert_true(parts + 2 <= PARTS);
	for (unsigned i = 0; i < parts; i++) {
		in[i + 2] = part[i];
		head.len += (u32)part[i].iov_len;
	}
	head.len += client->lie;
	memset(client->reply, UNTOUCHED, sizeof(struct fuse_out_header) + client->room + 64);
	length = fuse_serve(client->server, in, parts + 2, out, ARRAY_LEN(out));
	return check_reply(client, opcode, length);
}

int fuse_ask(struct fuse_client *client, u32 opcode, u64 nodeid, const void *args, size_t bytes,
	     const char *name, const char *name2)
{
	struct iovec part[3];
	unsigned parts = 0;

	if (bytes)
		part[parts++] = (struct iovec){(void *)(uintptr_t)args, bytes};
	if (name)
		part[parts++] = (struct iovec){(void *)(uintptr_t)name, strlen(name) + 1};
	if (name2)
		part[parts++] = (struct iovec){(void *)(uintptr_t)name2, strlen(name2) + 1};
	return fuse_send(client, opcode, nodeid, part, parts);
}

/* The body of the last reply: it has to be of this size. */
static void take_body(struct fuse_client *client, void *to, size_t bytes)
{
	assert_int_equal(client->bytes, bytes);
	memcpy(to, fuse_body(client), bytes);
}

static u64 entered(struct fuse_client *client, int error)
{
	struct fuse_entry_out entry;

	assert_int_equal(error, 0);
	take_body(client, &entry, sizeof(entry));
	assert_true(entry.nodeid > FUSE_ROOT_ID);
	return entry.nodeid;
}

int fuse_find(struct fuse_client *client, u64 parent, const char *name)
{
	return fuse_ask(client, FUSE_LOOKUP, parent, NULL, 0, name, NULL);
}

u64 fuse_lookup(struct fuse_client *client, u64 parent, const char *name)
{
	return entered(client, fuse_find(client, parent, name));
}

u64 fuse_mkdir(struct fuse_client *client, u64 parent, const char *name)
{
	const struct fuse_mkdir_in in = {.mode = 0755};

	return entered(client, fuse_ask(client, FUSE_MKDIR, parent, &in, sizeof(in), name, NULL));
}

int fuse_create_with(struct fuse_client *client, u64 parent, const char *name, u32 flags, u32 mode)
{
	const struct fuse_create_in in = {.flags = flags, .mode = mode};

	return fuse_ask(client, FUSE_CREATE, parent, &in, sizeof(in), name, NULL);
}

u64 fuse_create(struct fuse_client *client, u64 parent, const char *name, u64 *fh)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;

	assert_int_equal(fuse_create_with(client, parent, name, O_RDWR | O_CREAT, S_IFREG | 0644),
			 0);
	take_body(client, &out, sizeof(out));
	*fh = out.open.fh;
	return out.entry.nodeid;
}

int fuse_open_with(struct fuse_client *client, u64 nodeid, u32 flags)
{
	const struct fuse_open_in in = {.flags = flags};

	return fuse_ask(client, FUSE_OPEN, nodeid, &in, sizeof(in), NULL, NULL);
}

static u64 opened(struct fuse_client *client, int error)
{
	struct fuse_open_out out;

	assert_int_equal(error, 0);
	take_body(client, &out, sizeof(out));
	return out.fh;
}

u64 fuse_open_file(struct fuse_client *client, u64 nodeid, u32 flags)
{
	return opened(client, fuse_open_with(client, nodeid, flags));
}

u64 fuse_open_directory(struct fuse_client *client, u64 nodeid)
{
	const struct fuse_open_in in = {.flags = O_RDONLY};

	return opened(client, fuse_ask(client, FUSE_OPENDIR, nodeid, &in, sizeof(in), NULL, NULL));
}

int fuse_stat(struct fuse_client *client, u64 nodeid, struct fuse_attr *attr)
{
	const struct fuse_getattr_in in = {.fh = 0};
	const int error = fuse_ask(client, FUSE_GETATTR, nodeid, &in, sizeof(in), NULL, NULL);
	struct fuse_attr_out out;

	if (error)
		return error;
	take_body(client, &out, sizeof(out));
	*attr = out.attr;
	return 0;
}

int fuse_release(struct fuse_client *client, u64 nodeid, u64 fh)
{
	const struct fuse_release_in in = {.fh = fh};

	return fuse_ask(client, FUSE_RELEASE, nodeid, &in, sizeof(in), NULL, NULL);
}

void fuse_forget(struct fuse_client *client, u64 nodeid, u64 lookups)
{
	const struct fuse_forget_in in = {.nlookup = lookups};

	fuse_ask(client, FUSE_FORGET, nodeid, &in, sizeof(in), NULL, NULL);
}

int fuse_unlink(struct fuse_client *client, u64 parent, const char *name)
{
	return fuse_ask(client, FUSE_UNLINK, parent, NULL, 0, name, NULL);
}

int fuse_rename(struct fuse_client *client, u64 from, const char *old, u64 to, const char *new,
		u32 flags)
{
	const struct fuse_rename2_in in = {.newdir = to, .flags = flags};

	return fuse_ask(client, FUSE_RENAME2, from, &in, sizeof(in), old, new);
}

int fuse_link(struct fuse_client *client, u64 nodeid, u64 parent, const char *name)
{
	const struct fuse_link_in in = {.oldnodeid = nodeid};

	return fuse_ask(client, FUSE_LINK, parent, &in, sizeof(in), name, NULL);
}

int fuse_setattr(struct fuse_client *client, u64 nodeid, const struct fuse_setattr_in *in)
{
	return fuse_ask(client, FUSE_SETATTR, nodeid, in, sizeof(*in), NULL, NULL);
}

int fuse_write(struct fuse_client *client, u64 nodeid, u64 fh, u64 offset, const void *from,
	       u32 bytes)
{
	struct fuse_write_in in = {.fh = fh, .offset = offset, .size = bytes};
	const struct iovec part[] = {{&in, sizeof(in)}, {(void *)(uintptr_t)from, bytes}};
	const int error = fuse_send(client, FUSE_WRITE, nodeid, part, 2);
	struct fuse_write_out out;

	if (error)
		return error;
	take_body(client, &out, sizeof(out));
	return (int)out.size;
}

int fuse_read(struct fuse_client *client, u64 nodeid, u64 fh, u64 offset, u32 bytes)
{
	const struct fuse_read_in in = {.fh = fh, .offset = offset, .size = bytes};
	const int error = fuse_ask(client, FUSE_READ, nodeid, &in, sizeof(in), NULL, NULL);

	return error ? error : (int)client->bytes;
}

/* Directories. */

void fuse_list(struct fuse_client *client, u64 nodeid, u64 fh, bool plus,
	       void (*seen)(void *owner, const struct fuse_direntplus *entry, const char *name),
	       void *owner)
{
	const size_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	struct fuse_read_in in = {.fh = fh, .size = 1024};
	u8 list[1024];

	for (;;) {
		u32 bytes;

		assert_int_equal(fuse_ask(client, plus ? FUSE_READDIRPLUS : FUSE_READDIR, nodeid,
					  &in, sizeof(in), NULL, NULL),
				 0);
		bytes = client->bytes;
		if (bytes == 0)
			return;
		assert_true(bytes <= sizeof(list));
		memcpy(list, fuse_body(client), bytes);
		for (u32 at = 0; at < bytes;) {
			struct fuse_direntplus entry = {.dirent = {.ino = 0}};
			char name[256] = "";

			assert_true(at + head <= bytes);
			memcpy(plus ? (void *)&entry : (void *)&entry.dirent, list + at, head);
			assert_true(entry.dirent.namelen < sizeof(name));
			assert_true(at + head + entry.dirent.namelen <= bytes);
			memcpy(name, list + at + head, entry.dirent.namelen);
			seen(owner, &entry, name);
			in.offset = entry.dirent.off;
			at += (u32)FUSE_REC_ALIGN(head + entry.dirent.namelen);
		}
	}
}

struct search {
	const char *name;
	bool found;
};

static void compare(void *owner, const struct fuse_direntplus *entry, const char *name)
{
	struct search *search = owner;

	(void)entry;
	search->found = search->found || strcmp(name, search->name) == 0;
}

bool fuse_lists(struct fuse_client *client, u64 nodeid, const char *name)
{
	const u64 fh = fuse_open_directory(client, nodeid);
	struct search search = {.name = name};

	fuse_list(client, nodeid, fh, false, compare, &search);
	assert_int_equal(fuse_release(client, nodeid, fh), 0);
	return search.found;
}
