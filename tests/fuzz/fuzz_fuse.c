/*
 * The file server (devices/virtio/fuse*.c): a guest's requests on a small tree, one after the other,
 * with node ids and handles from replies that it got before, or invented; names good and bad; bodies as
 * they should be, cut, or of raw input.
 *
 * Checked: a reply is one, and nothing is written behind it; what lies beside the share, and in its
 * hidden directory, stays as it is and is never told of; and when the device is reset, no descriptor is
 * left.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/fuse.h"
#include "tests/fuzz/fuzz.h"

enum { NODES = 16, HANDLES = 8, BODY_BYTES = 2048, ROOM = 4096, BEHIND = 64, FILL = 0xee };
enum { FILE_BYTES_MAX = 8 << 20, DESCRIPTORS = 64, ACTIONS_MAX = 200 };

/* In the hidden directory: a name that the guest asks for, and one that it never has. */
#define SECRET "only here"
#define UNTOLD "never told"

struct guest {
	struct fuse_server *server;
	u64 node[NODES], fh[HANDLES], opener[HANDLES];
	u64 unique, secret; /* the inode number of what it mustn't find */
	u32 bytes;          /* of the body that is being made */
	u8 body[BODY_BYTES];
	u8 reply[sizeof(struct fuse_out_header) + ROOM + BEHIND];
};

/* The scratch directory, made once a process; what lies in it, anew for each input. */
static char place[64], share[80], hidden[96];

/* The host's side. */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)walk;
	if (type == FTW_DNR)
		(void)chmod(path, 0700);
	(void)remove(path);
	return 0;
}

static void remove_all(void)
{
	/* A directory that couldn't be read is empty after as many rounds as there are levels in it. */
	for (unsigned i = 0; i < ACTIONS_MAX && access(place, F_OK) == 0; i++)
		(void)nftw(place, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	FUZZ_CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static const char *inside(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", place, name);
	return path;
}

static void make_place(void)
{
	FUZZ_CHECK(mkdir(place, 0755) == 0 && mkdir(share, 0755) == 0 && mkdir(hidden, 0755) == 0);
	make_file(inside("beside"), "canary");
	make_file(inside("share/hidden/" SECRET), "canary");
	make_file(inside("share/hidden/" UNTOLD), "canary");
	make_file(inside("share/file"), "some text");
	FUZZ_CHECK(mkdir(inside("share/directory"), 0755) == 0);
	make_file(inside("share/directory/file"), "some other text");
	FUZZ_CHECK(symlink("../beside", inside("share/link")) == 0);
	FUZZ_CHECK(symlink("..", inside("share/up")) == 0);
	FUZZ_CHECK(mkfifo(inside("share/fifo"), 0644) == 0);
}

static unsigned count_entries(const char *path)
{
	DIR *directory = opendir(path);
	unsigned count = 0;

	FUZZ_CHECK(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* The same file with the same text, mode and owner. */
static void check_file(int directory, const char *name, const struct stat *before)
{
	const int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
	struct stat now;
	char text[16] = "";

	FUZZ_CHECK(fd >= 0 && fstat(fd, &now) == 0);
	FUZZ_CHECK(now.st_ino == before->st_ino && now.st_mode == before->st_mode &&
		   now.st_uid == before->st_uid && now.st_nlink == before->st_nlink);
	FUZZ_CHECK(read(fd, text, sizeof(text)) == 6 && memcmp(text, "canary", 6) == 0);
	close(fd);
}

/* The guest's side. */

static void add(struct guest *guest, const void *from, size_t bytes)
{
	FUZZ_CHECK(guest->bytes + bytes <= BODY_BYTES);
	memcpy(guest->body + guest->bytes, from, bytes);
	guest->bytes += (u32)bytes;
}

static void add_name(struct guest *guest, unsigned which)
{
	static const char longest[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char *const names[] = {
		"a",      "b",    "file", "directory", "hidden",    "link", "up",    "fifo",
		"user.x", SECRET, "..",   ".",         "../beside", "/",    longest, longest + 1};
	const char *name = names[which % ARRAY_LEN(names)];

	add(guest, name, strlen(name) + 1);
}

static u64 any_node(const struct guest *guest, unsigned which)
{
	return which % (NODES + 1) == NODES ? FUSE_ROOT_ID : guest->node[which % (NODES + 1)];
}

/* An engine would learn the word from memmem(3). */
static bool says(const struct guest *guest, size_t length, const char *word)
{
	for (size_t at = 0, same = 0; at < length; at++) {
		same = guest->reply[at] == (u8)word[same] ? same + 1
							  : guest->reply[at] == (u8)word[0];
		if (!word[same])
			return true;
	}
	return false;
}

/* Sends what was made; returns how many bytes the reply's body has, or -1. */
static int send_request(struct guest *guest, u32 opcode, u64 nodeid, u32 room, int lie)
{
	struct fuse_in_header head = {.len = (u32)sizeof(head) + guest->bytes + (u32)lie,
				      .opcode = opcode,
				      .unique = ++guest->unique,
				      .nodeid = nodeid,
				      .uid = 1000,
				      .gid = 1000};
	const struct iovec in[] = {{&head, sizeof(head)}, {guest->body, guest->bytes}};
	const struct iovec out[] = {{guest->reply, 16}, {guest->reply + 16, room}};
	struct fuse_out_header reply;
	size_t length;

	memset(guest->reply, FILL, sizeof(guest->reply));
	length = fuse_serve(guest->server, in, 2, out, 2);
	FUZZ_CHECK(length == 0 || (length >= sizeof(reply) && length <= sizeof(reply) + room));
	for (unsigned i = 0; i < BEHIND; i++)
		FUZZ_CHECK(guest->reply[sizeof(reply) + room + i] == FILL);
	FUZZ_CHECK(!says(guest, length, UNTOLD) && !says(guest, length, "canary"));
	if (length == 0)
		return -1;
	memcpy(&reply, guest->reply, sizeof(reply));
	FUZZ_CHECK(reply.len == length && reply.unique == guest->unique);
	FUZZ_CHECK(reply.error <= 0 && reply.error > -512);
	FUZZ_CHECK(!reply.error || length == sizeof(reply));
	return reply.error ? -1 : (int)(length - sizeof(reply));
}

/* What can be learned of a reply is kept. */
static void learn(struct guest *guest, u32 opcode, u64 nodeid, unsigned where, int bytes)
{
	struct fuse_entry_out entry;
	struct fuse_open_out opened;
	const u8 *body = guest->reply + sizeof(struct fuse_out_header);
	const bool enters = opcode == FUSE_LOOKUP || opcode == FUSE_MKDIR || opcode == FUSE_MKNOD ||
			    opcode == FUSE_SYMLINK || opcode == FUSE_LINK ||
			    opcode == FUSE_CREATE || opcode == FUSE_TMPFILE;

	if (enters && bytes >= (int)sizeof(entry)) {
		memcpy(&entry, body, sizeof(entry));
		FUZZ_CHECK(entry.attr.ino != guest->secret);
		guest->node[where % NODES] = nodeid = entry.nodeid;
		body += sizeof(entry);
		bytes -= (int)sizeof(entry);
	}
	if ((enters || opcode == FUSE_OPEN || opcode == FUSE_OPENDIR) &&
	    bytes >= (int)sizeof(opened)) {
		memcpy(&opened, body, sizeof(opened));
		guest->fh[where % HANDLES] = opened.fh;
		guest->opener[where % HANDLES] = nodeid;
	}
}

/* Bodies that begin with a struct; the numbers in it are the input's. */
static void make_struct(struct guest *guest, u32 opcode, const struct action *action,
			struct input *input)
{
	const u64 fh = guest->fh[action->where % HANDLES];
	const u64 other = any_node(guest, (unsigned)(action->value >> 8));
	const u64 offset = action->how & 64 ? input_take(input, 8) : action->value;

	if (opcode == FUSE_OPEN || opcode == FUSE_OPENDIR)
		add(guest, &(struct fuse_open_in){.flags = action->value},
		    sizeof(struct fuse_open_in));
	else if (opcode == FUSE_CREATE || opcode == FUSE_TMPFILE)
		add(guest, &(struct fuse_create_in){.flags = action->value, .mode = action->where},
		    sizeof(struct fuse_create_in));
	else if (opcode == FUSE_MKDIR)
		add(guest, &(struct fuse_mkdir_in){.mode = action->value},
		    sizeof(struct fuse_mkdir_in));
	else if (opcode == FUSE_MKNOD)
		add(guest, &(struct fuse_mknod_in){.mode = action->value},
		    sizeof(struct fuse_mknod_in));
	else if (opcode == FUSE_RENAME || opcode == FUSE_LINK)
		add(guest, &other, sizeof(other));
	else if (opcode == FUSE_RENAME2)
		add(guest, &(struct fuse_rename2_in){.newdir = other, .flags = action->value & 7},
		    sizeof(struct fuse_rename2_in));
	else if (opcode == FUSE_READ || opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS)
		add(guest,
		    &(struct fuse_read_in){.fh = fh,
					   .offset = action->how & 128 ? offset : 0,
					   .size = action->value >> 4},
		    sizeof(struct fuse_read_in));
	else if (opcode == FUSE_WRITE)
		add(guest,
		    &(struct fuse_write_in){.fh = fh, .offset = offset, .size = action->value & 63},
		    sizeof(struct fuse_write_in));
	else if (opcode == FUSE_FALLOCATE)
		add(guest,
		    &(struct fuse_fallocate_in){
			    .fh = fh, .offset = offset, .length = 4096, .mode = action->how & 3},
		    sizeof(struct fuse_fallocate_in));
	else if (opcode == FUSE_LSEEK)
		add(guest,
		    &(struct fuse_lseek_in){.fh = fh, .offset = offset, .whence = action->how & 7},
		    sizeof(struct fuse_lseek_in));
	else if (opcode == FUSE_COPY_FILE_RANGE)
		add(guest,
		    &(struct fuse_copy_file_range_in){
			    .fh_in = fh,
			    .off_in = offset,
			    .nodeid_out = guest->opener[action->value % HANDLES],
			    .fh_out = guest->fh[action->value % HANDLES],
			    .len = 4096},
		    sizeof(struct fuse_copy_file_range_in));
	else if (opcode == FUSE_SETATTR)
		add(guest,
		    &(struct fuse_setattr_in){.valid = action->where,
					      .fh = fh,
					      .size = offset,
					      .mode = action->value,
					      .uid = action->value & 0xffff,
					      .mtimensec = action->value},
		    sizeof(struct fuse_setattr_in));
	else if (opcode == FUSE_FORGET)
		add(guest, &(u64){action->value & 3}, sizeof(u64));
	else if (opcode == FUSE_GETXATTR || opcode == FUSE_LISTXATTR)
		add(guest, &(struct fuse_getxattr_in){.size = action->value & 255},
		    sizeof(struct fuse_getxattr_in));
	else if (opcode == FUSE_SETXATTR)
		add(guest, &(struct fuse_setxattr_in){.size = action->value & 31}, 8);
	else if (opcode == FUSE_RELEASE || opcode == FUSE_RELEASEDIR || opcode == FUSE_FSYNC ||
		 opcode == FUSE_FSYNCDIR)
		add(guest, &(struct fuse_release_in){.fh = fh, .flags = action->value},
		    sizeof(struct fuse_release_in));
	else if (opcode == FUSE_INIT)
		add(guest,
		    &(struct fuse_init_in){
			    .major = 7, .minor = 31 + action->value % 8, .flags = action->value},
		    sizeof(struct fuse_init_in));
}

static void act(struct guest *guest, struct input *input)
{
	const struct action action = input_action(input);
	/* Above the last opcode there are requests of raw input, and with wrong lengths. */
	const u32 opcode = action.what % 64;
	const bool by_handle = opcode == FUSE_READ || opcode == FUSE_WRITE ||
			       opcode == FUSE_RELEASE || opcode == FUSE_RELEASEDIR ||
			       opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS ||
			       opcode == FUSE_FSYNC || opcode == FUSE_FALLOCATE ||
			       opcode == FUSE_LSEEK || opcode == FUSE_COPY_FILE_RANGE;
	u64 nodeid = any_node(guest, action.how);
	u32 room = ROOM;
	int lie = 0;

	guest->bytes = 0;
	if (action.what & 128) {
		for (unsigned i = action.how; i; i--)
			add(guest, &(u8){(u8)input_take(input, 1)}, 1);
		room = action.where % (ROOM + 1);
		lie = action.value & 256 ? (int)(int8_t)action.value : 0;
		nodeid = action.value & 512 ? action.value : nodeid;
	} else {
		if (by_handle && !(action.what & 64))
			nodeid = guest->opener[action.where % HANDLES];
		make_struct(guest, opcode, &action, input);
		add_name(guest, action.value >> 16);
		add_name(guest, action.value >> 20);
		/* A write's data, an attribute's value. */
		add(guest, "0123456789012345678901234567890123456789012345678901234567890123", 64);
	}
	learn(guest, opcode, nodeid, action.where, send_request(guest, opcode, nodeid, room, lie));
}

static void begin(void)
{
	const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	const struct rlimit size = {FILE_BYTES_MAX, FILE_BYTES_MAX};

	snprintf(place, sizeof(place), "%s/bantam-fuzz-fuse-%d", where, (int)getpid());
	snprintf(share, sizeof(share), "%s/share", place);
	snprintf(hidden, sizeof(hidden), "%s/hidden", share);
	/* Files stay small. */
	(void)setrlimit(RLIMIT_FSIZE, &size);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)atexit(remove_all);
}

int LLVMFuzzerTestOneInput(const u8 *bytes, size_t count)
{
	static const char *const hide[] = {hidden, NULL};
	static struct guest guest;
	struct input input = {bytes, count};
	const u32 how = (u32)input_take(&input, 1);
	const struct fuse_export export = {.directory = share,
					   .read_only = how & 4,
					   .cache = (enum fuse_cache)(how % 3),
					   .descriptors = (how & 8) ? 0 : DESCRIPTORS,
					   .hidden = hide};
	struct stat beside, secret;
	int place_fd, hidden_fd;
	unsigned descriptors;
	struct error err;

	if (!place[0])
		begin();
	remove_all();
	make_place();
	place_fd = open(place, O_PATH | O_CLOEXEC);
	hidden_fd = open(hidden, O_PATH | O_CLOEXEC);
	FUZZ_CHECK(fstatat(place_fd, "beside", &beside, 0) == 0 &&
		   fstatat(hidden_fd, SECRET, &secret, 0) == 0);
	guest = (struct guest){.secret = secret.st_ino};
	FUZZ_CHECK(fuse_open(&guest.server, &export, &err) == 0);
	descriptors = count_entries("/proc/self/fd");
	for (unsigned i = 0; input.left && i < ACTIONS_MAX; i++)
		act(&guest, &input);
	FUZZ_CHECK(count_entries("/proc/self/fd") <= descriptors + DESCRIPTORS);
	fuse_reset(guest.server);
	FUZZ_CHECK(count_entries("/proc/self/fd") == descriptors);
	fuse_close(guest.server);
	FUZZ_CHECK(count_entries("/proc/self/fd") == descriptors - 2);
	check_file(place_fd, "beside", &beside);
	check_file(hidden_fd, SECRET, &secret);
	FUZZ_CHECK(count_entries(place) == 4);
	close(place_fd);
	close(hidden_fd);
	return 0;
}
