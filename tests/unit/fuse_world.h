/*
 * A directory of the host's with something beside it, a file server for it, and a client that
 * speaks FUSE to it as a guest's kernel would, or as it never would.
 *
 * The client checks of each reply that it is one: length, unique, either an error or a body, and
 * nothing written behind its end. Each thread has a client of its own.
 */
#ifndef BANTAM_TESTS_UNIT_FUSE_WORLD_H
#define BANTAM_TESTS_UNIT_FUSE_WORLD_H

#include <linux/fuse.h>

#include "devices/virtio/fuse.h"

enum { FUSE_CLIENT_BYTES = 80 * 1024 };

struct fuse_client {
	struct fuse_server *server;
	u32 uid, gid; /* who asks */
	u32 room;     /* for the replies' bodies, FUSE_CLIENT_BYTES at most */
	u32 lie;      /* is added to the length in the header */
	u64 unique;
	u32 bytes; /* of the last reply's body, and it: */
	_Alignas(8) u8 reply[sizeof(struct fuse_out_header) + FUSE_CLIENT_BYTES + 64];
};

struct fuse_world {
	char place[40]; /* has "share" and "beside" in it */
	char path[320]; /* what fuse_world_path() returned last */
	struct fuse_export export;
	struct fuse_client client;
};

/* A share with nothing in it. export: NULL, or with all but the directory and maybe descriptors. */
void fuse_world_make(struct fuse_world *world, const struct fuse_export *export);
void fuse_world_free(struct fuse_world *world);
/* As cmocka's set-up and tear-down, with an export that says nothing. */
int fuse_set_up(void **state);
int fuse_tear_down(void **state);
#define FUSE_TEST(test) cmocka_unit_test_setup_teardown(test, fuse_set_up, fuse_tear_down)

/* The host's path of something in the share, until the next call. */
const char *fuse_world_path(struct fuse_world *world, const char *name);
/* The host makes a file in the share with this text in it; or reads what there is. */
void host_write(struct fuse_world *world, const char *name, const char *text);
void host_expect(struct fuse_world *world, const char *name, const char *text);
/* What lies beside the share is as it was. */
void expect_untouched(struct fuse_world *world);
/* How many descriptors this process has. */
unsigned count_descriptors(void);

void fuse_client_make(struct fuse_client *client, struct fuse_server *server);
/* client->reply's body, as whatever it is. */
void *fuse_body(struct fuse_client *client);

/* Sends a request whose body is the parts one after the other. Returns 0, or the error as -errno. */
int fuse_send(struct fuse_client *client, u32 opcode, u64 nodeid, const struct iovec *part,
	      unsigned parts);
/* The same: a struct, and up to two names (or NULL). */
int fuse_ask(struct fuse_client *client, u32 opcode, u64 nodeid, const void *args, size_t bytes,
	     const char *name, const char *name2);

/* What there was to be; the test ends when there isn't. */
u64 fuse_lookup(struct fuse_client *client, u64 parent, const char *name);
u64 fuse_mkdir(struct fuse_client *client, u64 parent, const char *name);
/* A file that is made, and opened to read and write. */
u64 fuse_create(struct fuse_client *client, u64 parent, const char *name, u64 *fh);
u64 fuse_open_file(struct fuse_client *client, u64 nodeid, u32 flags);
u64 fuse_open_directory(struct fuse_client *client, u64 nodeid);

/* What may fail: 0, or -errno. */
int fuse_find(struct fuse_client *client, u64 parent, const char *name);
int fuse_stat(struct fuse_client *client, u64 nodeid, struct fuse_attr *attr);
int fuse_open_with(struct fuse_client *client, u64 nodeid, u32 flags);
int fuse_create_with(struct fuse_client *client, u64 parent, const char *name, u32 flags, u32 mode);
int fuse_release(struct fuse_client *client, u64 nodeid, u64 fh);
void fuse_forget(struct fuse_client *client, u64 nodeid, u64 lookups);
int fuse_unlink(struct fuse_client *client, u64 parent, const char *name);
int fuse_rename(struct fuse_client *client, u64 from, const char *old, u64 to, const char *new,
		u32 flags);
int fuse_link(struct fuse_client *client, u64 nodeid, u64 parent, const char *name);
int fuse_setattr(struct fuse_client *client, u64 nodeid, const struct fuse_setattr_in *in);
/* How many bytes, or -errno. */
int fuse_write(struct fuse_client *client, u64 nodeid, u64 fh, u64 offset, const void *from,
	       u32 bytes);
int fuse_read(struct fuse_client *client, u64 nodeid, u64 fh, u64 offset, u32 bytes);

/* Calls seen() for every entry of a directory that was opened, "." and ".." as well. */
void fuse_list(struct fuse_client *client, u64 nodeid, u64 fh, bool plus,
	       void (*seen)(void *owner, const struct fuse_direntplus *entry, const char *name),
	       void *owner);
/* Whether a name is in the directory's list. */
bool fuse_lists(struct fuse_client *client, u64 nodeid, const char *name);

#endif
