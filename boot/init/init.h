/*
 * The parts of init, a section for each file. They are used by each other and by the unit tests;
 * init.c says what it is all for.
 *
 * A function that returns a text returns NULL when all went well, otherwise what is wrong. A `long`
 * that tells of an error is a negative errno.
 */
#ifndef BOOT_INIT_INIT_H
#define BOOT_INIT_INIT_H

#include "boot/init/protocol.h"
#include "vmm/types.h"

struct pollfd;

/* text.c */

/* The strings as a list that ends with a NULL; one that is NULL itself ends it, too. */
#define STRINGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Joins the strings in `to`, `bytes` long with the NUL; cuts what has no room. Returns the length. */
size_t text_join(char *to, size_t bytes, const char *const *list);

/* What follows a prefix of text; NULL if it doesn't begin so. */
char *text_after(char *text, const char *prefix);

/*
 * Ends the string at *rest before its first `by`, moves *rest behind that (NULL: there was none),
 * and returns where it began; NULL when *rest was NULL.
 */
char *text_split(char **rest, char by);

/* Whether all of text is a decimal number from 0 to max; if so, in *number. */
bool text_to_number(const char *text, u64 max, u64 *number);

/* The same for `count` numbers with one space between each two; takes text apart. */
bool text_to_numbers(char *text, size_t count, u64 max, u64 *numbers);

/* A number in decimal, in memory that lasts as long as the block around it. */
enum { TEXT_DIGITS = 21 };
#define TEXT_NUMBER(number) text_number((char[TEXT_DIGITS]){0}, number)
const char *text_number(char *digits, u64 number);

/* What an error means in the manual's words; the errno if it is a rare one. */
#define TEXT_ERROR(error) text_error((char[TEXT_DIGITS]){0}, error)
const char *text_error(char *digits, long error);

/* files.c: paths are absolute */

enum { NAME_BYTES = 256, PATH_BYTES = 4096 };

/* One line of strings in the kernel's log; the console shows it even with `quiet`. */
#define NOTE(...) note(STRINGS("<3>bantam: ", __VA_ARGS__))
void note(const char *const *list);

/* Opens; O_CLOEXEC and, for terminals, O_NOCTTY come on top. Returns a descriptor or an error. */
int file_take(const char *path, int flags);

/* Zeroed memory that is never given back; NULL when there is none. */
void *memory_take(size_t bytes);

/* All of a file with a NUL behind it, *bytes long without, in such memory; NULL: can't be read. */
char *file_load(const char *path, size_t *bytes);

/* Writes the strings to a file that isn't there, leads nowhere or is empty. */
void file_fill(const char *path, const char *const *list);

/*
 * Puts the next name of a directory in the place of `name`, "" at first: the smallest that is
 * greater, so that all come in order, whatever is made and removed meanwhile. False: there is no
 * more, or no directory.
 */
bool directory_next(const char *path, char name[NAME_BYTES]);

/* Removes a directory and the files in it; its own directories must be gone. */
void directory_remove(const char *path);

/* Makes a directory and those that lead to it, where they are missing. */
void directory_make(const char *path);

/* config.c */

enum { CONFIG_VOLUMES = 16 };

struct init_config {
	char **args, **env; /* each ends with a NULL; env has room for CONFIG_DEFAULTS more */
	size_t arg_count, env_count;
	/* NULL where there is no record. */
	char *root, *dir, *user, *hostname, *address, *gateway, *nameserver;
	char *volume[CONFIG_VOLUMES];
	size_t volume_count;
	bool tty;
	u64 tty_size[2]; /* rows and columns */
};
enum { CONFIG_DEFAULTS = 4 };

/* How many pointers config_parse() wants for a text of so many bytes. */
size_t config_pointers(const char *text, size_t bytes);

/* Takes the records apart in place. pointers: as many as config_pointers() says, all NULL. */
const char *config_parse(struct init_config *config, char *text, size_t bytes, char **pointers);

/* The value of an environment variable, or NULL. name: with its '='. */
const char *env_find(const struct init_config *config, const char *name);

/* user.c */

enum { USER_GROUPS = 64 };

struct user {
	u32 uid, gid;
	u32 groups[USER_GROUPS]; /* the supplementary ones; what has no room is left out */
	size_t group_count;
	const char *home;
};

/*
 * Looks up USER[:GROUP]. passwd, group: the files' texts, NULL for those that aren't there. They and
 * the name are taken apart, and user->home may point into passwd.
 *
 * A number needs no entry: without one the group is 0 and the home is "/". The user's supplementary
 * groups come along unless a group is named.
 */
const char *user_find(struct user *user, char *name, char *passwd, char *group);

/* mounts.c */

/* Mounts the kernel's file systems and makes /dev complete; notes what it can't. */
void mounts_make(void);

/*
 * Writes everything to the disks and unmounts what can be unmounted; the rest becomes read-only.
 * Nothing is left to write when it returns.
 */
void mounts_leave(void);

/* root.c */

/*
 * Makes what the configuration names the root directory, if it names one, and mounts the volumes in it.
 * With "cow", what is written stays in memory, over the directory as it is.
 */
const char *root_enter(const struct init_config *config);

/* Whether what is written to it (a file in /etc, say) is gone at the end. */
bool root_is_in_memory(const struct init_config *config);

/* ports.c */

/* Loads the modules in the order of their names; notes what the kernel doesn't take. */
void modules_load(void);

/*
 * Opens the ports, without waiting on reads and writes, when they have appeared and the host has
 * them open. Missing is told of the driver at once, of a port by its name after 10 s.
 */
enum port { PORT_STDIO, PORT_STDERR, PORT_CONTROL, PORTS };
const char *ports_open(int fd[PORTS]);

/* net.c */

/*
 * Starts lo and, if there is an address, eth0 with it and the gateway; waits 5 s for the device.
 * Writes /etc/hostname, /etc/hosts and /etc/resolv.conf where they are missing. What can't be done
 * is noted: COMMAND runs all the same.
 */
void net_start(const struct init_config *config);

/* Whether text is A.B.C.D; if so, *address in network byte order. Takes text apart. */
bool net_parse(char *text, u32 *address);

/* channel.c */

/*
 * One direction of a stream: bytes from one descriptor to another, neither of which blocks.
 *
 * A channel holds what was read until it is written, and reads only when it holds nothing: so who
 * reads slowly slows down who writes, and nothing is lost. Both descriptors are the channel's own;
 * it closes them as soon as they are of no more use. When nobody reads, it goes on reading and
 * drops the bytes.
 */
enum { CHANNEL_BYTES = 64 * KIB };

struct channel {
	int from, to; /* -1: closed */
	u64 limit;    /* of received: how many bytes come at all; UINT64_MAX while nobody knows */
	u64 received, passed;
	size_t at, held; /* what of `bytes` is to be written */
	u8 bytes[CHANNEL_BYTES];
};

void channel_open(struct channel *channel, int from, int to);

/* What the channel waits for, for poll(2): two entries. */
void channel_poll(const struct channel *channel, struct pollfd *wait);

/* Does what poll() found possible; one buffer at most, so that no channel keeps the others waiting. */
void channel_move(struct channel *channel, const struct pollfd *wait);

/* How many bytes come: perhaps all have been received already. */
void channel_limit(struct channel *channel, u64 bytes);

/* Nothing more is read; what is held is still written. */
void channel_end(struct channel *channel);

/* Nobody reads any more: what is held is dropped, and all that comes. */
void channel_drop(struct channel *channel);

/* Whether all was read, and written or dropped. */
bool channel_is_done(const struct channel *channel);

/* control.c */

/* The host's words, in the order of control_parse()'s table. */
enum control_word {
	CONTROL_SIZE,
	CONTROL_SIGNAL,
	CONTROL_END_STDIN,
	CONTROL_CLOSE_STDOUT,
	CONTROL_CLOSE_STDERR,
	CONTROL_UNKNOWN,
};

struct control {
	int fd;    /* doesn't block */
	bool gone; /* the host has hung up */
	char in[PROTOCOL_LINE_BYTES];
	size_t in_bytes;
	char out[4 * PROTOCOL_LINE_BYTES]; /* five lines at most, of which one is long */
	size_t out_bytes;
};

/* Queues one line of strings, control characters replaced; control_poll() sends it. */
#define SAY(control, ...) control_say(control, STRINGS(__VA_ARGS__))
void control_say(struct control *control, const char *const *list);

/* Sends what the port takes of the queue, and says what to poll() for. */
void control_poll(struct control *control, struct pollfd *wait);

/*
 * The next word of the host's that has come, CONTROL_UNKNOWN for a line that is none; its numbers.
 * False when there is none now, or the host has hung up, or sends lines that don't end.
 */
bool control_next(struct control *control, enum control_word *word, u64 numbers[2]);

/* The word in one line, without its newline; takes the line apart. */
enum control_word control_parse(char *line, u64 numbers[2]);

/* command.c */

enum stream { STREAM_IN, STREAM_OUT, STREAM_ERR, STREAMS };

struct command {
	int pid;
	/* The other ends of its standard descriptors, which don't block. With a terminal the first
	 * two are its master and the last is -1. */
	int end[STREAMS];
};

/*
 * Starts COMMAND in a session of its own and waits until it runs. False: it doesn't, and `line`,
 * PROTOCOL_LINE_BYTES long, is what to tell the host.
 */
bool command_start(struct command *command, const struct init_config *config,
		   const struct user *user, char *line);

/*
 * Puts the next file that `name` may mean in `to`: itself if it has a slash, otherwise one for each
 * directory of a PATH, *rest being what is left of it (NULL at the end). False: there is no more.
 */
bool command_candidate(const char **rest, const char *name, char *to, size_t bytes);

/* session.c */

struct session {
	struct control control;
	struct command command;
	bool tty;
	struct channel channel[STREAMS]; /* the first ends at COMMAND, the others begin there */
	bool told[STREAMS];              /* its end */
	bool ended;                      /* COMMAND has */
	bool alone;                      /* no process is left */
	int status;                      /* COMMAND's, as wait4(2) tells it */
};

/*
 * Relays until COMMAND has ended, nothing of it is left running, and its output is with the host;
 * or until the host hangs up, which ends COMMAND. The control port is open, COMMAND has just been
 * started. children: a signalfd(2) of SIGCHLD, which is blocked.
 */
void session_run(struct session *session, int children, const int port[PORTS]);

/* Tells the host how COMMAND has ended. */
void session_tell_status(struct session *session);

/* Sends what is still to be said, and waits for the host to hang up or to end the machine. */
void session_wait_end(struct control *control);

#endif
